//! A connection that is driven in turns, by any thread: what both ends have in common.
//!
//! The thread that received a connection's bytes drives it, or the one whose operation made something
//! to write. What others want of it they ask for, and wake it.

use super::clock::Clock;
use super::traffic::Traffic;
use crate::iomgr::{Iomgr, Peer, Run, Scheduled, TimerId, Turn};
use crate::sync::{AtomicU8, Mutex, Ordering};
use crate::transport::Transport;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Instant;

/// How often a run drives a connection that other threads keep notifying.
const DRIVES_PER_RUN: usize = 4;

/// What other threads ask of a connection, as bits.
pub(super) const GO_AWAY: u8 = 1;
pub(super) const ABORT: u8 = 2;
/// The timer has fired.
pub(super) const LOOK_AT_CLOCK: u8 = 4;
/// A stream has seen that the connection is no good.
pub(super) const FAILED: u8 = 8;

/// What is special to one end of a connection: what all threads share of it.
pub(crate) trait End: Sized + Send + Sync + 'static {
    /// What only the thread with the turn uses.
    type Own: Send;

    /// Does all that there is to do. What was asked for is in
    /// [`take_asked`](Driven::take_asked).
    fn drive(
        transport: &Arc<Driven<Self>>,
        driver: &mut Driver<Self::Own>,
        context: &mut Context<'_>,
    ) -> Progress;

    /// Frees all that the connection holds.
    fn let_go(own: &mut Self::Own);

    /// The connection is closed: tells whoever wants to know. No lock is held.
    fn on_closed(transport: &Driven<Self>);
}

/// How a turn ended.
pub(crate) enum Progress {
    /// Everything has been done, and wakers are registered.
    Idle,
    /// The bytes of the turn are used up, and there may be more.
    TurnIsOver,
    Closed,
}

/// A connection, from one of its ends.
pub(crate) struct Driven<E: End> {
    pub(super) end: E,
    pub(super) peer: Arc<Peer>,
    pub(super) traffic: Arc<Traffic>,
    iomgr: Arc<Iomgr>,
    scheduled: Scheduled,
    turn: Turn,
    /// Locked by the thread that has the turn, for as long as it has it.
    pub(super) driver: Mutex<Driver<E::Own>>,
    /// Set by any thread; seen in the next turn.
    asked: AtomicU8,
}

/// What the thread with the turn has.
pub(crate) struct Driver<O> {
    pub(super) clock: Clock,
    /// The clock's next deadline.
    pub(super) timer: Option<(TimerId, Instant)>,
    pub(super) own: O,
}

impl<E: End> Driven<E> {
    pub(super) fn with(
        end: E,
        peer: Arc<Peer>,
        traffic: Arc<Traffic>,
        iomgr: Arc<Iomgr>,
        clock: Clock,
        own: E::Own,
    ) -> Arc<Self> {
        Arc::new(Self {
            end,
            peer,
            traffic,
            iomgr,
            scheduled: Scheduled::default(),
            turn: Turn::new(),
            driver: Mutex::new(Driver { clock, timer: None, own }),
            asked: AtomicU8::new(0),
        })
    }

    /// Has the next turn do something.
    pub(super) fn ask(self: &Arc<Self>, what: u8) {
        self.asked.fetch_or(what, Ordering::Release);
        self.wake_by_ref();
    }

    /// What other threads and the timer have asked for.
    pub(super) fn take_asked(&self) -> u8 {
        // Whoever asks wakes after that, so what is missed here is seen in another turn.
        match self.asked.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.asked.swap(0, Ordering::Acquire),
        }
    }

    /// Sets the timer to the clock's next deadline. Called when that may have changed, which no
    /// call on the connection does.
    pub(super) fn set_timer(self: &Arc<Self>, driver: &mut Driver<E::Own>) {
        let next = driver.clock.next_deadline();
        if driver.timer.map(|(_, deadline)| deadline) == next {
            return;
        }
        self.clear_timer(driver);
        if let Some(deadline) = next {
            let timer = self.iomgr.timer_init(deadline, Arc::new(Alarm(self.clone())));
            driver.timer = Some((timer, deadline));
        }
    }

    fn clear_timer(&self, driver: &mut Driver<E::Own>) {
        if let Some((timer, _)) = driver.timer.take() {
            self.iomgr.timer_cancel(timer);
        }
    }

    /// One turn.
    fn drive(self: &Arc<Self>) -> Progress {
        let waker = Waker::from(self.clone());
        let driver = &mut *self.driver.lock();
        self.traffic.begin_turn();
        let progress = E::drive(self, driver, &mut Context::from_waker(&waker));
        if matches!(progress, Progress::Closed) {
            self.let_go(driver);
        }
        progress
    }

    /// Frees all that a connection holds.
    fn let_go(&self, driver: &mut Driver<E::Own>) {
        self.clear_timer(driver);
        E::let_go(&mut driver.own);
        drop(self.traffic.take_endpoint());
    }

    /// Leaves what there still is to do to a later run, so that others get this thread.
    fn put_off(self: &Arc<Self>) {
        self.turn.end_notified();
        // This thread's own wakes wait for that run.
        let _ = self.scheduled.claim();
        self.iomgr.put_off(self.clone());
    }

    fn close(&self) {
        self.turn.close();
        E::on_closed(self);
    }
}

impl<E: End> Run for Driven<E> {
    fn run(self: Arc<Self>) {
        self.scheduled.clear();
        if !self.turn.begin() {
            return;
        }
        // A panic inside must not leave the turn taken for ever.
        let guard = CloseOnPanic(&self);
        let mut drives = 0;
        loop {
            drives += 1;
            match self.drive() {
                Progress::Closed => break self.close(),
                Progress::Idle if self.turn.end() => break,
                Progress::Idle if drives < DRIVES_PER_RUN => {}
                Progress::Idle | Progress::TurnIsOver => break self.put_off(),
            }
        }
        mem::forget(guard);
    }
}

/// What a connection's timer runs. The connection itself is run for many reasons, and would have to
/// look at the clock each time.
struct Alarm<E: End>(Arc<Driven<E>>);

impl<E: End> Run for Alarm<E> {
    fn run(self: Arc<Self>) {
        self.0.ask(LOOK_AT_CLOCK);
    }
}

/// Closes a transport whose turn panics.
struct CloseOnPanic<'a, E: End>(&'a Driven<E>);

impl<E: End> Drop for CloseOnPanic<'_, E> {
    fn drop(&mut self) {
        tracing::error!(peer = %self.0.peer, "a connection's turn panicked; it is closed");
        self.0.let_go(&mut self.0.driver.lock());
        self.0.close();
    }
}

impl<E: End> Wake for Driven<E> {
    /// Only enqueues: h2 calls it under its locks.
    fn wake(self: Arc<Self>) {
        if self.turn.notify() && self.scheduled.claim() {
            Iomgr::submit_own(self, |it| &it.iomgr);
        }
    }

    /// The same.
    fn wake_by_ref(self: &Arc<Self>) {
        if self.turn.notify() && self.scheduled.claim() {
            self.iomgr.submit(self.clone());
        }
    }
}

impl<E: End> Transport for Driven<E> {
    fn go_away(self: Arc<Self>) {
        self.ask(GO_AWAY);
    }

    fn abort(self: Arc<Self>) {
        self.ask(ABORT);
    }
}
