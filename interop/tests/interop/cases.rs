//! The cases, and those of them that the clients of others cannot do: where single messages are
//! compressed.

use std::panic;

use turnstile_interop::client::messages;
use turnstile_protos::testing::{
    SimpleResponse, StreamingInputCallResponse, StreamingOutputCallResponse,
};

use super::clients;
use super::frames::{Peer, compressed, plain};
use super::servers::Gaps;
use super::table::Results;

/// All cases without cloud, TLS, credentials, load reports and endurance.
pub(crate) const CASES: [&str; 20] = [
    "empty_unary",
    "cacheable_unary",
    "large_unary",
    "client_compressed_unary",
    "server_compressed_unary",
    "client_streaming",
    "client_compressed_streaming",
    "server_streaming",
    "server_compressed_streaming",
    "ping_pong",
    "empty_stream",
    "custom_metadata",
    "status_code_and_message",
    "special_status_message",
    "unimplemented_method",
    "unimplemented_service",
    "cancel_after_begin",
    "cancel_after_first_response",
    "timeout_on_sleeping_server",
    "pick_first_unary",
];

pub(crate) const INVALID_ARGUMENT: u32 = 3;

/// Those with compression, in raw frames.
const OVER_FRAMES: [&str; 4] = [
    "client_compressed_unary",
    "server_compressed_unary",
    "client_compressed_streaming",
    "server_compressed_streaming",
];

/// Runs the cases with compression in raw frames.
pub(crate) fn over_frames(address: &str, gaps: Gaps) -> Results {
    clients::run(&OVER_FRAMES, gaps, |case| {
        let check: fn(&mut Peer) = match case {
            "client_compressed_unary" => client_compressed_unary,
            "server_compressed_unary" => server_compressed_unary,
            "client_compressed_streaming" => client_compressed_streaming,
            _ => server_compressed_streaming,
        };
        panic::catch_unwind(|| check(&mut Peer::connect(address)))
            .map_err(|_| "a panic, of which the message is above".to_owned())
    })
}

fn assert_large(response: &SimpleResponse) {
    let checked = messages::check_payload(response.payload.as_ref(), messages::LARGE_RESPONSE);
    assert_eq!(checked, Ok(()));
}

fn client_compressed_unary(peer: &mut Peer) {
    let expecting = messages::client_compressed_unary;
    let probe = peer.call_with("UnaryCall", &[plain(&expecting(true))]);
    assert_eq!(probe.0.code(), INVALID_ARGUMENT, "{}", probe.0.message());
    for request in [compressed(&expecting(true)), plain(&expecting(false))] {
        assert_large(&peer.call_with("UnaryCall", &[request]).one().1);
    }
    // The other way round, which the case leaves open.
    let other = peer.call_with("UnaryCall", &[compressed(&expecting(false))]);
    assert_eq!(other.0.code(), INVALID_ARGUMENT, "{}", other.0.message());
}

fn server_compressed_unary(peer: &mut Peer) {
    for wanted in [true, false] {
        let request = messages::server_compressed_unary(wanted);
        let (is_compressed, response) = peer.call("UnaryCall", &request).one();
        assert_eq!(is_compressed, wanted);
        assert_large(&response);
    }
}

fn client_compressed_streaming(peer: &mut Peer) {
    let [first, second] = messages::client_compressed_streaming();
    let probe = peer.call_with("StreamingInputCall", &[plain(&first)]);
    assert_eq!(probe.0.code(), INVALID_ARGUMENT, "{}", probe.0.message());
    let requests = [compressed(&first), plain(&second)];
    let (_, response): (_, StreamingInputCallResponse) =
        peer.call_with("StreamingInputCall", &requests).one();
    assert_eq!(response.aggregated_payload_size, messages::COMPRESSED_AGGREGATED_SIZE);
}

fn server_compressed_streaming(peer: &mut Peer) {
    let request = messages::server_compressed_streaming();
    let responses = peer.call("StreamingOutputCall", &request).all();
    let found =
        responses.iter().map(|(is_compressed, response): &(_, StreamingOutputCallResponse)| {
            let payload = response.payload.as_ref().expect("there is a payload");
            (*is_compressed, payload.body.len() as i32)
        });
    assert_eq!(found.collect::<Vec<_>>(), messages::COMPRESSED_RESPONSE_SIZES);
}
