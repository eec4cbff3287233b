//! What comes between a call and its handler: authentication, logging, limits.

use super::handler::{Handler, IncomingCall};
use crate::call::Reply;
use crate::status::Status;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

/// Something that sees every call before its handler does, and its end after.
///
/// It may answer the call itself (with an error, or with [`IncomingCall::answer`]), leave something
/// for the handler in the call's [`extensions`](crate::Context::extensions_mut) or
/// [`metadata`](crate::Context::metadata_mut), change the messages
/// ([`IncomingCall::map_requests`]), wait, look at how the call ended, or change that: [`Reply`]
/// says what it can be.
///
/// A function from `&mut IncomingCall` to `Result<(), Status>` is an interceptor too, for those
/// that only look at the beginning:
///
/// ```
/// use turnstile::service::IncomingCall;
/// use turnstile::{Server, Status};
///
/// fn check_token(call: &mut IncomingCall) -> Result<(), Status> {
///     match call.metadata().get("authorization") {
///         Some("Bearer sesame") => Ok(()),
///         _ => Err(Status::unauthenticated("the call has no valid token")),
///     }
/// }
///
/// let mut builder = Server::builder();
/// builder.intercept(check_token);
/// ```
///
/// One that waits, and measures:
///
/// ```
/// use std::time::Instant;
/// use turnstile::service::{IncomingCall, Interceptor, Next, Reply};
/// use turnstile::Status;
///
/// struct Timed;
///
/// impl Interceptor for Timed {
///     async fn intercept(&self, call: IncomingCall, next: Next<'_>) -> Result<Reply, Status> {
///         let (start, method) = (Instant::now(), call.method().to_owned());
///         let reply = next.run(call).await;
///         println!("{method}: {:?} {}", start.elapsed(), reply.status());
///         Ok(reply)
///     }
/// }
/// ```
///
/// Interceptors of a server run before those of a service, and each of these in the order in which
/// they were added. For a blocking service they run on the thread that the handler gets, and may
/// block as it may. For an async one they must not, as its handlers must not: they wait by `await`.
/// What they await, for a service of either kind, is polled once more when the call is over, and then
/// dropped; what blocks a thread is not interrupted.
/// A panic ends the call with INTERNAL, and nothing else.
pub trait Interceptor: Send + Sync + 'static {
    /// Handles a call, most often by passing it on to [`Next::run`].
    ///
    /// # Errors
    /// The call ends with this status.
    fn intercept(
        &self,
        call: IncomingCall,
        next: Next<'_>,
    ) -> impl Future<Output = Result<Reply, Status>> + Send;
}

impl<F> Interceptor for F
where
    F: Fn(&mut IncomingCall) -> Result<(), Status> + Send + Sync + 'static,
{
    async fn intercept(&self, mut call: IncomingCall, next: Next<'_>) -> Result<Reply, Status> {
        self(&mut call)?;
        Ok(next.run(call).await)
    }
}

type Boxed<'a> = Pin<Box<dyn Future<Output = Result<Reply, Status>> + Send + 'a>>;

/// An interceptor whose type is forgotten.
trait AnyInterceptor: Send + Sync {
    fn intercept<'a>(&'a self, call: IncomingCall, next: Next<'a>) -> Boxed<'a>;
}

impl<I: Interceptor> AnyInterceptor for I {
    fn intercept<'a>(&'a self, call: IncomingCall, next: Next<'a>) -> Boxed<'a> {
        Box::pin(Interceptor::intercept(self, call, next))
    }
}

/// Interceptors, the outermost first.
#[derive(Clone, Default)]
pub(crate) struct Chain(Arc<[Arc<dyn AnyInterceptor>]>);

impl Chain {
    pub(crate) fn push(&mut self, interceptor: impl Interceptor) {
        let last: Arc<dyn AnyInterceptor> = Arc::new(interceptor);
        self.0 = self.0.iter().cloned().chain([last]).collect();
    }

    pub(super) fn followed_by(&self, inner: &Self) -> Self {
        Self(self.0.iter().chain(&*inner.0).cloned().collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Chain").field(&self.0.len()).finish()
    }
}

/// The interceptors that come next, and the handler behind them.
///
/// ```
/// use turnstile::Status;
/// use turnstile::service::{IncomingCall, Interceptor, Next, Reply};
///
/// /// Hides what went wrong within.
/// struct Discreet;
///
/// impl Interceptor for Discreet {
///     async fn intercept(&self, call: IncomingCall, next: Next<'_>) -> Result<Reply, Status> {
///         let reply = next.run(call).await;
///         match reply.status().code() {
///             turnstile::Code::Internal => Err(Status::internal("something went wrong")),
///             _ => Ok(reply),
///         }
///     }
/// }
/// # turnstile::Server::builder().intercept(Discreet);
/// ```
#[must_use = "the call ends here unless it is passed on"]
pub struct Next<'a> {
    rest: &'a [Arc<dyn AnyInterceptor>],
    handler: &'a Handler,
}

impl<'a> Next<'a> {
    pub(super) fn new(chain: &'a Chain, handler: &'a Handler) -> Self {
        Self { rest: &chain.0, handler }
    }

    /// Passes the call on, and gives what it ends with.
    ///
    /// It waits as the handler does; when it is dropped before it is ready, so is the handler. Before a
    /// blocking handler it blocks its thread. See [`Next`] for an example.
    pub async fn run(self, call: IncomingCall) -> Reply {
        match self.rest.split_first() {
            None => (self.handler)(call).await,
            Some((first, rest)) => {
                let next = Next { rest, handler: self.handler };
                first.intercept(call, next).await.unwrap_or_else(Reply::from)
            }
        }
    }
}

impl fmt::Debug for Next<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next").field("left", &self.rest.len()).finish_non_exhaustive()
    }
}
