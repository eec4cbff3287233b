//! The system calls: the only unsafe code and the only libc of this crate.
//!
//! Functions here take borrowed fds and slices and give `io::Result` and owned fds. They hold no
//! policy and log nothing.

#![allow(unsafe_code)] // The one place for it; every block says why it is sound.

mod epoll;
mod eventfd;
mod socket;
mod timerfd;

pub(crate) use epoll::{Epoll, EpollEvent, Readiness, probe_exclusive};
pub(crate) use eventfd::EventFd;
#[cfg(all(test, not(turnstile_loom)))]
pub(crate) use socket::listen;
pub(crate) use socket::{
    Accepted, Family, Listening, accept, connect_unix, current_cpu, family_of_listener,
    local_address, peer_credentials, recvmsg, sendmsg, set_nodelay, shutdown_write,
};
pub(crate) use timerfd::TimerFd;

use std::io;

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
