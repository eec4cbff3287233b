use base64::engine::general_purpose::{STANDARD as PADDED, STANDARD_NO_PAD as UNPADDED};
use proptest::prelude::*;

use super::*;

/// Metadata as if received.
fn received(entries: &[(&'static str, &[u8])]) -> Metadata {
    let mut headers = HeaderMap::new();
    for (name, value) in entries {
        headers.append(*name, HeaderValue::from_bytes(value).unwrap());
    }
    Metadata::from_headers(headers)
}

fn error(result: Result<(), InvalidMetadata>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn insert_replaces_and_append_adds() {
    let mut metadata = Metadata::new();
    metadata.append("a", "1").unwrap();
    metadata.append("a", "2").unwrap();
    assert_eq!(metadata.get("a"), Some("1"));
    assert_eq!(metadata.get_all("a").collect::<Vec<_>>(), ["1", "2"]);
    metadata.insert("a", "3").unwrap();
    assert_eq!(metadata.get_all("a").collect::<Vec<_>>(), ["3"]);
    assert!(metadata.remove("a"));
    assert!(!metadata.remove("a"));
    assert_eq!(metadata.get("a"), None);
}

#[test]
fn insert_bin_replaces_and_append_bin_adds() {
    let mut metadata = Metadata::new();
    metadata.append_bin("a-bin", &[1]).unwrap();
    metadata.append_bin("a-bin", &[2]).unwrap();
    let all = |metadata: &Metadata| metadata.get_all_bin("a-bin").collect::<Result<Vec<_>, _>>();
    assert_eq!(all(&metadata).unwrap(), [&[1][..], &[2]]);
    metadata.insert_bin("a-bin", &[3]).unwrap();
    assert_eq!(all(&metadata).unwrap(), [&[3][..]]);
}

#[test]
fn binary_values_are_sent_without_padding() {
    let mut metadata = Metadata::new();
    metadata.insert_bin("a-bin", &[0xab, 0xab, 0xab, 0xab]).unwrap();
    let mut sent = HeaderMap::new();
    metadata.append_to(&mut sent);
    assert_eq!(sent["a-bin"], "q6urqw");
}

#[test]
fn spaces_around_a_value_are_stripped() {
    let mut metadata = Metadata::new();
    metadata.insert("a", "  x y ").unwrap();
    metadata.append("a", "   ").unwrap();
    assert_eq!(metadata.get_all("a").collect::<Vec<_>>(), ["x y", ""]);
}

#[test]
fn lookups_ignore_case() {
    let mut metadata = received(&[("x-a", b"1"), ("x-bin", b"AQ")]);
    assert_eq!(metadata.get("X-A"), Some("1"));
    assert_eq!(metadata.get_bin("X-Bin").unwrap().unwrap(), &[1][..]);
    assert!(metadata.remove("X-A"));
}

#[test]
fn invalid_entries_are_refused_with_advice() {
    let mut metadata = Metadata::new();
    let long = "k".repeat(100_000);
    let cases = [
        (error(metadata.insert("", "v")), "is empty"),
        (error(metadata.insert("Abc", "v")), "has upper-case letters"),
        (error(metadata.append("Abc", "v")), "use \"abc\""),
        (error(metadata.insert("a b", "v")), "has the character ' '"),
        (error(metadata.insert("a\u{e9}", "v")), "has the character '\u{e9}'"),
        (error(metadata.insert("a-bin", "v")), "call insert_bin or append_bin"),
        (error(metadata.append("a-bin", "v")), "call insert_bin or append_bin"),
        (error(metadata.insert_bin("a", b"v")), "call insert or append"),
        (error(metadata.append_bin("a", b"v")), "call insert or append"),
        (error(metadata.insert("a", "x\ny")), "the character '\\n' at byte 1"),
        (error(metadata.insert("a", "\u{e9}")), "the character '\u{e9}' at byte 0"),
        (error(metadata.insert("a", "\x7f")), "the character '\\u{7f}' at byte 0"),
        (error(metadata.insert(&long, "v")), "is too long"),
    ];
    for (got, want) in cases {
        assert!(got.contains(want), "{got:?} should contain {want:?}");
        assert!(got.starts_with("metadata key \"") && got.len() < 300, "{got}");
    }
    assert!(metadata.is_empty());
}

#[test]
fn reserved_names_cannot_be_set() {
    let mut metadata = Metadata::new();
    let more = ["grpc-timeout", "grpc-anything", ":path", ":", "Content-Type", "GRPC-status"];
    for key in RESERVED.into_iter().chain(more) {
        assert!(error(metadata.insert(key, "v")).contains("is reserved"), "{key}");
        assert!(error(metadata.append(key, "v")).contains("is reserved"), "{key}");
    }
    for key in ["grpc-status-details-bin", "grpc-trace", "grpc-trace-bin-bin", "grpc-tagsbin-bin"] {
        assert!(error(metadata.insert_bin(key, b"v")).contains("is reserved"), "{key}");
    }
    assert!(metadata.is_empty());
    for key in ["grpc", "grpcx", "user-agent", "authorization", "tea", "a:"] {
        let reserved = metadata.insert(key, "v").is_err_and(|e| e.cause == Cause::Reserved);
        assert!(!reserved, "{key}");
    }
}

/// They begin like what belongs to the protocol, and carry OpenCensus's context.
#[test]
fn traces_and_tags_are_the_applications() {
    for key in ["grpc-trace-bin", "grpc-tags-bin", "Grpc-Trace-Bin"] {
        let lower = key.to_ascii_lowercase();
        let mut metadata = received(&[(lower.clone().leak(), b"AQ")]);
        assert_eq!(metadata.get_bin(key).unwrap().unwrap(), &[1][..], "{key}");
        assert_eq!(metadata.len(), 1, "{key}");
        metadata.insert_bin(&lower, &[2]).unwrap();
        let mut sent = HeaderMap::new();
        metadata.clone().append_to(&mut sent);
        assert_eq!(sent.get(&lower).unwrap(), "Ag", "{key}");
        assert!(metadata.remove(key), "{key}");
    }
    let refused = error(Metadata::new().insert("grpc-trace-bin", "text"));
    assert!(refused.contains("insert_bin"), "{refused}");
}

#[test]
fn too_many_entries_are_an_error_not_a_panic() {
    let mut metadata = Metadata::new();
    let refused = (0..40_000).find_map(|i| metadata.append(&format!("k{i}"), "").err());
    assert_eq!(refused.unwrap().cause, Cause::TooMany);
    assert_eq!(metadata.insert("another", "").unwrap_err().cause, Cause::TooMany);
    let held = metadata.len();
    assert!(held > 20_000);

    let mut headers = HeaderMap::new();
    headers.append("first", HeaderValue::from_static(""));
    metadata.append_to(&mut headers);
    assert!(headers.len() >= held, "{}", headers.len());
}

#[test]
fn received_reserved_entries_are_hidden_and_not_sent_back() {
    let entries: [(&'static str, &[u8]); 7] = [
        ("content-type", b"application/grpc"),
        ("te", b"trailers"),
        ("grpc-timeout", b"1S"),
        ("grpc-status-details-bin", b"AQ"),
        ("user-agent", b"test"),
        ("x-a", b"1"),
        ("x-a", b"2"),
    ];
    let mut metadata = received(&entries);
    assert_eq!(metadata.len(), 3);
    for key in ["content-type", "Content-Type", "te", "grpc-timeout", "grpc-status-details-bin"] {
        assert_eq!(metadata.get(key), None);
        assert_eq!(metadata.get_bin(key), None);
        assert!(!metadata.remove(key));
    }
    let mut seen: Vec<_> = metadata.iter().collect();
    seen.sort_by_key(|(key, _)| *key);
    let ascii = ValueRef::Ascii;
    assert_eq!(seen, [("user-agent", ascii("test")), ("x-a", ascii("1")), ("x-a", ascii("2"))]);
    assert!(!format!("{metadata:?}").contains("trailers"));
    assert!(received(&entries[..4]).is_empty());

    let mut added = HeaderMap::new();
    added.insert("grpc-status", HeaderValue::from_static("0"));
    metadata.append_to(&mut added);
    let mut sent = added.clone();
    assert_eq!(sent.remove("grpc-status").unwrap(), "0");
    let mut names: Vec<_> = sent.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["user-agent", "x-a"]);
    assert_eq!(sent.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
}

#[test]
fn received_values_outside_the_rules_are_not_shown() {
    let metadata = received(&[("a", b"x\ty"), ("a", b"\xff"), ("a", b"ok"), ("b!", b"v")]);
    assert_eq!(metadata.get("a"), Some("ok"));
    assert_eq!(metadata.get("b!"), None);
    assert_eq!(metadata.iter().collect::<Vec<_>>(), [("a", ValueRef::Ascii("ok"))]);
    assert_eq!(metadata.len(), 1);
}

#[test]
fn a_value_that_is_not_base64_is_an_error_of_its_own() {
    let metadata = received(&[("x-bin", b"AQ,!!!!"), ("x-bin", b"Ag==")]);
    let values: Vec<_> = metadata.get_all_bin("x-bin").collect();
    assert_eq!(values.len(), 3);
    assert_eq!(values[0].as_deref(), Ok(&[1][..]));
    let error = values[1].as_ref().unwrap_err().to_string();
    assert!(error.contains("\"x-bin\"") && error.contains("not base64"), "{error}");
    assert_eq!(values[2].as_deref(), Ok(&[2][..]));
    let shown: Vec<_> = metadata.iter().collect();
    let binary = |byte| ("x-bin", ValueRef::Binary(Bytes::copy_from_slice(&[byte])));
    assert_eq!(shown, [binary(1), binary(2)]);
}

#[test]
fn bits_that_base64_has_too_many_are_ignored() {
    let metadata = received(&[("x-bin", b"AR")]);
    assert_eq!(metadata.get_bin("x-bin").unwrap().unwrap(), &[1][..]);
}

#[test]
fn received_headers_have_to_be_base64_where_their_key_says_so() {
    let check = |key: &'static str, value: &[u8]| check_binary(&received(&[(key, value)]).headers);
    for (key, value) in [("x-bin", &b"AQ"[..]), ("x-bin", b""), ("x-bin", b"AQ,Ag"), ("x", b"!")] {
        assert_eq!(check(key, value), Ok(()), "{key}");
    }
    // Nobody is shown this one.
    assert_eq!(check("grpc-status-details-bin", b"!"), Ok(()));
    let error = check("x-bin", b"AQ,!!!!").unwrap_err().to_string();
    assert!(error.contains("\"x-bin\"") && error.contains("not base64"), "{error}");
}

#[test]
fn each_kind_of_getter_sees_its_own_kind_of_key() {
    let metadata = received(&[("x-bin", b"AQ"), ("x", b"AQ")]);
    assert_eq!(metadata.get("x-bin"), None);
    assert_eq!(metadata.get_bin("x"), None);
    assert_eq!(metadata.get("x"), Some("AQ"));
    assert_eq!(metadata.get_bin("x-bin").unwrap().unwrap(), &[1][..]);
}

#[test]
fn wire_size_counts_32_bytes_an_entry() {
    let size = wire_size(&HeaderName::from_static("x-a"), &HeaderValue::from_static("22"));
    assert_eq!(size, 3 + 2 + 32);
}

proptest! {
    #[test]
    fn binary_values_survive_padded_unpadded_and_joined(
        values in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), any::<bool>()), 1..6),
        joint in prop::sample::select(vec![",", ", ", " ,\t"]),
    ) {
        let encode = |(value, padded): &(Vec<u8>, bool)| {
            if *padded { PADDED.encode(value) } else { UNPADDED.encode(value) }
        };
        let encoded: Vec<String> = values.iter().map(encode).collect();
        let wanted: Vec<Bytes> = values.iter().map(|(v, _)| Bytes::copy_from_slice(v)).collect();

        let separate = encoded.iter().map(|text| ("x-bin", text.as_bytes())).collect::<Vec<_>>();
        let joined = encoded.join(joint);
        let mut sent = Metadata::new();
        for (value, _) in &values {
            sent.append_bin("x-bin", value).unwrap();
        }
        for metadata in [received(&separate), received(&[("x-bin", joined.as_bytes())]), sent] {
            let all = metadata.get_all_bin("x-bin").collect::<Result<Vec<_>, _>>().unwrap();
            prop_assert_eq!(&all, &wanted);
            prop_assert_eq!(&metadata.get_bin("x-bin").unwrap().unwrap(), &wanted[0]);
        }
    }

    #[test]
    fn what_is_shown_can_be_inserted_again(
        entries in prop::collection::vec(
            ("[a-z.!#_-]{1,4}(-bin)?", prop::collection::vec(any::<u8>(), 0..12)),
            0..8,
        ),
    ) {
        let mut headers = HeaderMap::new();
        for (key, value) in &entries {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                headers.append(HeaderName::from_bytes(key.as_bytes()).unwrap(), value);
            }
        }
        let metadata = Metadata::from_headers(headers);
        let mut copy = Metadata::new();
        for (key, value) in metadata.iter() {
            let result = match value {
                ValueRef::Ascii(text) => copy.append(key, text),
                ValueRef::Binary(bytes) => copy.append_bin(key, &bytes),
            };
            prop_assert_eq!(result, Ok(()));
        }
        prop_assert_eq!(copy.iter().count(), metadata.iter().count());
    }

    #[test]
    fn arbitrary_keys_and_values_do_not_panic(key in ".{0,12}", value in ".{0,12}") {
        let mut metadata = Metadata::new();
        let inserted = metadata.insert(&key, &value).is_ok();
        prop_assert_eq!(metadata.get(&key), inserted.then(|| value.trim_matches(' ')));
        let inserted = metadata.insert_bin(&key, value.as_bytes()).is_ok();
        prop_assert_eq!(metadata.get_bin(&key).is_some(), inserted);
    }
}
