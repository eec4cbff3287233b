//! The portable face of a byte stream: what a transport reads from and writes to.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::task::{Context, Poll};

/// A connected byte stream.
///
/// One thread at a time uses it (`&mut`). "Pending" arms the context's waker, which fires when it
/// is worth while to call again.
pub(crate) trait Endpoint: Send {
    /// Bytes that have been read and not consumed; empty at the end of the stream.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>>;

    /// Marks the first `count` bytes of the last `poll_fill` as used.
    fn consume(&mut self, count: usize);

    /// Takes bytes to write: all that fit. They leave with `poll_flush`, or before.
    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>>;

    /// Hands everything taken to the system.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Flushes, then tells the peer that nothing more comes.
    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Who is at the other end.
    fn peer(&self) -> &PeerAddress;
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerAddress {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A client of the UNIX socket with this path; clients have no address of their own.
    Unix(PathBuf),
    /// A client in the same process.
    InProcess,
}

impl fmt::Display for PeerAddress {
    /// As gRPC's other languages write it: `ipv4:…`, `ipv6:[…]:…`, `unix:…`, `inproc`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address @ SocketAddr::V4(_)) => write!(f, "ipv4:{address}"),
            Self::Tcp(address @ SocketAddr::V6(_)) => write!(f, "ipv6:{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::InProcess => f.write_str("inproc"),
        }
    }
}
