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

use super::engine::PollingEngine;
use super::epoll_set::EpollSet;
use super::pollable::Pollable;
use super::pollee::Pollee;
use super::sys;
use std::sync::Arc;
use std::{io, thread};

pub(crate) struct Epoll1 {
    home: Arc<Pollable>,
}

impl Epoll1 {
    pub(crate) fn new() -> io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let home = Pollable::shared(Box::new(EpollSet::of_process()?), cores, sys::current_cpu);
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

    fn add(&self, pollee: &Arc<Pollee>) -> io::Result<()> {
        pollee.join(&self.home)
    }
}
