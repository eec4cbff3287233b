//! What the cases send, and what they expect. Pure: no call is made here.

use turnstile::Bytes;
use turnstile_protos::testing::{
    BoolValue, EchoStatus, Payload, ResponseParameters, SimpleRequest, StreamingInputCallRequest,
    StreamingOutputCallRequest,
};

/// The bytes in the payload of a large request, and in that of its response.
pub const LARGE_REQUEST: usize = 271_828;
/// See [`LARGE_REQUEST`].
pub const LARGE_RESPONSE: i32 = 314_159;

/// The payloads of requests in streams, of responses, and of all these requests together.
pub const REQUEST_SIZES: [usize; 4] = [27_182, 8, 1_828, 45_904];
/// See [`REQUEST_SIZES`].
pub const RESPONSE_SIZES: [i32; 4] = [31_415, 9, 2_653, 58_979];
/// See [`REQUEST_SIZES`].
pub const AGGREGATED_SIZE: i32 = 74_922;

/// The requests of client_compressed_streaming: the first is compressed.
pub const COMPRESSED_REQUEST_SIZES: [(bool, usize); 2] = [(true, 27_182), (false, 45_904)];
/// What the payloads of [`COMPRESSED_REQUEST_SIZES`] are together.
pub const COMPRESSED_AGGREGATED_SIZE: i32 = 73_086;
/// The responses of server_compressed_streaming: the first is compressed.
pub const COMPRESSED_RESPONSE_SIZES: [(bool, i32); 2] = [(true, 31_415), (false, 92_653)];

/// Initial metadata that the server sends back as such, and its value.
pub const ECHO_INITIAL: (&str, &str) = ("x-grpc-test-echo-initial", "test_initial_metadata_value");
/// Metadata that the server sends back behind its responses, and its value.
pub const ECHO_TRAILING: (&str, &[u8]) = ("x-grpc-test-echo-trailing-bin", &[0xab, 0xab, 0xab]);

/// The status that is asked for, and comes back.
pub const STATUS_CODE: i32 = 2;
/// The message of [`STATUS_CODE`].
pub const STATUS_MESSAGE: &str = "test status message";
/// The message of [`STATUS_CODE`] in special_status_message.
pub const SPECIAL_MESSAGE: &str =
    "\t\ntest with whitespace\r\nand Unicode BMP \u{263a} and non-BMP \u{1f608}\t\n";

/// How many calls pick_first_unary makes, and how many max_streams makes at once.
pub const PICK_FIRST_CALLS: usize = 100;
/// See [`PICK_FIRST_CALLS`].
pub const MAX_STREAMS_CALLS: usize = 10;

/// A payload of zeros.
#[must_use]
pub fn zeros(size: usize) -> Payload {
    Payload { body: Bytes::from(vec![0; size]), ..Payload::default() }
}

/// Says what is wrong with the payload of a response, if it is not so many zeros.
///
/// # Errors
/// If it is another one.
pub fn check_payload(payload: Option<&Payload>, size: i32) -> Result<(), String> {
    let Some(payload) = payload else {
        return Err(format!("a response has no payload, and should have one of {size} bytes"));
    };
    let length = payload.body.len();
    if i32::try_from(length) != Ok(size) {
        return Err(format!("a payload has {length} bytes, and should have {size}"));
    }
    match payload.body.iter().position(|byte| *byte != 0) {
        Some(at) => Err(format!("the payload's byte {at} is not zero")),
        None => Ok(()),
    }
}

/// Of large_unary, and of all cases with a server that does not keep to what clients rely on.
#[must_use]
pub fn large_unary() -> SimpleRequest {
    SimpleRequest {
        payload: Some(zeros(LARGE_REQUEST)),
        response_size: LARGE_RESPONSE,
        ..SimpleRequest::default()
    }
}

/// Of client_compressed_unary: a request that says how it comes.
#[must_use]
pub fn client_compressed_unary(is_compressed: bool) -> SimpleRequest {
    SimpleRequest { expect_compressed: flag(is_compressed), ..large_unary() }
}

/// Of server_compressed_unary: a request for a response that is compressed, or not.
#[must_use]
pub fn server_compressed_unary(is_compressed: bool) -> SimpleRequest {
    SimpleRequest { response_compressed: flag(is_compressed), ..large_unary() }
}

/// Of cacheable_unary: a payload that is another one each time, as the time is.
#[must_use]
pub fn cacheable_unary(nanos: u128) -> SimpleRequest {
    let payload = Payload { body: nanos.to_string().into(), ..Payload::default() };
    SimpleRequest { payload: Some(payload), ..SimpleRequest::default() }
}

