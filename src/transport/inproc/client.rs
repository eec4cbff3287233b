//! The client's end of a call.

use super::flow::Received;
use super::shared::{InitialMetadata, Shared, State};
use crate::metadata::Metadata;
use crate::status::Status;
use crate::transport::Message;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The client's end. One thread at a time uses it; dropping it cancels the call.
///
/// "Pending" has registered the context's waker, in place of the one of the end's last poll. It
/// may be fired under the lock of the server's call, so it must only enqueue.
pub(crate) struct ClientStream {
    shared: Arc<Shared>,
    /// The message that is being sent.
    message: Option<Message>,
    is_half_closed: bool,
}

/// The call has ended; [`ClientStream::poll_status`] says how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended;

impl ClientStream {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, message: None, is_half_closed: false }
    }

    /// Begins to send a message; the one before it must have been taken, and the client must not
    /// have half-closed.
    pub(crate) fn begin_message(&mut self, message: Message) {
        debug_assert!(self.message.is_none(), "the message before it is not taken");
        debug_assert!(!self.is_half_closed, "a message after the half-close");
        self.message = Some(message);
    }

    /// Ready when the message is on its way; pending while the window is full of messages that
    /// the server has not received.
    ///
    /// # Errors
    /// If the call has ended: nobody receives the message.
    pub(crate) fn poll_send_message(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Ended>> {
        let message = &mut self.message;
        self.shared.with(|state| {
            if state.status.is_some() {
                return Poll::Ready(Err(Ended));
            }
            if message.is_none() {
                return Poll::Ready(Ok(()));
            }
            if state.requests.send(message) {
                state.wake_server();
                return Poll::Ready(Ok(()));
            }
            state.register_client(context);
            Poll::Pending
        })
    }

    /// Says that the last message has been sent. Each of them must have been taken.
    pub(crate) fn half_close(&mut self) {
        debug_assert!(self.message.is_none(), "the last message is not taken");
        self.is_half_closed = true;
        self.shared.with(|state| {
            state.requests.close();
            state.wake_server();
        });
    }

    /// Ends the call with `status` for the client; its server sees that it is cancelled. Does
    /// nothing to a call that has ended.
    pub(crate) fn cancel(&mut self, status: Status) {
        self.shared.with(|state| state.break_off(status, server_sees()));
    }

    /// The metadata that the server sent first, once; `None` if the call ended without it, and when
    /// it was received before.
    pub(crate) fn poll_initial_metadata(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Metadata>> {
        self.shared.with(|state| {
            match mem::replace(&mut state.initial_metadata, InitialMetadata::Received) {
                InitialMetadata::Sent(metadata) => Poll::Ready(Some(metadata)),
                InitialMetadata::Received => Poll::Ready(None),
                InitialMetadata::NotSent => {
                    state.initial_metadata = InitialMetadata::NotSent;
                    if state.status.is_some() {
                        return Poll::Ready(None);
                    }
                    state.register_client(context);
                    Poll::Pending
                }
            }
        })
    }

    /// The next message; `None` when the server sends no more, and then there is a status. A
    /// message over the limit ends the call, as if the server had sent that status.
    pub(crate) fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Option<Message>> {
        self.shared.with(|state| match state.responses.receive() {
            Received::Message(message) => {
                state.wake_server();
                Poll::Ready(Some(message))
            }
            Received::Refused(status) => {
                refuse(state, status);
                Poll::Ready(None)
            }
            Received::End => Poll::Ready(None),
            Received::Nothing => {
                state.register_client(context);
                Poll::Pending
            }
        })
    }

    /// How the call ended, with the trailing metadata, once each message that came before it has
    /// been received.
    pub(crate) fn poll_status(&mut self, context: &mut Context<'_>) -> Poll<Status> {
        self.shared.with(|state| match &state.status {
            Some(status) if state.responses.is_empty() => Poll::Ready(status.clone()),
            _ => {
                state.register_client(context);
                Poll::Pending
            }
        })
    }
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        let status = Status::cancelled("the client dropped the stream");
        self.shared.with(|state| {
            state.forget_client();
            state.break_off(status, server_sees());
        });
    }
}

/// What a server is told of a client that does not want the call any more.
fn server_sees() -> Status {
    Status::cancelled("the client ended the stream")
}

/// The client cannot take a message: that is its status, whatever the server has sent behind it.
fn refuse(state: &mut State, status: Status) {
    state.break_off(status.clone(), server_sees());
    state.status = Some(status);
}
