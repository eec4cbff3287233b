//! Calls in batches, on completion queues.
//!
//! A call with one reply is one batch. A stream has a queue of its own, on which one batch is pending at
//! a time, so that the next event is always its.

use std::rc::Rc;

use turnstile::prost::Message;
use turnstile::{
    Batch, CallOptions, Channel, CompletionQueue, Deadline, Event, Metadata, MethodDescriptor,
    Status, client, codec,
};
use turnstile_protos::testing::{
    Empty, SimpleRequest, SimpleResponse, StreamingInputCallRequest, StreamingInputCallResponse,
    StreamingOutputCallRequest, StreamingOutputCallResponse, test_service, unimplemented_service,
};

use super::{Caller, Outcome, Packing, Replies, Reply, Requests, Upload};

pub(super) struct Queued(Channel);

impl Queued {
    pub(super) fn new(channel: Channel) -> Self {
        Self(channel)
    }

    fn unary<Req: Message, Res: Message + Default>(
        &self,
        method: &MethodDescriptor<Req, Res>,
        request: &Req,
        options: CallOptions,
    ) -> Outcome<Res> {
        let stream = self.stream(method, options);
        reply(stream.run(everything(Some(request))))
    }

    fn stream<Req, Res>(
        &self,
        method: &MethodDescriptor<Req, Res>,
        options: CallOptions,
    ) -> Stream {
        let queue = CompletionQueue::new();
        Stream { call: self.0.call(method.path(), options, &queue), queue }
    }
}

impl Caller for Queued {
    fn empty_call(&self) -> Outcome<Empty> {
        self.unary(&test_service::EMPTY_CALL, &Empty {}, CallOptions::new())
    }

    fn unary_call(&self, request: SimpleRequest, options: CallOptions) -> Outcome<SimpleResponse> {
        self.unary(&test_service::UNARY_CALL, &request, options)
    }

    /// All on one queue, with the number of the call for a tag.
    fn unary_calls(&self, requests: Vec<SimpleRequest>) -> Vec<Outcome<SimpleResponse>> {
        let queue = CompletionQueue::new();
        let path = test_service::UNARY_CALL.path();
        let mut calls = Vec::new();
        for (number, request) in requests.iter().enumerate() {
            let call = self.0.call(path, CallOptions::new(), &queue);
            if call.start(everything(Some(request)), number).is_ok() {
                calls.push(call);
            }
        }
        let mut outcomes: Vec<_> = requests.iter().map(|_| Err(lost())).collect();
        for _ in &calls {
            let Some(event) = queue.next(Deadline::NONE) else { break };
            let number = event.tag;
            outcomes[number] = reply(Some(event));
        }
        outcomes
    }

    fn cacheable_unary_call(
        &self,
        request: SimpleRequest,
        options: CallOptions,
    ) -> Outcome<SimpleResponse> {
        self.unary(&test_service::CACHEABLE_UNARY_CALL, &request, options)
    }

    fn streaming_input_call(&self, options: CallOptions) -> Box<dyn Upload> {
        Box::new(self.stream(&test_service::STREAMING_INPUT_CALL, options))
    }

    fn streaming_output_call(&self, request: StreamingOutputCallRequest) -> Box<dyn Replies> {
        let stream = self.stream(&test_service::STREAMING_OUTPUT_CALL, CallOptions::new());
        stream.run(Batch::new().send_message(codec::encode(&request)).send_close());
        Box::new(QueuedReplies::of(Rc::new(stream)))
    }

    fn full_duplex_call(&self, options: CallOptions) -> (Box<dyn Requests>, Box<dyn Replies>) {
        let stream = Rc::new(self.stream(&test_service::FULL_DUPLEX_CALL, options));
        (Box::new(QueuedRequests(stream.clone())), Box::new(QueuedReplies::of(stream)))
    }

    fn unimplemented_call(&self) -> Outcome<Empty> {
        self.unary(&test_service::UNIMPLEMENTED_CALL, &Empty {}, CallOptions::new())
    }

    fn call_of_unimplemented_service(&self) -> Outcome<Empty> {
        self.unary(&unimplemented_service::UNIMPLEMENTED_CALL, &Empty {}, CallOptions::new())
    }
}

