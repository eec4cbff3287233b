//! The client's end of a call.

use super::messages::{MessageRules, Messages};
use super::observe::Tally;
use super::pending::Done;
use super::{Core, Outgoing, Side, State};
use crate::call::batch::{Batch, OpKind, StartErrorCause};
use crate::forked;
use crate::iomgr::{ExecCtx, Iomgr};
use crate::metadata::Metadata;
use crate::status::{Code, Status};
use crate::transport::{ClientStream, MessageStream};
use bytes::Bytes;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use std::{fmt, mem};

mod stub;

pub(crate) use stub::OnlyReply;

/// "Response cardinality violation" of gRPC's status code document.
const NO_REPLY: Status = Status::from_static(
    Code::Unimplemented,
    "the server has ended the call with OK and sent no reply, and the method has one",
);
const SECOND_REPLY: Status = Status::from_static(
    Code::Unimplemented,
    "the server has sent a second reply, and the method has one",
);

/// A call, as the client that has made it knows it.
pub(crate) type ClientCore = Core<Client>;

/// The client's end.
pub(crate) struct Client(());

/// The one whose call it is. Dropping it cancels the call, unless that is over.
pub(crate) struct ClientOwner(Arc<ClientCore>);

impl ClientOwner {
    pub(crate) fn core(&self) -> &Arc<ClientCore> {
        &self.0
    }
}

impl fmt::Debug for ClientOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientOwner").finish_non_exhaustive()
    }
}

impl Drop for ClientOwner {
    fn drop(&mut self) {
        if !forked::leaks(&self.0) && !self.0.is_over() {
            self.0.cancel(Status::cancelled("the application has let go of the call"));
        }
    }
}

/// What a call has at the client only.
pub(crate) struct Made {
    is_half_closed: bool,
    answer: Answer,
    /// A message that came when the status was looked for: the next to be received.
    next: Option<Bytes>,
    /// The last message has been received, or taken as the next.
    is_at_end: bool,
    /// The method has exactly one reply: none, or a second one, is an error.
    has_one_reply: bool,
    /// It has come.
    has_reply: bool,
}

/// The initial metadata of the server.
enum Answer {
    Awaited,
    Come(Metadata),
    /// It was received, or there is none.
    Taken,
}

impl ClientCore {
    /// A call that has begun on `stream`, and sends what is compressed as `rules` say.
    pub(crate) fn begun(
        stream: Box<dyn ClientStream>,
        iomgr: Arc<Iomgr>,
        deadline: Option<Instant>,
        rules: MessageRules,
    ) -> ClientOwner {
        let messages = Messages::new(rules, None, rules.compression);
        let answer = Answer::Awaited;
        let own = Made {
            is_half_closed: false,
            answer,
            next: None,
            is_at_end: false,
            has_one_reply: false,
            has_reply: false,
        };
        let state = State::new(stream, messages, Tally::new(false), own);
        ClientOwner(Self::with_stream(Client(()), iomgr, deadline, rules, state))
    }

    /// The initial metadata that the server answers with; empty if the call ended without.
    pub(crate) fn poll_initial_metadata(
        self: &Arc<Self>,
        poller: &mut Context<'_>,
    ) -> Poll<Metadata> {
        let _context = ExecCtx::enter();
        self.poll_state(poller, |state, context, done, poller| {
            state.advance(context, done);
            let answer =
                state.poll_answer(context).map(|()| state.take_metadata().unwrap_or_default());
            if answer.is_pending() {
                poller.wait_in(&mut state.pollers.read, done);
            }
            answer
        })
    }

    /// How the call ended, once every message has been received.
    pub(crate) fn poll_status(self: &Arc<Self>, poller: &mut Context<'_>) -> Poll<Status> {
        let _context = ExecCtx::enter();
        self.poll_state(poller, |state, context, done, poller| {
            state.advance(context, done);
            let status = state.poll_status(context, done);
            if status.is_pending() {
                poller.wait_in(&mut state.pollers.read, done);
            }
            status
        })
    }

