//! The server's end of a call.

use super::messages::{MessageRules, Messages};
use super::observe::{Observer, Seen, Tally};
use super::pending::Done;
use super::receive::Arrival;
use super::{Core, Outgoing, Side, State};
use crate::call::Outcome;
use crate::call::batch::{Batch, OpKind, StartErrorCause};
use crate::cq::PendingOp;
use crate::iomgr::Iomgr;
use crate::metadata::Metadata;
use crate::status::Status;
use crate::transport::{Head, MessageStream, Stream};
use bytes::Bytes;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

/// A call, as the server and its transport know it.
pub(crate) type CallCore = Core<Server>;

/// The server's end.
pub(crate) struct Server {
    pub(super) head: Head,
    observer: Observer,
}

/// What a call has at the server only.
pub(crate) struct Served {
    /// Whether it was over before its status was sent. Of use once it is over.
    pub(super) is_cancelled: bool,
    /// Who waits for the only message, before the application knows of the call.
    pub(super) arrival: Option<Arrival>,
    /// The only message of a call that waits for a thread.
    pub(super) parked: Option<Bytes>,
    /// Nobody has asked for the call's close, but the server wants to know.
    pub(super) is_watched: bool,
    pub(super) progress: Sent,
    /// Trailing metadata that a handler has set before it knows its status.
    pub(super) trailers: Metadata,
}

/// How far the sends have come, counting those that are pending.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sent {
    #[default]
    Nothing,
    InitialMetadata,
    Status,
}

impl CallCore {
    /// A call whose request has come over `stream`.
    pub(crate) fn new(
        head: Head,
        stream: Box<dyn Stream>,
        iomgr: Arc<Iomgr>,
        mut observer: Observer,
        rules: MessageRules,
    ) -> Arc<Self> {
        observer.begin(&head);
        let tally = Tally::new(observer.has_stats());
        // The header is looked at only if there is something to choose.
        let replies = rules.compression.filter(|encoding| head.accepts(*encoding));
        let messages = Messages::new(rules, head.encoding, replies);
        let deadline = head.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let own = Served {
            is_cancelled: false,
            arrival: None,
            parked: None,
            is_watched: false,
            progress: Sent::Nothing,
            trailers: Metadata::new(),
        };
        let state = State::new(stream, messages, tally, own);
        Self::with_stream(Server { head, observer }, iomgr, deadline, rules, state)
    }

    /// The threads of the queue that the call's operations will come out of wait for its connection.
    /// If that cannot be had, the call ends.
    pub(crate) fn wait_with(self: &Arc<Self>, request: &PendingOp<Outcome>) {
        if self.iomgr.keeps_pollsets_apart()
            && let Some(pollset) = request.companion()
            && let Err(error) = self.head().peer.add_to(&pollset)
        {
            tracing::error!(%error, "a queue cannot wait for its call's connection; raise the limit \
                                     of open files (ulimit -n)");
            self.cancel(Status::resource_exhausted("the server cannot wait for this call"));
        }
    }

    pub(crate) fn head(&self) -> &Head {
        &self.side.head
    }

    /// Looks out for the client's going away although no batch asks for it.
    pub(crate) fn watch(self: &Arc<Self>, is_watched: bool) {
        self.with_state(|state, context, done| {
            state.own.is_watched = is_watched;
            state.advance(context, done);
        });
    }

    /// Whether it was over before its status was sent.
    pub(crate) fn is_cancelled(&self) -> bool {
        let state = self.state.lock();
        if state.stream.is_none() { state.own.is_cancelled } else { self.has_expired() }
    }
}

impl Side for Server {
    type Stream = dyn Stream;
    type State = Served;

    fn upcast(stream: Box<dyn Stream>) -> Box<dyn MessageStream> {
        stream
    }

    fn move_on(
        state: &mut State<Self>,
        context: &mut Context<'_>,
        done: &mut Done,
    ) -> Result<(), Status> {
        state.send_initial_metadata(done)?;
        state.send_message(context, done)?;
        // Who takes no message takes no status either.
        state.broken.take().map_or(Ok(()), Err)?;
        state.send_status(done)?;
        state.receive_message(context, done)?;
        state.watch_cancel(context)
    }

