//! The system calls: the only unsafe code and the only libc of this crate.
//!
//! Functions here take borrowed fds and slices and give `io::Result` and owned fds. They hold no
//! policy and log nothing.
//!
//! What reads from an fd that a parent process shares, writes to it, or changes what a shared epoll set
//! has, fails in a child of fork(2): see [`forked`](crate::forked).

#![allow(unsafe_code)] // The one place for it; every block says why it is sound.

mod epoll;
mod eventfd;
#[cfg(all(test, not(turnstile_loom)))]
pub(crate) mod for_tests;
mod fork;
mod poll;
mod recv;
mod sockaddr;
mod socket;
mod timerfd;

pub(crate) use epoll::{Epoll, EpollRoom, Readiness, probe_exclusive};
pub(crate) use eventfd::{EventFd, drain};
pub(crate) use fork::watch_forks;
pub(crate) use poll::PollFds;
pub(crate) use recv::{Received, recvmsg, tell_unread};
pub(crate) use sockaddr::RawAddress;
pub(crate) use socket::{
    Accepted, Family, Listening, accept, connect, connected, current_cpu, family_of_listener,
    is_own_peer, local_address, peer_credentials, sendmsg, set_nodelay, set_user_timeout,
    shutdown_write,
};
#[cfg(all(test, not(turnstile_loom)))]
pub(crate) use socket::{connected_to_itself, listen};
pub(crate) use timerfd::TimerFd;

use std::io;
use std::time::Duration;

/// The error numbers that accept(2) is told apart by.
pub(crate) mod errno {
    pub(crate) use libc::{EAGAIN, EBADF, EINVAL, EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOTSOCK};
}

/// The result of a libc call that returns -1 and sets errno on failure.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The result of a libc call that returns a byte count, or -1 and sets errno.
fn check_len(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// The timeout of epoll_wait(2) and poll(2): whole milliseconds, rounded up so that a wait never ends
/// before its deadline and a short one is not a busy loop of 0 ms (grpc#16588). -1 is for ever.
fn millis(timeout: Option<Duration>) -> libc::c_int {
    let Some(timeout) = timeout else { return -1 };
    let millis = timeout.as_nanos().div_ceil(1_000_000);
    libc::c_int::try_from(millis).unwrap_or(libc::c_int::MAX)
}

#[cfg(test)]
mod tests {
    use super::millis;
    use std::time::Duration;

    #[test]
    fn timeouts_round_up_to_whole_milliseconds() {
        assert_eq!(millis(None), -1);
        assert_eq!(millis(Some(Duration::ZERO)), 0);
        assert_eq!(millis(Some(Duration::from_nanos(1))), 1);
        assert_eq!(millis(Some(Duration::from_micros(1500))), 2);
        assert_eq!(millis(Some(Duration::MAX)), libc::c_int::MAX);
    }
}
