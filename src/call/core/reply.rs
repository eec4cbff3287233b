//! What a handler sends and ends its call with.
//!
//! The counterpart of batches. It is filed among the pending operations without a batch, so that both
//! keep the same order and the same rules.

use super::pending::NO_BATCH;
use super::server::{Sent, Server};
use super::{CallCore, State};
use crate::iomgr::ExecCtx;
use crate::metadata::Metadata;
use crate::status::Status;
use bytes::Bytes;
use std::sync::Arc;

/// What a call ends with: the only message of a method that has one, its metadata, and the status
/// with its own. [`Interceptor`](crate::service::Interceptor)s see it after the handler, and may
/// change it or make another.
///
/// # Which replies a method can have
///
/// - A method with one reply message has it if the status is OK; an error goes without. OK without
///   a message would break the protocol: the call ends with INTERNAL, and it is logged. Such are
///   `Reply::from(Status::ok())`, an error that an interceptor made OK, and the
///   `Err(Status::ok())` of a handler, which its interceptors see as INTERNAL already.
/// - Of a method whose replies are a stream this is the end alone. The messages have been written,
///   and initial metadata has gone with the first of them: what is put in later is sent only if
///   there was no message. An OK with a message in it ends with INTERNAL, and is logged:
///   messages of a stream are its handler's to write. So are those of a fallback.
///
/// ```
/// use turnstile::Status;
/// use turnstile::service::{IncomingCall, Interceptor, Next, Reply};
///
/// /// Says who answered.
/// struct Signed;
///
/// impl Interceptor for Signed {
///     async fn intercept(&self, call: IncomingCall, next: Next<'_>) -> Result<Reply, Status> {
///         let mut reply = next.run(call).await;
///         reply.metadata_mut().insert("x-served-by", "host-7")?;
///         reply.trailers_mut().insert("x-cost", "3")?;
///         Ok(reply)
///     }
/// }
/// # let mut builder = turnstile::Server::builder();
/// # builder.intercept(Signed);
/// ```
#[derive(Debug)]
pub struct Reply {
    /// Initial metadata, unless it has been sent.
    pub(crate) initial_metadata: Metadata,
    /// A last message.
    pub(crate) message: Option<Bytes>,
    /// The message goes as it is, whatever the call's encoding.
    pub(crate) is_uncompressed: bool,
    /// The status, with trailing metadata.
    pub(crate) status: Status,
}

impl Reply {
    /// OK with this message, for an interceptor that answers instead of the handler, or corrects
    /// it. The message is sent as it is, through nobody's
    /// [`map_replies`](crate::service::IncomingCall::map_replies): an interceptor that still has
    /// the call uses its [`answer`](crate::service::IncomingCall::answer).
    ///
    /// The bytes are those of one message, as the method's codec makes them
    /// ([`MethodDescriptor::encode_reply`](crate::MethodDescriptor::encode_reply)), before
    /// compression. An error is `Reply::from(status)`, or `Err(status)`.
    ///
    /// ```
    /// use turnstile::service::{IncomingCall, Interceptor, Next, Reply};
    /// use turnstile::{Code, MethodDescriptor, Status};
    ///
    /// const GREET: MethodDescriptor<String, String> = MethodDescriptor::unary("/demo.Greeter/Greet");
    ///
    /// /// Greets strangers too.
    /// struct Polite;
    ///
    /// impl Interceptor for Polite {
    ///     async fn intercept(&self, call: IncomingCall, next: Next<'_>) -> Result<Reply, Status> {
    ///         let is_greeting = call.method() == GREET.path();
    ///         let reply = next.run(call).await;
    ///         if !is_greeting || reply.status().code() != Code::NotFound {
    ///             return Ok(reply);
    ///         }
    ///         Ok(Reply::new(GREET.encode_reply(&"Hello stranger".to_owned())?))
    ///     }
    /// }
    /// # let mut builder = turnstile::Server::builder();
    /// # builder.intercept(Polite);
    /// ```
    pub fn new(message: impl Into<Bytes>) -> Self {
        Self { message: Some(message.into()), ..Self::from(Status::ok()) }
    }

    /// The only message of a method with one, as bytes after all
    /// [maps](crate::service::IncomingCall::map_replies) and before compression. `None` for an
    /// error, and for a method whose replies are a stream.
    ///
    /// ```
    /// use turnstile::service::Reply;
    ///
    /// let reply = Reply::new("hello");
    /// assert_eq!(reply.message().map(|it| it.len()), Some(5));
    /// ```
    pub fn message(&self) -> Option<&Bytes> {
        self.message.as_ref()
    }

