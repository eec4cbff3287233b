//! Calls that begin anew on another connection, and calls that must not.

use std::thread;
use std::time::Duration;

use turnstile::{Batch, CallOptions, Code, Deadline, codec};

use super::common::{Caller, GREET, PATIENCE, Signal};
use super::frame::{self, Frame};
use super::frames::{Connection, FrameServer};

#[test]
fn a_call_that_the_servers_goaway_excludes_goes_to_a_new_connection_as_it_was() {
    let server = FrameServer::new();
    let caller = Caller::to(&server.address());
    let options = CallOptions::new().metadata("x-id", "7").metadata_bin("x-bin", &[0, 255]);
    let _call = caller.begin("you", options, 1);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut first = server.accept();
            let call = first.call();
            first.go_away(0, frame::NO_ERROR, "");
            let mut second = server.accept();
            let again = second.call();
            assert_eq!((&again.head, &again.body), (&call.head, &call.body));
            assert_eq!(again.header("x-id"), Some("7"));
            second.reply(&again);
            first.wait_for_end();
        });
        assert_eq!(caller.next().1.unwrap(), "Hello you");
    });
}

#[test]
fn calls_that_the_server_has_go_on_after_its_goaway_and_later_ones_to_a_new_connection() {
    let server = FrameServer::new();
    let caller = Caller::to(&server.address());
    let _old = caller.begin("old", CallOptions::new(), 1);
    let told = &Signal::default();
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut first = server.accept();
            let old = first.call();
            first.go_away(old.stream, frame::NO_ERROR, "");
            first.ping();
            told.set();
            let mut second = server.accept();
            let new = second.call();
            second.reply(&new);
            first.reply(&old);
            first.wait_for_end();
        });
        told.wait();
        let _new = caller.begin("new", CallOptions::new(), 2);
        let mut replies = [caller.next(), caller.next()].map(|(tag, reply)| (tag, reply.unwrap()));
        replies.sort_unstable();
        let expected = [(1, "Hello old".to_owned()), (2, "Hello new".to_owned())];
        assert_eq!(replies, expected);
    });
}

#[test]
fn a_refused_stream_is_tried_once_more_and_then_told() {
    let server = FrameServer::new();
    let caller = Caller::to(&server.address());
    let _call = caller.begin("you", CallOptions::new(), 1);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut connection = server.accept();
            for _ in 0..2 {
                let call = connection.call();
                connection.send(&Frame::reset(call.stream, frame::REFUSED_STREAM));
            }
            let call = connection.call();
            assert_eq!(call.name(), "later");
            connection.reply(&call);
        });
        let status = caller.next().1.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.message().contains("REFUSED_STREAM"), "{status}");
        assert_eq!(caller.call("later", CallOptions::new()).unwrap(), "Hello later");
    });
}

#[test]
fn a_call_whose_connection_is_lost_is_not_sent_twice() {
    let server = FrameServer::new();
    let caller = Caller::to(&server.address());
    let _call = caller.begin("you", CallOptions::new(), 1);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut first = server.accept();
            first.call();
            drop(first);
            let mut second = server.accept();
            let call = second.call();
            assert_eq!(call.name(), "later");
            second.reply(&call);
        });
        let status = caller.next().1.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.message().contains(&server.address()), "{status}");
        assert_eq!(caller.call("later", CallOptions::new()).unwrap(), "Hello later");
    });
}

#[test]
fn a_call_that_finds_its_connection_closed_before_it_has_left_goes_to_a_new_one() {
    let server = FrameServer::new();
    let caller = Caller::to(&server.address());
    let reply = |connection: &mut Connection| {
        let call = connection.call();
        connection.reply(&call);
    };
    thread::scope(|scope| {
        let served = scope.spawn(|| {
            let mut first = server.accept();
            reply(&mut first);
            first
        });
        assert!(caller.call("one", CallOptions::new()).is_ok());
        drop(served.join().unwrap());
        // Time passes, in which nobody waits who would notice.
        thread::sleep(Duration::from_millis(20));
        scope.spawn(|| {
            let mut second = server.accept();
            reply(&mut second);
            second.wait_for_end();
        });
        assert_eq!(caller.call("two", CallOptions::new()).unwrap(), "Hello two");
        drop(caller);
    });
}

