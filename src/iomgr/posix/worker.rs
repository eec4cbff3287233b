//! A thread in a pollset: what it has, and what others ask of it.

use super::pollable::Pollable;
use super::pollset::State;
use crate::sync::{
    AtomicU8, Condvar, MutexGuard,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::Arc;
use std::time::Instant;

/// Must leave: somebody kicked it.
const KICKED: u8 = 1;
/// Has the poller's role.
const POLLS: u8 = 2;
/// Its pollset waits elsewhere now, or never again: it was kicked for that.
const ASTRAY: u8 = 4;

/// A thread inside [`Pollset::enter`](super::pollset::Pollset::enter) or in the poller's seat.
pub(super) struct Worker {
    /// `KICKED | POLLS | ASTRAY` bits. Written under the lock of the worker's pollset; the poller reads it
    /// without, and so it is sequentially consistent with the role that says it is asleep.
    state: AtomicU8,
    /// Goes with the lock of the worker's pollset.
    changed: Condvar,
    /// Where it waits.
    pollable: Arc<Pollable>,
}

impl Worker {
    /// A new one.
    #[cold]
    pub(super) fn at(pollable: &Arc<Pollable>) -> Arc<Self> {
        let (state, changed) = (AtomicU8::new(0), Condvar::new());
        Arc::new(Self { state, changed, pollable: pollable.clone() })
    }

    pub(super) fn pollable(&self) -> &Arc<Pollable> {
        &self.pollable
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.state.load(SeqCst) == 0
    }

    pub(super) fn polls(&self) -> bool {
        self.state.load(SeqCst) & POLLS != 0
    }

    /// Fresh again, for somebody who comes in. Nobody else has it.
    pub(super) fn begin(&self) {
        self.state.store(0, Relaxed);
    }

    /// It polls where those do who come to its pollset now.
    pub(super) fn polls_here(&self) -> bool {
        self.state.load(SeqCst) & (POLLS | ASTRAY) == POLLS
    }

    /// Those who come to its pollset now wait elsewhere.
    pub(super) fn is_astray(&self) -> bool {
        self.state.load(SeqCst) & ASTRAY != 0
    }

    pub(super) fn is_kicked(&self) -> bool {
        self.state.load(SeqCst) & KICKED != 0
    }

    /// Gives the poller's role to a worker that nobody has seen since its pollset was locked.
    pub(super) fn begin_to_poll(&self) {
        self.state.store(POLLS, Relaxed);
    }

    /// Gives it the poller's role. Under the lock of the worker's pollset.
    pub(super) fn appoint(&self) {
        self.set(POLLS);
    }

    /// The same for one that waits on its condvar.
    pub(super) fn appoint_and_wake(&self) {
        self.set_and_wake(POLLS);
    }

    /// Makes a poller leave, which the caller interrupts. Under the lock of the worker's pollset, as what
    /// follows.
    pub(super) fn kick(&self) {
        self.set(KICKED);
    }

    /// Makes it leave, whatever it does; a poller is to be interrupted, too.
    pub(super) fn kick_and_wake(&self) {
        self.set_and_wake(KICKED);
    }

    /// The same, as its pollset waits elsewhere from now on, or never again.
    pub(super) fn send_away(&self) {
        self.set_and_wake(KICKED | ASTRAY);
    }

    fn set(&self, bits: u8) {
        self.state.fetch_or(bits, SeqCst);
    }

    fn set_and_wake(&self, bits: u8) {
        self.set(bits);
        self.changed.notify_one();
    }

    /// Waits on its condvar until it has the role, was kicked, or the deadline passed.
    pub(super) fn wait<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        deadline: Option<Instant>,
    ) -> MutexGuard<'a, State> {
        while self.is_waiting() && deadline.is_none_or(|deadline| deadline > Instant::now()) {
            state = self.changed.wait_until(state, deadline);
        }
        state
    }
}
