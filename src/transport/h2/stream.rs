//! One call's stream on an HTTP/2 connection, at the server's end.

use super::Config;
use super::messages::{Input, Sender};
use super::payload::Payload;
use super::request::{answer, trailers_only};
use super::{status_of, status_of_reset};
use crate::compression::{Encoding, Encodings};
use crate::metadata::Metadata;
use crate::monitor::StreamMonitor;
use crate::status::Status;
use crate::transport::{Message, MessageStream, Stream};
use h2::RecvStream;
use h2::server::SendResponse;
use http::HeaderMap;
use std::task::{Context, Poll};

pub(super) struct H2Stream {
    output: Output,
    input: Input,
    /// How the client's messages ended; those that were taken in before may still be here.
    end: Option<Result<(), Status>>,
    /// What requests may be compressed with.
    accepts: Encodings,
    monitor: StreamMonitor,
}

impl H2Stream {
    pub(super) fn new(
        respond: SendResponse<Payload>,
        body: RecvStream,
        config: &Config,
        monitor: StreamMonitor,
    ) -> Self {
        Self {
            output: Output::Waiting(respond),
            input: Input::new(body, config.max_message_size),
            end: None,
            accepts: config.accepts,
            monitor,
        }
    }
}

/// What goes to the client.
enum Output {
    /// Nothing has been sent.
    Waiting(SendResponse<Payload>),
    /// The head has been sent.
    Open(Sender),
    /// The status has been sent, or the stream has failed.
    Ended,
}

impl Output {
    /// Takes the sender out for an operation that may end it.
    fn open(&mut self) -> Result<&mut Sender, Status> {
        match self {
            Self::Open(sender) => Ok(sender),
            Self::Waiting(_) => Err(Status::internal("initial metadata must be sent first")),
            Self::Ended => Err(Status::internal("the status has been sent")),
        }
    }
}

impl MessageStream for H2Stream {
    fn set_max_message_size(&mut self, bytes: usize) {
        self.input.set_max_message_size(bytes);
    }

    fn take_in(&mut self, context: &mut Context<'_>) {
        if let Poll::Ready(end) = self.input.take_in(context) {
            self.end = Some(end.map_err(status_of));
        }
    }

    fn begin_message(&mut self, message: Message) -> Result<(), Status> {
        let payload = Payload::new(message).map_err(|error| error.status())?;
        self.output.open()?.begin(payload);
        self.monitor.message_sent();
        Ok(())
    }

    fn poll_send_message(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.output.open()?.poll_send(context).map_err(|error| match error {
            Some(error) => status_of(error),
            None => Status::cancelled("the stream was closed"),
        })
    }

    fn poll_message(
        &mut self,
        _context: &mut Context<'_>,
    ) -> Poll<Result<Option<Message>, Status>> {
        // `take_in` has registered for more.
        match (self.input.next(), &self.end) {
            (Ok(Some(message)), _) => {
                self.monitor.message_received();
                Poll::Ready(Ok(Some(message)))
            }
            (Ok(None), None) => Poll::Pending,
            (Ok(None), Some(Err(status))) => Poll::Ready(Err(status.clone())),
            (Ok(None), Some(Ok(()))) => {
                let end = self.input.finish().map(|()| None);
                Poll::Ready(end.map_err(|error| error.status()))
            }
            (Err(error), _) => Poll::Ready(Err(error.status())),
        }
    }
}

impl Stream for H2Stream {
    fn send_initial_metadata(
        &mut self,
        metadata: Metadata,
        encoding: Option<Encoding>,
    ) -> Result<(), Status> {
        let Output::Waiting(respond) = &mut self.output else {
            return Err(Status::internal("initial metadata has been sent"));
        };
        let response = answer(metadata, encoding, self.accepts);
        let stream = respond.send_response(response, false).map_err(status_of)?;
        self.output = Output::Open(Sender::new(stream));
        Ok(())
    }

    fn send_status(&mut self, status: Status) -> Result<(), Status> {
        let code = status.code();
        let result = match std::mem::replace(&mut self.output, Output::Ended) {
            Output::Waiting(mut respond) => {
                respond.send_response(trailers_only(status), true).map(drop).map_err(status_of)
            }
            Output::Open(mut sender) => {
                let mut trailers = HeaderMap::new();
                status.write_to(&mut trailers);
                sender.send_trailers(trailers).map_err(status_of)
            }
            Output::Ended => Err(Status::internal("the status has been sent")),
        };
        result.inspect(|()| self.monitor.ended(code))
    }

    fn poll_cancelled(&mut self, context: &mut Context<'_>) -> Poll<Status> {
        if let Some(Err(status)) = &self.end {
            return Poll::Ready(status.clone());
        }
        let reset = match &mut self.output {
            Output::Waiting(respond) => respond.poll_reset(context),
            Output::Open(sender) => sender.poll_reset(context),
            Output::Ended => return Poll::Pending,
        };
        reset.map(|result| result.map_or_else(status_of, status_of_reset))
    }
}
