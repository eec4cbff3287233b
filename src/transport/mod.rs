//! Transports: how calls travel, at the level of gRPC's stream operations and not of HTTP.
//!
//! A [`Stream`] is one call's way to its client, and a [`ClientStream`] to its server. Its operations either take effect at once or are
//! polled: "pending" means that the context's waker has been registered and fires when polling
//! again is worth while. One thread at a time uses a stream (`&mut`).
//!
//! Two transports implement it: [`h2`] over a byte stream, and [`inproc`] within a process.

pub(crate) mod h2;
pub(crate) mod inproc;

use crate::compression::{Encoding, Encodings};
use crate::iomgr::Peer;
use crate::metadata::Metadata;
use crate::status::Status;
use bytes::Bytes;
use std::borrow::Cow;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// One gRPC message, without its framing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Message {
    /// Whether `data` is encoded as the call's message encoding says.
    pub(crate) compressed: bool,
    /// The message.
    pub(crate) data: Bytes,
}

/// What a call begins with.
#[derive(Debug)]
pub(crate) struct Head {
    /// `/package.Service/Method`, unless the client sends something else.
    pub(crate) path: http::uri::PathAndQuery,
    /// The name that the client asked for; empty if it said none.
    pub(crate) authority: Option<http::uri::Authority>,
    pub(crate) metadata: Metadata,
    /// What follows `application/grpc+` in the content type, if anything does.
    pub(crate) subtype: Option<Box<str>>,
    /// What `grpc-timeout` said.
    pub(crate) timeout: Option<Duration>,
    /// What the messages with the compressed flag are compressed with: `grpc-encoding`.
    pub(crate) encoding: Option<Encoding>,
    pub(crate) peer: Arc<Peer>,
}

impl Head {
    /// The whole `:path` as the client sent it. To gRPC a `?` in it is a character like another,
    /// and begins no query.
    pub(crate) fn method(&self) -> &str {
        self.path.as_str()
    }

    /// Whether the client has said, with `grpc-accept-encoding`, that it can read this encoding. It
    /// is looked up here and not with the rest of the head, since few servers want to know.
    pub(crate) fn accepts(&self, encoding: Encoding) -> bool {
        let values = self.metadata.hidden("grpc-accept-encoding");
        let mut names = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        names.any(|name| name.trim_ascii() == encoding.name().as_bytes())
    }
}

/// What a client has sent, as an answer's text repeats it: its beginning, if it is long.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    const MAX_BYTES: usize = 256;
    match text.floor_char_boundary(MAX_BYTES) {
        end if end < text.len() => Cow::Owned(format!("{}...", &text[..end])),
        _ => Cow::Borrowed(text),
    }
}

/// Messages both ways: what the two ends of a call's stream have in common.
pub(crate) trait MessageStream: Send {
    /// Sets the limit of a received message, in bytes as they travel. To be called before any
    /// message is taken: the transport knows the connection's limit, and the call the method's.
    fn set_max_message_size(&mut self, bytes: usize);

    /// Moves everything that has arrived out of the transport and into this stream, and registers
    /// for more. This gives the peer no new window: only taking messages does.
    fn take_in(&mut self, context: &mut Context<'_>);

    /// Begins to send a message; the one before it must have been taken.
    ///
    /// # Errors
    /// A message that is too long for its framing.
    fn begin_message(&mut self, message: Message) -> Result<(), Status>;

    /// Ready when the transport has taken the whole message, as far as flow control lets it.
    ///
    /// # Errors
    /// How the stream ended before.
    fn poll_send_message(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Status>>;

    /// The next message of those taken in, compressed or not, or `None` when the peer has sent
    /// its last. Pending gives the peer window for what is missing.
    ///
    /// # Errors
    /// What is wrong with the message, or how the stream ended.
    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Message>, Status>>;
}

/// The server's end of one call's stream.
pub(crate) trait Stream: MessageStream {
    /// Sends initial metadata; once, and before anything else. Messages with the compressed flag
    /// are compressed with `encoding`.
    ///
    /// # Errors
    /// How the stream ended before.
    fn send_initial_metadata(
        &mut self,
        metadata: Metadata,
        encoding: Option<Encoding>,
    ) -> Result<(), Status>;

    /// Ends the call for the client: status and trailing metadata. The last thing sent.
    ///
    /// # Errors
    /// How the stream ended before.
    fn send_status(&mut self, status: Status) -> Result<(), Status>;

    /// Ready when the stream ended before its status was sent, with the cause.
    fn poll_cancelled(&mut self, context: &mut Context<'_>) -> Poll<Status>;
}

/// What a client asks for.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// `/package.Service/Method`.
    pub(crate) path: http::uri::PathAndQuery,
    /// The name of the server.
    pub(crate) authority: http::uri::Authority,
    pub(crate) metadata: Metadata,
    /// What follows `application/grpc+` in the content type, if anything does.
    pub(crate) subtype: Option<Box<str>>,
    /// How much time the call has left: `grpc-timeout`.
    pub(crate) timeout: Option<Duration>,
    /// What the messages with the compressed flag are compressed with: `grpc-encoding`.
    pub(crate) encoding: Option<Encoding>,
    /// What replies may be compressed with: `grpc-accept-encoding`.
    pub(crate) accepts: Encodings,
}

/// What a server answers first.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) metadata: Metadata,
    /// What the messages with the compressed flag are compressed with: `grpc-encoding`.
    pub(crate) encoding: Option<Encoding>,
}

/// How a call ended for its client.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    /// The status, with the trailing metadata.
    pub(crate) status: Status,
    /// No server has looked at the call: it may begin again, on another connection, without anybody's
    /// asking (gRFC A6, "transparent retries").
    pub(crate) unprocessed: Option<Unprocessed>,
}

