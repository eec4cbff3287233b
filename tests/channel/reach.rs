//! Servers that are there, and servers that are not: what a call is told.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use turnstile::test_server::TestServer;
use turnstile::{CallOptions, Channel, Code, ConnectivityState, Server, block_on};

use super::common::{Caller, PATIENCE, bind, greeter, unused_port};
use super::frame::{self, Frame};
use super::frames::FrameServer;

fn waits() -> CallOptions {
    CallOptions::new().wait_for_ready(true)
}

#[test]
fn a_call_connects_and_brings_a_reply() {
    thread::scope(|scope| {
        let server = TestServer::start(scope, 1, Server::builder().add_service(greeter())).unwrap();
        let caller = Caller::to(&server.address());
        for name in ["you", "me"] {
            let reply = caller.call(name, CallOptions::new());
            assert_eq!(reply.unwrap(), format!("Hello {name}"));
        }
    });
}

#[test]
fn many_calls_at_once_wait_for_one_connection() {
    let server = bind("127.0.0.1:0");
    let caller = Caller::to(&server.local_addr().unwrap().to_string());
    let calls: Vec<_> =
        (0..20).map(|tag| caller.begin(&tag.to_string(), CallOptions::new(), tag)).collect();
    thread::scope(|scope| {
        scope.spawn(|| server.run());
        for _ in 0..20 {
            let (tag, reply) = caller.next();
            assert_eq!(reply.unwrap(), format!("Hello {tag}"));
        }
        // Nobody would notice that the server goes.
        drop((calls, caller));
        server.shutdown(PATIENCE);
    });
}

#[test]
fn a_refused_connect_is_told_with_its_address() {
    let port = unused_port();
    let status =
        Caller::to(&format!("127.0.0.1:{port}")).call("x", CallOptions::new()).unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let expected = format!("cannot connect to 127.0.0.1:{port}: Connection refused (os error 111)");
    assert_eq!(status.message(), expected);
}

#[test]
fn a_name_that_nobody_knows_is_told() {
    let status = Caller::to("dns:///no-such-host.invalid:80").call("x", CallOptions::new());
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let expected = "\"no-such-host.invalid\" is no name that this machine knows";
    assert!(status.message().starts_with(expected), "{status}");
}

#[test]
fn a_unix_socket_that_is_not_there_is_told() {
    let status = Caller::to("unix:/no/such/socket").call("x", CallOptions::new()).unwrap_err();
    let expected = "cannot connect to unix:/no/such/socket: No such file or directory (os error 2)";
    assert_eq!((status.code(), status.message()), (Code::Unavailable, expected));
}

#[test]
fn addresses_are_tried_in_turn_and_each_failure_is_told() {
    thread::scope(|scope| {
        let server = TestServer::start(scope, 1, Server::builder().add_service(greeter())).unwrap();
        let (first, second) = (unused_port(), unused_port());
        let good = server.address();
        let target = format!("ipv4:127.0.0.1:{first},{good},127.0.0.1:{second}");
        assert!(Caller::to(&target).call("you", CallOptions::new()).is_ok());
        let target = format!("ipv4:127.0.0.1:{first},127.0.0.1:{second}");
        let status = Caller::to(&target).call("you", CallOptions::new()).unwrap_err();
        for port in [first, second] {
            let part = format!("cannot connect to 127.0.0.1:{port}: Connection refused");
            assert!(status.message().contains(&part), "{status}");
        }
    });
}

#[test]
fn a_server_of_http_1_is_told_with_what_it_says() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut socket, _) = listener.accept().unwrap();
            let _ = socket.read(&mut [0; 1024]).unwrap();
            socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        });
        let status = Caller::to(&address.to_string()).call("x", CallOptions::new()).unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        let expected = format!(
            "the server at ipv4:{address} does not speak HTTP/2: it answered \"HTTP/1.1 400 Bad Request\""
        );
        assert_eq!(status.message(), expected);
    });
}

