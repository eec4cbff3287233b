//! A handler that panics ends its own call, with INTERNAL, and nothing else.

use super::common::{
    BIDI, BLOCKING, BLOCKING_BIDI, INTERNAL, Plain, SERVER, UNARY, demo, ok, request, serve, until,
};
use super::log;
use crate::raw::client::Client;
use crate::raw::request::{Request, message};
use std::panic;
use turnstile::{Bytes, Response, Status};

const DROPS: Plain = Plain::unary("/test.Demo/PanicsDrops");
const PAYLOAD: Plain = Plain::unary("/test.Demo/PanicsPayload");
const STEADY: Plain = Plain::bidi_streaming("/test.Demo/PanicsSteady");

/// Panics when it is dropped.
struct Bomb(&'static str);

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("{}", self.0);
    }
}

#[test]
fn a_panic_anywhere_in_a_handler_ends_its_call_and_is_logged() {
    log::keep();
    let service = demo()
        .unary(UNARY, |_, _| {
            panic!("before-the-future");
            #[expect(unreachable_code, reason = "the closure has to have a type")]
            async {
                Ok(Response::new(Bytes::new()))
            }
        })
        .server_streaming(SERVER, |_, _, mut replies| async move {
            replies.write("one".into()).await?;
            tokio::task::yield_now().await;
            panic!("after-an-await")
        })
        .bidi_streaming(BIDI, |_, mut requests, _| async move {
            requests.read().await?;
            panic!("in-a-stream")
        })
        .blocking_unary(BLOCKING, |(), _| panic!("in-a-blocking-handler"))
        .blocking_bidi_streaming(BLOCKING_BIDI, |(), requests, replies| {
            for request in requests {
                replies.write(request?)?;
                assert!(requests_end(), "behind-a-message");
            }
            Ok(())
        })
        .unary(DROPS, |_, _| async {
            let bomb = Bomb("in-the-drop-of-the-future");
            std::future::ready(()).await;
            panic::panic_any(bomb)
        })
        .unary(PAYLOAD, |_, _| async { panic::panic_any(Bomb("in-the-drop-of-the-payload")) })
        .bidi_streaming(STEADY, |_, mut requests, mut replies| async move {
            while let Some(request) = requests.read().await? {
                replies.write(request).await?;
            }
            Ok(())
        })
        .build();
    serve(1, service, |_, address| {
        let mut client = Client::connect(address);
        let steady = client.request(&Request::of(STEADY.path()).open());
        let rows = [
            (UNARY, "before-the-future"),
            (SERVER, "after-an-await"),
            (BIDI, "in-a-stream"),
            (BLOCKING, "in-a-blocking-handler"),
            (BLOCKING_BIDI, "behind-a-message"),
            (DROPS, "a value that is no text"),
            (PAYLOAD, "a value that is no text"),
        ];
        for (method, panic) in rows {
            let answer = client.call(&request(method, &["x"]));
            assert_eq!(answer.code(), INTERNAL, "{answer:?}");
            assert!(answer.message().contains("the handler panicked"), "{answer:?}");
            assert!(!answer.message().contains(panic), "a client need not see more: {answer:?}");
            until(1, || log::count(&["a handler panicked", method.path(), panic]));
        }
        // The other call of the same connection is well.
        client.send(&crate::raw::frame::Frame::data(steady, message(b"still here"), true));
        assert_eq!(ok(&client.answer(steady)), ["still here"]);
    });
}

fn requests_end() -> bool {
    false
}

#[test]
fn a_panic_in_the_drop_of_a_future_ends_its_call_only() {
    log::keep();
    const READY: Plain = Plain::unary("/test.Demo/DropPanicsReady");
    const CANCELLED: Plain = Plain::bidi_streaming("/test.Demo/DropPanicsCancelled");
    let service = demo()
        .unary(READY, |_, _| KeepsUntilDropped { _bomb: Bomb("ready") })
        .bidi_streaming(CANCELLED, |_, _, _| async {
            let _bomb = Bomb("cancelled");
            std::future::pending::<Result<(), Status>>().await
        })
        .build();
    serve(1, service, |_, address| {
        let mut client = Client::connect(address);
        let answer = client.call(&request(READY, &["x"]));
        assert_eq!(answer.code(), INTERNAL, "it is dropped before there is a reply: {answer:?}");
        until(1, || log::count(&["a handler panicked", READY.path(), "ready"]));

        let stream = client.request(&Request::of(CANCELLED.path()).open());
        client.ping();
        client.send(&crate::raw::frame::Frame::reset(stream, crate::raw::frame::CANCEL));
        until(1, || log::count(&["a handler panicked", CANCELLED.path(), "cancelled"]));
        assert_eq!(log::count(&["a closure panicked"]), 0);
    });
}

