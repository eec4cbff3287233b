//! The I/O manager: one polling engine with its turnstile, fds, timers and inbox.

use super::engine::{self, PollingEngine};
use super::fd::FdTable;
use super::sys;
use super::turnstile::{Kicked, Pollset, Seat, Turnstile};
use crate::iomgr::deadline::Deadline;
use crate::iomgr::exec_ctx::{self, Run};
use crate::iomgr::timers::{TimerId, Timers};
use crate::sync::{AtomicBool, Mutex, Ordering::SeqCst};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};
use std::{io, mem, thread};

/// What a process's completion queues share.
pub(crate) struct Iomgr {
    engine: Box<dyn PollingEngine>,
    turnstile: Turnstile,
    fds: FdTable,
    timers: Timers,
    /// Closures that were scheduled by threads outside any context, and those that were put off.
    /// A leaf lock.
    inbox: Mutex<Vec<Arc<dyn Run>>>,
    /// The poller is asleep, or about to look for the last time whether it must not sleep. Who
    /// clears it must wake the engine.
    asleep: AtomicBool,
    /// Wakers on their way from an event to their flush. Only the poller locks it.
    fired: Mutex<Vec<Waker>>,
}

/// The process's manager, made when the first queue is.
static OF_PROCESS: StdMutex<Option<Arc<Iomgr>>> = StdMutex::new(None);

impl Iomgr {
    /// The process's manager.
    ///
    /// # Errors
    /// Why the engine that the environment asks for does not start; the next call tries again.
    pub(crate) fn of_process() -> io::Result<Arc<Self>> {
        let mut manager = OF_PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(manager) = &*manager {
            return Ok(manager.clone());
        }
        let new = Self::new(engine::from_environment()?);
        *manager = Some(new.clone());
        Ok(new)
    }

