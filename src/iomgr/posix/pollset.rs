//! Pollsets: threads that wait for the same events, and can be kicked.
//!
//! Where the threads of a pollset wait is its engine's business: at a [`Pollable`], which many
//! pollsets may share. A thread that comes in chooses it and shows itself under one lock, so that a
//! pollset which moves to another pollable kicks everybody who chose the old one (grpc#14217).
//!
//! Lock order: neighbourhood, then pollset, then what a pollable keeps.

use super::pollable::{Pollable, Seat};
use super::worker::Worker;
use crate::sync::{AtomicUsize, Mutex, MutexGuard, Ordering::Relaxed};
use std::mem;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

/// A set of workers that wait for the same events, in the sense that a kick wakes one of them.
pub(crate) struct Pollset {
    /// Locked after a neighbourhood's lock, before a queue's.
    state: Mutex<State>,
    /// How many threads are inside, counted before they look whether there is work, so that who
    /// makes work and then sees 0 need not lock. Changed under the lock; what orders it for those who
    /// read it without is how work is looked for: see [`enter`](Self::enter).
    present: AtomicUsize,
}

#[derive(Default)]
pub(super) struct State {
    /// Those who wait on their condvars or are in a poller's seat.
    workers: Vec<Arc<Worker>>,
    /// One that has left, as the list and as its seat had it: the next one who comes to the same pollable
    /// takes it over.
    spare: Option<(Arc<Worker>, Arc<Worker>)>,
    /// Where those who come in wait; `None` for where nobody has an fd.
    pollable: Option<Arc<Pollable>>,
    /// The pollable whose turnstile lists this pollset, and in which neighbourhood: set under both
    /// locks.
    pub(super) listed: Option<(Arc<Pollable>, usize)>,
    /// The sets that it is in.
    sets: Vec<u64>,
    /// A kick that came when no worker was here.
    kick_kept: bool,
    phase: Phase,
}

#[derive(Default)]
enum Phase {
    #[default]
    Open,
    /// Nobody comes in; the waker is woken when the last worker leaves.
    Closing(Waker),
    Closed,
}

impl State {
    /// Ends a shutdown when the last worker has left.
    fn close_if_empty(&mut self) -> Option<Waker> {
        if !self.workers.is_empty() || !matches!(self.phase, Phase::Closing(_)) {
            return None;
        }
        match mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Closing(done) => Some(done),
            Phase::Open | Phase::Closed => None,
        }
    }

    /// Shows somebody who comes in, and waits at `home` if no fd decides where.
    fn admit(&mut self, home: &Arc<Pollable>) -> Arc<Worker> {
        let pollable = self.pollable.as_ref().unwrap_or(home);
        let (listed, worker) = match self.spare.take() {
            Some(spare) if Arc::ptr_eq(spare.0.pollable(), pollable) => spare,
            _ => {
                let new = Worker::at(pollable);
                (new.clone(), new)
            }
        };
        worker.begin();
        self.workers.push(listed);
        worker
    }

    /// Whether this is a poller with nobody behind it, here or elsewhere, and finds everything as it was
    /// when it comes again.
    fn is_alone(&self, worker: &Worker) -> bool {
        self.workers.len() == 1
            && self.listed.is_none()
            && worker.polls_here()
            && !worker.pollable().turnstile().has_waiting()
    }

    /// Lets it leave. Somebody may have come behind it meanwhile, or the source may want to hear of it.
    fn dismiss_alone(&mut self, worker: Arc<Worker>) -> Option<Left> {
        let turnstile = worker.pollable().turnstile();
        turnstile.role().vacate();
        let is_quiet = !turnstile.has_waiting() && !worker.pollable().minds_vacating();
        let left = (!is_quiet).then(|| Left::of(worker.clone(), true));
        self.spare = self.workers.pop().map(|listed| (listed, worker));
        left
    }

    /// Takes out somebody who leaves, and lets another one here inherit its role.
    #[inline(never)]
    fn dismiss(&mut self, worker: Arc<Worker>) -> Left {
        let index = self.workers.iter().position(|it| Arc::ptr_eq(it, &worker));
        let listed = index.map(|index| self.workers.remove(index));
        self.spare = listed.filter(|_| !worker.is_astray()).map(|it| (it, worker.clone()));
        let (pollable, polled) = (worker.pollable(), worker.polls());
        let heir = self.waiting_at(pollable);
        let is_deserted = heir.is_none() && self.is_listed_at(pollable);
        let listed = self.listed.as_ref().filter(|_| is_deserted).map(|(_, index)| *index);
        let is_vacant = polled && heir.is_none();
        let role = pollable.turnstile().role();
        match heir {
            Some(heir) if polled => {
                role.hand_over();
                heir.appoint_and_wake();
            }
            None if polled => role.vacate(),
            _ => {}
        }
        Left { listed, done: self.close_if_empty(), ..Left::of(worker, is_vacant) }
    }

    /// One that waits on its condvar for a seat at `pollable`.
    pub(super) fn waiting_at(&self, pollable: &Arc<Pollable>) -> Option<&Arc<Worker>> {
        self.workers.iter().find(|it| it.is_waiting() && Arc::ptr_eq(it.pollable(), pollable))
    }

    /// Whether anybody is here for `pollable`.
    pub(super) fn has_any_at(&self, pollable: &Arc<Pollable>) -> bool {
        self.workers.iter().any(|it| Arc::ptr_eq(it.pollable(), pollable))
    }

    /// Whether the turnstile of `pollable` lists this pollset.
    pub(super) fn is_listed_at(&self, pollable: &Arc<Pollable>) -> bool {
        self.listed.as_ref().is_some_and(|(at, _)| Arc::ptr_eq(at, pollable))
    }

    /// The same for one neighbourhood of it.
    pub(super) fn is_listed_in(&self, pollable: &Arc<Pollable>, neighbourhood: usize) -> bool {
        let is_there =
            |(at, index): &(_, usize)| Arc::ptr_eq(at, pollable) && *index == neighbourhood;
        self.listed.as_ref().is_some_and(is_there)
    }

    /// Whether it is not shut down.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// Where those who come in wait, if an fd decides that.
    pub(super) fn pollable(&self) -> Option<&Arc<Pollable>> {
        self.pollable.as_ref()
    }

    /// Makes everybody leave, and gives the pollers that must be interrupted for it.
    #[must_use]
    fn kick_everybody(&self, kick: fn(&Worker)) -> Vec<Arc<Worker>> {
        let pollers = self.workers.iter().filter(|worker| worker.polls()).cloned().collect();
        self.workers.iter().for_each(|worker| kick(worker));
        pollers
    }
}

