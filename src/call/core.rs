//! One end of a call: its pending batches, and how they make progress.
//!
//! A call is run (by the thread that finds one of its wakers fired) or used (by an application's
//! thread that starts a batch or cancels it). Both take the call's lock, make progress, and
//! complete batches, and drop what the call was given, after the lock is gone.
//!
//! Here is what both ends have in common; [`server`] and [`client`] are the [`Side`]s. [`poll`] has the
//! operations that are polled instead of started, [`reply`] those of handlers; [`receive`] the way of
//! messages in; [`messages`] limits and compression; [`pollers`] who is woken; [`over`] the wait for a
//! served call's end; [`owner`] who sees to that; [`observe`] what is told of it.

#![expect(private_bounds, reason = "there are two sides, and both are in here")]

mod client;
mod messages;
mod observe;
mod over;
mod owner;
mod pending;
mod poll;
mod pollers;
mod receive;
mod reply;
mod server;

pub(crate) use client::{ClientCore, ClientOwner, OnlyReply};
pub(crate) use messages::{MessageRules, Outgoing};
pub(crate) use observe::Observer;
pub(crate) use over::Over;
pub(crate) use owner::Owner;
pub(crate) use receive::OnlyMessage;
pub use reply::Reply;
pub(crate) use server::CallCore;

use messages::{Compressed, Messages};
use observe::{Seen, Tally};
use pending::{Done, Pending};
use pollers::Pollers;

use super::Outcome;
use super::batch::{Batch, StartError, StartErrorCause};
use crate::cq::{self, PendingOp};
use crate::forked;
use crate::iomgr::{Deadline, ExecCtx, Iomgr, Run, Scheduled, TimerId};
use crate::status::{Code, Status};
use crate::sync::{AtomicBool, Mutex};
use crate::transport::MessageStream;
use bytes::Bytes;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

/// What a call ends with when its time is over.
const DEADLINE_PASSED: Status =
    Status::from_static(Code::DeadlineExceeded, "the call's deadline passed");

/// One end of a call, as its application and its transport know it.
pub(crate) struct Core<S: Side> {
    /// What only this end has, and does not change.
    side: S,
    deadline: Option<Instant>,
    iomgr: Arc<Iomgr>,
    scheduled: Scheduled,
    max_send_size: usize,
    /// What is sent has an encoding, or has had one. Set under the lock; a hint without it.
    may_compress: AtomicBool,
    /// Locked before h2's own locks. No batch completes and no user code runs under it.
    state: Mutex<State<S>>,
}

struct State<S: Side> {
    /// `None` once the call is over.
    stream: Option<Box<S::Stream>>,
    /// What it was cut off with.
    cause: Option<Status>,
    /// Why nothing can be sent any more, although the call may have more to tell.
    broken: Option<Status>,
    /// The deadline's, while the call lives.
    timer: Option<TimerId>,
    messages: Messages,
    tally: Tally,
    pending: Pending,
    pollers: Pollers,
    /// What only this end has.
    own: S::State,
}

/// What the two ends of a call do each in their own way.
trait Side: Sized + Send + Sync + 'static {
    type Stream: MessageStream + ?Sized;
    type State: Send;

    fn upcast(stream: Box<Self::Stream>) -> Box<dyn MessageStream>;

    /// Does what can be done now, in the order in which it must leave. An error ends the call.
    fn move_on(
        state: &mut State<Self>,
        context: &mut Context<'_>,
        done: &mut Done,
    ) -> Result<(), Status>;

    /// Cuts the call off, which its stream still has: with `status`, as far as this end has not heard
    /// or told another one.
    fn cut_off(state: &mut State<Self>, status: Status, done: &mut Done);

    /// What is pending on a call that is over completes.
    fn settle(state: &mut State<Self>, done: &mut Done);

    /// The call is the parent's of a process that was forked.
    fn disown(state: &mut State<Self>);

    /// The next message for one who polls, or `None` when there are no more.
    fn poll_next(
        state: &mut State<Self>,
        context: &mut Context<'_>,
        done: &mut Done,
    ) -> Poll<Result<Option<Bytes>, Status>>;

    /// The message that has begun is the last.
    fn begun_last(_stream: &mut Self::Stream) {}

    /// A message goes out that is in no batch.
    fn on_message(_state: &mut State<Self>) {}

    /// Whether a batch, none of whose operations is pending, can be started now.
    fn check(state: &State<Self>, batch: &Batch) -> Result<(), StartErrorCause>;

    /// A batch is about to be filed.
    fn on_file(state: &mut State<Self>, batch: &mut Batch);

    /// Tells what was noted. Called without the call's lock.
    fn tell(&self, _seen: Seen) {}
}

