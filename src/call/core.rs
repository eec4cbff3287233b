//! One call: its pending batches, and how they make progress.
//!
//! A call is run (by the thread that finds one of its wakers fired) or used (by an application's
//! thread that starts a batch or cancels it). Both take the call's lock, make progress, and
//! complete batches after the lock is gone.

use super::Outcome;
use super::batch::{Batch, OpKind, StartError, StartErrorCause};
use super::event::BatchOutcome;
use super::few::Few;
use crate::cq::{self, PendingOp};
use crate::iomgr::{Deadline, ExecCtx, Iomgr, Run, Scheduled, TimerId};
use crate::metadata::Metadata;
use crate::status::{Code, Status};
use crate::sync::Mutex;
use crate::transport::{Head, Message, Stream};
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

/// A call, as the server and its transport know it.
pub(crate) struct CallCore {
    head: Head,
    deadline: Option<Instant>,
    iomgr: Arc<Iomgr>,
    scheduled: Scheduled,
    state: Mutex<State>,
}

struct State {
    /// `None` once the call is over.
    stream: Option<Box<dyn Stream>>,
    /// Whether it was over before its status was sent. Of use once it is over.
    is_cancelled: bool,
    /// The deadline's, while the call lives.
    timer: Option<TimerId>,
    /// Who waits for the first message, before the application knows of the call.
    first_message: Option<FirstMessage>,
    /// Nobody has asked for the call's close, but the server wants to know.
    is_watched: bool,
    progress: Sent,
    pending: Pending,
}

/// A function that gets a call's first message, or `None` if the call ends without one.
pub(crate) type FirstMessage = Box<dyn FnOnce(Option<Bytes>) + Send>;

/// How far the sends have come, counting those that are pending.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Sent {
    #[default]
    Nothing,
    InitialMetadata,
    Status,
}

/// The pending operations, each with the batch it belongs to, and the batches.
#[derive(Default)]
struct Pending {
    initial_metadata: Option<(BatchId, Metadata)>,
    /// The message is taken out when the stream begins to send it.
    message: Option<(BatchId, Option<Message>)>,
    status: Option<(BatchId, Status)>,
    receive_message: Option<BatchId>,
    receive_close: Option<BatchId>,
    batches: Few<PendingBatch>,
    next_batch: BatchId,
}

/// Names a pending batch of a call.
type BatchId = u64;

struct PendingBatch {
    id: BatchId,
    op: PendingOp<Outcome>,
    /// How many of its operations are not done.
    left: usize,
    is_ok: bool,
    outcome: BatchOutcome,
}

/// What is to be done once the call's lock is gone. Most often one batch completes.
#[derive(Default)]
struct Done {
    batches: Few<PendingBatch>,
    first_message: Option<(FirstMessage, Option<Bytes>)>,
}

impl Done {
    /// Hands everything on. Called without locks.
    fn settle(self) {
        for batch in self.batches {
            batch.op.complete(batch.is_ok, batch.outcome.into());
        }
        if let Some((then, message)) = self.first_message {
            then(message);
        }
    }
}

impl Pending {
    /// The kind of the batch's that is pending already.
    fn conflict(&self, batch: &Batch) -> Option<OpKind> {
        OpKind::ALL.into_iter().find(|kind| {
            batch.has(*kind)
                && match kind {
                    OpKind::SendInitialMetadata => self.initial_metadata.is_some(),
                    OpKind::SendMessage => self.message.is_some(),
                    OpKind::SendStatus => self.status.is_some(),
                    OpKind::ReceiveMessage => self.receive_message.is_some(),
                    OpKind::ReceiveClose => self.receive_close.is_some(),
                }
        })
    }

