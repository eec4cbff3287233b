//! How a crate takes in what its build script has generated.

/// Includes the code that `turnstile-build` has generated for a package of .proto files.
///
/// It takes the name of the package, as a literal, and is best in a module of its own: a package may
/// have a message `Status`, and each has a `FILE_DESCRIPTOR_SET`. Several packages need modules that
/// are nested as the packages are, since their code refers to each other by relative paths.
///
/// # Errors
/// It does not compile in a crate without a build script, nor if the build script has compiled no
/// file of this package to `OUT_DIR`: `turnstile-build` tells rustc where the code of each package is,
/// in a variable of the environment.
///
/// ```
/// mod acme {
///     pub mod billing {
/// #       #[cfg(any())]
///         turnstile::include_proto!("acme.billing"); // `package acme.billing;`
///     }
///     pub mod common {
/// #       #[cfg(any())]
///         turnstile::include_proto!("acme.common");
///     }
/// }
/// ```
#[macro_export]
macro_rules! include_proto {
    ($package:literal) => {
        include!(env!(
            concat!("TURNSTILE_PROTO_", $package),
            concat!(
                "there is no code of `package ",
                $package,
                "`: the crate needs a build.rs that gives a .proto file with this package to \
                 turnstile_build::compile_protos"
            )
        ));
    };
}
