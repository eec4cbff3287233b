//! recvmsg(2), and what it says of what is left.

use super::socket::{retry, set_option};
use crate::forked;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::OnceLock;
use std::{mem, ptr};

/// What [`recvmsg`] has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    /// How many bytes came; 0 is the end of the stream.
    pub(crate) count: usize,
    /// Whether the socket was not empty after that: more bytes, or the end. `None` if the kernel was not
    /// asked, or did not say.
    pub(crate) has_more: Option<bool>,
}

/// Room for one control message with an int.
#[repr(C)]
union OneInt {
    _for_alignment: libc::cmsghdr,
    bytes: [u8; 32],
}

/// Reads into `buffer`. What is left is asked for if the socket `tells_unread`, as [`tell_unread`] says.
///
/// Others get no room for control messages: the peer of a UNIX socket may pass fds in them (SCM_RIGHTS),
/// which the kernel closes if there is none.
///
/// # Errors
/// `WouldBlock` when there is nothing; otherwise as recvmsg(2) says. EINTR is tried again.
pub(crate) fn recvmsg(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    tells_unread: bool,
) -> io::Result<Received> {
    forked::check()?;
    let mut slice = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut control = OneInt { bytes: [0; 32] };
    // SAFETY: msghdr is plain data for which all zeroes means no name, no data, no control.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &mut slice;
    message.msg_iovlen = 1;
    let count = retry(|| {
        if tells_unread {
            message.msg_control = (&raw mut control).cast();
            message.msg_controllen = size_of::<OneInt>() as _;
        }
        // SAFETY: the header points at `slice`, which describes `buffer`, and at `control`, each with
        // its length; all outlive the call.
        unsafe { libc::recvmsg(socket.as_raw_fd(), &mut message, 0) }
    })?;
    Ok(Received { count, has_more: unread(&message).map(|unread| unread > 0) })
}

/// The number in the TCP_CM_INQ of a message that was received.
fn unread(message: &libc::msghdr) -> Option<libc::c_int> {
    // SAFETY: the kernel has filled the control buffer that the header points at, and says how much
    // of it is valid; the first message's header is there or the result is null.
    let header = unsafe { libc::CMSG_FIRSTHDR(message).as_ref() }?;
    let is_it = header.cmsg_level == libc::IPPROTO_TCP && header.cmsg_type == libc::TCP_CM_INQ;
    // SAFETY: this kind of message holds an int, which need not be aligned.
    is_it.then(|| unsafe { ptr::read_unaligned(libc::CMSG_DATA(header).cast()) })
}

/// Has the kernel say with each [`recvmsg`] whether the socket is empty then (TCP_INQ), the end of
/// the stream included. False where it cannot: with what is not TCP, and before Linux 5.4, the first
/// long-term kernel that is sure to count the end (4.18 forgets it).
pub(crate) fn tell_unread(socket: BorrowedFd<'_>) -> bool {
    counts_the_end() && set_option(&socket, libc::IPPROTO_TCP, libc::TCP_INQ, 1).is_ok()
}

/// Whether TCP_INQ of the running kernel counts the end of the stream.
fn counts_the_end() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| parse_release(&release()).is_some_and(|release| release >= (5, 4)))
}

/// The first two numbers of a kernel's release, such as `6.1.0-13-amd64`.
fn parse_release(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|it: char| !it.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// uname(2)'s `release`.
fn release() -> String {
    // SAFETY: utsname is arrays of bytes, for which zeroes are valid, and uname fills them.
    let (name, result) = unsafe {
        let mut name: libc::utsname = mem::zeroed();
        let result = libc::uname(&mut name);
        (name, result)
    };
    if result < 0 {
        return String::new();
    }
    // SAFETY: the kernel ends the text with a zero, within the array, which lives through the call.
    unsafe { CStr::from_ptr(name.release.as_ptr()) }.to_string_lossy().into_owned()
}

#[cfg(all(test, not(turnstile_loom)))]
mod tests {
    use super::{Received, counts_the_end, parse_release, recvmsg, release, tell_unread};
    use crate::iomgr::posix::sys::{Epoll, EpollRoom};
    use crate::testing::PATIENCE;
    use std::io::Write as _;
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().unwrap().0, client)
    }

    fn read(socket: &impl AsFd, room: usize) -> (usize, Option<bool>) {
        let read = recvmsg(socket.as_fd(), &mut vec![0; room], true);
        let Received { count, has_more } = read.unwrap();
        (count, has_more)
    }

    /// Waits until the end has come, whatever is before it.
    fn wait_for_end(socket: &TcpStream) {
        let (epoll, mut room) = (Epoll::new().unwrap(), EpollRoom::<1>::new());
        epoll.add(socket.as_fd(), 0, true).unwrap();
        loop {
            let came = epoll.wait(&mut room, Some(PATIENCE)).unwrap();
            if came.first().expect("the end comes").readiness().hang_up {
                return;
            }
        }
    }

    #[test]
    fn a_tcp_socket_tells_of_more_bytes_and_of_the_end() {
        let (ours, mut peer) = pair();
        assert!(tell_unread(ours.as_fd()), "the tests have Linux 5.4 or later");
        peer.write_all(b"abcd").unwrap();
        assert_eq!(read(&ours, 3), (3, Some(true)));
        assert_eq!(read(&ours, 3), (1, Some(false)));
        peer.write_all(b"ef").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        wait_for_end(&ours);
        assert_eq!(read(&ours, 3), (2, Some(true)));
        assert_eq!(read(&ours, 3).0, 0);
    }

    #[test]
    fn a_socket_that_was_not_asked_tells_nothing() {
        let (ours, mut peer) = pair();
        peer.write_all(b"abcd").unwrap();
        assert_eq!(read(&ours, 3), (3, None));
        let (ours, mut peer) = UnixStream::pair().unwrap();
        assert!(!tell_unread(ours.as_fd()), "it is not TCP");
        peer.write_all(b"abcd").unwrap();
        assert_eq!(read(&ours, 3), (3, None));
    }

    #[test]
    fn releases_are_compared_by_their_numbers() {
        assert_eq!(parse_release("6.1.0-13-amd64"), Some((6, 1)));
        assert_eq!(parse_release("5.10-rc1"), Some((5, 10)));
        assert_eq!(parse_release("linux"), None);
        assert!(parse_release(&release()).is_some(), "{}", release());
        assert!(counts_the_end());
    }
}
