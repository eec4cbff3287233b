//! A method's handler whose types are forgotten, and the call that it gets.

use super::config::MethodConfig;
use super::descriptor::MethodKind;
use super::filter::Filter;
use super::interceptor::{Chain, Next};
use super::{Context, Request, Response, Streaming, Writer};
use crate::call::{CallCore, Reply};
use crate::codec::Codec;
use crate::status::Status;
use bytes::Bytes;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::Arc;

/// What a handler comes to.
pub(crate) type HandlerFuture = Pin<Box<dyn Future<Output = Reply> + Send>>;

/// A handler: typed inside, bytes outside.
pub(super) type Handler = Arc<dyn Fn(IncomingCall) -> HandlerFuture + Send + Sync>;

/// How a handler wants to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// As a future that gives its thread back whenever it waits.
    Async,
    /// On a thread of its own for as long as it takes.
    Blocking,
}

/// A method that has a handler.
#[derive(Clone)]
pub(crate) struct Method {
    pub(super) path: Arc<str>,
    pub(super) kind: MethodKind,
    pub(super) style: Style,
    /// What may follow `application/grpc+`; empty for anything.
    pub(super) subtype: &'static str,
    pub(super) handler: Handler,
    pub(super) chain: Chain,
    /// Its own.
    pub(super) config: MethodConfig,
    /// Its service's.
    pub(super) defaults: MethodConfig,
}

impl Method {
    pub(crate) fn path(&self) -> &Arc<str> {
        &self.path
    }

    /// What follows the service's name in the path.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// What its messages may be, where the server has not the say.
    pub(crate) fn config(&self) -> MethodConfig {
        self.config.or(self.defaults)
    }

    pub(crate) fn kind(&self) -> MethodKind {
        self.kind
    }

    pub(crate) fn style(&self) -> Style {
        self.style
    }

    /// What may follow `application/grpc+`.
    pub(crate) fn subtype(&self) -> &'static str {
        self.subtype
    }

    /// Puts a server's interceptors before the service's own.
    pub(crate) fn intercepted_by(mut self, chain: &Chain) -> Self {
        self.chain = chain.followed_by(&self.chain);
        self
    }

    /// Begins to handle a call. `message` is the only request message, for methods with one.
    pub(crate) fn handle(&self, call: Arc<CallCore>, message: Option<Bytes>) -> HandlerFuture {
        let incoming = IncomingCall::new(Context::new(call.clone()), message);
        if self.chain.is_empty() {
            return (self.handler)(incoming);
        }
        let (chain, handler, kind) = (self.chain.clone(), self.handler.clone(), self.kind);
        Box::pin(async move {
            let reply = Next::new(&chain, &handler).run(incoming).await;
            check(reply, kind, &call)
        })
    }
}

/// Makes an error of a reply that a method of this kind cannot have. What a handler makes has been
/// checked before ([`handler_error`]), so it is an interceptor's.
fn check(reply: Reply, kind: MethodKind, call: &CallCore) -> Reply {
    let cause = match (kind.has_one_reply(), reply.message()) {
        _ if !reply.status().is_ok() => return reply,
        (true, Some(_)) | (false, None) => return reply,
        (true, None) => OK_ALONE,
        (false, Some(_)) => "it answered with a message, and the method's replies are a stream",
    };
    Reply::from(impossible("an interceptor", call.head().method(), cause))
}

const OK_ALONE: &str = "it answered OK without a message, and the method has one";

/// What a handler ends with instead of its only message. `Err(Status::ok())` is no error.
fn handler_error(status: Status, method: &str) -> Status {
    if status.is_ok() { impossible("a handler", method, OK_ALONE) } else { status }
}

/// What a codec ends with instead of a message.
fn codec_error(status: Status, method: &str) -> Status {
    let cause = "it failed with the status OK";
    if status.is_ok() { impossible("a codec", method, cause) } else { status }
}

/// What the client gets instead of a reply that the method cannot have. The log has it as well.
fn impossible(maker: &str, method: &str, cause: &str) -> Status {
    let text = format!("{maker} made a reply that the method cannot have");
    tracing::error!(target: "turnstile::call", method, cause, "{text}");
    Status::internal(format!("{text}: {cause}"))
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Method")
            .field("path", &self.path)
            .field("kind", &self.kind)
            .field("style", &self.style)
            .finish_non_exhaustive()
    }
}

/// A call on its way to its handler, as [`Interceptor`](super::Interceptor)s see it. It derefs to
/// the call's [`Context`].
///
/// Nothing here blocks.
///
/// ```
/// use turnstile::Status;
/// use turnstile::service::IncomingCall;
///
/// /// An interceptor that is a function.
/// fn log(call: &mut IncomingCall) -> Result<(), Status> {
///     println!("{} calls {}", call.peer(), call.method());
///     Ok(())
/// }
/// # turnstile::Server::builder().intercept(log);
/// ```
pub struct IncomingCall {
    context: Context,
    message: Option<Bytes>,
    requests: Filter,
    replies: Filter,
}

impl IncomingCall {
    fn new(context: Context, message: Option<Bytes>) -> Self {
        Self { context, message, requests: Filter::default(), replies: Filter::default() }
    }

