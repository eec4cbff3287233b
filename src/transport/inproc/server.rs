//! The server's end of a call.

use super::flow::Received;
use super::shared::{InitialMetadata, Shared};
use crate::compression::Encoding;
use crate::iomgr::drop_later;
use crate::metadata::Metadata;
use crate::status::Status;
use crate::transport::{Message, MessageStream, Stream};
use std::sync::Arc;
use std::task::{Context, Poll};

/// The server's end. One thread at a time uses it; dropping it without a status cancels the call.
pub(super) struct ServerStream {
    shared: Arc<Shared>,
    /// The message that is being sent.
    message: Option<Message>,
}

impl ServerStream {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, message: None }
    }
}

impl MessageStream for ServerStream {
    fn set_max_message_size(&mut self, bytes: usize) {
        self.shared.with(|state| state.requests.set_max_message_size(bytes));
    }

    fn take_in(&mut self, context: &mut Context<'_>) {
        self.shared.with(|state| state.register_server(context));
    }

    fn begin_message(&mut self, message: Message) -> Result<(), Status> {
        let result = self.shared.with(|state| {
            state.check_server()?;
            if matches!(state.initial_metadata, InitialMetadata::NotSent) {
                return Err(Status::internal("initial metadata must be sent first"));
            }
            Ok(())
        });
        match result {
            Ok(()) => self.message = Some(message),
            // The lock of the call is held.
            Err(_) => drop_later(message.data),
        }
        result
    }

    fn poll_send_message(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        let message = &mut self.message;
        self.shared.with(|state| {
            state.check_server()?;
            if message.is_none() {
                return Poll::Ready(Ok(()));
            }
            if state.responses.send(message) {
                state.wake_client();
                return Poll::Ready(Ok(()));
            }
            state.register_server(context);
            Poll::Pending
        })
    }

    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Message>, Status>> {
        self.shared.with(|state| {
            state.check_server()?;
            match state.requests.receive() {
                Received::Message(message) => {
                    state.wake_client();
                    Poll::Ready(Ok(Some(message)))
                }
                Received::Refused(status) => Poll::Ready(Err(status)),
                Received::End => Poll::Ready(Ok(None)),
                Received::Nothing => {
                    state.register_server(context);
                    Poll::Pending
                }
            }
        })
    }
}

impl Stream for ServerStream {
    /// What has arrived is here already.
    /// Nothing is compressed within a process: no client here asks for it.
    fn send_initial_metadata(
        &mut self,
        metadata: Metadata,
        _encoding: Option<Encoding>,
    ) -> Result<(), Status> {
        self.shared.with(|state| {
            state.check_server()?;
            if !matches!(state.initial_metadata, InitialMetadata::NotSent) {
                return Err(Status::internal("initial metadata has been sent"));
            }
            state.initial_metadata = InitialMetadata::Sent(metadata);
            state.wake_client();
            Ok(())
        })
    }

    fn send_status(&mut self, status: Status) -> Result<(), Status> {
        self.shared.with(|state| {
            state.check_server()?;
            state.finish(status);
            Ok(())
        })
    }

    fn poll_cancelled(&mut self, context: &mut Context<'_>) -> Poll<Status> {
        self.shared.with(|state| match &state.broken {
            Some(cause) => Poll::Ready(cause.clone()),
            None => {
                state.register_server(context);
                Poll::Pending
            }
        })
    }
}

impl Drop for ServerStream {
    fn drop(&mut self) {
        self.shared.with(|state| {
            state.forget_server();
            if state.status.is_none() {
                let status = Status::cancelled("the server dropped the stream");
                state.break_off(status.clone(), status);
            }
        });
    }
}
