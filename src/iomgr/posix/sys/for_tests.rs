//! What only tests ask of the system: signals, limits, and the error queue of a socket.

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
