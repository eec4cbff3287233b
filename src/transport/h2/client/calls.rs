//! The calls of a connection: those that go on, and those that wait for a place.
//!
//! A server says how many calls it takes at once, and h2 keeps to that by itself: a stream too many
//! waits in it. But there it counts as begun, and goes out even after a GOAWAY that forbids it. So
//! calls wait here, and have not begun when the connection ends.

use super::request::set_timeout;
use crate::status::Status;
use crate::sync::Mutex;
use crate::transport::h2::payload::Payload;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use std::collections::{BTreeMap, HashMap};
use std::mem;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// After such a time without a new call nobody may have waited, and seen what has come. Few calls that
/// follow each other are so far apart, and a look costs each of those a system call.
const LULL: Duration = Duration::from_millis(10);

/// The calls of a connection.
#[derive(Default)]
pub(super) struct Calls {
    /// Locked for moments by streams and by the thread with the turn. h2's locks come after it, and
    /// with them wakers, which only enqueue; none is woken or dropped under it.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// h2's handle, while calls may begin. When there is none, and no stream, h2 ends the connection.
    requests: Option<SendRequest<Payload>>,
    /// Why none may begin any more.
    refusal: Option<Status>,
    /// How many go on, as far as their streams know.
    open: usize,
    /// How many ever did.
    begun: u64,
    /// Those that wait, in order.
    waiting: BTreeMap<u64, Waiting>,
    next_id: u64,
    /// Those that have waited, and do not know it yet.
    settled: HashMap<u64, Result<Begun, Status>>,
    /// None begins, and what the connection ends with is not known yet.
    is_held: bool,
    /// When the last call began that found no other; at first, when calls could begin.
    last_alone: Option<Instant>,
    /// How the connection ended.
    end: Option<Status>,
    /// Streams that want to know how.
    mourners: Vec<Waker>,
}

struct Waiting {
    head: http::Request<()>,
    /// The call's time, and when that was.
    timeout: Option<(Duration, Instant)>,
    waker: Option<Waker>,
}

/// A call that has begun, as h2 gives it.
pub(super) struct Begun {
    pub(super) response: ResponseFuture,
    pub(super) output: SendStream<Payload>,
}

/// What becomes of a new call.
pub(super) enum Start {
    Begun(Begun),
    /// It waits under this number.
    Waits(u64),
    /// The server has not seen it.
    Refused(Status),
}

/// h2 begins no more streams on this connection.
pub(super) struct UsedUp;

impl Calls {
    /// Begins a call, if there is a place for it; before that, `after_lull` is called if there was none
    /// for a while, which must not take a lock.
    pub(super) fn start(
        &self,
        head: http::Request<()>,
        timeout: Option<Duration>,
        after_lull: impl FnOnce(),
    ) -> Start {
        let state = &mut *self.state.lock();
        if let Some(status) = &state.refusal {
            return Start::Refused(status.clone());
        }
        if state.begins_after_lull() {
            after_lull();
        }
        let mut head = head;
        if state.waiting.is_empty() && state.has_room() {
            match state.begin(head) {
                Ok(begun) => return Start::Begun(begun),
                // It waits for the connection to say what is wrong with it.
                Err(_) => head = http::Request::new(()),
            }
        }
        let id = state.next_id;
        state.next_id += 1;
        let timeout = timeout.map(|timeout| (timeout, Instant::now()));
        state.waiting.insert(id, Waiting { head, timeout, waker: None });
        Start::Waits(id)
    }

    /// Ready when a call that waited has begun, or never will.
    pub(super) fn poll_settled(
        &self,
        id: u64,
        context: &mut Context<'_>,
    ) -> Poll<Result<Begun, Status>> {
        let mut state = self.state.lock();
        if let Some(result) = state.settled.remove(&id) {
            return Poll::Ready(result);
        }
        let place = state.waiting.get_mut(&id).map(|waiting| &mut waiting.waker);
        let before = place.and_then(|place| register(place, context));
        drop(state);
        drop(before);
        Poll::Pending
    }

    /// A call that waits is given up. It comes back if it has begun meanwhile.
    pub(super) fn give_up(&self, id: u64) -> Option<Begun> {
        let mut state = self.state.lock();
        let waiting = state.waiting.remove(&id);
        let settled = state.settled.remove(&id);
        drop(state);
        drop(waiting);
        settled.and_then(Result::ok)
    }

    /// A call's place is free. Says whether the connection has something to do about that.
    #[must_use]
    pub(super) fn leave(&self) -> bool {
        let state = &mut *self.state.lock();
        state.open -= 1;
        !state.waiting.is_empty() || state.refusal.is_some()
    }

    /// Calls may begin from now on, unless they are refused already.
    pub(super) fn open(&self, requests: SendRequest<Payload>) {
        let state = &mut *self.state.lock();
        state.last_alone = Some(Instant::now());
        if state.refusal.is_none() {
            state.requests = Some(requests);
        }
    }

