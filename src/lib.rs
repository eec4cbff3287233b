//! Turnstile: gRPC servers and clients in which **the application's own threads do all the work**.
//!
//! There is no async runtime and no hidden thread. Threads of yours serve, and while they wait they
//! poll, read, write and run HTTP/2. One of them polls at a time and the others stand behind it, as
//! at a turnstile.
//!
//! # A service
//!
//! In a build script, `turnstile-build` makes a module of each service of a .proto file. Your type
//! implements its trait, and a thread of yours runs the server:
//!
//! ```no_run
//! mod helloworld {
//! #   pub use turnstile_protos::helloworld::*;
//! #   #[cfg(any())]
//!     turnstile::include_proto!("helloworld"); // the code of `package helloworld`
//! }
//!
//! use helloworld::{HelloReply, HelloRequest, greeter};
//! use turnstile::{Request, Response, Server, Status};
//!
//! struct MyGreeter;
//!
//! impl greeter::Service for MyGreeter {
//!     async fn say_hello(
//!         &self,
//!         request: Request<HelloRequest>,
//!     ) -> Result<Response<HelloReply>, Status> {
//!         if request.name.is_empty() {
//!             return Err(Status::invalid_argument("a greeting needs a name"));
//!         }
//!         Ok(Response::new(HelloReply { message: format!("Hello {}", request.name) }))
//!     }
//! }
//!
//! fn main() -> turnstile::Result<()> {
//!     let server = Server::builder()
//!         .add_service(greeter::server(MyGreeter))
//!         .bind("127.0.0.1:50051")?;
//!     server.run(); // this thread serves
//!     Ok(())
//! }
//! ```
//!
//! Streaming methods get a [`Streaming`] to read from, a [`Writer`] to write to, or both. Without a
//! .proto file, [`service::Builder`] makes a service of functions.
//!
//! # The same, blocking
//!
//! The other trait of the module has the same functions without `async`. A handler may block, also
//! in what is not gRPC; more threads handle more calls at once.
//!
//! ```no_run
//! # use turnstile_protos::helloworld::{HelloReply, HelloRequest, greeter};
//! # use turnstile::{Request, Response, Server, Status};
//! # struct MyGreeter;
//! impl greeter::BlockingService for MyGreeter {
//!     fn say_hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
//!         Ok(Response::new(HelloReply { message: format!("Hello {}", request.name) }))
//!     }
//! }
//!
//! # fn main() -> turnstile::Result<()> {
//! let server = Server::builder()
//!     .add_service(greeter::blocking_server(MyGreeter))
//!     .bind("127.0.0.1:50051")?;
//! std::thread::scope(|scope| {
//!     for _ in 0..4 {
//!         scope.spawn(|| server.run());
//!     }
//! });
//! # Ok(())
//! # }
//! ```
//!
//! # A client
//!
//! A [`Channel`] is the way to a server, and connects by itself. The module of a service has a client for
//! each colour:
//!
//! ```no_run
//! # use turnstile_protos::helloworld::{HelloRequest, greeter};
//! use std::time::Duration;
//! use turnstile::{CallOptions, Channel};
//!
//! let channel = Channel::connect("localhost:50051")?;
//! let greeter = greeter::BlockingClient::new(channel.clone());
//! let reply = greeter.say_hello(HelloRequest { name: "world".to_owned() })?; // blocks
//! println!("{}", reply.message);
//!
//! let hurried = greeter.with(CallOptions::new().timeout(Duration::from_millis(200)));
//! if let Err(status) = hurried.say_hello(HelloRequest { name: "world".to_owned() }) {
//!     println!("{status}");
//! }
//!
//! let greeter = greeter::Client::new(channel); // the same, with `await`
//! let call = async move { greeter.say_hello(HelloRequest { name: "you".to_owned() }).await };
//! println!("{}", turnstile::block_on(call)?.message);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A method that streams gives what its messages are written to, or read from: see [`client`], which has
//! interceptors too, and stubs for methods without a .proto file.
//!
//! # The queues underneath
//!
//! All stand on completion queues, which are there for those who want to decide which thread does
//! what, and when. An operation goes in with a tag, a value of yours, and when it has ended the tag
//! comes out with what the operation brought:
//!
//! ```no_run
//! # use turnstile_protos::helloworld;
//! use helloworld::{HelloReply, greeter::SAY_HELLO};
//! use turnstile::{Batch, CompletionQueue, Deadline, Server, Status};
//!
//! let cq = CompletionQueue::<&str>::new();
//! let mut builder = Server::builder();
//! let say_hello = builder.register(&SAY_HELLO);
//! let server = builder.bind("127.0.0.1:50051")?;
//! server.request_registered_call(&say_hello, &cq, &cq, "a call")?;
//! while let Some(mut event) = cq.next(Deadline::NONE) { // this thread polls
//!     let Some(call) = event.take_call() else { continue }; // "a reply" was sent
//!     server.request_registered_call(&say_hello, &cq, &cq, "a call")?; // the next one
//!     let batch = match SAY_HELLO.decode_request(event.take_message().unwrap_or_default()) {
//!         Ok(request) => {
//!             let reply = HelloReply { message: format!("Hello {}", request.name) };
//!             Batch::new().send_message(SAY_HELLO.encode_reply(&reply)?).send_status(Status::ok())
//!         }
//!         Err(status) => Batch::new().send_status(status),
//!     };
//!     call.start(batch, "a reply")?;
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The module [`cq`] has the kinds of queue, [`Call::start`] what can be done with a call.
//!
//! # Threads
//!
//! - **Nothing happens while no thread waits.** Waiting is [`Server::run`], what a queue waits with
//!   ([`next`](cq::CompletionQueue::next), [`turn`](cq::CompletionQueue::turn),
//!   [`pluck`](cq::PluckQueue::pluck), [`work`](cq::CallbackQueue::work)), [`block_on`], a
//!   blocking handler's reads and writes, and a blocking client's calls. Each serves every connection of
//!   the process meanwhile.
//! - **Any thread may do anything.** No function wants a certain thread, and everything but a [`Turn`]
//!   can be sent to another. A function that may block says so.
//! - **An async handler shares its thread with others**, so it must not block. It may await what
//!   belongs to any runtime, as long as that has threads of its own.
//! - **A blocking handler has its thread to itself.** As many run at once as there are threads in
//!   `run`. While one of them waits for its client its thread does I/O, but begins no other handler.
//!
//! # fork
//!
//! A process that forks before its first queue or server can use them in parent and child. After that
//! **a child must exec**, as those of [`std::process::Command`] do: it shares its parent's connections and
//! what polls them, and has none of the threads. The parent notices nothing of such a child, whatever
//! that does.
//!
//! What a child does that goes on without exec: [`engine_name`] and [`Builder::build`] give an error that
//! says so, and making a queue panics with it. What it has inherited is as if it were shut down and
//! drained, which is logged once as an error: waits return at once with nothing, [`Server::run`] does,
//! operations cannot begin. A handler that has forked may return in the child, too: its reply leaves in
//! the parent only. [`block_on`] panics. Nothing that was inherited is dropped, or sends anything; its
//! sockets are open in the child until that ends, which lets clients wait for an end of connections that
//! the parent has aborted.
//!
//! A child of a bare clone(2) is not noticed.
//!
//! # Where to look
//!
//! | for | see |
//! |---|---|
//! | servers: where they listen, limits, keepalive, shutdown | [`Server`], [`Builder`] |
//! | handlers: requests, streams, deadlines, interceptors | [`service`], [`Context`], [`blocking`] |
//! | clients: channels, stubs, options of calls, interceptors | [`client`], [`Channel`], [`CallOptions`] |
//! | a wait in a handler | [`sleep`], [`sleep_until`] |
//! | how calls end | [`status`], [`error_details`] |
//! | headers and trailers of calls | [`metadata`] |
//! | messages that are not protobuf | [`codec`] |
//! | completion queues, alarms, batches | [`cq`], [`Batch`], [`Call`] |
//! | services that are ready to add | [`reflection`], [`health`], [`channelz`] |
//! | metrics and logs | [`stats`] |
//! | tests of your service | [`test_server`] |
//! | what can fail before there are calls | [`error`] |
//!
//! The [examples](https://github.com/turnstile-rpc/turnstile/tree/main/examples) are whole programs,
//! each with the commands to try it.
//!
//! # Cargo features
//!
//! All are off by default, and none changes what a server does until the server asks for it: see
//! [`Encoding`].
//!
//! | feature | adds |
//! |---|---|
//! | `gzip` | compression that every client of gRPC knows |
//! | `deflate` | the same with zlib's header, for clients on C-core |
//! | `zstd` | faster and smaller, known to few; needs a C compiler |
//!
//! Linux only, for now.

