//! Turnstile: gRPC servers in which **the application's own threads do all the work**.
//!
//! There is no runtime and no hidden thread. Threads of the application wait on completion queues,
//! and while they wait they poll, read, write, and run HTTP/2. One of them polls at a time and the
//! others stand behind it, as at a turnstile.
//!
//! Start at [`Server`] and [`CompletionQueue`]. A greeter:
//!
//! ```no_run
//! use turnstile::{Batch, CompletionQueue, Deadline, Metadata, Server, Status, codec};
//! # #[derive(Clone, PartialEq, prost::Message)]
//! # struct HelloRequest { #[prost(string, tag = "1")] name: String }
//! # #[derive(Clone, PartialEq, prost::Message)]
//! # struct HelloReply { #[prost(string, tag = "1")] message: String }
//!
//! #[derive(Clone, Copy)]
//! enum Tag {
//!     SayHello,
//!     Finished,
//! }
//!
//! let cq = CompletionQueue::new();
//! let mut builder = Server::builder();
//! let say_hello = builder.register_unary("/helloworld.Greeter/SayHello");
//! let server = builder.bind("127.0.0.1:50051")?;
//! server.request_registered_call(&say_hello, &cq, &cq, Tag::SayHello)?;
//! while let Some(mut event) = cq.next(Deadline::NONE) {
//!     let Some(call) = event.take_call() else { continue };
//!     server.request_registered_call(&say_hello, &cq, &cq, Tag::SayHello)?;
//!     let request = event.take_message().unwrap_or_default();
//!     let batch = match codec::decode::<HelloRequest>(request) {
//!         Ok(request) => {
//!             let reply = HelloReply { message: format!("Hello {}", request.name) };
//!             Batch::new().send_message(codec::encode(&reply)).send_status(Status::ok())
//!         }
//!         Err(status) => Batch::new().send_status(status),
//!     };
//!     call.start(batch, Tag::Finished)?;
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(not(target_os = "linux"))]
compile_error!("Turnstile runs on Linux; other systems are for a later version");

pub mod codec;
pub mod error;
pub mod error_details;
pub mod metadata;
pub mod stats;
pub mod status;

mod compression;
mod panics;
mod sync;

mod call;
pub mod channelz;
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

/// What generated code is made of, so that its users need no other dependency.
pub use prost;
pub use prost_types;

pub use bytes::Bytes;
pub use call::{Batch, Call, Outcome, StartError};
pub use compression::Encoding;
pub use cq::{Queue, ShutDown, block_on, engine_name};
pub use error::{Error, Result};
pub use http::Extensions;
pub use iomgr::{Deadline, ListenAddress, PeerAddress, UnixCredentials, UnixPeer};
pub use metadata::Metadata;
pub use server::{Builder, Method, Server, test_server};
pub use service::{
    Context, MethodDescriptor, MethodKind, Request, Response, Service, Streaming, Writer, blocking,
};
pub use status::{Code, Status};

/// Includes the code that `turnstile-build` has generated for a package of .proto files.
///
/// Best in a module of its own: a package may have a message `Status`, and each has a
/// `FILE_DESCRIPTOR_SET`. Several packages need modules that are nested as the packages are.
///
/// ```ignore
/// mod helloworld {
///     turnstile::include_proto!("helloworld"); // `package helloworld;`
/// }
/// ```
#[macro_export]
macro_rules! include_proto {
    ($package:literal) => {
        include!(concat!(
            env!(
                "OUT_DIR",
                "the crate needs a build.rs that calls turnstile_build::compile_protos"
            ),
            "/",
            $package,
            ".rs"
        ));
    };
}

/// A queue of which any thread takes the next event: see [`cq::CompletionQueue`].
pub type CompletionQueue<T> = cq::CompletionQueue<T, Outcome>;

/// A queue on which a thread waits for one tag: see [`cq::PluckQueue`].
pub type PluckQueue<T> = cq::PluckQueue<T, Outcome>;

/// A queue that calls a function with each event: see [`cq::CallbackQueue`].
pub type CallbackQueue<T> = cq::CallbackQueue<T, Outcome>;

/// The events of one turn: see [`cq::Turn`].
pub type Turn<'a, T> = cq::Turn<'a, T, Outcome>;

/// An operation that has ended: see [`cq::Event`].
pub type Event<T> = cq::Event<T, Outcome>;

/// A tag that comes out of a queue at a deadline: see [`cq::Alarm`].
pub type Alarm = cq::Alarm<Outcome>;
