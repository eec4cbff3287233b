//! The engine epollex: a pollset waits for its own fds, and costs no epoll set before it needs one.
//!
//! ```text
//!   pollset A      pollset B   pollset C      pollset D
//!   (no fd)        (fd 7)      (fd 7)         (fds 7, 8, 9)
//!      |               \          |              |
//!    EMPTY             FD pollable of 7        MULTI pollable of D
//!    one of the        one for each fd,        one for each pollset
//!    process           made when it is         with several fds
//!                      the only one of
//!                      some pollset
//! ```
//!
//! **How a thread becomes the poller.** Each pollable has an epoll set and a turnstile: one of the
//! threads that wait at it is in epoll_wait, so that several threads poll at once, each for other
//! fds. The next one at a pollable is chosen as everywhere (`super::turnstile`), among the pollsets
//! that wait there.
//!
//! **How a call costs no epoll set.** The queue of a call has a pollset, to which the connection's fd
//! is added. It moves from EMPTY to the connection's FD pollable, which is there already. Only a
//! pollset that gets a second fd makes an epoll set, once, and never goes back. Whoever waits in a
//! pollset that moves is kicked, and comes again at the other place (grpc#14217).
//!
//! An fd may so be in several epoll sets. It is there with EPOLLEXCLUSIVE, so that an event wakes one
//! thread; the others' sets report it too when somebody waits for them next, which is harmless. Every
//! set also has two fds of the process: the beacon, which calls any one of those that sleep, and the
//! clock, which expires with the earliest timer.

use super::engine::PollingEngine;
use super::epoll_set::EpollSet;
use super::fd::Pollee;
use super::pollable::Pollable;
use super::pollset::Pollset;
use super::sys::{self, EventFd, TimerFd};
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
        let source = EpollSet::one_of_many([beacon.as_fd(), clock.as_fd()])?;
        let home = Pollable::shared(Box::new(source), cores, sys::current_cpu);
        Ok(Self { beacon, clock, home })
    }

    fn epoll_set(&self) -> io::Result<Box<EpollSet>> {
        EpollSet::one_of_many([self.beacon.as_fd(), self.clock.as_fd()]).map(Box::new)
    }

    /// FD: the pollable that has only this fd, and is made when it is first wanted. `None` if the fd
    /// has gone.
    fn pollable_of(&self, pollee: &Arc<Pollee>) -> io::Result<Option<Arc<Pollable>>> {
        pollee.own_pollable(|| Ok(Pollable::of_one(self.epoll_set()?, Arc::downgrade(pollee))))
    }

    /// MULTI: a pollable with these two, for one pollset.
    fn pollable_of_both(&self, first: &Pollee, second: &Pollee) -> io::Result<Arc<Pollable>> {
        let pollable = Pollable::of_many(self.epoll_set()?);
        pollable.add(first)?;
        pollable.add(second)?;
        Ok(pollable)
    }
}

impl PollingEngine for Epollex {
    fn name(&self) -> &'static str {
        "epollex"
    }

    fn home(&self) -> &Arc<Pollable> {
        &self.home
    }

    fn add(&self, _pollee: &Pollee) -> io::Result<()> {
        Ok(())
    }

    fn add_to_pollset(&self, pollset: &Arc<Pollset>, pollee: &Arc<Pollee>) -> io::Result<()> {
        let state = pollset.lock();
        let only = match state.pollable() {
            None => None,
            Some(pollable) => match pollable.only() {
                None => return pollable.add(pollee),
                Some(only) => only.upgrade().filter(|only| !only.has_gone()),
            },
        };
        let next = match only {
            None => self.pollable_of(pollee)?,
            Some(only) if Arc::ptr_eq(&only, pollee) => None,
            Some(only) => Some(self.pollable_of_both(&only, pollee)?),
        };
        if let Some(next) = next {
            pollset.move_to(state, Some(next));
        }
        Ok(())
    }

    fn remove_from_pollset(&self, pollset: &Arc<Pollset>, pollee: &Arc<Pollee>) {
        let state = pollset.lock();
        let Some(pollable) = state.pollable() else { return };
        match pollable.only().map(Weak::upgrade) {
            None => pollee.part(pollable),
            Some(Some(only)) if Arc::ptr_eq(&only, pollee) => {
                pollset.move_to(state, None);
            }
            Some(_) => {}
        }
    }

    fn wake_any(&self) {
        if let Err(error) = self.beacon.signal() {
            tracing::error!(%error, "no poller can be woken");
        }
    }

    fn keeps_pollsets_apart(&self) -> bool {
        true
    }

    fn set_clock(&self, delay: Duration) -> bool {
        match self.clock.set(delay) {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, "a timer cannot be set");
                false
            }
        }
    }
}
