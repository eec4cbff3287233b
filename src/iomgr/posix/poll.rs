//! The engine poll: poll(2), for systems without anything better.
//!
//! ```text
//!   pollset A      pollset B   pollset C      pollset D       as `super::apart` shows
//!      |               \          |              |
//!    EMPTY             FD of 7                 MULTI of D
//!    [clock]           [clock, 7]              [clock, 7, 8, 9]      lists of members
//!       .                  |                       |   |   :
//!    sleeps            polls 7, read           polls 8, read, and the clock; not 7, which is
//!                                              watched already, and not 9, which is not armed
//! ```
//!
//! **How a thread becomes the poller.** As in `super::apart`: one thread at each list. A wait asks for
//! the directions that are armed, of the members that no other list's wait asks for. Whoever arms an fd
//! that nobody watches calls one that sleeps at a list with it, and so does a poller that leaves for
//! good (`super::poll_list`).
//!
//! Each look costs time for every member. That is poll(2)'s price, and no reason to make it a higher
//! one. An error queue that is never emptied is told of to whoever waits for its fd, as if that could be
//! read or written, each time: poll(2) cannot be asked not to.

use super::apart::Apart;
use super::engine::PollingEngine;
use super::key::Key;
use super::poll_list::PollList;
use super::pollable::Pollable;
use super::pollee::Pollee;
use super::sys::{self, TimerFd};
use super::watch::Interest;
use crate::sync::{AtomicUsize, LoadInOrder};
use std::os::fd::AsFd;
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::Duration;
use std::{io, thread};

pub(crate) struct Poll {
    timer: TimerFd,
    /// The timer as a member of every list, armed from the first time on that it is set: one of those
    /// that sleep watches it.
    clock: Arc<Pollee>,
    /// How many waits are under way.
    sleepers: Arc<AtomicUsize>,
    /// EMPTY.
    home: Arc<Pollable>,
}

impl Poll {
    pub(crate) fn new() -> io::Result<Self> {
        let (timer, sleepers) = (TimerFd::new()?, Arc::new(AtomicUsize::new(0)));
        let clock = Pollee::alone(Key::WAKEUP, Arc::new(timer.as_fd().try_clone_to_owned()?));
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let list = PollList::new(&sleepers)?;
        let home = Pollable::shared(Box::new(list), cores, sys::current_cpu);
        clock.join(&home)?;
        Ok(Self { timer, clock, sleepers, home })
    }

    /// Sees to it that one of those that sleep watches what is armed.
    fn look_after(&self, pollee: &Pollee) {
        if self.sleepers.load_in_order() > 0 && pollee.lacks_watcher() {
            pollee.call_watcher();
        }
    }
}

impl Apart for Poll {
    fn pollable(&self, only: Option<Weak<Pollee>>) -> io::Result<Arc<Pollable>> {
        let pollable = Pollable::apart(Box::new(PollList::new(&self.sleepers)?), only);
        self.clock.join(&pollable)?;
        Ok(pollable)
    }

    fn added(&self, pollee: &Pollee) {
        self.look_after(pollee);
    }
}

impl PollingEngine for Poll {
    fn name(&self) -> &'static str {
        "poll"
    }

    fn home(&self) -> &Arc<Pollable> {
        &self.home
    }

    fn apart(&self) -> Option<&dyn Apart> {
        Some(self)
    }

    fn minds_arming(&self) -> Interest {
        Interest::READ.and(Interest::WRITE).and(Interest::ERROR)
    }

    fn armed(&self, pollee: &Arc<Pollee>) -> io::Result<()> {
        self.look_after(pollee);
        Ok(())
    }

    fn wake_any(&self) {
        self.clock.call_watcher();
    }

    fn set_clock(&self, delay: Duration) -> io::Result<()> {
        self.timer.set(delay)?;
        // No event reaches it, so that it stays armed.
        let _ = self.clock.arm(Interest::READ, Waker::noop());
        self.look_after(&self.clock);
        Ok(())
    }
}
