//! The end of a server with handlers.

use super::common::{
    BIDI, BLOCKING, BLOCKING_BIDI, CANCELLED, Guards, Helper, UNARY, demo, next, ok, request, until,
};
use crate::raw::PATIENCE;
use crate::raw::client::{Answer, Client};
use crate::raw::frame::{self, Frame};
use crate::raw::request::{Request, message};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Duration;
use turnstile::{Bytes, Response, Server, Service};

const LONG: Duration = Duration::from_secs(3600);

fn bind(service: Service) -> (Server, SocketAddr) {
    let server = Server::builder().add_service(service).bind("127.0.0.1:0").expect("a free port");
    let address = server.local_addr().expect("it listens on TCP");
    (server, address)
}

/// Handlers that end when the test says so.
struct Held {
    guards: Guards,
    begun: Receiver<&'static str>,
    release: Sender<()>,
}

fn held() -> (Service, Held) {
    let guards = Guards::default();
    let (begin, begun) = channel();
    let (release, gate) = channel::<()>();
    let gate = Mutex::new(gate);
    let (in_async, in_blocking) = (guards.clone(), guards.clone());
    let begin_blocking = begin.clone();
    let service = demo()
        .bidi_streaming(BIDI, move |_, mut requests, mut replies| {
            let guard = in_async.guard();
            begin.send("async").unwrap();
            async move {
                let _guard = guard;
                while let Some(request) = requests.read().await? {
                    replies.write(request).await?;
                }
                Ok(())
            }
        })
        .blocking_unary(BLOCKING, move |(), request| {
            let _guard = in_blocking.guard();
            begin_blocking.send("blocking").unwrap();
            gate.lock().unwrap().recv().expect("the test opens it");
            Ok(Response::new(request.into_inner()))
        })
        .blocking_bidi_streaming(BLOCKING_BIDI, |(), requests, _| {
            requests.read()?;
            Ok(())
        })
        .unary(UNARY, |_, request| async move { Ok(Response::new(request.into_inner())) })
        .build();
    (service, Held { guards, begun, release })
}

/// Answers the PING that comes with a graceful shutdown's first GOAWAY.
#[track_caller]
fn take_goaway(client: &mut Client) {
    let ping = client.skip_to(frame::PING).expect("a PING comes with the GOAWAY");
    client.pong(&ping);
}

#[track_caller]
fn assert_cancelled(answer: &Answer) {
    let has_status = answer.header("grpc-status").is_some();
    let is_cancelled = has_status && answer.code() == CANCELLED;
    assert!(answer.is_closed || answer.reset.is_some() || is_cancelled, "{answer:?}");
}

#[test]
fn run_returns_on_every_thread_once_calls_have_ended() {
    let (service, held) = held();
    let (server, address) = bind(service);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| server.run())).collect();
        let mut client = Client::connect(address);
        let stream = client.request(&Request::of(BIDI.path()).open());
        let blocked = client.request(&request(BLOCKING, &["slept"]));
        next(&held.begun);
        next(&held.begun);
        server.shutdown(LONG);
        server.shutdown(LONG);
        take_goaway(&mut client);
        client.send(&Frame::data(stream, message(b"last words"), true));
        assert_eq!(ok(&client.answer(stream)), ["last words"]);
        assert!(threads.iter().all(|thread| !thread.is_finished()), "a call runs");
        held.release.send(()).unwrap();
        assert_eq!(ok(&client.answer(blocked)), ["slept"]);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(held.guards.dropped(), held.guards.made());
    });
    // Nothing to do any more.
    server.run();
    server.shutdown(LONG);
    server.run();
}

#[test]
fn a_request_that_is_half_here_may_finish_within_the_grace() {
    let (service, _held) = held();
    let (server, address) = bind(service);
    thread::scope(|scope| {
        scope.spawn(|| server.run());
        let mut client = Client::connect(address);
        let whole = message(b"in two parts");
        let half = Request::of(UNARY.path()).body(&whole[..8]).open();
        let stream = client.request(&half);
        client.ping();
        server.shutdown(LONG);
        take_goaway(&mut client);
        client.send(&Frame::data(stream, &whole[8..], true));
        assert_eq!(ok(&client.answer(stream)), ["in two parts"]);
    });
}

#[test]
fn after_the_grace_what_still_runs_is_cancelled() {
    let (service, held) = held();
    let (server, address) = bind(service);
    thread::scope(|scope| {
        (0..2).for_each(|_| drop(scope.spawn(|| server.run())));
        let mut client = Client::connect(address);
        let stream = client.request(&Request::of(BIDI.path()).open());
        let reads = client.request(&Request::of(BLOCKING_BIDI.path()).open());
        let half = client.request(&Request::of(UNARY.path()).body(vec![0; 3]).open());
        next(&held.begun);
        // Of several, the shortest counts.
        server.shutdown(LONG);
        server.shutdown(Duration::from_millis(20));
        server.shutdown(LONG);
        let answer = client.answer(stream);
        assert_cancelled(&answer);
        if !answer.is_closed {
            for stream in [reads, half] {
                assert_cancelled(&client.answer(stream));
            }
        }
    });
    assert_eq!((held.guards.made(), held.guards.dropped()), (1, 1));
}

