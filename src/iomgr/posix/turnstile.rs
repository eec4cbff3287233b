//! Who polls: one thread of those that wait for the same thing, and who comes after it.
//!
//! ```text
//!   neighbourhood 0        neighbourhood 1        (one a core; lists of pollsets with waiters)
//!   pollset A              pollset C
//!    worker a1 (polls)      worker c1 (waits)     (a worker is a thread inside `Pollset::enter`)
//!    worker a2 (waits)
//! ```
//!
//! **How a thread becomes the poller.** A thread that comes to a turnstile nobody polls takes the
//! role at once. Otherwise it waits on a condition variable of its own. The poller gives the role
//! up when it leaves, before it runs any closure: to a worker that waits in the same pollset, else
//! to one of the first pollset that a scan of the neighbourhoods finds, else to nobody.
//!
//! **Why no poller is lost** (grpc#12413). A newcomer makes itself visible (list, then `waiting`)
//! *before* it looks at the [`Role`] for the last time; the leaving poller gives that up *before* it looks
//! for visible workers. Both orders are sequentially consistent, so one of the two sees the other. The
//! loom models check it.
//!
//! Lock order: neighbourhood, then pollset.

use super::pollable::Pollable;
use super::pollset::{Left, Pollset, State};
use super::role::Role;
use super::worker::Worker;
use crate::sync::{AtomicUsize, Mutex, MutexGuard, Ordering::SeqCst};
use std::sync::Arc;
use std::time::Instant;

/// The role of a pollable's poller and the waiters that may inherit it.
#[repr(align(64))] // Who kicks its poller reads what is beside it, and nothing that each wait writes.
pub(super) struct Turnstile {
    role: Role,
    /// How many workers wait on condvars.
    waiting: AtomicUsize,
    /// The pollsets with waiters, spread by core so that threads on different cores rarely meet.
    /// Locked before a pollset's state.
    neighbourhoods: Box<[Mutex<Vec<Arc<Pollset>>>]>,
    /// The core that the calling thread runs on.
    core: fn() -> usize,
}

impl Turnstile {
    /// A turnstile with one neighbourhood for each of `cores`.
    pub(super) fn new(cores: usize, core: fn() -> usize) -> Self {
        let waiting = AtomicUsize::new(0);
        // As in `Role::new`.
        #[cfg(turnstile_loom)]
        waiting.store(0, SeqCst);
        Self {
            role: Role::new(),
            waiting,
            neighbourhoods: (0..cores.max(1)).map(|_| Mutex::default()).collect(),
            core,
        }
    }

    /// How many workers wait for the role.
    #[cfg(all(test, not(turnstile_loom)))]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(SeqCst)
    }

    /// Gives a worker, which its pollset shows already, the role if nobody has it; else waits until
    /// it inherits it, is kicked, or the deadline passes.
    pub(super) fn take_place<'a>(
        &self,
        pollset: &'a Arc<Pollset>,
        mut state: MutexGuard<'a, State>,
        worker: &Worker,
        deadline: Option<Instant>,
    ) -> MutexGuard<'a, State> {
        if self.role.claim_asleep() {
            state.appoint(worker);
            return state;
        }
        self.stand_behind(pollset, state, worker, deadline)
    }

    #[cold]
    fn stand_behind<'a>(
        &self,
        pollset: &'a Arc<Pollset>,
        mut state: MutexGuard<'a, State>,
        worker: &Worker,
        deadline: Option<Instant>,
    ) -> MutexGuard<'a, State> {
        if !state.is_listed_at(worker.pollable()) {
            drop(state);
            state = self.list(pollset, worker);
        }
        self.waiting.fetch_add(1, SeqCst);
        // The poller may have left before it could see this worker.
        if state.is_waiting(worker) && self.role.claim_asleep() {
            state.appoint(worker);
        }
        let state = worker.wait(state, deadline, |state| !state.is_waiting(worker));
        self.waiting.fetch_sub(1, SeqCst);
        state
    }

    /// The poller's role.
    #[inline]
    pub(super) fn role(&self) -> &Role {
        &self.role
    }

    /// Whether workers wait for the role.
    #[inline]
    pub(super) fn has_waiting(&self) -> bool {
        self.waiting.load(SeqCst) > 0
    }

    /// After a worker has left its pollset: hands on the role, if it had that. True if nobody takes it.
    pub(super) fn hand_on(&self, pollset: &Arc<Pollset>, left: &Left) -> bool {
        let pollable = left.worker.pollable();
        if let Some(index) = left.listed {
            self.unlist(pollable, pollset, index);
        }
        let has_heir = left.is_vacant && self.has_waiting() && self.appoint(pollable);
        left.is_vacant && !has_heir
    }

    /// Puts a pollset on the list of this core's neighbourhood, if it is on none. A worker that was
    /// kicked meanwhile does not wait, and its pollset may wait elsewhere by now.
    fn list<'a>(&self, pollset: &'a Arc<Pollset>, worker: &Worker) -> MutexGuard<'a, State> {
        let pollable = worker.pollable();
        let index = (self.core)() % self.neighbourhoods.len();
        let mut neighbourhood = self.neighbourhoods[index].lock();
        let mut state = pollset.lock();
        if state.is_waiting(worker) && !state.is_listed_at(pollable) {
            state.listed = Some((pollable.clone(), index));
            neighbourhood.push(pollset.clone());
        }
        state
    }

    /// Takes a pollset off its neighbourhood's list, unless somebody is in it again.
    fn unlist(&self, pollable: &Arc<Pollable>, pollset: &Arc<Pollset>, index: usize) {
        let mut neighbourhood = self.neighbourhoods[index].lock();
        let mut state = pollset.lock();
        // It may have been listed elsewhere meanwhile.
        if state.is_listed_in(pollable, index) && !state.has_any_at(pollable) {
            state.listed = None;
            neighbourhood.retain(|other| !Arc::ptr_eq(other, pollset));
        }
    }

    /// Takes a pollset that has moved to another pollable off the list, unless it is back.
    pub(super) fn forget(&self, pollable: &Arc<Pollable>, pollset: &Pollset, index: usize) {
        let mut neighbourhood = self.neighbourhoods[index].lock();
        if pollset.lock().is_listed_in(pollable, index) {
            return;
        }
        neighbourhood.retain(|other| !std::ptr::eq(&raw const **other, pollset));
    }

    /// Gives the role to the first worker that waits, looking at this core's neighbourhood first.
    /// False if none does.
    fn appoint(&self, pollable: &Arc<Pollable>) -> bool {
        let count = self.neighbourhoods.len();
        let first = (self.core)() % count;
        for index in (first..count).chain(0..first) {
            for pollset in self.neighbourhoods[index].lock().iter() {
                let mut state = pollset.lock();
                let Some(heir) = state.waiting_at(pollable) else { continue };
                if self.role.claim_awake() {
                    heir.appoint_and_wake();
                }
                return true;
            }
        }
        false
    }
}
