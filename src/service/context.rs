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
/// outlive the handler; their metadata and extensions are their own.
///
/// Nothing here blocks, and everything is callable from any thread.
///
/// ```
/// use turnstile::{Context, Metadata, Status};
///
/// /// What a handler may do with its call before it answers.
/// fn look(call: &Context) -> Result<(), Status> {
///     println!("{} calls {}", call.peer(), call.method());
///     if call.metadata().get("x-verbose").is_some() {
///         let mut metadata = Metadata::new();
///         metadata.insert("x-served-by", "host-7")?;
///         call.send_initial_metadata(metadata)?;
///     }
///     Ok(())
/// }
/// # look(&Context::detached()).unwrap();
/// ```
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
    ///
    /// ```
    /// use turnstile::Context;
    ///
    /// /// A handler of many methods, as a fallback is one.
    /// fn name(call: &Context) -> &str {
    ///     call.method().rsplit('/').next().unwrap_or_default()
    /// }
    /// # assert_eq!(name(&Context::detached()), "");
    /// ```
    pub fn method(&self) -> &str {
        self.origin.method()
    }

    /// The host that the client asked for; empty if it said none.
    pub fn authority(&self) -> &str {
        self.origin.authority()
    }

    /// The metadata that the client sent with the request.
    ///
    /// ```
    /// use turnstile::Context;
    ///
    /// fn language(call: &Context) -> &str {
    ///     call.metadata().get("accept-language").unwrap_or("en")
    /// }
    /// # assert_eq!(language(&Context::detached()), "en");
    /// ```
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
    ///
    /// ```
    /// use turnstile::{Context, PeerAddress};
    ///
    /// fn is_local(call: &Context) -> bool {
    ///     match call.peer() {
    ///         PeerAddress::Tcp(address) => address.ip().is_loopback(),
    ///         _ => true,
    ///     }
    /// }
    /// # assert!(is_local(&Context::detached()));
    /// ```
    pub fn peer(&self) -> &PeerAddress {
        self.origin.peer()
    }

    /// When the client gives up, as its `grpc-timeout` said. The call then ends with
    /// DEADLINE_EXCEEDED, whatever its handler does.
    ///
    /// ```
    /// use turnstile::{Context, Deadline};
    ///
    /// /// Until when a handler may ask a database: a little less than the client waits.
    /// fn ask_until(call: &Context) -> Deadline {
    ///     let margin = std::time::Duration::from_millis(50);
    ///     let instant = call.deadline().instant().and_then(|it| it.checked_sub(margin));
    ///     instant.map_or(Deadline::NONE, Deadline::at)
    /// }
    /// # assert_eq!(ask_until(&Context::detached()), Deadline::NONE);
    /// ```
    pub fn deadline(&self) -> Deadline {
        self.origin.deadline()
    }

    /// How long until the deadline: zero when it has passed, `None` if there is none.
    ///
    /// ```
    /// use std::time::Duration;
    /// use turnstile::{Context, Deadline};
    ///
    /// let call = Context::detached_until(Deadline::after(Duration::from_secs(60)));
    /// assert!(call.time_left() > Some(Duration::from_secs(50)));
    /// assert_eq!(Context::detached().time_left(), None);
    /// ```
    pub fn time_left(&self) -> Option<Duration> {
        self.origin.deadline().remaining()
    }

    /// Whether the call ended without its handler: the client went away or reset it, its deadline
    /// passed, or the server cancelled it. A handler that works for long should ask now and then.
    ///
    /// That a client has gone is found by whichever thread does I/O: while all threads are busy in
    /// handlers, nobody notices.
    ///
    /// ```
    /// use turnstile::{Request, Response, Status};
    ///
    /// fn search(request: Request<u64>) -> Result<Response<u64>, Status> {
    ///     for candidate in 2..*request {
    ///         if request.is_cancelled() {
    ///             return Err(Status::cancelled("nobody waits for the answer"));
    ///         }
    ///         if *request % candidate == 0 {
    ///             return Ok(Response::new(candidate));
    ///         }
    ///     }
    ///     Err(Status::not_found("it is a prime"))
    /// }
    /// # assert_eq!(*search(Request::new(15)).unwrap().get_ref(), 3);
    /// ```
    pub fn is_cancelled(&self) -> bool {
        self.origin.is_cancelled()
    }

    /// Ready when the call is over: cancelled, or answered. The handler's own future is polled once
    /// more when that happens, and then dropped; so this is for what the handler has started
    /// elsewhere, and for what it wants to clean up.
    ///
    /// ```
    /// use turnstile::{Request, Response, Status};
    ///
    /// # struct Job;
    /// # impl Job {
    /// #     fn start(_: u64) -> Self { Self }
    /// #     async fn finished(&self) -> u64 { 7 }
    /// #     fn stop(&self) {}
    /// # }
    /// async fn work(request: Request<u64>) -> Result<Response<u64>, Status> {
    ///     let job = Job::start(*request);
    ///     # use std::{future::poll_fn, pin::pin, task::Poll};
    ///     let (mut cancelled, mut finished) = (pin!(request.cancelled()), pin!(job.finished()));
    ///     // Whichever comes first; the crates for futures have this as `select`.
    ///     poll_fn(|context| {
    ///         if let Poll::Ready(result) = finished.as_mut().poll(context) {
    ///             return Poll::Ready(Ok(Response::new(result)));
    ///         }
    ///         cancelled.as_mut().poll(context).map(|()| {
    ///             job.stop();
    ///             Err(Status::cancelled("the client has gone"))
    ///         })
    ///     })
    ///     .await
    /// }
    /// # assert_eq!(*turnstile::block_on(work(Request::new(1))).unwrap().get_ref(), 7);
    /// ```
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + 'static {
        self.origin.end()
    }

    /// What interceptors have left for the handler.
    ///
    /// ```
    /// use turnstile::{Request, Response, Status};
    ///
    /// /// Who calls; an interceptor has found out.
    /// #[derive(Clone)]
    /// struct User(String);
    ///
    /// async fn who_am_i(request: Request<()>) -> Result<Response<String>, Status> {
    ///     let user = request.extensions().get::<User>();
    ///     let User(name) = user.ok_or_else(|| Status::internal("no interceptor is there to ask"))?;
    ///     Ok(Response::new(name.clone()))
    /// }
    /// # let mut request = Request::new(());
    /// # request.extensions_mut().insert(User("Ali".to_owned()));
    /// # assert_eq!(turnstile::block_on(who_am_i(request)).unwrap().get_ref(), "Ali");
    /// ```
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// The same, to change: most often by an interceptor.
    ///
    /// ```
    /// use turnstile::Status;
    /// use turnstile::service::IncomingCall;
    ///
    /// #[derive(Clone)]
    /// struct User(String);
    ///
    /// fn authenticate(call: &mut IncomingCall) -> Result<(), Status> {
    ///     let user = call.metadata().get("x-user").map(|name| User(name.to_owned()));
    ///     let user = user.ok_or_else(|| Status::unauthenticated("send x-user"))?;
    ///     call.extensions_mut().insert(user);
    ///     Ok(())
    /// }
    /// # turnstile::Server::builder().intercept(authenticate);
    /// ```
    pub fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.extensions
    }

    /// Sends initial metadata now. Without this it goes with the first message.
    ///
    /// # Errors
    /// If it has been sent, or the call is over.
    ///
    /// ```
    /// use turnstile::{Metadata, Request, Status, Writer};
    ///
    /// async fn watch(_: Request<()>, mut changes: Writer<String>) -> Result<(), Status> {
    ///     // The client learns at once that it is being served, though the first change may be far.
    ///     let mut metadata = Metadata::new();
    ///     metadata.insert("x-revision", "17")?;
    ///     changes.send_initial_metadata(metadata)?;
    ///     changes.write("a change".to_owned()).await
    /// }
    /// # let (writer, _replies) = Writer::channel();
    /// # turnstile::block_on(watch(Request::new(()), writer)).unwrap();
    /// ```
    pub fn send_initial_metadata(&self, metadata: Metadata) -> Result<(), Status> {
        self.origin.send_initial_metadata(metadata)
    }

    /// What those request messages are compressed with that are: the client's `grpc-encoding`.
    /// `None` if it has none, or identity.
    ///
    /// ```
    /// fn is_compressed(call: &turnstile::Context) -> bool {
    ///     call.request_encoding().is_some()
    /// }
    /// # assert!(!is_compressed(&turnstile::Context::detached()));
    /// ```
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
    ///
    /// ```
    /// /// Whether it is worth while to send what compresses well.
    /// fn sends_it_all(call: &turnstile::Context) -> bool {
    ///     call.compression().is_some()
    /// }
    /// # assert!(!sends_it_all(&turnstile::Context::detached()));
    /// ```
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
    ///
    /// ```
    /// use turnstile::{Metadata, Request, Status, Writer};
    ///
    /// async fn list(_: Request<()>, mut names: Writer<String>) -> Result<(), Status> {
    ///     names.write("a".to_owned()).await?;
    ///     let mut trailers = Metadata::new();
    ///     trailers.insert("x-next-page", "b")?;
    ///     names.set_trailers(trailers);
    ///     Ok(())
    /// }
    /// # let (writer, _replies) = Writer::channel();
    /// # turnstile::block_on(list(Request::new(()), writer)).unwrap();
    /// ```
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
