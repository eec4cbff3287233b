//! The calls of the cases, in each of the three styles that the library has, so that a case is written
//! once.
//!
//! A case waits for each step of a call before it takes the next one.

mod blocking;
mod polled;
mod queue;

use std::fmt;
use std::str::FromStr;

use turnstile::{CallOptions, Channel, Metadata, Response, Status};
use turnstile_protos::testing::{
    Empty, SimpleRequest, SimpleResponse, StreamingInputCallRequest, StreamingInputCallResponse,
    StreamingOutputCallRequest, StreamingOutputCallResponse,
};

/// How calls are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// By generated clients that block.
    #[default]
    Blocking,
    /// By generated `async` clients, in `block_on`.
    Async,
    /// In batches on completion queues.
    Queue,
}

impl Style {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Blocking, Self::Async, Self::Queue];

    /// The name that the flag `--style` has for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blocking => "blocking",
            Self::Async => "async",
            Self::Queue => "queue",
        }
    }

    /// Makes calls on `channel`.
    pub(super) fn caller(self, channel: Channel) -> Box<dyn Caller> {
        match self {
            Self::Blocking => Box::new(blocking::Blocking::new(channel)),
            Self::Async => Box::new(polled::Polled::new(channel)),
            Self::Queue => Box::new(queue::Queued::new(channel)),
        }
    }
}

impl fmt::Display for Style {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Style {
    type Err = String;

    /// Finds a style by its name.
    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|style| style.name() == name);
        found.ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            format!("there is no style {name:?}; the styles are {known}")
        })
    }
}

/// Calls the methods of `grpc.testing.TestService`, and of a service that is not there.
pub(super) trait Caller {
    fn empty_call(&self) -> Outcome<Empty>;

    fn unary_call(&self, request: SimpleRequest, options: CallOptions) -> Outcome<SimpleResponse>;

    /// As many calls at once as there are requests.
    fn unary_calls(&self, requests: Vec<SimpleRequest>) -> Vec<Outcome<SimpleResponse>>;

    fn cacheable_unary_call(
        &self,
        request: SimpleRequest,
        options: CallOptions,
    ) -> Outcome<SimpleResponse>;

    fn streaming_input_call(&self, options: CallOptions) -> Box<dyn Upload>;

    fn streaming_output_call(&self, request: StreamingOutputCallRequest) -> Box<dyn Replies>;

    fn full_duplex_call(&self, options: CallOptions) -> (Box<dyn Requests>, Box<dyn Replies>);

    fn unimplemented_call(&self) -> Outcome<Empty>;

    /// The method of the service that is not there.
    fn call_of_unimplemented_service(&self) -> Outcome<Empty>;
}

/// The end of a call with one reply.
pub(super) type Outcome<T> = Result<Reply<T>, Status>;

/// A reply, with what came before and behind it.
#[derive(Debug)]
pub(super) struct Reply<T> {
    pub(super) message: T,
    pub(super) metadata: Metadata,
    pub(super) trailers: Metadata,
    pub(super) was_compressed: bool,
}

impl<T> From<Response<T>> for Reply<T> {
    fn from(response: Response<T>) -> Self {
        let was_compressed = response.was_compressed();
        let (message, metadata, trailers) = response.into_parts();
        Self { message, metadata, trailers, was_compressed }
    }
}

/// Whether a message of a call that has an encoding is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    AsTheCall,
    Uncompressed,
}

/// Where many requests go for one reply.
pub(super) trait Upload {
    /// Sends one. That a call is over before it has all is no error yet: the end says how it was.
    fn write(&mut self, request: StreamingInputCallRequest, packing: Packing);

    fn cancel(&self);

    /// There are no more.
    fn finish(self: Box<Self>) -> Outcome<StreamingInputCallResponse>;
}

/// Where requests go while replies are read.
pub(super) trait Requests {
    /// Sends one. If that fails, so does the other half.
    fn write(&mut self, request: StreamingOutputCallRequest);

    /// There are no more.
    fn close(self: Box<Self>);
}

/// Where many replies come from.
pub(super) trait Replies {
    /// The next one, or `None` at the end of a call that went well.
    fn read(&mut self) -> Result<Option<StreamingOutputCallResponse>, Status>;

    /// Whether the one that was read last was compressed.
    fn was_compressed(&self) -> bool;

    /// The initial metadata.
    fn metadata(&mut self) -> Metadata;

    /// The trailing metadata, once the end was read.
    fn trailers(&self) -> Metadata;

    fn cancel(&self);
}
