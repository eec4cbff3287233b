//! What serving costs the system beyond reading and writing: the calls that set something up, and
//! the threads that wake.
//!
//! A server is a process of its own here, and each test runs under every polling engine, or under
//! the one that `GRPC_POLL_STRATEGY` names.

mod raw;
mod support;
mod syscalls {
    pub(crate) mod client;
    pub(crate) mod server;
    pub(crate) mod strace;
    pub(crate) mod wakeups;
}

use raw::client::Client;
use raw::frame::{self, Frame};
use raw::request::{Request, message};
use std::net::SocketAddr;
use syscalls::client::{self, Calling};
use syscalls::server::{ECHO, Place, Style, under_each_engine};
use syscalls::strace::{self, Traced};
use syscalls::wakeups::Sleeps;

/// The system calls that make, change or close something to wait for.
const SET_UP: [&str; 12] = [
    "accept4",
    "close",
    "dup",
    "epoll_create1",
    "epoll_ctl",
    "eventfd2",
    "fcntl",
    "pipe2",
    "socket",
    "timerfd_create",
    "timerfd_settime",
    "openat",
];

/// How many calls are counted.
const CALLS: usize = 10_000;

/// The connections that they are made on.
const CONNECTIONS: usize = 4;

/// Makes a call, and waits for its first answer: its thread waits for the second message now, or
/// will.
fn begin(client: &mut Client) -> u32 {
    let stream = client.request(&Request::of(ECHO.path()).body(message(b"first")).open());
    client.head(stream);
    assert_eq!(client.expect(frame::DATA).payload, message(b"first"));
    stream
}

fn end(client: &mut Client, stream: u32) {
    client.send(&Frame::data(stream, message(b"second"), true));
    let answer = client.answer(stream);
    assert_eq!((answer.code(), answer.body), (0, message(b"second")));
}

/// Asserts that calls set nothing up, when everything that is set up once is there.
///
/// Each call waits for its client twice: for its second message, and for the end behind that. Two
/// threads serve, and two calls go on at a time, so that both threads wait in a call before anything is
/// counted, and that with each connection.
fn assert_calls_set_nothing_up(place: &Place, style: Style) {
    const THREADS: usize = 2;
    let Some(strace) = strace::find() else { return };
    let name = format!("server-{}-{style:?}", place.engine);
    let mut traced =
        Traced::start(&strace, &name, &SET_UP, |tracer| place.serve_under(tracer, style, THREADS));
    let address = traced.process.address;
    let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| Client::connect(address)).collect();
    for client in &mut clients {
        let streams = [(); THREADS].map(|()| begin(client));
        streams.into_iter().for_each(|stream| end(client, stream));
    }
    let once = traced.calls();
    for needed in ["accept4", "eventfd2"] {
        let is_it = |line: &String| strace::name(line) == Some(needed);
        assert!(once.iter().any(is_it), "strace has seen no {needed}: {once:#?}");
    }
    for _ in 0..CALLS / CONNECTIONS {
        for pair in clients.chunks_mut(THREADS) {
            let streams: Vec<_> = pair.iter_mut().map(begin).collect();
            pair.iter_mut().zip(streams).for_each(|(client, stream)| end(client, stream));
        }
    }
    let more = traced.calls();
    assert!(
        more.is_empty(),
        "{}, {style:?}: {} system calls in {CALLS} calls, the first of them {:#?}",
        place.engine,
        more.len(),
        more.iter().take(20).collect::<Vec<_>>(),
    );
}

#[test]
fn ten_thousand_calls_with_a_queue_each_make_no_watch_and_no_descriptor() {
    let name = "ten_thousand_calls_with_a_queue_each_make_no_watch_and_no_descriptor";
    under_each_engine(name, |place| assert_calls_set_nothing_up(&place, Style::QueuePerCall));
}

#[test]
fn ten_thousand_waits_of_blocking_handlers_make_no_watch_and_no_descriptor() {
    let name = "ten_thousand_waits_of_blocking_handlers_make_no_watch_and_no_descriptor";
    under_each_engine(name, |place| assert_calls_set_nothing_up(&place, Style::Blocking));
}

#[test]
fn ten_thousand_calls_of_async_handlers_make_no_watch_and_no_descriptor() {
    let name = "ten_thousand_calls_of_async_handlers_make_no_watch_and_no_descriptor";
    under_each_engine(name, |place| assert_calls_set_nothing_up(&place, Style::Async));
}

/// Asserts that a client's calls set nothing up, when everything that is set up once is there. Each waits
/// for its server; two threads call, so that each thread has waited before anything is counted.
fn assert_a_clients_calls_set_nothing_up(place: &Place, style: client::Style) {
    let Some(strace) = strace::find() else { return };
    let server = place.serve(Style::Async, 1);
    let name = format!("client-{}-{style:?}", place.engine);
    let mut traced = Traced::start(&strace, &name, &SET_UP, |tracer| {
        Calling::start(tracer, place, style, server.address)
    });
    let once = traced.calls();
    let has_connected = once.iter().any(|line| strace::name(line) == Some("socket"));
    assert!(has_connected, "strace has seen no socket: {once:#?}");
    traced.process.go_on();
    let more = traced.calls();
    assert!(
        more.is_empty(),
        "{}, {style:?}: {} system calls in {} calls, the first of them {:#?}",
        place.engine,
        more.len(),
        client::CALLS,
        more.iter().take(20).collect::<Vec<_>>(),
    );
}

