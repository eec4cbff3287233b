//! What a handler knows of its call besides the messages.

use super::origin::{Detached, Origin};
use crate::call::CallCore;
use crate::compression::Encoding;
use crate::iomgr::{Deadline, PeerAddress};
use crate::metadata::Metadata;
use crate::status::Status;
use http::Extensions;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A call, apart from its messages: who called, with what metadata, until when.
///
/// A [`Request`](crate::Request), a [`Streaming`](crate::Streaming) and a
/// [`blocking::Reader`](crate::blocking::Reader) each have one. Clones are of the same call, and may
/// outlive the handler; the extensions are copied.
///
/// Nothing here blocks, and everything is callable from any thread.
#[derive(Clone)]
pub struct Context {
    origin: Origin,
    /// Instead of the call's, once it was changed.
    metadata: Option<Box<Metadata>>,
    extensions: Extensions,
}

impl Context {
    pub(crate) fn new(call: Arc<CallCore>) -> Self {
        Self::of(Origin::Call(call))
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    fn of(origin: Origin) -> Self {
        Self { origin, metadata: None, extensions: Extensions::new() }
    }

    /// A context of no call, for tests that call a handler without a server: see
    /// [`Request::new`](crate::Request::new).
    ///
    /// - The method and the authority are empty, the peer is [`PeerAddress::InProcess`], and there
    ///   are no metadata and no extensions, until the test puts some in.
    /// - There is no deadline ([`detached_until`](Self::detached_until) sets one), and the call is
    ///   never cancelled: [`cancelled`](Self::cancelled) is never ready.
    /// - Initial metadata, trailers and a choice of compression are taken as from a call whose
    ///   client is there and reads no compression, and go nowhere. Initial metadata is sent once,
    ///   as on a call. The metadata of a [`Response`](crate::Response) can be looked at.
    ///
    /// ```
    /// use turnstile::{Context, Request};
    ///
    /// #[derive(Clone)]
    /// struct User(&'static str);
    ///
    /// let mut context = Context::detached();
    /// context.metadata_mut().insert("x-tenant", "7")?;
    /// context.extensions_mut().insert(User("Ali"));
    /// let request = Request::from_parts("hello", context);
    /// assert_eq!(request.metadata().get("x-tenant"), Some("7"));
    /// assert!(!request.is_cancelled());
    /// # Ok::<(), turnstile::metadata::InvalidMetadata>(())
    /// ```
    pub fn detached() -> Self {
        Self::detached_until(Deadline::NONE)
    }

    /// The same with a deadline. When that has passed the call is cancelled, so that
    /// [`Deadline::NOW`] makes one that is cancelled from the beginning; but nothing ends it, or
    /// wakes who waits for [`cancelled`](Self::cancelled), as there is no timer.
    ///
    /// ```
    /// use turnstile::{Context, Deadline};
    ///
    /// assert!(Context::detached_until(Deadline::NOW).is_cancelled());
    /// ```
    pub fn detached_until(deadline: impl Into<Deadline>) -> Self {
        Self::of(Origin::Detached(Detached::new(deadline.into())))
    }

    /// The full name of the method: `/package.Service/Method`.
    pub fn method(&self) -> &str {
        self.origin.method()
    }

    /// The host that the client asked for; empty if it said none.
    pub fn authority(&self) -> &str {
        self.origin.authority()
    }

    /// The metadata that the client sent with the request.
    pub fn metadata(&self) -> &Metadata {
        self.metadata.as_deref().unwrap_or_else(|| self.origin.metadata())
    }

    /// The same, to change: for the interceptors and the handler that come next, if it is an
    /// interceptor who does it. Other clones of the context keep what they have.
    ///
    /// ```
    /// use turnstile::service::IncomingCall;
    /// use turnstile::Status;
    ///
    /// /// An interceptor that keeps what is not for the handler from it.
    /// fn forget_token(call: &mut IncomingCall) -> Result<(), Status> {
    ///     call.metadata_mut().remove("authorization");
    ///     Ok(())
    /// }
    /// # let mut builder = turnstile::Server::builder();
    /// # builder.intercept(forget_token);
    /// ```
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        self.metadata.get_or_insert_with(|| Box::new(self.origin.metadata().clone()))
    }

