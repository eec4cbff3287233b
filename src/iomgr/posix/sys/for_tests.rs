//! What only tests ask of the system: signals, limits, the error queue of a socket, and passing an fd.

use super::{check, check_len};
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::process;
use std::ptr;

/// The signal that [`interrupt`] sends.
const SIGNAL: libc::c_int = libc::SIGUSR1;

/// Lets [`interrupt`] do nothing but end the system call that a thread is in.
pub(crate) fn allow_interrupts() -> io::Result<()> {
    extern "C" fn do_nothing(_signal: libc::c_int) {}
    // SAFETY: sigaction is plain data for which all zeroes means no flags and an empty mask.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = do_nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
    // SAFETY: the action lives through the call, and its handler does nothing, which is safe at any
    // moment.
    check(unsafe { libc::sigaction(SIGNAL, &raw const action, ptr::null_mut()) }).map(drop)
}

/// Sends a signal to a thread of this process.
///
/// # Errors
/// There is no such thread (any more).
pub(crate) fn interrupt(thread: u32) -> io::Result<()> {
    // SAFETY: the call takes no pointer; whether the thread exists is the kernel's to check.
    let result = unsafe { libc::syscall(libc::SYS_tgkill, process::id(), thread, SIGNAL) };
    check_len(result as libc::ssize_t).map(drop)
}

/// Lets this process open no fd from `first` on, and gives the limit that was there before.
pub(crate) fn limit_descriptors(first: u64) -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes an rlimit to `limit`, which lives through the call.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    let before = mem::replace(&mut limit.rlim_cur, first);
    // SAFETY: `limit` lives through the call.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    Ok(before)
}

/// Lets an IPv4 socket keep errors with what they are about in its error queue: IP_RECVERR, ip(7).
pub(crate) fn keep_errors(socket: BorrowedFd<'_>) -> io::Result<()> {
    let yes: libc::c_int = 1;
    let length = size_of_val(&yes) as libc::socklen_t;
    // SAFETY: the pointer and the length describe `yes`, which lives through the call.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_RECVERR,
            ptr::from_ref(&yes).cast(),
            length,
        )
    })
    .map(drop)
}

/// Takes an error from the queue: gives how long the datagram was that it is about.
///
/// # Errors
/// `WouldBlock` when there is none.
pub(crate) fn take_error(socket: BorrowedFd<'_>) -> io::Result<usize> {
    let mut buffer = [0_u8; 64];
    // SAFETY: the pointer and the length describe `buffer`, which lives through the call.
    check_len(unsafe {
        libc::recv(
            socket.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT,
        )
    })
}

/// Sends one byte over a UNIX socket, and an fd with it: SCM_RIGHTS, unix(7).
pub(crate) fn pass_descriptor(socket: BorrowedFd<'_>, passed: BorrowedFd<'_>) -> io::Result<()> {
    /// Aligned for a header.
    #[repr(C)]
    union Control {
        _for_alignment: libc::cmsghdr,
        bytes: [u8; 32],
    }
    let (byte, mut control) = ([0_u8; 1], Control { bytes: [0; 32] });
    let mut slice = libc::iovec { iov_base: byte.as_ptr().cast_mut().cast(), iov_len: 1 };
    let size = size_of::<libc::c_int>() as libc::c_uint;
    // SAFETY: msghdr is plain data, and all that it points at outlives the block; `control` has room for
    // a header with an int, which CMSG_SPACE counts and CMSG_DATA points at.
    check_len(unsafe {
        let mut message: libc::msghdr = mem::zeroed();
        message.msg_iov = &raw mut slice;
        message.msg_iovlen = 1;
        message.msg_control = (&raw mut control).cast();
        message.msg_controllen = libc::CMSG_SPACE(size) as _;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size) as _;
        ptr::write_unaligned(libc::CMSG_DATA(header).cast(), passed.as_raw_fd());
        libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL)
    })
    .map(drop)
}
