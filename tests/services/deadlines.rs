//! A deadline ends its call, whatever the handler does.

use super::common::{
    BIDI, BLOCKING, BLOCKING_BIDI, CLIENT, DEADLINE_EXCEEDED, Guards, Helper, SERVER, UNARY, demo,
    next, ok, request, serve, until,
};
use crate::raw::client::{Answer, Client};
use crate::raw::frame::{self, Frame};
use crate::raw::request::{Request, message};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use turnstile::{Bytes, Code, Response, Status};

/// Before anybody looks.
const SOON: &str = "50m";

/// Long enough for a handler to begin, on a machine under load.
const LATER: &str = "1500m";

#[track_caller]
fn assert_expired(answer: &Answer) {
    assert_eq!(answer.code(), DEADLINE_EXCEEDED, "{answer:?}");
    assert!(answer.message().contains("deadline"), "{answer:?}");
}

#[test]
fn a_pending_future_is_dropped_at_the_deadline() {
    let guards = Guards::default();
    let service = demo()
        .unary(UNARY, {
            let guards = guards.clone();
            move |_, _| {
                let guard = guards.guard();
                async move {
                    let _guard = guard;
                    std::future::pending::<Result<Response<Bytes>, Status>>().await
                }
            }
        })
        .build();
    serve(1, service, |_, address| {
        let mut client = Client::connect(address);
        assert_expired(&client.call(&request(UNARY, &["x"]).with("grpc-timeout", LATER)));
        until(1, || guards.dropped());
    });
}

#[test]
fn a_blocking_handler_is_answered_for_while_another_thread_serves() {
    let (release, gate) = channel::<()>();
    let (report, seen) = channel();
    let gate = Mutex::new(gate);
    let service = demo()
        .blocking_unary(BLOCKING, move |(), request| {
            gate.lock().unwrap().recv().expect("the test opens it");
            report.send((request.is_cancelled(), request.deadline().has_passed())).unwrap();
            Ok(Response::new(Bytes::new()))
        })
        .build();
    serve(2, service, |_, address| {
        let mut client = Client::connect(address);
        assert_expired(&client.call(&request(BLOCKING, &["x"]).with("grpc-timeout", LATER)));
        // Only now does the handler go on.
        release.send(()).unwrap();
        assert_eq!(next(&seen), (true, true));
    });
}

#[test]
fn streams_in_every_direction_end_at_the_deadline() {
    let (report, seen) = channel();
    let big = Bytes::from(vec![b'x'; 1 << 20]);
    let writes = big.clone();
    let service = demo()
        .client_streaming(CLIENT, |_, mut requests| async move {
            while requests.read().await?.is_some() {}
            Ok(Response::new(Bytes::new()))
        })
        .server_streaming(SERVER, move |_, _, mut replies| {
            let big = big.clone();
            async move {
                loop {
                    replies.write(big.clone()).await?;
                }
            }
        })
        .bidi_streaming(BIDI, |_, mut requests, mut replies| async move {
            while let Some(request) = requests.read().await? {
                replies.write(request).await?;
            }
            Ok(())
        })
        .blocking_bidi_streaming(BLOCKING_BIDI, move |(), requests, replies| {
            while let Some(request) = requests.read().inspect_err(|error| {
                report.send(error.code()).unwrap();
            })? {
                replies.write(request)?;
                while replies.write(writes.clone()).is_ok() {}
            }
            Ok(())
        })
        .build();
    serve(2, service, |_, address| {
        let open = |method: super::common::Plain| {
            Request::of(method.path()).body(message(b"x")).open().with("grpc-timeout", LATER)
        };
        // Of the last two, what waits for the client's window goes nowhere, but the status does.
        let server_streaming = request(SERVER, &["x"]).with("grpc-timeout", LATER);
        let calls = [open(CLIENT), open(BIDI), server_streaming, open(BLOCKING_BIDI)];
        let calls = calls.map(|request| {
            let mut client = Client::connect(address);
            let stream = client.request(&request);
            (client, stream)
        });
        for (mut client, stream) in calls {
            assert_expired(&client.answer(stream));
        }
        assert_eq!(next(&seen), Code::DeadlineExceeded);
    });
}

/// Keeps the only thread of a server until the deadline has passed.
fn busy_past(deadline: turnstile::Deadline) {
    while !deadline.has_passed() {
        std::thread::sleep(deadline.remaining().expect("the call has one"));
    }
}

