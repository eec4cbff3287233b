//! What is started on a call together: a batch of operations.

use crate::metadata::Metadata;
use crate::status::Status;
use bytes::Bytes;
use std::error::Error;
use std::fmt;

/// Operations that are started together and complete together.
///
/// Each kind may be in a batch once, and of each kind one may be pending on a call. Sends leave in
/// the order metadata, message, status, whatever the order in which they are put in. A batch
/// completes when each of its operations has: a send when the transport has taken it, as far as
/// flow control lets it.
///
/// ```
/// use turnstile::{Batch, Metadata, Status};
///
/// let reply = Batch::new()
///     .send_initial_metadata(Metadata::new())
///     .send_message(&b"hello"[..])
///     .send_status(Status::ok());
/// ```
#[derive(Debug, Default)]
#[must_use = "a batch does nothing until it is started on a call"]
pub struct Batch {
    pub(super) initial_metadata: Option<Metadata>,
    pub(super) message: Option<Bytes>,
    /// The message goes as it is, whatever the call's encoding.
    pub(super) is_uncompressed: bool,
    pub(super) status: Option<Status>,
    pub(super) closes: bool,
    pub(super) receives_metadata: bool,
    pub(super) receives_message: bool,
    /// It is the call's only one: none, or another, is an error.
    pub(super) receives_only_message: bool,
    pub(super) receives_status: bool,
    pub(super) receives_close: bool,
}

impl Batch {
    /// A batch without operations, which completes at once.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends initial metadata. Once a call; a message sends empty metadata first if none were sent.
    ///
    /// ```
    /// use turnstile::{Batch, Metadata};
    ///
    /// let mut metadata = Metadata::new();
    /// metadata.insert("x-served-by", "eu-3")?;
    /// let headers_now = Batch::new().send_initial_metadata(metadata);
    /// # let _ = headers_now;
    /// # Ok::<(), turnstile::metadata::InvalidMetadata>(())
    /// ```
    pub fn send_initial_metadata(mut self, metadata: Metadata) -> Self {
        self.initial_metadata = Some(metadata);
        self
    }

    /// Sends a message: the bytes of one protobuf message, or whatever the method's codec makes.
    ///
    /// It must not be larger than
    /// [`Builder::max_send_message_size`](crate::Builder::max_send_message_size) at a server, and
    /// [`CallOptions::max_send_message_size`](crate::CallOptions::max_send_message_size) at a client: the
    /// call ends then with RESOURCE_EXHAUSTED.
    ///
    /// ```
    /// use turnstile::{Batch, codec};
    ///
    /// let part_of_a_stream = Batch::new().send_message(codec::encode(&"hello".to_owned()));
    /// # let _ = part_of_a_stream;
    /// ```
    pub fn send_message(mut self, message: impl Into<Bytes>) -> Self {
        self.message = Some(message.into());
        self.is_uncompressed = false;
        self
    }

    /// The same without compression, on a call that has it: for a message that is compressed
    /// already, or that holds a secret.
    ///
    /// ```
    /// # use turnstile::Batch;
    /// let jpeg = vec![0xff, 0xd8, 0xff];
    /// let batch = Batch::new().send_message_uncompressed(jpeg);
    /// # let _ = batch;
    /// ```
    pub fn send_message_uncompressed(mut self, message: impl Into<Bytes>) -> Self {
        self.message = Some(message.into());
        self.is_uncompressed = true;
        self
    }

    /// Sends the status and with it the trailing metadata. The last thing sent on a call.
    ///
    /// ```
    /// use turnstile::{Batch, Status};
    ///
    /// let refusal = Batch::new().send_status(Status::resource_exhausted("ten calls are enough"));
    /// # let _ = refusal;
    /// ```
    pub fn send_status(mut self, status: Status) -> Self {
        self.status = Some(status);
        self
    }

    /// Receives the next message: [`Event::take_message`](crate::Event::take_message) is `None` when the
    /// other end has sent its last. At a server it fails when the call ended before. At a client it does
    /// not: what comes of a call that has ended is `None`, and its status says why.
    ///
    /// ```
    /// use turnstile::{Batch, Call, StartError};
    ///
    /// enum Tag {
    ///     Received,
    /// }
    ///
    /// /// Asks for one more message. The client may send ahead only as far as flow control lets it.
    /// fn read_on(call: &Call<Tag>) -> Result<(), StartError<Tag>> {
    ///     call.start(Batch::new().receive_message(), Tag::Received)
    /// }
    /// ```
    pub fn receive_message(mut self) -> Self {
        self.receives_message = true;
        self
    }

    /// Completes when the call is over: [`Event::is_cancelled`](crate::Event::is_cancelled) says
    /// whether it was before its status was sent.
    ///
    /// ```
    /// use turnstile::{Batch, Call, Event, StartError};
    ///
    /// /// Lets the queue tell when nobody waits any more. Start it when the call comes.
    /// fn watch(call: &Call<&'static str>) -> Result<(), StartError<&'static str>> {
    ///     call.start(Batch::new().receive_close(), "over")
    /// }
    ///
    /// fn on_event(event: &Event<&'static str>) {
    ///     if event.tag == "over" && event.is_cancelled() {
    ///         println!("the client has gone: stop working for it");
    ///     }
    /// }
    /// ```
    pub fn receive_close(mut self) -> Self {
        self.receives_close = true;
        self
    }

