//! From functions to a service.

use super::check;
use super::config::MethodConfig;
use super::descriptor::{MethodDescriptor, MethodKind};
use super::handler::{IncomingCall, Method, Style, end_of_stream};
use super::interceptor::Chain;
use super::{Request, Response, Service, Streaming, Writer, blocking};
use crate::call::Reply;
use crate::codec::Codec;
use crate::error::Error;
use crate::status::Status;
use std::fmt;
use std::future::ready;
use std::sync::Arc;

/// Makes a [`Service`] of functions, one for each method. What `turnstile-build` generates uses it,
/// and so can you, for methods with a codec of their own or without a .proto file.
///
/// The functions get what the service was made with: an `Arc` of it where they are async, a
/// reference where they block. The future of an async one is polled by the threads in
/// [`Server::run`](crate::Server::run), and must not block them: it waits by `await`. A blocking
/// one has its thread to itself for as long as it takes.
///
/// What a function returns as an error is the call's status. A panic ends the call with INTERNAL,
/// and nothing else.
///
/// Nothing here fails or blocks. What cannot be served is an error of the
/// [server's build](crate::Builder::build): two methods with one path, a path that is not
/// `/service/Method` with the service's name, and a method that was added by the function for
/// another kind.
///
/// ```
/// use turnstile::codec::Raw;
/// use turnstile::{Bytes, MethodDescriptor, Response, service};
///
/// const REVERSE: MethodDescriptor<Bytes, Bytes, Raw> = MethodDescriptor::unary("/demo.Text/Reverse");
///
/// let service = service::Builder::new("demo.Text", ())
///     .unary(REVERSE, |_, request| async move {
///         Ok(Response::new(request.iter().rev().copied().collect::<Bytes>()))
///     })
///     .build();
/// assert_eq!(service.name(), "demo.Text");
/// ```
#[must_use = "a service is made by build"]
pub struct Builder<S> {
    name: &'static str,
    state: Arc<S>,
    methods: Vec<Method>,
    /// The first mistake; said when the server is built.
    error: Option<Error>,
}

