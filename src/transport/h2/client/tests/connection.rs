//! How a connection begins, and how it ends.

use super::peer::{Call, World};
use crate::iomgr::Deadline;
use crate::testing::http2::{DATA, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, frame};
use crate::transport::h2::{ClientConfig, Keepalives};
use crate::transport::{ClientTransport as _, Transport as _};
use std::time::Duration;

fn silent() -> World {
    World::silent(ClientConfig::default(), Deadline::NONE)
}

#[test]
fn a_connection_is_ready_with_the_last_byte_of_the_servers_settings() {
    let mut world = silent();
    let settings = frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9]);
    let (last, before) = settings.split_last().unwrap();
    let mut call = world.unary();
    world.send(before);
    world.frame(|it| it.kind == SETTINGS);
    assert!(!world.seen.told().is_ready);
    assert!(!world.take_frames().iter().any(|it| it.kind == HEADERS), "a call has begun");
    world.send(&[*last]);
    world.work_until(|world| world.seen.told().is_ready);
    let stream = world.request_of(&mut call);
    world.answer_ok(stream);
    assert_eq!(call.finish(&mut world).status(), "OK");
}

/// Why a connection ended whose server sent this, and closed.
#[track_caller]
fn end_after(bytes: &[u8]) -> String {
    let mut world = silent();
    let call = world.begin();
    world.send(bytes);
    world.hang_up();
    let why = world.closed();
    let whole = call.finish(&mut world);
    assert!(whole.ended.is_unprocessed());
    assert_eq!(whole.status(), why.to_string());
    assert!(!world.seen.told().is_ready);
    why.to_string()
}