    /// Sends every request message through `map`, as bytes before they are decoded. Maps of outer
    /// interceptors come first.
    ///
    /// An error of `map` is what the handler gets instead of the message, and for a method with one
    /// request message the call's status.
    ///
    /// ```
    /// use turnstile::Status;
    /// use turnstile::service::IncomingCall;
    ///
    /// /// Counts what comes, and refuses what is too much for one call.
    /// fn limit(call: &mut IncomingCall) -> Result<(), Status> {
    ///     let mut left = 1024 * 1024_usize;
    ///     call.map_requests(move |message| {
    ///         let rest = left.checked_sub(message.len());
    ///         left = rest.ok_or_else(|| Status::resource_exhausted("a MiB is enough for a call"))?;
    ///         Ok(message)
    ///     });
    ///     Ok(())
    /// }
    /// # turnstile::Server::builder().intercept(limit);
    /// ```
    pub fn map_requests(
        &mut self,
        map: impl FnMut(Bytes) -> Result<Bytes, Status> + Send + 'static,
    ) {
        self.requests.then(map);
    }

    /// Sends every reply message through `map`, as bytes after they were encoded. Maps of inner
    /// interceptors come first.
    ///
    /// An error of `map` is what the handler's write ends with, and for a method with one reply message
    /// the call's status.
    ///
    /// ```
    /// use turnstile::Status;
    /// use turnstile::service::IncomingCall;
    ///
    /// fn log(call: &mut IncomingCall) -> Result<(), Status> {
    ///     let method = call.method().to_owned();
    ///     call.map_replies(move |message| {
    ///         println!("{method}: {} bytes", message.len());
    ///         Ok(message)
    ///     });
    ///     Ok(())
    /// }
    /// # turnstile::Server::builder().intercept(log);
    /// ```
    pub fn map_replies(
        &mut self,
        map: impl FnMut(Bytes) -> Result<Bytes, Status> + Send + 'static,
    ) {
        self.replies.first(map);
    }

    /// Answers the call instead of its handler: OK with this message, for a method with one reply.
    /// The bytes are those of one message, as the method's codec makes them
    /// ([`MethodDescriptor::encode_reply`](crate::MethodDescriptor::encode_reply)). They go through
    /// what [`map_replies`](Self::map_replies) was given so far, as the handler's would. For a
    /// method whose replies are a stream see [`Reply`].
    ///
    /// # Errors
    /// Those of the maps.
    ///
    /// ```
    /// use turnstile::service::{IncomingCall, Interceptor, Next, Reply};
    /// use turnstile::{MethodDescriptor, Status};
    ///
    /// const MOTTO: MethodDescriptor<(), String> = MethodDescriptor::unary("/demo.Mottos/OfTheDay");
    ///
    /// /// Spares the handler what does not change.
    /// struct Cache(String);
    ///
    /// impl Interceptor for Cache {
    ///     async fn intercept(&self, call: IncomingCall, next: Next<'_>) -> Result<Reply, Status> {
    ///         if call.method() != MOTTO.path() {
    ///             return Ok(next.run(call).await);
    ///         }
    ///         let mut reply = call.answer(MOTTO.encode_reply(&self.0)?)?;
    ///         reply.metadata_mut().insert("x-cache", "hit")?;
    ///         Ok(reply)
    ///     }
    /// }
    /// # let mut builder = turnstile::Server::builder();
    /// # builder.intercept(Cache("Less is more".to_owned()));
    /// ```
    pub fn answer(mut self, message: impl Into<Bytes>) -> Result<Reply, Status> {
        Ok(Reply::new(self.replies.apply(message.into())?))
    }

    /// For a method with one request message.
    pub(super) fn into_request<T, C: Codec<T>>(mut self) -> Result<(Request<T>, Replies), Status> {
        let bytes = self.requests.apply(self.message.unwrap_or_default())?;
        let failed = |status| codec_error(status, self.context.method());
        let message = C::decode(bytes).map_err(failed)?;
        let request = Request::from_parts(message, self.context);
        Ok((request, Replies(self.replies)))
    }

    /// For a method with any number of request messages.
    pub(super) fn into_streaming<T, C: Codec<T>>(self) -> (Streaming<T>, Replies) {
        (Streaming::of_call::<C>(self.context, self.requests), Replies(self.replies))
    }
}

impl Deref for IncomingCall {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.context
    }
}

impl DerefMut for IncomingCall {
    fn deref_mut(&mut self) -> &mut Context {
        &mut self.context
    }
}

impl fmt::Debug for IncomingCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IncomingCall").field("context", &self.context).finish_non_exhaustive()
    }
}

/// What the replies of a call go through.
pub(super) struct Replies(Filter);

impl Replies {
    /// For a method with any number of reply messages.
    pub(super) fn into_writer<T, C: Codec<T>>(self, context: &Context) -> Writer<T> {
        Writer::of_call::<C>(context, self.0)
    }

    /// The end of a method with one reply message, of which `method` is the path.
    pub(super) fn end_with<T, C: Codec<T>>(
        mut self,
        method: &str,
        outcome: Result<Response<T>, Status>,
    ) -> Reply {
        outcome
            .map_err(|status| handler_error(status, method))
            .and_then(|response| {
                let is_uncompressed = response.is_uncompressed();
                let (message, initial_metadata, trailers) = response.into_parts();
                let failed = |status| codec_error(status, method);
                let message = Some(self.0.apply(C::encode(&message).map_err(failed)?)?);
                let status = Status::ok().with_metadata(trailers);
                Ok(Reply { initial_metadata, message, is_uncompressed, status })
            })
            .unwrap_or_else(Reply::from)
    }
}

/// The end of a method whose replies have been written.
pub(super) fn end_of_stream(outcome: Result<(), Status>) -> Reply {
    Reply::from(outcome.err().unwrap_or_else(Status::ok))
}
