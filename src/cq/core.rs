//! What the three kinds of queue share: tags that wait for their operations, and events that wait
//! for a thread.

use super::Event;
use crate::forked;
use crate::iomgr::{Iomgr, Pollset, Run, Scheduled, attends};
use crate::panics::contained;
use crate::sync::{AtomicUsize, Mutex, MutexGuard, Ordering};
use slab::Slab;
use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Weak};
use std::task::Waker;

/// How many events threads take from a queue, while it always has more, before one of them looks
/// at the engine again. A turn is not cut short.
const POPS_PER_POLL: usize = 128;

/// A queue, seen by those who post to it and those who take from it.
///
/// `T` is the application's tag and `O` what an operation ends with. Public for [`Queue`](super::Queue),
/// which nobody else implements.
#[doc(hidden)]
pub struct Core<T, O> {
    iomgr: Arc<Iomgr>,
    pollset: Arc<Pollset>,
    /// A leaf lock: no tag, outcome or closure is dropped or run under it. `pluck` compares tags,
    /// whose `PartialEq` may be the application's and must not come back here, as it documents.
    state: Mutex<State<T, O>>,
    consumer: Consumer<T, O>,
    /// How many events were taken since the engine was looked at.
    pops: AtomicUsize,
    /// The core itself, for the operations that hold on to it.
    this: Weak<Self>,
}

/// Who takes the events.
enum Consumer<T, O> {
    /// A thread in `next`: any one will do.
    AnyThread,
    /// The thread in `pluck` that waits for this tag: only it knows.
    ItsPlucker,
    /// A function, run by whichever thread finds the event.
    Callback { call: Callback<T, O>, scheduled: Scheduled },
}

pub(crate) type Callback<T, O> = Box<dyn Fn(Event<T, O>) + Send + Sync>;

struct State<T, O> {
    /// Operations that have begun and not ended, by slot.
    pending: Slab<Pending<T, O>>,
    ready: VecDeque<Event<T, O>>,
    phase: Phase,
}

struct Pending<T, O> {
    tag: T,
    /// Another queue that the event brings along: for a requested call, the call's own.
    companion: Option<Arc<Core<T, O>>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// No operation begins; those that have begun still come out.
    ShuttingDown,
    /// The application has let go of the queue: events go nowhere.
    Abandoned,
}

/// An operation that has begun. It ends exactly once: when it is completed, or dropped, which is
/// a failure with nothing to show.
#[must_use]
pub(crate) struct PendingOp<O: Default> {
    /// `None` once completed.
    queue: Option<Arc<dyn Complete<O>>>,
    slot: usize,
}

/// What an operation reports to: a queue whose tag type is forgotten, or something else that
/// waits for one.
pub(crate) trait Complete<O>: Send + Sync {
    /// Whether the application still wants to know.
    fn is_wanted(&self) -> bool;

    fn complete(&self, slot: usize, is_ok: bool, outcome: O);

    /// Where threads wait in the queue that the event will bring along, unless that is the queue
    /// itself.
    fn companion(&self, slot: usize) -> Option<Arc<Pollset>> {
        let _ = slot;
        None
    }
}

impl<O: Default> PendingOp<O> {
    /// An operation that reports to something other than a queue.
    pub(crate) fn reporting_to(waiter: Arc<dyn Complete<O>>) -> Self {
        Self { queue: Some(waiter), slot: 0 }
    }

    /// Whether anybody would get to know how it ends.
    pub(crate) fn is_wanted(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.is_wanted())
    }

    /// Where threads will wait for what this operation brings.
    pub(crate) fn companion(&self) -> Option<Arc<Pollset>> {
        self.queue.as_ref()?.companion(self.slot)
    }

    /// Ends the operation: its tag comes out of the queue with the outcome.
    ///
    /// Must be called without locks that a dropped tag could want: if the application has let go
    /// of its queue, the tag is dropped here.
    pub(crate) fn complete(mut self, is_ok: bool, outcome: O) {
        if let Some(queue) = self.queue.take() {
            queue.complete(self.slot, is_ok, outcome);
        }
    }
}

impl<O: Default> Drop for PendingOp<O> {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.take() {
            queue.complete(self.slot, false, O::default());
        }
    }
}

impl<T: Send + 'static, O: Default + Send + 'static> Core<T, O> {
    pub(super) fn for_threads(iomgr: Arc<Iomgr>) -> Arc<Self> {
        Self::new(iomgr, Consumer::AnyThread)
    }