impl<S: Side> State<S> {
    fn new(stream: Box<S::Stream>, messages: Messages, tally: Tally, own: S::State) -> Self {
        Self {
            stream: Some(stream),
            cause: None,
            broken: None,
            timer: None,
            messages,
            tally,
            pending: Pending::default(),
            pollers: Pollers::default(),
            own,
        }
    }

    /// Does what can be done now.
    fn advance(&mut self, context: &mut Context<'_>, done: &mut Done) {
        if let Err(status) = S::move_on(self, context, done) {
            self.end(status, done);
        }
        if self.stream.is_none() {
            S::settle(self, done);
        }
    }

    /// The call is over before its time, unless it was already.
    fn end(&mut self, status: Status, done: &mut Done) {
        done.outlives(&status);
        if self.stream.is_some() {
            S::cut_off(self, status, done);
        }
    }

    /// The stream is not needed any more.
    fn let_go(&mut self, done: &mut Done) {
        done.stream = self.stream.take().map(S::upcast);
        done.seen.end = Some(self.tally);
        self.pollers.wake_all(done);
    }

    /// Goes on with the message that is being sent.
    ///
    /// # Errors
    /// It is none that can be sent. A stream that takes it no more is noted as broken.
    fn send_message(&mut self, context: &mut Context<'_>, done: &mut Done) -> Result<(), Status> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        let Some((id, message)) = &mut self.pending.message else { return Ok(()) };
        let id = *id;
        if let Some(message) = message.take() {
            let tally = &mut self.tally;
            let sealed = self.messages.seal(message);
            let begun = sealed.and_then(|(message, size)| {
                stream.begin_message(message).map(|()| tally.send(size, done))
            });
            if self.pending.close.is_some() {
                S::begun_last(&mut **stream);
            }
            if begun.is_err() {
                self.pending.message = None;
                self.pending.finish(id, false, done, |_| {});
                return begun;
            }
        }
        let Poll::Ready(sent) = stream.poll_send_message(context) else { return Ok(()) };
        self.pending.message = None;
        self.pending.finish(id, sent.is_ok(), done, |_| {});
        self.broken = sent.err();
        Ok(())
    }
}

impl<S: Side> Core<S> {
    /// A call with its stream, and the deadline's timer.
    fn with_stream(
        side: S,
        iomgr: Arc<Iomgr>,
        deadline: Option<Instant>,
        rules: MessageRules,
        mut state: State<S>,
    ) -> Arc<Self> {
        if let Some(stream) = &mut state.stream {
            stream.set_max_message_size(rules.max_receive_size);
        }
        let call = Arc::new(Self {
            side,
            deadline,
            iomgr,
            scheduled: Scheduled::default(),
            max_send_size: rules.max_send_size,
            may_compress: AtomicBool::new(state.messages.sends.is_some()),
            state: Mutex::new(state),
        });
        if let Some(deadline) = deadline {
            let timer = call.iomgr.timer_init(deadline, call.clone());
            call.state.lock().timer = Some(timer);
        }
        call
    }

    pub(crate) fn deadline(&self) -> Deadline {
        self.deadline.map_or(Deadline::NONE, Deadline::at)
    }

