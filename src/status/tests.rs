use proptest::prelude::*;

use super::*;

fn headers(status: Status) -> HeaderMap {
    let mut headers = HeaderMap::new();
    status.write_to(&mut headers);
    headers
}

/// The `grpc-message` for this message.
fn encoded(message: &str) -> String {
    let headers = headers(Status::internal(message.to_owned()));
    headers["grpc-message"].to_str().unwrap().to_owned()
}

/// The message for this `grpc-message`.
fn decoded(value: &[u8]) -> String {
    let mut headers = headers(Status::internal(""));
    headers.insert("grpc-message", HeaderValue::from_bytes(value).unwrap());
    Status::from_headers(&mut headers).unwrap().message().to_owned()
}

#[test]
fn codes_have_the_numbers_and_names_of_the_specification() {
    let names = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    for (number, name) in (0..).zip(names) {
        let code = Code::from_i32(number);
        assert_eq!(code as i32, number);
        assert_eq!(code.to_string(), name);
        assert_eq!(headers(Status::new(code, ""))["grpc-status"], number.to_string());
    }
    for number in [17, -1, i32::MIN, i32::MAX] {
        assert_eq!(Code::from_i32(number), Code::Unknown);
    }
}

#[test]
fn each_constructor_has_its_code() {
    assert_eq!(Status::ok().code(), Code::Ok);
    assert_eq!(Status::cancelled("").code(), Code::Cancelled);
    assert_eq!(Status::unauthenticated("").code(), Code::Unauthenticated);
    assert!(Status::ok().is_ok());
    assert!(!Status::unknown("").is_ok());
}

#[test]
fn a_status_is_small_and_a_static_message_is_not_copied() {
    const MESSAGE: &str = "no such user";
    assert!(size_of::<Status>() <= 40, "{}", size_of::<Status>());
    let status = Status::not_found(MESSAGE).clone();
    assert!(matches!(status.message, Cow::Borrowed(text) if text.as_ptr() == MESSAGE.as_ptr()));
    assert!(status.rest.is_none());
    let value = headers(status)["grpc-message"].clone();
    assert_eq!(value.as_bytes().as_ptr(), MESSAGE.as_ptr());
}

#[test]
fn display_has_the_name_and_the_message_if_any() {
    assert_eq!(Status::deadline_exceeded("late").to_string(), "DEADLINE_EXCEEDED: late");
    assert_eq!(Status::ok().to_string(), "OK");
    assert_eq!(format!("{:>4}|", Code::Ok), "  OK|");
}

#[test]
fn the_source_is_kept_and_not_sent() {
    let status = Status::unavailable("down").with_source(std::io::Error::other("secret"));
    assert_eq!(status.clone().source().unwrap().to_string(), "secret");
    assert!(Status::unavailable("down").source().is_none());
    assert!(status.metadata().is_none());
    assert_eq!(headers(status).len(), 2);
}

#[test]
fn a_handler_that_makes_wrong_metadata_fails_with_internal() {
    let status = Status::from(Metadata::new().insert("x y", "z").unwrap_err());
    assert_eq!(status.code(), Code::Internal);
    assert!(status.message().contains("x y"), "{status}");
    assert!(status.source().is_some_and(|source| source.is::<InvalidMetadata>()));
}

#[test]
fn ok_is_one_header() {
    let headers = headers(Status::ok());
    assert_eq!(headers.len(), 1);
    assert_eq!(headers["grpc-status"], "0");
}

