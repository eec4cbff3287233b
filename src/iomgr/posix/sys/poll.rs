//! poll(2).

use super::epoll::Readiness;
use super::eventfd::EventFd;
use super::{check_len, millis};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;
use std::{io, iter};

/// The array that poll(2) takes and fills, kept from call to call.
#[derive(Default)]
pub(crate) struct PollFds(Vec<libc::pollfd>);

impl PollFds {
    /// Waits until one of `fds` is ready for reading or writing, as the flags beside it ask, or has an
    /// error, which needs no asking; or until `wakeup` is signalled; at most `timeout`, for ever with
    /// `None`.
    ///
    /// # Errors
    /// `Interrupted` when a signal came; `OutOfMemory`; `InvalidInput` for more fds than a process may
    /// have open.
    pub(crate) fn wait<'fd>(
        &mut self,
        fds: impl Iterator<Item = (BorrowedFd<'fd>, bool, bool)>,
        wakeup: &'fd EventFd,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        self.0.clear();
        let wakeup = iter::once((wakeup.as_fd(), true, false));
        self.0.extend(fds.chain(wakeup).map(|(fd, read, write)| {
            let read = if read { libc::POLLIN | libc::POLLRDHUP } else { 0 };
            let write = if write { libc::POLLOUT } else { 0 };
            libc::pollfd { fd: fd.as_raw_fd(), events: read | write, revents: 0 }
        }));
        #[cfg(turnstile_loom)]
        return super::eventfd::until_signalled(|| self.ask(Some(Duration::ZERO)), timeout);
        #[cfg(not(turnstile_loom))]
        self.ask(timeout).map(drop)
    }

    /// How many fds have something to tell.
    fn ask(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        let count = libc::nfds_t::try_from(self.0.len()).unwrap_or(libc::nfds_t::MAX);
        // SAFETY: the pointer and the count describe the array, which lives through the call and is
        // all that the kernel writes to.
        let found = unsafe { libc::poll(self.0.as_mut_ptr(), count, millis(timeout)) };
        check_len(found as libc::ssize_t)
    }

    /// What the last wait has found, in the order of its fds, and of the wakeup at the end.
    pub(crate) fn found(&self) -> impl Iterator<Item = Option<Readiness>> {
        self.0.iter().map(|fd| readiness(fd.revents))
    }
}

fn readiness(events: libc::c_short) -> Option<Readiness> {
    let any = |mask: libc::c_short| events & mask != 0;
    let broken = libc::POLLERR | libc::POLLHUP | libc::POLLNVAL;
    (events != 0).then(|| Readiness {
        read: any(libc::POLLIN | libc::POLLRDHUP | broken),
        write: any(libc::POLLOUT | broken),
        error: any(libc::POLLERR | libc::POLLNVAL),
        hang_up: any(libc::POLLRDHUP | broken),
    })
}
