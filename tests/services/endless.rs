//! What would never end by itself ends with its call, and leaves its thread to others.

use super::common::{
    BIDI, BLOCKING, BLOCKING_BIDI, Guards, UNARY, demo, next, ok, request, serve, serve_with, until,
};
use crate::raw::client::Client;
use crate::raw::frame::{self, Frame};
use crate::raw::request::Request;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::task::{self, Poll};
use turnstile::service::{IncomingCall, Interceptor, Next, Reply};
use turnstile::{Bytes, Code, Response, Server, Status};

/// Waits for ever before the handler, or after it.
struct Stuck {
    waits: Guards,
    begin: Mutex<Sender<()>>,
}

impl Interceptor for Stuck {
    async fn intercept(&self, call: IncomingCall, rest: Next<'_>) -> Result<Reply, Status> {
        let place = call.metadata().get("x-stuck").unwrap_or_default().to_owned();
        let forever = || {
            let waits = self.waits.guard();
            self.begin.lock().unwrap().send(()).unwrap();
            async move {
                let _waits = waits;
                std::future::pending::<()>().await;
            }
        };
        if place == "before" {
            forever().await;
        }
        let reply = rest.run(call).await;
        if place == "after" {
            forever().await;
        }
        Ok(reply)
    }
}

#[test]
fn an_interceptor_that_waits_for_ever_is_given_up_with_its_call() {
    let (waits, (begin, begun)) = (Guards::default(), channel());
    let service = demo()
        .unary(UNARY, |_, request| async move { Ok(Response::new(request.into_inner())) })
        .blocking_unary(BLOCKING, |(), request| Ok(Response::new(request.into_inner())))
        .bidi_streaming(BIDI, |_, _, _| async { Ok(()) })
        .blocking_bidi_streaming(BLOCKING_BIDI, |(), _, _| Ok(()))
        .build();
    let mut builder = Server::builder();
    builder.add_service(service);
    builder.intercept(Stuck { waits: waits.clone(), begin: Mutex::new(begin) });
    serve_with(1, &mut builder, |_, address| {
        let mut given_up = 0;
        for method in [UNARY, BLOCKING, BIDI, BLOCKING_BIDI] {
            for place in ["before", "after"] {
                let mut client = Client::connect(address);
                let stream = client.request(&request(method, &["x"]).with("x-stuck", place));
                next(&begun);
                client.send(&Frame::reset(stream, frame::CANCEL));
                given_up += 1;
                until(given_up, || waits.dropped());
                assert_eq!(ok(&client.call(&request(BLOCKING, &["y"]))), ["y"], "{method:?}");
            }
        }
    });
}

/// A stream that has nothing, and never ends.
struct Silent;

impl futures_core::Stream for Silent {
    type Item = Result<Bytes, Status>;

    fn poll_next(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Pending
    }
}

#[test]
fn forwarding_a_silent_stream_ends_with_the_call() {
    let (report, seen) = channel();
    let (begin, begun) = channel();
    let in_async = (begin.clone(), report.clone());
    let service = demo()
        .bidi_streaming(BIDI, move |_, _, mut replies| {
            let (begin, report) = in_async.clone();
            async move {
                begin.send(()).unwrap();
                let forwarded = replies.forward(Silent).await;
                report.send(forwarded.clone().unwrap_err().code()).unwrap();
                forwarded
            }
        })
        .blocking_bidi_streaming(BLOCKING_BIDI, move |(), _, replies| {
            begin.send(()).unwrap();
            let forwarded = replies.forward(Silent);
            report.send(forwarded.clone().unwrap_err().code()).unwrap();
            forwarded
        })
        .build();
    serve(1, service, |_, address| {
        for method in [BIDI, BLOCKING_BIDI] {
            let mut client = Client::connect(address);
            let stream = client.request(&Request::of(method.path()).open());
            next(&begun);
            client.send(&Frame::reset(stream, frame::CANCEL));
            assert_eq!(next(&seen), Code::Cancelled, "{method:?}");
        }
    });
}