/// The thread in a blocking handler comes home last.
#[test]
fn a_blocking_handler_that_does_not_end_is_waited_for() {
    let (service, held) = held();
    let (server, address) = bind(service);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(|| server.run())).collect();
        let mut client = Client::connect(address);
        let blocked = client.request(&request(BLOCKING, &["x"]));
        assert_eq!(next(&held.begun), "blocking");
        server.shutdown(Duration::ZERO);
        assert_cancelled(&client.answer(blocked));
        assert!(threads.iter().all(|thread| !thread.is_finished()), "a handler runs");
        held.release.send(()).unwrap();
    });
    assert_eq!((held.guards.made(), held.guards.dropped()), (1, 1));
}

#[test]
fn calls_that_wait_for_a_thread_are_answered_before_the_end() {
    let (service, held) = held();
    let (server, address) = bind(service);
    thread::scope(|scope| {
        scope.spawn(|| server.run());
        thread::scope(|scope| {
            // The server's only thread sleeps.
            let _helper = Helper::start(scope);
            let mut client = Client::connect(address);
            let blocked = client.request(&request(BLOCKING, &["first"]));
            next(&held.begun);
            let waiting = client.request(&request(UNARY, &["second"]));
            client.ping();
            server.shutdown(LONG);
            take_goaway(&mut client);
            held.release.send(()).unwrap();
            let mut bodies = Vec::new();
            for _ in 0..2 {
                // In either order: two threads serve the connection.
                loop {
                    let frame = client.next_frame().expect("both are answered");
                    if frame.kind == frame::DATA {
                        bodies.push((frame.stream, super::common::texts(&frame.payload)));
                    }
                    if frame.kind == frame::HEADERS && frame.has(frame::END_STREAM) {
                        break;
                    }
                }
            }
            bodies.sort();
            let expected = [(blocked, vec!["first".into()]), (waiting, vec!["second".into()])];
            assert_eq!(bodies, expected);
        });
    });
}

#[test]
fn a_server_that_nobody_runs_shuts_down_too() {
    let guards = Guards::default();
    let guard = guards.guard();
    let service = demo()
        .unary(UNARY, move |_, _| {
            let _guard = &guard;
            async { Ok(Response::new(Bytes::new())) }
        })
        .build();
    let (server, address) = bind(service);
    server.shutdown(LONG);
    assert!(TcpStream::connect(address).is_err(), "it does not listen any more");
    server.run();
    drop(server);
    assert_eq!(guards.dropped(), 1, "handlers are freed with their server");
}

/// Another thread's I/O has brought a call, and nobody has run it.
#[test]
fn dropping_a_server_drops_what_waits_for_it() {
    let guards = Guards::default();
    let guard = guards.guard();
    let service = demo()
        .unary(UNARY, move |_, _| {
            let _guard = &guard;
            async { panic!("nobody runs it") }
        })
        .build();
    let (server, address) = bind(service);
    thread::scope(|scope| {
        let _helper = Helper::start(scope);
        let mut client = Client::connect(address);
        let stream = client.request(&request(UNARY, &["x"]));
        client.ping();
        server.shutdown(LONG);
        drop(server);
        let answer = client.answer(stream);
        let code = answer.header("grpc-status").map(|_| answer.code());
        assert!(answer.is_closed || code == Some(super::common::UNAVAILABLE), "{answer:?}");
        drop(client);
        until(1, || guards.dropped());
    });
}

/// Connects again and again, for as long as the server lets anybody in. No client says more than
/// HTTP/2's greeting, not even PONG.
fn connect_until_refused(address: SocketAddr) -> Vec<TcpStream> {
    let mut greeting = frame::PREFACE.to_vec();
    greeting.extend(frame::to_bytes(&[Frame::settings(&[])]));
    let mut sockets = Vec::new();
    while let Ok(mut socket) = TcpStream::connect(address) {
        // It may be closed already.
        let _ = socket.write_all(&greeting);
        sockets.push(socket);
    }
    sockets
}

#[track_caller]
fn assert_is_closed(mut socket: TcpStream) {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let end = socket.read_to_end(&mut Vec::new());
    let is_open = end.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    assert!(!is_open, "the shutdown's grace is over, and a connection is not");
}

/// The end of the grace may be found by one thread before another has begun the shutdown.
#[test]
fn clients_that_connect_during_a_shutdown_without_grace_do_not_hold_it_up() {
    const ROUNDS: usize = 300;
    const CLIENTS: usize = 2;
    for _ in 0..ROUNDS {
        let mut builder = Server::builder();
        builder.goaway_timeout(LONG).handshake_timeout(LONG);
        let server = builder.bind("127.0.0.1:0").expect("a free port");
        let address = server.local_addr().expect("it listens on TCP");
        let start = Barrier::new(1 + CLIENTS);
        thread::scope(|scope| {
            (0..2).for_each(|_| drop(scope.spawn(|| server.run())));
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    start.wait();
                    connect_until_refused(address).into_iter().for_each(assert_is_closed);
                });
            }
            start.wait();
            server.shutdown(Duration::ZERO);
        });
    }
}