/// Why nobody has looked at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unprocessed {
    /// It has not left this process.
    NotSent,
    /// Neither has this one, whose connection was lost under it.
    Lost,
    /// The server says so.
    Refused,
}

impl Ended {
    pub(crate) fn processed(status: Status) -> Self {
        Self { status, unprocessed: None }
    }

    pub(crate) fn not_sent(status: Status) -> Self {
        Self { status, unprocessed: Some(Unprocessed::NotSent) }
    }

    pub(crate) fn lost(status: Status) -> Self {
        Self { status, unprocessed: Some(Unprocessed::Lost) }
    }

    /// Whether it may begin again.
    #[cfg(all(test, not(turnstile_loom)))]
    pub(crate) fn is_unprocessed(&self) -> bool {
        self.unprocessed.is_some()
    }

    pub(crate) fn refused(status: Status) -> Self {
        Self { status, unprocessed: Some(Unprocessed::Refused) }
    }
}

/// The client's end of one call's stream. Dropping it cancels the call.
pub(crate) trait ClientStream: MessageStream {
    /// The message that has begun is the last: what is sent of it may say so. The half-close comes all the
    /// same, when it has been taken.
    fn begun_last(&mut self) {}

    /// Says that no more messages come; once, and when the last has been taken.
    ///
    /// # Errors
    /// How the stream ended before.
    fn half_close(&mut self) -> Result<(), Status>;

    /// What the server answers first; `None` when the call ended without it. Asked until it is ready,
    /// and before any message.
    fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<Option<Answer>>;

    /// How the call ended, once [`poll_message`](MessageStream::poll_message) has given the last message or
    /// an error.
    fn poll_ended(&mut self, context: &mut Context<'_>) -> Poll<Ended>;

    /// Ends the call; its server sees that it is cancelled. `poll_ended` then gives this status, unless
    /// it has given another before, or the call has ended with an error.
    fn cancel(&mut self, status: Status);

    /// What the call waits for, while it does, for the status that ends the wait.
    fn waits_for(&self) -> Option<String> {
        None
    }
}

/// A connection with any number of streams.
pub(crate) trait Transport: Send + Sync {
    /// Ends it gracefully: no new streams; those there are may end.
    fn go_away(self: Arc<Self>);

    /// Ends it now, and every stream on it.
    fn abort(self: Arc<Self>);
}

/// A transport at its client's end.
pub(crate) trait ClientTransport: Transport {
    /// Begins a call. One that cannot begin has ended, which its stream tells. Calls beyond what the
    /// server takes at once wait inside.
    fn start(self: Arc<Self>, request: Request) -> Box<dyn ClientStream>;

    /// Who is at the other end.
    fn peer(&self) -> &Arc<Peer>;
}

/// Why a server takes no new calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GoAway {
    /// The server has had too many PINGs, and wants them less often (gRFC A8).
    pub(crate) is_of_pings: bool,
    /// For a log, or a status.
    pub(crate) text: String,
}

/// What a transport tells the client that it belongs to. No lock of the transport is held, but the
/// caller has its turn: what takes long must not be done here.
pub(crate) trait Connected: Send + Sync {
    /// The server's SETTINGS have come: it speaks HTTP/2, and takes calls.
    fn on_ready(&self);

    /// The server takes no new calls, or the connection can carry no more; those that the server has
    /// may end. May be told again, with another cause.
    fn on_go_away(&self, why: GoAway);

    /// Nothing comes from it any more. `why` is UNAVAILABLE in most cases, and names the cause.
    fn on_closed(&self, why: Status);
}

/// What a transport tells its server.
pub(crate) trait Acceptor: Send + Sync {
    /// A call begins. Called by the thread that has the transport's turn.
    fn on_stream(self: Arc<Self>, head: Head, stream: Box<dyn Stream>);

    /// The transport that was registered as `id` is closed; nothing comes from it any more.
    fn on_closed(&self, id: usize);
}
