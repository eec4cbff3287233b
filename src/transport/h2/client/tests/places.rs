//! Calls that wait for a place, as the server takes only so many at once.

use super::peer::{Call, Received, World, request};
use crate::status::Status;
use crate::testing::http2::{HEADERS, RST_STREAM};
use crate::transport::h2::ClientConfig;
use crate::transport::{Request, Transport as _};
use std::time::Duration;

/// A server that takes one call at once, and has it.
fn full() -> (World, Call, u32) {
    let mut world = World::with(ClientConfig::default(), &[(3, 1)]);
    let call = world.unary();
    let stream = world.request();
    (world, call, stream)
}

#[test]
fn what_waits_is_sent_whole_when_its_turn_comes() {
    let (mut world, first, stream) = full();
    let mut second = world.unary();
    world.answer_ok(stream);
    assert_eq!(first.finish(&mut world).status(), "OK");
    let stream = world.request_of(&mut second);
    world.answer_ok(stream);
    assert_eq!(second.finish(&mut world).status(), "OK");
}

#[test]
fn a_call_that_is_cancelled_while_it_waits_is_never_sent() {
    let (mut world, first, stream) = full();
    let mut second = world.unary();
    let dropped = world.unary();
    let mut fourth = world.unary();
    second.stream.cancel(Status::cancelled("too long"));
    drop(dropped);
    let whole = second.finish(&mut world);
    assert_eq!(
        (whole.status().as_str(), whole.ended.is_unprocessed()),
        ("CANCELLED: too long", false)
    );
    world.answer_ok(stream);
    assert_eq!(first.finish(&mut world).status(), "OK");
    let next = world.request_of(&mut fourth);
    assert_eq!(next, stream + 2, "a stream for each call that is sent");
    world.answer_ok(next);
    assert_eq!(fourth.finish(&mut world).status(), "OK");
}

/// Of the first call everything is given to h2, and nothing can leave.
#[test]
fn a_call_that_ends_before_its_message_could_leave_keeps_no_place() {
    let mut world = World::with(ClientConfig::default(), &[(3, 1), (4, 0)]);
    let first = world.unary();
    let stream = world.frame(|it| it.kind == HEADERS).stream;
    let head = [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "7")];
    world.trailers(stream, &head);
    assert_eq!(first.finish(&mut world).status(), "PERMISSION_DENIED");
    let _second = world.unary();
    let reset = world.frame(|it| it.kind == RST_STREAM);
    assert_eq!((reset.stream, reset.code()), (stream, 0));
    assert_eq!(world.frame(|it| it.kind == HEADERS).stream, stream + 2);
}

#[test]
fn what_a_call_waits_for_can_be_told() {
    let (mut world, first, stream) = full();
    let mut second = world.unary();
    let expected = "it waited for a place among the calls that the server at inproc takes at once";
    assert_eq!(second.stream.waits_for().as_deref(), Some(expected));
    let expected = "the server at inproc had not ended it";
    assert_eq!(first.stream.waits_for().as_deref(), Some(expected));
    world.answer_ok(stream);
    assert_eq!(first.finish(&mut world).status(), "OK");
    let stream = world.request_of(&mut second);
    assert_eq!(second.stream.waits_for().as_deref(), Some(expected));
    world.answer_ok(stream);
    assert_eq!(second.finish(&mut world).status(), "OK");
}

/// It has begun, and does not know it.
#[test]
fn a_call_that_is_dropped_when_its_turn_has_come_makes_room_for_the_next() {
    let (mut world, first, stream) = full();
    let second = world.begin();
    let mut third = world.unary();
    world.answer_ok(stream);
    assert_eq!(first.finish(&mut world).status(), "OK");
    world.frame(|it| it.kind == HEADERS);
    drop(second);
    assert_eq!(world.frame(|it| it.kind == RST_STREAM).code(), 8);
    let stream = world.request_of(&mut third);
    world.answer_ok(stream);
    assert_eq!(third.finish(&mut world).status(), "OK");
}

#[test]
fn more_places_are_used_at_once() {
    let (mut world, _first, _) = full();
    let mut others: Vec<_> = (0..3).map(|_| world.unary()).collect();
    world.settle();
    assert!(!world.take_frames().iter().any(|it| it.kind == HEADERS));
    world.set(&[(3, 3)]);
    world.request_of(&mut others[0]);
    world.request_of(&mut others[1]);
    world.settle();
    assert!(!world.take_frames().iter().any(|it| it.kind == HEADERS));
    world.set(&[(3, 100)]);
    world.request_of(&mut others[2]);
}

#[test]
fn what_comes_before_a_call_knows_its_place_is_not_lost() {
    let (mut world, first, stream) = full();
    let mut second = world.begin();
    second.stream.half_close().unwrap();
    world.answer_ok(stream);
    assert_eq!(first.finish(&mut world).status(), "OK");
    let stream = world.frame(|it| it.kind == HEADERS).stream;
    world.answer_ok(stream);
    world.reset(stream, 0);
    world.settle();
    let whole = second.finish(&mut world);
    assert_eq!((&*whole.status(), whole.messages.len()), ("OK", 1));
}

#[test]
fn no_call_begins_after_a_goaway() {
    let (mut world, first, stream) = full();
    let waiting: Vec<_> = (0..3).map(|_| world.unary()).collect();
    // As a server does that will say later which stream was the last.
    world.goaway(0x7fff_ffff, 0, "max_age");
    for call in waiting {
        let whole = call.finish(&mut world);
        assert!(whole.ended.is_unprocessed());
        assert!(whole.status().ends_with("it sent GOAWAY NO_ERROR \"max_age\""));
    }
    world.goaway(stream, 0, "max_age");
    world.answer_ok(stream);
    assert_eq!(first.finish(&mut world).status(), "OK");
    assert!(!world.take_frames().iter().any(|it| it.kind == HEADERS));
    world.closed();
}

#[test]
fn calls_that_wait_when_the_connection_ends_have_not_begun() {
    let (mut world, first, _) = full();
    let second = world.unary();
    world.hang_up();
    let (first, second) = (first.finish(&mut world), second.finish(&mut world));
    assert_eq!((first.ended.is_unprocessed(), second.ended.is_unprocessed()), (false, true));
    let why = "UNAVAILABLE: the server at inproc closed the connection";
    assert_eq!((&*first.status(), &*second.status()), (why, why));
}

#[test]
fn calls_that_wait_when_the_client_leaves_have_not_begun() {
    let (mut world, first, stream) = full();
    let second = world.unary();
    world.transport.clone().go_away();
    let second = second.finish(&mut world);
    assert!(second.ended.is_unprocessed());
    world.answer_ok(stream);
    assert_eq!(first.finish(&mut world).status(), "OK");
    world.closed();
}

#[test]
fn what_has_waited_tells_the_server_how_much_time_is_left() {
    const TIMEOUT: Duration = Duration::from_secs(3600);
    let (mut world, first, stream) = full();
    let _second = world.begin_with(Request { timeout: Some(TIMEOUT), ..request() });
    world.answer_ok(stream);
    assert_eq!(first.finish(&mut world).status(), "OK");
    let head: Received = world.frame(|it| it.kind == HEADERS);
    let (_, value) = head.fields.iter().find(|(name, _)| name == "grpc-timeout").unwrap();
    let left = crate::transport::h2::timeout::parse(value.as_bytes()).unwrap();
    assert!(left <= TIMEOUT, "{left:?}");
}