/// A call, and its queue.
struct Stream {
    call: client::Call<()>,
    queue: CompletionQueue<()>,
}

impl Stream {
    /// Starts a batch and waits for it. `None` if it cannot be.
    fn run(&self, batch: Batch) -> Option<Event<()>> {
        self.call.start(batch, ()).ok()?;
        self.queue.next(Deadline::NONE)
    }

    fn cancel(&self) {
        self.call.cancel(Status::cancelled("the case cancels its call"));
    }
}

impl Upload for Stream {
    fn write(&mut self, request: StreamingInputCallRequest, packing: Packing) {
        let (batch, bytes) = (Batch::new(), codec::encode(&request));
        self.run(match packing {
            Packing::AsTheCall => batch.send_message(bytes),
            Packing::Uncompressed => batch.send_message_uncompressed(bytes),
        });
    }

    fn cancel(&self) {
        Self::cancel(self);
    }

    fn finish(self: Box<Self>) -> Outcome<StreamingInputCallResponse> {
        reply(self.run(everything(None::<&Empty>)))
    }
}

struct QueuedRequests(Rc<Stream>);

impl Requests for QueuedRequests {
    fn write(&mut self, request: StreamingOutputCallRequest) {
        self.0.run(Batch::new().send_message(codec::encode(&request)));
    }

    fn close(self: Box<Self>) {
        self.0.run(Batch::new().send_close());
    }
}

struct QueuedReplies {
    stream: Rc<Stream>,
    was_compressed: bool,
    trailers: Metadata,
}

impl QueuedReplies {
    fn of(stream: Rc<Stream>) -> Self {
        Self { stream, was_compressed: false, trailers: Metadata::new() }
    }
}

impl Replies for QueuedReplies {
    fn read(&mut self) -> Result<Option<StreamingOutputCallResponse>, Status> {
        let mut event = self.stream.run(Batch::new().receive_message()).ok_or_else(lost)?;
        if let Some(message) = event.take_message() {
            self.was_compressed = event.was_compressed();
            return codec::decode(message).map(Some);
        }
        let status = status(self.stream.run(Batch::new().receive_status()));
        if !status.is_ok() {
            return Err(status);
        }
        self.trailers = trailers_of(&status);
        Ok(None)
    }

    fn was_compressed(&self) -> bool {
        self.was_compressed
    }

    fn metadata(&mut self) -> Metadata {
        let event = self.stream.run(Batch::new().receive_initial_metadata());
        event.and_then(|mut event| event.take_initial_metadata()).unwrap_or_default()
    }

    fn trailers(&self) -> Metadata {
        self.trailers.clone()
    }

    fn cancel(&self) {
        self.stream.cancel();
    }
}

/// What is left of a call with one reply, as one batch.
fn everything(request: Option<&impl Message>) -> Batch {
    let mut batch = Batch::new().send_close().receive_initial_metadata();
    if let Some(request) = request {
        batch = batch.send_message(codec::encode(request));
    }
    batch.receive_message().receive_status()
}

fn reply<T: Send + 'static, M: Message + Default>(event: Option<Event<T>>) -> Outcome<M> {
    let mut event = event.ok_or_else(lost)?;
    let (message, metadata) = (event.take_message(), event.take_initial_metadata());
    let was_compressed = event.was_compressed();
    let status = status(Some(event));
    if !status.is_ok() {
        return Err(status);
    }
    let message = message.ok_or_else(|| Status::internal("the call is OK, without a reply"))?;
    let (message, metadata) = (codec::decode(message)?, metadata.unwrap_or_default());
    Ok(Reply { message, metadata, trailers: trailers_of(&status), was_compressed })
}

fn status<T: Send + 'static>(event: Option<Event<T>>) -> Status {
    event.and_then(|mut event| event.take_status()).unwrap_or_else(lost)
}

fn lost() -> Status {
    Status::internal("a batch could not be started, or its event has not come")
}

fn trailers_of(status: &Status) -> Metadata {
    status.metadata().cloned().unwrap_or_default()
}