    /// The client hears `status`, if it has had none.
    fn cut_off(state: &mut State<Self>, status: Status, done: &mut Done) {
        state.tally.status = Some(status.code());
        state.cause = Some(status.clone());
        if let Some(stream) = &mut state.stream {
            let status = status.and_metadata(mem::take(&mut state.own.trailers));
            // If the stream has failed, nobody is there to hear it.
            let _ = stream.send_status(status);
        }
        state.close(true, done);
    }

    /// Everything fails, except that the close has come.
    fn settle(state: &mut State<Self>, done: &mut Done) {
        state.pending.fail_sends(done);
        state.pending.fail_receive(done);
        let is_cancelled = state.own.is_cancelled;
        if let Some(id) = state.pending.receive_close.take() {
            state.pending.finish(id, true, done, |outcome| outcome.is_cancelled = is_cancelled);
        }
    }

    fn disown(state: &mut State<Self>) {
        state.own.is_cancelled = true;
    }

    /// What is wrong with the stream ends the call, whatever the handler makes of it.
    fn poll_next(
        state: &mut State<Self>,
        context: &mut Context<'_>,
        done: &mut Done,
    ) -> Poll<Result<Option<Bytes>, Status>> {
        if state.stream.is_none() {
            return Poll::Ready(Err(state.cause_of_end()));
        }
        let next = ready!(state.next_message(context, done));
        if let Err(status) = &next {
            state.end(status.clone(), done);
            Self::settle(state, done);
        }
        Poll::Ready(next)
    }

    fn on_message(state: &mut State<Self>) {
        if state.own.progress < Sent::InitialMetadata {
            state.file_initial_metadata(Metadata::new());
        }
    }

    fn check(state: &State<Self>, batch: &Batch) -> Result<(), StartErrorCause> {
        if let Some(kind) = batch.first_of_the_clients() {
            return Err(StartErrorCause::OtherEnd(kind));
        }
        // On a call that has ended by itself, sends fail by their event, like those under way.
        if state.own.is_cancelled {
            return Ok(());
        }
        let progress = state.own.progress;
        if batch.initial_metadata.is_some() && progress >= Sent::InitialMetadata {
            return Err(StartErrorCause::AlreadySent(OpKind::SendInitialMetadata));
        }
        let late = progress == Sent::Status;
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

    fn on_file(state: &mut State<Self>, batch: &mut Batch) {
        let progress = &mut state.own.progress;
        if batch.message.is_some() && *progress == Sent::Nothing {
            // The message's head; it completes with the message.
            batch.initial_metadata.get_or_insert_default();
        }
        if batch.initial_metadata.is_some() {
            *progress = (*progress).max(Sent::InitialMetadata);
        }
        if batch.status.is_some() {
            *progress = Sent::Status;
        }
    }

    fn tell(&self, seen: Seen) {
        self.observer.tell(&self.head, seen);
    }
}

impl State<Server> {
    fn send_initial_metadata(&mut self, done: &mut Done) -> Result<(), Status> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        let Some((id, metadata)) = self.pending.initial_metadata.take() else { return Ok(()) };
        let result = stream.send_initial_metadata(metadata, self.messages.sends);
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
            self.close(false, done);
        }
        result
    }

    fn watch_cancel(&mut self, context: &mut Context<'_>) -> Result<(), Status> {
        let is_wanted = self.pending.receive_close.is_some() || self.own.is_watched;
        let Some(stream) = self.stream.as_mut().filter(|_| is_wanted) else { return Ok(()) };
        match stream.poll_cancelled(context) {
            Poll::Ready(status) => Err(status),
            Poll::Pending => Ok(()),
        }
    }

    /// The call is over.
    fn close(&mut self, is_cancelled: bool, done: &mut Done) {
        if let Some(arrival) = self.own.arrival.take() {
            done.arrival = Some((arrival.then, None));
        }
        done.drop_message(self.own.parked.take().map(Outgoing::from));
        self.own.is_cancelled = is_cancelled;
        self.own.progress = Sent::Status;
        self.let_go(done);
    }
}
