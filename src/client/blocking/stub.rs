//! A stub that blocks.

use super::streams::{Reader, Upload, Writer};
use super::wait::{CallQueue, Op, lost};
use crate::call::{Batch, OnlyReply};
use crate::client::exchange::{Exchange, Maker};
use crate::client::{CallOptions, Channel, Interceptor};
use crate::codec::Codec;
use crate::service::{MethodDescriptor, MethodKind, Response};
use crate::status::Status;
use std::sync::Arc;

/// Makes calls of any methods on a channel, with typed messages, and waits for them: what a generated
/// `BlockingClient` is made of, and the way to call a method that has no .proto file.
///
/// ```no_run
/// use std::time::Duration;
/// use turnstile::client::blocking::Stub;
/// use turnstile::{CallOptions, Channel, MethodDescriptor};
///
/// const GREET: MethodDescriptor<String, String> = MethodDescriptor::unary("/demo.Greeter/Greet");
///
/// let stub = Stub::new(Channel::connect("localhost:50051")?);
/// let stub = stub.with(CallOptions::new().timeout(Duration::from_secs(1)));
/// let reply = stub.unary(&GREET, "world".to_owned())?;
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
    /// For an example see [`Stub`].
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

    /// Calls a method with one request and one reply.
    ///
    /// Callable from any thread; blocks until the call is over.
    ///
    /// # Errors
    /// The status that the call ends with, which has the trailing metadata. A codec or an interceptor
    /// that fails ends the call before anything of it is sent. UNIMPLEMENTED if the server sends no
    /// reply, or a second one (gRPC's status code document); INTERNAL for a descriptor of another kind.
    ///
    /// For an example see [`Stub`].
    pub fn unary<Req, Res, C: Codec<Req> + Codec<Res>>(
        &self,
        method: &MethodDescriptor<Req, Res, C>,
        request: Req,
    ) -> Result<Response<Res>, Status> {
        let queue = CallQueue::new();
        let exchange = self.0.begin(method, MethodKind::Unary, Some(queue.pollset()));
        let mut batch = Batch::new();
        // Of a call that has ended so only the end is left.
        if let Ok(message) = exchange.pass_out(C::encode(&request)) {
            batch = batch.send_message(message).send_close();
        }
        conclude(&exchange, &queue, batch, C::decode)
    }

    /// Calls a method with one request and a stream of replies.
    ///
    /// Never blocks; what fails is told by the first [`read`](Reader::read).
    ///
    /// ```no_run
    /// # use turnstile::{Channel, MethodDescriptor, Status, client::blocking::Stub};
    /// const COUNT: MethodDescriptor<u64, u64> = MethodDescriptor::server_streaming("/demo.Numbers/Count");
    ///
    /// fn sum(stub: &Stub) -> Result<u64, Status> {
    ///     stub.server_streaming(&COUNT, 10).sum()
    /// }
    /// ```
    pub fn server_streaming<Req, Res, C: Codec<Req> + Codec<Res>>(
        &self,
        method: &MethodDescriptor<Req, Res, C>,
        request: Req,
    ) -> Reader<Res> {
        let queue = Arc::new(CallQueue::new());
        let exchange = self.0.begin(method, MethodKind::ServerStreaming, Some(queue.pollset()));
        if let Ok(message) = exchange.pass_out(C::encode(&request)) {
            exchange.core().send_only(exchange.core().pack(message));
        }
        Reader::new(exchange, queue, C::decode)
    }

    /// Calls a method with a stream of requests and one reply.
    ///
    /// Never blocks; what fails is told by the first [`write`](Upload::write), or by
    /// [`finish`](Upload::finish).
    ///
    /// ```no_run
    /// # use turnstile::{Channel, MethodDescriptor, Status, client::blocking::Stub};
    /// const SUM: MethodDescriptor<u64, u64> = MethodDescriptor::client_streaming("/demo.Numbers/Sum");
    ///
    /// fn sum(stub: &Stub) -> Result<u64, Status> {
    ///     let mut numbers = stub.client_streaming(&SUM);
    ///     for number in 1..=10 {
    ///         numbers.write(number)?;
    ///     }
    ///     Ok(*numbers.finish()?)
    /// }
    /// ```
    pub fn client_streaming<Req, Res, C: Codec<Req> + Codec<Res>>(
        &self,
        method: &MethodDescriptor<Req, Res, C>,
    ) -> Upload<Req, Res> {
        let queue = CallQueue::new();
        let exchange = self.0.begin(method, MethodKind::ClientStreaming, Some(queue.pollset()));
        exchange.core().open(true);
        Upload::new(exchange, queue, C::encode, C::decode)
    }

    /// Calls a method with a stream both ways: one half to write, and one to read, which may go to two
    /// threads.
    ///
    /// Never blocks; what fails is told by the first operation of each.
    ///
    /// ```no_run
    /// # use turnstile::{Channel, MethodDescriptor, Status, client::blocking::Stub};
    /// const TOTALS: MethodDescriptor<u64, u64> = MethodDescriptor::bidi_streaming("/demo.Numbers/Totals");
    ///
    /// fn print_totals(stub: &Stub) -> Result<(), Status> {
    ///     let (mut numbers, totals) = stub.bidi_streaming(&TOTALS);
    ///     std::thread::scope(|scope| {
    ///         scope.spawn(move || (1..=10).try_for_each(|it| numbers.write(it).map(drop)));
    ///         for total in totals {
    ///             println!("{}", total?);
    ///         }
    ///         Ok(())
    ///     })
    /// }
    /// ```
    pub fn bidi_streaming<Req, Res, C: Codec<Req> + Codec<Res>>(
        &self,
        method: &MethodDescriptor<Req, Res, C>,
    ) -> (Writer<Req>, Reader<Res>) {
        let queue = Arc::new(CallQueue::new());
        let exchange = self.0.begin(method, MethodKind::BidiStreaming, Some(queue.pollset()));
        exchange.core().open(false);
        let writer = Writer::new(&exchange, queue.clone(), C::encode);
        (writer, Reader::new(exchange, queue, C::decode))
    }
}

/// Starts what a call with one reply needs besides `batch`, and waits for the end.
pub(super) fn conclude<T>(
    exchange: &Exchange,
    queue: &CallQueue,
    batch: Batch,
    decode: fn(bytes::Bytes) -> Result<T, Status>,
) -> Result<Response<T>, Status> {
    let batch = batch.receive_initial_metadata().receive_only_message().receive_status();
    let Some(mut event) = queue.run(exchange.core(), batch, Op::Receive) else {
        return Err(lost(exchange.core()));
    };
    let reply = OnlyReply {
        metadata: event.take_initial_metadata(),
        message: event.take_message(),
        was_compressed: event.was_compressed(),
    };
    let status = event.take_status().unwrap_or_else(|| lost(exchange.core()));
    exchange.conclude(decode, reply, status)
}
