//! The I/O manager: one polling engine with its turnstile, fds, timers and inbox.

use super::engine::{PollingEngine, Preferences};
use super::events::Events;
use super::fd_table::FdTable;
use super::pollable::{Pollable, Seat};
use super::pollset::Pollset;
use super::pollset_set::Graph;
use super::sleepers::Sleepers;
use super::sys;
use super::timekeeping::{Minding, TimeKeeping};
use super::trouble::{Rests, Trouble};
use super::watch::Interest;
use crate::forked;
use crate::iomgr::deadline::Deadline;
use crate::iomgr::exec_ctx::{self, Run};
use crate::iomgr::timers::{TimerId, Timers};
#[cfg(all(test, not(turnstile_loom)))]
use crate::sync::AtomicUsize;
use crate::sync::{AtomicBool, LoadInOrder, Mutex, Ordering::SeqCst};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::{Duration, Instant};
use std::{io, mem};

/// What a process's completion queues share.
#[repr(C, align(64))] // What each wait looks at comes first: up to the earliest timer, one line of the cache.
pub(crate) struct Iomgr {
    /// Where several poll at once.
    sleepers: Option<Sleepers>,
    /// There is something in the inbox. Set under its lock.
    has_inbox: AtomicBool,
    /// The engine's.
    home: Arc<Pollable>,
    timers: Timers,
    engine: Box<dyn PollingEngine>,
    /// The engine's, as what follows.
    minds_arming: Interest,
    hears_of_ends: bool,
    fds: FdTable,
    /// Locked before a pollset.
    graph: Mutex<Graph>,
    clock: TimeKeeping,
    trouble: Trouble,
    /// Closures that were scheduled by threads outside any context, and those that were put off.
    /// A leaf lock.
    inbox: Mutex<Vec<Arc<dyn Run>>>,
    /// How often a thread has come back from the engine.
    #[cfg(all(test, not(turnstile_loom)))]
    waits: AtomicUsize,
}

/// The process's manager, made when the first queue is.
static OF_PROCESS: StdMutex<Option<Arc<Iomgr>>> = StdMutex::new(None);

impl Iomgr {
    /// The process's manager.
    ///
    /// # Errors
    /// Why the engine that the environment asks for does not start; the next call tries again.
    pub(crate) fn of_process() -> io::Result<Arc<Self>> {
        Self::of_process_with(None)
    }

    /// The same, with an engine that the program prefers to what the environment asks for.
    ///
    /// # Errors
    /// Also if another engine runs already, or in another process, of which this is a child.
    pub(crate) fn of_process_with(preferences: Option<&Preferences>) -> io::Result<Arc<Self>> {
        // Before the lock, which a child may have inherited locked.
        forked::check()?;
        sys::watch_forks()?;
        let mut manager = OF_PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(manager) = &*manager {
            preferences.map_or(Ok(()), |preferences| preferences.check(manager.engine_name()))?;
            return Ok(manager.clone());
        }
        let engine = match preferences {
            Some(preferences) => preferences.engine()?,
            None => Preferences::of_environment().engine()?,
        };
        let new = Self::new(engine);
        *manager = Some(new.clone());
        Ok(new)
    }

    /// A manager around an engine.
    pub(crate) fn new(engine: Box<dyn PollingEngine>) -> Arc<Self> {
        let home = engine.home().clone();
        let (minds_arming, hears_of_ends) = (engine.minds_arming(), engine.hears_of_ends());
        let sleepers = engine.keeps_pollsets_apart().then(Sleepers::new);
        Arc::new(Self {
            engine,
            home,
            minds_arming,
            hears_of_ends,
            fds: FdTable::default(),
            graph: Mutex::default(),
            timers: Timers::default(),
            clock: TimeKeeping::default(),
            trouble: Trouble::default(),
            inbox: Mutex::default(),
            has_inbox: AtomicBool::new(false),
            sleepers,
            #[cfg(all(test, not(turnstile_loom)))]
            waits: AtomicUsize::new(0),
        })
    }

    pub(super) fn engine(&self) -> &dyn PollingEngine {
        &*self.engine
    }

    /// How many threads wait for another one that polls.
    #[cfg(all(test, not(turnstile_loom)))]
    pub(super) fn waiting(&self) -> usize {
        self.home.turnstile().waiting()
    }

