//! Metrics and logs: what can be observed of a server's calls.
//!
//! # Metrics
//!
//! A [`Stats`] is told of each call and each message, and counts what it likes.
//! [`Builder::stats`](crate::Builder::stats) gives it to a server. It sees the calls of handlers
//! and those of completion queues alike; `examples/metrics.rs` makes a page for Prometheus of it.
//!
//! gRPC has names for the metrics that a server should have (gRFC A66), so that dashboards work
//! with servers in any language. Here is where to get what they want:
//!
//! | instrument | kind, unit | recorded in | value |
//! |---|---|---|---|
//! | `grpc.server.call.started` | counter, `{call}` | [`Stats::call_started`] | 1 |
//! | `grpc.server.call.duration` | histogram, `s` | [`Stats::call_ended`] | [`CallEnd::duration`] |
//! | `grpc.server.call.rcvd_total_compressed_message_size` | histogram, `By` | [`Stats::call_ended`] | [`CallEnd::received`], its `compressed_bytes` |
//! | `grpc.server.call.sent_total_compressed_message_size` | histogram, `By` | [`Stats::call_ended`] | [`CallEnd::sent`], its `compressed_bytes` |
//!
//! | attribute | on | value |
//! |---|---|---|
//! | `grpc.method` | all four | [`CallInfo::metric_method`] |
//! | `grpc.status` | all but `started` | [`CallEnd::code`], by [`Code::as_str`] |
//!
//! A request that is not gRPC is refused before it is a call, and no [`Stats`] hears of it.
//!
//! ```
//! use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
//! use turnstile::stats::{CallEnd, CallInfo, Stats};
//!
//! /// The sum and the count of `grpc.server.call.duration`.
//! #[derive(Default)]
//! struct Durations {
//!     nanoseconds: AtomicU64,
//!     calls: AtomicU64,
//! }
//!
//! impl Stats for Durations {
//!     fn call_ended(&self, _call: &CallInfo<'_>, end: &CallEnd) {
//!         self.nanoseconds.fetch_add(end.duration.as_nanos() as u64, Relaxed);
//!         self.calls.fetch_add(1, Relaxed);
//!     }
//! }
//! ```
//!
//! # Logs
//!
//! The library writes to [`tracing`], under three targets that stay the same from version to
//! version, and so do the names of their fields:
//!
//! | target | level | message | fields |
//! |---|---|---|---|
//! | `turnstile::server` | info | `listening` | `address`, `engine` |
//! | `turnstile::server` | info | `shutting down` | `grace`, if there is one |
//! | `turnstile::server` | info | `shut down` | |
//! | `turnstile::connection` | debug | `a client connects` | `peer` |
//! | `turnstile::connection` | debug | `a connection is closed` | `peer` |
//! | `turnstile::call` | debug | `a call ended` | `method`, `peer`, `status`, `duration`, `messages_received`, `bytes_received`, `messages_sent`, `bytes_sent` |
//! | `turnstile::call` | error | `a handler panicked` | `method`, `panic` |
//! | `turnstile::call` | error | `an interceptor made a reply that the method cannot have`; the same of `a handler` and `a codec` | `method`, `cause` |
//!
//! There is one event for each call, at its end, whatever its status: an error is an answer like
//! any other, and one that matters to you is best logged where it is made. `status` is a name like
//! `DEADLINE_EXCEEDED`. Bytes are those of messages, before compression. Events under other targets
//! are for those who look for a fault, and may change.
//!
//! While a handler runs it is in the span `call` (target `turnstile::call`, level debug) with the
//! fields `method` and `peer`, so that its own events say which call they are of. An async handler
//! is in the span whenever it is polled, a blocking one on its thread. A subscriber that does not
//! want the span costs a call nothing but a look at a flag; `turnstile::call=debug` in a filter
//! asks for it.

use crate::iomgr::PeerAddress;
use crate::panics::contained;
use crate::status::Code;
use std::sync::Arc;
use std::time::Duration;

