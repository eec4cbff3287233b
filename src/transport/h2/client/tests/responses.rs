//! What a call sends, and what comes of an answer.

use super::peer::{Received, World, framed, request};
use crate::status::Status;
use crate::testing::http2::{
    ACK, DATA, END_STREAM, HEADERS, RST_STREAM, WINDOW_UPDATE, frame, headers,
};
use crate::transport::Request;
use crate::transport::h2::ClientConfig;
use std::task::Poll;
use std::time::Duration;

const GRPC: (&str, &str) = ("content-type", "application/grpc");
const OK: (&str, &str) = (":status", "200");

#[test]
fn a_request_is_written_as_the_document_has_it() {
    let mut world = World::new();
    let mut request = Request { timeout: Some(Duration::from_secs(3)), ..request() };
    request.metadata.insert("x-token", "abc").unwrap();
    let mut call = world.begin_with(request);
    assert!(call.send(b"hello").is_ready());
    call.stream.half_close().unwrap();
    let head = world.frame(|it| it.kind == HEADERS);
    let agent = concat!("grpc-rust-turnstile/", env!("CARGO_PKG_VERSION"));
    let expected = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "server"),
        (":path", "/test.Test/Test"),
        ("te", "trailers"),
        ("grpc-timeout", "3000000u"),
        ("content-type", "application/grpc"),
        ("user-agent", agent),
        ("x-token", "abc"),
    ];
    assert_eq!(head.fields, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(world.frame(|it| it.kind == DATA).payload, framed(b"hello"));
    assert!(world.frame(|it| it.kind == DATA).ends_stream());
}

#[test]
fn an_answer_comes_in_its_parts() {
    let mut world = World::new();
    let mut call = world.unary();
    let stream = world.request();
    world.send(&headers(stream, 0, &[OK, GRPC, ("x-a", "1")]));
    let answer = call.answer(&mut world).unwrap();
    assert_eq!(answer.metadata.get("x-a"), Some("1"));
    let both = [framed(b"one"), framed(b"two")].concat();
    let (first, second) = both.split_at(6);
    world.send(&frame(DATA, 0, stream, first));
    world.settle();
    assert!(call.poll(|it, context| it.poll_message(context)).is_pending());
    world.send(&frame(DATA, 0, stream, second));
    assert_eq!(call.message(&mut world).unwrap().unwrap(), "one");
    assert_eq!(call.message(&mut world).unwrap().unwrap(), "two");
    assert!(call.poll(|it, context| it.poll_ended(context)).is_pending());
    world.trailers(stream, &[("grpc-status", "0"), ("x-b", "2")]);
    assert_eq!(call.message(&mut world).unwrap(), None);
    let ended = call.ended(&mut world);
    assert!(ended.status.is_ok() && !ended.is_unprocessed());
    assert_eq!(ended.status.metadata().unwrap().get("x-b"), Some("2"));
    world.settle();
    assert!(world.take_frames().iter().all(|it| it.kind != RST_STREAM));
}

/// How a unary call ends whose server sends this.
#[track_caller]
fn ends(answer: impl FnOnce(&mut World, u32)) -> (String, Vec<Received>) {
    let mut world = World::new();
    let call = world.unary();
    let stream = world.request();
    answer(&mut world, stream);
    let whole = call.finish(&mut world);
    assert!(!whole.ended.is_unprocessed());
    world.settle();
    assert!(world.seen.told().closed.is_empty(), "the connection stays");
    (whole.status(), world.take_frames())
}

#[test]
fn a_status_can_come_alone() {
    let (status, frames) = ends(|world, stream| {
        let fields = [OK, GRPC, ("grpc-status", "5"), ("grpc-message", "no%20such")];
        world.trailers(stream, &fields);
    });
    assert_eq!(status, "NOT_FOUND: no such");
    assert!(frames.iter().all(|it| it.kind != RST_STREAM), "both sides have ended it");
}

#[test]
fn informational_heads_are_skipped() {
    let (status, _) = ends(|world, stream| {
        world.send(&headers(stream, 0, &[(":status", "100")]));
        world.send(&headers(stream, 0, &[(":status", "103"), ("link", "x")]));
        world.answer_ok(stream);
    });
    assert_eq!(status, "OK");
}

