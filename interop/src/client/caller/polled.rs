//! Calls by the generated `async` clients, each step in `block_on`.

use turnstile::client::{Streaming, Upload, Writer};
use turnstile::{CallOptions, Channel, Metadata, Status, block_on};
use turnstile_protos::testing::test_service::Client;
use turnstile_protos::testing::unimplemented_service::Client as UnimplementedClient;
use turnstile_protos::testing::{
    Empty, SimpleRequest, SimpleResponse, StreamingInputCallRequest, StreamingInputCallResponse,
    StreamingOutputCallRequest, StreamingOutputCallResponse,
};

use super::{Caller, Outcome, Packing, Replies, Reply, Requests};

pub(super) struct Polled {
    client: Client,
    unimplemented: UnimplementedClient,
}

impl Polled {
    pub(super) fn new(channel: Channel) -> Self {
        let client = Client::new(channel.clone());
        Self { client, unimplemented: UnimplementedClient::new(channel) }
    }
}

impl Caller for Polled {
    fn empty_call(&self) -> Outcome<Empty> {
        block_on(self.client.empty_call(Empty {})).map(Reply::from)
    }

    fn unary_call(&self, request: SimpleRequest, options: CallOptions) -> Outcome<SimpleResponse> {
        block_on(self.client.with(options).unary_call(request)).map(Reply::from)
    }

    /// They have all begun when the first is awaited.
    fn unary_calls(&self, requests: Vec<SimpleRequest>) -> Vec<Outcome<SimpleResponse>> {
        let call = |request| self.client.unary_call(request);
        let calls: Vec<_> = requests.into_iter().map(call).collect();
        calls.into_iter().map(|call| block_on(call).map(Reply::from)).collect()
    }

    fn cacheable_unary_call(
        &self,
        request: SimpleRequest,
        options: CallOptions,
    ) -> Outcome<SimpleResponse> {
        block_on(self.client.with(options).cacheable_unary_call(request)).map(Reply::from)
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
        block_on(self.client.unimplemented_call(Empty {})).map(Reply::from)
    }

    fn call_of_unimplemented_service(&self) -> Outcome<Empty> {
        block_on(self.unimplemented.unimplemented_call(Empty {})).map(Reply::from)
    }
}

impl super::Upload for Upload<StreamingInputCallRequest, StreamingInputCallResponse> {
    fn write(&mut self, request: StreamingInputCallRequest, packing: Packing) {
        let _ = match packing {
            Packing::AsTheCall => block_on(Self::write(self, request)),
            Packing::Uncompressed => block_on(self.write_uncompressed(request)),
        };
    }

    fn cancel(&self) {
        Self::cancel(self);
    }

    fn finish(self: Box<Self>) -> Outcome<StreamingInputCallResponse> {
        block_on(Self::finish(*self)).map(Reply::from)
    }
}

impl Requests for Writer<StreamingOutputCallRequest> {
    fn write(&mut self, request: StreamingOutputCallRequest) {
        let _ = block_on(Self::write(self, request));
    }

    fn close(self: Box<Self>) {
        Self::close(*self);
    }
}

impl Replies for Streaming<StreamingOutputCallResponse> {
    fn read(&mut self) -> Result<Option<StreamingOutputCallResponse>, Status> {
        block_on(Self::read(self))
    }

    fn was_compressed(&self) -> bool {
        Self::was_compressed(self)
    }

    fn metadata(&mut self) -> Metadata {
        block_on(Self::metadata(self)).clone()
    }

    fn trailers(&self) -> Metadata {
        Self::trailers(self).cloned().unwrap_or_default()
    }

    fn cancel(&self) {
        Self::cancel(self);
    }
}