    /// Whether it has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.state.lock().stream.is_none()
    }

    pub(crate) fn start<T: Send + 'static>(
        self: &Arc<Self>,
        queue: &Arc<cq::Core<T, Outcome>>,
        batch: Batch,
        tag: T,
    ) -> Result<(), StartError<T>> {
        let _context = ExecCtx::enter();
        let message = batch.message.as_ref().filter(|_| !batch.is_uncompressed);
        let compressed = message.and_then(|message| self.compress(message));
        self.with_state(|state, context, done| {
            if let Err(cause) = state.check(&batch) {
                return Err(StartError::new(batch, tag, cause));
            }
            let op = match queue.begin_op(tag, None) {
                Ok(op) => op,
                Err(tag) => {
                    return Err(StartError::new(batch, tag, StartErrorCause::ShutDown));
                }
            };
            state.file(batch, compressed, op, done);
            state.advance(context, done);
            Ok(())
        })
    }

    /// Ends the call if its deadline has passed, and says whether it has.
    pub(crate) fn expire(self: &Arc<Self>) -> bool {
        let has_expired = self.has_expired();
        if has_expired {
            self.cancel(DEADLINE_PASSED);
        }
        has_expired
    }

    /// Ends the call with a status that the other end gets if it has had none.
    pub(crate) fn cancel(self: &Arc<Self>, status: Status) {
        let _context = ExecCtx::enter();
        self.with_state(|state, _, done| {
            // h2 may keep the call's waker for long, and drop it under its locks: what the
            // application has put into the status must be gone before.
            let cause = state.stream.is_some().then(|| status.without_leftovers());
            state.end(status, done);
            state.cause = cause.or_else(|| state.cause.take());
            S::settle(state, done);
        });
    }

    /// Works on the state under its lock, and then hands on what that brought, without it.
    ///
    /// Everything that moves a call on comes through here, so this is where its deadline ends it:
    /// what would come after that comes too late, also before the timer fires.
    fn with_state<R>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut State<S>, &mut Context<'_>, &mut Done) -> R,
    ) -> R {
        let waker = Waker::from(self.clone());
        let mut done = Done::default();
        let has_expired = self.has_expired();
        let (result, timer) = {
            let state = &mut *self.state.lock();
            if forked::is_forked() {
                // Its stream is the parent's, and so may be h2's locks.
                mem::forget(state.stream.take());
                S::disown(state);
            }
            if has_expired {
                state.end(DEADLINE_PASSED, &mut done);
                S::settle(state, &mut done);
            }
            let result = work(state, &mut Context::from_waker(&waker), &mut done);
            let timer = if state.stream.is_none() { state.timer.take() } else { None };
            (result, timer)
        };
        if let Some(timer) = timer.filter(|_| !forked::is_forked()) {
            self.iomgr.timer_cancel(timer);
        }
        self.side.tell(mem::take(&mut done.seen));
        done.settle();
        result
    }

    /// Whether its deadline has passed. Without one no clock is read.
    fn has_expired(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }
}

impl<S: Side> State<S> {
    /// Whether a batch can be started now.
    fn check(&self, batch: &Batch) -> Result<(), StartErrorCause> {
        match self.pending.conflict(batch) {
            Some(kind) => Err(StartErrorCause::Pending(kind)),
            None => S::check(self, batch),
        }
    }

    /// Files a batch that can be started.
    fn file(
        &mut self,
        mut batch: Batch,
        compressed: Option<Compressed>,
        op: PendingOp<Outcome>,
        done: &mut Done,
    ) {
        S::on_file(self, &mut batch);
        self.pending.file(batch, compressed, op, done);
    }
}

impl<S: Side> Run for Core<S> {
    fn run(self: Arc<Self>) {
        self.scheduled.clear();
        self.with_state(|state, context, done| {
            state.take_in(context);
            state.advance(context, done);
            state.pollers.wake_those_of_messages(done);
        });
    }
}

impl<S: Side> Wake for Core<S> {
    /// Only enqueues: h2 calls it under its locks.
    fn wake(self: Arc<Self>) {
        if self.scheduled.claim() {
            Iomgr::submit_own(self, |it| &it.iomgr);
        }
    }

    /// The same.
    fn wake_by_ref(self: &Arc<Self>) {
        if self.scheduled.claim() {
            self.iomgr.submit(self.clone());
        }
    }
}

#[cfg(all(test, not(turnstile_loom)))]
mod tests;
