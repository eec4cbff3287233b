//! What the threads in `run` do for each other.

use super::common::{BIDI, BLOCKING, BLOCKING_BIDI, UNARY, demo, next, ok, request, serve};
use crate::raw::client::Client;
use crate::raw::frame::{self, Frame};
use crate::raw::request::{Request, message};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use turnstile::{Bytes, Response};

/// By the order of events: the replies arrive while the sleeper is still held.
#[test]
fn a_sleeping_handler_holds_up_no_other_call_of_its_connection() {
    let (release, gate) = channel::<()>();
    let gate = Mutex::new(gate);
    let (begin, begun) = channel();
    let service = demo()
        .blocking_unary(BLOCKING, move |(), request| {
            begin.send(()).unwrap();
            gate.lock().unwrap().recv().expect("the test opens it");
            Ok(Response::new(request.into_inner()))
        })
        .unary(UNARY, |_, request| async move { Ok(Response::new(request.into_inner())) })
        .bidi_streaming(BIDI, |_, mut requests, mut replies| async move {
            while let Some(request) = requests.read().await? {
                replies.write(request).await?;
            }
            Ok(())
        })
        .build();
    serve(2, service, |_, address| {
        let mut client = Client::connect(address);
        let held = client.request(&request(BLOCKING, &["slept"]));
        next(&begun);
        let stream = client.request(&Request::of(BIDI.path()).open());
        for round in 0..100 {
            let text = format!("{round}");
            assert_eq!(ok(&client.call(&request(UNARY, &[&text]))), [text]);
            client.send(&Frame::data(stream, message(b"x"), false));
            assert_eq!(client.expect(frame::DATA).payload, message(b"x"));
        }
        release.send(()).unwrap();
        assert_eq!(ok(&client.answer(held)), ["slept"]);
    });
}

/// The calls of one turn: the blocking one is taken first, and others finish the turn.
#[test]
fn calls_that_come_together_with_a_sleeper_do_not_wait_for_it() {
    let (release, gate) = channel::<()>();
    let gate = Mutex::new(gate);
    let service = demo()
        .blocking_unary(BLOCKING, move |(), request| {
            gate.lock().unwrap().recv().expect("the test opens it");
            Ok(Response::new(request.into_inner()))
        })
        .unary(UNARY, |_, request| async move { Ok(Response::new(request.into_inner())) })
        .build();
    serve(2, service, |_, address| {
        let mut client = Client::connect(address);
        let requests = [UNARY, BLOCKING, UNARY, UNARY].map(|method| request(method, &["x"]));
        let streams = requests.each_ref().map(|_| client.new_stream());
        let frames: Vec<_> =
            requests.iter().zip(streams).flat_map(|(it, stream)| it.to_frames(stream)).collect();
        client.send_bytes(&frame::to_bytes(&frames));
        let mut left = vec![streams[0], streams[2], streams[3]];
        while !left.is_empty() {
            let frame = client.next_frame().expect("the server goes on");
            if frame.has(frame::END_STREAM) && frame.kind == frame::HEADERS {
                left.retain(|stream| *stream != frame.stream);
                assert_ne!(frame.stream, streams[1], "it is held");
            }
        }
        release.send(()).unwrap();
        client.ping();
    });
}

/// A thread that waits in a blocking handler does the I/O for all.
#[test]
fn a_handler_that_waits_for_its_client_keeps_the_server_going_alone() {
    let service = demo()
        .blocking_bidi_streaming(BLOCKING_BIDI, |(), requests, replies| {
            while let Some(request) = requests.read()? {
                replies.write(request)?;
            }
            Ok(())
        })
        .build();
    serve(1, service, |_, address| {
        let mut client = Client::connect(address);
        let stream = client.request(&Request::of(BLOCKING_BIDI.path()).open());
        client.send(&Frame::data(stream, message(b"x"), false));
        assert_eq!(client.expect(frame::DATA).payload, message(b"x"));
        // Its thread answers others' PINGs, and takes connections in.
        let mut other = Client::connect(address);
        other.ping();
        client.send(&Frame::data(stream, message(b"y"), true));
        assert_eq!(super::common::texts(&client.expect(frame::DATA).payload), ["y"]);
    });
}

/// What a handler has written leaves although its thread does not come back.
#[test]
fn what_a_blocking_handler_has_written_does_not_wait_for_its_end() {
    let (release, gate) = channel::<()>();
    let gate = Mutex::new(gate);
    let service = demo()
        .blocking_bidi_streaming(BLOCKING_BIDI, move |(), _, replies| {
            replies.write(Bytes::from_static(b"early"))?;
            gate.lock().unwrap().recv().expect("the test opens it");
            Ok(())
        })
        .build();
    serve(1, service, |_, address| {
        let mut client = Client::connect(address);
        client.request(&Request::of(BLOCKING_BIDI.path()).open());
        assert_eq!(client.expect(frame::DATA).payload, message(b"early"));
        release.send(()).unwrap();
        assert!(client.expect(frame::HEADERS).has(frame::END_STREAM));
    });
}