    /// Files a batch and its operations. A batch without any is done at once.
    fn file(&mut self, batch: Batch, op: PendingOp<Outcome>, done: &mut Done) {
        let id = self.next_batch;
        self.next_batch += 1;
        let left = OpKind::ALL.into_iter().filter(|kind| batch.has(*kind)).count();
        let outcome = BatchOutcome::default();
        let pending = PendingBatch { id, op, left, is_ok: true, outcome };
        if left == 0 {
            return done.batches.push(pending);
        }
        self.batches.push(pending);
        let Batch { initial_metadata, message, status, receives_message, receives_close } = batch;
        if let Some(metadata) = initial_metadata {
            self.initial_metadata = Some((id, metadata));
        }
        if let Some(data) = message {
            self.message = Some((id, Some(Message { compressed: false, data })));
        }
        if let Some(status) = status {
            self.status = Some((id, status));
        }
        if receives_message {
            self.receive_message = Some(id);
        }
        if receives_close {
            self.receive_close = Some(id);
        }
    }

    /// One operation of a batch is done.
    fn finish(
        &mut self,
        id: BatchId,
        is_ok: bool,
        done: &mut Done,
        fill: impl FnOnce(&mut BatchOutcome),
    ) {
        let Some(batch) = self.batches.find(|batch| batch.id == id) else { return };
        batch.is_ok &= is_ok;
        fill(&mut batch.outcome);
        batch.left -= 1;
        if batch.left == 0 {
            let batch = self.batches.take(|batch| batch.id == id);
            batch.into_iter().for_each(|batch| done.batches.push(batch));
        }
    }

    /// Everything that is pending fails, except that the close has come.
    fn fail_all(&mut self, is_cancelled: bool, done: &mut Done) {
        let failing = [
            self.initial_metadata.take().map(|(id, _)| id),
            self.message.take().map(|(id, _)| id),
            self.status.take().map(|(id, _)| id),
            self.receive_message.take(),
        ];
        for id in failing.into_iter().flatten() {
            self.finish(id, false, done, |_| {});
        }
        if let Some(id) = self.receive_close.take() {
            self.finish(id, true, done, |outcome| outcome.is_cancelled = is_cancelled);
        }
    }
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
        let result = stream.send_initial_metadata(metadata);
        self.pending.finish(id, result.is_ok(), done, |_| {});
        result
    }

    fn send_message(&mut self, context: &mut Context<'_>, done: &mut Done) -> Result<(), Status> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        let Some((id, message)) = &mut self.pending.message else { return Ok(()) };
        let id = *id;
        let result = match message.take().map_or(Ok(()), |message| stream.begin_message(message)) {
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
        let result = stream.send_status(status);
        self.pending.finish(id, result.is_ok(), done, |_| {});
        if result.is_ok() {
            self.end(None, false, done);
        }
        result
    }

    fn receive_message(
        &mut self,
        context: &mut Context<'_>,
        done: &mut Done,
    ) -> Result<(), Status> {
        let is_wanted = self.pending.receive_message.is_some() || self.first_message.is_some();
        let Some(stream) = self.stream.as_mut().filter(|_| is_wanted) else { return Ok(()) };
        let Poll::Ready(result) = stream.poll_message(context) else { return Ok(()) };
        let message = result?.map(|message| message.data);
        if let Some(then) = self.first_message.take() {
            done.first_message = Some((then, message));
        } else if let Some(id) = self.pending.receive_message.take() {
            self.pending.finish(id, true, done, |outcome| outcome.message = message);
        }
        Ok(())
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
        let Some(mut stream) = self.stream.take() else { return };
        if let Some(status) = status {
            // If the stream has failed, nobody is there to hear it.
            let _ = stream.send_status(status);
        }
        self.is_cancelled = is_cancelled;
        self.progress = Sent::Status;
        if let Some(then) = self.first_message.take() {
            done.first_message = Some((then, None));
        }
    }
}

