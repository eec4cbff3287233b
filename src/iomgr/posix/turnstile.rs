//! Who polls: one thread of those that wait, and who comes after it.
//!
//! ```text
//!   neighbourhood 0        neighbourhood 1        (one a core; lists of pollsets with waiters)
//!   pollset A              pollset C
//!    worker a1 (polls)      worker c1 (waits)     (a worker is a thread inside `enter`)
//!    worker a2 (waits)
//! ```
//!
//! **How a thread becomes the poller.** A thread that comes to a turnstile nobody polls takes the
//! role at once. Otherwise it waits on a condition variable of its own. The poller gives the role
//! up when it leaves, before it runs any closure: to a worker that waits in the same pollset, else
//! to one of the first pollset that a scan of the neighbourhoods finds, else to nobody.
//!
//! **Why no poller is lost** (grpc#12413). A newcomer makes itself visible (list, then `waiting`)
//! *before* it looks at `has_poller` for the last time; the leaving poller clears `has_poller`
//! *before* it looks for visible workers. Both orders are sequentially consistent, so one of the
//! two sees the other. The loom models check it.
//!
//! Lock order: neighbourhood, then pollset.

use crate::sync::{
    AtomicBool, AtomicU8, AtomicUsize, Condvar, Mutex, MutexGuard, Ordering::SeqCst,
};
#[cfg(not(turnstile_loom))]
use std::cell::RefCell;
use std::mem;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

/// Must leave: somebody kicked it.
const KICKED: u8 = 1;
/// Has the poller's role.
const POLLS: u8 = 2;

/// A thread inside [`Turnstile::enter`] or in the poller's seat.
struct Worker {
    /// `KICKED | POLLS` bits. Written under the lock of the worker's pollset; the poller reads it
    /// without, and so it is sequentially consistent with the flag that says it is asleep.
    state: AtomicU8,
    /// Goes with the lock of the worker's pollset.
    changed: Condvar,
}

impl Worker {
    fn new() -> Self {
        Self { state: AtomicU8::new(0), changed: Condvar::new() }
    }

    /// This thread's worker, fresh again.
    fn of_this_thread() -> Arc<Self> {
        #[cfg(not(turnstile_loom))]
        let spare = SPARE_WORKER.take();
        // A model's objects must not outlive one run of it.
        #[cfg(turnstile_loom)]
        let spare: Option<Arc<Self>> = None;
        let worker = spare.unwrap_or_else(|| Arc::new(Self::new()));
        worker.state.store(0, SeqCst);
        worker
    }

    fn is_waiting(&self) -> bool {
        self.state.load(SeqCst) == 0
    }

    fn polls(&self) -> bool {
        self.state.load(SeqCst) & POLLS != 0
    }

    fn is_kicked(&self) -> bool {
        self.state.load(SeqCst) & KICKED != 0
    }

    /// Under the lock of the worker's pollset.
    fn set(&self, bit: u8) {
        self.state.fetch_or(bit, SeqCst);
    }

    /// The same for one that waits on its condvar.
    fn set_and_wake(&self, bit: u8) {
        self.set(bit);
        self.changed.notify_one();
    }
}

#[cfg(not(turnstile_loom))]
thread_local! {
    /// The worker of this thread while it is not in use, so that a wait allocates nothing.
    static SPARE_WORKER: RefCell<Option<Arc<Worker>>> = const { RefCell::new(None) };
}

/// A set of workers that wait for the same events, in the sense that a kick wakes one of them.
pub(crate) struct Pollset {
    /// Locked after a neighbourhood's lock, before a queue's.
    state: Mutex<State>,
    /// How many threads are inside, counted before they look whether there is work, so that who
    /// makes work and then sees 0 need not lock.
    present: AtomicUsize,
}

#[derive(Default)]
struct State {
    /// Those whose worker is in a condvar wait or in the poller's seat.
    workers: Vec<Arc<Worker>>,
    /// The neighbourhood that lists this pollset: set under both locks.
    neighbourhood: Option<usize>,
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

