//! The engine epollex: a pollset waits for its own fds, and costs no epoll set before it needs one.
//!
//! ```text
//!   pollset A      pollset B   pollset C      pollset D       as `super::apart` shows
//!      |               \          |              |
//!    EMPTY             FD of 7                 MULTI of D
//!    epoll set         epoll set               epoll set      7 with EPOLLEXCLUSIVE in each of two: an
//!    {}                {7}                     {7, 8, 9}      event wakes one thread; 8 and 9, which are
//!      \________________|_______________________/             in one only, with EPOLLRDHUP
//!              beacon and clock                               in every set, for whoever sleeps
//! ```
//!
//! **How a thread becomes the poller.** As in `super::apart`: one thread is in epoll_wait at each
//! pollable, and the others of its pollsets stand behind it.
//!
//! **An fd in one epoll set** is there with EPOLLRDHUP: an event of bytes tells of the end that is behind
//! them, so that a read that gets less than it asked for is the last one before the next event.
//!
//! **An fd in several** is there with EPOLLEXCLUSIVE, so that an event wakes one thread. EPOLLRDHUP
//! cannot be had with that, and who reads reads on until it would block. When an fd comes to its second set
//! it is marked, comes to that, and is taken out of its first and added anew; it stays marked for good
//! (`Pollee::share`). So no end is missed: who has read asks for the mark then. If there was none, the event
//! that it read for told of an end that came before it, and a later end is an event of its own. The one that
//! goes when the fd is taken out comes again when it is added, as an end can be read.
//!
//! The sets that the kernel asks before that whose thread is woken, and whose own do not sleep, report an
//! event of several too when somebody waits for them next, which is harmless; those behind it never do, so
//! whoever is woken must pass the event on, and an fd that leaves a set counts as ready
//! (`PollsetSet::disconnect`). Since an fd that is ready when it is added wakes who sleeps there, it is
//! there for reading only until somebody has to wait to write. Every set also has two fds of the process:
//! the beacon, which calls any one of those that sleep, and the clock, which expires with the earliest
//! timer.

use super::apart::Apart;
use super::engine::PollingEngine;
use super::epoll_set::EpollSet;
use super::pollable::Pollable;
use super::pollee::Pollee;
use super::sys::{self, EventFd, TimerFd};
use super::watch::Interest;
use std::os::fd::AsFd;
use std::sync::{Arc, Weak};
use std::time::Duration;
use std::{io, thread};

pub(crate) struct Epollex {
    beacon: EventFd,
    clock: TimerFd,
    /// EMPTY.
    home: Arc<Pollable>,
}

impl Epollex {
    /// # Errors
    /// `Unsupported` where the kernel has no EPOLLEXCLUSIVE; too many open files.
    pub(crate) fn new() -> io::Result<Self> {
        sys::probe_exclusive()?;
        let (beacon, clock) = (EventFd::new()?, TimerFd::new()?);
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let set = EpollSet::one_of_many([beacon.as_fd(), clock.as_fd()])?;
        let home = Pollable::shared(Box::new(set), cores, sys::current_cpu);
        Ok(Self { beacon, clock, home })
    }

    fn epoll_set(&self) -> io::Result<EpollSet> {
        EpollSet::one_of_many([self.beacon.as_fd(), self.clock.as_fd()])
    }
}

impl Apart for Epollex {
    fn pollable(&self, only: Option<Weak<Pollee>>) -> io::Result<Arc<Pollable>> {
        Ok(Pollable::apart(Box::new(self.epoll_set()?), only))
    }
}

impl PollingEngine for Epollex {
    fn name(&self) -> &'static str {
        "epollex"
    }

    fn home(&self) -> &Arc<Pollable> {
        &self.home
    }

    fn apart(&self) -> Option<&dyn Apart> {
        Some(self)
    }

    fn minds_arming(&self) -> Interest {
        Interest::WRITE
    }

    fn armed(&self, pollee: &Arc<Pollee>) -> io::Result<()> {
        pollee.wait_to_write()
    }

    /// EPOLLRDHUP cannot be had with EPOLLEXCLUSIVE, which fds have that are in several sets.
    fn hears_of_ends(&self) -> bool {
        false
    }

    fn wake_any(&self) {
        if let Err(error) = self.beacon.signal() {
            tracing::error!(%error, "no poller can be woken");
        }
    }

    fn set_clock(&self, delay: Duration) -> io::Result<()> {
        self.clock.set(delay)
    }
}