    /// Begins calls that wait, as long as there is room.
    ///
    /// # Errors
    /// If none can begin any more.
    pub(super) fn begin_waiting(&self) -> Result<(), UsedUp> {
        let mut wakers = Vec::new();
        let result = {
            let state = &mut *self.state.lock();
            state.begin_waiting(&mut wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
        result
    }

    /// No calls begin any more. Those that would wait until it is known how the connection ends.
    pub(super) fn hold(&self) {
        self.state.lock().is_held = true;
    }

    /// No calls begin any more: those that wait are over, and those that go on may end.
    pub(super) fn refuse(&self, why: Status) {
        let mut wakers = Vec::new();
        let (waiting, requests) = {
            let state = &mut *self.state.lock();
            let waiting = mem::take(&mut state.waiting);
            for (id, waiting) in &waiting {
                wakers.extend(waiting.waker.clone());
                state.settled.insert(*id, Err(why.clone()));
            }
            state.refusal.get_or_insert(why);
            (waiting, state.requests.take())
        };
        drop((waiting, requests));
        wakers.into_iter().for_each(Waker::wake);
    }

    /// The connection has ended.
    pub(super) fn close(&self, why: Status) {
        self.refuse(why.clone());
        let mourners = {
            let state = &mut *self.state.lock();
            state.end = Some(why);
            mem::take(&mut state.mourners)
        };
        mourners.into_iter().for_each(Waker::wake);
    }

    /// Ready when it is known how the connection ended.
    pub(super) fn poll_end(&self, context: &mut Context<'_>) -> Poll<Status> {
        let state = &mut *self.state.lock();
        if let Some(why) = &state.end {
            return Poll::Ready(why.clone());
        }
        // They are all woken soon.
        if !state.mourners.last().is_some_and(|waker| waker.will_wake(context.waker())) {
            state.mourners.push(context.waker().clone());
        }
        Poll::Pending
    }

    /// How many have begun, if none goes on or waits.
    pub(super) fn idle_after(&self) -> Option<u64> {
        let state = self.state.lock();
        (state.open == 0 && state.waiting.is_empty()).then_some(state.begun)
    }

    /// Whether there are none, and none can begin.
    pub(super) fn are_over(&self) -> bool {
        let state = self.state.lock();
        state.refusal.is_some() && state.open == 0
    }
}

impl State {
    /// Whether the call that is about to begin finds none that goes on, and comes long after the last
    /// of which that is true. The clock is read for those only.
    fn begins_after_lull(&mut self) -> bool {
        if self.open > 0 {
            return false;
        }
        let now = Instant::now();
        let last = self.last_alone.replace(now);
        last.is_some_and(|last| now.saturating_duration_since(last) >= LULL)
    }

    fn has_room(&self) -> bool {
        let is_below = |it: &SendRequest<_>| self.open < it.current_max_send_streams();
        !self.is_held && self.requests.as_ref().is_some_and(is_below)
    }

    /// Begins a call.
    ///
    /// # Errors
    /// h2's, which stays the same: no call can begin any more. `None` if none can begin yet.
    fn begin(&mut self, head: http::Request<()>) -> Result<Begun, Option<h2::Error>> {
        // A clone for each: one handle refuses a call while its last one waits for a place in h2, which
        // may count a stream for longer than we do.
        let mut requests = self.requests.clone().ok_or(None)?;
        let (response, output) = requests.send_request(head, false)?;
        self.open += 1;
        self.begun += 1;
        Ok(Begun { response, output })
    }

    fn begin_waiting(&mut self, wakers: &mut Vec<Waker>) -> Result<(), UsedUp> {
        while self.has_room() {
            let Some((id, mut waiting)) = self.waiting.pop_first() else { break };
            if let Some((timeout, since)) = waiting.timeout {
                set_timeout(&mut waiting.head, timeout.saturating_sub(since.elapsed()));
            }
            match self.begin(waiting.head) {
                Ok(begun) => {
                    self.settled.insert(id, Ok(begun));
                    wakers.extend(waiting.waker);
                }
                Err(error) => {
                    // It is refused soon, and its head not needed any more.
                    let head = http::Request::new(());
                    self.waiting.insert(id, Waiting { head, ..waiting });
                    // Other failures are those of the connection, which tells of them.
                    let is_connections = |it: &h2::Error| it.is_io() || it.is_go_away();
                    return error.filter(|it| !is_connections(it)).map_or(Ok(()), |_| Err(UsedUp));
                }
            }
        }
        Ok(())
    }
}

/// Registers a waker, and gives back the one that it replaces, to be dropped without the lock.
fn register(place: &mut Option<Waker>, context: &Context<'_>) -> Option<Waker> {
    match place {
        Some(waker) if waker.will_wake(context.waker()) => None,
        _ => place.replace(context.waker().clone()),
    }
}