    /// Who called.
    pub fn peer(&self) -> &PeerAddress {
        self.origin.peer()
    }

    /// When the client gives up, as its `grpc-timeout` said. The call then ends with
    /// DEADLINE_EXCEEDED, whatever its handler does.
    pub fn deadline(&self) -> Deadline {
        self.origin.deadline()
    }

    /// How long until the deadline: zero when it has passed, `None` if there is none.
    pub fn time_left(&self) -> Option<Duration> {
        self.origin.deadline().remaining()
    }

    /// Whether the call ended without its handler: the client went away or reset it, its deadline
    /// passed, or the server cancelled it. A handler that works for long should ask now and then.
    ///
    /// That a client has gone is found by whichever thread does I/O: while all threads are busy in
    /// handlers, nobody notices.
    pub fn is_cancelled(&self) -> bool {
        self.origin.is_cancelled()
    }

    /// Ready when the call is over: cancelled, or answered. The handler's own future is polled once
    /// more when that happens, and then dropped; so this is for what the handler has started
    /// elsewhere, and for what it wants to clean up.
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + 'static {
        self.origin.end()
    }

    /// What interceptors have left for the handler.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// The same, to change.
    pub fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.extensions
    }

    /// Sends initial metadata now. Without this it goes with the first message.
    ///
    /// # Errors
    /// If it has been sent, or the call is over.
    pub fn send_initial_metadata(&self, metadata: Metadata) -> Result<(), Status> {
        self.origin.send_initial_metadata(metadata)
    }

    /// What those request messages are compressed with that are: the client's `grpc-encoding`.
    /// `None` if it has none, or identity.
    pub fn request_encoding(&self) -> Option<Encoding> {
        self.origin.request_encoding()
    }

    /// Whether the request message that was received last was compressed: the only one, or the one
    /// that came out of the last read. An interceptor may ask in
    /// [`map_requests`](crate::service::IncomingCall::map_requests), with a clone of the context.
    /// Few need to know; messages are the same either way.
    ///
    /// ```
    /// use turnstile::{Status, Streaming};
    ///
    /// /// How many messages come, and how many of them compressed.
    /// async fn count(mut messages: Streaming<String>) -> Result<(u32, u32), Status> {
    ///     let (mut all, mut compressed) = (0, 0);
    ///     while messages.read().await?.is_some() {
    ///         all += 1;
    ///         compressed += u32::from(messages.was_compressed());
    ///     }
    ///     Ok((all, compressed))
    /// }
    /// # let messages = Streaming::new(["a".to_owned()]);
    /// # assert_eq!(turnstile::block_on(count(messages)).unwrap(), (1, 0));
    /// ```
    pub fn was_compressed(&self) -> bool {
        self.origin.was_compressed()
    }

    /// What replies are compressed with: at first what was configured for the method, its service
    /// or its server ([`Builder::compress_replies`](crate::Builder::compress_replies)), if the
    /// client can read it.
    pub fn compression(&self) -> Option<Encoding> {
        self.origin.compression()
    }

    /// Chooses what replies are compressed with; `None` is not at all. A client that has not said
    /// that it can read the encoding gets them as they are, and that is no error.
    ///
    /// # Errors
    /// If initial metadata has been sent, with the first message or before; or if the call is over.
    ///
    /// ```
    /// # #[cfg(feature = "gzip")]
    /// fn compress(call: &turnstile::Context) -> Result<(), turnstile::Status> {
    ///     call.set_compression(Some(turnstile::Encoding::Gzip))
    /// }
    /// ```
    pub fn set_compression(&self, encoding: Option<Encoding>) -> Result<(), Status> {
        self.origin.set_compression(encoding)
    }

    /// Sets the trailing metadata that the call ends with, whatever its outcome. What the handler's
    /// own status or response has is sent besides.
    pub fn set_trailers(&self, metadata: Metadata) {
        self.origin.set_trailers(metadata);
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("method", &self.method())
            .field("peer", self.peer())
            .field("metadata", self.metadata())
            .finish_non_exhaustive()
    }
}
