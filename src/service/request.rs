//! The one message of a request or a reply, and what comes with it.

use super::Context;
use crate::iomgr::{Deadline, PeerAddress};
use crate::metadata::Metadata;
use http::Extensions;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

/// A request with one message. It derefs to the message.
///
/// Made by the server, or by a test with [`Request::new`]. Nothing here blocks.
///
/// ```
/// use turnstile::{Request, Response, Status};
///
/// #[derive(Clone, PartialEq, turnstile::prost::Message)]
/// struct HelloRequest {
///     #[prost(string, tag = "1")]
///     name: String,
/// }
///
/// async fn say_hello(request: Request<HelloRequest>) -> Result<Response<String>, Status> {
///     if request.name.is_empty() {
///         return Err(Status::invalid_argument("whom?"));
///     }
///     let language = request.metadata().get("accept-language").unwrap_or("en");
///     Ok(Response::new(format!("Hello {}, from {} in {language}", request.name, request.peer())))
/// }
/// # let request = Request::new(HelloRequest { name: "you".to_owned() });
/// # let reply = turnstile::block_on(say_hello(request)).unwrap();
/// # assert_eq!(reply.get_ref(), "Hello you, from inproc in en");
/// ```
#[derive(Debug)]
pub struct Request<T> {
    message: T,
    context: Context,
}

impl<T> Request<T> {
    /// A request of no call, for tests that call a handler without a server. The server makes the
    /// requests of its calls by itself.
    ///
    /// See [`Context::detached`] for what the handler finds in it, and
    /// [`from_parts`](Self::from_parts) for one with a deadline.
    ///
    /// ```
    /// use turnstile::{Request, Response, Status, block_on};
    ///
    /// struct Greeter;
    ///
    /// impl Greeter {
    ///     async fn say_hello(&self, name: Request<String>) -> Result<Response<String>, Status> {
    ///         Ok(Response::new(format!("Hello {}", *name)))
    ///     }
    /// }
    ///
    /// let mut request = Request::new("world".to_owned());
    /// request.metadata_mut().insert("x-request-id", "7")?;
    /// let reply = block_on(Greeter.say_hello(request))?;
    /// assert_eq!(reply.get_ref(), "Hello world");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(message: T) -> Self {
        Self::from_parts(message, Context::detached())
    }

    /// A request of a message and the rest: the opposite of [`into_parts`](Self::into_parts).
    ///
    /// ```
    /// use turnstile::{Context, Deadline, Request};
    ///
    /// // For a handler that should notice that its time is over.
    /// let request = Request::from_parts("hello", Context::detached_until(Deadline::NOW));
    /// assert!(request.is_cancelled());
    /// ```
    pub fn from_parts(message: T, context: Context) -> Self {
        Self { message, context }
    }

    /// The message, which the request derefs to as well.
    pub fn get_ref(&self) -> &T {
        &self.message
    }

    /// The same, to change.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.message
    }

    /// The message alone.
    ///
    /// ```
    /// assert_eq!(turnstile::Request::new("hello").into_inner(), "hello");
    /// ```
    pub fn into_inner(self) -> T {
        self.message
    }

    /// Another message of this one, with the same call.
    ///
    /// ```
    /// let request = turnstile::Request::new(" world ".to_owned());
    /// let request = request.map(|name| name.trim().to_owned());
    /// assert_eq!(*request, "world");
    /// ```
    pub fn map<U>(self, map: impl FnOnce(T) -> U) -> Request<U> {
        Request { message: map(self.message), context: self.context }
    }

    /// The message and the rest: the opposite of [`from_parts`](Self::from_parts).
    ///
    /// ```
    /// use turnstile::{Context, Request, Response, Status};
    ///
    /// fn handle(name: String, call: &Context) -> Response<String> {
    ///     Response::new(format!("{name}: {:?}", call.time_left()))
    /// }
    ///
    /// async fn say_hello(request: Request<String>) -> Result<Response<String>, Status> {
    ///     let (name, call) = request.into_parts();
    ///     Ok(handle(name, &call))
    /// }
    /// # assert!(turnstile::block_on(say_hello(Request::new("you".to_owned()))).is_ok());
    /// ```
    pub fn into_parts(self) -> (T, Context) {
        (self.message, self.context)
    }

    /// The call, apart from its message.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The same, to change.
    pub fn context_mut(&mut self) -> &mut Context {
        &mut self.context
    }

    /// See [`Context::method`].
    pub fn method(&self) -> &str {
        self.context.method()
    }

    /// See [`Context::authority`].
    pub fn authority(&self) -> &str {
        self.context.authority()
    }

    /// See [`Context::metadata`].
    pub fn metadata(&self) -> &Metadata {
        self.context.metadata()
    }

    /// See [`Context::metadata_mut`].
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        self.context.metadata_mut()
    }

    /// See [`Context::peer`].
    pub fn peer(&self) -> &PeerAddress {
        self.context.peer()
    }

    /// See [`Context::deadline`].
    pub fn deadline(&self) -> Deadline {
        self.context.deadline()
    }

    /// See [`Context::time_left`].
    pub fn time_left(&self) -> Option<Duration> {
        self.context.time_left()
    }

    /// See [`Context::is_cancelled`].
    pub fn is_cancelled(&self) -> bool {
        self.context.is_cancelled()
    }

    /// See [`Context::cancelled`].
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + 'static {
        self.context.cancelled()
    }

    /// See [`Context::was_compressed`].
    pub fn was_compressed(&self) -> bool {
        self.context.was_compressed()
    }

    /// See [`Context::extensions`].
    pub fn extensions(&self) -> &Extensions {
        self.context.extensions()
    }

    /// See [`Context::extensions_mut`].
    pub fn extensions_mut(&mut self) -> &mut Extensions {
        self.context.extensions_mut()
    }
}