#[test]
fn an_http_error_is_a_status_and_its_body_is_not_wanted() {
    let (status, frames) = ends(|world, stream| {
        world.send(&headers(stream, 0, &[(":status", "503"), ("content-type", "text/html")]));
        world.send(&frame(DATA, 0, stream, b"<html>"));
    });
    assert_eq!(
        status,
        "UNAVAILABLE: the server at inproc answered HTTP 503 Service Unavailable, without a grpc-status \
         (content-type \"text/html\")",
    );
    let reset = frames.iter().find(|it| it.kind == RST_STREAM).unwrap();
    assert_eq!(reset.code(), 8);
}

#[test]
fn what_is_wrong_with_an_answer_is_said() {
    let (status, _) = ends(|world, stream| {
        world.send(&headers(stream, 0, &[OK, ("content-type", "text/plain")]));
    });
    assert!(
        status.starts_with("UNKNOWN: the content-type of the server at inproc is \"text/plain\""),
        "{status}"
    );
    let (status, _) = ends(|world, stream| world.trailers(stream, &[OK, GRPC]));
    assert_eq!(status, "UNKNOWN: the server at inproc ended the call without a grpc-status");
    let (status, _) = ends(|world, stream| {
        world.answer(stream);
        world.send(&frame(DATA, END_STREAM, stream, &framed(b"reply")));
    });
    assert_eq!(
        status,
        "UNKNOWN: the server at inproc ended the call without trailers, and so no grpc-status"
    );
    let (status, _) = ends(|world, stream| {
        world.answer(stream);
        world.trailers(stream, &[("x", "y")]);
    });
    assert_eq!(status, "UNKNOWN: the trailers of the server at inproc have no grpc-status");
    let (status, _) = ends(|world, stream| {
        world.answer(stream);
        world.trailers(stream, &[("grpc-status", "0"), ("grpc-status", "2")]);
    });
    assert!(status.starts_with("UNKNOWN: the server at inproc sent two statuses"), "{status}");
    let (status, _) = ends(|world, stream| {
        world.send(&headers(stream, 0, &[OK, GRPC, ("a-bin", "!")]));
    });
    assert!(
        status.starts_with("INTERNAL: the initial metadata of the server at inproc: "),
        "{status}"
    );
}

#[test]
fn large_metadata_ends_its_call_only() {
    for size in [20_000, 200_000] {
        let large = "x".repeat(size);
        let (status, _) = ends(|world, stream| {
            world.send(&headers(stream, 0, &[OK, GRPC, ("x-large", &large)]));
        });
        let expected =
            "RESOURCE_EXHAUSTED: the initial metadata of the server at inproc is larger than max (";
        assert!(status.starts_with(expected), "{status}");
        let (status, _) = ends(|world, stream| {
            world.answer(stream);
            world.trailers(stream, &[("grpc-status", "0"), ("x-large", &large)]);
        });
        let expected =
            "RESOURCE_EXHAUSTED: the trailing metadata of the server at inproc is larger";
        assert!(status.starts_with(expected), "{status}");
    }
}

#[test]
fn metadata_that_http_2_refuses_ends_its_call_only() {
    let large = "x".repeat(300_000);
    let (status, _) = ends(|world, stream| {
        world.send(&headers(stream, 0, &[OK, GRPC, ("x-large", &large)]));
    });
    assert!(status.starts_with("INTERNAL: what the server at "), "{status}");
    assert!(status.contains("far too large"), "{status}");
    let (status, _) = ends(|world, stream| {
        world.send(&headers(stream, 0, &[OK, GRPC, ("connection", "close")]));
    });
    assert!(status.contains("is not HTTP/2 (PROTOCOL_ERROR)"), "{status}");
}