    /// No more messages come, after the one that is being sent.
    pub(crate) fn half_close(self: &Arc<Self>) {
        let _context = ExecCtx::enter();
        self.with_state(|state, context, done| {
            if !mem::replace(&mut state.own.is_half_closed, true) {
                state.pending.close = Some(super::pending::NO_BATCH);
            }
            state.advance(context, done);
        });
    }
}

impl Side for Client {
    type Stream = dyn ClientStream;
    type State = Made;

    fn upcast(stream: Box<dyn ClientStream>) -> Box<dyn MessageStream> {
        stream
    }

    fn begun_last(stream: &mut Self::Stream) {
        stream.begun_last();
    }

    fn move_on(
        state: &mut State<Self>,
        context: &mut Context<'_>,
        done: &mut Done,
    ) -> Result<(), Status> {
        // A stream that takes no more may have a status to tell, so that does not end the call.
        state.send_message(context, done)?;
        state.send_close(context, done);
        state.receive_metadata(context, done);
        state.receive_message(context, done);
        state.receive_status(context, done);
        Ok(())
    }

    /// The server sees that the call is cancelled.
    fn cut_off(state: &mut State<Self>, status: Status, done: &mut Done) {
        let mut status = status;
        if let Some(stream) = &mut state.stream {
            status = match stream.waits_for() {
                Some(what) if status.code() == Code::DeadlineExceeded => {
                    Status::deadline_exceeded(format!("{}; {what}", status.message()))
                }
                _ => status,
            };
            stream.cancel(status.clone());
        }
        done.drop_message(state.own.next.take().map(Outgoing::from));
        state.over(status, done);
    }

    /// What is to be sent fails; what is to be received ends, since the status says how.
    fn settle(state: &mut State<Self>, done: &mut Done) {
        state.pending.fail_sends(done);
        if let Some(id) = state.pending.receive_metadata.take() {
            let metadata = state.take_metadata();
            state.pending.finish(id, true, done, |it| it.received().metadata = metadata);
        }
        if let Some(id) = state.pending.receive_message.take() {
            state.pending.finish(id, true, done, |_| {});
        }
        if let Some(id) = state.pending.receive_status.take() {
            let status = state.cause_of_end();
            state.pending.finish(id, true, done, |it| it.received().status = Some(status));
        }
    }

    fn disown(state: &mut State<Self>) {
        let status =
            || Status::cancelled("the call is that of the process that this was forked off");
        state.cause.get_or_insert_with(status);
    }

    fn poll_next(
        state: &mut State<Self>,
        context: &mut Context<'_>,
        done: &mut Done,
    ) -> Poll<Result<Option<Bytes>, Status>> {
        if let Some(message) = state.own.next.take() {
            // Who waits for the status can go on.
            state.pollers.wake_those_of_messages(done);
            return Poll::Ready(Ok(Some(message)));
        }
        if state.own.is_at_end || state.stream.is_none() {
            return Poll::Ready(Ok(None));
        }
        ready!(state.poll_answer(context));
        let next = ready!(state.next_message(context, done)).unwrap_or_else(|status| {
            // If it has ended otherwise, the stream tells.
            state.stream.iter_mut().for_each(|stream| stream.cancel(status.clone()));
            None
        });
        let next = state.allowed(next, done);
        state.own.is_at_end = next.is_none();
        Poll::Ready(Ok(next))
    }

    fn check(state: &State<Self>, batch: &Batch) -> Result<(), StartErrorCause> {
        if let Some(kind) = batch.first_of_the_servers() {
            return Err(StartErrorCause::OtherEnd(kind));
        }
        // On a call that has ended by itself, sends fail by their event, like those under way.
        if state.stream.is_none() || !state.own.is_half_closed {
            return Ok(());
        }
        match () {
            () if batch.message.is_some() => Err(StartErrorCause::AlreadySent(OpKind::SendMessage)),
            () if batch.closes => Err(StartErrorCause::AlreadySent(OpKind::SendClose)),
            () => Ok(()),
        }
    }

    fn on_file(state: &mut State<Self>, batch: &mut Batch) {
        state.own.is_half_closed |= batch.closes;
        state.own.has_one_reply |= batch.receives_only_message;
    }
}