#[test]
fn a_server_that_does_not_speak_http_2_is_quoted() {
    assert_eq!(
        end_after(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
        "UNAVAILABLE: the server at inproc does not speak HTTP/2: it answered \"HTTP/1.1 400 Bad \
         Request\"",
    );
    assert_eq!(
        end_after(b"SSH-2.0-OpenSSH_9.6\r\n"),
        "UNAVAILABLE: the server at inproc does not speak HTTP/2: it answered \
         \"SSH-2.0-OpenSSH_9.6\"",
    );
    assert_eq!(
        end_after(&[0x15, 3, 1, 0, 2, 2, 22]),
        "UNAVAILABLE: the server at inproc does not speak HTTP/2: it answered \
         \"\\x15\\x03\\x01\\x00\\x02\\x02\\x16\", which is TLS",
    );
    assert!(end_after(&frame(PING, 0, 0, &[0; 8])).contains("does not speak HTTP/2"));
}

#[test]
fn a_server_that_closes_at_once_is_named() {
    let closed = "UNAVAILABLE: the server at inproc closed the connection before it sent HTTP/2 \
                  SETTINGS";
    for bytes in [&b""[..], b"\0\0\x06\x04\0"] {
        let why = end_after(bytes);
        assert!(why.starts_with(closed), "{why}");
    }
}

#[test]
fn a_server_that_says_nothing_has_until_the_deadline() {
    let soon = Deadline::after(Duration::from_millis(1));
    let mut world = World::silent(ClientConfig::default(), soon);
    assert_eq!(
        world.closed().to_string(),
        "UNAVAILABLE: the server at inproc has accepted the connection, and sent no HTTP/2 \
         SETTINGS; the time to connect is over",
    );
    let mut world = World::silent(ClientConfig::default(), Deadline::NOW);
    world.closed();
}

#[test]
fn a_connection_knows_its_peer() {
    assert_eq!(World::new().transport.peer().to_string(), "inproc");
}

#[test]
fn a_server_that_greeted_has_no_deadline_any_more() {
    let mut world = World::new();
    assert_eq!(world.transport.driver.lock().clock.next_deadline(), None);
    let call = world.unary();
    let stream = world.request();
    world.answer_ok(stream);
    assert_eq!(call.finish(&mut world).status(), "OK");
}

#[test]
fn a_server_that_breaks_http_2_is_left() {
    let mut world = World::new();
    let mut call = world.unary();
    let stream = world.request();
    world.answer(stream);
    assert!(call.answer(&mut world).is_some());
    // DATA on no stream.
    world.send(&frame(DATA, 0, 0, b"x"));
    let why = world.closed().to_string();
    let expected = "UNAVAILABLE: the server at inproc broke the rules of HTTP/2: ";
    assert!(why.starts_with(expected), "{why}");
    let status = call.finish(&mut world).status();
    assert!(status.starts_with(expected), "{status}");
}

#[test]
fn a_connection_that_breaks_off_says_so_to_all_its_calls() {
    let mut world = World::new();
    let calls: Vec<Call> = (0..3).map(|_| world.unary()).collect();
    let stream = world.request();
    world.answer(stream);
    world.settle();
    world.hang_up();
    let why = world.closed().to_string();
    assert!(why.starts_with("UNAVAILABLE: the "), "{why}");
    for call in calls {
        let whole = call.finish(&mut world);
        assert_eq!((whole.status(), whole.ended.is_unprocessed()), (why.clone(), false));
    }
    let late = world.begin().finish(&mut world);
    assert_eq!((late.status(), late.ended.is_unprocessed()), (why, true));
}

/// Nobody was there who would have noticed, as a channel has no thread.
#[test]
fn a_call_that_finds_its_connection_broken_off_has_not_been_seen() {
    let mut world = World::new();
    world.settle();
    world.hang_up();
    let whole = world.unary().finish(&mut world);
    assert!(whole.status().starts_with("UNAVAILABLE: the "), "{}", whole.status());
    assert!(whole.ended.is_unprocessed());
}

/// More than the budget would be that h2 has for small frames: it charges those that it ignores, too,
/// and gives nothing back for them.
#[test]
fn what_still_comes_for_a_call_that_was_dropped_does_not_end_the_connection() {
    let mut world = World::new();
    let call = world.unary();
    let stream = world.request();
    let dropped = world.begin();
    let ignored = world.frame(|it| it.kind == HEADERS).stream;
    drop(dropped);
    world.frame(|it| it.kind == RST_STREAM);
    let burst = frame(DATA, 0, ignored, b"x").repeat(1000);
    for _ in 0..60 {
        world.send(&burst);
        world.settle();
    }
    world.answer_ok(stream);
    assert_eq!(call.finish(&mut world).status(), "OK");
}

/// It may find that out with a write, before it has read the answer.
#[test]
fn what_a_server_says_before_it_closes_is_read_also_by_a_client_that_cannot_write() {
    let mut world = World::new();
    let call = world.unary();
    let stream = world.request();
    world.answer_ok(stream);
    world.goaway(stream, 0, "going");
    world.hang_up();
    let late = world.begin();
    assert_eq!(call.finish(&mut world).status(), "OK");
    let late = late.finish(&mut world);
    assert!(late.ended.is_unprocessed());
    let why = world.closed().to_string();
    assert!(why.contains("GOAWAY NO_ERROR \"going\""), "{why}");
}

/// And does not close. Its connection gets a moment, in which it may say why.
#[test]
fn a_server_that_reads_no_more_is_left() {
    let mut world = World::new();
    world.stop_reading();
    let call = world.unary();
    // Nothing can be written: a call that begins in that moment goes to another connection.
    world.work_until(|world| world.transport.traffic.is_broken());
    let late = world.begin();
    let why = world.closed().to_string();
    assert!(why.starts_with("UNAVAILABLE: the connection to inproc was lost: "), "{why}");
    assert_eq!(call.finish(&mut world).status(), why);
    let late = late.finish(&mut world);
    assert_eq!((late.status(), late.ended.is_unprocessed()), (why, true));
}

#[test]
fn a_connection_that_ends_inside_a_frame_is_lost() {
    let mut world = World::new();
    let call = world.unary();
    let stream = world.request();
    world.answer(stream);
    world.settle();
    world.send(&frame(DATA, 0, stream, &[0; 100])[..50]);
    world.hang_up();
    let why = world.closed().to_string();
    assert!(why.starts_with("UNAVAILABLE: the connection to inproc was lost: "), "{why}");
    assert_eq!(call.finish(&mut world).status(), why);
}

#[test]
fn a_goaway_that_names_an_error_is_in_each_status() {
    let mut world = World::new();
    let call = world.unary();
    let stream = world.request();
    world.goaway(stream, 11, "too_many_pings");
    world.work_until(|world| !world.seen.told().goaways.is_empty());
    let told = &world.seen.told().goaways[0];
    assert!(told.is_of_pings);
    assert_eq!(told.text, "GOAWAY ENHANCE_YOUR_CALM \"too_many_pings\"");
    world.hang_up();
    let why = "UNAVAILABLE: the server at inproc ended the connection with GOAWAY ENHANCE_YOUR_CALM \
               \"too_many_pings\"";
    let whole = call.finish(&mut world);
    assert!(whole.status().starts_with(why), "{}", whole.status());
    assert!(!whole.ended.is_unprocessed());
    assert!(world.closed().to_string().starts_with(why));
}

#[test]
fn a_client_that_leaves_ends_the_connection_with_its_last_call() {
    let mut world = World::new();
    let call = world.unary();
    let stream = world.request();
    world.transport.clone().go_away();
    world.settle();
    assert!(world.seen.told().closed.is_empty());
    let late = world.begin().finish(&mut world);
    assert!(late.ended.is_unprocessed());
    assert_eq!(
        late.status(),
        "UNAVAILABLE: the connection to inproc is being closed by this client",
    );
    world.answer_ok(stream);
    assert_eq!(call.finish(&mut world).status(), "OK");
    world.frame(|it| it.kind == GOAWAY);
    assert_eq!(
        world.closed().to_string(),
        "UNAVAILABLE: the connection to inproc was closed by this client",
    );
    world.work_until(World::is_closed);
}

#[test]
fn a_client_that_leaves_without_calls_is_gone_at_once() {
    for mut world in [World::new(), silent()] {
        world.transport.clone().go_away();
        let why = world.closed().to_string();
        assert!(why.contains("closed by this client"), "{why}");
        world.work_until(World::is_closed);
    }
}

#[test]
fn an_abort_ends_every_call() {
    let mut world = World::new();
    let call = world.unary();
    world.request();
    world.transport.clone().abort();
    let whole = call.finish(&mut world);
    let why = "UNAVAILABLE: the connection to inproc was closed by this client";
    assert_eq!((&*whole.status(), whole.ended.is_unprocessed()), (why, false));
    assert_eq!(world.closed().to_string(), why);
    world.work_until(World::is_closed);
}

fn with_keepalive(without_calls: bool, timeout: Duration) -> World {
    let time = Duration::from_millis(4);
    let keepalive = Keepalives { time, timeout, without_calls };
    World::with(ClientConfig { keepalive, ..ClientConfig::default() }, &[])
}

#[test]
fn a_server_that_does_not_answer_a_keepalive_ping_is_left() {
    let mut world = with_keepalive(false, Duration::from_millis(1));
    let call = world.unary();
    world.frame(|it| it.kind == PING);
    let why = "UNAVAILABLE: nothing came from inproc after a keepalive PING; it may be gone";
    assert_eq!(call.finish(&mut world).status(), why);
    assert_eq!(world.closed().to_string(), why);
}

#[test]
fn keepalive_pings_go_on_while_they_are_answered() {
    let mut world = with_keepalive(true, Duration::from_secs(60));
    for _ in 0..3 {
        let ping = world.frame(|it| it.kind == PING && it.flags == 0);
        world.send(&frame(PING, 1, 0, &ping.payload));
    }
    assert!(world.seen.told().closed.is_empty());
}

#[test]
fn a_panic_of_the_client_that_is_told_closes_the_connection() {
    let mut world = World::new();
    let call = world.unary();
    world.request();
    world.seen.panic_on_goaway();
    world.goaway(1, 0, "");
    let whole = call.finish(&mut world);
    assert!(whole.status().starts_with("INTERNAL: the connection to inproc is closed"));
    world.closed();
}
