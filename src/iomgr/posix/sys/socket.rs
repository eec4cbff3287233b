//! Sockets: listen, accept4, connect, sendmsg.
//!
//! What std does well (TCP and UNIX listeners, addresses, options) is std's; here is what it
//! lacks: SO_REUSEPORT before bind, a connect that does not wait, accept4 for every family, scatter
//! and gather with flags, who is at the other end of a UNIX socket.

use super::sockaddr::RawAddress;
use super::{check, check_len};
use crate::forked;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;
use std::{mem, ptr};

/// How long the kernel's queue of connections that wait for accept is. The kernel caps it at
/// net.core.somaxconn (4096 on current Linux), see listen(2).
const BACKLOG: libc::c_int = 4096;

/// A connection that [`accept`] took from the queue.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// The connection: non-blocking, closed on exec.
    pub(crate) socket: OwnedFd,
    /// The address of the peer; `None` for a UNIX socket, whose clients have none.
    pub(crate) peer: Option<SocketAddr>,
}

/// Options of a TCP listener that are set before bind.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Listening {
    /// SO_REUSEPORT: several sockets may listen on the same port.
    pub(crate) reuse_port: bool,
    /// TCP_USER_TIMEOUT of the connections that are accepted: how long what is sent may wait for
    /// its acknowledgement, before the kernel ends the connection. `None` leaves that to the
    /// kernel's retransmissions.
    pub(crate) user_timeout: Option<Duration>,
}

impl Listening {
    /// A non-blocking TCP socket that listens on `address`.
    pub(crate) fn tcp(self, address: SocketAddr) -> io::Result<OwnedFd> {
        let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: the call takes no pointer.
        let fd = check(unsafe { libc::socket(family, kind, 0) })?;
        // SAFETY: the kernel has just given us this fd, and nobody else owns it.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        set_option(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
        if self.reuse_port {
            set_option(&socket, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
        }
        if address.is_ipv6() && address.ip().is_unspecified() {
            // `[::]` means every address of the machine, as in gRPC's other languages, whatever
            // net.ipv6.bindv6only says.
            set_option(&socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 0)?;
        }
        set_user_timeout(&socket, self.user_timeout)?;
        bind(&socket, address)?;
        listen(&socket, BACKLOG)?;
        Ok(socket)
    }
}

/// Sets how long what a TCP socket sends may wait for its acknowledgement before the kernel ends the
/// connection (TCP_USER_TIMEOUT, tcp(7)); `None` leaves that to its retransmissions. Of a socket that
/// listens, those that are accepted are copies.
pub(crate) fn set_user_timeout(socket: &OwnedFd, timeout: Option<Duration>) -> io::Result<()> {
    let Some(timeout) = timeout else { return Ok(()) };
    // 0 would be none.
    let millis = libc::c_int::try_from(timeout.as_millis()).unwrap_or(libc::c_int::MAX).max(1);
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, millis)
}

/// What kind of address a socket has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Ip,
    Unix,
}

/// The family of a socket from which streams can be accepted.
///
/// # Errors
/// `InvalidInput`, with what it is instead.
pub(crate) fn family_of_listener(socket: &OwnedFd) -> io::Result<Family> {
    let number = |name| {
        // SAFETY: each of the options asked for below is an int (socket(7)).
        unsafe { option(socket, libc::SOL_SOCKET, name, 0 as libc::c_int) }
    };
    let unfit = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    let family = match number(libc::SO_DOMAIN) {
        Ok(libc::AF_INET | libc::AF_INET6) => Family::Ip,
        Ok(libc::AF_UNIX) => Family::Unix,
        Ok(_) => return unfit("it is neither a TCP socket nor a UNIX socket"),
        Err(error) if error.raw_os_error() == Some(libc::ENOTSOCK) => {
            return unfit("it is not a socket");
        }
        Err(error) => return Err(error),
    };
    if number(libc::SO_TYPE)? != libc::SOCK_STREAM {
        return unfit("its type is not SOCK_STREAM");
    }
    if number(libc::SO_ACCEPTCONN)? == 0 {
        return unfit("it does not listen; bind it and call listen(2) first");
    }
    Ok(family)
}

pub(super) fn set_option(
    socket: &impl AsRawFd,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the pointer and the length describe `value`, which lives through the call.
    check(unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, name, ptr::from_ref(&value).cast(), length)
    })
    .map(drop)
}

/// Lets clients connect to a socket that is bound: listen(2). Of those that nobody has accepted yet
/// the kernel keeps about `backlog`. May be called again, with another one.
pub(crate) fn listen(socket: &impl AsRawFd, backlog: libc::c_int) -> io::Result<()> {
    // SAFETY: the call takes no pointer, and the fd is open.
    check(unsafe { libc::listen(socket.as_raw_fd(), backlog) }).map(drop)
}

