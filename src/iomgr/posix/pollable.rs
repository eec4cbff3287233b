//! Pollables: what threads wait for, one at a time, while the others stand behind it.
//!
//! A pollable is an engine's [`Source`] of events with a turnstile before it. Engines differ in how
//! many there are, and in which pollset waits at which.

use super::engine::Key;
use super::fd::Pollee;
use super::pollset::{Pollset, State, Worker};
use super::sys::Readiness;
use super::turnstile::Turnstile;
use crate::sync::{AtomicBool, Mutex, MutexGuard, Ordering::SeqCst};
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

/// Where events come from: an epoll set, or a list of fds for poll(2).
///
/// # Contract
/// - Events may be spurious; an fd that was found not ready is reported again when it becomes so
///   (edge semantics are enough).
/// - `wait` is called by one thread at a time. Everything else may be called from any thread, also
///   during a `wait`.
/// - A timeout is rounded up, never down.
/// - `wake` ends the `wait` that is under way, or the next one.
pub(crate) trait Source: Send + Sync {
    /// Reports `fd`'s events under `key` from now on.
    fn add(&self, fd: BorrowedFd<'_>, key: Key) -> io::Result<()>;

    /// Stops to report `fd`'s events; those under way may still come.
    fn remove(&self, fd: BorrowedFd<'_>, key: Key) -> io::Result<()>;

    /// Hands every event to `on_event`, after waiting for the first one until `timeout` passes.
    ///
    /// # Errors
    /// `Interrupted` when a signal came: the caller knows its deadline and decides.
    fn wait(
        &self,
        timeout: Option<Duration>,
        on_event: &mut dyn FnMut(Key, Readiness),
    ) -> io::Result<()>;

    /// Ends a wait early.
    fn wake(&self) -> io::Result<()>;
}

/// A source of events and those who wait for them.
pub(crate) struct Pollable {
    source: Box<dyn Source>,
    turnstile: Turnstile,
    /// The poller is asleep, or about to look for the last time whether it must not sleep. Who
    /// clears it must wake the source.
    asleep: AtomicBool,
    /// Wakers on their way from an event to their flush. Locked by the poller alone.
    fired: Mutex<Vec<Waker>>,
    /// The fd that this is the pollable of, if it is one fd's.
    only: Option<Weak<Pollee>>,
}

impl Pollable {
    /// A pollable for any number of pollsets, spread over `cores` neighbourhoods.
    pub(super) fn shared(source: Box<dyn Source>, cores: usize, core: fn() -> usize) -> Arc<Self> {
        Arc::new(Self::new(source, Turnstile::new(cores, core), None))
    }

    /// One fd's, which many pollsets may share.
    pub(super) fn of_one(source: Box<dyn Source>, only: Weak<Pollee>) -> Arc<Self> {
        Arc::new(Self::new(source, Turnstile::new(1, || 0), Some(only)))
    }

    /// One pollset's.
    pub(super) fn of_many(source: Box<dyn Source>) -> Arc<Self> {
        Arc::new(Self::new(source, Turnstile::new(1, || 0), None))
    }

    fn new(source: Box<dyn Source>, turnstile: Turnstile, only: Option<Weak<Pollee>>) -> Self {
        let (asleep, fired) = (AtomicBool::new(false), Mutex::default());
        Self { source, turnstile, asleep, fired, only }
    }

    /// Adds an fd, unless it is here already or has gone.
    pub(super) fn add(self: &Arc<Self>, pollee: &Pollee) -> io::Result<()> {
        pollee.join(self)
    }

    /// Adds an fd to the source.
    pub(super) fn insert(&self, fd: BorrowedFd<'_>, key: Key) -> io::Result<()> {
        self.source.add(fd, key)
    }

    /// The fd that this is the pollable of, if it is one fd's.
    pub(super) fn only(&self) -> Option<&Weak<Pollee>> {
        self.only.as_ref()
    }

    /// An fd goes.
    pub(super) fn remove(&self, fd: BorrowedFd<'_>, key: Key) {
        if let Err(error) = self.source.remove(fd, key) {
            tracing::debug!(%error, "an fd could not be taken out of the polling engine");
        }
    }

    pub(super) fn turnstile(&self) -> &Turnstile {
        &self.turnstile
    }

    /// Waits with others for the poller's role: see [`Turnstile::take_place`].
    pub(super) fn take_place<'a>(
        self: &Arc<Self>,
        pollset: &'a Arc<Pollset>,
        state: MutexGuard<'a, State>,
        worker: &Worker,
        deadline: Option<Instant>,
    ) -> MutexGuard<'a, State> {
        self.turnstile.take_place(self, pollset, state, worker, deadline)
    }

    /// Makes the poller look again at what it waits for, if there is one and it sleeps.
    pub(super) fn interrupt(&self) {
        if self.asleep.swap(false, SeqCst)
            && let Err(error) = self.source.wake()
        {
            tracing::error!(%error, "a poller cannot be woken");
        }
    }
}

/// The poller's seat: who has it may poll. Leaving it hands the role on.
pub(super) struct Seat<'a> {
    pollable: Arc<Pollable>,
    pollset: &'a Arc<Pollset>,
    worker: Arc<Worker>,
}

impl<'a> Seat<'a> {
    pub(super) fn new(
        pollable: Arc<Pollable>,
        pollset: &'a Arc<Pollset>,
        worker: Arc<Worker>,
    ) -> Self {
        Self { pollable, pollset, worker }
    }

    /// Where it is.
    #[cfg(all(test, turnstile_loom))]
    pub(super) fn pollable(&self) -> &Arc<Pollable> {
        &self.pollable
    }

    /// Whether the poller must leave its seat.
    pub(super) fn is_kicked(&self) -> bool {
        self.worker.is_kicked()
    }

    /// Says that this thread is about to sleep. What it looks for after this, and does not find, it
    /// is woken for.
    pub(super) fn fall_asleep(&self) {
        // A swap rather than a store, since loom orders only that with the other side's swap.
        self.pollable.asleep.swap(true, SeqCst);
    }

    /// One wait of the source, for which the caller fell asleep. Gives the wakers that its events
    /// fire to `fire`, when all are there.
    pub(super) fn wait(
        &self,
        timeout: Option<Duration>,
        mut on_event: impl FnMut(Key, Readiness, &mut Vec<Waker>),
        fire: impl FnMut(Waker),
    ) -> io::Result<()> {
        let mut fired = self.pollable.fired.lock();
        let result = self.pollable.source.wait(timeout, &mut |key, readiness| {
            on_event(key, readiness, &mut fired);
        });
        self.pollable.asleep.swap(false, SeqCst);
        fired.drain(..).for_each(fire);
        result
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.pollable.turnstile.leave(&self.pollable, self.pollset, &self.worker);
        self.worker.clone().put_back();
    }
}
