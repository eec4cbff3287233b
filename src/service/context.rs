//! What a handler knows of its call besides the messages.

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
    call: Arc<CallCore>,
    extensions: Extensions,
}

impl Context {
    pub(crate) fn new(call: Arc<CallCore>) -> Self {
        Self { call, extensions: Extensions::new() }
    }

    pub(super) fn call(&self) -> &Arc<CallCore> {
        &self.call
    }

    /// The full name of the method: `/package.Service/Method`.
    pub fn method(&self) -> &str {
        self.call.head().method()
    }

    /// The host that the client asked for; empty if it said none.
    pub fn authority(&self) -> &str {
        self.call.head().authority.as_ref().map_or("", |authority| authority.as_str())
    }

    /// The metadata that the client sent with the request.
    pub fn metadata(&self) -> &Metadata {
        &self.call.head().metadata
    }

    /// Who called.
    pub fn peer(&self) -> &PeerAddress {
        &self.call.head().peer
    }

    /// When the client gives up, as its `grpc-timeout` said. The call then ends with
    /// DEADLINE_EXCEEDED, whatever its handler does.
    pub fn deadline(&self) -> Deadline {
        self.call.deadline()
    }

    /// How long until the deadline: zero when it has passed, `None` if there is none.
    pub fn time_left(&self) -> Option<Duration> {
        self.call.deadline().remaining()
    }

    /// Whether the call ended without its handler: the client went away or reset it, its deadline
    /// passed, or the server cancelled it. A handler that works for long should ask now and then.
    ///
    /// That a client has gone is found by whichever thread does I/O: while all threads are busy in
    /// handlers, nobody notices.
    pub fn is_cancelled(&self) -> bool {
        self.call.is_cancelled()
    }

    /// Ready when the call is over: cancelled, or answered. The handler's own future is polled once
    /// more when that happens, and then dropped; so this is for what the handler has started
    /// elsewhere, and for what it wants to clean up.
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + 'static {
        self.call.over()
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
        self.call.send_initial_metadata(metadata)
    }

    /// What replies are compressed with: at first what was configured for the method, its service
    /// or its server ([`Builder::compress_replies`](crate::Builder::compress_replies)), if the
    /// client can read it.
    pub fn compression(&self) -> Option<Encoding> {
        self.call.compression()
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
        self.call.set_compression(encoding)
    }

    /// Sets the trailing metadata that the call ends with, whatever its outcome. What the handler's
    /// own status or response has is sent besides.
    pub fn set_trailers(&self, metadata: Metadata) {
        self.call.set_trailers(metadata);
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