/// A future that is ready at once and panics when it is dropped.
struct KeepsUntilDropped {
    _bomb: Bomb,
}

impl Future for KeepsUntilDropped {
    type Output = Result<Response<Bytes>, Status>;

    fn poll(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        std::task::Poll::Ready(Ok(Response::new("ready".into())))
    }
}

/// Bytes, or a cause, that panic when they are dropped.
#[derive(Debug)]
struct Explosive;

impl Drop for Explosive {
    fn drop(&mut self) {
        panic!("in the drop of what a reply has left");
    }
}

impl AsRef<[u8]> for Explosive {
    fn as_ref(&self) -> &[u8] {
        b"explosive"
    }
}

impl std::fmt::Display for Explosive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("explosive")
    }
}

impl std::error::Error for Explosive {}

/// A waker that panics.
struct Alarming;

impl std::task::Wake for Alarming {
    fn wake(self: std::sync::Arc<Self>) {
        panic!("in a waker");
    }
}

/// Waits for the end of a call with a waker that panics.
fn wait_alarmingly(over: std::pin::Pin<&mut impl Future<Output = ()>>) {
    let waker = std::task::Waker::from(std::sync::Arc::new(Alarming));
    assert!(over.poll(&mut std::task::Context::from_waker(&waker)).is_pending());
}

#[test]
fn a_panic_in_what_a_reply_leaves_ends_nothing_and_run_returns() {
    const LATE: Plain = Plain::bidi_streaming("/test.Demo/LeftoverLate");
    const WOKEN: Plain = Plain::unary("/test.Demo/LeftoverWoken");
    const WAITING: Plain = Plain::bidi_streaming("/test.Demo/LeftoverWaiting");
    const REPLY: Plain = Plain::client_streaming("/test.Demo/LeftoverReply");
    let service = demo()
        .unary(UNARY, |_, _| async { Err(Status::aborted("x").with_source(Explosive)) })
        .blocking_unary(BLOCKING, |(), _| Err(Status::aborted("x").with_source(Explosive)))
        // What comes too late is dropped unsent.
        .bidi_streaming(LATE, |_, requests, _| async move {
            requests.cancelled().await;
            Err(Status::aborted("x").with_source(Explosive))
        })
        .client_streaming(REPLY, |_, requests| async move {
            requests.cancelled().await;
            Ok(Response::new(Bytes::from_owner(Explosive)))
        })
        .unary(WOKEN, |_, request| async move {
            let mut over = std::pin::pin!(request.cancelled());
            wait_alarmingly(over.as_mut());
            Ok(Response::new("woken".into()))
        })
        .bidi_streaming(WAITING, |_, requests, _| async move {
            let mut over = std::pin::pin!(requests.cancelled());
            wait_alarmingly(over.as_mut());
            std::future::pending::<Result<(), Status>>().await
        })
        .build();
    const ABORTED: u32 = 10;
    serve(2, service, |_, address| {
        let mut client = Client::connect(address);
        for _ in 0..3 {
            assert_eq!(client.call(&request(UNARY, &["x"])).code(), ABORTED);
            assert_eq!(client.call(&request(BLOCKING, &["x"])).code(), ABORTED);
            assert_eq!(ok(&client.call(&request(WOKEN, &["x"]))), ["woken"]);
            for method in [LATE, REPLY, WAITING] {
                let stream = client.request(&Request::of(method.path()).open());
                client.ping();
                client.send(&crate::raw::frame::Frame::reset(stream, crate::raw::frame::CANCEL));
            }
        }
        client.ping();
        // At the end of this, run has to return on both threads.
    });
}
