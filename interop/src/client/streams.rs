//! Cases of calls with streams.

use turnstile::CallOptions;

use super::caller::{Caller, Packing};
use super::expect::{self, Checked};
use super::messages;

pub(super) fn client_streaming(caller: &dyn Caller) -> Checked {
    let mut upload = caller.streaming_input_call(CallOptions::new());
    for request in messages::client_streaming() {
        upload.write(request, Packing::AsTheCall);
    }
    let reply = expect::succeeds(upload.finish())?;
    let size = reply.message.aggregated_payload_size;
    expect::is("the size of all payloads", size, messages::AGGREGATED_SIZE)
}

pub(super) fn server_streaming(caller: &dyn Caller) -> Checked {
    let mut replies = caller.streaming_output_call(messages::server_streaming());
    for size in messages::RESPONSE_SIZES {
        expect::next_reply(&mut *replies, size)?;
    }
    expect::end(&mut *replies)
}

pub(super) fn ping_pong(caller: &dyn Caller) -> Checked {
    let (mut requests, mut replies) = caller.full_duplex_call(CallOptions::new());
    for (request, size) in messages::ping_pong() {
        requests.write(request);
        expect::next_reply(&mut *replies, size)?;
    }
    requests.close();
    expect::end(&mut *replies)
}

pub(super) fn empty(caller: &dyn Caller) -> Checked {
    let (requests, mut replies) = caller.full_duplex_call(CallOptions::new());
    requests.close();
    expect::end(&mut *replies)
}