    /// Says that no more messages come: a client's half-close. Once a call, behind its last message.
    pub fn send_close(mut self) -> Self {
        self.closes = true;
        self
    }

    /// Receives the initial metadata that the server answers with:
    /// [`Event::take_initial_metadata`](crate::Event::take_initial_metadata) is `None` when the call ended
    /// without, and when it was received before.
    pub fn receive_initial_metadata(mut self) -> Self {
        self.receives_metadata = true;
        self
    }

    /// Receives the status, once every message before it has been received. A batch that has this
    /// operation is always ok: the status says how the rest went.
    pub fn receive_status(mut self) -> Self {
        self.receives_status = true;
        self
    }

    /// Receives the only message that a client may get: with none, or more, the call has ended with
    /// UNIMPLEMENTED.
    pub(crate) fn receive_only_message(mut self) -> Self {
        self.receives_message = true;
        self.receives_only_message = true;
        self
    }

    /// An operation that only clients have, if there is one.
    pub(super) fn first_of_the_clients(&self) -> Option<OpKind> {
        let kinds = [OpKind::SendClose, OpKind::ReceiveInitialMetadata, OpKind::ReceiveStatus];
        kinds.into_iter().find(|kind| self.has(*kind))
    }

    /// An operation that only servers have, if there is one.
    pub(super) fn first_of_the_servers(&self) -> Option<OpKind> {
        let kinds = [OpKind::SendInitialMetadata, OpKind::SendStatus, OpKind::ReceiveClose];
        kinds.into_iter().find(|kind| self.has(*kind))
    }

    pub(super) fn has(&self, kind: OpKind) -> bool {
        match kind {
            OpKind::SendInitialMetadata => self.initial_metadata.is_some(),
            OpKind::SendMessage => self.message.is_some(),
            OpKind::SendStatus => self.status.is_some(),
            OpKind::SendClose => self.closes,
            OpKind::ReceiveInitialMetadata => self.receives_metadata,
            OpKind::ReceiveStatus => self.receives_status,
            OpKind::ReceiveMessage => self.receives_message,
            OpKind::ReceiveClose => self.receives_close,
        }
    }
}

/// The kinds of operations. A pending batch is filed under the first kind that it has, which no
/// other batch can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OpKind {
    SendInitialMetadata,
    SendMessage,
    SendStatus,
    SendClose,
    ReceiveInitialMetadata,
    ReceiveMessage,
    ReceiveStatus,
    ReceiveClose,
}

impl OpKind {
    pub(super) const ALL: [Self; 8] = [
        Self::SendInitialMetadata,
        Self::SendMessage,
        Self::SendStatus,
        Self::SendClose,
        Self::ReceiveInitialMetadata,
        Self::ReceiveMessage,
        Self::ReceiveStatus,
        Self::ReceiveClose,
    ];
}

impl fmt::Display for OpKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SendInitialMetadata => "send_initial_metadata",
            Self::SendMessage => "send_message",
            Self::SendStatus => "send_status",
            Self::SendClose => "send_close",
            Self::ReceiveInitialMetadata => "receive_initial_metadata",
            Self::ReceiveStatus => "receive_status",
            Self::ReceiveMessage => "receive_message",
            Self::ReceiveClose => "receive_close",
        })
    }
}

/// A batch could not be started. Nothing of it has been done.
///
/// ```
/// use turnstile::{Batch, Call, StartError};
///
/// /// Sends, and gives the batch back if a message is being sent already.
/// fn try_send(call: &Call<u32>, message: &'static [u8]) -> Result<(), Batch> {
///     let sent = call.start(Batch::new().send_message(message), 1);
///     sent.map_err(|error: StartError<u32>| {
///         println!("{error}"); // says which operation is pending, or came too late
///         let (batch, _tag) = error.into_parts();
///         batch
///     })
/// }
/// ```
pub struct StartError<T>(Box<Refused<T>>);

struct Refused<T> {
    batch: Batch,
    tag: T,
    cause: StartErrorCause,
}

impl<T> StartError<T> {
    pub(super) fn new(batch: Batch, tag: T, cause: StartErrorCause) -> Self {
        Self(Box::new(Refused { batch, tag, cause }))
    }

    /// The batch and the tag, as they were given.
    pub fn into_parts(self) -> (Batch, T) {
        (self.0.batch, self.0.tag)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StartErrorCause {
    Pending(OpKind),
    AlreadySent(OpKind),
    /// The operation is for the other end of a call.
    OtherEnd(OpKind),
    ShutDown,
}

impl<T> fmt::Display for StartError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.cause {
            StartErrorCause::Pending(kind) => write!(
                f,
                "a {kind} is pending on this call; wait for its event before the next one starts",
            ),
            StartErrorCause::AlreadySent(kind) => {
                write!(f, "{kind} came too late: what it sends, or what follows it, has been sent")
            }
            StartErrorCause::OtherEnd(kind) => {
                write!(
                    f,
                    "{kind} is for the other end of a call, and this one has no such operation"
                )
            }
            StartErrorCause::ShutDown => f.write_str(
                "the call's completion queue is shut down; start batches before its shutdown",
            ),
        }
    }
}

impl<T> fmt::Debug for StartError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StartError").field("cause", &self.0.cause).finish_non_exhaustive()
    }
}

impl<T> Error for StartError<T> {}
