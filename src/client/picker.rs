//! What a channel's calls ask for a connection, and who waits for what it says.

use super::balancer::{Pick, Picture};
use super::connectivity::ConnectivityState;
use crate::call::Outcome;
use crate::cq::PendingOp;
use crate::iomgr::TimerId;
use crate::panics::contained;
use crate::status::Status;
use crate::sync::Mutex;
use crate::transport::ClientTransport;
use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// The picture of a channel, as its calls see it.
pub(super) struct Picker {
    /// Locked for moments, after a call's lock. Nothing is woken, completed or dropped under it.
    state: Mutex<State>,
}

struct State {
    picture: Picture,
    /// Calls that wait for another picture, and futures that wait for another state.
    waiting: BTreeMap<u64, Waker>,
    watchers: BTreeMap<u64, Watcher>,
    next_id: u64,
}

/// An operation that ends when the state is not `last` any more.
struct Watcher {
    last: ConnectivityState,
    op: PendingOp<Outcome>,
    timer: Option<TimerId>,
}

/// One who waits, under the number that it has got. To be given back with [`Picker::leave`].
#[derive(Debug, Default)]
pub(super) struct Ticket(Option<u64>);

/// What a call is to ask the picker for.
pub(super) struct Wish<'a> {
    /// A connection that has refused it, and is not to be given again.
    pub(super) not: Option<&'a Arc<dyn ClientTransport>>,
    /// It waits while there is no way to the server.
    pub(super) waits_for_ready: bool,
}

/// What has to be done without the lock.
#[derive(Default)]
#[must_use = "those who wait are to be told"]
pub(super) struct Told {
    wakers: Vec<Waker>,
    watchers: Vec<Watcher>,
    /// What they wait for has come.
    has_come: bool,
}

impl Picker {
    pub(super) fn new(picture: Picture) -> Self {
        let (waiting, watchers) = (BTreeMap::new(), BTreeMap::new());
        Self { state: Mutex::new(State { picture, waiting, watchers, next_id: 0 }) }
    }

    pub(super) fn connectivity(&self) -> ConnectivityState {
        self.state.lock().picture.state
    }

    /// Why calls fail at the moment, if they do.
    pub(super) fn failure(&self) -> Option<Status> {
        match &self.state.lock().picture.pick {
            Pick::Fail(why) | Pick::Never(why) => Some(why.clone()),
            Pick::Wait | Pick::Connection(_) => None,
        }
    }

    /// A connection, or why there is none. Pending says whether one is being made.
    pub(super) fn poll_pick(
        &self,
        wish: &Wish<'_>,
        ticket: &mut Ticket,
        context: &mut Context<'_>,
    ) -> Poll<Result<Arc<dyn ClientTransport>, Status>> {
        let mut state = self.state.lock();
        match &state.picture.pick {
            Pick::Connection(it) if !wish.not.is_some_and(|not| Arc::ptr_eq(not, it)) => {
                return Poll::Ready(Ok(it.clone()));
            }
            Pick::Fail(why) if !wish.waits_for_ready => return Poll::Ready(Err(why.clone())),
            Pick::Never(why) => return Poll::Ready(Err(why.clone())),
            Pick::Connection(_) | Pick::Fail(_) | Pick::Wait => {}
        }
        let before = state.register(ticket, context);
        drop(state);
        drop(before);
        Poll::Pending
    }

    /// Ready when the state is not `last`.
    pub(super) fn poll_change(
        &self,
        last: ConnectivityState,
        ticket: &mut Ticket,
        context: &mut Context<'_>,
    ) -> Poll<ConnectivityState> {
        let mut state = self.state.lock();
        if state.picture.state != last {
            return Poll::Ready(state.picture.state);
        }
        let before = state.register(ticket, context);
        drop(state);
        drop(before);
        Poll::Pending
    }

    /// One does not wait any more.
    pub(super) fn leave(&self, ticket: &mut Ticket) {
        let Some(id) = ticket.0.take() else { return };
        let before = self.state.lock().waiting.remove(&id);
        drop(before);
    }

    /// Completes `op` when the state is not `last`. Gives the number for
    /// [`set_timer`](Self::set_timer), or the operation back if that is so already.
    pub(super) fn watch(
        &self,
        last: ConnectivityState,
        op: PendingOp<Outcome>,
    ) -> Result<u64, PendingOp<Outcome>> {
        let state = &mut *self.state.lock();
        if state.picture.state != last {
            return Err(op);
        }
        let id = state.new_id();
        state.watchers.insert(id, Watcher { last, op, timer: None });
        Ok(id)
    }

    /// The timer that ends the wait of a watcher; gives it back if that has ended.
    pub(super) fn set_timer(&self, watcher: u64, timer: TimerId) -> Option<TimerId> {
        match self.state.lock().watchers.get_mut(&watcher) {
            Some(watcher) => watcher.timer.replace(timer),
            None => Some(timer),
        }
    }

    /// A watcher's time is over.
    pub(super) fn expire(&self, watcher: u64) -> Option<PendingOp<Outcome>> {
        let watcher = self.state.lock().watchers.remove(&watcher);
        watcher.map(|watcher| watcher.op)
    }

    /// Shows another picture. What comes of that is to be [told](Told::tell); nothing if it is the same.
    pub(super) fn show(&self, picture: Picture) -> Told {
        let (told, before) = {
            let state = &mut *self.state.lock();
            if state.picture.is_like(&picture) {
                return Told::default();
            }
            let before = mem::replace(&mut state.picture, picture);
            let now = state.picture.state;
            let wakers = mem::take(&mut state.waiting).into_values().collect();
            let gone = |_: &u64, watcher: &mut Watcher| watcher.last != now;
            let watchers = state.watchers.extract_if(.., gone).map(|(_, watcher)| watcher);
            (Told { wakers, watchers: watchers.collect(), has_come: true }, before)
        };
        drop(before);
        told
    }

    /// Nobody will ask any more. Lets go of the connection, and ends the wait of those who watch, for
    /// whom nothing comes.
    pub(super) fn close(&self) -> Told {
        let picture = Picture { state: ConnectivityState::Idle, pick: Pick::Wait };
        let (told, before) = {
            let state = &mut *self.state.lock();
            let before = mem::replace(&mut state.picture, picture);
            let wakers = mem::take(&mut state.waiting).into_values().collect();
            let watchers = mem::take(&mut state.watchers).into_values().collect();
            (Told { wakers, watchers, has_come: false }, before)
        };
        drop(before);
        told
    }
}

impl State {
    fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Gives back the waker that is replaced, to be dropped without the lock.
    fn register(&mut self, ticket: &mut Ticket, context: &Context<'_>) -> Option<Waker> {
        let id = *ticket.0.get_or_insert_with(|| self.new_id());
        match self.waiting.get(&id) {
            Some(waker) if waker.will_wake(context.waker()) => None,
            _ => self.waiting.insert(id, context.waker().clone()),
        }
    }
}

impl Told {
    /// Wakes those who wait. `cancel` is for the timers of those whose wait is over. A waker may panic, and
    /// so may the drop of a tag whose queue has gone: the rest is told all the same.
    pub(super) fn tell(self, cancel: impl Fn(TimerId)) {
        let (mut watchers, mut wakers) = (self.watchers.into_iter(), self.wakers.into_iter());
        let mut tell_rest = || {
            for watcher in watchers.by_ref() {
                watcher.timer.into_iter().for_each(&cancel);
                watcher.op.complete(self.has_come, Outcome::default());
            }
            wakers.by_ref().for_each(Waker::wake);
        };
        while contained("the waker of who waits for a channel", &mut tell_rest).is_none() {}
    }
}
