//! Messages that are on their way when their call begins anew.

use std::thread;

use turnstile::client::Call;
use turnstile::{Batch, CallOptions, Deadline, codec};

use super::common::{Caller, GREET, PATIENCE, Signal};
use super::frame::{self, Frame};
use super::frames::{Connection, FrameServer};

/// More than the window that a server gives unless it says otherwise.
const LENGTH: usize = 200 * 1024;

/// How much that is with the framing of the codec and of gRPC.
fn framed(length: usize) -> usize {
    codec::encode(&"x".repeat(length)).len() + 5
}

fn send(call: &Call<u32>, length: usize, tag: u32) {
    call.start(Batch::new().send_message(codec::encode(&"x".repeat(length))), tag).unwrap();
}

fn expect(caller: &Caller, tag: u32) {
    let event = caller.cq.next(Deadline::after(PATIENCE)).expect("the batch completes");
    assert_eq!((event.tag, event.is_ok()), (tag, true));
}

/// The first connection: takes the call with all of the first message, and then says that it has not.
fn take_and_refuse(server: &FrameServer, is_sent: &Signal) {
    let mut first = server.accept_with(&[(frame::INITIAL_WINDOW_SIZE, 1 << 20)]);
    first.send(&Frame::window_update(0, 1 << 20));
    first.expect(frame::HEADERS);
    let mut bytes = 0;
    while bytes < framed(LENGTH) {
        bytes += first.expect(frame::DATA).payload.len();
    }
    is_sent.wait();
    first.go_away(0, frame::NO_ERROR, "");
    first.wait_for_end();
}

/// What comes until the end of the stream, or until it is `length` long.
fn body(connection: &mut Connection, length: usize) -> (usize, bool) {
    let (mut bytes, mut is_over) = (0, false);
    while !is_over && bytes < length {
        let data = connection.expect(frame::DATA);
        bytes += data.payload.len();
        is_over = data.has(frame::END_STREAM);
    }
    (bytes, is_over)
}

fn open_window(connection: &mut Connection, stream: u32) {
    connection.send(&Frame::window_update(0, 1 << 20));
    connection.send(&Frame::window_update(stream, 1 << 20));
}

fn end(connection: &mut Connection, stream: u32) {
    connection.headers(stream, &[("grpc-status", "0")], true);
}

#[test]
fn a_message_that_comes_while_its_call_waits_again_does_not_displace_those_before() {
    let server = FrameServer::new();
    let caller = Caller::to(&server.address());
    let call = caller.channel.call(GREET.path(), CallOptions::new(), &caller.cq);
    let (is_sent, is_refused, is_added) = (Signal::default(), Signal::default(), Signal::default());
    thread::scope(|scope| {
        let served = scope.spawn(|| {
            take_and_refuse(&server, &is_sent);
            is_refused.set();
            is_added.wait();
            let mut second = server.accept_with(&[(frame::INITIAL_WINDOW_SIZE, 1 << 20)]);
            second.send(&Frame::window_update(0, 1 << 20));
            let stream = second.expect(frame::HEADERS).stream;
            let whole = body(&mut second, usize::MAX);
            second.head(stream);
            end(&mut second, stream);
            whole
        });
        send(&call, LENGTH, 1);
        expect(&caller, 1);
        is_sent.set();
        is_refused.wait();
        // Together they are too much to be kept.
        send(&call, LENGTH, 2);
        call.start(Batch::new().send_close().receive_status(), 3).unwrap();
        is_added.set();
        expect(&caller, 2);
        let mut event = caller.cq.next(Deadline::after(PATIENCE)).unwrap();
        assert!(event.take_status().unwrap().is_ok());
        assert_eq!(served.join().unwrap(), (2 * framed(LENGTH), true));
    });
}

#[test]
fn a_half_close_waits_for_the_message_that_is_sent_again() {
    let server = FrameServer::new();
    let caller = Caller::to(&server.address());
    let call = caller.channel.call(GREET.path(), CallOptions::new(), &caller.cq);
    let (is_sent, is_half_sent, is_closed) =
        (Signal::default(), Signal::default(), Signal::default());
    thread::scope(|scope| {
        let served = scope.spawn(|| {
            take_and_refuse(&server, &is_sent);
            let mut second = server.accept();
            let stream = second.expect(frame::HEADERS).stream;
            let (some, _) = body(&mut second, 65_535);
            is_half_sent.set();
            is_closed.wait();
            open_window(&mut second, stream);
            let (more, is_over) = body(&mut second, usize::MAX);
            second.head(stream);
            end(&mut second, stream);
            (some + more, is_over)
        });
        send(&call, LENGTH, 1);
        expect(&caller, 1);
        is_sent.set();
        is_half_sent.wait();
        call.start(Batch::new().send_close().receive_status(), 2).unwrap();
        is_closed.set();
        let mut event = caller.cq.next(Deadline::after(PATIENCE)).unwrap();
        let status = event.take_status().unwrap();
        assert_eq!(served.join().unwrap(), (framed(LENGTH), true));
        assert!(status.is_ok(), "{status}");
    });
}

#[test]
fn an_early_answer_does_not_stop_the_message_that_is_sent_again() {
    let server = FrameServer::new();
    let caller = Caller::to(&server.address());
    let call = caller.channel.call(GREET.path(), CallOptions::new(), &caller.cq);
    let (is_sent, is_answered) = (Signal::default(), Signal::default());
    thread::scope(|scope| {
        let served = scope.spawn(|| {
            take_and_refuse(&server, &is_sent);
            let mut second = server.accept();
            let stream = second.expect(frame::HEADERS).stream;
            let (some, _) = body(&mut second, 65_535);
            second.head(stream);
            second.ping();
            is_answered.set();
            open_window(&mut second, stream);
            let (more, _) = body(&mut second, framed(LENGTH) - some);
            end(&mut second, stream);
            some + more
        });
        send(&call, LENGTH, 1);
        expect(&caller, 1);
        is_sent.set();
        is_answered.wait();
        call.start(Batch::new().receive_status(), 2).unwrap();
        let mut event = caller.cq.next(Deadline::after(PATIENCE)).expect("the call ends");
        let status = event.take_status().unwrap();
        assert_eq!(served.join().unwrap(), framed(LENGTH));
        assert!(status.is_ok(), "{status}");
    });
}

/// A call without messages, of which nothing else is started yet.
#[test]
fn a_half_close_alone_begins_its_call() {
    let server = FrameServer::new();
    let caller = Caller::to(&server.address());
    let call = caller.channel.call(GREET.path(), CallOptions::new(), &caller.cq);
    let has_come = Signal::default();
    thread::scope(|scope| {
        let served = scope.spawn(|| {
            let mut connection = server.accept();
            let request = connection.call();
            has_come.set();
            connection.end_with_ok(&request);
            request.body
        });
        call.start(Batch::new().send_close(), 1).unwrap();
        expect(&caller, 1);
        has_come.wait();
        call.start(Batch::new().receive_status(), 2).unwrap();
        let mut event = caller.cq.next(Deadline::after(PATIENCE)).expect("the call ends");
        assert!(event.take_status().unwrap().is_ok());
        assert_eq!(served.join().unwrap(), b"");
    });
}
