//! One call: its pending batches, and how they make progress.
//!
//! A call is run (by the thread that finds one of its wakers fired) or used (by an application's
//! thread that starts a batch or cancels it). Both take the call's lock, make progress, and
//! complete batches, and drop what the call was given, after the lock is gone. [`poll`] has the
//! operations of handlers, which are polled instead of started; [`receive`] the way of messages in;
//! [`messages`] limits and compression; [`pollers`] who is woken; [`over`] the wait for its end;
//! [`owner`] who sees to that; [`observe`] what is told of a call.

mod messages;
mod observe;
mod over;
mod owner;
mod pending;
mod poll;
mod pollers;
mod receive;

pub(crate) use messages::{MessageRules, Outgoing};
pub(crate) use observe::Observer;
pub(crate) use over::Over;
pub(crate) use owner::Owner;
pub use poll::Reply;
pub(crate) use receive::OnlyMessage;

use messages::{Compressed, Messages};
use observe::Tally;
use pending::{Done, Pending};
use pollers::Pollers;
use receive::Arrival;

use super::Outcome;
use super::batch::{Batch, OpKind, StartError, StartErrorCause};
use crate::cq::{self, PendingOp};
use crate::forked;
use crate::iomgr::{Deadline, ExecCtx, Iomgr, Run, Scheduled, TimerId};
use crate::metadata::Metadata;
use crate::status::{Code, Status};
use crate::sync::{AtomicBool, Mutex};
use crate::transport::{Head, Stream};
use bytes::Bytes;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

/// What the client gets when its time is over.
const DEADLINE_PASSED: Status =
    Status::from_static(Code::DeadlineExceeded, "the call's deadline passed");

/// A call, as the server and its transport know it.
pub(crate) struct CallCore {
    head: Head,
    deadline: Option<Instant>,
    iomgr: Arc<Iomgr>,
    scheduled: Scheduled,
    observer: Observer,
    max_send_size: usize,
    /// Replies have an encoding, or have had one. Set under the lock; a hint without it.
    may_compress: AtomicBool,
    /// Locked before h2's own locks. No batch completes and no user code runs under it.
    state: Mutex<State>,
}

struct State {
    /// `None` once the call is over.
    stream: Option<Box<dyn Stream>>,
    /// Whether it was over before its status was sent. Of use once it is over.
    is_cancelled: bool,
    /// What it was cancelled with.
    cause: Option<Status>,
    /// The deadline's, while the call lives.
    timer: Option<TimerId>,
    /// Who waits for the only message, before the application knows of the call.
    arrival: Option<Arrival>,
    /// The only message of a call that waits for a thread.
    parked: Option<Bytes>,
    /// Nobody has asked for the call's close, but the server wants to know.
    is_watched: bool,
    progress: Sent,
    messages: Messages,
    tally: Tally,
    pending: Pending,
    /// Trailing metadata that a handler has set before it knows its status.
    trailers: Metadata,
    pollers: Pollers,
}

/// How far the sends have come, counting those that are pending.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Sent {
    #[default]
    Nothing,
    InitialMetadata,
    Status,
}

impl State {
    /// Does what can be done now, in the order in which it must leave.
    fn advance(&mut self, context: &mut Context<'_>, done: &mut Done) {
        let result = self
            .send_initial_metadata(done)
            .and_then(|()| self.send_message(context, done))
            .and_then(|()| self.send_status(done))
            .and_then(|()| self.receive_message(context, done))
            .and_then(|()| self.watch_cancel(context));
        if let Err(status) = result {
            self.end(Some(status), true, done);
        }
        if self.stream.is_none() {
            self.pending.fail_all(self.is_cancelled, done);
        }
    }