/// What is told of each call of a server, so that it can count.
///
/// Every function has a default that does nothing. For each call come, in this order:
/// [`call_started`](Self::call_started) once, then messages, then
/// [`call_ended`](Self::call_ended) once. Only a message that another thread sends or receives at
/// the moment of the end may be told after it; it is in the totals of the end all the same.
///
/// They are called by whichever thread makes the progress, also by several at once for different
/// calls. None of the crate's locks that a function of its API takes is held, but some are called
/// while a connection is being driven: whatever they do, all calls of the connection wait for it.
/// So count, and leave it at that: **do not block**, and do not wait on a queue. A panic is caught
/// and logged.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use turnstile::Server;
/// use turnstile::stats::{CallEnd, CallInfo, Stats};
///
/// #[derive(Default)]
/// struct Failures(AtomicU64);
///
/// impl Stats for Failures {
///     fn call_ended(&self, _call: &CallInfo<'_>, end: &CallEnd) {
///         if end.code != turnstile::Code::Ok {
///             self.0.fetch_add(1, Ordering::Relaxed);
///         }
///     }
/// }
///
/// let failures = Arc::new(Failures::default());
/// let server = Server::builder().stats(failures.clone()).bind("127.0.0.1:0")?;
/// assert_eq!(failures.0.load(Ordering::Relaxed), 0);
/// # drop(server);
/// # Ok::<(), turnstile::Error>(())
/// ```
pub trait Stats: Send + Sync + 'static {
    /// A call has come, of whatever method.
    fn call_started(&self, call: &CallInfo<'_>) {
        let _ = call;
    }

    /// The application takes a message of the client's.
    fn message_received(&self, call: &CallInfo<'_>, size: MessageSize) {
        let _ = (call, size);
    }

    /// A message of the application's goes to the transport.
    fn message_sent(&self, call: &CallInfo<'_>, size: MessageSize) {
        let _ = (call, size);
    }

    /// A call is over: its status was sent, or it ended without.
    fn call_ended(&self, call: &CallInfo<'_>, end: &CallEnd) {
        let _ = (call, end);
    }
}

impl<S: Stats + ?Sized> Stats for Arc<S> {
    fn call_started(&self, call: &CallInfo<'_>) {
        (**self).call_started(call);
    }

    fn message_received(&self, call: &CallInfo<'_>, size: MessageSize) {
        (**self).message_received(call, size);
    }

    fn message_sent(&self, call: &CallInfo<'_>, size: MessageSize) {
        (**self).message_sent(call, size);
    }

    fn call_ended(&self, call: &CallInfo<'_>, end: &CallEnd) {
        (**self).call_ended(call, end);
    }
}

/// Which call it is.
///
/// ```
/// use turnstile::stats::CallInfo;
///
/// /// What a counter is labelled with.
/// fn label(call: &CallInfo<'_>) -> String {
///     format!("{} from {}", call.metric_method(), call.peer())
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct CallInfo<'a> {
    method: &'a str,
    peer: &'a PeerAddress,
    is_registered: bool,
}

impl<'a> CallInfo<'a> {
    pub(crate) fn new(method: &'a str, peer: &'a PeerAddress, is_registered: bool) -> Self {
        Self { method, peer, is_registered }
    }

    /// The full name of the method as the client sent it: `/package.Service/Method`.
    ///
    /// ```
    /// use turnstile::stats::CallInfo;
    ///
    /// /// The service alone.
    /// fn service<'a>(call: &CallInfo<'a>) -> &'a str {
    ///     call.method().trim_start_matches('/').split('/').next().unwrap_or_default()
    /// }
    /// ```
    pub fn method(&self) -> &'a str {
        self.method
    }

    /// Whether the server has the method by name: in a service, or registered for completion
    /// queues. Calls that go to a fallback or to
    /// [`request_call`](crate::Server::request_call), and calls that nobody takes, are not.
    ///
    /// ```
    /// use turnstile::stats::CallInfo;
    ///
    /// /// Somebody tries names at random.
    /// fn is_scan(call: &CallInfo<'_>) -> bool {
    ///     !call.is_registered() && call.method().contains("admin")
    /// }
    /// ```
    pub fn is_registered(&self) -> bool {
        self.is_registered
    }

    /// The method as gRFC A66's attribute `grpc.method` has it: `package.Service/Method`, and
    /// `other` for one that is not registered. What clients make up would otherwise make new time
    /// series without end.
    ///
    /// ```
    /// use std::collections::HashMap;
    /// use std::sync::Mutex;
    /// use turnstile::stats::{CallInfo, Stats};
    ///
    /// /// `grpc.server.call.started`, by method.
    /// #[derive(Default)]
    /// struct Started(Mutex<HashMap<String, u64>>);
    ///
    /// impl Stats for Started {
    ///     fn call_started(&self, call: &CallInfo<'_>) {
    ///         let mut counts = self.0.lock().unwrap();
    ///         *counts.entry(call.metric_method().to_owned()).or_default() += 1;
    ///     }
    /// }
    /// ```
    pub fn metric_method(&self) -> &'a str {
        if self.is_registered { self.method.trim_start_matches('/') } else { "other" }
    }

    /// Who called.
    ///
    /// ```
    /// use turnstile::PeerAddress;
    /// use turnstile::stats::CallInfo;
    ///
    /// fn is_local(call: &CallInfo<'_>) -> bool {
    ///     match call.peer() {
    ///         PeerAddress::Tcp(address) => address.ip().is_loopback(),
    ///         _ => true,
    ///     }
    /// }
    /// ```
    pub fn peer(&self) -> &'a PeerAddress {
        self.peer
    }
}