/// What a worker that has left brings about, to be done without locks.
pub(super) struct Left {
    pub(super) worker: Arc<Worker>,
    /// The worker polled, and nobody in its pollset takes the role.
    pub(super) is_vacant: bool,
    /// Nobody waits at the pollable any more, whose turnstile lists the pollset here.
    pub(super) listed: Option<usize>,
    done: Option<Waker>,
}

impl Left {
    fn of(worker: Arc<Worker>, is_vacant: bool) -> Self {
        Self { worker, is_vacant, listed: None, done: None }
    }

    /// Tells who waits for the last worker to leave.
    pub(super) fn tell(self) {
        self.done.into_iter().for_each(Waker::wake);
    }
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
        let must_leave = mem::take(&mut state.kick_kept) || !state.is_open();
        if must_leave || !is_idle() {
            self.count_out();
            return None;
        }
        let worker = state.admit(home);
        let state = worker.pollable().turnstile().take_place(self, state, &worker, deadline);
        let polls = worker.polls();
        drop(state);
        // Dropping the seat leaves the pollset, and hands on the role if it came with a kick.
        let seat = Seat::new(self, worker);
        polls.then_some(seat)
    }

    /// One less is present. Who still sees it here kicks in vain.
    fn count_out(&self) {
        self.present.store(self.present.load(Relaxed) - 1, Relaxed);
    }

    /// Takes a worker out. Gives what is left to do, if there is anything.
    pub(super) fn leave(&self, worker: Arc<Worker>) -> Option<Left> {
        let mut state = self.state.lock();
        self.count_out();
        match state.is_alone(&worker) {
            true => state.dismiss_alone(worker),
            false => Some(state.dismiss(worker)),
        }
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
        let pollers = state.kick_everybody(Worker::send_away);
        drop(state);
        if let Some((at, index)) = listed {
            at.turnstile().forget(&at, self, index);
        }
        drop(before);
        pollers.iter().for_each(|poller| poller.pollable().interrupt());
    }

    /// Makes one worker leave: one that waits, else one that polls. With no worker here, the next
    /// one to come leaves at once.
    pub(crate) fn kick(&self) {
        let mut state = self.state.lock();
        if let Some(worker) = state.workers.iter().find(|worker| worker.is_waiting()) {
            return worker.kick_and_wake();
        }
        match state.workers.iter().find(|worker| !worker.is_kicked()) {
            Some(poller) => {
                poller.kick();
                let poller = poller.clone();
                drop(state);
                poller.pollable().interrupt();
            }
            None => state.kick_kept = state.workers.is_empty(),
        }
    }

    /// Makes every worker leave.
    pub(crate) fn kick_all(&self) {
        let pollers = self.state.lock().kick_everybody(Worker::kick_and_wake);
        pollers.iter().for_each(|poller| poller.pollable().interrupt());
    }

    /// Makes every worker leave and lets none in again, and waits for nothing any more. `done` is
    /// woken once, when the last has left.
    pub(crate) fn shutdown(&self, done: &Waker) {
        let mut state = self.state.lock();
        if !state.is_open() {
            return;
        }
        // Dropped without the lock: it may be this pollset's alone.
        let pollable = (state.pollable.take(), state.spare.take());
        if state.workers.is_empty() {
            state.phase = Phase::Closed;
            drop(state);
            drop(pollable);
            return done.wake_by_ref();
        }
        state.phase = Phase::Closing(done.clone());
        let pollers = state.kick_everybody(Worker::send_away);
        drop(state);
        drop(pollable);
        pollers.iter().for_each(|poller| poller.pollable().interrupt());
    }
}
