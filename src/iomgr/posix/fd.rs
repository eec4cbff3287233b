//! An fd that an engine watches.

use super::engine::Key;
use super::manager::Iomgr;
use super::pollable::Pollable;
use super::pollset::Pollset;
use super::sys::Readiness;
use crate::iomgr::readiness::{ReadinessCell, Reason};
use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Weak};
use std::task::{Poll, Waker};

/// The readiness of one fd: what events reach, while the fd itself belongs to its owner.
#[derive(Debug, Default)]
struct Cells {
    read: ReadinessCell,
    write: ReadinessCell,
    error: ReadinessCell,
    /// The peer has closed its side. Set once, before the read cell becomes ready.
    hung_up: AtomicBool,
}

impl Cells {
    /// Takes the wakers that an event fires.
    fn on_event(&self, readiness: Readiness, fired: &mut Vec<Waker>) {
        if readiness.hang_up {
            self.hung_up.store(true, Ordering::Release);
        }
        if readiness.read {
            fired.extend(self.read.set_ready());
        }
        if readiness.write {
            fired.extend(self.write.set_ready());
        }
        if readiness.error {
            fired.extend(self.error.set_ready());
        }
    }
}

/// An fd as pollables know it: what its events reach, while the fd itself is its owner's.
pub(crate) struct Pollee {
    key: Key,
    cells: Cells,
    /// Locked after a pollset's lock; the system is called under it, and nothing else.
    membership: Mutex<Membership>,
}

struct Membership {
    /// `None` once the fd goes: it can be added nowhere any more.
    fd: Option<Arc<OwnedFd>>,
    /// Where it was added, as far as that still is there.
    pollables: Vec<Weak<Pollable>>,
    /// A pollable that has this fd only, if an engine has made one.
    own: Option<Arc<Pollable>>,
}

impl Pollee {
    fn new(key: Key, fd: Arc<OwnedFd>) -> Arc<Self> {
        let membership = Mutex::new(Membership { fd: Some(fd), pollables: Vec::new(), own: None });
        Arc::new(Self { key, cells: Cells::default(), membership })
    }

    pub(super) fn key(&self) -> Key {
        self.key
    }

    /// Adds the fd to a pollable, unless it is there already or has gone.
    pub(super) fn join(&self, pollable: &Arc<Pollable>) -> io::Result<()> {
        let mut membership = self.membership.lock();
        let Membership { fd, pollables, .. } = &mut *membership;
        let Some(fd) = fd else { return Ok(()) };
        if pollables.iter().any(|it| it.as_ptr() == Arc::as_ptr(pollable)) {
            return Ok(());
        }
        pollables.retain(|it| it.strong_count() > 0);
        pollable.insert(fd.as_fd(), self.key)?;
        pollables.push(Arc::downgrade(pollable));
        Ok(())
    }

    /// Takes the fd out of a pollable.
    pub(super) fn part(&self, pollable: &Arc<Pollable>) {
        let mut membership = self.membership.lock();
        let Membership { fd: Some(fd), pollables, .. } = &mut *membership else { return };
        let index = pollables.iter().position(|it| it.as_ptr() == Arc::as_ptr(pollable));
        if let Some(index) = index {
            pollables.swap_remove(index);
            pollable.remove(fd.as_fd(), self.key);
        }
    }

    /// The pollable that has this fd only; `make` makes it when it is first wanted. `None` if the fd
    /// has gone.
    pub(super) fn own_pollable(
        &self,
        make: impl FnOnce() -> io::Result<Arc<Pollable>>,
    ) -> io::Result<Option<Arc<Pollable>>> {
        let mut membership = self.membership.lock();
        let Membership { fd: Some(fd), pollables, own } = &mut *membership else { return Ok(None) };
        if own.is_none() {
            let pollable = make()?;
            pollable.insert(fd.as_fd(), self.key)?;
            pollables.push(Arc::downgrade(&pollable));
            *own = Some(pollable);
        }
        Ok(own.clone())
    }

    /// Whether the fd is its owner's alone again, or closed.
    pub(super) fn has_gone(&self) -> bool {
        self.membership.lock().fd.is_none()
    }

    /// Takes the fd out of every pollable.
    fn leave_all(&self) {
        let (fd, pollables, own) = {
            let mut membership = self.membership.lock();
            let pollables = std::mem::take(&mut membership.pollables);
            (membership.fd.take(), pollables, membership.own.take())
        };
        let Some(fd) = fd else { return };
        for pollable in pollables.iter().filter_map(Weak::upgrade) {
            pollable.remove(fd.as_fd(), self.key);
        }
        drop(own);
    }
}