#[cfg(not(target_os = "linux"))]
compile_error!("Turnstile runs on Linux; other systems are for a later version");

pub mod codec;
pub mod error;
pub mod error_details;
pub mod metadata;
pub mod stats;
pub mod status;

mod compression;
mod forked;
mod include_proto;
mod panics;
mod random;
mod sync;

mod call;
pub mod channelz;
pub mod client;
pub mod cq;
mod iomgr;
mod monitor;
mod server;
pub mod service;

mod generated;
pub mod health;
pub mod reflection;
mod transport;

#[cfg(test)]
mod testing;

#[cfg(turnstile_bench)]
#[doc(hidden)]
pub mod bench;

/// What generated code is made of, so that its users need no other dependency.
pub use prost;
pub use prost_types;

pub use bytes::Bytes;
pub use call::{Batch, Call, Outcome, StartError};
pub use client::{CallOptions, Channel, ConnectivityState};
pub use compression::Encoding;
pub use cq::{Queue, ShutDown, block_on, engine_name, sleep, sleep_until};
pub use error::{Error, Result};
pub use http::Extensions;
pub use iomgr::{Deadline, ListenAddress, PeerAddress, UnixCredentials, UnixPeer};
pub use metadata::Metadata;
pub use server::{Builder, Method, Server, test_server};
pub use service::{
    Context, MethodDescriptor, MethodKind, Request, Response, Service, Streaming, Writer, blocking,
};
pub use status::{Code, Status};

