//! How messages come in: for whoever asks for the next one, or as the only one of a call, which is
//! handed on with it.

use super::pending::Done;
use super::server::Server;
use super::{CallCore, Core, Outgoing, Side, State};
use crate::status::Status;
use crate::transport::MessageStream as _;
use bytes::Bytes;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, ready};

/// A function that gets a call's only message, or `None` if the call ends without one.
pub(crate) type OnlyMessage = Box<dyn FnOnce(Option<Bytes>) + Send>;

/// The only message of a call, on its way: the call is handed on when the client has said that no
/// other follows.
pub(super) struct Arrival {
    message: Option<Bytes>,
    pub(super) then: OnlyMessage,
}

impl<S: Side> Core<S> {
    /// Takes in what has come already. To be called once, before anybody uses the call.
    pub(crate) fn begin(self: &Arc<Self>) {
        self.with_state(|state, context, _| state.take_in(context));
    }
}

impl CallCore {
    /// The same for a method with one request message: ready with it, or with `None` if the call
    /// has ended instead. If it is not there in full, `later` makes a function that gets it.
    pub(crate) fn begin_with_message(
        self: &Arc<Self>,
        later: impl FnOnce() -> OnlyMessage,
    ) -> Poll<Option<Bytes>> {
        self.with_state(|state, context, done| {
            state.take_in(context);
            if self.head().encoding.is_some() {
                // To decompress may take long, and this thread is driving the connection: the call
                // runs when it is done with that.
                self.wake_by_ref();
                state.own.arrival = Some(Arrival { message: None, then: later() });
                return Poll::Pending;
            }
            let mut message = None;
            match state.poll_only_message(&mut message, context, done) {
                Poll::Ready(Ok(message)) => Poll::Ready(Some(message)),
                Poll::Ready(Err(status)) => {
                    state.end(status, done);
                    Poll::Ready(None)
                }
                Poll::Pending => {
                    state.own.arrival = Some(Arrival { message, then: later() });
                    Poll::Pending
                }
            }
        })
    }

    /// The call waits for a thread, with its only message if it has one. The client's going away is
    /// looked out for, and then the message is dropped.
    pub(crate) fn park(self: &Arc<Self>, message: Option<Bytes>) {
        self.with_state(|state, context, done| {
            state.own.is_watched = true;
            match state.stream {
                Some(_) => state.own.parked = message,
                None => done.drop_message(message.map(Outgoing::from)),
            }
            state.advance(context, done);
        });
    }

    /// The message, unless the call has ended.
    pub(crate) fn unpark(&self) -> Option<Bytes> {
        self.state.lock().own.parked.take()
    }
}

impl State<Server> {
    pub(super) fn receive_message(
        &mut self,
        context: &mut Context<'_>,
        done: &mut Done,
    ) -> Result<(), Status> {
        if self.own.arrival.is_some() {
            return self.receive_only_message(context, done);
        }
        let Some(id) = self.pending.receive_message else { return Ok(()) };
        if self.stream.is_none() {
            return Ok(());
        }
        let Poll::Ready(result) = self.next_message(context, done) else { return Ok(()) };
        let message = result?;
        self.pending.receive_message = None;
        let was_compressed = message.is_some() && self.messages.was_compressed;
        self.pending.finish(id, true, done, |outcome| {
            (outcome.message, outcome.was_compressed) = (message, was_compressed);
        });
        Ok(())
    }

    fn receive_only_message(
        &mut self,
        context: &mut Context<'_>,
        done: &mut Done,
    ) -> Result<(), Status> {
        let Some(mut arrival) = self.own.arrival.take() else { return Ok(()) };
        match self.poll_only_message(&mut arrival.message, context, done) {
            Poll::Pending => self.own.arrival = Some(arrival),
            Poll::Ready(result) => {
                let message = result.as_ref().ok().cloned();
                done.arrival = Some((arrival.then, message));
                result?;
            }
        }
        Ok(())
    }

    /// Ready when the client has sent one message and said that it was the last.
    ///
    /// # Errors
    /// UNIMPLEMENTED for more or fewer, as gRPC's status code document has it ("cardinality
    /// violation"), or how the stream ended.
    fn poll_only_message(
        &mut self,
        message: &mut Option<Bytes>,
        context: &mut Context<'_>,
        done: &mut Done,
    ) -> Poll<Result<Bytes, Status>> {
        loop {
            match ready!(self.next_message(context, done))? {
                Some(_) if message.is_some() => {
                    let text = "the method takes one message, and the client sent more";
                    return Poll::Ready(Err(Status::unimplemented(text)));
                }
                Some(first) => *message = Some(first),
                None => {
                    let text = "the method takes one message, and the client sent none";
                    let only = message.take().ok_or_else(|| Status::unimplemented(text));
                    return Poll::Ready(only);
                }
            }
        }
    }
}

impl<S: Side> State<S> {
    pub(super) fn take_in(&mut self, context: &mut Context<'_>) {
        if let Some(stream) = &mut self.stream {
            stream.take_in(context);
        }
    }

    /// The next message as the application gets it, or `None` when the other end has sent its last.
    pub(super) fn next_message(
        &mut self,
        context: &mut Context<'_>,
        done: &mut Done,
    ) -> Poll<Result<Option<Bytes>, Status>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Err(self.cause_of_end()));
        };
        let Some(message) = ready!(stream.poll_message(context))? else {
            return Poll::Ready(Ok(None));
        };
        let (message, size) = self.messages.open(message)?;
        self.tally.receive(size, done);
        Poll::Ready(Ok(Some(message)))
    }

    /// Why there is no stream.
    pub(super) fn cause_of_end(&self) -> Status {
        let over = || Status::cancelled("the call is over: its status has been sent");
        self.cause.clone().unwrap_or_else(over)
    }
}