    /// Initial metadata. It is not sent if some has been already, with the first message of a
    /// stream or by [`send_initial_metadata`](crate::Context::send_initial_metadata).
    pub fn metadata(&self) -> &Metadata {
        &self.initial_metadata
    }

    /// The same, to change or to add to.
    ///
    /// ```
    /// let mut reply = turnstile::service::Reply::new("hello");
    /// reply.metadata_mut().insert("x-cache", "hit")?;
    /// assert_eq!(reply.metadata().get("x-cache"), Some("hit"));
    /// # Ok::<(), turnstile::metadata::InvalidMetadata>(())
    /// ```
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.initial_metadata
    }

    /// Trailing metadata, if there is any: that of the [status](Self::status). What
    /// [`set_trailers`](crate::Context::set_trailers) was given comes on top when it is sent.
    pub fn trailers(&self) -> Option<&Metadata> {
        self.status.metadata()
    }

    /// The same, to change or to add to.
    ///
    /// ```
    /// let mut reply = turnstile::service::Reply::new("hello");
    /// reply.trailers_mut().insert("x-cost", "3")?;
    /// assert_eq!(reply.trailers().and_then(|it| it.get("x-cost")), Some("3"));
    /// # Ok::<(), turnstile::metadata::InvalidMetadata>(())
    /// ```
    pub fn trailers_mut(&mut self) -> &mut Metadata {
        self.status.metadata_mut()
    }

    /// The status that the call ends with.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// The same, to change. Another status has trailing metadata of its own; an error goes without
    /// the message, if there is one.
    ///
    /// ```
    /// use turnstile::Status;
    /// use turnstile::service::Reply;
    ///
    /// let mut reply = Reply::new("hello");
    /// assert!(reply.status().is_ok());
    /// *reply.status_mut() = Status::not_found("not for you");
    /// ```
    pub fn status_mut(&mut self) -> &mut Status {
        &mut self.status
    }
}

/// A reply without a message.
impl From<Status> for Reply {
    fn from(status: Status) -> Self {
        Self { initial_metadata: Metadata::new(), message: None, is_uncompressed: false, status }
    }
}

impl CallCore {
    /// Sends initial metadata, before the first message would.
    ///
    /// # Errors
    /// If it has been sent, or the call is over.
    pub(crate) fn send_initial_metadata(
        self: &Arc<Self>,
        metadata: Metadata,
    ) -> Result<(), Status> {
        let _context = ExecCtx::enter();
        self.with_state(|state, context, done| {
            if state.stream.is_none() {
                return Err(state.cause_of_end());
            }
            if state.own.progress >= Sent::InitialMetadata {
                return Err(Status::internal(
                    "initial metadata has been sent: send it before the first message",
                ));
            }
            state.file_initial_metadata(metadata);
            state.advance(context, done);
            Ok(())
        })
    }

    /// Adds to the trailing metadata that the call will end with.
    pub(crate) fn set_trailers(&self, metadata: Metadata) {
        let before = std::mem::replace(&mut self.state.lock().own.trailers, metadata);
        drop(before);
    }

    /// Sends what is left to send, and the status. Does nothing to a call that is over.
    pub(crate) fn finish(self: &Arc<Self>, reply: Reply) {
        let Reply { initial_metadata, message, is_uncompressed, status } = reply;
        // An interceptor may have made an error of a reply; an error has no message.
        let message = message.filter(|_| status.is_ok());
        let pack = |data: Bytes| if is_uncompressed { data.into() } else { self.pack(data) };
        let message = message.map(pack);
        let _context = ExecCtx::enter();
        self.with_state(|state, context, done| {
            if state.own.progress == Sent::Status {
                return done.discard(message, status);
            }
            let is_early = state.own.progress < Sent::InitialMetadata;
            if is_early && (message.is_some() || !initial_metadata.is_empty()) {
                state.file_initial_metadata(initial_metadata);
            }
            // A write that was given up may still be under way: its message goes first.
            state.advance(context, done);
            if let Some(message) = message.filter(|_| state.pending.message.is_none()) {
                state.file_message(message);
            }
            let trailers = std::mem::take(&mut state.own.trailers);
            state.own.progress = Sent::Status;
            state.pending.status = Some((NO_BATCH, status.and_metadata(trailers)));
            state.advance(context, done);
        });
    }
}

impl State<Server> {
    pub(super) fn file_initial_metadata(&mut self, metadata: Metadata) {
        self.own.progress = Sent::InitialMetadata;
        self.pending.initial_metadata = Some((NO_BATCH, metadata));
    }
}
