//! A thread in a pollset: where it waits, and what others ask of it.

use super::pollable::Pollable;
use crate::sync::{Condvar, MutexGuard};
use std::sync::Arc;
use std::time::Instant;

/// A thread inside [`Pollset::enter`](super::pollset::Pollset::enter) or in the poller's seat.
pub(super) struct Worker {
    /// Goes with the lock of the worker's pollset.
    changed: Condvar,
    /// Where it waits.
    pollable: Arc<Pollable>,
}

impl Worker {
    /// One that waits at `pollable`.
    #[cold]
    pub(super) fn at(pollable: &Arc<Pollable>) -> Arc<Self> {
        Arc::new(Self { changed: Condvar::new(), pollable: pollable.clone() })
    }

    #[inline]
    pub(super) fn pollable(&self) -> &Arc<Pollable> {
        &self.pollable
    }

    /// Waits on its condvar until `is_over`, or the deadline passes.
    pub(super) fn wait<'a, T>(
        &self,
        mut state: MutexGuard<'a, T>,
        deadline: Option<Instant>,
        is_over: impl Fn(&T) -> bool,
    ) -> MutexGuard<'a, T> {
        while !is_over(&state) && deadline.is_none_or(|deadline| deadline > Instant::now()) {
            state = self.changed.wait_until(state, deadline);
        }
        state
    }
}

/// What its pollset knows of a worker, under its lock.
pub(super) struct Member {
    worker: Arc<Worker>,
    /// It has the poller's role.
    polls: bool,
    /// It must leave: somebody kicked it.
    is_kicked: bool,
    /// Its pollset waits elsewhere now, or never again: it was kicked for that.
    is_astray: bool,
}

impl Member {
    /// Somebody who comes in, and waits for the role.
    #[inline]
    pub(super) fn new(worker: Arc<Worker>) -> Self {
        Self { worker, polls: false, is_kicked: false, is_astray: false }
    }

    pub(super) fn into_worker(self) -> Arc<Worker> {
        self.worker
    }

    pub(super) fn is(&self, worker: &Worker) -> bool {
        std::ptr::eq(&raw const *self.worker, worker)
    }

    /// Whether it waits at `pollable`, on its condvar or in the poller's seat.
    pub(super) fn is_at(&self, pollable: &Arc<Pollable>) -> bool {
        Arc::ptr_eq(&self.worker.pollable, pollable)
    }

    /// On its condvar, for the role.
    pub(super) fn is_waiting(&self) -> bool {
        !self.polls && !self.is_kicked
    }

    pub(super) fn polls(&self) -> bool {
        self.polls
    }

    /// It polls where those do who come to its pollset now.
    pub(super) fn polls_here(&self) -> bool {
        self.polls && !self.is_astray
    }

    pub(super) fn is_kicked(&self) -> bool {
        self.is_kicked
    }

    pub(super) fn is_astray(&self) -> bool {
        self.is_astray
    }

    /// Gives it the poller's role. Whoever waits on a condvar is woken by the caller.
    pub(super) fn appoint(&mut self) {
        self.polls = true;
    }

    /// The same for one that waits on its condvar.
    pub(super) fn appoint_and_wake(&mut self) {
        self.appoint();
        self.worker.changed.notify_one();
    }

    /// Makes it leave. Gives what the caller is to wake for that, without the lock: a poller that was not
    /// kicked before sleeps there, or is about to.
    #[must_use]
    pub(super) fn kick(&mut self) -> Option<Arc<Pollable>> {
        let was_kicked = std::mem::replace(&mut self.is_kicked, true);
        if !self.polls {
            self.worker.changed.notify_one();
        }
        (self.polls && !was_kicked).then(|| self.worker.pollable.clone())
    }

    /// The same, as its pollset waits elsewhere from now on, or never again.
    #[must_use]
    pub(super) fn send_away(&mut self) -> Option<Arc<Pollable>> {
        self.is_astray = true;
        self.kick()
    }
}
