//! Calls with typed messages, `async`.

use super::channel::Channel;
use super::exchange::Maker;
use super::interceptor::Interceptor;
use super::options::CallOptions;
use super::streaming::Streaming;
use super::upload::Upload;
use super::writer::Writer;
use crate::call::OnlyReply;
use crate::codec::Codec;
use crate::service::{MethodDescriptor, MethodKind, Response};
use crate::status::Status;
use std::future::poll_fn;

/// Makes calls of any methods on a channel, with typed messages: what a generated `Client` is made of,
/// and the way to call a method that has no .proto file. The blocking one is
/// [`blocking::Stub`](super::blocking::Stub).
///
/// **A call begins when its function is called**, and not when what that returns is awaited. Dropping that
/// cancels the call, unless it is over. Nothing here blocks, and all of it may be used from any thread.
///
/// Futures and streams may be polled by any executor. Calls go on while a thread waits: with
/// [`block_on`](crate::block_on) and in a handler the waiting thread does the I/O itself; an executor
/// of another kind needs some thread of the process to wait, such as one in a server's
/// [`run`](crate::Server::run).
///
/// ```no_run
/// use std::time::Duration;
/// use turnstile::client::Stub;
/// use turnstile::{CallOptions, Channel, MethodDescriptor, block_on};
///
/// const GREET: MethodDescriptor<String, String> = MethodDescriptor::unary("/demo.Greeter/Greet");
///
/// let stub = Stub::new(Channel::connect("localhost:50051")?);
/// let stub = stub.with(CallOptions::new().timeout(Duration::from_secs(1)));
/// let reply = block_on(stub.unary(&GREET, "world".to_owned()))?;
/// println!("{}, with {:?}", *reply, reply.metadata());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Stub(Maker);

impl Stub {
    /// Makes calls on `channel`, with its options.
    ///
    /// For an example see [`Stub`].
    pub fn new(channel: Channel) -> Self {
        Self(Maker::new(channel))
    }

    /// A stub with more options: `options` on top of those that this one has.
    ///
    /// ```
    /// use turnstile::client::Stub;
    /// use turnstile::{CallOptions, Channel};
    ///
    /// let stub = Stub::new(Channel::connect("localhost:50051")?);
    /// let traced = stub.with(CallOptions::new().metadata("x-request-id", "7")); // for one call, or many
    /// # drop(traced);
    /// # Ok::<(), turnstile::Error>(())
    /// ```
    #[must_use]
    pub fn with(&self, options: CallOptions) -> Self {
        Self(self.0.clone().with(options))
    }

    /// Adds an interceptor, within those that are there: it sees what the others have made of a call.
    ///
    /// For an example see [`Interceptor`].
    #[must_use]
    pub fn intercept(self, interceptor: impl Interceptor) -> Self {
        Self(self.0.intercept(interceptor))
    }

    /// Calls a method with one request and one reply. The call has begun when this returns; its future
    /// is of nobody's lifetime.
    ///
    /// # Errors
    /// The future's: the status that the call ends with, which has the trailing metadata. A codec or an
    /// interceptor that fails ends the call before anything of it is sent. UNIMPLEMENTED if the server
    /// sends no reply, or a second one (gRPC's status code document); INTERNAL for a descriptor of
    /// another kind.
    ///
    /// For an example see [`Stub`].
    pub fn unary<Req, Res, C: Codec<Req> + Codec<Res>>(
        &self,
        method: &MethodDescriptor<Req, Res, C>,
        request: Req,
    ) -> impl Future<Output = Result<Response<Res>, Status>> + Send + use<Req, Res, C> {
        let exchange = self.0.begin(method, MethodKind::Unary, None);
        if let Ok(message) = exchange.pass_out(C::encode(&request)) {
            exchange.core().send_only(exchange.core().pack(message));
        }
        async move {
            let mut reply = OnlyReply::default();
            let core = exchange.core();
            let status = poll_fn(|context| core.poll_only_reply(&mut reply, context)).await;
            exchange.conclude(C::decode, reply, status)
        }
    }

    /// Calls a method with one request and a stream of replies.
    ///
    /// What fails is told by the first [`read`](Streaming::read).
    ///
    /// ```no_run
    /// # use turnstile::{Channel, MethodDescriptor, Status, client::Stub};
    /// const COUNT: MethodDescriptor<u64, u64> = MethodDescriptor::server_streaming("/demo.Numbers/Count");
    ///
    /// async fn sum(stub: &Stub) -> Result<u64, Status> {
    ///     let mut numbers = stub.server_streaming(&COUNT, 10);
    ///     let mut sum = 0;
    ///     while let Some(number) = numbers.read().await? {
    ///         sum += number;
    ///     }
    ///     Ok(sum)
    /// }
    /// ```
    pub fn server_streaming<Req, Res, C: Codec<Req> + Codec<Res>>(
        &self,
        method: &MethodDescriptor<Req, Res, C>,
        request: Req,
    ) -> Streaming<Res> {
        let exchange = self.0.begin(method, MethodKind::ServerStreaming, None);
        if let Ok(message) = exchange.pass_out(C::encode(&request)) {
            exchange.core().send_only(exchange.core().pack(message));
        }
        Streaming::new(exchange, C::decode)
    }

    /// Calls a method with a stream of requests and one reply.
    ///
    /// What fails is told by the first [`write`](Upload::write), or by [`finish`](Upload::finish).
    ///
    /// ```no_run
    /// # use turnstile::{Channel, MethodDescriptor, Status, client::Stub};
    /// const SUM: MethodDescriptor<u64, u64> = MethodDescriptor::client_streaming("/demo.Numbers/Sum");
    ///
    /// async fn sum(stub: &Stub) -> Result<u64, Status> {
    ///     let mut numbers = stub.client_streaming(&SUM);
    ///     for number in 1..=10 {
    ///         numbers.write(number).await?;
    ///     }
    ///     Ok(*numbers.finish().await?)
    /// }
    /// ```
    pub fn client_streaming<Req, Res, C: Codec<Req> + Codec<Res>>(
        &self,
        method: &MethodDescriptor<Req, Res, C>,
    ) -> Upload<Req, Res> {
        let exchange = self.0.begin(method, MethodKind::ClientStreaming, None);
        exchange.core().open(true);
        Upload::new(exchange, C::encode, C::decode)
    }

    /// Calls a method with a stream both ways: one half to write, and one to read, which may go to two
    /// tasks or threads.
    ///
    /// What fails is told by the first operation of each.
    ///
    /// ```no_run
    /// # use turnstile::{Channel, MethodDescriptor, Status, client::Stub};
    /// const TOTALS: MethodDescriptor<u64, u64> = MethodDescriptor::bidi_streaming("/demo.Numbers/Totals");
    ///
    /// async fn ask(stub: &Stub) -> Result<(), Status> {
    ///     let (mut numbers, mut totals) = stub.bidi_streaming(&TOTALS);
    ///     for number in 1..=10 {
    ///         numbers.write(number).await?;
    ///         println!("{:?}", totals.read().await?);
    ///     }
    ///     numbers.close();
    ///     assert_eq!(totals.read().await?, None); // an error would be the call's
    ///     Ok(())
    /// }
    /// ```
    pub fn bidi_streaming<Req, Res, C: Codec<Req> + Codec<Res>>(
        &self,
        method: &MethodDescriptor<Req, Res, C>,
    ) -> (Writer<Req>, Streaming<Res>) {
        let exchange = self.0.begin(method, MethodKind::BidiStreaming, None);
        exchange.core().open(false);
        (Writer::new(&exchange, C::encode), Streaming::new(exchange, C::decode))
    }
}
