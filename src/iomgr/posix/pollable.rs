//! Pollables: what threads wait for, one at a time, while the others stand behind it.
//!
//! A pollable is an engine's [`Source`] of events with a turnstile before it. Engines differ in how
//! many there are, and in which pollset waits at which.

use super::engine::Key;
use super::pollee::Pollee;
use super::pollset::{Pollset, State, Worker};
use super::sys::Readiness;
use super::turnstile::Turnstile;
use crate::sync::{AtomicU8, LoadInOrder, MutexGuard, Ordering::SeqCst};
#[cfg(not(turnstile_loom))]
use std::cell::RefCell;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

/// Where events come from: an epoll set, or a list of fds for poll(2).
///
/// # Contract
/// - Events may be spurious. An fd that was found not ready is reported when it becomes so (edge
///   semantics are enough), as far as somebody is armed for it.
/// - `wait` is called by one thread at a time. Everything else may be called from any thread, also
///   during a `wait`.
/// - A timeout is rounded up, never down.
/// - `wake` ends the `wait` that is under way, or the next one.
pub(crate) trait Source: Send + Sync {
    /// Reports the events of an fd, which is not here yet, under its key from now on.
    fn add(&self, pollee: &Arc<Pollee>, fd: &Arc<OwnedFd>) -> io::Result<()>;

    /// Stops to report them; those under way may still come. Holds on to the fd no more.
    fn remove(&self, pollee: &Pollee, fd: BorrowedFd<'_>) -> io::Result<()>;

    /// Whether it has an fd otherwise that other sources have too ([`Pollee::is_shared`]): when it becomes
    /// that, it is removed here and added anew.
    fn minds_sharing(&self) -> bool {
        false
    }

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

    /// The poller has left, and nobody has inherited its role.
    fn vacated(&self) {}
}

/// The poller is awake, or there is none.
const AWAKE: u8 = 0;
/// The poller is asleep, or about to look for the last time whether it must not sleep.
const ASLEEP: u8 = 1;
/// It was called since, by one who has woken the source.
const CALLED: u8 = 2;

/// A source of events and those who wait for them.
pub(crate) struct Pollable {
    source: Box<dyn Source>,
    turnstile: Turnstile,
    /// [`AWAKE`], or [`ASLEEP`] and perhaps [`CALLED`]. Changed by read-modify-writes only, since loom
    /// orders only those.
    sleep: AtomicU8,
    /// The fd that this is the pollable of, if it is one fd's.
    only: Option<Weak<Pollee>>,
}

impl Pollable {
    /// A pollable for any number of pollsets, spread over `cores` neighbourhoods.
    pub(super) fn shared(source: Box<dyn Source>, cores: usize, core: fn() -> usize) -> Arc<Self> {
        Arc::new(Self::new(source, Turnstile::new(cores, core), None))
    }

    /// One for pollsets that are kept apart: for those that have `only` this fd, or for a single one.
    pub(super) fn apart(source: Box<dyn Source>, only: Option<Weak<Pollee>>) -> Arc<Self> {
        Arc::new(Self::new(source, Turnstile::new(1, || 0), only))
    }

    fn new(source: Box<dyn Source>, turnstile: Turnstile, only: Option<Weak<Pollee>>) -> Self {
        Self { source, turnstile, sleep: AtomicU8::new(AWAKE), only }
    }

    /// An fd comes, which is not here yet.
    pub(super) fn insert(&self, pollee: &Arc<Pollee>, fd: &Arc<OwnedFd>) -> io::Result<()> {
        self.source.add(pollee, fd)
    }

    /// See [`Source::minds_sharing`].
    pub(super) fn minds_sharing(&self) -> bool {
        self.source.minds_sharing()
    }

    /// The fd that this is the pollable of, if it is one fd's.
    pub(super) fn only(&self) -> Option<&Weak<Pollee>> {
        self.only.as_ref()
    }

    /// An fd goes.
    pub(super) fn remove(&self, pollee: &Pollee, fd: BorrowedFd<'_>) {
        if let Err(error) = self.source.remove(pollee, fd) {
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
        self.call();
    }

    /// The same, and says whether it does.
    pub(super) fn call(&self) -> bool {
        let before = self.sleep.fetch_or(CALLED, SeqCst);
        if before == ASLEEP
            && let Err(error) = self.source.wake()
        {
            tracing::error!(%error, "a poller cannot be woken");
        }
        before & ASLEEP != 0
    }

    /// Whether the poller is going to look at what it waits for anyway: it sleeps and was called, or it
    /// is awake, and looks before it sleeps or, for whoever comes next, as it leaves.
    pub(super) fn will_look(&self) -> bool {
        match self.sleep.load_in_order() {
            ASLEEP => false,
            state if state & ASLEEP != 0 => true,
            // Awake, or there is none; a call in vain leaves its mark then.
            _ => self.turnstile.has_poller(),
        }
    }
}

/// The poller's seat: who has it may poll. Leaving it hands the role on.
pub(super) struct Seat<'a> {
    pollable: Arc<Pollable>,
    pollset: &'a Arc<Pollset>,
    /// `None` only while it is dropped.
    worker: Option<Arc<Worker>>,
}

impl<'a> Seat<'a> {
    pub(super) fn new(
        pollable: Arc<Pollable>,
        pollset: &'a Arc<Pollset>,
        worker: Arc<Worker>,
    ) -> Self {
        Self { pollable, pollset, worker: Some(worker) }
    }

    /// Where it is.
    #[cfg(all(test, turnstile_loom))]
    pub(super) fn pollable(&self) -> &Arc<Pollable> {
        &self.pollable
    }

    /// Whether the poller must leave its seat.
    pub(super) fn is_kicked(&self) -> bool {
        self.worker.as_ref().is_some_and(|worker| worker.is_kicked())
    }

    /// Says that this thread is about to sleep. What it looks for after this, and does not find, it
    /// is woken for.
    pub(super) fn fall_asleep(&self) {
        self.pollable.sleep.swap(ASLEEP, SeqCst);
    }

    /// One wait of the source, for which the caller fell asleep. Gives the wakers that its events
    /// fire to `fire`, when all are there.
    pub(super) fn wait(
        &self,
        timeout: Option<Duration>,
        mut on_event: impl FnMut(Key, Readiness, &mut Vec<Waker>),
        fire: impl FnMut(Waker),
    ) -> io::Result<()> {
        let mut fired = spare_list();
        let result = self.pollable.source.wait(timeout, &mut |key, readiness| {
            on_event(key, readiness, &mut fired);
        });
        self.pollable.sleep.swap(AWAKE, SeqCst);
        fired.drain(..).for_each(fire);
        keep_list(fired);
        result
    }
}

#[cfg(not(turnstile_loom))]
thread_local! {
    /// The list of wakers on their way from an event to their flush, while this thread does not wait.
    static FIRED: RefCell<Vec<Waker>> = const { RefCell::new(Vec::new()) };
}

/// The thread's list, so that a wait allocates nothing.
fn spare_list() -> Vec<Waker> {
    // A model's threads are one thread of the system.
    #[cfg(turnstile_loom)]
    return Vec::new();
    #[cfg(not(turnstile_loom))]
    FIRED.try_with(RefCell::take).unwrap_or_default()
}

fn keep_list(_list: Vec<Waker>) {
    #[cfg(not(turnstile_loom))]
    let _ = FIRED.try_with(|fired| fired.replace(_list));
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let Some(worker) = self.worker.take() else { return };
        if self.pollable.turnstile.leave(&self.pollable, self.pollset, &worker) {
            self.pollable.source.vacated();
        }
        worker.put_back();
    }
}