/// Of pick_first_unary: the response says which server it is from.
#[must_use]
pub fn pick_first_unary() -> SimpleRequest {
    SimpleRequest {
        payload: Some(zeros(1)),
        response_size: 1,
        fill_server_id: true,
        ..SimpleRequest::default()
    }
}

/// Of status_code_and_message and special_status_message: a request that fails with this message.
#[must_use]
pub fn failing_unary(message: &str) -> SimpleRequest {
    SimpleRequest { response_status: status(message), ..SimpleRequest::default() }
}

/// Of status_code_and_message: the same in a stream.
#[must_use]
pub fn failing_stream(message: &str) -> StreamingOutputCallRequest {
    StreamingOutputCallRequest {
        response_status: status(message),
        ..StreamingOutputCallRequest::default()
    }
}

/// Of client_streaming.
#[must_use]
pub fn client_streaming() -> [StreamingInputCallRequest; 4] {
    REQUEST_SIZES.map(|size| StreamingInputCallRequest {
        payload: Some(zeros(size)),
        ..StreamingInputCallRequest::default()
    })
}

/// Of client_compressed_streaming: requests that say how they come. The first, sent alone and as it
/// is, is the probe.
#[must_use]
pub fn client_compressed_streaming() -> [StreamingInputCallRequest; 2] {
    COMPRESSED_REQUEST_SIZES.map(|(is_compressed, size)| StreamingInputCallRequest {
        payload: Some(zeros(size)),
        expect_compressed: flag(is_compressed),
    })
}

/// Of server_streaming.
#[must_use]
pub fn server_streaming() -> StreamingOutputCallRequest {
    StreamingOutputCallRequest {
        response_parameters: RESPONSE_SIZES.map(sized).into(),
        ..StreamingOutputCallRequest::default()
    }
}

/// Of server_compressed_streaming.
#[must_use]
pub fn server_compressed_streaming() -> StreamingOutputCallRequest {
    let wanted = |(is_compressed, size)| ResponseParameters {
        compressed: flag(is_compressed),
        ..sized(size)
    };
    StreamingOutputCallRequest {
        response_parameters: COMPRESSED_RESPONSE_SIZES.map(wanted).into(),
        ..StreamingOutputCallRequest::default()
    }
}

/// Of ping_pong: the requests, each with the size of its response. The first is that of
/// cancel_after_first_response too.
#[must_use]
pub fn ping_pong() -> [(StreamingOutputCallRequest, i32); 4] {
    let pair =
        |at: usize| (output_request(REQUEST_SIZES[at], RESPONSE_SIZES[at]), RESPONSE_SIZES[at]);
    [pair(0), pair(1), pair(2), pair(3)]
}

/// Of custom_metadata: the request of its stream. Its other one is [`large_unary`].
#[must_use]
pub fn large_stream() -> StreamingOutputCallRequest {
    output_request(LARGE_REQUEST, LARGE_RESPONSE)
}

/// Of timeout_on_sleeping_server: a request that is not answered.
#[must_use]
pub fn unanswered() -> StreamingOutputCallRequest {
    StreamingOutputCallRequest {
        payload: Some(zeros(REQUEST_SIZES[0])),
        ..StreamingOutputCallRequest::default()
    }
}

fn output_request(size: usize, response_size: i32) -> StreamingOutputCallRequest {
    StreamingOutputCallRequest {
        payload: Some(zeros(size)),
        response_parameters: vec![sized(response_size)],
        ..StreamingOutputCallRequest::default()
    }
}

fn sized(size: i32) -> ResponseParameters {
    ResponseParameters { size, ..ResponseParameters::default() }
}

fn flag(value: bool) -> Option<BoolValue> {
    Some(BoolValue { value })
}

fn status(message: &str) -> Option<EchoStatus> {
    Some(EchoStatus { code: STATUS_CODE, message: message.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_are_those_of_the_payloads() {
        let size = |it: &StreamingInputCallRequest| it.payload.as_ref().unwrap().body.len();
        assert_eq!(client_streaming().iter().map(size).sum::<usize>(), AGGREGATED_SIZE as usize);
        let compressed = client_compressed_streaming();
        assert_eq!(compressed.iter().map(size).sum::<usize>(), COMPRESSED_AGGREGATED_SIZE as usize);
    }

    #[test]
    fn a_wrong_payload_is_described() {
        assert_eq!(check_payload(Some(&zeros(3)), 3), Ok(()));
        let other = Payload { body: Bytes::from_static(&[0, 1]), ..Payload::default() };
        for (payload, size, message) in [
            (None, 3, "a response has no payload, and should have one of 3 bytes"),
            (Some(&zeros(2)), 3, "a payload has 2 bytes, and should have 3"),
            (Some(&other), 2, "the payload's byte 1 is not zero"),
        ] {
            assert_eq!(check_payload(payload, size), Err(message.to_owned()));
        }
    }
}
