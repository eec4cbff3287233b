//! An fd as pollables know it: what its events reach, and where it was added.

use super::cells::Cells;
use super::fired::Fired;
use super::key::Key;
use super::manager::Iomgr;
use super::pollable::Pollable;
use super::pollset::Pollset;
use super::sys::Readiness;
use super::watch::{Interest, Watch};
use crate::iomgr::exec_ctx::Run;
use crate::iomgr::readiness::Reason;
use crate::sync::{AtomicBool, Mutex, Ordering};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Weak};
use std::task::{Poll, Waker};

/// An fd as pollables know it: what its events reach, while the fd itself is its owner's.
pub(crate) struct Pollee {
    key: Key,
    cells: Arc<Cells>,
    /// For engines that look only for what is armed.
    watch: Watch,
    /// Somebody has waited to write. Set under the membership's lock.
    writes: AtomicBool,
    /// It has come to a second pollable, where that matters. Set under the membership's lock.
    shared: AtomicBool,
    /// Locked after a pollset's lock; the system is called under it, and leaves are locked. That of an
    /// engine's own fd comes after all others.
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
    /// One with cells that are its own.
    pub(super) fn new(key: Key, cells: Arc<Cells>, fd: Arc<OwnedFd>) -> Arc<Self> {
        let membership = Mutex::new(Membership { fd: Some(fd), pollables: Vec::new(), own: None });
        let (writes, shared) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Self { key, cells, watch: Watch::default(), writes, shared, membership })
    }

    /// One that is in no table.
    pub(super) fn alone(key: Key, fd: Arc<OwnedFd>) -> Arc<Self> {
        let cells = Arc::<Cells>::default();
        cells.begin(key);
        Self::new(key, cells, fd)
    }

    pub(super) fn key(&self) -> Key {
        self.key
    }

    /// Adds the fd to a pollable, unless it is there already or has gone.
    pub(super) fn join(self: &Arc<Self>, pollable: &Arc<Pollable>) -> io::Result<()> {
        let mut membership = self.membership.lock();
        let Membership { fd, pollables, .. } = &mut *membership;
        let Some(fd) = fd else { return Ok(()) };
        if pollables.iter().any(|it| it.as_ptr() == Arc::as_ptr(pollable)) {
            return Ok(());
        }
        self.come_to(pollable, fd, pollables)
    }

    /// Adds the fd to a pollable where it is not.
    fn come_to(
        self: &Arc<Self>,
        pollable: &Arc<Pollable>,
        fd: &Arc<OwnedFd>,
        pollables: &mut Vec<Weak<Pollable>>,
    ) -> io::Result<()> {
        pollables.retain(|it| it.strong_count() > 0);
        // There is no other one before it is shared.
        let first = pollables.first().and_then(Weak::upgrade);
        match first.filter(|first| first.minds_sharing() && !self.is_shared()) {
            Some(first) => self.share(fd, &first, pollable)?,
            None => pollable.insert(self, fd)?,
        }
        pollables.push(Arc::downgrade(pollable));
        Ok(())
    }

    /// The fd, which only `first` has, comes to `second` too, and is shared from now on: at `first` it is
    /// added anew, which tells what is there already.
    ///
    /// The events of an fd that is shared may not tell of its end. So it is that before the system hears of
    /// it: who comes for such an event sees it, and reads until it would block.
    ///
    /// # Errors
    /// The sources'. Then `first` has it as before: that is touched only when `second` has taken the fd,
    /// and gets it back with what `second` gives up.
    fn share(
        self: &Arc<Self>,
        fd: &Arc<OwnedFd>,
        first: &Pollable,
        second: &Pollable,
    ) -> io::Result<()> {
        self.shared.store(true, Ordering::Release);
        second.insert(self, fd).inspect_err(|_| self.shared.store(false, Ordering::Release))?;
        let Err(error) = self.come_anew(first, fd) else { return Ok(()) };
        second.remove(self, fd.as_fd());
        self.shared.store(false, Ordering::Release);
        if let Err(error) = first.insert(self, fd) {
            // The next one that it comes to tries again.
            tracing::error!(%error, "an fd is waited for no more");
        }
        Err(error)
    }

    /// Adds the fd anew to a pollable that has it, where it is to be otherwise than before.
    fn come_anew(self: &Arc<Self>, pollable: &Pollable, fd: &Arc<OwnedFd>) -> io::Result<()> {
        pollable.remove(self, fd.as_fd());
        pollable.insert(self, fd)
    }

    /// Takes the fd out of a pollable.
    pub(super) fn part(&self, pollable: &Arc<Pollable>) {
        let mut membership = self.membership.lock();
        let Membership { fd: Some(fd), pollables, .. } = &mut *membership else { return };
        let index = pollables.iter().position(|it| it.as_ptr() == Arc::as_ptr(pollable));
        if let Some(index) = index {
            pollables.swap_remove(index);
            pollable.remove(self, fd.as_fd());
        }
    }

    /// The pollable that has this fd only; `make` makes it when it is first wanted. `None` if the fd
    /// has gone.
    pub(super) fn own_pollable(
        self: &Arc<Self>,
        make: impl FnOnce() -> io::Result<Arc<Pollable>>,
    ) -> io::Result<Option<Arc<Pollable>>> {
        let mut membership = self.membership.lock();
        let Membership { fd: Some(fd), pollables, own } = &mut *membership else { return Ok(None) };
        if own.is_none() {
            let pollable = make()?;
            self.come_to(&pollable, fd, pollables)?;
            *own = Some(pollable);
        }
        Ok(own.clone())
    }

    /// Whether sources are to tell that it can be written.
    pub(super) fn writes(&self) -> bool {
        self.writes.load(Ordering::Acquire)
    }

    /// Whether it is, or was, at several pollables whose sources mind: see [`Source::minds_sharing`].
    ///
    /// [`Source::minds_sharing`]: super::pollable::Source::minds_sharing
    pub(super) fn is_shared(&self) -> bool {
        self.shared.load(Ordering::Acquire)
    }

    /// From the first time on that somebody waits to write, sources tell when that is possible. For
    /// engines whose sources are not asked before: the fd joins each of them anew, which tells what is
    /// there already.
    ///
    /// # Errors
    /// The source's; then it is tried again the next time.
    pub(super) fn wait_to_write(self: &Arc<Self>) -> io::Result<()> {
        if self.writes() {
            return Ok(());
        }
        let membership = self.membership.lock();
        let Membership { fd: Some(fd), pollables, .. } = &*membership else { return Ok(()) };
        self.writes.store(true, Ordering::Release);
        for pollable in pollables.iter().filter_map(Weak::upgrade) {
            self.come_anew(&pollable, fd)
                .inspect_err(|_| self.writes.store(false, Ordering::Release))?;
        }
        Ok(())
    }

    /// Claims what is armed and not watched by another poller.
    pub(super) fn watch(&self) -> Interest {
        self.watch.claim(self.cells.armed(self.key))
    }

    /// Ends that.
    pub(super) fn unwatch(&self, claimed: Interest) {
        self.watch.release(claimed);
    }

    /// What a poller that claimed `interest` was told.
    pub(super) fn note(&self, interest: Interest, readiness: Readiness) {
        if !readiness.hang_up {
            self.watch.set_over(false);
        } else if interest == Interest::ERROR && !readiness.error {
            // Or it would be told again and again, and nobody who is armed with it.
            self.watch.set_over(true);
        }
    }

    pub(super) fn is_watched(&self) -> bool {
        self.watch.is_watched()
    }

    /// Whether something is armed that no poller watches.
    pub(super) fn lacks_watcher(&self) -> bool {
        self.watch.lacks(self.cells.armed(self.key))
    }

    /// Makes one of the pollers that sleep look again, of those that can watch this fd.
    pub(super) fn call_watcher(&self) {
        let membership = self.membership.lock();
        // They are dropped without the lock, as they may be the last of a pollable.
        let pollables: Vec<_> = membership.pollables.iter().filter_map(Weak::upgrade).collect();
        drop(membership);
        if !pollables.iter().any(|it| it.will_look()) {
            let _ = pollables.iter().any(|it| it.call());
        }
    }

    /// Passes an event on.
    pub(super) fn on_event(&self, readiness: Readiness, fired: &mut Fired) {
        self.cells.on_event(self.key, readiness, fired);
    }

    /// See `ReadinessCell::arm`.
    pub(super) fn arm(&self, direction: Interest, waker: &Waker) -> Poll<io::Result<()>> {
        self.cells.arm(self.key, direction, waker)
    }

    /// See `ReadinessCell::arm_once`.
    pub(super) fn arm_once(&self, direction: Interest, waker: Waker) -> Poll<io::Result<()>> {
        self.cells.arm_once(self.key, direction, waker)
    }

    /// Whether the peer has closed its side.
    pub(super) fn is_hung_up(&self) -> bool {
        self.cells.is_hung_up()
    }

    /// Fires all that is armed, and fails what is armed later.
    pub(super) fn shutdown(&self, reason: &Reason) {
        self.cells.shutdown(self.key, reason);
    }

    /// Whether the fd is its owner's alone again, or closed.
    pub(super) fn has_gone(&self) -> bool {
        self.membership.lock().fd.is_none()
    }

    /// Takes the fd out of every pollable.
    pub(super) fn leave_all(&self) {
        let (fd, pollables, own) = {
            let mut membership = self.membership.lock();
            let pollables = std::mem::take(&mut membership.pollables);
            (membership.fd.take(), pollables, membership.own.take())
        };
        let Some(fd) = fd else { return };
        for pollable in pollables.iter().filter_map(Weak::upgrade) {
            pollable.remove(self, fd.as_fd());
        }
        drop(own);
    }
}

/// Tells those who are armed that something may have happened.
///
/// Scheduled when a pollset stops to wait for the fd, since an event may have gone there that nobody
/// will come for.
impl Run for Pollee {
    fn run(self: Arc<Self>) {
        let mut fired = Fired::default();
        let (read, write, error) = (true, true, true);
        self.on_event(Readiness { read, write, error, hang_up: false }, &mut fired);
        fired.fire();
    }
}

/// Something that a pollset can be told to wait for.
pub(crate) struct PollTarget {
    iomgr: Arc<Iomgr>,
    pollee: Arc<Pollee>,
}

impl PollTarget {
    pub(super) fn new(iomgr: &Arc<Iomgr>, pollee: &Arc<Pollee>) -> Self {
        Self { iomgr: iomgr.clone(), pollee: pollee.clone() }
    }

    /// The threads of `pollset` wait for this too from now on. Costs no system call after the first
    /// pollset, unless the pollset has something else already.
    ///
    /// # Errors
    /// The engine's: too many open files, or too many watches.
    pub(crate) fn add_to(&self, pollset: &Arc<Pollset>) -> io::Result<()> {
        self.iomgr.engine().add_to_pollset(pollset, &self.pollee)
    }
}
