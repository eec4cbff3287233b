//! What a channel says of itself.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use turnstile::ConnectivityState::{Connecting, Idle, Ready, TransientFailure};
use turnstile::{CallOptions, Channel, CompletionQueue, Deadline, block_on};

use super::common::{Caller, PATIENCE, Signal, unused_port};
use super::frame;
use super::frames::FrameServer;

fn patience() -> Deadline {
    Deadline::after(PATIENCE)
}

#[test]
fn states_come_one_after_the_other_and_each_watch_ends_once() {
    let server = FrameServer::new();
    let channel = Channel::connect(&server.address()).unwrap();
    let cq = CompletionQueue::<&str>::new();
    assert_eq!(channel.state(false), Idle);
    channel.watch_state(Connecting, patience(), &cq, "is not connecting").unwrap();
    assert_eq!(cq.next(Deadline::NONE).unwrap().tag, "is not connecting");
    let (go, may_go) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut connection = server.accept();
            may_go.into_iter().for_each(|()| connection.go_away(0, frame::NO_ERROR, ""));
            connection.wait_for_end();
        });
        channel.watch_state(Idle, patience(), &cq, "not idle").unwrap();
        assert_eq!(channel.state(true), Idle);
        let event = cq.next(Deadline::NONE).unwrap();
        assert!(event.tag == "not idle" && event.is_ok());
        channel.watch_state(Connecting, patience(), &cq, "ready").unwrap();
        let event = cq.next(Deadline::NONE).unwrap();
        assert!(event.tag == "ready" && event.is_ok());
        assert_eq!(channel.state(false), Ready);
        channel.watch_state(Ready, patience(), &cq, "idle").unwrap();
        go.send(()).unwrap();
        drop(go);
        let event = cq.next(Deadline::NONE).unwrap();
        assert!(event.tag == "idle" && event.is_ok());
        assert_eq!(channel.state(false), Idle);
    });
}

#[test]
fn a_watch_ends_at_its_deadline_without_success() {
    let channel = Channel::connect("127.0.0.1:1").unwrap();
    let cq = CompletionQueue::<u32>::new();
    for (tag, deadline) in [(1, Deadline::NOW), (2, Deadline::after(Duration::from_millis(1)))] {
        channel.watch_state(Idle, deadline, &cq, tag).unwrap();
        let event = cq.next(Deadline::NONE).unwrap();
        assert!(event.tag == tag && !event.is_ok());
    }
}

#[test]
fn a_watch_on_a_queue_that_is_shut_down_gives_the_tag_back() {
    let channel = Channel::connect("127.0.0.1:1").unwrap();
    let cq = CompletionQueue::<u32>::new();
    cq.shutdown();
    let error = channel.watch_state(Idle, Deadline::NONE, &cq, 7).unwrap_err();
    assert_eq!(error.0, 7);
}

#[test]
fn a_watch_of_a_queue_that_is_dropped_ends_with_it() {
    let channel = Channel::connect("127.0.0.1:1").unwrap();
    let (tag, cq) = (std::sync::Arc::new(()), CompletionQueue::new());
    channel.watch_state(Idle, Deadline::NONE, &cq, tag.clone()).unwrap();
    drop((cq, channel));
    assert_eq!(std::sync::Arc::strong_count(&tag), 1, "the tag is dropped with the channel");
}

#[test]
fn a_failure_is_told_until_a_connection_is_there() {
    let port = unused_port();
    let channel = Channel::connect(&format!("127.0.0.1:{port}")).unwrap();
    channel.state(true);
    let mut state = channel.state(false);
    while state != TransientFailure {
        assert!([Idle, Connecting].contains(&state));
        state = block_on(channel.state_change(state));
    }
}

#[test]
fn no_connection_is_made_for_a_channel_that_nobody_uses() {
    let server = FrameServer::new();
    let caller = Caller::to(&server.address());
    // Another channel's call does the process's I/O.
    let port = unused_port();
    let other = Caller::to(&format!("127.0.0.1:{port}"));
    assert!(other.call("x", CallOptions::new()).is_err());
    assert_eq!(caller.channel.state(false), Idle);
}

#[test]
fn a_connection_without_calls_is_closed_and_the_next_call_makes_another() {
    let server = FrameServer::new();
    let channel = Channel::builder(&server.address()).idle_timeout(Duration::from_millis(20));
    let caller = Caller::new(channel.build().unwrap());
    let are_closed = &[Signal::default(), Signal::default()];
    thread::scope(|scope| {
        scope.spawn(|| {
            for is_closed in are_closed {
                let mut connection = server.accept();
                let call = connection.call();
                connection.reply(&call);
                connection.wait_for_end();
                is_closed.set();
            }
        });
        for is_closed in are_closed {
            assert!(caller.call("you", CallOptions::new()).is_ok());
            is_closed.wait();
            // Another thread may be about to tell the channel.
            let mut state = caller.channel.state(false);
            while state != Idle {
                state = block_on(caller.channel.state_change(state));
            }
        }
    });
}

#[test]
fn a_connection_with_a_call_is_not_idle() {
    let server = FrameServer::new();
    let channel = Channel::builder(&server.address()).idle_timeout(Duration::from_millis(5));
    let caller = Caller::new(channel.build().unwrap());
    let (go, may_go) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut connection = server.accept();
            let call = connection.call();
            may_go.into_iter().for_each(drop);
            connection.ping();
            connection.reply(&call);
        });
        let _call = caller.begin("you", CallOptions::new(), 1);
        // Many times as long.
        block_on(turnstile::sleep(Duration::from_millis(100)));
        drop(go);
        assert_eq!(caller.next().1.unwrap(), "Hello you");
    });
}

#[test]
fn a_server_that_has_had_too_many_pings_is_told_nothing_more_and_calls_go_on_elsewhere() {
    let server = FrameServer::new();
    let caller = Caller::to(&server.address());
    let _call = caller.begin("you", CallOptions::new(), 1);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut first = server.accept();
            let call = first.call();
            first.go_away(0, frame::ENHANCE_YOUR_CALM, "too_many_pings");
            let mut second = server.accept();
            let again = second.call();
            assert_eq!(again.body, call.body);
            second.reply(&again);
        });
        assert_eq!(caller.next().1.unwrap(), "Hello you");
    });
}
