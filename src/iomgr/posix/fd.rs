//! An fd that an engine watches, in the hands of its owner.

use super::engine::Key;
use super::manager::Iomgr;
use super::pollee::{PollTarget, Pollee};
use super::sys::Readiness;
use super::watch::Interest;
use crate::forked;
use crate::iomgr::readiness::Reason;
use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering};
use slab::Slab;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::task::{Poll, Waker};

/// How many parts the table of fds has, so that pollers rarely meet there.
const PARTS: usize = 16;

/// How many bits of a key say where in its part the fd is; the rest of it is never used twice.
const PLACE_BITS: u32 = 24;

/// The fds of one I/O manager by key.
#[derive(Default)]
pub(super) struct FdTable {
    /// Each locked before the cells' leaf locks, and before nothing else.
    parts: [Mutex<Slab<Arc<Pollee>>>; PARTS],
    /// What tells a key from all that were before it, so that a late event finds nobody.
    next_serial: AtomicU64,
}

impl FdTable {
    fn part(&self, key: Key) -> (MutexGuard<'_, Slab<Arc<Pollee>>>, usize) {
        let (serial, place) = (key.0 >> PLACE_BITS, key.0 & ((1 << PLACE_BITS) - 1));
        // Both are small.
        (self.parts[(serial % PARTS as u64) as usize].lock(), place as usize)
    }

    fn insert(&self, fd: Arc<OwnedFd>) -> io::Result<Arc<Pollee>> {
        let serial = self.next_serial.fetch_add(1, Ordering::Relaxed) << PLACE_BITS;
        let (mut part, _) = self.part(Key(serial));
        let entry = part.vacant_entry();
        let place = entry.key() as u64;
        if place >> PLACE_BITS != 0 {
            return Err(io::Error::new(io::ErrorKind::OutOfMemory, "too many sockets"));
        }
        let pollee = Pollee::new(Key(serial | place), fd);
        entry.insert(pollee.clone());
        Ok(pollee)
    }

    /// Takes out an fd that was inserted, once.
    fn remove(&self, key: Key) {
        let (mut part, place) = self.part(key);
        let removed = part.try_remove(place);
        drop(part);
        drop(removed);
    }

    /// How many there are.
    #[cfg(all(test, not(turnstile_loom)))]
    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(|part| part.lock().len()).sum()
    }

    /// Passes an event to its fd, if that is still here.
    pub(super) fn on_event(&self, key: Key, readiness: Readiness, fired: &mut Vec<Waker>) {
        let (part, place) = self.part(key);
        if let Some(pollee) = part.get(place).filter(|pollee| pollee.key() == key) {
            pollee.on_event(readiness, fired);
        }
    }
}

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
        let pollee = iomgr.fds().insert(fd.clone())?;
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
        self.armed(Interest::READ, self.pollee.arm_read(waker))
    }

    /// The same for a writable event.
    pub(crate) fn notify_on_write(&self, waker: &Waker) -> Poll<io::Result<()>> {
        self.armed(Interest::WRITE, self.pollee.arm_write(waker))
    }

    /// The same for an error event.
    #[cfg_attr(
        any(not(test), turnstile_loom),
        expect(dead_code, reason = "error-queue users come with their issue")
    )]
    pub(crate) fn notify_on_error(&self, waker: &Waker) -> Poll<io::Result<()>> {
        self.armed(Interest::ERROR, self.pollee.arm_error(waker))
    }

    /// Whether the peer has closed its side, so that a short read may be followed by the end of
    /// the stream without another event.
    pub(crate) fn is_hung_up(&self) -> bool {
        self.pollee.is_hung_up()
    }

    /// Whether [`is_hung_up`](Self::is_hung_up) is told of a peer that closes its side only, and not
    /// just of a connection that is broken or closed on both. When this no longer holds, it never will
    /// again; what was read before one asks came with events of which it says how they were told.
    pub(crate) fn hears_of_ends(&self) -> bool {
        self.always_hears_of_ends() || !self.pollee.is_shared()
    }

    /// Whether that stays so.
    pub(super) fn always_hears_of_ends(&self) -> bool {
        self.iomgr.engine().hears_of_ends()
    }

    /// Fires everything that is armed, and fails every later arming, with `error`. The fd stays
    /// open until it is dropped or orphaned.
    pub(crate) fn shutdown(&self, error: io::Error) {
        self.pollee.shutdown(&Reason::new(error));
    }

    /// The engine hears of what waits for it.
    fn armed(&self, direction: Interest, answer: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
        match answer {
            Poll::Pending => match self.iomgr.engine().armed(&self.pollee, direction) {
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(Err(error)),
            },
            ready @ Poll::Ready(_) => ready,
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
        self.iomgr.fds().remove(self.pollee.key());
        self.pollee.leave_all();
        if self.iomgr.engine().keeps_pollsets_apart() {
            self.iomgr.graph().lock().forget(self.pollee.key());
        }
        self.shutdown(io::Error::new(io::ErrorKind::NotConnected, "the fd was taken away"));
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
