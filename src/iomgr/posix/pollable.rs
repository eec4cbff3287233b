//! Pollables: what threads wait for, one at a time, while the others stand behind it.
//!
//! A pollable is an engine's [`Source`] of events with a turnstile before it. Engines differ in how
//! many there are, and in which pollset waits at which.

use super::events::Events;
use super::pollee::Pollee;
use super::pollset::{Leaves, Left, Pollset};
use super::role::Call;
use super::turnstile::Turnstile;
use super::worker::Worker;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, Weak};
use std::time::Duration;

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

    /// Adds every event to `events`, after waiting for the first one until `timeout` passes.
    ///
    /// # Errors
    /// `Interrupted` when a signal came: the caller knows its deadline and decides.
    fn wait(&self, timeout: Option<Duration>, events: &mut Events<'_>) -> io::Result<()>;

    /// Ends a wait early.
    fn wake(&self) -> io::Result<()>;

    /// Whether it wants to hear when its poller leaves: see [`vacated`](Self::vacated).
    #[inline]
    fn minds_vacating(&self) -> bool {
        false
    }

    /// The poller has left, and nobody has inherited its role.
    fn vacated(&self) {}
}

/// A source of events and those who wait for them.
pub(crate) struct Pollable {
    source: Box<dyn Source>,
    turnstile: Turnstile,
    /// The source's answer.
    minds_vacating: bool,
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
        let minds_vacating = source.minds_vacating();
        Self { source, turnstile, minds_vacating, only }
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

    #[inline]
    pub(super) fn turnstile(&self) -> &Turnstile {
        &self.turnstile
    }

    /// See [`Source::minds_vacating`].
    pub(super) fn minds_vacating(&self) -> bool {
        self.minds_vacating
    }

    /// A worker has left: somebody else takes its role, or its source hears that nobody does.
    pub(super) fn hand_on(&self, pollset: &Arc<Pollset>, left: Left) {
        if self.turnstile.hand_on(pollset, &left) && self.minds_vacating {
            self.source.vacated();
        }
        left.tell();
    }

    /// Makes the poller look again at what it waits for, if there is one and it sleeps.
    pub(super) fn interrupt(&self) {
        self.call();
    }

    /// The same, and says whether it does.
    pub(super) fn call(&self) -> bool {
        let call = self.turnstile.role().call();
        if call == Call::First {
            self.wake();
        }
        call != Call::InVain
    }

    /// Ends the wait of whoever polls, or the next one.
    pub(super) fn wake(&self) {
        if let Err(error) = self.source.wake() {
            tracing::error!(%error, "a poller cannot be woken");
        }
    }

    /// Whether the poller is going to look at what it waits for anyway.
    pub(super) fn will_look(&self) -> bool {
        self.turnstile.role().will_look()
    }
}

/// The poller's seat: who has it may poll. Leaving it hands the role on.
pub(super) struct Seat<'a> {
    pollset: &'a Arc<Pollset>,
    /// `None` when it has left.
    worker: Option<Arc<Worker>>,
}

impl<'a> Seat<'a> {
    pub(super) fn new(pollset: &'a Arc<Pollset>, worker: Arc<Worker>) -> Self {
        Self { pollset, worker: Some(worker) }
    }

    #[inline]
    fn worker(&self) -> &Arc<Worker> {
        self.worker.as_ref().expect("whoever has left its seat polls no more")
    }

    /// Where it is.
    #[inline]
    pub(super) fn pollable(&self) -> &Arc<Pollable> {
        self.worker().pollable()
    }

    /// Leaves it if the poller was kicked, and says whether that is so.
    #[inline]
    pub(super) fn leave_if_kicked(&mut self) -> bool {
        self.worker =
            self.worker.take().and_then(|worker| self.pollset.leave(worker, Leaves::IfKicked));
        self.worker.is_none()
    }

    /// Says that this thread is about to sleep. What it looks for after this, and does not find, it
    /// is woken for.
    #[inline]
    pub(super) fn fall_asleep(&self) {
        self.pollable().turnstile().role().fall_asleep();
    }

    /// One wait of the source, for which the caller fell asleep. See [`Source::wait`].
    pub(super) fn wait(
        &self,
        timeout: Option<Duration>,
        events: &mut Events<'_>,
    ) -> io::Result<()> {
        self.pollable().source.wait(timeout, events)
    }
}

impl Drop for Seat<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(worker) = self.worker.take() {
            self.pollset.leave(worker, Leaves::Now);
        }
    }
}
