//! The server's end of a call.

use super::channel::Membership;
use super::client::server_sees;
use super::flow::Received;
use super::shared::{InitialMetadata, Shared};
use super::wire;
use crate::compression::Encoding;
use crate::iomgr::drop_later;
use crate::metadata::Metadata;
use crate::monitor::StreamMonitor;
use crate::status::Status;
use crate::transport::{Ended, Message, MessageStream, Stream};
use std::sync::Arc;
use std::task::{Context, Poll};

/// The server's end. One thread at a time uses it; dropping it without a status cancels the call.
pub(super) struct ServerStream {
    shared: Arc<Shared>,
    /// The message that is being sent.
    message: Option<Message>,
    monitor: StreamMonitor,
    /// Keeps the call counted among its channel's.
    _membership: Membership,
}

impl ServerStream {
    pub(super) fn new(shared: Arc<Shared>, membership: Membership, monitor: StreamMonitor) -> Self {
        Self { shared, message: None, monitor, _membership: membership }
    }
}

impl MessageStream for ServerStream {
    fn set_max_message_size(&mut self, bytes: usize) {
        self.shared.with(|state| state.requests.set_max_message_size(bytes));
    }

    /// What has arrived is here already.
    fn take_in(&mut self, context: &mut Context<'_>) {
        self.shared.with(|state| state.register_server(context));
    }

    fn begin_message(&mut self, message: Message) -> Result<(), Status> {
        let result = self.shared.with(|state| {
            state.check_server()?;
            if matches!(state.answer, InitialMetadata::NotSent) {
                return Err(Status::internal("initial metadata must be sent first"));
            }
            Ok(())
        });
        match result {
            Ok(()) => {
                self.message = Some(message);
                self.monitor.message_sent();
            }
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
        let monitor = &self.monitor;
        self.shared.with(|state| {
            state.check_server()?;
            match state.requests.receive() {
                Received::Message(message) => {
                    state.wake_client();
                    monitor.message_received();
                    Poll::Ready(Ok(Some(message)))
                }
                Received::Refused(message, error) => {
                    state.drop_message(message);
                    Poll::Ready(Err(error.status()))
                }
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
    fn send_initial_metadata(
        &mut self,
        metadata: Metadata,
        encoding: Option<Encoding>,
    ) -> Result<(), Status> {
        let Shared { config, accepts, .. } = &*self.shared;
        let answer = wire::send_answer(metadata, encoding, config, *accepts);
        self.shared.with(|state| {
            state.check_server()?;
            if !matches!(state.answer, InitialMetadata::NotSent) {
                return Err(Status::internal("initial metadata has been sent"));
            }
            match answer {
                Ok(answer) => {
                    state.answer = InitialMetadata::Sent(answer);
                    state.wake_client();
                }
                // This end hears of it as of any cancel.
                Err(status) => {
                    let ended = Ended::processed(status);
                    state.break_off(ended, server_sees());
                }
            }
            Ok(())
        })
    }

    fn send_status(&mut self, status: Status) -> Result<(), Status> {
        let code = status.code();
        let is_alone = self.shared.with(|state| {
            state.check_server()?;
            Ok::<_, Status>(matches!(state.answer, InitialMetadata::NotSent))
        })?;
        let status = wire::send_status(status, is_alone, &self.shared.config.client);
        self.shared.with(|state| {
            // The client may have gone meanwhile.
            state.check_server()?;
            state.finish(status);
            Ok::<_, Status>(())
        })?;
        self.monitor.ended(code);
        Ok(())
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
            let status = Status::cancelled("the server dropped the stream");
            state.break_off(Ended::processed(status.clone()), status);
        });
    }
}