impl State<Client> {
    /// The message, if there may be one more.
    fn allowed(&mut self, message: Option<Bytes>, done: &mut Done) -> Option<Bytes> {
        let own = &mut self.own;
        let message = message?;
        if own.has_one_reply && mem::replace(&mut own.has_reply, true) {
            done.drop_message(Some(Outgoing::from(message)));
            self.stream.iter_mut().for_each(|stream| stream.cancel(SECOND_REPLY));
            return None;
        }
        Some(message)
    }

    /// Behind the last message.
    fn send_close(&mut self, context: &mut Context<'_>, done: &mut Done) {
        if self.pending.message.is_some() {
            return;
        }
        let Some(stream) = &mut self.stream else { return };
        let Some(id) = self.pending.close.take() else { return };
        let closed = stream.half_close();
        if !self.pending.receives() {
            // It may be all that was ever started: so the call begins, and hears how it goes on.
            stream.take_in(context);
        }
        self.pending.finish(id, closed.is_ok(), done, |_| {});
    }

    fn receive_metadata(&mut self, context: &mut Context<'_>, done: &mut Done) {
        let Some(id) = self.pending.receive_metadata else { return };
        if self.poll_answer(context).is_pending() {
            return;
        }
        self.pending.receive_metadata = None;
        let metadata = self.take_metadata();
        self.pending.finish(id, true, done, |it| it.received().metadata = metadata);
    }

    fn receive_message(&mut self, context: &mut Context<'_>, done: &mut Done) {
        let Some(id) = self.pending.receive_message else { return };
        let Poll::Ready(Ok(message)) = Client::poll_next(self, context, done) else { return };
        self.pending.receive_message = None;
        // One that was kept as the next was the last to come, too.
        let was_compressed = message.is_some() && self.messages.was_compressed;
        self.pending.finish(id, true, done, |it| {
            (it.message, it.was_compressed) = (message, was_compressed);
        });
    }

    fn receive_status(&mut self, context: &mut Context<'_>, done: &mut Done) {
        let Some(id) = self.pending.receive_status else { return };
        let Poll::Ready(status) = self.poll_status(context, done) else { return };
        self.pending.receive_status = None;
        self.pending.finish(id, true, done, |it| it.received().status = Some(status));
    }

    /// Ready when the server has answered, or the call is over.
    fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(()) };
        if matches!(self.own.answer, Answer::Awaited) {
            self.own.answer = match ready!(stream.poll_answer(context)) {
                Some(answer) => {
                    self.messages.receives = answer.encoding;
                    Answer::Come(answer.metadata)
                }
                None => Answer::Taken,
            };
        }
        Poll::Ready(())
    }

    fn take_metadata(&mut self) -> Option<Metadata> {
        match mem::replace(&mut self.own.answer, Answer::Taken) {
            Answer::Come(metadata) => Some(metadata),
            Answer::Awaited | Answer::Taken => None,
        }
    }

    /// Ready with the status when every message before it has been received. One that is in the way is
    /// kept as the next.
    fn poll_status(&mut self, context: &mut Context<'_>, done: &mut Done) -> Poll<Status> {
        if self.stream.is_none() {
            return Poll::Ready(self.cause_of_end());
        }
        if !self.own.is_at_end && self.own.next.is_none() {
            self.own.next = ready!(Client::poll_next(self, context, done)).unwrap_or_default();
        }
        let Some(stream) = self.stream.as_mut().filter(|_| self.own.is_at_end) else {
            return Poll::Pending;
        };
        let status = ready!(stream.poll_ended(context)).status;
        let lacks_reply = status.is_ok() && self.own.has_one_reply && !self.own.has_reply;
        let status =
            if lacks_reply { NO_REPLY.with_metadata(status.into_metadata()) } else { status };
        self.over(status.clone(), done);
        Poll::Ready(status)
    }

    fn over(&mut self, status: Status, done: &mut Done) {
        done.outlives(&status);
        self.cause = Some(status);
        self.let_go(done);
    }
}

#[cfg(all(test, not(turnstile_loom)))]
mod tests;
