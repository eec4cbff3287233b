//! Serving until a future says that it is enough, and where `run` cannot be called.

use super::common::{
    BIDI, BLOCKING, BLOCKING_BIDI, CANCELLED, Guards, INTERNAL, UNARY, call, demo, next, ok,
    request, until,
};
use crate::raw::client::Client;
use crate::raw::frame::{self, Frame};
use crate::raw::request::{Request, message};
use std::future::{pending, poll_fn, ready};
use std::net::{SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;
use tokio::sync::oneshot;
use turnstile::{Bytes, Response, Server, Service};

const LONG: Duration = Duration::from_secs(3600);

fn bind(service: Service) -> (Server, SocketAddr) {
    let server = Server::builder().add_service(service).bind("127.0.0.1:0").expect("a free port");
    let address = server.local_addr().expect("it listens on TCP");
    (server, address)
}

/// Handlers that say when they have begun, and go on until their clients have sent all.
fn streams() -> (Service, std::sync::mpsc::Receiver<()>) {
    let (begin, begun) = channel();
    let begin_blocking = begin.clone();
    let service = demo()
        .bidi_streaming(BIDI, move |_, mut requests, mut replies| {
            begin.send(()).unwrap();
            async move {
                while let Some(request) = requests.read().await? {
                    replies.write(request).await?;
                }
                Ok(())
            }
        })
        .blocking_bidi_streaming(BLOCKING_BIDI, move |(), requests, replies| {
            begin_blocking.send(()).unwrap();
            while let Some(request) = requests.read()? {
                replies.write(request)?;
            }
            Ok(())
        })
        .build();
    (service, begun)
}

/// Waits for the GOAWAY, answers its PING, and ends the call.
#[track_caller]
fn finish_gracefully(client: &mut Client, stream: u32) {
    let ping = client.skip_to(frame::PING).expect("a PING comes with the GOAWAY");
    client.pong(&ping);
    client.send(&Frame::data(stream, message(b"last words"), true));
    assert_eq!(ok(&client.answer(stream)), ["last words"]);
}

/// A stop that is dropped, or is not, with its guard.
fn never(guards: &Guards) -> impl Future<Output = ()> + Send + 'static {
    let guard = guards.guard();
    async move {
        let _guard = guard;
        pending::<()>().await;
    }
}

#[test]
fn a_stop_that_is_ready_at_once_ends_a_server_that_nobody_has_called() {
    let (server, address) = bind(demo().build());
    server.run_until(ready(()), LONG);
    assert!(TcpStream::connect(address).is_err(), "it does not listen any more");
    // Nothing to do any more, whatever the future.
    server.run_until(pending(), LONG);
    server.run();
}

#[test]
fn a_stop_from_outside_lets_running_calls_end_and_every_thread_return() {
    let (service, begun) = streams();
    let (server, address) = bind(service);
    let (stop, stopped) = oneshot::channel::<()>();
    thread::scope(|scope| {
        let server = &server;
        scope.spawn(move || server.run_until(async { drop(stopped.await) }, LONG));
        (0..2).for_each(|_| drop(scope.spawn(|| server.run())));
        let mut client = Client::connect(address);
        let stream = client.request(&Request::of(BIDI.path()).open());
        next(&begun);
        stop.send(()).unwrap();
        finish_gracefully(&mut client, stream);
    });
}

/// The only thread is in a handler, which waits for its client.
#[test]
fn a_stop_is_noticed_while_a_blocking_handler_waits() {
    let (service, begun) = streams();
    let (server, address) = bind(service);
    let (stop, stopped) = oneshot::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(|| server.run_until(async { drop(stopped.await) }, LONG));
        let mut client = Client::connect(address);
        let stream = client.request(&Request::of(BLOCKING_BIDI.path()).open());
        next(&begun);
        stop.send(()).unwrap();
        finish_gracefully(&mut client, stream);
    });
}

#[test]
fn what_runs_longer_than_the_grace_of_a_stop_is_cancelled() {
    let (service, begun) = streams();
    let (server, address) = bind(service);
    let (stop, stopped) = oneshot::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(|| server.run_until(async { drop(stopped.await) }, Duration::ZERO));
        let mut client = Client::connect(address);
        let stream = client.request(&Request::of(BIDI.path()).open());
        next(&begun);
        stop.send(()).unwrap();
        let answer = client.answer(stream);
        let has_status = answer.header("grpc-status").is_some();
        let is_cancelled = has_status && answer.code() == CANCELLED;
        assert!(answer.is_closed || answer.reset.is_some() || is_cancelled, "{answer:?}");
    });
}

#[test]
fn a_handler_can_stop_its_server_and_still_answers() {
    let (stop, stopped) = oneshot::channel::<()>();
    let stop = Mutex::new(Some(stop));
    let service = demo().unary(UNARY, move |_, request| {
        let stop = stop.lock().unwrap().take().expect("it is called once");
        async move {
            stop.send(()).unwrap();
            Ok(Response::new(request.into_inner()))
        }
    });
    let (server, address) = bind(service.build());
    thread::scope(|scope| {
        scope.spawn(|| server.run_until(async { drop(stopped.await) }, LONG));
        let mut client = Client::connect(address);
        let stream = client.request(&request(UNARY, &["x"]));
        let mut reply = Vec::new();
        // The GOAWAY and its PING come before the reply, or behind it.
        let mut is_ponged = false;
        let mut has_ended = false;
        while !(is_ponged && has_ended) {
            let frame = client.next_frame().expect("both come");
            match frame.kind {
                frame::PING => {
                    client.pong(&frame);
                    is_ponged = true;
                }
                frame::DATA => reply.extend(&frame.payload),
                frame::HEADERS => has_ended |= frame.has(frame::END_STREAM),
                _ => {}
            }
            assert!(frame.stream == 0 || frame.stream == stream);
        }
        assert_eq!(super::common::texts(&reply), ["x"]);
    });
}

