//! What is dropped, and in which order: channels, calls, queues.

use std::thread;
use std::time::Duration;

use turnstile::{Batch, CallOptions, Code, Deadline};

use super::common::{Caller, Signal};
use super::frame;
use super::frames::FrameServer;

#[test]
fn calls_go_on_when_their_channel_is_dropped_and_the_connection_ends_with_the_last() {
    let server = FrameServer::new();
    let Caller { channel, cq } = Caller::to(&server.address());
    let caller = Caller { channel: channel.clone(), cq };
    let call = caller.begin("you", CallOptions::new(), 1);
    drop(channel);
    let (has_come, is_over) = (Signal::default(), Signal::default());
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut connection = server.accept();
            let call = connection.call();
            has_come.set();
            connection.reply(&call);
            connection.wait_for_end();
            is_over.set();
        });
        has_come.wait();
        let Caller { channel, cq } = caller;
        drop(channel);
        let mut event = cq.next(Deadline::NONE).unwrap();
        assert!(event.take_status().unwrap().is_ok());
        drop(call);
        is_over.wait();
    });
}

#[test]
fn a_call_that_is_dropped_is_cancelled_at_the_server() {
    let server = FrameServer::new();
    let caller = Caller::to(&server.address());
    let call = caller.begin("you", CallOptions::new(), 1);
    let has_come = Signal::default();
    thread::scope(|scope| {
        let served = scope.spawn(|| {
            let mut connection = server.accept();
            let call = connection.call();
            has_come.set();
            let reset = connection.expect(frame::RST_STREAM);
            (reset.stream == call.stream).then(|| reset.number(0))
        });
        has_come.wait();
        drop(call);
        let (tag, reply) = caller.next();
        let status = reply.unwrap_err();
        assert_eq!((tag, status.code()), (1, Code::Cancelled));
        assert_eq!(status.message(), "the application has let go of the call");
        assert_eq!(served.join().unwrap(), Some(frame::CANCEL));
    });
}

#[test]
fn a_queue_that_is_dropped_first_takes_its_tags_with_it_and_its_call_goes_on() {
    let server = FrameServer::new();
    let Caller { channel, cq } = Caller::to(&server.address());
    let caller = Caller { channel: channel.clone(), cq };
    let call = caller.begin("you", CallOptions::new(), 1);
    drop(caller);
    let error = call.start(Batch::new(), 3).unwrap_err();
    assert_eq!(error.into_parts().1, 3);
    let has_seen = Signal::default();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut connection = server.accept();
            let call = connection.call();
            connection.reply(&call);
            connection.ping();
            has_seen.set();
            connection.wait_for_end();
        });
        // Another wait of this thread does its I/O.
        has_seen.wait();
        drop((call, channel));
    });
}

#[test]
fn a_call_whose_thread_does_not_come_back_ends_by_other_threads_and_waits_in_its_queue() {
    let server = FrameServer::new();
    let caller = Caller::to(&server.address());
    let _call = caller.begin("you", CallOptions::new(), 1);
    let has_replied = Signal::default();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut connection = server.accept();
            let call = connection.call();
            connection.reply(&call);
            connection.ping();
            has_replied.set();
            connection.wait_for_end();
        });
        // A wait elsewhere; the call's own queue is not looked at.
        has_replied.wait();
        // It has ended, but for what the thread that found that has still to do.
        let mut event = caller.cq.next(Deadline::NONE).unwrap();
        assert!(event.take_status().unwrap().is_ok());
        drop(caller);
    });
}

#[test]
fn a_call_that_nobody_waited_for_in_time_ends_when_somebody_comes() {
    let server = FrameServer::new();
    let caller = Caller::to(&server.address());
    let _call = caller.begin("you", CallOptions::new().timeout(Duration::from_millis(1)), 1);
    // The time passes, and this thread does something else.
    thread::sleep(Duration::from_millis(5));
    assert_eq!(caller.next().1.unwrap_err().code(), Code::DeadlineExceeded);
}