    fn waiting(&self) -> Option<&Arc<Worker>> {
        self.workers.iter().find(|worker| worker.is_waiting())
    }
}

/// What a kick did, which tells its caller whether the sleeping poller must be interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Kicked {
    /// A worker that waits on its condvar was woken, or there was none to wake.
    Done,
    /// The poller must leave its wait.
    Poller,
}

impl Pollset {
    pub(crate) fn new() -> Arc<Self> {
        let present = AtomicUsize::new(0);
        // loom takes an initial value for older than sequential consistency, unlike C++ and Rust.
        #[cfg(turnstile_loom)]
        present.store(0, SeqCst);
        Arc::new(Self { state: Mutex::default(), present })
    }

    /// Whether a thread is inside, or about to look whether there is work for it.
    pub(crate) fn is_occupied(&self) -> bool {
        self.present.load(SeqCst) > 0
    }

    /// Makes one worker leave: one that waits, else the one that polls. With no worker here, the
    /// next one to come leaves at once.
    pub(crate) fn kick(&self) -> Kicked {
        let mut state = self.state.lock();
        if let Some(worker) = state.waiting() {
            worker.set_and_wake(KICKED);
            return Kicked::Done;
        }
        match state.workers.iter().find(|worker| !worker.is_kicked()) {
            Some(poller) => {
                poller.set(KICKED);
                Kicked::Poller
            }
            None => {
                state.kick_kept = state.workers.is_empty();
                Kicked::Done
            }
        }
    }

    /// Makes every worker leave.
    pub(crate) fn kick_all(&self) -> Kicked {
        Self::kick_everybody(&self.state.lock())
    }

    fn kick_everybody(state: &State) -> Kicked {
        let mut result = Kicked::Done;
        for worker in &state.workers {
            if worker.polls() {
                result = Kicked::Poller;
            }
            worker.set_and_wake(KICKED);
        }
        result
    }

    /// Makes every worker leave and lets none in again. `done` is woken once, when the last has
    /// left.
    pub(crate) fn shutdown(&self, done: &Waker) -> Kicked {
        let mut state = self.state.lock();
        if !matches!(state.phase, Phase::Open) {
            return Kicked::Done;
        }
        if state.workers.is_empty() {
            state.phase = Phase::Closed;
            drop(state);
            done.wake_by_ref();
            return Kicked::Done;
        }
        state.phase = Phase::Closing(done.clone());
        Self::kick_everybody(&state)
    }
}

/// The role of the poller and the waiters that may inherit it.
pub(crate) struct Turnstile {
    /// Whether a worker has the poller's role.
    has_poller: AtomicBool,
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
    pub(crate) fn new(cores: usize, core: fn() -> usize) -> Self {
        let waiting = AtomicUsize::new(0);
        // As in `Pollset::new`.
        #[cfg(turnstile_loom)]
        waiting.store(0, SeqCst);
        Self {
            has_poller: AtomicBool::new(false),
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

    /// Waits until this thread is the poller, and then gives it the poller's seat; or gives `None`
    /// when it was kicked, when `deadline` passed, or when `is_idle` says that there is work (it
    /// is asked once, after which a kick is noticed).
    pub(crate) fn enter<'a>(
        &'a self,
        pollset: &'a Arc<Pollset>,
        deadline: Option<Instant>,
        is_idle: impl FnOnce() -> bool,
    ) -> Option<Seat<'a>> {
        let mut state = pollset.state.lock();
        pollset.present.fetch_add(1, SeqCst);
        let must_leave = mem::take(&mut state.kick_kept) || !matches!(state.phase, Phase::Open);
        if must_leave || !is_idle() {
            pollset.present.fetch_sub(1, SeqCst);
            return None;
        }
        let worker = Worker::of_this_thread();
        state.workers.push(worker.clone());
        if self.claim() {
            worker.set(POLLS);
        } else {
            state = self.wait_turn(pollset, state, &worker, deadline);
        }
        let seat = Seat { turnstile: self, pollset, worker };
        let polls = seat.worker.polls();
        drop(state);
        // Dropping the seat leaves the pollset, and hands on the role if it came with a kick.
        polls.then_some(seat)
    }