/// Something that a pollset can be told to wait for.
pub(crate) struct PollTarget {
    iomgr: Arc<Iomgr>,
    pollee: Arc<Pollee>,
}

impl PollTarget {
    /// The threads of `pollset` wait for this too from now on. Costs no system call after the first
    /// pollset, unless the pollset has something else already.
    ///
    /// # Errors
    /// The engine's: too many open files, or too many watches.
    pub(crate) fn add_to(&self, pollset: &Arc<Pollset>) -> io::Result<()> {
        self.iomgr.engine().add_to_pollset(pollset, &self.pollee)
    }
}

/// The fds of one I/O manager by key.
#[derive(Default)]
pub(super) struct FdTable {
    /// Locked before the cells' leaf locks, and before nothing else.
    pollees: Mutex<HashMap<u64, Arc<Pollee>>>,
    /// Keys are never used twice, so that a late event finds nobody.
    next_key: AtomicU64,
}

impl FdTable {
    fn insert(&self, fd: Arc<OwnedFd>) -> Arc<Pollee> {
        let key = self.next_key.fetch_add(1, Ordering::Relaxed);
        let pollee = Pollee::new(Key(key), fd);
        self.pollees.lock().insert(key, pollee.clone());
        pollee
    }

    fn remove(&self, key: Key) {
        let removed = self.pollees.lock().remove(&key.0);
        drop(removed);
    }

    /// Passes an event to its fd, if that is still here.
    pub(super) fn on_event(&self, key: Key, readiness: Readiness, fired: &mut Vec<Waker>) {
        if let Some(pollee) = self.pollees.lock().get(&key.0) {
            pollee.cells.on_event(readiness, fired);
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
        let pollee = iomgr.fds().insert(fd.clone());
        match iomgr.engine().add(&pollee) {
            Ok(()) => Ok(Self { fd: Some(fd), pollee, iomgr: iomgr.clone() }),
            Err(error) => {
                iomgr.fds().remove(pollee.key);
                Err(error)
            }
        }
    }

    pub(super) fn pollee(&self) -> &Arc<Pollee> {
        &self.pollee
    }

    /// What pollsets can be told to wait for; `None` if all wait for everything.
    pub(super) fn poll_target(&self) -> Option<PollTarget> {
        let (iomgr, pollee) = (&self.iomgr, &self.pollee);
        let is_wanted = iomgr.engine().keeps_pollsets_apart();
        is_wanted.then(|| PollTarget { iomgr: iomgr.clone(), pollee: pollee.clone() })
    }

    /// Uses up a readable event, or arms `waker` for the next one. See [`ReadinessCell::arm`].
    pub(crate) fn notify_on_read(&self, waker: &Waker) -> Poll<io::Result<()>> {
        self.pollee.cells.read.arm(waker)
    }

    /// The same for a writable event.
    pub(crate) fn notify_on_write(&self, waker: &Waker) -> Poll<io::Result<()>> {
        self.pollee.cells.write.arm(waker)
    }

    /// The same for an error event.
    #[cfg_attr(
        any(not(test), turnstile_loom),
        expect(dead_code, reason = "error-queue users come with their issue")
    )]
    pub(crate) fn notify_on_error(&self, waker: &Waker) -> Poll<io::Result<()>> {
        self.pollee.cells.error.arm(waker)
    }

    /// Whether the peer has closed its side, so that a short read may be followed by the end of
    /// the stream without another event.
    pub(crate) fn is_hung_up(&self) -> bool {
        self.pollee.cells.hung_up.load(Ordering::Acquire)
    }

    /// Fires everything that is armed, and fails every later arming, with `error`. The fd stays
    /// open until it is dropped or orphaned.
    pub(crate) fn shutdown(&self, error: io::Error) {
        let reason = Reason::new(error);
        for cell in [&self.pollee.cells.read, &self.pollee.cells.write, &self.pollee.cells.error] {
            if let Some(waker) = cell.shutdown(reason.clone()) {
                waker.wake();
            }
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
        self.iomgr.fds().remove(self.pollee.key);
        self.pollee.leave_all();
        if self.iomgr.engine().keeps_pollsets_apart() {
            self.iomgr.graph().lock().forget(self.pollee.key);
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
