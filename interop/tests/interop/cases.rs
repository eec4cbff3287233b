//! The cases, and those of them that the clients of others cannot do: where single messages are
//! compressed.

use std::panic;

use turnstile_protos::testing::{
    BoolValue, Payload, ResponseParameters, SimpleRequest, SimpleResponse,
    StreamingInputCallRequest, StreamingInputCallResponse, StreamingOutputCallRequest,
    StreamingOutputCallResponse,
};

use super::frames::{Peer, compressed, plain};
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

const LARGE_REQUEST: usize = 271_828;
const LARGE_RESPONSE: i32 = 314_159;

/// Runs the cases with compression in raw frames.
pub(crate) fn over_frames(address: &str) -> Results {
    let cases: [(_, fn(&mut Peer)); 4] = [
        ("client_compressed_unary", client_compressed_unary),
        ("server_compressed_unary", server_compressed_unary),
        ("client_compressed_streaming", client_compressed_streaming),
        ("server_compressed_streaming", server_compressed_streaming),
    ];
    let run = |(case, check): (_, fn(&mut Peer))| {
        let outcome = panic::catch_unwind(|| check(&mut Peer::connect(address)));
        (case, outcome.map_err(|_| "a panic, of which the message is above".to_owned()))
    };
    cases.into_iter().map(run).collect()
}

fn zeros(size: usize) -> Option<Payload> {
    Some(Payload { body: vec![0; size].into(), ..Default::default() })
}

fn flag(value: bool) -> Option<BoolValue> {
    Some(BoolValue { value })
}

fn large() -> SimpleRequest {
    let payload = zeros(LARGE_REQUEST);
    SimpleRequest { payload, response_size: LARGE_RESPONSE, ..Default::default() }
}

fn assert_large(response: &SimpleResponse) {
    let payload = response.payload.as_ref().expect("there is a payload");
    assert_eq!(payload.body, vec![0; LARGE_RESPONSE as usize]);
}

fn client_compressed_unary(peer: &mut Peer) {
    let expecting = |value| SimpleRequest { expect_compressed: flag(value), ..large() };
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
        let request = SimpleRequest { response_compressed: flag(wanted), ..large() };
        let (is_compressed, response) = peer.call("UnaryCall", &request).one();
        assert_eq!(is_compressed, wanted);
        assert_large(&response);
    }
}

fn client_compressed_streaming(peer: &mut Peer) {
    let expecting = |value, size| StreamingInputCallRequest {
        payload: zeros(size),
        expect_compressed: flag(value),
    };
    let probe = peer.call_with("StreamingInputCall", &[plain(&expecting(true, 27_182))]);
    assert_eq!(probe.0.code(), INVALID_ARGUMENT, "{}", probe.0.message());
    let requests = [compressed(&expecting(true, 27_182)), plain(&expecting(false, 45_904))];
    let (_, response): (_, StreamingInputCallResponse) =
        peer.call_with("StreamingInputCall", &requests).one();
    assert_eq!(response.aggregated_payload_size, 73_086);
}

fn server_compressed_streaming(peer: &mut Peer) {
    let wanted = [(true, 31_415), (false, 92_653)];
    let parameters = wanted.map(|(compressed, size)| ResponseParameters {
        size,
        compressed: flag(compressed),
        ..Default::default()
    });
    let request =
        StreamingOutputCallRequest { response_parameters: parameters.into(), ..Default::default() };
    let responses = peer.call("StreamingOutputCall", &request).all();
    let found =
        responses.iter().map(|(is_compressed, response): &(_, StreamingOutputCallResponse)| {
            let payload = response.payload.as_ref().expect("there is a payload");
            (*is_compressed, payload.body.len() as i32)
        });
    assert_eq!(found.collect::<Vec<_>>(), wanted);
}