#[test]
fn a_server_that_says_nothing_has_its_time() {
    let server = FrameServer::new();
    let channel = Channel::builder(&server.address())
        .connect_timeout(Duration::from_millis(50))
        .backoff(Duration::from_millis(10), Duration::from_secs(60))
        .build();
    let caller = Caller::new(channel.unwrap());
    let status = caller.call("x", CallOptions::new()).unwrap_err();
    let expected = format!(
        "the server at ipv4:{} has accepted the connection, and sent no HTTP/2 SETTINGS; the time to \
         connect is over",
        server.address()
    );
    assert_eq!((status.code(), status.message()), (Code::Unavailable, &*expected));
}

#[test]
fn a_server_that_takes_no_calls_from_the_first_is_told_with_what_it_says() {
    let server = FrameServer::new();
    let caller = Caller::to(&server.address());
    let _call = caller.begin("you", CallOptions::new(), 1);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut socket = server.accept_silently();
            let mut goaway = vec![0; 8];
            goaway.extend(b"not today");
            // Together, so that there is no moment at which calls could begin.
            let goaway = Frame::new(frame::GOAWAY, 0, 0, goaway);
            socket.write_all(&frame::to_bytes(&[Frame::settings(&[]), goaway])).unwrap();
            let _ = socket.read_to_end(&mut Vec::new());
        });
        let status = caller.next().1.unwrap_err();
        let expected = format!(
            "the connection to ipv4:{} ended before it had a call: GOAWAY NO_ERROR \"not today\"",
            server.address()
        );
        assert_eq!((status.code(), status.message()), (Code::Unavailable, &*expected));
        drop(caller);
    });
}

#[test]
fn a_call_that_waits_for_ready_waits_for_the_server() {
    let port = unused_port();
    let address = format!("127.0.0.1:{port}");
    let channel =
        Channel::builder(&address).backoff(Duration::from_millis(10), Duration::from_millis(50));
    let caller = Caller::new(channel.build().unwrap());
    let patient = caller.begin("you", waits(), 1);
    // Others fail, which shows that there is no server.
    let hasty = caller.begin("me", CallOptions::new(), 2);
    let (tag, reply) = caller.next();
    assert_eq!((tag, reply.unwrap_err().code()), (2, Code::Unavailable));
    assert_eq!(caller.channel.state(false), ConnectivityState::TransientFailure);
    let server = bind(&address);
    thread::scope(|scope| {
        scope.spawn(|| server.run());
        let (tag, reply) = caller.next();
        assert_eq!((tag, reply.unwrap()), (1, "Hello you".to_owned()));
        drop((patient, hasty, caller));
        server.shutdown(PATIENCE);
    });
}

#[test]
fn a_deadline_that_passes_while_a_call_waits_says_what_it_waited_for() {
    let port = unused_port();
    let caller = Caller::to(&format!("127.0.0.1:{port}"));
    let status = caller.call("x", waits().timeout(Duration::from_millis(100))).unwrap_err();
    let expected = format!(
        "the call's deadline passed; it waited for a connection to 127.0.0.1:{port}: cannot connect to \
         127.0.0.1:{port}: Connection refused (os error 111)"
    );
    assert_eq!((status.code(), status.message()), (Code::DeadlineExceeded, &*expected));
}

#[test]
fn a_deadline_that_passes_in_the_servers_queue_says_so() {
    let server = FrameServer::new();
    let caller = Caller::to(&server.address());
    thread::scope(|scope| {
        let accepted = scope.spawn(|| server.accept_with(&[(frame::MAX_CONCURRENT_STREAMS, 0)]));
        let mut state = caller.channel.state(true);
        while state != ConnectivityState::Ready {
            state = block_on(caller.channel.state_change(state));
        }
        let options = CallOptions::new().timeout(Duration::from_millis(50));
        let status = caller.call("x", options).unwrap_err();
        let expected = format!(
            "the call's deadline passed; it waited for a place among the calls that the server at \
             ipv4:{} takes at once",
            server.address()
        );
        assert_eq!((status.code(), status.message()), (Code::DeadlineExceeded, &*expected));
        drop(accepted.join().unwrap());
    });
}

#[test]
fn a_deadline_that_has_passed_ends_a_call_that_was_never_sent() {
    let caller = Caller::to("127.0.0.1:1");
    let status = caller.call("x", CallOptions::new().timeout(Duration::ZERO)).unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
}
