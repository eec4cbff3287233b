//! Clients: channels to servers, and calls on them.
//!
//! A [`Channel`] is the way to a server. A stub makes calls on it: the `Client` and the `BlockingClient`
//! that `turnstile-build` generates for a service, or a [`Stub`] or a [`blocking::Stub`] for methods
//! without a .proto file. [`Call`]s on completion queues are what both stand on. Interceptors
//! ([`Interceptor`]) see each call of a stub.
//!
//! | the method has | async | blocking |
//! |---|---|---|
//! | one request, one reply | a future of a [`Response`](crate::Response) | a [`Response`](crate::Response) |
//! | one request, many replies | [`Streaming`] | [`blocking::Reader`] |
//! | many requests, one reply | [`Upload`] | [`blocking::Upload`] |
//! | many of both | ([`Writer`], [`Streaming`]) | ([`blocking::Writer`], [`blocking::Reader`]) |
//!
//! What these have in common: the call begins when its function is called. An error is how the call
//! ended, whatever was asked for, with the trailing metadata that came with it; it comes with the first
//! operation that finds the call over. What is dropped before the end cancels the call: but for the half
//! that writes, which says that no more comes.

pub mod blocking;

mod backoff;
mod balancer;
mod builder;
mod call;
mod channel;
mod connectivity;
mod control;
mod exchange;
mod inlet;
mod interceptor;
mod options;
mod outlet;
mod picker;
mod stream;
mod streaming;
mod stub;
mod subchannel;
mod target;
mod upload;
mod watch;
mod writer;

pub use builder::Builder;
pub use call::Call;
pub use channel::Channel;
pub use connectivity::ConnectivityState;
pub use interceptor::{CallContext, Interceptor, OutgoingCall};
pub use options::CallOptions;
pub use streaming::Streaming;
pub use stub::Stub;
pub use upload::Upload;
pub use writer::Writer;
