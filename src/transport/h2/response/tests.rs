//! Heads and trailers as servers and proxies send them.

use super::{read_head, read_trailers};
use crate::compression::Encodings;
use crate::iomgr::Peer;
use crate::metadata::Metadata;
use crate::status::{Code, Status};
use crate::transport::Answer;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use proptest::prelude::*;

const MAX: usize = 1000;

type Fields<'a> = &'a [(&'a str, &'a str)];

fn map(fields: Fields<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value).unwrap(),
        );
    }
    headers
}

/// Each status of this end names it.
fn server() -> Peer {
    Peer::in_process()
}

fn head(http: u16, fields: Fields<'_>, is_last: bool) -> Result<Answer, Status> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(http).unwrap();
    *response.headers_mut() = map(fields);
    read_head(response.into_parts().0, is_last, Encodings::default(), MAX, &server())
}

fn refused(http: u16, fields: Fields<'_>, is_last: bool) -> String {
    head(http, fields, is_last).unwrap_err().to_string()
}

fn trailers(fields: Fields<'_>) -> Status {
    read_trailers(Some(map(fields)), MAX, &server())
}

const GRPC: (&str, &str) = ("content-type", "application/grpc");

#[test]
fn a_head_has_the_initial_metadata() {
    for content_type in ["application/grpc", "application/grpc+proto", "application/grpc;x=1"] {
        let answer = head(200, &[("content-type", content_type), ("x-a", "1")], false).unwrap();
        assert_eq!(answer.metadata.get("x-a"), Some("1"));
        assert_eq!(answer.metadata.len(), 1, "what belongs to the protocol is hidden");
    }
}

#[test]
fn a_status_in_the_head_is_the_status() {
    let fields = [GRPC, ("grpc-status", "5"), ("grpc-message", "no%20such"), ("x-a", "1")];
    let status = head(200, &fields, true).unwrap_err();
    assert_eq!(status.to_string(), "NOT_FOUND: no such");
    assert_eq!(status.metadata().unwrap().get("x-a"), Some("1"));
    // Also with an HTTP error, and whatever the content type.
    assert_eq!(refused(503, &[("grpc-status", "8")], true), "RESOURCE_EXHAUSTED");
    assert_eq!(refused(404, &[("grpc-status", "5")], false), "NOT_FOUND");
    // It is none where a body follows that will end with the status.
    assert!(head(200, &[GRPC, ("grpc-status", "5")], false).is_ok());
}

#[test]
fn http_errors_become_the_status_that_the_document_names() {
    let table = [
        (400, Code::Internal),
        (401, Code::Unauthenticated),
        (403, Code::PermissionDenied),
        (404, Code::Unimplemented),
        (429, Code::Unavailable),
        (502, Code::Unavailable),
        (503, Code::Unavailable),
        (504, Code::Unavailable),
        (301, Code::Unknown),
        (418, Code::Unknown),
        (500, Code::Unknown),
    ];
    for (http, code) in table {
        for is_last in [false, true] {
            let status = head(http, &[("content-type", "text/html")], is_last).unwrap_err();
            assert_eq!(status.code(), code, "{http}");
            assert!(status.message().contains(&http.to_string()), "{status}");
            assert!(status.message().contains("text/html"), "{status}");
        }
    }
    assert_eq!(
        refused(502, &[], true),
        "UNAVAILABLE: the server at inproc answered HTTP 502 Bad Gateway, without a \
         grpc-status (no content-type)",
    );
}

#[test]
fn what_is_not_grpc_says_what_it_is() {
    assert_eq!(
        refused(200, &[("content-type", "text/html; charset=utf-8")], false),
        "UNKNOWN: the content-type of the server at inproc is \"text/html; charset=utf-8\"; gRPC's is \
         application/grpc",
    );
    assert_eq!(
        refused(200, &[], false),
        "UNKNOWN: the server at inproc answered without a content-type; gRPC's is application/grpc",
    );
    assert_eq!(
        refused(200, &[GRPC], true),
        "UNKNOWN: the server at inproc ended the call without a grpc-status",
    );
}