    fn send_initial_metadata(&mut self, done: &mut Done) -> Result<(), Status> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        let Some((id, metadata)) = self.pending.initial_metadata.take() else { return Ok(()) };
        let result = stream.send_initial_metadata(metadata, self.messages.replies);
        self.pending.finish(id, result.is_ok(), done, |_| {});
        result
    }

    fn send_message(&mut self, context: &mut Context<'_>, done: &mut Done) -> Result<(), Status> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        let Some((id, message)) = &mut self.pending.message else { return Ok(()) };
        let id = *id;
        let (messages, tally) = (&self.messages, &mut self.tally);
        let begin = |message: Outgoing| {
            let (message, size) = messages.seal(message)?;
            stream.begin_message(message).map(|()| tally.send(size, done))
        };
        let result = match message.take().map_or(Ok(()), begin) {
            Ok(()) => match stream.poll_send_message(context) {
                Poll::Pending => return Ok(()),
                Poll::Ready(result) => result,
            },
            Err(status) => Err(status),
        };
        self.pending.message = None;
        self.pending.finish(id, result.is_ok(), done, |_| {});
        result
    }

    fn send_status(&mut self, done: &mut Done) -> Result<(), Status> {
        // The status follows the message.
        if self.pending.message.is_some() {
            return Ok(());
        }
        let Some(stream) = &mut self.stream else { return Ok(()) };
        let Some((id, status)) = self.pending.status.take() else { return Ok(()) };
        done.outlives(&status);
        self.tally.status = Some(status.code());
        let result = stream.send_status(status);
        self.pending.finish(id, result.is_ok(), done, |_| {});
        if result.is_ok() {
            self.end(None, false, done);
        }
        result
    }

    fn watch_cancel(&mut self, context: &mut Context<'_>) -> Result<(), Status> {
        let is_wanted = self.pending.receive_close.is_some() || self.is_watched;
        let Some(stream) = self.stream.as_mut().filter(|_| is_wanted) else { return Ok(()) };
        match stream.poll_cancelled(context) {
            Poll::Ready(status) => Err(status),
            Poll::Pending => Ok(()),
        }
    }

    /// The call is over. `status` is for the client, if it has had none.
    fn end(&mut self, status: Option<Status>, is_cancelled: bool, done: &mut Done) {
        status.iter().for_each(|status| done.outlives(status));
        let Some(mut stream) = self.stream.take() else { return };
        if let Some(status) = status {
            self.tally.status = Some(status.code());
            self.cause = Some(status.clone());
            // If the stream has failed, nobody is there to hear it.
            let _ = stream.send_status(status.and_metadata(mem::take(&mut self.trailers)));
        }
        done.stream = Some(stream);
        done.seen.end = Some(self.tally);
        self.is_cancelled = is_cancelled;
        self.progress = Sent::Status;
        if let Some(arrival) = self.arrival.take() {
            done.arrival = Some((arrival.then, None));
        }
        done.drop_message(self.parked.take().map(Outgoing::from));
        self.pollers.wake_all(done);
    }
}

impl CallCore {
    /// A call whose request has come over `stream`.
    pub(crate) fn new(
        head: Head,
        mut stream: Box<dyn Stream>,
        iomgr: Arc<Iomgr>,
        mut observer: Observer,
        rules: MessageRules,
    ) -> Arc<Self> {
        stream.set_max_message_size(rules.max_receive_size);
        observer.begin(&head);
        let tally = Tally::new(observer.has_stats());
        let messages = Messages::new(rules, &head);
        let deadline = head.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let call = Arc::new(Self {
            head,
            deadline,
            iomgr,
            scheduled: Scheduled::default(),
            observer,
            max_send_size: rules.max_send_size,
            may_compress: AtomicBool::new(messages.replies.is_some()),
            state: Mutex::new(State {
                stream: Some(stream),
                is_cancelled: false,
                cause: None,
                timer: None,
                arrival: None,
                parked: None,
                is_watched: false,
                progress: Sent::Nothing,
                messages,
                tally,
                pending: Pending::default(),
                trailers: Metadata::new(),
                pollers: Pollers::default(),
            }),
        });
        if let Some(deadline) = deadline {
            let timer = call.iomgr.timer_init(deadline, call.clone());
            call.state.lock().timer = Some(timer);
        }
        call
    }

    /// The threads of the queue that the call's operations will come out of wait for its connection.
    /// If that cannot be had, the call ends.
    pub(crate) fn wait_with(self: &Arc<Self>, request: &PendingOp<Outcome>) {
        if self.iomgr.keeps_pollsets_apart()
            && let Some(pollset) = request.companion()
            && let Err(error) = self.head.peer.add_to(&pollset)
        {
            tracing::error!(%error, "a queue cannot wait for its call's connection; raise the limit \
                                     of open files (ulimit -n)");
            self.cancel(Status::resource_exhausted("the server cannot wait for this call"));
        }
    }

    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    pub(crate) fn deadline(&self) -> Deadline {
        self.deadline.map_or(Deadline::NONE, Deadline::at)
    }