fn bind(socket: &OwnedFd, address: SocketAddr) -> io::Result<()> {
    let raw = RawAddress::of_ip(address);
    let (pointer, length) = raw.as_parts();
    // SAFETY: the pointer and the length describe `raw`, which lives through the call.
    check(unsafe { libc::bind(socket.as_raw_fd(), pointer, length) }).map(drop)
}

/// Takes one connection from the queue of a listener of any family: accept4(2).
///
/// # Errors
/// `WouldBlock` when none waits; otherwise as accept(2) says: some errors are those of one
/// connection (ECONNABORTED), some those of the process (EMFILE).
pub(crate) fn accept(listener: BorrowedFd<'_>) -> io::Result<Accepted> {
    forked::check()?;
    let mut address = RawAddress::empty();
    let (pointer, length) = address.as_parts_mut();
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: both point at `address`, which lives through the call, and the length is its room.
    let fd = check(unsafe { libc::accept4(listener.as_raw_fd(), pointer, length, flags) })?;
    // SAFETY: the kernel has just given us this fd, and nobody else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    Ok(Accepted { socket, peer: address.ip() })
}

/// The address of this end of an IP socket: getsockname(2).
pub(crate) fn local_address(socket: BorrowedFd<'_>) -> Option<SocketAddr> {
    let mut address = RawAddress::empty();
    let (pointer, length) = address.as_parts_mut();
    // SAFETY: both point at `address`, which lives through the call, and the length is its room.
    check(unsafe { libc::getsockname(socket.as_raw_fd(), pointer, length) }).ok()?;
    address.ip()
}

/// Whether a TCP socket that is connected is its own peer.
pub(crate) fn is_own_peer(socket: BorrowedFd<'_>) -> bool {
    let mut address = RawAddress::empty();
    let (pointer, length) = address.as_parts_mut();
    // SAFETY: both point at `address`, which lives through the call, and the length is its room.
    let found = check(unsafe { libc::getpeername(socket.as_raw_fd(), pointer, length) });
    found.is_ok() && address.ip().is_some() && address.ip() == local_address(socket)
}

/// A non-blocking socket that connects to `address`. [`connected`] says whether it is; if it is not
/// yet, it becomes writable when that has an end.
///
/// # Errors
/// `WouldBlock` when too many clients wait at a UNIX socket; otherwise as connect(2) says.
pub(crate) fn connect(address: &RawAddress) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: the call takes no pointer.
    let fd = check(unsafe { libc::socket(address.family(), kind, 0) })?;
    // SAFETY: the kernel has just given us this fd, and nobody else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let (pointer, length) = address.as_parts();
    // SAFETY: the pointer and the length describe `address`, which lives through the call.
    match check(unsafe { libc::connect(socket.as_raw_fd(), pointer, length) }) {
        Ok(_) => Ok(socket),
        // A signal does not end what it interrupts here (connect(2), EINTR).
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINPROGRESS | libc::EINTR)) => {
            Ok(socket)
        }
        Err(error) => Err(error),
    }
}

/// A socket that is its own peer, as the kernel makes one when it gives a client the port that nobody
/// listens on.
#[cfg(all(test, not(turnstile_loom)))]
pub(crate) fn connected_to_itself() -> io::Result<(OwnedFd, SocketAddr)> {
    // SAFETY: the call takes no pointer.
    let fd = check(unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0) })?;
    // SAFETY: the kernel has just given us this fd, and nobody else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    bind(&socket, SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let address = local_address(std::os::fd::AsFd::as_fd(&socket)).expect("an IP socket has one");
    let raw = RawAddress::of_ip(address);
    let (pointer, length) = raw.as_parts();
    // SAFETY: the pointer and the length describe `raw`, which lives through the call.
    check(unsafe { libc::connect(socket.as_raw_fd(), pointer, length) })?;
    Ok((socket, address))
}

/// Whether a connect is done: SO_ERROR, and then whether there is a peer, since the event that brought
/// the caller here may have been for nothing.
///
/// # Errors
/// Why the connect failed.
pub(crate) fn connected(socket: BorrowedFd<'_>) -> io::Result<bool> {
    // SAFETY: this option is an int (socket(7)).
    match unsafe { option(&socket, libc::SOL_SOCKET, libc::SO_ERROR, 0 as libc::c_int) }? {
        0 => {}
        error => return Err(io::Error::from_raw_os_error(error)),
    }
    let mut address = RawAddress::empty();
    let (pointer, length) = address.as_parts_mut();
    // SAFETY: both point at `address`, which lives through the call, and the length is its room.
    match check(unsafe { libc::getpeername(socket.as_raw_fd(), pointer, length) }) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
        Err(error) => Err(error),
    }
}