    /// A manager around an engine.
    pub(crate) fn new(engine: Box<dyn PollingEngine>) -> Arc<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        // A model must run the same way every time, whatever core it is on.
        #[cfg(turnstile_loom)]
        let cores = cores.min(1);
        Arc::new(Self {
            engine,
            turnstile: Turnstile::new(cores, sys::current_cpu),
            fds: FdTable::default(),
            timers: Timers::default(),
            inbox: Mutex::default(),
            asleep: AtomicBool::new(false),
            fired: Mutex::default(),
        })
    }

    pub(super) fn engine(&self) -> &dyn PollingEngine {
        &*self.engine
    }

    /// How many threads wait for another one that polls.
    #[cfg(all(test, not(turnstile_loom)))]
    pub(super) fn waiting(&self) -> usize {
        self.turnstile.waiting()
    }

    /// The name of the engine.
    pub(crate) fn engine_name(&self) -> &'static str {
        self.engine.name()
    }

    pub(super) fn fds(&self) -> &FdTable {
        &self.fds
    }

    /// Polls, or waits while another thread does, until `deadline` passes, closures were
    /// scheduled on this thread, or a worker of `pollset` was kicked and it is this one.
    ///
    /// `is_idle` is asked once whether there is nothing to do; a kick after that is noticed. The
    /// caller is in an `ExecCtx` and flushes it after this.
    pub(crate) fn work(
        &self,
        pollset: &Arc<Pollset>,
        deadline: Deadline,
        is_idle: impl FnOnce() -> bool,
    ) {
        let until =
            if deadline == Deadline::NOW { Some(Instant::now()) } else { deadline.instant() };
        if let Some(seat) = self.turnstile.enter(pollset, until, is_idle) {
            self.poll(&seat, deadline);
            // Here the seat is left: the next poller is chosen before any closure runs.
        }
    }

    /// Waits for events as the poller.
    fn poll(&self, seat: &Seat<'_>, deadline: Deadline) {
        loop {
            // Swaps rather than stores, since loom orders only these with the other side's swap.
            self.asleep.swap(true, SeqCst);
            let timeout = if seat.is_kicked() || !self.inbox.lock().is_empty() {
                Some(Duration::ZERO)
            } else {
                self.timeout(deadline)
            };
            let found = self.wait(timeout);
            if found || seat.is_kicked() || deadline.has_passed() {
                return;
            }
        }
    }

    /// How long the poller may sleep: until `deadline` or the next timer.
    fn timeout(&self, deadline: Deadline) -> Option<Duration> {
        if deadline == Deadline::NOW {
            return Some(Duration::ZERO);
        }
        let next = [deadline.instant(), self.timers.next_deadline()].into_iter().flatten().min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    /// One wait of the engine. Schedules what became ready, and says whether anything did.
    fn wait(&self, timeout: Option<Duration>) -> bool {
        let mut fired = self.fired.lock();
        let result = self.engine.wait(timeout, &mut |key, readiness| {
            self.fds.on_event(key, readiness, &mut fired);
        });
        self.asleep.swap(false, SeqCst);
        match result {
            // A signal: the loop goes on with what is left of the time (grpc#28037).
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => tracing::error!(%error, engine = self.engine.name(), "cannot poll"),
            Ok(()) => {}
        }
        let mut found = !fired.is_empty();
        for waker in fired.drain(..) {
            waker.wake();
        }
        drop(fired);
        found |= self.schedule_due_timers();
        found |= self.schedule_inbox();
        found
    }

    fn schedule_due_timers(&self) -> bool {
        if self.timers.next_deadline().is_none() {
            return false;
        }
        let due = self.timers.take_due(Instant::now());
        let found = !due.is_empty();
        due.into_iter().for_each(|closure| self.submit(closure));
        found
    }

    fn schedule_inbox(&self) -> bool {
        let inbox = mem::take(&mut *self.inbox.lock());
        let found = !inbox.is_empty();
        inbox.into_iter().for_each(|closure| self.submit(closure));
        found
    }

    /// Schedules a closure on this thread if it is in a context, else on the next poller's.
    pub(crate) fn submit(&self, closure: Arc<dyn Run>) {
        if let Err(closure) = exec_ctx::schedule(closure) {
            self.put_off(closure);
        }
    }

    /// Schedules a closure on the next poller's thread, which may be this one's when it polls
    /// again. For work that must not keep this thread from its application any longer.
    pub(crate) fn put_off(&self, closure: Arc<dyn Run>) {
        self.inbox.lock().push(closure);
        self.interrupt();
    }

    /// Makes the poller look again at what it waits for, if there is one and it sleeps.
    fn interrupt(&self) {
        if self.asleep.swap(false, SeqCst)
            && let Err(error) = self.engine.wake()
        {
            tracing::error!(%error, "the poller cannot be woken");
        }
    }

    /// Makes one worker of `pollset` leave `work`; see [`Pollset::kick`].
    pub(crate) fn kick(&self, pollset: &Pollset) {
        self.after_kick(pollset.kick());
    }

    /// Makes every worker of `pollset` leave `work`.
    pub(crate) fn kick_all(&self, pollset: &Pollset) {
        self.after_kick(pollset.kick_all());
    }

    /// Makes every worker of `pollset` leave, lets none in again, and wakes `done` once, when the
    /// last has left.
    pub(crate) fn shutdown_pollset(&self, pollset: &Pollset, done: &Waker) {
        self.after_kick(pollset.shutdown(done));
    }

    fn after_kick(&self, kicked: Kicked) {
        if kicked == Kicked::Poller {
            self.interrupt();
        }
    }

    /// Runs `closure` once at `deadline`, on whichever thread polls then.
    pub(crate) fn timer_init(&self, deadline: Instant, closure: Arc<dyn Run>) -> TimerId {
        let (id, is_first) = self.timers.add(deadline, closure);
        if is_first {
            self.interrupt();
        }
        id
    }

    /// Takes a timer back. True if it had not fired, and now never will.
    pub(crate) fn timer_cancel(&self, id: TimerId) -> bool {
        // The closure is dropped here, with no lock held.
        self.timers.cancel(id).is_some()
    }
}
