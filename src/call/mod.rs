//! Calls: where a transport's stream and a completion queue meet.
//!
//! [`core`] is one call's state and progress; [`batch`] what an application starts on it;
//! [`event`] what comes out of the queue for it.

mod batch;
mod core;
mod event;
mod few;

#[cfg(all(test, not(turnstile_loom)))]
mod tests;

pub use batch::{Batch, StartError};
pub use core::Reply;
pub(crate) use core::{
    CallCore, ClientCore, ClientOwner, MessageRules, Observer, OnlyMessage, OnlyReply, Outgoing,
    Over, Owner,
};
pub(crate) use event::NewCall;
pub use event::Outcome;

use crate::compression::Encoding;
use crate::cq;
use crate::iomgr::{Deadline, PeerAddress};
use crate::metadata::Metadata;
use crate::status::Status;
use std::fmt;
use std::sync::Arc;

/// One RPC that a client has begun, at the server.
///
/// Its batches complete on the queue that the call was requested for. Usable from any thread.
/// Dropping it without having sent a status, or started to, ends the call with INTERNAL.
///
/// ```
/// use turnstile::{Batch, Call, StartError, Status};
///
/// /// Answers with who has called, and for what.
/// fn who_am_i(call: Call<u32>, tag: u32) -> Result<(), StartError<u32>> {
///     let answer = format!("{} calls {} of {}", call.peer(), call.method(), call.authority());
///     call.start(Batch::new().send_message(answer).send_status(Status::ok()), tag)
/// }
/// ```
pub struct Call<T: Send + 'static> {
    owner: Owner,
    queue: Arc<cq::Core<T, Outcome>>,
}

impl<T: Send + 'static> Call<T> {
    pub(crate) fn new(owner: Owner, queue: Arc<cq::Core<T, Outcome>>) -> Self {
        Self { owner, queue }
    }

    /// The full name of the method: `/package.Service/Method`.
    pub fn method(&self) -> &str {
        self.owner.core().head().method()
    }

    /// The host that the client asked for; empty if it said none.
    pub fn authority(&self) -> &str {
        self.owner.core().head().authority.as_ref().map_or("", |authority| authority.as_str())
    }

    /// What the client says its messages are encoded as: what follows `application/grpc+` in the
    /// request's content type, in lower case. `None` if nothing does; most clients say nothing when
    /// they mean protobuf.
    ///
    /// Calls of a method that was registered by its descriptor ([`Builder::register`]) come only if
    /// its codec reads them. For those of a method that was registered by name, and of methods that
    /// are not registered, this is for the application to look at.
    ///
    /// ```
    /// use turnstile::{Call, Status};
    ///
    /// /// Refuses what this server cannot read.
    /// fn check(call: &Call<u32>) -> Result<(), Status> {
    ///     match call.content_subtype() {
    ///         None | Some("proto") => Ok(()),
    ///         Some(other) => Err(Status::unimplemented(format!("no codec reads {other:?}"))),
    ///     }
    /// }
    /// ```
    ///
    /// [`Builder::register`]: crate::Builder::register
    pub fn content_subtype(&self) -> Option<&str> {
        self.owner.core().head().subtype.as_deref()
    }

    /// The metadata that the client sent with the request.
    pub fn metadata(&self) -> &Metadata {
        &self.owner.core().head().metadata
    }

    /// Who called.
    pub fn peer(&self) -> &PeerAddress {
        &self.owner.core().head().peer
    }

    /// When the client gives up, as its `grpc-timeout` said. The call then ends by itself, with
    /// DEADLINE_EXCEEDED.
    ///
    /// ```
    /// use std::time::Duration;
    /// use turnstile::Call;
    ///
    /// /// Whether there is time for an answer that takes a second to make.
    /// fn has_time(call: &Call<u32>) -> bool {
    ///     call.deadline().remaining().is_none_or(|left| left > Duration::from_secs(1))
    /// }
    /// ```
    pub fn deadline(&self) -> Deadline {
        self.owner.core().deadline()
    }

    /// What the call's replies are compressed with: at first what was configured
    /// ([`Builder::compress_replies`](crate::Builder::compress_replies)), if the client can read it.
    pub fn compression(&self) -> Option<Encoding> {
        self.owner.core().compression()
    }

    /// Chooses what the call's replies are compressed with; `None` is not at all. A client that has
    /// not said that it can read the encoding gets them as they are, and that is no error.
    ///
    /// Callable from any thread, until initial metadata is sent; never blocks.
    ///
    /// # Errors
    /// If initial metadata has been sent, or the call is over.
    ///
    /// ```
    /// # #[cfg(feature = "gzip")]
    /// fn compress<T: Send>(call: &turnstile::Call<T>) -> Result<(), turnstile::Status> {
    ///     call.set_compression(Some(turnstile::Encoding::Gzip))
    /// }
    /// ```
    pub fn set_compression(&self, encoding: Option<Encoding>) -> Result<(), Status> {
        self.owner.core().set_compression(encoding)
    }

    /// Starts a batch. `tag` comes out of the call's queue when it has completed.
    ///
    /// The event's [`is_ok`](cq::Event::is_ok) is false if an operation of the batch failed, which
    /// is when the call had ended, or ended before the operation was done.
    ///
    /// Callable from any thread; never blocks.
    ///
    /// # Errors
    /// If an operation of one of these kinds is pending, or cannot come any more, or the queue is
    /// shut down. The batch and the tag come back in the error, and nothing has been done.
    ///
    /// ```
    /// use turnstile::{Batch, Call, StartError};
    ///
    /// /// Echoes: sends the last message back and asks for the next, in one batch.
    /// fn echo(call: &Call<u32>, message: turnstile::Bytes) -> Result<(), StartError<u32>> {
    ///     call.start(Batch::new().send_message(message).receive_message(), 1)
    /// }
    /// ```
    pub fn start(&self, batch: Batch, tag: T) -> Result<(), StartError<T>> {
        self.owner.core().start(&self.queue, batch, tag)
    }

    /// Ends the call with `status`, whatever is pending: those operations fail, and a pending
    /// `receive_close` says that the call was cancelled. Does nothing to a call that is over.
    ///
    /// Callable from any thread; never blocks.
    ///
    /// ```
    /// use std::collections::HashMap;
    /// use turnstile::{Call, Status};
    ///
    /// /// Ends the calls of a user who may not go on.
    /// fn lock_out(calls: &mut HashMap<String, Call<u32>>, user: &str) {
    ///     if let Some(call) = calls.remove(user) {
    ///         call.cancel(Status::permission_denied("the account is locked"));
    ///     }
    /// }
    /// ```
    pub fn cancel(&self, status: Status) {
        self.owner.core().cancel(status);
    }
}

impl<T: Send + 'static> fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("method", &self.method())
            .field("peer", self.peer())
            .finish_non_exhaustive()
    }
}
