//! Calls by the generated clients that block.

use std::thread;

use turnstile::client::blocking::{Reader, Upload, Writer};
use turnstile::{CallOptions, Channel, Metadata, Status};
use turnstile_protos::testing::test_service::BlockingClient;
use turnstile_protos::testing::unimplemented_service::BlockingClient as UnimplementedClient;
use turnstile_protos::testing::{
    Empty, SimpleRequest, SimpleResponse, StreamingInputCallRequest, StreamingInputCallResponse,
    StreamingOutputCallRequest, StreamingOutputCallResponse,
};

use super::{Caller, Outcome, Packing, Replies, Reply, Requests};

pub(super) struct Blocking {
    client: BlockingClient,
    unimplemented: UnimplementedClient,
}

impl Blocking {
    pub(super) fn new(channel: Channel) -> Self {
        let client = BlockingClient::new(channel.clone());
        Self { client, unimplemented: UnimplementedClient::new(channel) }
    }
}

impl Caller for Blocking {
    fn empty_call(&self) -> Outcome<Empty> {
        self.client.empty_call(Empty {}).map(Reply::from)
    }

    fn unary_call(&self, request: SimpleRequest, options: CallOptions) -> Outcome<SimpleResponse> {
        self.client.with(options).unary_call(request).map(Reply::from)
    }

    /// Each on a thread of its own.
    fn unary_calls(&self, requests: Vec<SimpleRequest>) -> Vec<Outcome<SimpleResponse>> {
        let lost = |_| Err(Status::internal("the thread of a call has panicked"));
        thread::scope(|scope| {
            let call = |request| scope.spawn(|| self.unary_call(request, CallOptions::new()));
            let calls: Vec<_> = requests.into_iter().map(call).collect();
            calls.into_iter().map(|call| call.join().unwrap_or_else(lost)).collect()
        })
    }

    fn cacheable_unary_call(
        &self,
        request: SimpleRequest,
        options: CallOptions,
    ) -> Outcome<SimpleResponse> {
        self.client.with(options).cacheable_unary_call(request).map(Reply::from)
    }

    fn streaming_input_call(&self, options: CallOptions) -> Box<dyn super::Upload> {
        Box::new(self.client.with(options).streaming_input_call())
    }

    fn streaming_output_call(&self, request: StreamingOutputCallRequest) -> Box<dyn Replies> {
        Box::new(self.client.streaming_output_call(request))
    }

    fn full_duplex_call(&self, options: CallOptions) -> (Box<dyn Requests>, Box<dyn Replies>) {
        let (requests, replies) = self.client.with(options).full_duplex_call();
        (Box::new(requests), Box::new(replies))
    }

    fn unimplemented_call(&self) -> Outcome<Empty> {
        self.client.unimplemented_call(Empty {}).map(Reply::from)
    }

    fn call_of_unimplemented_service(&self) -> Outcome<Empty> {
        self.unimplemented.unimplemented_call(Empty {}).map(Reply::from)
    }
}

impl super::Upload for Upload<StreamingInputCallRequest, StreamingInputCallResponse> {
    fn write(&mut self, request: StreamingInputCallRequest, packing: Packing) {
        let _ = match packing {
            Packing::AsTheCall => Self::write(self, request),
            Packing::Uncompressed => self.write_uncompressed(request),
        };
    }

    fn cancel(&self) {
        Self::cancel(self);
    }

    fn finish(self: Box<Self>) -> Outcome<StreamingInputCallResponse> {
        Self::finish(*self).map(Reply::from)
    }
}

impl Requests for Writer<StreamingOutputCallRequest> {
    fn write(&mut self, request: StreamingOutputCallRequest) {
        let _ = Self::write(self, request);
    }

    fn close(self: Box<Self>) {
        Self::close(*self);
    }
}

impl Replies for Reader<StreamingOutputCallResponse> {
    fn read(&mut self) -> Result<Option<StreamingOutputCallResponse>, Status> {
        Self::read(self)
    }

    fn was_compressed(&self) -> bool {
        Self::was_compressed(self)
    }

    fn metadata(&mut self) -> Metadata {
        Self::metadata(self).clone()
    }

    fn trailers(&self) -> Metadata {
        Self::trailers(self).cloned().unwrap_or_default()
    }

    fn cancel(&self) {
        Self::cancel(self);
    }
}
