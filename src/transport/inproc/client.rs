//! The client's end of a call.

use super::flow::Received;
use super::shared::{End, InitialMetadata, Shared, State};
use crate::iomgr::Peer;
use crate::status::Status;
use crate::transport::h2;
use crate::transport::{Answer, ClientStream, Ended, Message, MessageStream};
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The client's end. One thread at a time uses it; dropping it cancels the call.
///
/// "Pending" has registered the context's waker, in place of the one of the end's last poll. It
/// may be fired under the lock of the server's call, so it must only enqueue.
pub(super) struct InprocClientStream {
    shared: Arc<Shared>,
    /// The message that is being sent.
    message: Option<Message>,
    /// The client knows how the call ended.
    is_told: bool,
}

impl InprocClientStream {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, message: None, is_told: false }
    }
}

impl MessageStream for InprocClientStream {
    fn set_max_message_size(&mut self, bytes: usize) {
        self.shared.with(|state| state.responses.set_max_message_size(bytes));
    }

    /// What has arrived is here already.
    fn take_in(&mut self, context: &mut Context<'_>) {
        self.shared.with(|state| state.register_client(context));
    }

    fn begin_message(&mut self, message: Message) -> Result<(), Status> {
        debug_assert!(self.message.is_none(), "the message before it is not taken");
        self.message = Some(message);
        Ok(())
    }

    fn poll_send_message(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        let message = &mut self.message;
        self.shared.with(|state| {
            if let Some(end) = &state.end {
                let unsent = unsent(end);
                message.take().into_iter().for_each(|message| state.drop_message(message));
                return Poll::Ready(Err(unsent));
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

    /// A message over the limit ends the call, whatever the server has sent behind it.
    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Message>, Status>> {
        self.shared.with(|state| match state.responses.receive() {
            Received::Message(message) => {
                state.wake_server();
                Poll::Ready(Ok(Some(message)))
            }
            Received::Refused(message, error) => {
                let status = h2::of_message(&error, &Peer::in_process());
                state.drop_message(message);
                state.give_up(status.clone(), server_sees());
                Poll::Ready(Err(status))
            }
            Received::End => match &state.end {
                Some(end) if !end.is_servers => Poll::Ready(Err(end.ended.status.clone())),
                _ => Poll::Ready(Ok(None)),
            },
            Received::Nothing => {
                state.register_client(context);
                Poll::Pending
            }
        })
    }
}

impl ClientStream for InprocClientStream {
    fn half_close(&mut self) -> Result<(), Status> {
        debug_assert!(self.message.is_none(), "the last message is not taken");
        self.shared.with(|state| {
            if let Some(end) = &state.end {
                return Err(unsent(end));
            }
            state.requests.close();
            state.wake_server();
            Ok(())
        })
    }

    fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<Option<Answer>> {
        self.shared.with(|state| {
            if matches!(state.answer, InitialMetadata::Sent(_))
                && let InitialMetadata::Sent(answer) =
                    mem::replace(&mut state.answer, InitialMetadata::Received)
            {
                return Poll::Ready(Some(answer));
            }
            if state.end.is_some() {
                return Poll::Ready(None);
            }
            state.register_client(context);
            Poll::Pending
        })
    }

    fn poll_ended(&mut self, context: &mut Context<'_>) -> Poll<Ended> {
        let is_told = &mut self.is_told;
        self.shared.with(|state| match &state.end {
            Some(end) if state.responses.is_empty() => {
                *is_told = true;
                Poll::Ready(end.ended.clone())
            }
            _ => {
                state.register_client(context);
                Poll::Pending
            }
        })
    }

    fn cancel(&mut self, status: Status) {
        let is_told = self.is_told;
        self.shared.with(|state| {
            let is_error = |end: &End| !end.ended.status.is_ok();
            if !is_told && !state.end.as_ref().is_some_and(is_error) {
                state.give_up(status, server_sees());
            }
        });
    }
}

impl Drop for InprocClientStream {
    fn drop(&mut self) {
        self.shared.with(|state: &mut State| {
            let status = Status::cancelled("the client dropped the stream");
            state.break_off(Ended::processed(status), server_sees());
            state.forget_client();
        });
    }
}

/// What a server is told of a client that does not want the call any more.
pub(super) fn server_sees() -> Status {
    Status::cancelled("the client ended the stream")
}

/// Why nothing can be sent on a call that has ended.
fn unsent(end: &End) -> Status {
    match &end.ended.status {
        status if !status.is_ok() => status.clone(),
        _ => Status::cancelled("the server has ended the call, and takes no more messages"),
    }
}
