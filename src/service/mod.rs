//! Services: the methods of a .proto service with their handlers, in any style.
//!
//! [`Builder`] makes a [`Service`] of functions; `turnstile-build` generates calls of it. A handler
//! is typed inside and sees bytes outside; [`Interceptor`]s come before it. What runs handlers is the
//! server.

pub mod blocking;

mod builder;
mod context;
mod descriptor;
mod filter;
mod handler;
mod interceptor;
mod request;
mod streaming;

pub use crate::call::Reply;
pub use builder::Builder;
pub use context::Context;
pub use descriptor::{MethodDescriptor, MethodKind};
pub use handler::IncomingCall;
pub(crate) use handler::{HandlerFuture, Method, Style};
pub(crate) use interceptor::Chain;
pub use interceptor::{Interceptor, Next};
pub use request::{Request, Response};
pub use streaming::{Streaming, Writer};

/// A service and its handlers, to be added to a server with
/// [`add_service`](crate::Builder::add_service). Generated code makes it, or a [`Builder`].
#[derive(Debug)]
pub struct Service {
    name: &'static str,
    methods: Vec<Method>,
}

impl Service {
    /// The full name: `package.Service`.
    pub fn name(&self) -> &str {
        self.name
    }

    /// The paths of the methods, in the order in which they were added.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.methods.iter().map(|method| &*method.path)
    }

    /// Adds an interceptor to this service alone, behind those it has.
    #[must_use]
    pub fn intercept(mut self, interceptor: impl Interceptor) -> Self {
        let mut chain = Chain::default();
        chain.push(interceptor);
        for method in &mut self.methods {
            method.chain = method.chain.followed_by(&chain);
        }
        self
    }

    pub(crate) fn into_methods(self) -> Vec<Method> {
        self.methods
    }
}
