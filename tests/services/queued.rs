//! Calls that wait for a thread, since all are in blocking handlers.

use super::common::{
    BLOCKING, Helper, RESOURCE_EXHAUSTED, UNARY, demo, next, ok, request, serve_with,
};
use crate::raw::client::Client;
use crate::raw::frame::{self, Frame};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use turnstile::stats::{CallEnd, CallInfo, Stats};
use turnstile::{Bytes, Code, Response, Server, Service};

/// Reports the ends of calls.
struct Ends(Sender<Code>);

impl Stats for Ends {
    fn call_ended(&self, _: &CallInfo<'_>, end: &CallEnd) {
        let _ = self.0.send(end.code);
    }
}

/// A blocking method whose handler reports that it has begun, and then waits; and an async one.
struct Held {
    service: Service,
    begun: Receiver<()>,
    release: Sender<()>,
}

fn held() -> Held {
    let (release, gate) = channel::<()>();
    let gate = Mutex::new(gate);
    let (begin, begun) = channel();
    let service = demo()
        .blocking_unary(BLOCKING, move |(), request| {
            begin.send(()).unwrap();
            gate.lock().unwrap().recv().expect("the test opens it");
            Ok(Response::new(request.into_inner()))
        })
        .unary(UNARY, |_, _| async { Ok(Response::new(Bytes::new())) })
        .build();
    Held { service, begun, release }
}

#[test]
fn a_call_that_waits_for_a_thread_ends_when_its_client_resets_it() {
    let Held { service, begun, release } = held();
    let (report, ends) = channel();
    let mut builder = Server::builder();
    builder.add_service(service).stats(Ends(report));
    serve_with(1, &mut builder, |_, address| {
        let mut client = Client::connect(address);
        let first = client.request(&request(BLOCKING, &["first"]));
        next(&begun);
        thread::scope(|scope| {
            let _helper = Helper::start(scope);
            let waiting = client.request(&request(BLOCKING, &["waiting"]));
            client.ping();
            client.send(&Frame::reset(waiting, frame::CANCEL));
            assert_eq!(next(&ends), Code::Cancelled, "while the only thread is in a handler");
        });
        release.send(()).unwrap();
        assert_eq!(ok(&client.answer(first)), ["first"]);
        assert_eq!(next(&ends), Code::Ok);
        // The thread passes by the one that has ended, and goes on.
        release.send(()).unwrap();
        assert_eq!(ok(&client.call(&request(BLOCKING, &["last"]))), ["last"]);
        next(&begun);
        assert!(begun.try_recv().is_err(), "the handler was not called for it");
    });
}

#[test]
fn more_calls_of_a_blocking_handler_than_may_wait_are_refused() {
    let Held { service, begun, release } = held();
    let mut builder = Server::builder();
    builder.add_service(service).max_waiting_calls(2);
    serve_with(1, &mut builder, |_, address| {
        let mut client = Client::connect(address);
        let first = client.request(&request(BLOCKING, &["first"]));
        next(&begun);
        let [second, third] = ["second", "third"].map(|text| {
            let stream = client.request(&request(BLOCKING, &[text]));
            (stream, text)
        });
        let others = thread::scope(|scope| {
            let _helper = Helper::start(scope);
            // Calls of an async handler are not counted.
            let others = [(); 3].map(|()| {
                let mut other = Client::connect(address);
                let stream = other.request(&request(UNARY, &["x"]));
                other.ping();
                (other, stream)
            });
            let refused = client.call(&request(BLOCKING, &["too many"]));
            assert_eq!(refused.code(), RESOURCE_EXHAUSTED, "{refused:?}");
            assert!(refused.message().contains("wait for a thread"), "{refused:?}");
            others
        });
        for (stream, text) in [(first, "first"), second, third] {
            release.send(()).unwrap();
            assert_eq!(ok(&client.answer(stream)), [text]);
        }
        for (mut other, stream) in others {
            ok(&other.answer(stream));
        }
        // There is room again.
        release.send(()).unwrap();
        assert_eq!(ok(&client.call(&request(BLOCKING, &["last"]))), ["last"]);
    });
}
