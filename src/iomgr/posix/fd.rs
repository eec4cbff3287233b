//! An fd that an engine watches, in the hands of its owner.

use super::manager::Iomgr;
use super::pollee::{PollTarget, Pollee};
use super::watch::Interest;
use crate::forked;
use crate::iomgr::readiness::Reason;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::task::{Poll, Waker};

/// A non-blocking fd in an engine. Dropping it closes it.
pub(crate) struct Fd {
    /// `None` only while `drop` or `orphan` takes it.
    fd: Option<Arc<OwnedFd>>,
    pollee: Arc<Pollee>,
    iomgr: Arc<Iomgr>,
}

impl Fd {
    /// Puts a non-blocking fd into the engine.
    ///
    /// # Errors
    /// The engine's: for epoll, too many watches (ENOSPC) or an fd that cannot be polled (EPERM).
    pub(crate) fn new(iomgr: &Arc<Iomgr>, fd: OwnedFd) -> io::Result<Self> {
        let fd = Arc::new(fd);
        let (key, cells) = iomgr.fds().insert()?;
        let pollee = Pollee::new(key, cells, fd.clone());
        match iomgr.engine().add(&pollee) {
            Ok(()) => Ok(Self { fd: Some(fd), pollee, iomgr: iomgr.clone() }),
            Err(error) => {
                iomgr.fds().remove(pollee.key());
                Err(error)
            }
        }
    }

    pub(super) fn pollee(&self) -> &Arc<Pollee> {
        &self.pollee
    }

    /// What pollsets can be told to wait for; `None` if all wait for everything.
    pub(super) fn poll_target(&self) -> Option<PollTarget> {
        let is_wanted = self.iomgr.engine().keeps_pollsets_apart();
        is_wanted.then(|| PollTarget::new(&self.iomgr, &self.pollee))
    }

    /// Uses up a readable event, or arms `waker` for the next one, like a readiness cell.
    pub(crate) fn notify_on_read(&self, waker: &Waker) -> Poll<io::Result<()>> {
        self.arm(Interest::READ, waker)
    }

    /// The same for a closure, which reads until the fd would block each time that it runs and then arms
    /// itself again: the event that fires it is used up by that.
    pub(crate) fn notify_once_on_read(&self, waker: Waker) -> Poll<io::Result<()>> {
        self.told(Interest::READ, self.pollee.arm_once(Interest::READ, waker))
    }

    /// Uses up a writable event, or arms `waker` for the next one.
    pub(crate) fn notify_on_write(&self, waker: &Waker) -> Poll<io::Result<()>> {
        self.arm(Interest::WRITE, waker)
    }

    /// The same for an error event.
    #[cfg_attr(
        any(not(test), turnstile_loom),
        expect(dead_code, reason = "error-queue users come with their issue")
    )]
    pub(crate) fn notify_on_error(&self, waker: &Waker) -> Poll<io::Result<()>> {
        self.arm(Interest::ERROR, waker)
    }

    /// Whether the peer has closed its side, so that a short read may be followed by the end of
    /// the stream without another event.
    pub(crate) fn is_hung_up(&self) -> bool {
        self.pollee.is_hung_up()
    }

    /// Whether [`is_hung_up`](Self::is_hung_up) is told of a peer that closes its side only, and not
    /// just of a connection that is broken or closed on both. When this no longer holds, it never will
    /// again, unless the fd could not be had at its second pollable after all, when it is added anew to its
    /// first; what was read before one asks came with events of which it says how they were told.
    pub(crate) fn hears_of_ends(&self) -> bool {
        self.always_hears_of_ends() || !self.pollee.is_shared()
    }

    /// Whether that stays so.
    pub(super) fn always_hears_of_ends(&self) -> bool {
        self.iomgr.hears_of_ends()
    }

    /// Fires everything that is armed, and fails every later arming, with `error`. The fd stays
    /// open until it is dropped or orphaned.
    pub(crate) fn shutdown(&self, error: io::Error) {
        self.pollee.shutdown(&Reason::new(error));
    }

    fn arm(&self, direction: Interest, waker: &Waker) -> Poll<io::Result<()>> {
        self.told(direction, self.pollee.arm(direction, waker))
    }

    /// The engine hears of what waits for it.
    fn told(&self, direction: Interest, armed: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
        if armed.is_pending() && self.iomgr.minds_arming(direction) {
            return self.tell_engine();
        }
        armed
    }

    #[inline(never)]
    fn tell_engine(&self) -> Poll<io::Result<()>> {
        match self.iomgr.engine().armed(&self.pollee) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Takes the fd out of the engine and hands it back, open.
    #[cfg_attr(
        any(not(test), turnstile_loom),
        expect(dead_code, reason = "a DNS library's fds need it")
    )]
    pub(crate) fn orphan(mut self) -> OwnedFd {
        self.detach().expect("no pollable holds on to an fd that it was taken out of")
    }

    fn detach(&mut self) -> Option<OwnedFd> {
        let fd = self.fd.take()?;
        if forked::is_forked() {
            // It is watched in the parent, by sets that are shared.
            return None;
        }
        self.pollee.leave_all();
        if self.iomgr.engine().keeps_pollsets_apart() {
            self.iomgr.graph().lock().forget(self.pollee.key());
        }
        self.shutdown(io::Error::new(io::ErrorKind::NotConnected, "the fd was taken away"));
        // Nobody asks for it by this name any more.
        self.iomgr.fds().remove(self.pollee.key());
        Arc::into_inner(fd)
    }
}

impl AsFd for Fd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_ref().expect("only drop and orphan take the fd, and both consume it").as_fd()
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        drop(self.detach());
    }
}
