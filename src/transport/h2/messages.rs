//! Messages on their way through a stream of HTTP/2, which is the same at both its ends.

use super::framing::{Decoder, FramingError};
use super::payload::Payload;
use crate::transport::Message;
use bytes::Buf;
use h2::{Reason, RecvStream, SendStream};
use http::HeaderMap;
use std::task::{Context, Poll, ready};

/// How much of a stream's first message h2 gets without being asked for room, which costs two
/// rounds through its locks. A bound on what it may have to keep while the peer gives no window.
const FREE_BYTES: usize = 16 * 1024;

/// How much room is asked for at a time for a long message.
const ROOM: usize = 256 * 1024;

/// What goes to the peer, after the head.
pub(super) struct Sender {
    stream: SendStream<Payload>,
    /// What h2 has not taken of the message that is being sent.
    message: Option<Payload>,
    ends_with_message: bool,
    free_bytes: usize,
    /// h2 has got bytes without being asked for room.
    has_given_freely: bool,
}

/// What comes from the peer, after the head.
pub(super) struct Input {
    /// `None` once h2 has no part in it any more.
    body: Option<RecvStream>,
    /// The body has ended, in whatever way; what was taken in before may still be here.
    has_ended: bool,
    /// Nothing is wanted of the body any more but what was taken in.
    is_closed: bool,
    decoder: Decoder,
    /// Bytes taken out of h2 that the peer's window has not got back.
    unreleased: usize,
}

impl Input {
    pub(super) fn new(body: RecvStream, max_message_size: usize) -> Self {
        let decoder = Decoder::new(max_message_size);
        Self { body: Some(body), has_ended: false, is_closed: false, decoder, unreleased: 0 }
    }

    pub(super) fn set_max_message_size(&mut self, bytes: usize) {
        self.decoder.set_limit(bytes);
    }

    /// Moves what has come out of h2, and registers for more. Ready once, with how the messages
    /// ended.
    pub(super) fn take_in(&mut self, context: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        let Some(body) = &mut self.body else { return Poll::Pending };
        while !self.has_ended {
            let end = match ready!(body.poll_data(context)) {
                Some(Ok(data)) => {
                    self.unreleased += data.len();
                    self.decoder.push(data);
                    if !body.is_end_stream() {
                        continue;
                    }
                    Ok(())
                }
                Some(Err(error)) => Err(error),
                None => Ok(()),
            };
            self.has_ended = true;
            return Poll::Ready(end);
        }
        Poll::Pending
    }

    /// What comes behind the messages, if anything does. They must have ended.
    pub(super) fn poll_trailers(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<HeaderMap>, h2::Error>> {
        match &mut self.body {
            Some(body) => body.poll_trailers(context),
            None => Poll::Ready(Ok(None)),
        }
    }

    /// Nothing more is taken in. What was can be had still, and takes room of the connection until then.
    pub(super) fn close(&mut self) {
        self.has_ended = true;
        self.is_closed = true;
        self.let_go();
    }

    fn let_go(&mut self) {
        if self.is_closed && self.decoder.buffered() == 0 {
            self.body = None;
        }
    }

    /// The next message of those taken in. If there is none that is whole, the peer gets window for
    /// what is missing.
    ///
    /// # Errors
    /// See [`Decoder::next`].
    pub(super) fn next(&mut self) -> Result<Option<Message>, FramingError> {
        let message = self.decoder.next()?;
        self.let_go();
        // The peer cannot send what is missing of a message if its window is what is here.
        self.release_down_to(if message.is_some() { self.decoder.buffered() } else { 0 });
        Ok(message)
    }

    /// Whether the messages ended where one ends.
    ///
    /// # Errors
    /// See [`Decoder::finish`].
    pub(super) fn finish(&self) -> Result<(), FramingError> {
        self.decoder.finish()
    }

    /// Gives the peer's window back all but `keep` bytes.
    fn release_down_to(&mut self, keep: usize) {
        // A stream that has ended needs no window, and h2 gives the connection's back when the
        // stream is dropped.
        let Some(body) = self.body.as_mut().filter(|_| !self.has_ended) else { return };
        if self.unreleased <= keep {
            return;
        }
        let count = self.unreleased - keep;
        self.unreleased = keep;
        if let Err(error) = body.flow_control().release_capacity(count) {
            tracing::debug!(%error, "h2 counts the received bytes differently");
        }
    }
}

impl Sender {
    pub(super) fn new(stream: SendStream<Payload>) -> Self {
        Self {
            stream,
            message: None,
            ends_with_message: false,
            free_bytes: FREE_BYTES,
            has_given_freely: false,
        }
    }

    /// Begins to send a message.
    pub(super) fn begin(&mut self, message: Payload) {
        self.message = Some(message);
    }

    /// The message that has begun is the last, and its last frame ends this end of the stream.
    pub(super) fn begun_last(&mut self) {
        self.ends_with_message = self.message.is_some();
    }

    /// Whether there is nothing more to say, and that is said.
    pub(super) fn has_ended(&self) -> bool {
        self.ends_with_message && self.message.is_none()
    }

    /// Whether h2 may keep what it has got until the peer gives window, which it may never do.
    pub(super) fn may_be_stuck(&self) -> bool {
        self.has_given_freely
    }

    /// Hands the message to h2, as far as there is room.
    ///
    /// # Errors
    /// How the stream ended before; `None` if h2 does not tell.
    pub(super) fn poll_send(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Option<h2::Error>>> {
        while let Some(message) = &mut self.message {
            let length = message.remaining();
            let room = if length <= self.free_bytes {
                self.free_bytes = 0;
                self.has_given_freely = true;
                length
            } else {
                ready!(poll_room(&mut self.stream, length, context))?
            };
            if room >= length {
                let whole = self.message.take();
                let ends = self.ends_with_message;
                whole.map_or(Ok(()), |whole| self.stream.send_data(whole, ends))
            } else {
                self.stream.send_data(message.split_to(room), false)
            }
            .map_err(Some)?;
        }
        self.free_bytes = 0;
        Poll::Ready(Ok(()))
    }

    /// No more messages come; the last one must have been taken.
    pub(super) fn half_close(&mut self) -> Result<(), h2::Error> {
        if self.has_ended() {
            return Ok(());
        }
        self.stream.send_data(Payload::nothing(), true)
    }

    /// Ends the stream for both sides; what h2 has still of it is not sent.
    pub(super) fn reset(&mut self, reason: Reason) {
        self.message = None;
        self.stream.send_reset(reason);
    }

    pub(super) fn send_trailers(&mut self, trailers: HeaderMap) -> Result<(), h2::Error> {
        self.stream.send_trailers(trailers)
    }

    pub(super) fn poll_reset(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Reason, h2::Error>> {
        self.stream.poll_reset(context)
    }
}

/// How much h2 takes now: more than nothing, and at most `length`.
fn poll_room(
    stream: &mut SendStream<Payload>,
    length: usize,
    context: &mut Context<'_>,
) -> Poll<Result<usize, Option<h2::Error>>> {
    stream.reserve_capacity(length.min(ROOM));
    loop {
        match stream.capacity() {
            0 => match ready!(stream.poll_capacity(context)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(Some(error))),
                None => return Poll::Ready(Err(None)),
            },
            room => return Poll::Ready(Ok(room)),
        }
    }
}
