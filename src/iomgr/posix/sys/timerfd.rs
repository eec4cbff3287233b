//! timerfd_create(2): a point in time that several epoll sets can wait for.

use super::check;
use crate::forked;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

/// A timer in the kernel, which is readable when it has expired.
#[derive(Debug)]
pub(crate) struct TimerFd(OwnedFd);

impl TimerFd {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
        // SAFETY: the call takes no pointer.
        let fd = check(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) })?;
        // SAFETY: the kernel has just given us this fd, and nobody else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Lets it expire once, after `delay`, whatever it was set to before.
    pub(crate) fn set(&self, delay: Duration) -> io::Result<()> {
        forked::check()?;
        // Zero would disarm it.
        let delay = delay.max(Duration::from_nanos(1));
        let value = libc::timespec {
            tv_sec: libc::time_t::try_from(delay.as_secs()).unwrap_or(libc::time_t::MAX),
            // At most 999,999,999.
            tv_nsec: delay.subsec_nanos() as libc::c_long,
        };
        let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let new = libc::itimerspec { it_interval: never, it_value: value };
        // SAFETY: the fd is open, `new` lives through the call, and the old value is not wanted.
        check(unsafe {
            libc::timerfd_settime(self.0.as_raw_fd(), 0, &raw const new, ptr::null_mut())
        })
        .map(drop)
    }
}

impl AsFd for TimerFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
