//! What can go wrong outside of a call: while a server is described and begins to listen.
//!
//! How a call ended is a [`Status`](crate::Status), and another world.
//!
//! ```
//! use turnstile::Server;
//! use turnstile::error::ErrorKind;
//!
//! let error = Server::builder().bind("nowhere").unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::Config);
//! println!("{error}"); // names the address, and the forms that can be read
//! ```

use std::fmt;
use std::io;

/// The result of what can fail outside of a call, and of a `main` that makes a server.
///
/// ```
/// fn server(address: &str) -> turnstile::Result<turnstile::Server> {
///     turnstile::Server::builder().bind(address)
/// }
/// assert!(server("127.0.0.1:0").is_ok());
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error outside of a call, with its cause and what to do about it.
///
/// `Debug` shows the same text as `Display`, since that is what a `main` that returns it prints.
///
/// ```
/// use turnstile::Server;
///
/// let first = Server::builder().bind("127.0.0.1:0")?;
/// let taken = first.local_addr().unwrap().to_string();
/// let error = Server::builder().bind(&taken).unwrap_err();
/// assert!(error.to_string().contains(&taken));
/// # Ok::<(), turnstile::Error>(())
/// ```
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<io::Error>,
}

/// Whose fault an [`Error`] is.
///
/// ```
/// use turnstile::error::{Error, ErrorKind};
///
/// /// The exit code, by sysexits.h: whether it is worth while to start again.
/// fn exit_code(error: &Error) -> u8 {
///     match error.kind() {
///         ErrorKind::Config => 78, // EX_CONFIG
///         _ => 71,                 // EX_OSERR
///     }
/// }
/// # assert_eq!(exit_code(&turnstile::Server::builder().bind("nowhere").unwrap_err()), 78);
/// ```
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
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use turnstile::Server;
    ///
    /// let first = Server::builder().bind("unix-abstract:turnstile-doc-io-error")?;
    /// let error = Server::builder().bind("unix-abstract:turnstile-doc-io-error").unwrap_err();
    /// assert_eq!(error.io_error().map(|it| it.kind()), Some(ErrorKind::AddrInUse));
    /// # drop(first);
    /// # Ok::<(), turnstile::Error>(())
    /// ```
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