impl CallCore {
    /// A call whose request has come over `stream`.
    pub(crate) fn new(head: Head, stream: Box<dyn Stream>, iomgr: Arc<Iomgr>) -> Arc<Self> {
        let deadline = head.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let call = Arc::new(Self {
            head,
            deadline,
            iomgr,
            scheduled: Scheduled::default(),
            state: Mutex::new(State {
                stream: Some(stream),
                is_cancelled: false,
                timer: None,
                first_message: None,
                is_watched: false,
                progress: Sent::Nothing,
                pending: Pending::default(),
            }),
        });
        if let Some(deadline) = deadline {
            let timer = call.iomgr.timer_init(deadline, call.clone());
            call.state.lock().timer = Some(timer);
        }
        call
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

    /// Takes in what has come already. To be called once, before anybody uses the call.
    pub(crate) fn begin(self: &Arc<Self>) {
        self.with_state(|state, context, _| state.take_in(context));
    }

    /// The same with the first message, `None` if the client sends none. If it is not there in
    /// full, `later` makes a function that gets it.
    pub(crate) fn begin_with_message(
        self: &Arc<Self>,
        later: impl FnOnce() -> FirstMessage,
    ) -> Poll<Option<Bytes>> {
        self.with_state(|state, context, done| {
            state.take_in(context);
            let Some(stream) = &mut state.stream else { return Poll::Ready(None) };
            match stream.poll_message(context) {
                Poll::Ready(Ok(message)) => Poll::Ready(message.map(|message| message.data)),
                Poll::Ready(Err(status)) => {
                    state.end(Some(status), true, done);
                    Poll::Ready(None)
                }
                Poll::Pending => {
                    state.first_message = Some(later());
                    Poll::Pending
                }
            }
        })
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
            state.file(batch, op, done);
            state.advance(context, done);
            Ok(())
        })
    }

    /// Ends the call with a status that the client gets if it has had none.
    pub(crate) fn cancel(self: &Arc<Self>, status: Status) {
        let _context = ExecCtx::enter();
        self.with_state(|state, _, done| {
            state.end(Some(status), true, done);
            state.pending.fail_all(state.is_cancelled, done);
        });
    }

    /// The application has let go of the call. What it has started still completes.
    fn abandon(self: &Arc<Self>) {
        let has_status = self.state.lock().progress == Sent::Status;
        if !has_status {
            self.cancel(Status::internal("the server let go of the call without a status"));
        }
    }

    /// Works on the state under its lock, and then hands on what that brought, without it.
    fn with_state<R>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut State, &mut Context<'_>, &mut Done) -> R,
    ) -> R {
        let waker = Waker::from(self.clone());
        let mut done = Done::default();
        let (result, timer) = {
            let state = &mut *self.state.lock();
            let result = work(state, &mut Context::from_waker(&waker), &mut done);
            let timer = if state.stream.is_none() { state.timer.take() } else { None };
            (result, timer)
        };
        if let Some(timer) = timer {
            self.iomgr.timer_cancel(timer);
        }
        done.settle();
        result
    }

    fn has_expired(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }
}

impl State {
    fn take_in(&mut self, context: &mut Context<'_>) {
        if let Some(stream) = &mut self.stream {
            stream.take_in(context);
        }
    }

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
    fn file(&mut self, mut batch: Batch, op: PendingOp<Outcome>, done: &mut Done) {
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
        self.pending.file(batch, op, done);
    }
}

impl Run for CallCore {
    fn run(self: Arc<Self>) {
        self.scheduled.clear();
        let has_expired = self.has_expired();
        self.with_state(|state, context, done| {
            state.take_in(context);
            state.advance(context, done);
            if has_expired && state.stream.is_some() {
                let status = Status::new(Code::DeadlineExceeded, "the call's deadline passed");
                state.end(Some(status), true, done);
                state.pending.fail_all(true, done);
            }
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

/// The one who must see to it that a call gets a status. Dropping it ends the call.
pub(crate) struct Owner(Arc<CallCore>);

impl Owner {
    pub(crate) fn new(core: Arc<CallCore>) -> Self {
        Self(core)
    }

    pub(crate) fn core(&self) -> &Arc<CallCore> {
        &self.0
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Owner").field(&self.0.head().method()).finish()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.abandon();
    }
}