#[test]
fn a_shutdown_from_elsewhere_ends_it_too_and_frees_the_stop() {
    let guards = Guards::default();
    let (service, begun) = streams();
    let (server, address) = bind(service);
    thread::scope(|scope| {
        let until = scope.spawn(|| server.run_until(never(&guards), Duration::ZERO));
        scope.spawn(|| server.run());
        let mut client = Client::connect(address);
        let stream = client.request(&Request::of(BIDI.path()).open());
        next(&begun);
        server.shutdown(LONG);
        finish_gracefully(&mut client, stream);
        drop(client);
        until.join().unwrap();
        assert_eq!((guards.made(), guards.dropped()), (1, 1));
    });
}

#[test]
fn of_two_stops_the_first_counts_and_both_threads_return() {
    let guards = Guards::default();
    let (server, _) = bind(demo().build());
    let (stop, stopped) = oneshot::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(|| server.run_until(never(&guards), LONG));
        scope.spawn(|| server.run_until(async { drop(stopped.await) }, LONG));
        stop.send(()).unwrap();
    });
    assert_eq!((guards.made(), guards.dropped()), (1, 1));
}

/// By many threads at once, while it is polled and between.
#[test]
fn a_stop_that_is_woken_again_and_again_is_polled_by_one_thread_at_a_time() {
    const POLLS: usize = 2000;
    let (server, _) = bind(demo().build());
    let is_polled = AtomicBool::new(false);
    let waker = Arc::new(Mutex::new(None::<Waker>));
    let (kept, mut polls) = (waker.clone(), 0);
    let stop = poll_fn(move |context| {
        assert!(!is_polled.swap(true, SeqCst), "another thread polls");
        *kept.lock().unwrap() = Some(context.waker().clone());
        polls += 1;
        if polls % 2 == 0 {
            context.waker().wake_by_ref();
        }
        is_polled.store(false, SeqCst);
        if polls < POLLS { Poll::Pending } else { Poll::Ready(()) }
    });
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        (0..2).for_each(|_| drop(scope.spawn(|| server.run())));
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(SeqCst) {
                    let waker = waker.lock().unwrap().clone();
                    waker.into_iter().for_each(Waker::wake);
                    thread::yield_now();
                }
            });
        }
        let ended = scope.spawn(|| server.run_until(stop, LONG)).join();
        is_over.store(true, SeqCst);
        ended.unwrap();
    });
}

#[test]
fn a_stop_that_panics_stops_the_server_and_the_panic_goes_on_in_run_until() {
    let (server, address) = bind(demo().build());
    let (stop, stopped) = oneshot::channel::<()>();
    thread::scope(|scope| {
        let helper = scope.spawn(|| server.run());
        let until = scope.spawn(|| {
            let stop = async {
                drop(stopped.await);
                panic!("no way to stop");
            };
            catch_unwind(AssertUnwindSafe(|| server.run_until(stop, LONG)))
        });
        stop.send(()).unwrap();
        let panic = until.join().unwrap().unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"no way to stop"));
        helper.join().unwrap();
    });
    assert!(TcpStream::connect(address).is_err(), "it does not listen any more");
}

/// The server that a handler belongs to.
type Own = Arc<OnceLock<Weak<Server>>>;

fn run_own(own: &Own) {
    own.get().and_then(Weak::upgrade).expect("it is alive").run();
}

/// It could never return: it would wait for the handler that waits for it.
#[test]
fn a_handler_that_runs_its_own_server_is_told_by_a_panic() {
    let own = Own::default();
    let (in_async, in_blocking) = (own.clone(), own.clone());
    let service = demo()
        .unary(UNARY, move |_, _| {
            let own = in_async.clone();
            async move {
                run_own(&own);
                Ok(Response::new(Bytes::new()))
            }
        })
        .blocking_unary(BLOCKING, move |(), _| {
            run_own(&in_blocking);
            Ok(Response::new(Bytes::new()))
        });
    let (server, address) = bind(service.build());
    let server = Arc::new(server);
    own.set(Arc::downgrade(&server)).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| server.run());
        for method in [UNARY, BLOCKING, UNARY] {
            let answer = call(address, method, &["x"]);
            assert_eq!((answer.http(), answer.code()), ("200", INTERNAL), "{answer:?}");
        }
        server.shutdown(LONG);
    });
}

#[test]
fn a_blocking_handler_may_run_another_server() {
    let echo = demo().unary(UNARY, |_, it| async move { Ok(Response::new(it.into_inner())) });
    let (inner, inner_address) = bind(echo.build());
    let inner = Arc::new(inner);
    let in_handler = inner.clone();
    let service = demo().blocking_unary(BLOCKING, move |(), request| {
        in_handler.run();
        Ok(Response::new(request.into_inner()))
    });
    let (outer, address) = bind(service.build());
    thread::scope(|scope| {
        scope.spawn(|| outer.run());
        let mut client = Client::connect(address);
        let stream = client.request(&request(BLOCKING, &["outer"]));
        assert_eq!(ok(&call(inner_address, UNARY, &["inner"])), ["inner"]);
        inner.shutdown(LONG);
        assert_eq!(ok(&client.answer(stream)), ["outer"]);
        outer.shutdown(Duration::ZERO);
    });
    // A thread that has been there may come again.
    outer.run();
    until(true, || TcpStream::connect(address).is_err());
}