#[test]
fn everything_survives_the_way_through_headers() {
    let mut metadata = Metadata::new();
    metadata.append("x-a", "1").unwrap();
    metadata.append("x-a", "2").unwrap();
    let status = Status::aborted("100% \u{263a}")
        .with_metadata(metadata)
        .with_details(Bytes::from_static(&[8, 10]));
    let mut headers = headers(status);
    assert_eq!(headers["grpc-status-details-bin"], "CAo");
    let status = Status::from_headers(&mut headers).unwrap();
    assert_eq!(status.code(), Code::Aborted);
    assert_eq!(status.message(), "100% \u{263a}");
    assert_eq!(status.details(), [8, 10]);
    let metadata = status.metadata().unwrap();
    assert_eq!(metadata.get_all("x-a").collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(metadata.len(), 2);
    assert!(headers.is_empty());
}

#[test]
fn metadata_cannot_change_the_status() {
    // A handler may pass on the trailers of another call as they came.
    let mut foreign = headers(Status::ok());
    foreign.insert("x-a", HeaderValue::from_static("1"));
    let status = Status::internal("mine").with_metadata(Metadata::from_headers(foreign));
    let headers = headers(status);
    assert_eq!(headers.get_all("grpc-status").iter().collect::<Vec<_>>(), ["13"]);
    assert_eq!(headers["x-a"], "1");
}

#[test]
fn a_full_header_map_does_not_panic() {
    let mut headers = HeaderMap::new();
    let mut names = (0..40_000).map(|i| HeaderName::try_from(format!("k{i}")).unwrap());
    while headers.try_append(names.next().unwrap(), HeaderValue::from_static("")).is_ok() {}
    let held = headers.len();
    let mut metadata = Metadata::new();
    metadata.insert("a", "b").unwrap();
    Status::internal("x").with_metadata(metadata).write_to(&mut headers);
    assert_eq!(headers.len(), held);
}

#[test]
fn without_grpc_status_there_is_no_status() {
    let mut headers = HeaderMap::new();
    headers.insert("grpc-message", HeaderValue::from_static("x"));
    assert!(Status::from_headers(&mut headers).is_none());
    assert_eq!(headers.len(), 1);
}

#[test]
fn a_misspelt_status_is_still_a_status() {
    for value in ["", "abc", "17", "-1", "99999999999999999999", "0 "] {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-status", HeaderValue::from_str(value).unwrap());
        headers.insert("grpc-message", HeaderValue::from_static("kept"));
        headers.insert("grpc-status-details-bin", HeaderValue::from_static("!!"));
        let status = Status::from_headers(&mut headers).unwrap();
        assert_eq!((status.code(), status.message()), (Code::Unknown, "kept"), "{value:?}");
        assert!(status.details().is_empty());
        assert!(status.metadata().is_none());
    }
}

#[test]
fn messages_are_percent_encoded() {
    assert_eq!(encoded("plain ~ text!"), "plain ~ text!");
    assert_eq!(encoded("100%"), "100%25");
    assert_eq!(encoded("a\nb\x7f"), "a%0Ab%7F");
    // From the interop test special_status_message.
    assert_eq!(
        encoded("\t\ntest with whitespace\r\nand Unicode BMP \u{263a} and non-BMP \u{1f608}\t\n"),
        "%09%0Atest with whitespace%0D%0Aand Unicode BMP %E2%98%BA and non-BMP %F0%9F%98%88%09%0A"
    );
}

#[test]
fn spaces_at_the_ends_of_a_message_are_escaped() {
    assert_eq!(encoded("  a b "), "%20%20a b%20");
    assert_eq!(encoded("   "), "%20%20%20");
}

#[test]
fn broken_escapes_stay_as_they_are() {
    assert_eq!(decoded(b"%"), "%");
    assert_eq!(decoded(b"a%4"), "a%4");
    assert_eq!(decoded(b"%zz%41%"), "%zzA%");
    assert_eq!(decoded(b"%e2%98%ba"), "\u{263a}");
    assert_eq!(decoded(b"%ff\xffx"), "\u{fffd}\u{fffd}x");
}

proptest! {
    #[test]
    fn any_unicode_message_survives_percent_encoding(message in any::<String>()) {
        let mut headers = headers(Status::internal(message.clone()));
        if let Some(value) = headers.get("grpc-message") {
            let bytes = value.as_bytes();
            prop_assert!(bytes.iter().all(|byte| (0x20..=0x7E).contains(byte)));
            prop_assert!(bytes.first() != Some(&b' ') && bytes.last() != Some(&b' '));
        }
        let status = Status::from_headers(&mut headers).unwrap();
        prop_assert_eq!(status.message(), message);
    }

    #[test]
    fn arbitrary_grpc_messages_do_not_panic(bytes in prop::collection::vec(32..=255_u8, 0..64)) {
        if HeaderValue::from_bytes(&bytes).is_ok() {
            let text = decoded(&bytes);
            let plain = !bytes.iter().any(|byte| *byte == b'%' || *byte > 0x7E);
            prop_assert!(!plain || text.as_bytes() == bytes, "{:?}", text);
        }
    }
}