/// A queue of which any thread takes the next event: [`cq::CompletionQueue`] for the operations of
/// this crate. `T` is the type of your tags.
///
/// ```
/// use turnstile::{CompletionQueue, Deadline, Server};
///
/// let cq = CompletionQueue::<u32>::new();
/// let server = Server::builder().bind("127.0.0.1:0")?;
/// server.request_call(&cq, 7)?;
/// drop(server); // before a call came
///
/// let event = cq.next(Deadline::NONE).unwrap();
/// assert_eq!((event.tag, event.is_ok()), (7, false));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type CompletionQueue<T> = cq::CompletionQueue<T, Outcome>;

/// A queue on which a thread waits for one tag: [`cq::PluckQueue`] for the operations of this crate.
///
/// ```
/// use std::time::Duration;
/// use turnstile::{Alarm, Deadline, PluckQueue, Server};
///
/// let cq = PluckQueue::<&str>::new();
/// let server = Server::builder().bind("127.0.0.1:0")?;
/// server.shutdown_and_notify(&cq, "closed")?;
/// // This thread does the work of the shutdown, for ten seconds at most.
/// let closed = cq.pluck(&"closed", Deadline::after(Duration::from_secs(10)));
/// assert!(closed.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type PluckQueue<T> = cq::PluckQueue<T, Outcome>;

/// A queue that calls a function with each event: [`cq::CallbackQueue`] for the operations of this
/// crate.
///
/// ```
/// use std::sync::{Arc, OnceLock};
/// use turnstile::{CallbackQueue, Event, Server};
///
/// let seen = Arc::new(OnceLock::new());
/// let cq = CallbackQueue::new({
///     let seen = seen.clone();
///     move |event: Event<u32>| seen.set(event.tag).unwrap()
/// });
/// let server = Server::builder().bind("127.0.0.1:0")?;
/// server.request_call(&cq, 7)?;
/// drop(server); // ends the request, and so calls the function
/// assert_eq!(seen.get(), Some(&7));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type CallbackQueue<T> = cq::CallbackQueue<T, Outcome>;

/// The events of one turn: [`cq::Turn`] for the operations of this crate.
///
/// ```
/// use turnstile::{Batch, Call, Status, Turn};
///
/// /// Answers every call of a turn. The answers leave together, when the turn ends.
/// fn refuse_all(turn: Turn<'_, u32>) {
///     for mut event in turn {
///         let Some(call) = event.take_call() else { continue };
///         let busy = Batch::new().send_status(Status::unavailable("come back later"));
///         // An error means that the queue is shut down; the call then ends as it is dropped.
///         let _ = call.start(busy, event.tag);
///     }
/// }
/// ```
pub type Turn<'a, T> = cq::Turn<'a, T, Outcome>;

/// An operation that has ended: [`cq::Event`] for the operations of this crate.
///
/// ```
/// use turnstile::{Bytes, Event};
///
/// /// What a batch with `receive_message` has brought.
/// fn received(event: &mut Event<u32>) -> Result<Option<Bytes>, &'static str> {
///     if event.is_ok() {
///         Ok(event.take_message()) // `None`: the client has sent its last
///     } else {
///         Err("the call ended before")
///     }
/// }
/// ```
pub type Event<T> = cq::Event<T, Outcome>;

/// A tag that comes out of a queue at a deadline: [`cq::Alarm`] for the queues of this crate.
///
/// ```
/// use std::time::Duration;
/// use turnstile::{Alarm, CompletionQueue, Deadline};
///
/// let cq = CompletionQueue::<&str>::new();
/// let alarm = Alarm::set(&cq, Deadline::after(Duration::from_secs(60)), "too late")?;
/// alarm.cancel();
/// let event = cq.next(Deadline::NONE).unwrap();
/// assert_eq!((event.tag, event.is_ok()), ("too late", false));
/// # Ok::<(), turnstile::ShutDown<&str>>(())
/// ```
pub type Alarm = cq::Alarm<Outcome>;