/// Calls a method of a service on one thread. What its handler sends comes after the deadline.
#[track_caller]
fn assert_late(service: turnstile::Service, method: super::common::Plain) {
    serve(1, service, |_, address| {
        let mut client = Client::connect(address);
        let answer = client.call(&request(method, &["x"]).with("grpc-timeout", LATER));
        assert_expired(&answer);
        assert!(answer.body.is_empty(), "{answer:?}");
    });
}

#[test]
fn an_async_handlers_reply_after_the_deadline_comes_too_late() {
    let service = demo().unary(UNARY, |_, request| async move {
        busy_past(request.deadline());
        Ok(Response::new("late".into()))
    });
    assert_late(service.build(), UNARY);
}

#[test]
fn a_blocking_handlers_reply_after_the_deadline_comes_too_late() {
    let service = demo().blocking_unary(BLOCKING, |(), request| {
        busy_past(request.deadline());
        Ok(Response::new("late".into()))
    });
    assert_late(service.build(), BLOCKING);
}

#[test]
fn writes_after_the_deadline_fail() {
    let (report, seen) = channel();
    let service = demo().server_streaming(SERVER, move |_, request, mut replies| {
        let report = report.clone();
        async move {
            busy_past(request.deadline());
            let written = replies.write("late".into()).await;
            report.send(written.map_err(|status| status.code())).unwrap();
            Ok(())
        }
    });
    assert_late(service.build(), SERVER);
    assert_eq!(next(&seen), Err(Code::DeadlineExceeded));
}

#[test]
fn a_call_that_waits_for_a_thread_expires_and_reaches_no_handler() {
    let (release, gate) = channel::<()>();
    let gate = Mutex::new(gate);
    let (begin, begun) = channel();
    let called = Guards::default();
    let in_async = called.clone();
    let service = demo()
        .blocking_unary(BLOCKING, {
            let called = called.clone();
            move |(), request| {
                let _called = called.guard();
                begin.send(()).unwrap();
                if **request == *b"hold" {
                    gate.lock().unwrap().recv().expect("the test opens it");
                }
                Ok(Response::new(Bytes::new()))
            }
        })
        .unary(UNARY, move |_, _| {
            let _called = in_async.guard();
            async { Ok(Response::new(Bytes::new())) }
        })
        .build();
    serve(1, service, |_, address| {
        let mut holder = Client::connect(address);
        let held = holder.request(&request(BLOCKING, &["hold"]));
        next(&begun);
        let mut client = Client::connect(address);
        std::thread::scope(|scope| {
            let _helper = Helper::start(scope);
            for method in [BLOCKING, UNARY] {
                assert_expired(&client.call(&request(method, &["x"]).with("grpc-timeout", SOON)));
            }
        });
        assert_eq!(called.made(), 1);
        release.send(()).unwrap();
        ok(&holder.answer(held));
        // The server has come to those that waited before this one.
        ok(&client.call(&request(UNARY, &["x"])));
        assert_eq!(called.made(), 2);
    });
}

/// A deadline that has passed when the call comes: C-core's answer.
#[test]
fn no_handler_sees_a_call_whose_deadline_has_passed() {
    let called = Guards::default();
    let (in_async, in_stream) = (called.clone(), called.clone());
    let service = demo()
        .unary(UNARY, move |_, _| {
            let _called = in_async.guard();
            async { Ok(Response::new(Bytes::new())) }
        })
        .blocking_bidi_streaming(BLOCKING_BIDI, move |(), _, _| {
            let _called = in_stream.guard();
            Ok(())
        })
        .build();
    serve(2, service, |_, address| {
        let mut client = Client::connect(address);
        for method in [UNARY, BLOCKING_BIDI] {
            for timeout in ["0n", "1n", "0H"] {
                let answer = client.call(&request(method, &["x"]).with("grpc-timeout", timeout));
                assert_expired(&answer);
            }
        }
        assert_eq!(called.made(), 0);
        // One that is far in the future is none.
        ok(&client.call(&request(UNARY, &["x"]).with("grpc-timeout", "99999999H")));
    });
}

#[test]
fn an_answer_before_the_deadline_is_the_answer() {
    let service = demo()
        .bidi_streaming(BIDI, |_, mut requests, _| async move {
            requests.read().await?;
            Err(Status::not_found("nothing"))
        })
        .build();
    serve(1, service, |_, address| {
        let mut client = Client::connect(address);
        let stream = client.request(&Request::of(BIDI.path()).open().with("grpc-timeout", "1H"));
        client.send(&Frame::data(stream, message(b"x"), false));
        let answer = client.answer(stream);
        assert_eq!(answer.message(), "nothing", "{answer:?}");
        // The client has not said that it was done, and is told not to bother.
        assert_eq!(client.expect(frame::RST_STREAM).number(0), frame::NO_ERROR);
    });
}
