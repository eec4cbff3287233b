//! What comes between a stub and its calls: credentials, logging, measuring.

use super::options::{CallOptions, TimeLimit};
use crate::metadata::Metadata;
use crate::status::Status;
use bytes::Bytes;
use http::Extensions;
use std::borrow::Cow;
use std::fmt;

/// Something that sees every call of a stub, of either colour, from its beginning to its end.
///
/// Each hook has a default that changes nothing. A function from `&mut OutgoingCall` to
/// `Result<(), Status>` is an interceptor too, for those that only look at the beginning:
///
/// ```
/// use turnstile::client::{OutgoingCall, Stub};
/// use turnstile::{Channel, Status};
///
/// fn add_token(call: &mut OutgoingCall) -> Result<(), Status> {
///     call.metadata_mut().insert("authorization", "Bearer sesame")?;
///     Ok(())
/// }
///
/// // `Client` and `BlockingClient` of a generated module have the same function.
/// let stub = Stub::new(Channel::connect("localhost:50051")?).intercept(add_token);
/// # drop(stub);
/// # Ok::<(), turnstile::Error>(())
/// ```
///
/// One that measures:
///
/// ```
/// use std::time::Instant;
/// use turnstile::client::{CallContext, Interceptor, OutgoingCall};
/// use turnstile::Status;
///
/// struct Timed;
///
/// impl Interceptor for Timed {
///     fn start(&self, call: &mut OutgoingCall) -> Result<(), Status> {
///         call.extensions_mut().insert(Instant::now());
///         Ok(())
///     }
///
///     fn ended(&self, call: &CallContext, status: &Status) {
///         let elapsed = call.extensions().get::<Instant>().map(Instant::elapsed);
///         println!("{}: {elapsed:?} {}", call.method(), status.code());
///     }
/// }
/// # turnstile::client::Stub::new(turnstile::Channel::connect("localhost:50051")?).intercept(Timed);
/// # Ok::<(), turnstile::Error>(())
/// ```
///
/// # Order
///
/// The interceptor that was added first is the outermost: it is the first to see what is sent, and the
/// last to see what comes back. Those of a stub are the same for its clones.
///
/// # Where they run
///
/// On the thread that uses the call, or polls it. A hook must not block where that must not, as in an
/// `async` handler. When a call's two halves are on two threads, so may two of its hooks be. A panic ends
/// the call with INTERNAL, and nothing else.
pub trait Interceptor: Send + Sync + 'static {
    /// A call is about to be made; what it is made with can be changed.
    ///
    /// # Errors
    /// The call ends with the code and the message of this status, and nothing of it is sent.
    /// Interceptors within this one hear nothing of it, and this one nothing more.
    fn start(&self, call: &mut OutgoingCall) -> Result<(), Status> {
        let _ = call;
        Ok(())
    }

    /// The server's initial metadata has come, before the first message. Empty if the call ended
    /// without.
    fn metadata_received(&self, call: &CallContext, metadata: &Metadata) {
        let _ = (call, metadata);
    }

    /// A message is about to be sent: what goes in its place, as bytes after they were encoded, and before
    /// they are compressed.
    ///
    /// # Errors
    /// The call ends with this status, and the message is not sent.
    fn message_sent(&self, call: &CallContext, message: Bytes) -> Result<Bytes, Status> {
        let _ = call;
        Ok(message)
    }

    /// A message has come: what the codec gets in its place. Not called for the message of a call with
    /// one reply that has ended with an error.
    ///
    /// # Errors
    /// The call ends with this status.
    fn message_received(&self, call: &CallContext, message: Bytes) -> Result<Bytes, Status> {
        let _ = call;
        Ok(message)
    }

    /// The call is over: exactly once for each call whose [`start`](Self::start) went well, when whoever
    /// has made it learns of the end, or lets go of it.
    fn ended(&self, call: &CallContext, status: &Status) {
        let _ = (call, status);
    }
}

impl<F> Interceptor for F
where
    F: Fn(&mut OutgoingCall) -> Result<(), Status> + Send + Sync + 'static,
{
    fn start(&self, call: &mut OutgoingCall) -> Result<(), Status> {
        self(call)
    }
}

/// What interceptors know of a call that is going on.
///
/// For an example see [`Interceptor`].
#[derive(Debug)]
pub struct CallContext {
    method: Cow<'static, str>,
    extensions: Extensions,
}

impl CallContext {
    /// The full name of the method: `/package.Service/Method`.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// What interceptors have left for themselves, and for each other, when the call began. What is to
    /// change later needs a lock of its own, as several threads may use a call.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }
}

/// A call that is about to be made, as interceptors see it.
///
/// ```
/// use std::time::Duration;
/// use turnstile::client::OutgoingCall;
/// use turnstile::{CallOptions, Status};
///
/// /// No call goes on for ever, and reports are for those who are at work.
/// fn limit(call: &mut OutgoingCall) -> Result<(), Status> {
///     if call.method().starts_with("/acme.Reports/") && call.metadata().get("x-user").is_none() {
///         return Err(Status::unauthenticated("a report needs an x-user"));
///     }
///     if !call.has_deadline() {
///         call.add_options(CallOptions::new().timeout(Duration::from_secs(10)));
///     }
///     Ok(())
/// }
/// # turnstile::client::Stub::new(turnstile::Channel::connect("localhost:50051")?).intercept(limit);
/// # Ok::<(), turnstile::Error>(())
/// ```
pub struct OutgoingCall {
    pub(super) context: CallContext,
    pub(super) options: CallOptions,
}

impl OutgoingCall {
    pub(super) fn new(method: &'static str, options: CallOptions) -> Self {
        let context = CallContext { method: Cow::Borrowed(method), extensions: Extensions::new() };
        Self { context, options }
    }

    /// The full name of the method: `/package.Service/Method`.
    pub fn method(&self) -> &str {
        &self.context.method
    }

    /// Calls another method, which must have the same messages.
    ///
    /// ```
    /// # use turnstile::{Status, client::OutgoingCall};
    /// /// The second version of a service has the same methods.
    /// fn upgrade(call: &mut OutgoingCall) -> Result<(), Status> {
    ///     call.set_method(call.method().replacen("/acme.v1.", "/acme.v2.", 1));
    ///     Ok(())
    /// }
    /// ```
    pub fn set_method(&mut self, path: impl Into<Cow<'static, str>>) {
        self.context.method = path.into();
    }

    /// The metadata that the call is made with, besides the channel's own.
    pub fn metadata(&self) -> &Metadata {
        &self.options.metadata
    }

    /// The same, to change.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.options.metadata
    }

    /// Whether the stub or the call has a deadline; one of the channel's does not count.
    pub fn has_deadline(&self) -> bool {
        !matches!(self.options.limit, TimeLimit::Unset)
    }

    /// Puts options on top of those of the stub: see [`CallOptions::merged_with`].
    pub fn add_options(&mut self, more: CallOptions) {
        self.options = std::mem::take(&mut self.options).merged_with(more);
    }

    /// What interceptors leave for themselves, and for each other, as long as the call goes on.
    pub fn extensions(&self) -> &Extensions {
        &self.context.extensions
    }

    /// The same, to put something in.
    pub fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.context.extensions
    }
}

impl fmt::Debug for OutgoingCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutgoingCall").field("context", &self.context).finish_non_exhaustive()
    }
}