    /// Takes the role if nobody has it.
    fn claim(&self) -> bool {
        self.has_poller.compare_exchange(false, true, SeqCst, SeqCst).is_ok()
    }

    /// Waits on the worker's condvar until it has the role, was kicked, or the deadline passed.
    fn wait_turn<'a>(
        &self,
        pollset: &'a Arc<Pollset>,
        mut state: MutexGuard<'a, State>,
        worker: &Worker,
        deadline: Option<Instant>,
    ) -> MutexGuard<'a, State> {
        if state.neighbourhood.is_none() {
            drop(state);
            let index = (self.core)() % self.neighbourhoods.len();
            let mut neighbourhood = self.neighbourhoods[index].lock();
            state = pollset.state.lock();
            if state.neighbourhood.is_none() {
                state.neighbourhood = Some(index);
                neighbourhood.push(pollset.clone());
            }
        }
        self.waiting.fetch_add(1, SeqCst);
        // The poller may have left before it could see this worker.
        if worker.is_waiting() && self.claim() {
            worker.set(POLLS);
        }
        while worker.is_waiting() && deadline.is_none_or(|deadline| deadline > Instant::now()) {
            state = worker.changed.wait_until(state, deadline);
        }
        self.waiting.fetch_sub(1, SeqCst);
        state
    }

    /// Takes the worker out of its pollset and, if it has the poller's role, hands that on.
    fn leave(&self, pollset: &Arc<Pollset>, worker: &Arc<Worker>) {
        let mut state = pollset.state.lock();
        state.workers.retain(|other| !Arc::ptr_eq(other, worker));
        pollset.present.fetch_sub(1, SeqCst);
        let mut is_vacant = false;
        if worker.polls() {
            match state.waiting() {
                Some(heir) => heir.set_and_wake(POLLS),
                None => {
                    self.has_poller.swap(false, SeqCst);
                    is_vacant = true;
                }
            }
        }
        let is_listed = state.neighbourhood.filter(|_| state.waiting().is_none());
        let done = state.close_if_empty();
        drop(state);
        if let Some(index) = is_listed {
            self.unlist(pollset, index);
        }
        if is_vacant && self.waiting.load(SeqCst) > 0 {
            self.appoint();
        }
        if let Some(done) = done {
            done.wake();
        }
    }

    /// Takes a pollset off its neighbourhood's list, unless somebody waits in it again.
    fn unlist(&self, pollset: &Arc<Pollset>, index: usize) {
        let mut neighbourhood = self.neighbourhoods[index].lock();
        let mut state = pollset.state.lock();
        if state.neighbourhood == Some(index) && state.workers.is_empty() {
            state.neighbourhood = None;
            neighbourhood.retain(|other| !Arc::ptr_eq(other, pollset));
        }
    }

    /// Gives the role to the first worker that waits, looking at this core's neighbourhood first.
    fn appoint(&self) {
        let count = self.neighbourhoods.len();
        let first = (self.core)() % count;
        for index in (first..count).chain(0..first) {
            for pollset in self.neighbourhoods[index].lock().iter() {
                let state = pollset.state.lock();
                let Some(heir) = state.waiting() else { continue };
                if self.claim() {
                    heir.set_and_wake(POLLS);
                }
                return;
            }
        }
    }
}

/// The poller's seat: who has it may poll. Leaving it hands the role on.
pub(crate) struct Seat<'a> {
    turnstile: &'a Turnstile,
    pollset: &'a Arc<Pollset>,
    worker: Arc<Worker>,
}

impl Seat<'_> {
    /// Whether the poller must leave its seat.
    pub(crate) fn is_kicked(&self) -> bool {
        self.worker.is_kicked()
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.turnstile.leave(self.pollset, &self.worker);
        #[cfg(not(turnstile_loom))]
        let _ = SPARE_WORKER.try_with(|spare| spare.replace(Some(self.worker.clone())));
    }
}