    /// How many fds and timers it has.
    #[cfg(all(test, not(turnstile_loom)))]
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.fds.len(), self.timers.len())
    }

    /// The time, for what is compared with timers.
    pub(crate) fn now(&self) -> Instant {
        self.engine.now()
    }

    /// How many threads sleep in the engine, or are about to.
    #[cfg(all(test, not(turnstile_loom)))]
    pub(super) fn sleepers(&self) -> usize {
        let role = self.home.turnstile().role();
        self.sleepers.as_ref().map_or_else(|| role.is_asleep().into(), Sleepers::count)
    }

    /// How often a thread has come back from the engine.
    #[cfg(all(test, not(turnstile_loom)))]
    pub(super) fn waits(&self) -> usize {
        self.waits.load(SeqCst)
    }

    /// The name of the engine.
    pub(crate) fn engine_name(&self) -> &'static str {
        self.engine.name()
    }

    /// Whether threads wait for what their pollsets have, and not for everything.
    pub(crate) fn keeps_pollsets_apart(&self) -> bool {
        self.sleepers.is_some()
    }

    /// Whether the engine wants to hear of who waits in this direction.
    pub(super) fn minds_arming(&self, direction: Interest) -> bool {
        self.minds_arming.has(direction)
    }

    /// See [`PollingEngine::hears_of_ends`].
    pub(super) fn hears_of_ends(&self) -> bool {
        self.hears_of_ends
    }

    pub(super) fn fds(&self) -> &FdTable {
        &self.fds
    }

    pub(super) fn graph(&self) -> &Mutex<Graph> {
        &self.graph
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
        if forked::refuses() {
            return;
        }
        // Who stands behind the poller waits on a condition variable, which has the system's clock.
        let until =
            if deadline == Deadline::NOW { Some(Instant::now()) } else { deadline.instant() };
        if let Some(seat) = pollset.enter(&self.home, until, is_idle) {
            self.poll(seat, deadline);
        }
    }

    /// Waits for events as the poller.
    fn poll(&self, mut seat: Seat<'_>, deadline: Deadline) {
        let mut rests = Rests::default();
        while !self.look(&seat, deadline, &mut rests)
            && !deadline.has_passed_at(|| self.engine.now())
            && !seat.leave_if_kicked()
        {}
        // The next poller is chosen before any closure runs.
        drop(seat);
        self.hand_on();
    }

    /// One wait of a poller. Schedules what became ready, and says whether anything did.
    #[inline]
    fn look(&self, seat: &Seat<'_>, deadline: Deadline, rests: &mut Rests) -> bool {
        seat.fall_asleep();
        self.sleepers.iter().for_each(Sleepers::add);
        let mut events = Events::of(&self.fds);
        let (waited, timeout) = {
            let mut minding = None;
            let timeout = self.timeout(deadline, &mut minding);
            (seat.wait(timeout, &mut events), timeout)
        };
        #[cfg(all(test, not(turnstile_loom)))]
        self.waits.fetch_add(1, SeqCst);
        self.sleepers.iter().for_each(Sleepers::remove);
        let found = events.fire();
        if let Err(error) = waited {
            self.rest(&error, if found { Some(Duration::ZERO) } else { timeout }, rests);
        }
        self.schedule_due_timers() | self.schedule_inbox() | found
    }

    /// How long the poller may sleep: until `deadline` or the next timer, if it must mind that.
    fn timeout<'a>(
        &'a self,
        deadline: Deadline,
        minding: &mut Option<Minding<'a>>,
    ) -> Option<Duration> {
        if self.has_inbox.load_in_order() || deadline == Deadline::NOW {
            return Some(Duration::ZERO);
        }
        match (deadline.instant(), self.timers.next_deadline()) {
            (None, None) => None,
            (deadline, timer) => self.timeout_to(deadline, timer, minding),
        }
    }

    #[inline(never)]
    fn timeout_to<'a>(
        &'a self,
        deadline: Option<Instant>,
        timer: Option<Instant>,
        minding: &mut Option<Minding<'a>>,
    ) -> Option<Duration> {
        let now = self.engine.now();
        let timer = timer.filter(|timer| *timer <= now || !self.is_time_kept());
        let next = [deadline, timer].into_iter().flatten().min()?;
        let is_one_of_many = timer.is_some() && self.keeps_pollsets_apart();
        *minding = is_one_of_many.then(|| self.clock.mind(next));
        Some(next.saturating_duration_since(now))
    }

    /// Whether one of those that sleep is woken at the earliest timer, without minding it.
    fn is_time_kept(&self) -> bool {
        self.clock.is_by_clock(&*self.engine, &self.timers, &self.trouble)
    }

    /// This thread may not be back for the next timer, nor for what it was called for after it had looked
    /// for the last time, and others may sleep.
    #[inline]
    fn hand_on(&self) {
        if let Some(sleepers) = &self.sleepers
            && (self.has_inbox.load_in_order() || self.timers.next_deadline().is_some())
        {
            self.hand_on_to(sleepers);
        }
    }

    #[inline(never)]
    fn hand_on_to(&self, sleepers: &Sleepers) {
        let timer = self.timers.next_deadline();
        if self.has_inbox.load_in_order() || timer.is_some_and(|timer| self.is_unminded(timer)) {
            // Whoever relied on this one has called nobody else.
            sleepers.look();
            self.call();
        }
    }

    /// Whether nobody wakes for a timer.
    fn is_unminded(&self, timer: Instant) -> bool {
        !self.is_time_kept() && !self.clock.is_minded(timer)
    }

    /// Lets some time pass after a wait that failed, as the next one will fail at once, too; not more
    /// than the wait may have taken.
    #[cold]
    fn rest(&self, error: &io::Error, timeout: Option<Duration>, rests: &mut Rests) {
        // A signal: the poller goes on with what is left of the time (grpc#28037).
        if error.kind() == io::ErrorKind::Interrupted {
            return;
        }
        let now = self.engine.now();
        if self.trouble.is_new(error, now) {
            tracing::error!(
                %error, engine = self.engine.name(),
                "cannot wait for events; trying again with rests in between",
            );
        }
        let timer = self.timers.next_deadline().map(|timer| timer.saturating_duration_since(now));
        let rest =
            [timeout, timer].into_iter().flatten().fold(rests.after_failure(), Duration::min);
        if !rest.is_zero() {
            self.engine.rest(rest);
        }
    }

    fn schedule_due_timers(&self) -> bool {
        self.timers.next_deadline().is_some() && self.schedule_timers()
    }

    #[inline(never)]
    fn schedule_timers(&self) -> bool {
        let due = self.timers.take_due(self.engine.now());
        let found = !due.is_empty();
        due.into_iter().for_each(|closure| self.submit(closure));
        found
    }

    fn schedule_inbox(&self) -> bool {
        self.has_inbox.load_in_order() && self.take_inbox()
    }

    #[inline(never)]
    fn take_inbox(&self) -> bool {
        let inbox = {
            let mut inbox = self.inbox.lock();
            self.has_inbox.swap(false, SeqCst);
            mem::take(&mut *inbox)
        };
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

    /// The same for one that knows its manager, and is not counted once more for it.
    pub(crate) fn submit_own<R: Run + 'static>(closure: Arc<R>, iomgr: impl FnOnce(&R) -> &Self) {
        if let Err(closure) = exec_ctx::schedule_own(closure) {
            iomgr(&closure).put_off(closure.clone());
        }
    }

    /// Schedules a closure on the next poller's thread, which may be this one's when it polls
    /// again. For work that must not keep this thread from its application any longer.
    pub(crate) fn put_off(&self, closure: Arc<dyn Run>) {
        if forked::is_forked() {
            return mem::forget(closure);
        }
        {
            let mut inbox = self.inbox.lock();
            inbox.push(closure);
            self.has_inbox.swap(true, SeqCst);
        }
        self.call();
    }

    /// Makes a poller look again at what it waits for, if one sleeps.
    fn call(&self) {
        if self.sleepers.as_ref().is_none_or(Sleepers::call) {
            self.engine.wake_any();
        }
    }

    /// Runs `closure` once at `deadline`, on whichever thread polls then.
    pub(crate) fn timer_init(&self, deadline: Instant, closure: Arc<dyn Run>) -> TimerId {
        let (id, is_first) = self.timers.add(deadline, closure);
        // Who falls asleep after this sees it.
        let any_sleeps = || self.sleepers.as_ref().is_none_or(Sleepers::any);
        if is_first && any_sleeps() && !self.is_time_kept() {
            self.call();
        }
        id
    }

    /// Takes a timer back. True if it had not fired, and now never will.
    pub(crate) fn timer_cancel(&self, id: TimerId) -> bool {
        // The closure is dropped here, with no lock held.
        self.timers.cancel(id).is_some()
    }
}