    pub(super) fn for_pluckers(iomgr: Arc<Iomgr>) -> Arc<Self> {
        Self::new(iomgr, Consumer::ItsPlucker)
    }

    pub(super) fn for_callback(iomgr: Arc<Iomgr>, call: Callback<T, O>) -> Arc<Self> {
        Self::new(iomgr, Consumer::Callback { call, scheduled: Scheduled::default() })
    }

    fn new(iomgr: Arc<Iomgr>, consumer: Consumer<T, O>) -> Arc<Self> {
        let state = State { pending: Slab::new(), ready: VecDeque::new(), phase: Phase::Open };
        Arc::new_cyclic(|this| Self {
            iomgr,
            pollset: Pollset::new(),
            state: Mutex::new(state),
            consumer,
            pops: AtomicUsize::new(0),
            this: this.clone(),
        })
    }

    /// Names this queue among all that are alive.
    pub(super) fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    pub(crate) fn iomgr(&self) -> &Arc<Iomgr> {
        &self.iomgr
    }

    pub(crate) fn pollset(&self) -> &Arc<Pollset> {
        &self.pollset
    }

    /// Puts a tag in, for an operation that begins. It comes out when the operation ends.
    ///
    /// # Errors
    /// The tag, if the queue is shut down.
    pub(crate) fn begin_op(
        self: &Arc<Self>,
        tag: T,
        companion: Option<Arc<Self>>,
    ) -> Result<PendingOp<O>, T> {
        if forked::refuses() {
            return Err(tag);
        }
        let mut state = self.state.lock();
        if state.phase != Phase::Open {
            return Err(tag);
        }
        let slot = state.pending.insert(Pending { tag, companion });
        Ok(PendingOp { queue: Some(self.clone()), slot })
    }

    /// Puts a tag in that comes out at once: an operation that has ended as it began.
    ///
    /// # Errors
    /// The tag, if the queue is shut down.
    pub(crate) fn push(&self, tag: T) -> Result<(), T> {
        if forked::is_forked() {
            return Err(tag);
        }
        let state = self.state.lock();
        if state.phase != Phase::Open {
            return Err(tag);
        }
        let event = Event { tag, is_ok: true, outcome: O::default(), companion: None };
        self.enqueue(state, event);
        Ok(())
    }

    /// Takes the oldest event, and makes sure that another thread comes for the next one.
    pub(super) fn pop(&self) -> Option<Event<T, O>> {
        if forked::is_forked() {
            return None;
        }
        let mut state = self.state.lock();
        let event = state.ready.pop_front()?;
        let (has_more, is_drained) = (!state.ready.is_empty(), state.is_drained());
        drop(state);
        // Only a hint, so that lost counts do no harm.
        self.pops.store(self.pops.load(Ordering::Relaxed).saturating_add(1), Ordering::Relaxed);
        if has_more {
            self.kick_one();
        } else if is_drained {
            self.close_pollset();
        }
        Some(event)
    }

    /// How many events are ready.
    pub(super) fn ready_len(&self) -> usize {
        if forked::is_forked() { 0 } else { self.state.lock().ready.len() }
    }

    /// Whether so many events have been taken without a look at the engine that it is time for
    /// one: events that make events would keep all I/O waiting.
    pub(super) fn is_poll_due(&self) -> bool {
        let is_due = self.pops.load(Ordering::Relaxed) >= POPS_PER_POLL;
        if is_due {
            // One thread is enough.
            self.polled();
        }
        is_due
    }

    /// The engine has been looked at, or is about to be.
    pub(super) fn polled(&self) {
        self.pops.store(0, Ordering::Relaxed);
    }

    /// Makes sure that somebody comes for an event that is left.
    pub(super) fn hand_on(&self) {
        if self.ready_len() > 0 {
            self.kick_one();
        }
    }

    /// Takes the oldest event whose tag `is_it`.
    pub(super) fn pluck(&self, mut is_it: impl FnMut(&T) -> bool) -> Option<Event<T, O>> {
        if forked::is_forked() {
            return None;
        }
        let mut state = self.state.lock();
        let index = state.ready.iter().position(|event| is_it(&event.tag))?;
        let event = state.ready.remove(index);
        let is_drained = state.is_drained();
        drop(state);
        if is_drained {
            self.close_pollset();
        }
        event
    }