/// The size of one message, in bytes, without gRPC's prefix and HTTP/2's framing.
///
/// ```
/// use turnstile::stats::MessageSize;
///
/// /// What compression has saved, as a part of 1.
/// fn saved(size: MessageSize) -> f64 {
///     1.0 - size.compressed as f64 / size.uncompressed.max(1) as f64
/// }
/// # let mut size = MessageSize::default();
/// # (size.compressed, size.uncompressed) = (25, 100);
/// # assert_eq!(saved(size), 0.75);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageSize {
    /// As it travels. The same as `uncompressed` for a message that was not compressed.
    pub compressed: usize,
    /// As the application sees it.
    pub uncompressed: usize,
}

/// The messages that a call had in one direction.
///
/// ```
/// use turnstile::stats::Traffic;
///
/// /// Adds up two calls.
/// fn sum(mut a: Traffic, b: Traffic) -> Traffic {
///     a.messages += b.messages;
///     a.compressed_bytes += b.compressed_bytes;
///     a.bytes += b.bytes;
///     a
/// }
/// # assert_eq!(sum(Traffic::default(), Traffic::default()), Traffic::default());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// How many there were.
    pub messages: u64,
    /// Their bytes as they travelled, without framing.
    pub compressed_bytes: u64,
    /// Their bytes as the application saw them.
    pub bytes: u64,
}

impl Traffic {
    pub(crate) fn add(&mut self, size: MessageSize) {
        self.messages += 1;
        self.compressed_bytes += size.compressed as u64;
        self.bytes += size.uncompressed as u64;
    }
}

/// What a call came to.
///
/// ```
/// use std::time::Duration;
/// use turnstile::stats::CallEnd;
///
/// /// Whether a call deserves a line in the log.
/// fn is_remarkable(end: &CallEnd) -> bool {
///     end.code == turnstile::Code::Internal || end.duration > Duration::from_secs(1)
/// }
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct CallEnd {
    /// The status that the client got, or would have got: CANCELLED, for instance, if it went away.
    pub code: Code,
    /// How long the call took, from its head to the moment when its status went to the transport.
    pub duration: Duration,
    /// What the application has taken of the client's messages.
    pub received: Traffic,
    /// What has gone to the transport.
    pub sent: Traffic,
}

/// Several, each told in turn.
struct Several(Vec<Arc<dyn Stats>>);

impl Several {
    /// A panic of one keeps nothing from the others.
    fn each(&self, tell: impl Fn(&dyn Stats)) {
        self.0.iter().for_each(|stats| tell_caught(|| tell(&**stats)));
    }
}

impl Stats for Several {
    fn call_started(&self, call: &CallInfo<'_>) {
        self.each(|stats| stats.call_started(call));
    }

    fn message_received(&self, call: &CallInfo<'_>, size: MessageSize) {
        self.each(|stats| stats.message_received(call, size));
    }

    fn message_sent(&self, call: &CallInfo<'_>, size: MessageSize) {
        self.each(|stats| stats.message_sent(call, size));
    }

    fn call_ended(&self, call: &CallInfo<'_>, end: &CallEnd) {
        self.each(|stats| stats.call_ended(call, end));
    }
}

/// Makes one of as many as there are.
pub(crate) fn combine(all: &[Arc<dyn Stats>]) -> Option<Arc<dyn Stats>> {
    match all {
        [] => None,
        [one] => Some(one.clone()),
        several => Some(Arc::new(Several(several.to_vec()))),
    }
}

/// Calls a function of a [`Stats`], whose panic is not the call's.
pub(crate) fn tell_caught(tell: impl FnOnce()) {
    contained("a Stats", tell);
}