#[test]
fn a_message_that_is_too_large_ends_the_call_and_resets_it() {
    let (status, frames) = ends(|world, stream| {
        world.answer(stream);
        world.send(&frame(DATA, 0, stream, &[0, 255, 255, 255, 255]));
    });
    assert_eq!(
        status,
        "RESOURCE_EXHAUSTED: message larger than max (4294967295 vs. 4194304), from the server at inproc"
    );
    let reset = frames.iter().find(|it| it.kind == RST_STREAM).unwrap();
    assert_eq!(reset.code(), 8);
}

#[test]
fn a_message_that_is_cut_off_is_an_error_only_if_the_status_is_none() {
    let cut = |code: &'static str| {
        ends(move |world, stream| {
            world.answer(stream);
            world.send(&frame(DATA, 0, stream, &framed(b"reply")[..7]));
            world.trailers(stream, &[("grpc-status", code)]);
        })
    };
    assert_eq!(
        cut("0").0,
        "INTERNAL: stream ended inside a message, after 7 of 10 bytes, from the server at inproc"
    );
    assert_eq!(cut("10").0, "ABORTED");
}

#[test]
fn a_server_may_end_a_call_before_all_was_sent() {
    let mut world = World::new();
    let mut call = world.begin();
    assert!(call.send(b"one").is_ready());
    let stream = world.frame(|it| it.kind == DATA).stream;
    let fields = [OK, GRPC, ("grpc-status", "7"), ("grpc-message", "go away")];
    world.trailers(stream, &fields);
    world.settle();
    call.poll(|it, context| it.take_in(context));
    let Poll::Ready(sent) = call.send(b"two") else { panic!("it is over") };
    assert_eq!(sent.unwrap_err().to_string(), "PERMISSION_DENIED: go away");
    assert!(call.stream.half_close().is_err());
    assert_eq!(call.finish(&mut world).status(), "PERMISSION_DENIED: go away");
    assert_eq!(world.frame(|it| it.kind == RST_STREAM).code(), 0);
}

#[test]
fn a_reset_behind_a_whole_answer_is_fine() {
    let mut world = World::new();
    let mut call = world.begin();
    assert!(call.send(b"one").is_ready());
    let stream = world.frame(|it| it.kind == DATA).stream;
    world.answer_ok(stream);
    world.reset(stream, 0);
    let whole = call.finish(&mut world);
    assert_eq!(whole.status(), "OK");
    assert_eq!(whole.messages, ["reply"]);
}

#[test]
fn a_cancelled_call_is_reset_and_has_the_status_it_was_cancelled_with() {
    let mut world = World::new();
    let mut call = world.unary();
    let stream = world.request();
    world.answer(stream);
    assert!(call.answer(&mut world).is_some());
    call.stream.cancel(Status::cancelled("enough"));
    call.stream.cancel(Status::cancelled("more than enough"));
    assert!(call.message(&mut world).is_err());
    assert_eq!(call.ended(&mut world).status.to_string(), "CANCELLED: enough");
    assert_eq!(world.frame(|it| it.kind == RST_STREAM).code(), 8);
    // What still comes is nobody's.
    world.send(&frame(DATA, 0, stream, &framed(b"late")));
    world.trailers(stream, &[("grpc-status", "0")]);
    world.settle();
    let other = world.unary();
    let stream = world.request();
    world.answer_ok(stream);
    assert_eq!(other.finish(&mut world).status(), "OK");
}

#[test]
fn a_cancel_is_too_late_for_a_status_that_was_told_and_for_an_error() {
    let mut world = World::new();
    let mut call = world.unary();
    let stream = world.request();
    world.answer_ok(stream);
    world.settle();
    assert!(call.answer(&mut world).is_some());
    assert!(call.message(&mut world).unwrap().is_some());
    assert!(call.message(&mut world).unwrap().is_none());
    assert!(call.ended(&mut world).status.is_ok());
    call.stream.cancel(Status::cancelled("late"));
    assert!(call.ended(&mut world).status.is_ok());

    let mut call = world.unary();
    let stream = world.request();
    world.reset(stream, 11);
    world.settle();
    assert!(call.message(&mut world).is_err());
    call.stream.cancel(Status::cancelled("late"));
    let status = call.ended(&mut world).status.to_string();
    assert!(status.starts_with("RESOURCE_EXHAUSTED: "), "{status}");
}

