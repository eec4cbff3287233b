//! Pollsets: threads that wait for the same events, and can be kicked.
//!
//! Where the threads of a pollset wait is its engine's business: at a [`Pollable`], which many
//! pollsets may share. A thread that comes in chooses it and shows itself under one lock, so that a
//! pollset which moves to another pollable kicks everybody who chose the old one (grpc#14217).
//!
//! **Why no kick is lost.** Under the lock it says who is to leave. Then it wakes what that one sleeps in,
//! which ends the wait that is under way or the next one, after which the poller looks, under the lock,
//! whether it was meant. One that has left meanwhile leaves the next poller a wait that finds nothing.
//!
//! Lock order: neighbourhood, then pollset, then what a pollable keeps.

mod state;
#[cfg(all(test, not(turnstile_loom)))]
mod tests;

use super::pollable::{Pollable, Seat};
use super::worker::{Member, Worker};
use crate::sync::{AtomicUsize, Mutex, MutexGuard, Ordering::Relaxed};
use std::mem;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

pub(super) use state::{Left, State};

/// A set of workers that wait for the same events, in the sense that a kick wakes one of them.
#[repr(C)] // For the same reason as its state.
pub(crate) struct Pollset {
    /// How many threads are inside, counted before they look whether there is work, so that who
    /// makes work and then sees 0 need not lock. Changed under the lock; what orders it for those who
    /// read it without is how work is looked for: see [`enter`](Self::enter).
    present: AtomicUsize,
    /// Locked after a neighbourhood's lock, before a queue's.
    state: Mutex<State>,
}

/// When a poller leaves its seat.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaves {
    Now,
    IfKicked,
}

impl Pollset {
    /// An empty pollset, which costs no system call.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), present: AtomicUsize::new(0) })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Whether nobody comes in any more.
    #[cfg(all(test, not(turnstile_loom)))]
    pub(super) fn is_shut_down(&self) -> bool {
        !self.state.lock().is_open()
    }

    /// Whether a thread is inside, or about to look whether there is work for it. Asked after making
    /// work.
    pub(crate) fn is_occupied(&self) -> bool {
        self.present.load(Relaxed) > 0
    }

    /// Waits until this thread is a poller, and then gives it the seat; or gives `None` when it
    /// was kicked, when `deadline` passed, or when `is_idle` says that there is work (it is asked
    /// once, after which a kick is noticed). `home` is where a pollset without fds waits.
    ///
    /// `is_idle` looks under the lock under which work is made, or by a read-modify-write of what making it
    /// is one of: whoever makes work that this misses comes after it, and sees that the pollset is occupied.
    pub(super) fn enter<'a>(
        self: &'a Arc<Self>,
        home: &Arc<Pollable>,
        deadline: Option<Instant>,
        is_idle: impl FnOnce() -> bool,
    ) -> Option<Seat<'a>> {
        let mut state = self.state.lock();
        self.present.store(self.present.load(Relaxed) + 1, Relaxed);
        if state.refuses() || !is_idle() {
            self.count_out();
            return None;
        }
        let worker = state.admit(home);
        let state = worker.pollable().turnstile().take_place(self, state, &worker, deadline);
        let polls = state.polls(&worker);
        drop(state);
        // Dropping the seat leaves the pollset, and hands on the role if it came with a kick.
        let seat = Seat::new(self, worker);
        polls.then_some(seat)
    }

    /// One less is present. Who still sees it here kicks in vain.
    #[inline]
    fn count_out(&self) {
        self.present.store(self.present.load(Relaxed) - 1, Relaxed);
    }

    /// Takes a worker out, and does what that brings about; or gives it back, if it only `leaves` when it
    /// was kicked and it was not.
    pub(super) fn leave(
        self: &Arc<Self>,
        worker: Arc<Worker>,
        leaves: Leaves,
    ) -> Option<Arc<Worker>> {
        let mut state = self.state.lock();
        if leaves == Leaves::IfKicked && !state.is_kicked(&worker) {
            return Some(worker);
        }
        self.count_out();
        match state.take_lone_poller() {
            Some(poller) => self.vacate(state, poller, worker),
            None => self.dismiss(state, worker),
        }
        None
    }

    /// The only one leaves its seat.
    #[inline]
    fn vacate(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        poller: Member,
        worker: Arc<Worker>,
    ) {
        let pollable = worker.pollable();
        pollable.turnstile().role().vacate();
        // Somebody may wait behind it in another pollset, or the source for this.
        let is_heard = pollable.turnstile().has_waiting() || pollable.minds_vacating();
        let left = is_heard.then(|| worker.clone());
        state.spare = Some([poller.into_worker(), worker]);
        drop(state);
        if let Some(worker) = left {
            self.settle(Left::of(worker, true));
        }
    }

    /// One of many leaves.
    #[cold]
    fn dismiss(self: &Arc<Self>, mut state: MutexGuard<'_, State>, worker: Arc<Worker>) {
        let left = state.dismiss(worker);
        drop(state);
        self.settle(left);
    }

    #[cold]
    fn settle(self: &Arc<Self>, left: Left) {
        left.worker.pollable().clone().hand_on(self, left);
    }

    /// Whether it is in a set.
    pub(super) fn is_in(&self, set: u64) -> bool {
        self.state.lock().sets.contains(&set)
    }

    /// It is in this set from now on. False if it was already.
    pub(super) fn note_set(&self, set: u64) -> bool {
        let sets = &mut self.state.lock().sets;
        let is_new = !sets.contains(&set);
        sets.extend(is_new.then_some(set));
        is_new
    }

    /// It is not any more. False if it was not before.
    pub(super) fn forget_set(&self, set: u64) -> bool {
        let sets = &mut self.state.lock().sets;
        let index = sets.iter().position(|it| *it == set);
        index.map(|index| sets.swap_remove(index)).is_some()
    }

    /// The sets that it is in.
    pub(super) fn sets(&self) -> Vec<u64> {
        self.state.lock().sets.clone()
    }

    /// Lets those who come in wait elsewhere, and those who are here come again.
    /// `None` is where nobody has an fd.
    pub(super) fn move_to(
        &self,
        mut state: MutexGuard<'_, State>,
        pollable: Option<Arc<Pollable>>,
    ) {
        let before = (mem::replace(&mut state.pollable, pollable), state.spare.take());
        let listed = state.listed.take();
        let kicked = state.kick_everybody(Member::send_away);
        drop(state);
        if let Some((at, index)) = listed {
            at.turnstile().forget(&at, self, index);
        }
        drop(before);
        kicked.wake();
    }

    /// Makes one worker leave: one that waits, else one that polls. With no worker here, the next
    /// one to come leaves at once.
    pub(crate) fn kick(&self) {
        let kicked = self.state.lock().kick();
        if let Some(pollable) = kicked {
            pollable.wake();
        }
    }

    /// Makes every worker leave.
    pub(crate) fn kick_all(&self) {
        let kicked = self.state.lock().kick_everybody(Member::kick);
        kicked.wake();
    }

    /// Makes every worker leave and lets none in again, and waits for nothing any more. `done` is
    /// woken once, when the last has left.
    pub(crate) fn shutdown(&self, done: &Waker) {
        let mut state = self.state.lock();
        if !state.is_open() {
            return;
        }
        // Dropped without the lock: it may be this pollset's alone.
        let before = (state.pollable.take(), state.spare.take());
        let is_empty = state.close(done);
        let kicked = state.kick_everybody(Member::send_away);
        drop(state);
        drop(before);
        kicked.wake();
        if is_empty {
            done.wake_by_ref();
        }
    }
}