    /// Whether it has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.state.lock().stream.is_none()
    }

    /// Looks out for the client's going away although no batch asks for it.
    pub(crate) fn watch(self: &Arc<Self>, is_watched: bool) {
        self.with_state(|state, context, done| {
            state.is_watched = is_watched;
            state.advance(context, done);
        });
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

    /// Ends the call with a status that the client gets if it has had none.
    pub(crate) fn cancel(self: &Arc<Self>, status: Status) {
        let _context = ExecCtx::enter();
        self.with_state(|state, _, done| {
            // h2 may keep the call's waker for long, and drop it under its locks: what the
            // application has put into the status must be gone before.
            let cause = state.stream.is_some().then(|| status.without_leftovers());
            state.end(Some(status), true, done);
            state.cause = cause.or_else(|| state.cause.take());
            state.pending.fail_all(state.is_cancelled, done);
        });
    }

    /// Works on the state under its lock, and then hands on what that brought, without it.
    ///
    /// Everything that moves a call on comes through here, so this is where its deadline ends it:
    /// what would come after that comes too late, also before the timer fires.
    fn with_state<R>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut State, &mut Context<'_>, &mut Done) -> R,
    ) -> R {
        let waker = Waker::from(self.clone());
        let mut done = Done::default();
        let has_expired = self.has_expired();
        let (result, timer) = {
            let state = &mut *self.state.lock();
            if forked::is_forked() {
                // Its stream is the parent's, and so may be h2's locks.
                mem::forget(state.stream.take());
                state.is_cancelled = true;
            }
            if has_expired {
                state.end(Some(DEADLINE_PASSED), true, &mut done);
                state.pending.fail_all(state.is_cancelled, &mut done);
            }
            let result = work(state, &mut Context::from_waker(&waker), &mut done);
            let timer = if state.stream.is_none() { state.timer.take() } else { None };
            (result, timer)
        };
        if let Some(timer) = timer.filter(|_| !forked::is_forked()) {
            self.iomgr.timer_cancel(timer);
        }
        self.observer.tell(&self.head, mem::take(&mut done.seen));
        done.settle();
        result
    }

    /// Whether its deadline has passed. Without one no clock is read.
    fn has_expired(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }
}

impl State {
    /// Whether a batch can be started now.
    fn check(&self, batch: &Batch) -> Result<(), StartErrorCause> {
        if let Some(kind) = self.pending.conflict(batch) {
            return Err(StartErrorCause::Pending(kind));
        }
        // On a call that has ended by itself, sends fail by their event, like those under way.
        if self.is_cancelled {
            return Ok(());
        }
        if batch.initial_metadata.is_some() && self.progress >= Sent::InitialMetadata {
            return Err(StartErrorCause::AlreadySent(OpKind::SendInitialMetadata));
        }
        let late = self.progress == Sent::Status;
        match () {
            () if late && batch.message.is_some() => {
                Err(StartErrorCause::AlreadySent(OpKind::SendMessage))
            }
            () if late && batch.status.is_some() => {
                Err(StartErrorCause::AlreadySent(OpKind::SendStatus))
            }
            () => Ok(()),
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
        if batch.message.is_some() && self.progress == Sent::Nothing {
            // The message's head; it completes with the message.
            batch.initial_metadata.get_or_insert_default();
        }
        if batch.initial_metadata.is_some() {
            self.progress = self.progress.max(Sent::InitialMetadata);
        }
        if batch.status.is_some() {
            self.progress = Sent::Status;
        }
        self.pending.file(batch, compressed, op, done);
    }
}

impl Run for CallCore {
    fn run(self: Arc<Self>) {
        self.scheduled.clear();
        self.with_state(|state, context, done| {
            state.take_in(context);
            state.advance(context, done);
            state.pollers.wake_those_of_messages(done);
        });
    }
}

impl Wake for CallCore {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    /// Only enqueues: h2 calls it under its locks.
    fn wake_by_ref(self: &Arc<Self>) {
        if self.scheduled.claim() {
            self.iomgr.submit(self.clone());
        }
    }
}

#[cfg(all(test, not(turnstile_loom)))]
mod tests;