/// As when its last message cannot be decompressed.
#[test]
fn a_cancel_takes_the_place_of_an_ok_that_nobody_was_told() {
    let mut world = World::new();
    let mut call = world.unary();
    let stream = world.request();
    world.answer_ok(stream);
    world.settle();
    assert!(call.answer(&mut world).is_some());
    call.stream.cancel(Status::internal("unreadable"));
    assert_eq!(call.ended(&mut world).status.to_string(), "INTERNAL: unreadable");
}

#[test]
fn a_dropped_call_is_reset() {
    let mut world = World::new();
    let call = world.unary();
    world.request();
    drop(call);
    assert_eq!(world.frame(|it| it.kind == RST_STREAM).code(), 8);
}

#[test]
fn a_long_message_waits_for_the_servers_window() {
    let mut world = World::new();
    let mut call = world.begin();
    let message = vec![7; 100_000];
    assert!(call.send(&message).is_pending());
    world.settle();
    // It has a window only now.
    assert!(call.poll(|it, context| it.poll_send_message(context)).is_pending());
    world.settle();
    let sent = |world: &mut World| -> usize {
        let frames = world.take_frames();
        frames.iter().filter(|it| it.kind == DATA).map(|it| it.payload.len()).sum()
    };
    let first = world.frame(|it| it.kind == DATA);
    let mut count = first.payload.len() + sent(&mut world);
    assert_eq!(count, 65_535);
    assert!(call.poll(|it, context| it.poll_send_message(context)).is_pending());
    let more = 100_000_u32.to_be_bytes();
    world.send(&frame(WINDOW_UPDATE, 0, 0, &more));
    world.send(&frame(WINDOW_UPDATE, 0, first.stream, &more));
    call.wait(&mut world, |it, context| it.poll_send_message(context)).unwrap();
    world.settle();
    count += sent(&mut world);
    assert_eq!(count, 100_005);
}

#[test]
fn a_server_gets_window_for_messages_that_are_taken() {
    let config = ClientConfig { stream_window: 20_000, ..ClientConfig::default() };
    let mut world = World::with(config, &[]);
    let mut call = world.unary();
    let stream = world.request();
    world.answer(stream);
    let message = framed(&[7; 19_995]);
    world.send(&frame(DATA, 0, stream, &message[..10_000]));
    world.send(&frame(DATA, 0, stream, &message[10_000..]));
    world.settle();
    assert!(call.answer(&mut world).is_some());
    world.settle();
    let is_update = |it: &Received| it.kind == WINDOW_UPDATE && it.stream == stream;
    assert!(!world.take_frames().iter().any(is_update), "nothing was taken");
    assert_eq!(call.message(&mut world).unwrap().unwrap().len(), 19_995);
    world.frame(is_update);
}

/// Or calls that nobody reads would hold any amount of memory.
#[test]
fn the_connection_gets_window_for_messages_that_are_taken_also_of_a_call_that_has_ended() {
    let config = ClientConfig {
        stream_window: 65_535,
        connection_window: 65_535,
        ..ClientConfig::default()
    };
    let mut world = World::with(config, &[]);
    let mut call = world.unary();
    let stream = world.request();
    world.answer(stream);
    for part in framed(&[7; 39_995]).chunks(10_000) {
        world.send(&frame(DATA, 0, stream, part));
    }
    world.trailers(stream, &[("grpc-status", "0")]);
    world.settle();
    assert!(call.answer(&mut world).is_some());
    world.settle();
    let is_update = |it: &Received| it.kind == WINDOW_UPDATE && it.stream == 0;
    assert!(!world.take_frames().iter().any(is_update), "nothing was taken");
    assert_eq!(call.message(&mut world).unwrap().unwrap().len(), 39_995);
    let more = world.frame(is_update).payload;
    assert_eq!(more, 40_000_u32.to_be_bytes());
    assert!(call.ended(&mut world).status.is_ok());
}

#[test]
fn settings_are_acknowledged() {
    let mut world = World::new();
    world.frame(|it| it.kind == crate::testing::http2::SETTINGS && it.flags == ACK);
}