    /// Whether an event's tag `is_it`.
    pub(super) fn has(&self, mut is_it: impl FnMut(&T) -> bool) -> bool {
        self.state.lock().ready.iter().any(|event| is_it(&event.tag))
    }

    /// Whether a thread that finds no event should wait for one.
    pub(super) fn is_waiting_worthwhile(&self) -> bool {
        let state = self.state.lock();
        state.ready.is_empty() && !state.is_drained()
    }

    /// Whether the queue is shut down and everything has come out, as far as this process goes.
    pub(super) fn is_drained(&self) -> bool {
        forked::refuses() || self.state.lock().is_drained()
    }

    /// Lets no operation begin any more.
    pub(super) fn shutdown(&self) {
        if forked::is_forked() {
            return;
        }
        let mut state = self.state.lock();
        if state.phase != Phase::Open {
            return;
        }
        state.phase = Phase::ShuttingDown;
        let is_drained = state.is_drained();
        drop(state);
        if is_drained {
            self.close_pollset();
        }
    }

    /// The application lets go: what is ready is dropped, and so is what comes later.
    pub(crate) fn abandon(&self) {
        if forked::is_forked() {
            return;
        }
        let mut state = self.state.lock();
        state.phase = Phase::Abandoned;
        let ready = mem::take(&mut state.ready);
        drop(state);
        drop(ready);
        self.close_pollset();
    }

    /// Sends every thread home: nothing comes any more.
    fn close_pollset(&self) {
        self.pollset.shutdown(Waker::noop());
    }

    fn kick_one(&self) {
        if self.pollset.is_occupied() {
            self.pollset.kick();
        }
    }

    fn post(&self, slot: usize, is_ok: bool, outcome: O) {
        if forked::is_forked() {
            return mem::forget(outcome);
        }
        let mut state = self.state.lock();
        let Pending { tag, companion } = state.pending.remove(slot);
        let event = Event { tag, is_ok, outcome, companion };
        if state.phase == Phase::Abandoned {
            drop(state);
            drop(event);
            return;
        }
        self.enqueue(state, event);
    }

    /// Adds an event, and sees to it that somebody takes it.
    fn enqueue(&self, mut state: MutexGuard<'_, State<T, O>>, event: Event<T, O>) {
        let was_empty = state.ready.is_empty();
        state.ready.push_back(event);
        drop(state);
        match &self.consumer {
            // A queue that was not empty has a thread on its way, which brings the next.
            Consumer::AnyThread if was_empty && !attends(self.id()) => self.kick_one(),
            Consumer::AnyThread => {}
            Consumer::ItsPlucker => {
                if self.pollset.is_occupied() {
                    self.pollset.kick_all();
                }
            }
            Consumer::Callback { scheduled, .. } => {
                let is_first = scheduled.claim();
                if let Some(this) = self.this.upgrade().filter(|_| is_first) {
                    self.iomgr.submit(this);
                }
            }
        }
    }
}

impl<T, O> State<T, O> {
    fn is_drained(&self) -> bool {
        self.phase != Phase::Open && self.pending.is_empty() && self.ready.is_empty()
    }
}

impl<T: Send + 'static, O: Default + Send + 'static> Complete<O> for Core<T, O> {
    fn is_wanted(&self) -> bool {
        self.state.lock().phase != Phase::Abandoned
    }

    fn complete(&self, slot: usize, is_ok: bool, outcome: O) {
        self.post(slot, is_ok, outcome);
    }

    fn companion(&self, slot: usize) -> Option<Arc<Pollset>> {
        let state = self.state.lock();
        let companion = state.pending.get(slot)?.companion.as_ref()?;
        (companion.id() != self.id()).then(|| companion.pollset.clone())
    }
}

/// The callback queue's turn: hands ready events to the function.
impl<T: Send + 'static, O: Default + Send + 'static> Run for Core<T, O> {
    fn run(self: Arc<Self>) {
        let Consumer::Callback { call, scheduled } = &self.consumer else { return };
        scheduled.clear();
        for _ in 0..POPS_PER_POLL {
            // The callback may have forked.
            if forked::is_forked() {
                return;
            }
            let popped = self.state.lock().ready.pop_front();
            let Some(event) = popped else {
                if self.is_drained() {
                    self.close_pollset();
                }
                return;
            };
            // A panic ends this event's call and nothing else: the events behind it come too.
            contained("a queue's callback", || call(event));
        }
        // The engine is looked at before the next ones.
        let _ = scheduled.claim();
        self.iomgr.put_off(self.clone());
    }
}
