//! What can go wrong outside of a call: while a server is described and begins to listen.
//!
//! How a call ended is a [`Status`](crate::Status), and another world.

use std::fmt;
use std::io;

/// The result of what can fail outside of a call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error outside of a call, with its cause and what to do about it.
///
/// `Debug` shows the same text as `Display`, since that is what a `main` that returns it prints.
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<io::Error>,
}

/// Whose fault an [`Error`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What the application asked for cannot be: an unreadable address, two services of one name.
    Config,
    /// The system refused: an address in use, a port that needs privileges, no file descriptors.
    System,
}

impl Error {
    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Config, message: message.into(), source: None }
    }

    /// Whose fault it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The system's error, if it was one.
    pub fn io_error(&self) -> Option<&io::Error> {
        self.source.as_ref()
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::InvalidInput => ErrorKind::Config,
            _ => ErrorKind::System,
        };
        Self { kind, message: error.to_string(), source: Some(error) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The message is the source's own, so what comes next is what is below that.
        std::error::Error::source(self.source.as_ref()?)
    }
}
