//! One call's stream on an HTTP/2 connection, at the server's end.

use super::Config;
use super::framing::{Decoder, FramingError};
use super::payload::Payload;
use super::request::{GRPC, GRPC_ACCEPT_ENCODING, GRPC_ENCODING, trailers_only};
use super::{status_of, status_of_reset};
use crate::compression::{Encoding, Encodings};
use crate::metadata::Metadata;
use crate::monitor::StreamMonitor;
use crate::status::Status;
use crate::transport::{Message, MessageStream, Stream};
use bytes::Buf;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Response};
use std::task::{Context, Poll, ready};

/// How much of a stream's first message h2 gets without being asked for room, which costs two
/// rounds through its locks. A bound on what it may have to keep while the client gives no window.
const FREE_BYTES: usize = 16 * 1024;

/// How much room is asked for at a time for a long message.
const ROOM: usize = 256 * 1024;

pub(super) struct H2Stream {
    output: Output,
    input: Input,
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
        let decoder = Decoder::new(config.max_message_size);
        let input = Input { body, end: None, decoder, unreleased: 0 };
        Self { output: Output::Waiting(respond), input, accepts: config.accepts, monitor }
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

struct Sender {
    stream: SendStream<Payload>,
    /// What h2 has not taken of the message that is being sent.
    message: Option<Payload>,
    free_bytes: usize,
}

/// What comes from the client.
struct Input {
    body: RecvStream,
    /// How the body ended; what was taken in before may still be here.
    end: Option<Result<(), Status>>,
    decoder: Decoder,
    /// Bytes taken out of h2 that the client's window has not got back.
    unreleased: usize,
}

impl Input {
    fn take_in(&mut self, context: &mut Context<'_>) {
        while self.end.is_none() {
            match self.body.poll_data(context) {
                Poll::Ready(Some(Ok(data))) => {
                    self.unreleased += data.len();
                    self.decoder.push(data);
                    if self.body.is_end_stream() {
                        self.end = Some(Ok(()));
                    }
                }
                Poll::Ready(Some(Err(error))) => self.end = Some(Err(status_of(error))),
                Poll::Ready(None) => self.end = Some(Ok(())),
                Poll::Pending => return,
            }
        }
    }

    fn poll_message(&mut self) -> Poll<Result<Option<Message>, Status>> {
        match self.decoder.next() {
            Ok(Some(message)) => {
                self.release_down_to(self.decoder.buffered());
                Poll::Ready(Ok(Some(message)))
            }
            Ok(None) => match &self.end {
                None => {
                    // The client cannot send what is missing if its window is what is here.
                    self.release_down_to(0);
                    Poll::Pending
                }
                Some(Err(status)) => Poll::Ready(Err(status.clone())),
                Some(Ok(())) => {
                    let end = self.decoder.finish().map(|()| None);
                    Poll::Ready(end.map_err(|error| error.status()))
                }
            },
            Err(error) => Poll::Ready(Err(FramingError::status(&error))),
        }
    }

    /// Gives the client's window back all but `keep` bytes.
    fn release_down_to(&mut self, keep: usize) {
        // A stream that has ended needs no window, and h2 gives the connection's back when the
        // stream is dropped.
        if self.end.is_some() || self.unreleased <= keep {
            return;
        }
        let count = self.unreleased - keep;
        self.unreleased = keep;
        if let Err(error) = self.body.flow_control().release_capacity(count) {
            tracing::debug!(%error, "h2 counts the received bytes differently");
        }
    }
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

impl Sender {
    /// Hands the message to h2, as far as there is room.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        while let Some(message) = &mut self.message {
            let length = message.remaining();
            let room = if length <= self.free_bytes {
                self.free_bytes = 0;
                length
            } else {
                ready!(poll_room(&mut self.stream, length, context))?
            };
            if room >= length {
                let whole = self.message.take();
                whole.map_or(Ok(()), |whole| self.stream.send_data(whole, false))
            } else {
                self.stream.send_data(message.split_to(room), false)
            }
            .map_err(status_of)?;
        }
        self.free_bytes = 0;
        Poll::Ready(Ok(()))
    }
}

/// How much h2 takes now: more than nothing, and at most `length`.
fn poll_room(
    stream: &mut SendStream<Payload>,
    length: usize,
    context: &mut Context<'_>,
) -> Poll<Result<usize, Status>> {
    stream.reserve_capacity(length.min(ROOM));
    loop {
        match stream.capacity() {
            0 => match ready!(stream.poll_capacity(context)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(status_of(error))),
                None => return Poll::Ready(Err(Status::cancelled("the stream was closed"))),
            },
            room => return Poll::Ready(Ok(room)),
        }
    }
}

impl MessageStream for H2Stream {
    fn set_max_message_size(&mut self, bytes: usize) {
        self.input.decoder.set_limit(bytes);
    }

    fn take_in(&mut self, context: &mut Context<'_>) {
        self.input.take_in(context);
    }

    fn begin_message(&mut self, message: Message) -> Result<(), Status> {
        let payload = Payload::new(message).map_err(|error| error.status())?;
        self.output.open()?.message = Some(payload);
        self.monitor.message_sent();
        Ok(())
    }

    fn poll_send_message(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.output.open()?.poll_send(context)
    }

    fn poll_message(
        &mut self,
        _context: &mut Context<'_>,
    ) -> Poll<Result<Option<Message>, Status>> {
        // `take_in` has registered for more.
        let message = self.input.poll_message();
        if matches!(message, Poll::Ready(Ok(Some(_)))) {
            self.monitor.message_received();
        }
        message
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
        let mut response = Response::new(());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, GRPC);
        if let Some(encoding) = encoding {
            headers.insert(GRPC_ENCODING, HeaderValue::from_static(encoding.name()));
        }
        // So that the client may compress its next requests. HPACK makes a byte of it.
        if !self.accepts.is_empty() {
            headers.insert(GRPC_ACCEPT_ENCODING, HeaderValue::from_static(self.accepts.names()));
        }
        metadata.append_to(headers);
        let stream = respond.send_response(response, false).map_err(status_of)?;
        self.output = Output::Open(Sender { stream, message: None, free_bytes: FREE_BYTES });
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
                sender.stream.send_trailers(trailers).map_err(status_of)
            }
            Output::Ended => Err(Status::internal("the status has been sent")),
        };
        result.inspect(|()| self.monitor.ended(code))
    }

    fn poll_cancelled(&mut self, context: &mut Context<'_>) -> Poll<Status> {
        if let Some(Err(status)) = &self.input.end {
            return Poll::Ready(status.clone());
        }
        let reset = match &mut self.output {
            Output::Waiting(respond) => respond.poll_reset(context),
            Output::Open(sender) => sender.stream.poll_reset(context),
            Output::Ended => return Poll::Pending,
        };
        reset.map(|result| result.map_or_else(status_of, status_of_reset))
    }
}
