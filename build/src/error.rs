//! What goes wrong, as a text that a build script can end with.

use std::error::Error as StdError;
use std::{fmt, io};

/// Why `.proto` files could not be compiled.
///
/// Its text says what is wrong and what to do; where a `.proto` file is at fault, it begins with
/// `path:line:column` and shows the line. `Debug` gives the same text, since that is what a build
/// script's `main` prints.
///
/// ```
/// let error = turnstile_build::compile_protos("proto/no_such.proto").unwrap_err();
/// assert!(error.to_string().starts_with("there is no file `proto/no_such.proto`"));
/// ```
pub struct Error {
    text: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), source: None }
    }

    /// An error of the system, and what was tried.
    pub(crate) fn io(what: impl fmt::Display, source: io::Error) -> Self {
        Self { text: format!("{what}: {source}"), source: Some(Box::new(source)) }
    }

    pub(crate) fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
