//! eventfd(2): how another thread interrupts one that sleeps in an engine.

use super::{check, check_len};
use crate::forked;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// A counter in the kernel that an engine can wait for.
#[derive(Debug)]
pub(crate) struct EventFd(OwnedFd);

impl EventFd {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: the call takes no pointer.
        let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: the kernel has just given us this fd, and nobody else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Adds one, which makes the fd readable (again, for an edge-triggered waiter).
    pub(crate) fn signal(&self) -> io::Result<()> {
        let signalled = self.signal_once();
        #[cfg(turnstile_loom)]
        model::tell();
        signalled
    }

    fn signal_once(&self) -> io::Result<()> {
        match self.write(1) {
            // The counter is full after 2^64 - 2 signals that nobody read: empty it and go on.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.drain()?;
                self.write(1)
            }
            result => result,
        }
    }

    /// Sets the counter back to 0.
    pub(crate) fn drain(&self) -> io::Result<()> {
        drain(self.0.as_fd())
    }

    fn write(&self, add: u64) -> io::Result<()> {
        forked::check()?;
        let add = add.to_ne_bytes();
        // SAFETY: the pointer and the length describe `add`, which lives through the call.
        check_len(unsafe { libc::write(self.0.as_raw_fd(), add.as_ptr().cast(), add.len()) })
            .map(drop)
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Sets the counter of an eventfd, or of a timerfd, back to 0.
pub(crate) fn drain(fd: BorrowedFd<'_>) -> io::Result<()> {
    forked::check()?;
    let mut count = 0_u64.to_ne_bytes();
    // SAFETY: the pointer and the length describe `count`, which lives through the call.
    let result = unsafe { libc::read(fd.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    match check_len(result) {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ => Ok(()),
    }
}

#[cfg(turnstile_loom)]
pub(super) use model::until_signalled;

/// A model's threads must not sleep in the kernel, where loom does not see them: they sleep here, and
/// look again at each signal.
#[cfg(turnstile_loom)]
mod model {
    use loom::sync::{Condvar, Mutex};
    use std::io;
    use std::time::Duration;

    loom::lazy_static! {
        static ref SIGNALLED: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());
    }

    pub(super) fn tell() {
        let guard = SIGNALLED.0.lock();
        SIGNALLED.1.notify_all();
        drop(guard);
    }

    /// Waits until `ask` has found something, or not at all if the time is over.
    pub(in super::super) fn until_signalled(
        mut ask: impl FnMut() -> io::Result<usize>,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        let mut guard = SIGNALLED.0.lock().expect("no model panics here");
        while ask()? == 0 && timeout != Some(Duration::ZERO) {
            guard = SIGNALLED.1.wait(guard).expect("no model panics here");
        }
        Ok(())
    }
}