#[test]
fn a_call_that_was_answered_is_not_tried_again() {
    let server = FrameServer::new();
    let caller = Caller::to(&server.address());
    let _call = caller.begin("you", CallOptions::new(), 1);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut connection = server.accept();
            let call = connection.call();
            connection.head(call.stream);
            connection.send(&Frame::reset(call.stream, frame::REFUSED_STREAM));
            connection.wait_for_end();
        });
        assert_eq!(caller.next().1.unwrap_err().code(), Code::Unavailable);
        let Caller { channel, .. } = caller;
        drop(channel);
    });
}

#[test]
fn a_large_message_is_sent_again() {
    let server = FrameServer::new();
    let caller = Caller::to(&server.address());
    let call = caller.channel.call(GREET.path(), CallOptions::new(), &caller.cq);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut first = server.accept_with(&[(frame::INITIAL_WINDOW_SIZE, 1 << 20)]);
            first.send(&Frame::window_update(0, 1 << 20));
            let call = first.call();
            first.go_away(0, frame::NO_ERROR, "");
            let mut second = server.accept_with(&[(frame::INITIAL_WINDOW_SIZE, 1 << 20)]);
            second.send(&Frame::window_update(0, 1 << 20));
            let again = second.call();
            assert!(again.body == call.body, "it is as it was");
            second.end_with_ok(&again);
            second.wait_for_end();
        });
        let message = codec::encode(&"x".repeat(300 * 1024));
        let batch = Batch::new().send_message(message).send_close().receive_status();
        call.start(batch, 1).unwrap();
        let mut event = caller.cq.next(Deadline::after(PATIENCE)).unwrap();
        assert!(event.take_status().unwrap().is_ok());
        drop((call, caller));
    });
}

#[test]
fn what_is_too_much_to_be_kept_is_not_sent_again() {
    let server = FrameServer::new();
    let caller = Caller::to(&server.address());
    let call = caller.channel.call(GREET.path(), CallOptions::new(), &caller.cq);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut connection = server.accept_with(&[(frame::INITIAL_WINDOW_SIZE, 1 << 20)]);
            let frame = connection.expect(frame::HEADERS);
            let mut bytes = 0;
            while bytes < 2 * 150 * 1024 {
                let data = connection.expect(frame::DATA);
                bytes += data.payload.len();
                connection.send(&Frame::window_update(0, data.payload.len() as u32));
            }
            connection.send(&Frame::reset(frame.stream, frame::REFUSED_STREAM));
            // Nothing comes until the client goes.
            while let Some(frame) = connection.next_frame() {
                assert_ne!(frame.kind, frame::HEADERS, "{frame:?}");
            }
        });
        let message = codec::encode(&"x".repeat(150 * 1024));
        call.start(Batch::new().send_message(message.clone()), 1).unwrap();
        assert!(caller.cq.next(Deadline::after(PATIENCE)).unwrap().is_ok());
        call.start(Batch::new().send_message(message).receive_status(), 2).unwrap();
        let mut event = caller.cq.next(Deadline::after(PATIENCE)).unwrap();
        assert_eq!(event.take_status().unwrap().code(), Code::Unavailable);
        drop((call, caller));
    });
}

#[test]
fn a_stream_of_messages_is_sent_again_in_its_order() {
    let server = FrameServer::new();
    let caller = Caller::to(&server.address());
    let call = caller.channel.call(GREET.path(), CallOptions::new(), &caller.cq);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut first = server.accept();
            let one = first.call();
            first.go_away(0, frame::NO_ERROR, "");
            let mut second = server.accept();
            let again = second.call();
            assert_eq!(again.body, one.body);
            second.end_with_ok(&again);
            second.wait_for_end();
        });
        for (tag, message) in [(1, "a"), (2, "b"), (3, "c")] {
            let batch = Batch::new().send_message(codec::encode(&message.to_owned()));
            call.start(batch, tag).unwrap();
            let event = caller.cq.next(Deadline::after(PATIENCE)).unwrap();
            assert!(event.tag == tag && event.is_ok());
        }
        call.start(Batch::new().send_close().receive_status(), 4).unwrap();
        let mut event = caller.cq.next(Deadline::after(PATIENCE)).unwrap();
        assert!(event.take_status().unwrap().is_ok());
        drop((call, caller));
    });
}