impl<S: Send + Sync + 'static> Builder<S> {
    /// A service without methods. `name` is its full name: `package.Service`.
    ///
    /// ```
    /// use turnstile::service::Builder;
    ///
    /// let service = Builder::new("demo.Empty", ()).build();
    /// assert_eq!((service.name(), service.paths().count()), ("demo.Empty", 0));
    /// ```
    pub fn new(name: &'static str, state: S) -> Self {
        Self::shared(name, Arc::new(state))
    }

    /// The same with what others hold on to as well.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::AtomicU64;
    /// use turnstile::service::Builder;
    ///
    /// let served = Arc::new(AtomicU64::new(0));
    /// let builder = Builder::shared("demo.Counting", served.clone());
    /// # drop(builder);
    /// ```
    pub fn shared(name: &'static str, state: Arc<S>) -> Self {
        Self { name, state, methods: Vec::new(), error: None }
    }

    /// Adds a method with one request and one reply.
    ///
    /// ```
    /// # use turnstile::{MethodDescriptor, Response, service};
    /// const DOUBLE: MethodDescriptor<u64, u64> =
    ///     MethodDescriptor::unary("/demo.Numbers/Double");
    ///
    /// let numbers = service::Builder::new("demo.Numbers", ())
    ///     .unary(DOUBLE, |_, number| async move {
    ///         Ok(Response::new(*number * 2))
    ///     })
    ///     .build();
    /// # assert_eq!(numbers.paths().collect::<Vec<_>>(), [DOUBLE.path()]);
    /// ```
    pub fn unary<Req, Res, C, F, Fut>(
        self,
        method: MethodDescriptor<Req, Res, C>,
        handler: F,
    ) -> Self
    where
        C: Codec<Req> + Codec<Res>,
        F: Fn(Arc<S>, Request<Req>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response<Res>, Status>> + Send + 'static,
        Req: 'static,
        Res: 'static,
    {
        let (state, path) = (self.state.clone(), method.path());
        self.add(method, MethodKind::Unary, Style::Async, move |call| {
            let (request, replies) = match call.into_request::<Req, C>() {
                Ok(parts) => parts,
                Err(status) => return Box::pin(ready(Reply::from(status))),
            };
            let future = handler(state.clone(), request);
            Box::pin(async move { replies.end_with::<Res, C>(path, future.await) })
        })
    }

    /// Adds a method with any number of requests and one reply.
    ///
    /// ```
    /// # use turnstile::{MethodDescriptor, Response, service};
    /// const SUM: MethodDescriptor<u64, u64> =
    ///     MethodDescriptor::client_streaming("/demo.Numbers/Sum");
    ///
    /// let numbers = service::Builder::new("demo.Numbers", ())
    ///     .client_streaming(SUM, |_, mut numbers| async move {
    ///         let mut sum = 0;
    ///         while let Some(number) = numbers.read().await? {
    ///             sum += number;
    ///         }
    ///         Ok(Response::new(sum))
    ///     })
    ///     .build();
    /// # assert_eq!(numbers.paths().collect::<Vec<_>>(), [SUM.path()]);
    /// ```
    pub fn client_streaming<Req, Res, C, F, Fut>(
        self,
        method: MethodDescriptor<Req, Res, C>,
        handler: F,
    ) -> Self
    where
        C: Codec<Req> + Codec<Res>,
        F: Fn(Arc<S>, Streaming<Req>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response<Res>, Status>> + Send + 'static,
        Req: 'static,
        Res: 'static,
    {
        let (state, path) = (self.state.clone(), method.path());
        self.add(method, MethodKind::ClientStreaming, Style::Async, move |call| {
            let (requests, replies) = call.into_streaming::<Req, C>();
            let future = handler(state.clone(), requests);
            Box::pin(async move { replies.end_with::<Res, C>(path, future.await) })
        })
    }

    /// Adds a method with one request and any number of replies.
    ///
    /// ```
    /// # use turnstile::{MethodDescriptor, service};
    /// const COUNT: MethodDescriptor<u64, u64> =
    ///     MethodDescriptor::server_streaming("/demo.Numbers/Count");
    ///
    /// let numbers = service::Builder::new("demo.Numbers", ())
    ///     .server_streaming(COUNT, |_, last, mut numbers| async move {
    ///         for number in 1..=*last {
    ///             numbers.write(number).await?;
    ///         }
    ///         Ok(())
    ///     })
    ///     .build();
    /// # assert_eq!(numbers.paths().collect::<Vec<_>>(), [COUNT.path()]);
    /// ```
    pub fn server_streaming<Req, Res, C, F, Fut>(
        self,
        method: MethodDescriptor<Req, Res, C>,
        handler: F,
    ) -> Self
    where
        C: Codec<Req> + Codec<Res>,
        F: Fn(Arc<S>, Request<Req>, Writer<Res>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Status>> + Send + 'static,
        Req: 'static,
        Res: 'static,
    {
        let state = self.state.clone();
        self.add(method, MethodKind::ServerStreaming, Style::Async, move |call| {
            let (request, replies) = match call.into_request::<Req, C>() {
                Ok(parts) => parts,
                Err(status) => return Box::pin(ready(Reply::from(status))),
            };
            let out = replies.into_writer::<Res, C>(request.context());
            let future = handler(state.clone(), request, out);
            Box::pin(async move { end_of_stream(future.await) })
        })
    }

    /// Adds a method with any number of requests and of replies.
    ///
    /// ```
    /// # use turnstile::{MethodDescriptor, service};
    /// const TOTALS: MethodDescriptor<u64, u64> =
    ///     MethodDescriptor::bidi_streaming("/demo.Numbers/Totals");
    ///
    /// let numbers = service::Builder::new("demo.Numbers", ())
    ///     .bidi_streaming(TOTALS, |_, mut numbers, mut totals| async move {
    ///         let mut total = 0;
    ///         while let Some(number) = numbers.read().await? {
    ///             total += number;
    ///             totals.write(total).await?;
    ///         }
    ///         Ok(())
    ///     })
    ///     .build();
    /// # assert_eq!(numbers.paths().collect::<Vec<_>>(), [TOTALS.path()]);
    /// ```
    pub fn bidi_streaming<Req, Res, C, F, Fut>(
        self,
        method: MethodDescriptor<Req, Res, C>,
        handler: F,
    ) -> Self
    where
        C: Codec<Req> + Codec<Res>,
        F: Fn(Arc<S>, Streaming<Req>, Writer<Res>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Status>> + Send + 'static,
        Req: 'static,
        Res: 'static,
    {
        let state = self.state.clone();
        self.add(method, MethodKind::BidiStreaming, Style::Async, move |call| {
            let (requests, replies) = call.into_streaming::<Req, C>();
            let out = replies.into_writer::<Res, C>(&requests);
            let future = handler(state.clone(), requests, out);
            Box::pin(async move { end_of_stream(future.await) })
        })
    }

    /// Adds a method with one request and one reply, whose handler may block its thread.
    ///
    /// ```
    /// # use turnstile::{MethodDescriptor, Response, service};
    /// const DOUBLE: MethodDescriptor<u64, u64> =
    ///     MethodDescriptor::unary("/demo.Numbers/Double");
    ///
    /// let numbers = service::Builder::new("demo.Numbers", ())
    ///     .blocking_unary(DOUBLE, |(), number| Ok(Response::new(*number * 2)))
    ///     .build();
    /// # assert_eq!(numbers.paths().collect::<Vec<_>>(), [DOUBLE.path()]);
    /// ```
    pub fn blocking_unary<Req, Res, C, F>(
        self,
        method: MethodDescriptor<Req, Res, C>,
        handler: F,
    ) -> Self
    where
        C: Codec<Req> + Codec<Res>,
        F: Fn(&S, Request<Req>) -> Result<Response<Res>, Status> + Send + Sync + 'static,
        Req: 'static,
        Res: 'static,
    {
        let path = method.path();
        self.add_blocking(method, MethodKind::Unary, move |state, call| {
            let (request, replies) = call.into_request::<Req, C>()?;
            Ok(replies.end_with::<Res, C>(path, handler(state, request)))
        })
    }

    /// Adds a method with any number of requests and one reply, whose handler may block its thread.
    ///
    /// ```
    /// # use turnstile::{MethodDescriptor, Response, service};
    /// const SUM: MethodDescriptor<u64, u64> =
    ///     MethodDescriptor::client_streaming("/demo.Numbers/Sum");
    ///
    /// let numbers = service::Builder::new("demo.Numbers", ())
    ///     .blocking_client_streaming(SUM, |(), numbers| {
    ///         let mut sum = 0;
    ///         for number in numbers {
    ///             sum += number?;
    ///         }
    ///         Ok(Response::new(sum))
    ///     })
    ///     .build();
    /// # assert_eq!(numbers.paths().collect::<Vec<_>>(), [SUM.path()]);
    /// ```
    pub fn blocking_client_streaming<Req, Res, C, F>(
        self,
        method: MethodDescriptor<Req, Res, C>,
        handler: F,
    ) -> Self
    where
        C: Codec<Req> + Codec<Res>,
        F: Fn(&S, &mut blocking::Reader<Req>) -> Result<Response<Res>, Status>
            + Send
            + Sync
            + 'static,
        Req: 'static,
        Res: 'static,
    {
        let path = method.path();
        self.add_blocking(method, MethodKind::ClientStreaming, move |state, call| {
            let (requests, replies) = call.into_streaming::<Req, C>();
            let outcome = handler(state, &mut blocking::Reader::of(requests));
            Ok(replies.end_with::<Res, C>(path, outcome))
        })
    }

    /// Adds a method with one request and any number of replies, whose handler may block its thread.
    ///
    /// ```
    /// # use turnstile::{MethodDescriptor, service};
    /// const COUNT: MethodDescriptor<u64, u64> =
    ///     MethodDescriptor::server_streaming("/demo.Numbers/Count");
    ///
    /// let numbers = service::Builder::new("demo.Numbers", ())
    ///     .blocking_server_streaming(COUNT, |(), last, numbers| {
    ///         (1..=*last).try_for_each(|number| numbers.write(number))
    ///     })
    ///     .build();
    /// # assert_eq!(numbers.paths().collect::<Vec<_>>(), [COUNT.path()]);
    /// ```
    pub fn blocking_server_streaming<Req, Res, C, F>(
        self,
        method: MethodDescriptor<Req, Res, C>,
        handler: F,
    ) -> Self
    where
        C: Codec<Req> + Codec<Res>,
        F: Fn(&S, Request<Req>, &mut blocking::Writer<Res>) -> Result<(), Status>
            + Send
            + Sync
            + 'static,
        Req: 'static,
        Res: 'static,
    {
        self.add_blocking(method, MethodKind::ServerStreaming, move |state, call| {
            let (request, replies) = call.into_request::<Req, C>()?;
            let out = replies.into_writer::<Res, C>(request.context());
            let mut out = blocking::Writer::of(out);
            Ok(end_of_stream(handler(state, request, &mut out)))
        })
    }

    /// Adds a method with any number of requests and of replies, whose handler may block its thread.
    ///
    /// ```
    /// # use turnstile::{MethodDescriptor, service};
    /// const TOTALS: MethodDescriptor<u64, u64> =
    ///     MethodDescriptor::bidi_streaming("/demo.Numbers/Totals");
    ///
    /// let numbers = service::Builder::new("demo.Numbers", ())
    ///     .blocking_bidi_streaming(TOTALS, |(), numbers, totals| {
    ///         let mut total = 0;
    ///         for number in numbers {
    ///             total += number?;
    ///             totals.write(total)?;
    ///         }
    ///         Ok(())
    ///     })
    ///     .build();
    /// # assert_eq!(numbers.paths().collect::<Vec<_>>(), [TOTALS.path()]);
    /// ```
    pub fn blocking_bidi_streaming<Req, Res, C, F>(
        self,
        method: MethodDescriptor<Req, Res, C>,
        handler: F,
    ) -> Self
    where
        C: Codec<Req> + Codec<Res>,
        F: Fn(&S, &mut blocking::Reader<Req>, &mut blocking::Writer<Res>) -> Result<(), Status>
            + Send
            + Sync
            + 'static,
        Req: 'static,
        Res: 'static,
    {
        self.add_blocking(method, MethodKind::BidiStreaming, move |state, call| {
            let (requests, replies) = call.into_streaming::<Req, C>();
            let mut out = blocking::Writer::of(replies.into_writer::<Res, C>(&requests));
            let outcome = handler(state, &mut blocking::Reader::of(requests), &mut out);
            Ok(end_of_stream(outcome))
        })
    }

    /// The service, with the methods that were added.
    pub fn build(self) -> Service {
        Service::new(self.name, self.methods).fails_with(self.error)
    }

    fn add_blocking<Req, Res, C>(
        self,
        method: MethodDescriptor<Req, Res, C>,
        kind: MethodKind,
        handler: impl Fn(&S, IncomingCall) -> Result<Reply, Status> + Send + Sync + 'static,
    ) -> Self
    where
        C: Codec<Req> + Codec<Res>,
    {
        let shared = Arc::new((self.state.clone(), handler));
        self.add(method, kind, Style::Blocking, move |call| {
            let shared = shared.clone();
            // It blocks the thread that polls it, which was chosen for that.
            Box::pin(async move {
                let (state, handler) = &*shared;
                handler(state, call).unwrap_or_else(Reply::from)
            })
        })
    }

    /// `kind` is that of the handler.
    fn add<Req, Res, C>(
        mut self,
        method: MethodDescriptor<Req, Res, C>,
        kind: MethodKind,
        style: Style,
        handler: impl Fn(IncomingCall) -> super::handler::HandlerFuture + Send + Sync + 'static,
    ) -> Self
    where
        C: Codec<Req> + Codec<Res>,
    {
        let checked = check::check_path(self.name, method.path()).and_then(|()| {
            check::check_kind(self.name, method.path(), method.kind(), (kind, style))
        });
        self.error = self.error.or_else(|| checked.err());
        self.methods.push(Method {
            path: Arc::from(method.path()),
            kind: method.kind(),
            style,
            subtype: <C as Codec<Req>>::SUBTYPE,
            handler: Arc::new(handler),
            chain: Chain::default(),
            config: MethodConfig::default(),
            defaults: MethodConfig::default(),
        });
        self
    }
}

impl<S> fmt::Debug for Builder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("methods", &self.methods)
            .finish_non_exhaustive()
    }
}
