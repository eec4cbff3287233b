//! What the operations of servers and calls end with.

use super::{Call, Owner};
use crate::cq;
use crate::metadata::Metadata;
use crate::status::Status;
use bytes::Bytes;

/// What an operation ended with: the `O` of this crate's queues. [`Event`](crate::Event) has the
/// questions that can be asked, and for an example see [`Queue`](crate::Queue).
#[derive(Debug, Default)]
pub struct Outcome(Kind);

#[derive(Debug, Default)]
enum Kind {
    #[default]
    Nothing,
    Batch(BatchOutcome),
    Call(NewCall),
}

/// What the operations of a batch have brought.
#[derive(Debug, Default)]
pub(super) struct BatchOutcome {
    pub(super) message: Option<Bytes>,
    /// Whether it came compressed.
    pub(super) was_compressed: bool,
    pub(super) is_cancelled: bool,
    /// For the client's end only.
    pub(super) reply: Option<Box<Received>>,
}

/// What a client has received beside messages.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) metadata: Option<Metadata>,
    pub(super) status: Option<Status>,
}

/// A call that was requested and has come.
#[derive(Debug)]
pub(crate) struct NewCall {
    pub(crate) owner: Owner,
    /// Its first message, for methods that are registered with it.
    pub(crate) message: Option<Bytes>,
}

impl BatchOutcome {
    /// Where what a client receives is put.
    pub(super) fn received(&mut self) -> &mut Received {
        self.reply.get_or_insert_default()
    }
}

impl From<BatchOutcome> for Outcome {
    fn from(batch: BatchOutcome) -> Self {
        Self(Kind::Batch(batch))
    }
}

impl From<NewCall> for Outcome {
    fn from(call: NewCall) -> Self {
        Self(Kind::Call(call))
    }
}

impl<T: Send + 'static> cq::Event<T, Outcome> {
    /// Takes the call that came for a requested call. `None` for other operations, when the server
    /// was shut down before a call came, and when it was taken before.
    ///
    /// ```
    /// use turnstile::{Call, CompletionQueue, Event, Server};
    ///
    /// /// Takes a call, and asks for the next one.
    /// fn on_call(event: &mut Event<u32>, server: &Server, cq: &CompletionQueue<u32>) -> Option<Call<u32>> {
    ///     let call = event.take_call()?;
    ///     // An error would mean that the queue is shut down: then no more calls are wanted.
    ///     let _ = server.request_call(cq, event.tag);
    ///     Some(call)
    /// }
    /// ```
    pub fn take_call(&mut self) -> Option<Call<T>> {
        match std::mem::take(&mut self.outcome.0) {
            Kind::Call(NewCall { owner, message }) => {
                let was_compressed = message.is_some() && owner.core().was_compressed();
                let batch = BatchOutcome { message, was_compressed, ..BatchOutcome::default() };
                self.outcome.0 = Kind::Batch(batch);
                let queue = self.companion.take();
                queue.map(|queue| Call::new(owner, queue))
            }
            other => {
                self.outcome.0 = other;
                None
            }
        }
    }

    /// Takes the message that was received: by a batch with `receive_message`, or with a call of a
    /// method that is registered with its first message. `None` when the other end has sent its last.
    ///
    /// ```
    /// use turnstile::{Event, Status, codec};
    ///
    /// /// The request of a unary method.
    /// fn request(event: &mut Event<u32>) -> Result<String, Status> {
    ///     codec::decode(event.take_message().unwrap_or_default())
    /// }
    /// ```
    pub fn take_message(&mut self) -> Option<Bytes> {
        match &mut self.outcome.0 {
            Kind::Batch(batch) => batch.message.take(),
            Kind::Call(call) => call.message.take(),
            Kind::Nothing => None,
        }
    }

    /// Whether the message that was received came compressed; also when it has been taken. Few need to
    /// know; messages are the same either way.
    pub fn was_compressed(&self) -> bool {
        match &self.outcome.0 {
            Kind::Batch(batch) => batch.was_compressed,
            Kind::Call(call) => call.message.is_some() && call.owner.core().was_compressed(),
            Kind::Nothing => false,
        }
    }

    /// Takes the initial metadata that a batch with `receive_initial_metadata` has received. `None` when
    /// the server has ended the call without: with nothing but a status ("Trailers-Only"), or not at all.
    pub fn take_initial_metadata(&mut self) -> Option<Metadata> {
        self.received()?.metadata.take()
    }

    /// Takes the status, with its trailing metadata, that a batch with `receive_status` has received.
    pub fn take_status(&mut self) -> Option<Status> {
        self.received()?.status.take()
    }

    fn received(&mut self) -> Option<&mut Received> {
        match &mut self.outcome.0 {
            Kind::Batch(batch) => batch.reply.as_deref_mut(),
            Kind::Call(_) | Kind::Nothing => None,
        }
    }

    /// For a batch with `receive_close`: whether the call ended before its status was sent.
    ///
    /// For an example see [`Batch::receive_close`](crate::Batch::receive_close).
    pub fn is_cancelled(&self) -> bool {
        matches!(&self.outcome.0, Kind::Batch(batch) if batch.is_cancelled)
    }
}