#[test]
fn metadata_that_breaks_the_rules_ends_the_call_and_is_named() {
    let error = refused(200, &[GRPC, ("a-bin", "!")], false);
    assert!(
        error.starts_with("INTERNAL: the initial metadata of the server at inproc: "),
        "{error}"
    );
    assert!(error.contains("a-bin"), "{error}");
    let error = trailers(&[("grpc-status", "0"), ("b-bin", "!")]).to_string();
    assert!(
        error.starts_with("INTERNAL: the trailing metadata of the server at inproc: "),
        "{error}"
    );
    assert!(error.contains("b-bin"), "{error}");
    // An error stays what it is.
    let status = trailers(&[("grpc-status", "7"), ("b-bin", "!")]);
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.metadata().unwrap().get_bin("b-bin").unwrap().is_err());
}

#[test]
fn metadata_may_be_as_large_as_the_limit() {
    // Names, values and 32 bytes for each, with `:status: 200`.
    let rest = (7 + 3 + 32) + (12 + 16 + 32) + (3 + 32);
    let value = "x".repeat(MAX - rest);
    assert!(head(200, &[GRPC, ("x-a", &value)], false).is_ok());
    let value = "x".repeat(MAX - rest + 1);
    let error = refused(200, &[GRPC, ("x-a", &value)], false);
    assert!(
        error.starts_with("RESOURCE_EXHAUSTED: the initial metadata of the server at inproc is"),
        "{error}"
    );
    assert!(error.contains("1001 vs. 1000"), "{error}");
    let fields = [("grpc-status", "9"), ("grpc-message", "why"), ("x-a", &"x".repeat(MAX))];
    let error = trailers(&fields).to_string();
    assert!(
        error.starts_with("RESOURCE_EXHAUSTED: the trailing metadata of the server at inproc"),
        "{error}"
    );
    assert!(error.ends_with("the status with it: FAILED_PRECONDITION: why"), "{error}");
}

#[test]
fn an_encoding_that_was_not_asked_for_is_named() {
    let answer = head(200, &[GRPC, ("grpc-encoding", "identity")], false).unwrap();
    assert_eq!(answer.encoding, None);
    let error = refused(200, &[GRPC, ("grpc-encoding", "gzip")], false);
    assert_eq!(
        error,
        "INTERNAL: the messages of the server at inproc are encoded as \"gzip\", which was not asked \
         for; this call takes identity",
    );
}

#[test]
fn trailers_have_the_status() {
    let status = trailers(&[
        ("grpc-status", "3"),
        ("grpc-message", "a%C3%BC%0Ab"),
        ("grpc-status-details-bin", "CAMSAWE"),
        ("x-b", "2"),
    ]);
    assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "aü\nb"));
    assert_eq!(status.details(), b"\x08\x03\x12\x01a");
    assert_eq!(status.metadata().unwrap().get("x-b"), Some("2"));
    assert!(trailers(&[("grpc-status", "0")]).is_ok());
    assert!(trailers(&[("grpc-status", "0"), ("grpc-status", "0")]).is_ok());
}

