//! One path or several, as an argument.

use std::path::{Path, PathBuf};

/// One path or several: strings and paths, arrays, slices and vectors of them.
///
/// # Examples
///
/// ```no_run
/// # fn main() -> turnstile_build::Result<()> {
/// turnstile_build::compile_protos("proto/greeter.proto")?;
/// turnstile_build::compile_protos(["proto/greeter.proto", "proto/route_guide.proto"])?;
/// let found: Vec<std::path::PathBuf> = Vec::new();
/// turnstile_build::compile_protos(&found)?;
/// # Ok(())
/// # }
/// ```
pub trait Paths: sealed::Sealed {
    /// The paths, in their order.
    fn into_paths(self) -> Vec<PathBuf>;
}

mod sealed {
    /// Keeps [`Paths`](super::Paths) to the types of this file, so that more can follow.
    pub trait Sealed {}
}

macro_rules! one_path {
    ($($path:ty),*) => {$(
        impl sealed::Sealed for $path {}
        impl Paths for $path {
            fn into_paths(self) -> Vec<PathBuf> {
                vec![self.into()]
            }
        }
    )*};
}

one_path!(&str, String, &String, &Path, PathBuf, &PathBuf);

macro_rules! several_paths {
    ($([$($const:tt)*] $paths:ty),*) => {$(
        impl<P: AsRef<Path> $($const)*> sealed::Sealed for $paths {}
        impl<P: AsRef<Path> $($const)*> Paths for $paths {
            fn into_paths(self) -> Vec<PathBuf> {
                self.iter().map(|path| path.as_ref().to_owned()).collect()
            }
        }
    )*};
}

several_paths!([, const N: usize] [P; N], [, const N: usize] &[P; N], [] &[P], [] Vec<P>, [] &Vec<P>);