#[test]
fn ten_thousand_calls_of_a_blocking_stub_with_a_queue_each_make_no_watch_and_no_descriptor() {
    let name =
        "ten_thousand_calls_of_a_blocking_stub_with_a_queue_each_make_no_watch_and_no_descriptor";
    let style = client::Style::Blocking;
    under_each_engine(name, |place| assert_a_clients_calls_set_nothing_up(&place, style));
}

#[test]
fn ten_thousand_calls_of_an_async_stub_make_no_watch_and_no_descriptor() {
    let name = "ten_thousand_calls_of_an_async_stub_make_no_watch_and_no_descriptor";
    let style = client::Style::Async;
    under_each_engine(name, |place| assert_a_clients_calls_set_nothing_up(&place, style));
}

#[test]
fn ten_thousand_calls_on_a_queue_make_no_watch_and_no_descriptor() {
    let name = "ten_thousand_calls_on_a_queue_make_no_watch_and_no_descriptor";
    let style = client::Style::Queue;
    under_each_engine(name, |place| assert_a_clients_calls_set_nothing_up(&place, style));
}

/// The threads of the tests about wakeups.
const CROWD: usize = 8;

/// A client that has connected and says nothing. What it is sent first comes when it was accepted.
fn silent(address: SocketAddr) -> Client {
    let mut client = Client::silent(address);
    client.expect(frame::SETTINGS);
    client
}

/// Two: the one that waited for the listener accepts, and its successor is the poller before it does
/// so. The successor also hears of the timer of the new connection's handshake, but it keeps its place:
/// the other six sleep.
///
/// The first connection of all is not counted. Under epollex it is the second fd of the pollset of
/// `run`, which so gets an epoll set of its own, and everybody moves there.
#[test]
fn a_connection_wakes_the_thread_that_accepts_and_its_successor() {
    let name = "a_connection_wakes_the_thread_that_accepts_and_its_successor";
    under_each_engine(name, |place| {
        let server = place.serve(Style::Async, CROWD);
        let _first = silent(server.address);
        let before = Sleeps::of(&server, CROWD);
        let _second = silent(server.address);
        let woken = Sleeps::of(&server, CROWD).since(&before);
        assert_eq!(woken.len(), 2, "{}: {woken:?}", place.engine);
    });
}

/// Two at most where each thread has a queue of its own, too: the one that accepts, and another that polls
/// instead. Each queue waits for the new connection from then on, but nobody has to wake for that.
#[test]
fn a_connection_wakes_one_of_many_queues_and_a_successor() {
    let name = "a_connection_wakes_one_of_many_queues_and_a_successor";
    under_each_engine(name, |place| {
        let server = place.serve(Style::QueuePerCall, CROWD);
        let _first = silent(server.address);
        let before = Sleeps::of(&server, CROWD);
        let _second = silent(server.address);
        let woken = Sleeps::of(&server, CROWD).since(&before);
        assert!((1..=2).contains(&woken.len()), "{}: {woken:?}", place.engine);
    });
}

/// Two again: the one that waited for it reads, handles and answers it, and its successor polls
/// meanwhile. The job that is made of it goes to the thread that made it.
#[test]
fn a_call_wakes_the_thread_that_handles_it_and_its_successor() {
    let name = "a_call_wakes_the_thread_that_handles_it_and_its_successor";
    under_each_engine(name, |place| {
        let server = place.serve(Style::Async, CROWD);
        let mut client = Client::connect(server.address);
        for _ in 0..10 {
            let before = Sleeps::of(&server, CROWD);
            client.call(&Request::of(ECHO.path()).body(message(b"only")));
            let woken = Sleeps::of(&server, CROWD).since(&before);
            assert_eq!(woken.len(), 2, "{}: {woken:?}", place.engine);
        }
    });
}

/// Three at most, where each thread has a queue of its own: the one that finds the event, its
/// successor, if others wait for the same, and the one whose queue the call was requested with. Which
/// thread finds the event is the system's choice.
#[test]
fn a_call_to_one_of_many_queues_leaves_the_threads_of_the_others_asleep() {
    let name = "a_call_to_one_of_many_queues_leaves_the_threads_of_the_others_asleep";
    under_each_engine(name, |place| {
        let server = place.serve(Style::QueuePerCall, CROWD);
        let mut client = Client::connect(server.address);
        for _ in 0..10 {
            let before = Sleeps::of(&server, CROWD);
            client.call(&Request::of(ECHO.path()).body(message(b"only")));
            let woken = Sleeps::of(&server, CROWD).since(&before);
            assert!(woken.len() <= 3, "{}: {woken:?}", place.engine);
        }
    });
}