#[test]
fn a_status_that_is_missing_or_malformed_is_unknown_and_says_why() {
    let table: &[(Fields<'_>, &str)] = &[
        (&[("x", "y")], "the trailers of the server at inproc have no grpc-status"),
        (
            &[("grpc-status", "")],
            "the grpc-status of the server at inproc is \"\", which is no code",
        ),
        (
            &[("grpc-status", "OK")],
            "the grpc-status of the server at inproc is \"OK\", which is no code",
        ),
        (
            &[("grpc-status", "17")],
            "the grpc-status of the server at inproc is \"17\", which is no code",
        ),
        (
            &[("grpc-status", "-1")],
            "the grpc-status of the server at inproc is \"-1\", which is no code",
        ),
        // For `str::parse` they are numbers, and would be OK.
        (
            &[("grpc-status", "+0")],
            "the grpc-status of the server at inproc is \"+0\", which is no code",
        ),
        (
            &[("grpc-status", "-0")],
            "the grpc-status of the server at inproc is \"-0\", which is no code",
        ),
        (
            &[("grpc-status", "0"), ("grpc-status", "5")],
            "the server at inproc sent two statuses: grpc-status is \"0\" and \"5\"",
        ),
        (
            &[("grpc-status", "99"), ("grpc-message", "odd%21")],
            "the grpc-status of the server at inproc is \"99\", which is no code; the message with it: odd!",
        ),
    ];
    for (fields, message) in table {
        let status = trailers(fields);
        assert_eq!((status.code(), status.message()), (Code::Unknown, *message));
    }
    let status = read_trailers(None, MAX, &server());
    assert_eq!(status.code(), Code::Unknown);
    assert_eq!(
        status.message(),
        "the server at inproc ended the call without trailers, and so no grpc-status",
    );
}

#[test]
fn the_metadata_of_a_malformed_status_is_kept() {
    let status = trailers(&[("grpc-status", "x"), ("x-a", "1"), ("grpc-status-details-bin", "YQ")]);
    assert_eq!(status.metadata().unwrap().get("x-a"), Some("1"));
    assert_eq!(status.details(), b"a");
}

#[test]
fn details_that_are_no_base64_are_none() {
    let status = trailers(&[("grpc-status", "5"), ("grpc-status-details-bin", "!")]);
    assert_eq!((status.code(), status.details()), (Code::NotFound, &b""[..]));
}

fn field() -> impl Strategy<Value = (HeaderName, HeaderValue)> {
    let names = prop_oneof![
        Just("grpc-status".to_owned()),
        Just("grpc-message".to_owned()),
        Just("grpc-status-details-bin".to_owned()),
        Just("grpc-encoding".to_owned()),
        Just("content-type".to_owned()),
        "[a-z]{1,3}(-bin)?",
    ];
    let values = prop_oneof!["[0-9]{0,3}", "application/grpc[+;]?[a-z]{0,3}", "[ -~]{0,40}"];
    let raw =
        prop::collection::vec(prop_oneof![Just(b'\t'), 0x20..=0x7e_u8, 0x80..=0xff_u8], 0..20);
    let values = prop_oneof![
        values.prop_map(|text| HeaderValue::from_str(&text).unwrap()),
        raw.prop_map(|bytes| HeaderValue::from_bytes(&bytes).unwrap()),
    ];
    (names.prop_map(|name| HeaderName::from_bytes(name.as_bytes()).unwrap()), values)
}

proptest! {
    #[test]
    fn whatever_comes_is_an_answer_or_a_status_that_says_something(
        fields in prop::collection::vec(field(), 0..8),
        http in 200..600_u16,
        is_last: bool,
        max in 0..400_usize,
    ) {
        let headers: HeaderMap = {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(name, value);
            }
            headers
        };
        let has_status = headers.contains_key("grpc-status");
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(http).unwrap();
        *response.headers_mut() = headers.clone();
        let head = read_head(response.into_parts().0, is_last, Encodings::default(), max, &server());
        if let Err(status) = head {
            prop_assert!(has_status || !status.is_ok());
            prop_assert!(has_status || !status.message().is_empty());
        }
        let status = read_trailers(Some(headers), max, &server());
        prop_assert!(has_status || status.code() == Code::Unknown);
    }

    #[test]
    fn a_status_comes_out_as_it_went_in(
        code in 0..=16_i32,
        message in ".{0,20}",
        details in prop::collection::vec(any::<u8>(), 0..20),
        value in "[!-~]{1,10}",
    ) {
        let mut metadata = Metadata::new();
        metadata.insert("x-a", &value).unwrap();
        let sent = Status::new(Code::from_i32(code), message)
            .with_details(details.into())
            .with_metadata(metadata);
        let mut headers = HeaderMap::new();
        sent.clone().write_to(&mut headers);
        let status = read_trailers(Some(headers), usize::MAX, &server());
        prop_assert_eq!(status.code(), sent.code());
        prop_assert_eq!(status.message(), sent.message());
        prop_assert_eq!(status.details(), sent.details());
        prop_assert_eq!(status.metadata().unwrap().get("x-a"), Some(value.as_str()));
    }
}
