//! The polling engines for `bench/engines`: an I/O manager of one's own for a named engine, places to
//! wait at, and fds to wait for. Thin, so that what is measured is what servers use.

use super::engine::{ENGINES, Preferences};
use super::fd::Fd;
use super::manager::Iomgr;
use super::pollset::Pollset;
use crate::iomgr::deadline::Deadline;
use crate::iomgr::exec_ctx::{ExecCtx, Run};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::task::{Poll, Wake};

/// The names of all engines.
pub fn engines() -> impl Iterator<Item = &'static str> {
    ENGINES.iter().map(|(name, _)| *name)
}

/// An I/O manager that nobody else uses.
#[derive(Clone)]
pub struct Manager(Arc<Iomgr>);

impl Manager {
    /// One with this engine.
    ///
    /// # Errors
    /// As with `GRPC_POLL_STRATEGY`.
    pub fn new(engine: &str) -> io::Result<Self> {
        Ok(Self(Iomgr::new(Preferences::of_program(engine).engine()?)))
    }

    pub(crate) fn iomgr(&self) -> &Arc<Iomgr> {
        &self.0
    }
}

/// A pollset, where a thread waits.
#[derive(Clone)]
pub struct Place {
    iomgr: Arc<Iomgr>,
    pollset: Arc<Pollset>,
}

impl Place {
    /// One without fds.
    pub fn new(manager: &Manager) -> Self {
        Self { iomgr: manager.0.clone(), pollset: Pollset::new() }
    }

    /// Works once, as a queue does that has nothing, and runs what that finds.
    #[inline]
    pub fn work(&self) {
        let _context = ExecCtx::enter();
        self.iomgr.work(&self.pollset, Deadline::NONE, || true);
    }

    /// Makes a thread leave [`work`](Self::work).
    pub fn kick(&self) {
        self.pollset.kick();
    }
}

/// Reads an fd once, and asks for more than there ever is. False if there was nothing.
type Read = fn(BorrowedFd<'_>) -> bool;

/// An fd that is read each time that it is readable, after which a function is called, until this is
/// dropped.
pub struct Watch<F: Fn() + Send + Sync + 'static>(Arc<Watched<F>>);

struct Watched<F> {
    fd: Fd,
    iomgr: Arc<Iomgr>,
    read: Read,
    then: F,
}

impl<F: Fn() + Send + Sync + 'static> Watch<F> {
    /// Threads at `place` wait for the fd, which does not block.
    ///
    /// # Errors
    /// The engine's.
    pub fn new(place: &Place, fd: OwnedFd, read: Read, then: F) -> io::Result<Self> {
        let Place { iomgr, pollset } = place;
        let fd = Fd::new(iomgr, fd)?;
        if let Some(target) = fd.poll_target() {
            target.add_to(pollset)?;
        }
        let watched = Arc::new(Watched { fd, iomgr: iomgr.clone(), read, then });
        watched.read_and_arm();
        Ok(Self(watched))
    }
}

impl<F: Fn() + Send + Sync + 'static> Drop for Watch<F> {
    fn drop(&mut self) {
        // It holds itself while it is armed.
        let _context = ExecCtx::enter();
        self.0.fd.shutdown(io::ErrorKind::NotConnected.into());
    }
}

impl<F: Fn() + Send + Sync + 'static> Watched<F> {
    /// Reads what there is, and arms the fd for what comes next.
    fn read_and_arm(self: &Arc<Self>) {
        loop {
            if self.drain() {
                (self.then)();
            }
            if !matches!(self.fd.notify_once_on_read(self.clone().into()), Poll::Ready(Ok(()))) {
                return;
            }
        }
    }

    /// Reads until the fd is drained, which a short read says where it does to an endpoint (see
    /// `tcp_endpoint`). True if there was something.
    fn drain(&self) -> bool {
        let mut has_read = false;
        while (self.read)(self.fd.as_fd()) {
            has_read = true;
            if self.fd.hears_of_ends() && !self.fd.is_hung_up() {
                break;
            }
        }
        has_read
    }
}

impl<F: Fn() + Send + Sync + 'static> Wake for Watched<F> {
    fn wake(self: Arc<Self>) {
        Iomgr::submit_own(self, |it| &it.iomgr);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.iomgr.submit(self.clone());
    }
}

impl<F: Fn() + Send + Sync + 'static> Run for Watched<F> {
    fn run(self: Arc<Self>) {
        self.read_and_arm();
    }
}
