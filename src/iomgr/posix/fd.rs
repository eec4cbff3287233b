//! An fd that an engine watches.

use super::engine::Key;
use super::manager::Iomgr;
use super::sys::Readiness;
use crate::iomgr::readiness::{ReadinessCell, Reason};
use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
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

/// The fds of one I/O manager by key.
#[derive(Default)]
pub(super) struct FdTable {
    /// Locked before the cells' leaf locks, and before nothing else.
    cells: Mutex<HashMap<u64, Arc<Cells>>>,
    /// Keys are never used twice, so that a late event finds nobody.
    next_key: AtomicU64,
}

impl FdTable {
    fn insert(&self, cells: Arc<Cells>) -> Key {
        let key = self.next_key.fetch_add(1, Ordering::Relaxed);
        self.cells.lock().insert(key, cells);
        Key(key)
    }

    fn remove(&self, key: Key) {
        self.cells.lock().remove(&key.0);
    }

    /// Passes an event to its fd, if that is still here.
    pub(super) fn on_event(&self, key: Key, readiness: Readiness, fired: &mut Vec<Waker>) {
        if let Some(cells) = self.cells.lock().get(&key.0) {
            cells.on_event(readiness, fired);
        }
    }
}

/// A non-blocking fd in an engine. Dropping it closes it.
pub(crate) struct Fd {
    /// `None` only while `drop` or `orphan` takes it.
    fd: Option<OwnedFd>,
    key: Key,
    cells: Arc<Cells>,
    iomgr: Arc<Iomgr>,
}

impl Fd {
    /// Puts a non-blocking fd into the engine.
    ///
    /// # Errors
    /// The engine's: for epoll, too many watches (ENOSPC) or an fd that cannot be polled (EPERM).
    pub(crate) fn new(iomgr: &Arc<Iomgr>, fd: OwnedFd) -> io::Result<Self> {
        let cells = Arc::new(Cells::default());
        let key = iomgr.fds().insert(cells.clone());
        match iomgr.engine().add(fd.as_fd(), key) {
            Ok(()) => Ok(Self { fd: Some(fd), key, cells, iomgr: iomgr.clone() }),
            Err(error) => {
                iomgr.fds().remove(key);
                Err(error)
            }
        }
    }

    /// Uses up a readable event, or arms `waker` for the next one. See [`ReadinessCell::arm`].
    pub(crate) fn notify_on_read(&self, waker: &Waker) -> Poll<io::Result<()>> {
        self.cells.read.arm(waker)
    }

    /// The same for a writable event.
    pub(crate) fn notify_on_write(&self, waker: &Waker) -> Poll<io::Result<()>> {
        self.cells.write.arm(waker)
    }

    /// The same for an error event.
    #[cfg_attr(
        any(not(test), turnstile_loom),
        expect(dead_code, reason = "error-queue users come with their issue")
    )]
    pub(crate) fn notify_on_error(&self, waker: &Waker) -> Poll<io::Result<()>> {
        self.cells.error.arm(waker)
    }

    /// Whether the peer has closed its side, so that a short read may be followed by the end of
    /// the stream without another event.
    pub(crate) fn is_hung_up(&self) -> bool {
        self.cells.hung_up.load(Ordering::Acquire)
    }

    /// Fires everything that is armed, and fails every later arming, with `error`. The fd stays
    /// open until it is dropped or orphaned.
    pub(crate) fn shutdown(&self, error: io::Error) {
        let reason = Reason::new(error);
        for cell in [&self.cells.read, &self.cells.write, &self.cells.error] {
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
        self.detach().expect("only drop and orphan take the fd, and both consume it")
    }

    fn detach(&mut self) -> Option<OwnedFd> {
        let fd = self.fd.take()?;
        self.iomgr.fds().remove(self.key);
        if let Err(error) = self.iomgr.engine().delete(fd.as_fd()) {
            tracing::debug!(%error, "an fd could not be taken out of the polling engine");
        }
        self.shutdown(io::Error::new(io::ErrorKind::NotConnected, "the fd was taken away"));
        Some(fd)
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
