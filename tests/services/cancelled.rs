//! A client that goes away: how handlers get to know.

use super::common::{
    BIDI, BLOCKING_BIDI, CLIENT, Guards, SERVER, demo, next, request, serve, until,
};
use crate::raw::client::Client;
use crate::raw::frame::{self, Frame};
use crate::raw::request::{Request, message};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use turnstile::{Bytes, Code, Response, Status};

/// The two ways to go.
#[derive(Clone, Copy, Debug)]
enum Way {
    Reset,
    Close,
}

const WAYS: [Way; 2] = [Way::Reset, Way::Close];

fn go(mut client: Client, stream: u32, way: Way) {
    if let Way::Reset = way {
        client.send(&Frame::reset(stream, frame::CANCEL));
        // The reset has arrived before the connection ends.
        client.ping();
    }
}

#[test]
fn an_async_handler_sees_it_once_and_its_future_is_dropped() {
    let guards = Guards::default();
    let (report, seen) = channel();
    let service = demo()
        .bidi_streaming(BIDI, {
            let guards = guards.clone();
            move |_, requests, _| {
                let (guard, report) = (guards.guard(), report.clone());
                async move {
                    let _guard = guard;
                    requests.cancelled().await;
                    report.send(requests.is_cancelled()).unwrap();
                    // Goes on as if nothing had happened.
                    std::future::pending().await
                }
            }
        })
        .build();
    serve(1, service, |_, address| {
        for (index, way) in WAYS.into_iter().enumerate() {
            let mut client = Client::connect(address);
            let stream = client.request(&Request::of(BIDI.path()).open());
            client.ping();
            until(index + 1, || guards.made());
            assert_eq!(guards.dropped(), index);
            go(client, stream, way);
            assert!(next(&seen), "{way:?}");
            until(index + 1, || guards.dropped());
        }
        assert!(seen.try_recv().is_err(), "one report for each call");
    });
}

#[test]
fn an_async_handler_that_waits_for_something_else_is_dropped() {
    let guards = Guards::default();
    let service = demo()
        .client_streaming(CLIENT, {
            let guards = guards.clone();
            move |_, mut requests| {
                let guard = guards.guard();
                async move {
                    let _guard = guard;
                    while requests.read().await?.is_some() {}
                    std::future::pending::<Result<Response<Bytes>, Status>>().await
                }
            }
        })
        .build();
    serve(1, service, |_, address| {
        for (index, way) in WAYS.into_iter().enumerate() {
            let mut client = Client::connect(address);
            let stream = client.request(&request(CLIENT, &["a", "b"]));
            client.ping();
            until(index + 1, || guards.made());
            go(client, stream, way);
            until(index + 1, || guards.dropped());
        }
    });
}

fn report_error(errors: &Sender<Code>, status: Status) -> Status {
    errors.send(status.code()).unwrap();
    status
}

/// Calls a handler, which reports, and goes away.
fn call_and_go(address: SocketAddr, request: &Request, way: Way) {
    let mut client = Client::connect(address);
    let stream = client.request(request);
    // The handler runs.
    client.expect(frame::HEADERS);
    go(client, stream, way);
}

#[test]
fn a_blocking_handlers_read_and_write_fail_with_cancelled() {
    let (errors, seen) = channel();
    let big = Bytes::from(vec![b'x'; 1 << 20]);
    let service = demo()
        .blocking_bidi_streaming(BLOCKING_BIDI, {
            let errors = errors.clone();
            move |(), requests, replies| {
                replies.send_initial_metadata(turnstile::Metadata::new())?;
                let error = requests.read().map(drop).unwrap_err();
                assert!(requests.is_cancelled());
                assert!(requests.next().is_none(), "an iterator ends with its error");
                Err(report_error(&errors, error))
            }
        })
        .blocking_server_streaming(SERVER, move |(), request, replies| {
            loop {
                // The client's window is soon used up.
                if let Err(error) = replies.write(big.clone()) {
                    assert!(request.is_cancelled());
                    return Err(report_error(&errors, error));
                }
            }
        })
        .build();
    serve(1, service, |_, address| {
        for way in WAYS {
            call_and_go(address, &Request::of(BLOCKING_BIDI.path()).open(), way);
            assert_eq!(next(&seen), Code::Cancelled, "read, {way:?}");
            call_and_go(address, &request(SERVER, &["x"]), way);
            assert_eq!(next(&seen), Code::Cancelled, "write, {way:?}");
        }
    });
}

/// While another thread does I/O.
#[test]
fn a_blocking_handler_that_does_not_wait_for_its_client_can_ask() {
    let (report, seen) = channel();
    let service = demo()
        .blocking_bidi_streaming(BLOCKING_BIDI, move |(), requests, replies| {
            assert!(!requests.is_cancelled());
            replies.send_initial_metadata(turnstile::Metadata::new())?;
            // A handler that computes.
            until(true, || requests.is_cancelled());
            report.send(()).unwrap();
            Ok(())
        })
        .build();
    serve(2, service, |_, address| {
        for way in WAYS {
            call_and_go(address, &Request::of(BLOCKING_BIDI.path()).open(), way);
            next(&seen);
        }
    });
}

#[test]
fn a_client_that_cancels_has_not_ended_its_requests() {
    let (report, seen) = channel();
    let (go_on, gate) = channel::<()>();
    let gate = Mutex::new(gate);
    let service = demo()
        .blocking_bidi_streaming(BLOCKING_BIDI, move |(), requests, replies| {
            replies.send_initial_metadata(turnstile::Metadata::new())?;
            gate.lock().unwrap().recv().expect("the test opens it");
            let all: Vec<_> = requests.by_ref().map(|it| it.map_err(|it| it.code())).collect();
            report.send(all).unwrap();
            Ok(())
        })
        .build();
    serve(2, service, |_, address| {
        let mut client = Client::connect(address);
        let body = [message(b"a"), message(b"b")].concat();
        let stream = client.request(&Request::of(BLOCKING_BIDI.path()).body(body).open());
        client.expect(frame::HEADERS);
        client.send(&Frame::reset(stream, frame::CANCEL));
        client.ping();
        go_on.send(()).unwrap();
        // What had come may be there, but nobody takes it for the whole (grpc/grpc-rust#2791).
        let all = next(&seen);
        let (last, before) = all.split_last().expect("one at least");
        assert_eq!(*last, Err(Code::Cancelled));
        let whole = [Ok("a".into()), Ok("b".into())];
        assert!(whole.starts_with(before), "{before:?}");
    });
}

#[test]
fn cancelled_is_of_use_outside_of_the_handler() {
    let (report, seen) = channel();
    let (send_watch, watches) = channel();
    let service = demo()
        .unary(super::common::UNARY, move |_, request| {
            send_watch.send(request.context().clone()).unwrap();
            async move {
                if request.is_empty() {
                    return Ok(Response::new(Bytes::new()));
                }
                std::future::pending().await
            }
        })
        .build();
    serve(2, service, |_, address| {
        std::thread::scope(|scope| {
            let watcher = scope.spawn(move || {
                for context in watches.iter().take(2) {
                    turnstile::block_on(context.cancelled());
                    report.send(context.is_cancelled()).unwrap();
                }
            });
            let mut client = Client::connect(address);
            let answer = client.call(&request(super::common::UNARY, &[""]));
            assert_eq!(answer.code(), 0);
            assert!(!next(&seen), "an answered call was not cancelled");
            let stream = client.request(&request(super::common::UNARY, &["wait"]));
            client.ping();
            client.send(&Frame::reset(stream, frame::CANCEL));
            assert!(next(&seen));
            watcher.join().unwrap();
        });
    });
}