impl<T> Deref for Request<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.message
    }
}

impl<T> DerefMut for Request<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.message
    }
}

/// A reply with one message, and the metadata that goes before and after it. It derefs to the message.
///
/// Made by a handler, and for a client by its stub, which puts in what the server has sent.
///
/// ```
/// use turnstile::Response;
///
/// let mut response = Response::new("Hello");
/// response.metadata_mut().insert("x-served-by", "7")?;
/// response.trailers_mut().insert("x-cost", "3")?;
/// # Ok::<(), turnstile::metadata::InvalidMetadata>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Response<T> {
    message: T,
    metadata: Metadata,
    trailers: Metadata,
    is_uncompressed: bool,
    /// It came so.
    was_compressed: bool,
}

impl<T> Response<T> {
    /// A reply without metadata.
    ///
    /// ```
    /// # use turnstile::{Request, Response, Status};
    /// async fn double(number: Request<u64>) -> Result<Response<u64>, Status> {
    ///     Ok(Response::new(*number * 2))
    /// }
    /// # assert_eq!(turnstile::block_on(double(Request::new(4))).unwrap().into_inner(), 8);
    /// ```
    pub fn new(message: T) -> Self {
        Self {
            message,
            metadata: Metadata::new(),
            trailers: Metadata::new(),
            is_uncompressed: false,
            was_compressed: false,
        }
    }

    /// The message, which the response derefs to as well.
    pub fn get_ref(&self) -> &T {
        &self.message
    }

    /// The same, to change.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.message
    }

    /// The message alone.
    pub fn into_inner(self) -> T {
        self.message
    }

    /// Another message of this one, with the same metadata, and uncompressed if this one is.
    ///
    /// ```
    /// let response = turnstile::Response::new("7").uncompressed();
    /// let response = response.map(str::to_owned);
    /// assert_eq!(response.get_ref(), "7");
    /// assert!(response.is_uncompressed());
    /// ```
    pub fn map<U>(self, map: impl FnOnce(T) -> U) -> Response<U> {
        let Self { message, metadata, trailers, is_uncompressed, was_compressed } = self;
        Response { message: map(message), metadata, trailers, is_uncompressed, was_compressed }
    }

    /// Initial metadata, which goes before the message. It is not sent if the handler has sent
    /// some already, with [`Context::send_initial_metadata`].
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The same, to change.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.metadata
    }

    /// Trailing metadata, which goes with the status.
    pub fn trailers(&self) -> &Metadata {
        &self.trailers
    }

    /// The same, to change.
    pub fn trailers_mut(&mut self) -> &mut Metadata {
        &mut self.trailers
    }

    /// Sends the message without compression, on a call that has it: for one that is compressed
    /// already, or that holds a secret. The encoding of the whole call is chosen with
    /// [`Context::set_compression`].
    ///
    /// ```
    /// # use turnstile::{Bytes, Request, Response, Status};
    /// async fn photo(_: Request<()>) -> Result<Response<Bytes>, Status> {
    ///     let jpeg = Bytes::from_static(&[0xff, 0xd8, 0xff]);
    ///     Ok(Response::new(jpeg).uncompressed())
    /// }
    /// # assert!(turnstile::block_on(photo(Request::new(()))).unwrap().is_uncompressed());
    /// ```
    #[must_use]
    pub fn uncompressed(mut self) -> Self {
        self.is_uncompressed = true;
        self
    }

    /// Whether the message goes without compression, whatever the call has:
    /// [`uncompressed`](Self::uncompressed) was called.
    pub fn is_uncompressed(&self) -> bool {
        self.is_uncompressed
    }

    /// For a client: whether the message came compressed. Few need to know; it is the same either way,
    /// and is no reason to send it so.
    ///
    /// ```no_run
    /// # use turnstile::{MethodDescriptor, Status, client::blocking::Stub};
    /// const GREET: MethodDescriptor<String, String> = MethodDescriptor::unary("/demo.Greeter/Greet");
    ///
    /// fn does_compress(stub: &Stub) -> Result<bool, Status> {
    ///     Ok(stub.unary(&GREET, "a".repeat(10_000))?.was_compressed())
    /// }
    /// ```
    pub fn was_compressed(&self) -> bool {
        self.was_compressed
    }

    pub(crate) fn set_was_compressed(&mut self, was_compressed: bool) {
        self.was_compressed = was_compressed;
    }

    /// The message, the initial and the trailing metadata. What is not among them is
    /// [`is_uncompressed`](Self::is_uncompressed): who makes another response of the parts asks
    /// for that first, or uses [`map`](Self::map).
    ///
    /// ```
    /// let (message, metadata, trailers) = turnstile::Response::new("hello").into_parts();
    /// assert!(message == "hello" && metadata.is_empty() && trailers.is_empty());
    /// ```
    pub fn into_parts(self) -> (T, Metadata, Metadata) {
        (self.message, self.metadata, self.trailers)
    }
}

impl<T> Deref for Response<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.message
    }
}

impl<T> DerefMut for Response<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.message
    }
}

impl<T> From<T> for Response<T> {
    fn from(message: T) -> Self {
        Self::new(message)
    }
}
