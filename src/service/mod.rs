//! Services: the methods of a .proto service with their handlers, in any style.
//!
//! [`Builder`] makes a [`Service`] of functions; `turnstile-build` generates calls of it. A handler
//! is typed inside and sees bytes outside; [`Interceptor`]s come before it. What runs handlers is the
//! server; a test may call them without one, with a request of its own ([`Request::new`]).

pub mod blocking;

mod builder;
mod check;
mod config;
mod context;
mod descriptor;
mod filter;
mod handler;
mod interceptor;
mod origin;
mod request;
mod streaming;

pub use crate::call::Reply;
pub use builder::Builder;
pub(crate) use check::is_path;
pub use config::MethodConfig;
pub use context::Context;
pub use descriptor::{MethodDescriptor, MethodKind};
pub use handler::IncomingCall;
pub(crate) use handler::{HandlerFuture, Method, Style};
pub(crate) use interceptor::Chain;
pub use interceptor::{Interceptor, Next};
pub use request::{Request, Response};
pub use streaming::{Streaming, Writer};

use crate::error::Error;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// A service and its handlers, to be added to a server with
/// [`add_service`](crate::Builder::add_service). Generated code makes it, or a [`Builder`].
///
/// ```
/// use turnstile::{MethodDescriptor, Response, Server, service};
///
/// const DOUBLE: MethodDescriptor<u64, u64> = MethodDescriptor::unary("/demo.Numbers/Double");
///
/// // Generated code has a function for this: `numbers::server(MyNumbers)`.
/// let numbers = service::Builder::new("demo.Numbers", ())
///     .unary(DOUBLE, |_, number| async move { Ok(Response::new(*number * 2)) })
///     .build();
/// assert_eq!(numbers.paths().collect::<Vec<_>>(), ["/demo.Numbers/Double"]);
/// let server = Server::builder().add_service(numbers).bind("127.0.0.1:0")?;
/// # drop(server);
/// # Ok::<(), turnstile::Error>(())
/// ```
#[derive(Debug)]
pub struct Service {
    /// More than one for a service that goes by several.
    names: Vec<&'static str>,
    methods: Vec<Method>,
    attachments: Vec<Arc<dyn Attachment>>,
    /// Why it could not be made; said when the server is built.
    error: Option<Error>,
}

/// What a built-in service wants to know of the server that it is added to.
pub(crate) trait Attachment: Send + Sync {
    /// The server has been built, with these services; `None` if it takes calls of any.
    fn on_build(&self, _services: Option<BTreeSet<String>>) {}

    /// The server's shutdown has begun.
    fn on_shutdown(&self) {}
}

impl fmt::Debug for dyn Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attachment")
    }
}

impl Service {
    fn new(name: &'static str, methods: Vec<Method>) -> Self {
        Self { names: vec![name], methods, attachments: Vec::new(), error: None }
    }

    /// The full name: `package.Service`.
    ///
    /// ```
    /// let service = turnstile::service::Builder::new("demo.Numbers", ()).build();
    /// assert_eq!(service.name(), "demo.Numbers");
    /// ```
    pub fn name(&self) -> &str {
        self.names[0]
    }

    /// All its names: the services that this crate brings have one for each version.
    pub(crate) fn names(&self) -> &[&'static str] {
        &self.names
    }

    /// One service of two.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.names.extend(other.names);
        self.methods.extend(other.methods);
        self.attachments.extend(other.attachments);
        self.error = self.error.or(other.error);
        self
    }

    /// Lets something know of the server.
    pub(crate) fn attach(mut self, attachment: Arc<dyn Attachment>) -> Self {
        self.attachments.push(attachment);
        self
    }

    /// Keeps an error for when the server is built.
    pub(crate) fn fails_with(mut self, error: Option<Error>) -> Self {
        self.error = self.error.or(error);
        self
    }

    /// Its error, if it could not be made.
    pub(crate) fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// The paths of the methods (`/package.Service/Method`), in the order in which they were added.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.methods.iter().map(|method| &*method.path)
    }

    /// Adds an interceptor to this service alone, behind those it has.
    ///
    /// ```
    /// use turnstile::service::{Builder, IncomingCall};
    /// use turnstile::{Server, Status};
    ///
    /// fn check_token(call: &mut IncomingCall) -> Result<(), Status> {
    ///     match call.metadata().get("authorization") {
    ///         Some("Bearer sesame") => Ok(()),
    ///         _ => Err(Status::unauthenticated("the call has no valid token")),
    ///     }
    /// }
    ///
    /// let admin = Builder::new("demo.Admin", ()).build().intercept(check_token);
    /// let everybodys = Builder::new("demo.Public", ()).build();
    /// let server = Server::builder().add_service(admin).add_service(everybodys).bind("127.0.0.1:0")?;
    /// # drop(server);
    /// # Ok::<(), turnstile::Error>(())
    /// ```
    #[must_use]
    pub fn intercept(mut self, interceptor: impl Interceptor) -> Self {
        let mut chain = Chain::default();
        chain.push(interceptor);
        for method in &mut self.methods {
            method.chain = method.chain.followed_by(&chain);
        }
        self
    }

    pub(crate) fn into_parts(self) -> (Vec<Method>, Vec<Arc<dyn Attachment>>) {
        (self.methods, self.attachments)
    }
}
