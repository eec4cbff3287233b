//! The engine epoll1: one epoll set for the process.
//!
//! ```text
//!   pollset A   pollset B   pollset C        (lists of workers; adding an fd to one does nothing)
//!        \          |          /
//!         one designated poller              (super::turnstile; the others wait on condvars)
//!                   |
//!             one epoll set  <-- every fd, added once: IN | OUT | RDHUP | ET
//!                   |
//!               wakeup fd    <-- interrupts the poller
//! ```
//!
//! Edge triggering is what lets an fd be added once and never touched again: an event that nobody
//! is armed for is remembered in the fd's readiness cell instead of being reported for ever.

use super::engine::{Key, PollingEngine};
use super::fd::Pollee;
use super::pollable::{Pollable, Source};
use super::pollset::Pollset;
use super::sys::{self, Epoll, EpollEvent, EventFd, Readiness};
use crate::sync::Mutex;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

/// How many events one wait takes at most (C-core's MAX_EPOLL_EVENTS). More than that wait in the
/// kernel for the next call, which does not sleep.
const MAX_EVENTS: usize = 128;

pub(crate) struct Epoll1 {
    home: Arc<Pollable>,
}

impl Epoll1 {
    pub(crate) fn new() -> io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let home = Pollable::shared(Box::new(EpollSet::new()?), cores, sys::current_cpu);
        Ok(Self { home })
    }
}

impl PollingEngine for Epoll1 {
    fn name(&self) -> &'static str {
        "epoll1"
    }

    fn home(&self) -> &Arc<Pollable> {
        &self.home
    }

    fn add(&self, pollee: &Pollee) -> io::Result<()> {
        self.home.add(pollee)
    }

    fn add_to_pollset(&self, _pollset: &Arc<Pollset>, _pollee: &Arc<Pollee>) -> io::Result<()> {
        Ok(())
    }

    fn wake_any(&self) {
        self.home.interrupt();
    }
}

/// The epoll set, and what interrupts who waits for it.
struct EpollSet {
    epoll: Epoll,
    wakeup: EventFd,
    /// Locked by the one thread that waits, for as long as it does.
    buffer: Mutex<Box<[EpollEvent]>>,
}

impl EpollSet {
    fn new() -> io::Result<Self> {
        let epoll = Epoll::new()?;
        let wakeup = EventFd::new()?;
        epoll.add(wakeup.as_fd(), Key::WAKEUP.0)?;
        let buffer = Mutex::new(vec![EpollEvent::EMPTY; MAX_EVENTS].into_boxed_slice());
        Ok(Self { epoll, wakeup, buffer })
    }
}

impl Source for EpollSet {
    fn add(&self, fd: BorrowedFd<'_>, key: Key) -> io::Result<()> {
        self.epoll.add(fd, key.0)
    }

    fn remove(&self, fd: BorrowedFd<'_>, _key: Key) -> io::Result<()> {
        self.epoll.delete(fd)
    }

    fn wait(
        &self,
        timeout: Option<Duration>,
        on_event: &mut dyn FnMut(Key, Readiness),
    ) -> io::Result<()> {
        let mut buffer = self.buffer.lock();
        let count = self.epoll.wait(&mut buffer, timeout)?;
        for event in &buffer[..count] {
            // The wakeup fd is edge triggered too: each signal is an event, and it need not be
            // drained.
            if event.key() != Key::WAKEUP.0 {
                on_event(Key(event.key()), event.readiness());
            }
        }
        Ok(())
    }

    fn wake(&self) -> io::Result<()> {
        self.wakeup.signal()
    }
}
