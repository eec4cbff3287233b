//! The portable face of a byte stream: what a transport reads from and writes to.

use super::posix::{PollTarget, Pollset};
use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll};

/// A connected byte stream.
///
/// One thread at a time uses it (`&mut`). "Pending" arms the context's waker, which fires when it
/// is worth while to call again.
pub(crate) trait Endpoint: Send {
    /// Bytes that have been read and not consumed; empty at the end of the stream.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>>;

    /// Nobody may have waited for long, and what has come meanwhile is not known: the next `poll_fill` asks
    /// the system.
    fn look_again(&mut self) {}

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

    /// What a pollset can be told to wait for, so that its threads drive this endpoint; `None` if
    /// all threads do anyway.
    fn poll_target(&self) -> Option<PollTarget> {
        None
    }

    /// Where this end is, if that can be told. Costs a system call.
    fn local(&self) -> Option<PeerAddress> {
        None
    }
}

/// Who is at the other end of a connection, and how threads wait for what comes from there.
pub(crate) struct Peer {
    address: PeerAddress,
    target: Option<PollTarget>,
}

impl Peer {
    /// The peer of an endpoint.
    pub(crate) fn of(endpoint: &dyn Endpoint) -> Self {
        Self { address: endpoint.peer().clone(), target: endpoint.poll_target() }
    }

    /// The peer of what has no endpoint.
    pub(crate) fn in_process() -> Self {
        Self { address: PeerAddress::InProcess, target: None }
    }

    /// The threads of `pollset` wait for the connection too from now on.
    ///
    /// # Errors
    /// The system's, if it has not what that needs.
    pub(crate) fn add_to(&self, pollset: &Arc<Pollset>) -> io::Result<()> {
        self.target.as_ref().map_or(Ok(()), |target| target.add_to(pollset))
    }
}

impl Deref for Peer {
    type Target = PeerAddress;

    fn deref(&self) -> &PeerAddress {
        &self.address
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.address, f)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.address, f)
    }
}

/// Who is at the other end of a connection.
///
/// Its text is what gRPC's naming document has for an address.
///
/// ```
/// use turnstile::PeerAddress;
///
/// let peer = PeerAddress::Tcp("192.0.2.1:4711".parse()?);
/// assert_eq!(peer.to_string(), "ipv4:192.0.2.1:4711");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerAddress {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A client of a UNIX socket.
    Unix(UnixPeer),
    /// A client in the same process.
    InProcess,
}

/// A client of a UNIX socket: which socket that is, and who the client is.
///
/// ```
/// use turnstile::PeerAddress;
///
/// /// Lets in what runs as the same user.
/// fn is_mine(peer: &PeerAddress, my_uid: u32) -> bool {
///     match peer {
///         PeerAddress::Unix(peer) => peer.credentials().is_some_and(|it| it.uid == my_uid),
///         _ => false,
///     }
/// }
/// # assert!(!is_mine(&PeerAddress::InProcess, 0));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixPeer {
    path: PathBuf,
    credentials: Option<UnixCredentials>,
}

impl UnixPeer {
    pub(crate) fn new(path: PathBuf, credentials: Option<UnixCredentials>) -> Self {
        Self { path, credentials }
    }

    /// The server's socket; clients have no address of their own. One in Linux's abstract
    /// namespace is written with an `@` before its name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Who the client is; `None` if the kernel did not tell.
    pub fn credentials(&self) -> Option<UnixCredentials> {
        self.credentials
    }
}

/// The process that has connected to a UNIX socket, as the kernel noted it at that moment
/// (SO_PEERCRED, unix(7)): a client cannot forge them.
///
/// The process may have handed the socket on, or have ended, since then: `uid` and `gid` are fit for
/// authorization, `pid` is for logs.
///
/// ```
/// use turnstile::UnixCredentials;
///
/// /// Root, and the group of operators.
/// fn may_stop_the_server(client: UnixCredentials, operators: u32) -> bool {
///     client.uid == 0 || client.gid == operators
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnixCredentials {
    /// The process; `None` if it has no id in the server's PID namespace.
    pub pid: Option<u32>,
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
}

impl fmt::Display for PeerAddress {
    /// As gRPC's other languages write it: `ipv4:…`, `ipv6:[…]:…`, `unix:…`, `inproc`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address @ SocketAddr::V4(_)) => write!(f, "ipv4:{address}"),
            Self::Tcp(address @ SocketAddr::V6(_)) => write!(f, "ipv6:{address}"),
            Self::Unix(peer) => write!(f, "unix:{}", peer.path().display()),
            Self::InProcess => f.write_str("inproc"),
        }
    }
}