/// Writes what it can of `buffers`, in order, and gives how many bytes the kernel took.
///
/// No SIGPIPE is raised when the peer is gone: that is the error EPIPE.
///
/// # Errors
/// `WouldBlock` when the socket's buffer is full; otherwise as sendmsg(2) says. EINTR is tried
/// again.
pub(crate) fn sendmsg(socket: BorrowedFd<'_>, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
    forked::check()?;
    // SAFETY: msghdr is plain data for which all zeroes means no name, no data, no control.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    // IoSlice is guaranteed to have the layout of iovec on Unix; sendmsg only reads through it.
    message.msg_iov = buffers.as_ptr().cast_mut().cast();
    // More than IOV_MAX slices would be EMSGSIZE; the rest goes with the next call.
    message.msg_iovlen = buffers.len().min(libc::UIO_MAXIOV as usize) as _;
    // SAFETY: the header points at `buffers`, whose slices all outlive the call.
    retry(|| unsafe { libc::sendmsg(socket.as_raw_fd(), &message, libc::MSG_NOSIGNAL) })
}

/// Calls until a signal does not interrupt.
pub(super) fn retry(mut call: impl FnMut() -> libc::ssize_t) -> io::Result<usize> {
    loop {
        match check_len(call()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Sends small writes at once (TCP_NODELAY).
pub(crate) fn set_nodelay(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_option(&socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)
}

/// Who has connected to a UNIX socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// 0 for a process that has no id in this process's PID namespace.
    pub(crate) pid: libc::pid_t,
    pub(crate) uid: libc::uid_t,
    pub(crate) gid: libc::gid_t,
}

/// Who is at the other end of a UNIX socket, as the kernel has noted it when they connected:
/// SO_PEERCRED, unix(7).
pub(crate) fn peer_credentials(socket: BorrowedFd<'_>) -> io::Result<Credentials> {
    let none = libc::ucred { pid: 0, uid: libc::uid_t::MAX, gid: libc::gid_t::MAX };
    // SAFETY: ucred is what this option gives, and any bytes are a ucred.
    let raw = unsafe { option(&socket, libc::SOL_SOCKET, libc::SO_PEERCRED, none) }?;
    Ok(Credentials { pid: raw.pid, uid: raw.uid, gid: raw.gid })
}

/// Reads an option over `value`.
///
/// # Safety
/// What the kernel writes for this option, or a part of it, must make a valid `T`.
unsafe fn option<T>(
    socket: &impl AsRawFd,
    level: libc::c_int,
    name: libc::c_int,
    mut value: T,
) -> io::Result<T> {
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the pointer and the length describe `value`, which lives through the call; what is
    // written there is a `T`, as the caller promises.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            name,
            ptr::from_mut(&mut value).cast(),
            &mut length,
        )
    })?;
    Ok(value)
}

/// Tells the peer that no more bytes come: shutdown(2) with SHUT_WR.
pub(crate) fn shutdown_write(socket: BorrowedFd<'_>) -> io::Result<()> {
    forked::check()?;
    // SAFETY: the call takes no pointer.
    check(unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_WR) }).map(drop)
}

/// The core that this thread runs on now; 0 where the system does not tell.
pub(crate) fn current_cpu() -> usize {
    // SAFETY: the call takes no pointer.
    usize::try_from(unsafe { libc::sched_getcpu() }).unwrap_or(0)
}

#[cfg(all(test, not(turnstile_loom)))]
mod tests {
    use super::{
        Accepted, Credentials, Family, Listening, accept, family_of_listener, option,
        peer_credentials, set_user_timeout,
    };
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt as _;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;
    use std::{fs, process};

    /// A connection that a listener with these options has accepted.
    fn accepted(options: Listening) -> Accepted {
        let socket = options.tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = TcpListener::from(socket);
        listener.set_nonblocking(false).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        accept(listener.as_fd()).unwrap()
    }

    fn user_timeout(connection: &Accepted) -> libc::c_int {
        // SAFETY: this option is an int.
        unsafe { option(&connection.socket, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, -1) }
            .unwrap()
    }

    #[test]
    fn accepted_connections_have_the_listeners_user_timeout() {
        let cases = [
            (None, 0),
            (Some(Duration::from_secs(20)), 20_000),
            // 0 would be none.
            (Some(Duration::from_nanos(1)), 1),
            (Some(Duration::MAX), libc::c_int::MAX),
        ];
        for (timeout, expected) in cases {
            let options = Listening { user_timeout: timeout, ..Listening::default() };
            assert_eq!(user_timeout(&accepted(options)), expected, "{timeout:?}");
        }
    }

    #[test]
    fn connections_of_a_socket_that_listens_already_have_a_user_timeout_too() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap().into();
        assert_eq!(family_of_listener(&socket).unwrap(), Family::Ip);
        let timeout = Some(Duration::from_millis(20));
        set_user_timeout(&socket, timeout).unwrap();
        let listener = TcpListener::from(socket);
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert_eq!(user_timeout(&accept(listener.as_fd()).unwrap()), 20);
    }

    #[test]
    fn the_kernel_tells_who_is_at_the_other_end_of_a_unix_socket() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let me = fs::metadata("/proc/self").unwrap();
        let pid = libc::pid_t::try_from(process::id()).unwrap();
        let expected = Credentials { pid, uid: me.uid(), gid: me.gid() };
        assert_eq!(peer_credentials(ours.as_fd()).unwrap(), expected);
    }
}
