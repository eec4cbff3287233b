//! Bad input, sent as raw frames: each ends in the answer that names its cause, and the server
//! goes on serving the others.

mod raw;
mod support;

use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use raw::client::Client;
use raw::frame::{self, Frame};
use raw::request::{COUNT, HOLD, Request, SAY_HELLO, hello_message, message, prefixed};
use raw::server::{TestServer, alone};
use turnstile::codec::Raw;
use turnstile::{Bytes, MethodDescriptor, Response, Server, Service, service, test_server};
use turnstile_protos::helloworld::{HelloReply, HelloRequest};

const GRPC: &str = "application/grpc";
const INVALID_ARGUMENT: u32 = 3;
const DEADLINE_EXCEEDED: u32 = 4;
const RESOURCE_EXHAUSTED: u32 = 8;
const UNIMPLEMENTED: u32 = 12;
const INTERNAL: u32 = 13;

/// A request, and the `:status`, the `grpc-status` and parts of the `grpc-message` it ends with.
type Row = (&'static str, Request, (&'static str, u32, &'static [&'static str]));

fn hello() -> Request {
    Request::hello("you")
}

fn timeout(value: &str) -> Request {
    hello().with("grpc-timeout", value)
}

fn content_type(value: &str) -> Request {
    hello().with("content-type", value)
}

fn body(body: Vec<u8>) -> Request {
    Request::of(SAY_HELLO).body(body)
}

/// The requests of peers' edge cases, whoever serves them.
fn rows() -> Vec<Row> {
    vec![
        ("content-type +proto", content_type("application/grpc+proto"), ("200", 0, &[])),
        ("content-type ;x", content_type("application/grpc;x"), ("200", 0, &[])),
        ("content-type, a space and ;x", content_type("application/grpc ;x=1"), ("200", 0, &[])),
        (
            "another content-type",
            content_type("image/jpeg"),
            ("415", INVALID_ARGUMENT, &["image/jpeg", GRPC]),
        ),
        (
            "content-type grpcx",
            content_type("application/grpcx"),
            ("415", INVALID_ARGUMENT, &["application/grpcx"]),
        ),
        (
            "no content-type",
            hello().without("content-type"),
            ("415", INVALID_ARGUMENT, &["no content-type"]),
        ),
        ("no te", hello().without("te"), ("200", INTERNAL, &["te: trailers"])),
        ("GET", Request::of(SAY_HELLO).with(":method", "GET"), ("405", INTERNAL, &["POST", "GET"])),
        ("unknown method", hello().with(":path", "/a.B/C"), ("200", UNIMPLEMENTED, &["/a.B/C"])),
        (
            "path with a query",
            hello().with(":path", "/helloworld.Greeter/SayHello?x=1"),
            ("200", UNIMPLEMENTED, &["/helloworld.Greeter/SayHello?x=1"]),
        ),
        (
            "path without a second part",
            hello().with(":path", "/nothing"),
            ("200", UNIMPLEMENTED, &["/nothing"]),
        ),
        ("timeout without a unit", timeout("5"), ("200", INTERNAL, &["grpc-timeout", "\"5\""])),
        ("timeout in words", timeout("abc"), ("200", INTERNAL, &["grpc-timeout", "\"abc\""])),
        ("negative timeout", timeout("-1S"), ("200", INTERNAL, &["grpc-timeout", "\"-1S\""])),
        ("unknown unit", timeout("1x"), ("200", INTERNAL, &["grpc-timeout", "\"1x\""])),
        ("nine digits", timeout("123456789S"), ("200", INTERNAL, &["grpc-timeout", "123456789S"])),
        ("no time at all", timeout("0n"), ("200", DEADLINE_EXCEEDED, &["deadline"])),
        ("a nanosecond", timeout("1n"), ("200", DEADLINE_EXCEEDED, &["deadline"])),
        ("eight digits", timeout("99999999H"), ("200", 0, &[])),
        (
            "a handler that never answers",
            Request::of(HOLD).with("grpc-timeout", "200m"),
            ("200", DEADLINE_EXCEEDED, &["deadline"]),
        ),
        (
            "message over the limit",
            body(prefixed(0, 5 << 20, &[0; 20_000])),
            ("200", RESOURCE_EXHAUSTED, &["5242880", "4194304"]),
        ),
        (
            "4 GiB announced",
            body(prefixed(0, u32::MAX as usize, &[])).open(),
            ("200", RESOURCE_EXHAUSTED, &["4294967295", "4194304"]),
        ),
        ("truncated message", body(prefixed(0, 10, b"abc")), ("200", INTERNAL, &["8 of 15 bytes"])),
        ("truncated prefix", body(vec![0, 0]), ("200", INTERNAL, &["2 of 5 bytes"])),
        ("flag 2", body(prefixed(2, 3, b"abc")), ("200", INTERNAL, &["compressed flag 2"])),
        (
            "flag 1 without encoding",
            body(prefixed(1, 3, b"abc")),
            ("200", INTERNAL, &["compressed flag", "grpc-encoding"]),
        ),
        (
            "unknown encoding",
            hello().with("grpc-encoding", "foo"),
            ("200", UNIMPLEMENTED, &["\"foo\"", "identity"]),
        ),
        (
            "gzip",
            hello().with("grpc-encoding", "gzip"),
            ("200", UNIMPLEMENTED, &["\"gzip\"", "identity"]),
        ),
        ("bad protobuf", body(message(&[0xff; 4])), ("200", INTERNAL, &["cannot be read"])),
        ("no message", body(Vec::new()), ("200", UNIMPLEMENTED, &["one message", "none"])),
        (
            "two messages",
            body([hello_message("a"), hello_message("b")].concat()),
            ("200", UNIMPLEMENTED, &["one message", "more"]),
        ),
        (
            "flag 1 with identity",
            body(prefixed(1, 3, b"abc")).with("grpc-encoding", "identity"),
            ("200", INTERNAL, &["compressed flag"]),
        ),
        (
            "binary metadata that is not base64",
            hello().with("x-bin", "!!!!"),
            ("200", INTERNAL, &["\"x-bin\"", "not base64"]),
        ),
        (
            "the second of two that a proxy joined",
            hello().with("x-bin", "AQ,!"),
            ("200", INTERNAL, &["\"x-bin\"", "not base64"]),
        ),
        ("binary metadata that a proxy joined", hello().with("x-bin", "AQ,Ag"), ("200", 0, &[])),
        (
            "header of 20 KiB",
            hello().with("x", vec![b'a'; 20 << 10]),
            ("200", RESOURCE_EXHAUSTED, &["metadata", "16384"]),
        ),
        (
            "path of 20 KiB",
            hello().with(":path", format!("/{}", "a".repeat(20 << 10))),
            ("200", RESOURCE_EXHAUSTED, &["metadata", "16384"]),
        ),
        (
            "long method",
            hello().with(":method", "A".repeat(8 << 10)),
            ("405", INTERNAL, &["POST", "AAA"]),
        ),
        (
            "long content-type",
            content_type(&format!("image/{}", "a".repeat(8 << 10))),
            ("415", INVALID_ARGUMENT, &["image/aaa", GRPC]),
        ),
        (
            "long encoding",
            hello().with("grpc-encoding", "a".repeat(8 << 10)),
            ("200", UNIMPLEMENTED, &["\"aaa", "identity"]),
        ),
        ("long timeout", timeout(&"1".repeat(8 << 10)), ("200", INTERNAL, &["grpc-timeout"])),
        (
            "long path of an unknown method",
            hello().with(":path", format!("/a.B/{}", "c".repeat(8 << 10))),
            ("200", UNIMPLEMENTED, &["/a.B/ccc"]),
        ),
    ]
}

/// h2 charges small frames against a budget, and gives nothing back for those that it ignores.
#[test]
fn what_still_comes_for_a_call_that_was_refused_does_not_end_its_connection() {
    let server = TestServer::start();
    let mut client = Client::connect(server.address());
    let stream = client.request(&Request::of("/a.B/C").open());
    assert_eq!(client.answer(stream).code(), UNIMPLEMENTED);
    let burst = Frame::data(stream, *b"x", false).to_bytes().repeat(1000);
    (0..60).for_each(|_| client.send_bytes(&burst));
    client.greet();
    drop(client);
    server.stop();
}

#[test]
fn each_bad_request_gets_the_answer_that_names_its_cause() {
    let server = TestServer::start();
    let mut bystander = Client::connect(server.address());
    bystander.greet();
    // The listener, and both ends of the bystander's connection.
    server.wait_for_sockets(3);
    for row in rows() {
        check(server.address(), row);
        bystander.greet();
        server.wait_for_sockets(3);
    }
    drop(bystander);
    server.stop();
}

#[track_caller]
fn check(address: SocketAddr, (name, request, (http, code, parts)): Row) {
    let mut client = Client::connect(address);
    let answer = client.call(&request);
    assert_eq!((answer.http(), answer.code()), (http, code), "{name}: {answer:?}");
    for part in parts {
        assert!(answer.message().contains(part), "{name}: no {part:?} in {answer:?}");
    }
    assert!(answer.message().len() < 400, "{name}: what a client sends is not sent back at length");
    assert_eq!(answer.is_trailers_only(), code != 0, "{name}: {answer:?}");
    let encodings = answer.header("grpc-accept-encoding");
    let is_about_encoding = parts.contains(&"identity");
    assert_eq!(encodings, is_about_encoding.then_some("identity"), "{name}");
    client.greet();
}

type Greet = MethodDescriptor<HelloRequest, HelloReply>;
type Held = MethodDescriptor<Bytes, Bytes, Raw>;
const GREET: Greet = Greet::unary(SAY_HELLO);
const HELD: Held = Held::bidi_streaming(HOLD);

fn greet(request: &HelloRequest) -> Response<HelloReply> {
    Response::new(HelloReply { message: format!("Hello {}", request.name) })
}

/// What the rows call, as handlers. Those of HOLD never answer; the blocking one goes home when its
/// call is over.
fn handlers() -> [[Service; 2]; 2] {
    let greeter = || service::Builder::new("helloworld.Greeter", ());
    let streams = || service::Builder::new("test.Streams", ());
    let in_async = [
        greeter().unary(GREET, |_, request| async move { Ok(greet(&request)) }).build(),
        streams().bidi_streaming(HELD, |_, _, _| std::future::pending()).build(),
    ];
    let in_blocking = [
        greeter().blocking_unary(GREET, |(), request| Ok(greet(&request))).build(),
        streams()
            .blocking_bidi_streaming(HELD, |(), requests, _| {
                turnstile::block_on(requests.cancelled());
                Ok(())
            })
            .build(),
    ];
    [in_async, in_blocking]
}

#[test]
fn each_bad_request_to_a_handler_gets_the_same_answer() {
    let _alone = alone();
    for services in handlers() {
        let mut builder = Server::builder();
        for service in services {
            builder.add_service(service);
        }
        thread::scope(|scope| {
            let server = test_server::TestServer::start(scope, 2, &mut builder).unwrap();
            let address = server.local_addr().expect("it listens on TCP");
            let mut bystander = Client::connect(address);
            let another_codec = (
                "content-type +foo",
                content_type("application/grpc+foo"),
                ("200", UNIMPLEMENTED, &["application/grpc+foo", "application/grpc+proto"][..]),
            );
            for row in rows().into_iter().chain([another_codec]) {
                check(address, row);
                bystander.greet();
            }
        });
    }
}

/// What is no HTTP/2 ends with the connection.
#[test]
fn what_is_no_preface_closes_the_connection() {
    let server = TestServer::start();
    let mut bystander = Client::connect(server.address());
    for bytes in [&b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"[..], &[0xa5; 64]] {
        let mut client = Client::silent(server.address());
        client.send_bytes(bytes);
        let frames = client.rest();
        assert!(frames.iter().all(|it| it.kind != frame::HEADERS), "{frames:?}");
        bystander.greet();
    }
    drop(bystander);
    server.stop();
}

#[test]
fn only_a_preface_and_settings_must_come_within_the_handshake_timeout() {
    let server = TestServer::with(|builder| {
        builder.handshake_timeout(Duration::from_millis(100));
    });
    let mut silent_after_both = Client::connect(server.address());
    let settings = Frame::settings(&[(frame::INITIAL_WINDOW_SIZE, 1000)]).to_bytes();
    let ping = Frame::ping([0; 8]).to_bytes();
    let beginnings = [
        vec![],
        frame::PREFACE[..12].to_vec(),
        frame::PREFACE.to_vec(),
        [frame::PREFACE, &settings[..settings.len() - 1]].concat(),
        // SETTINGS must come first (RFC 9113, section 3.4).
        [frame::PREFACE, &ping].concat(),
    ];
    let clients = beginnings.map(|beginning| {
        let mut client = Client::silent(server.address());
        client.send_bytes(&beginning);
        client
    });
    for mut client in clients {
        client.rest();
    }
    // It has been silent for longer than those were.
    silent_after_both.greet();
    drop(silent_after_both);
    server.stop();
}

#[test]
fn a_header_block_of_100_kib_ends_its_stream_and_not_the_server() {
    let server = TestServer::start();
    let mut bystander = Client::connect(server.address());
    let mut client = Client::connect(server.address());
    let answer = client.call(&hello().with("x", vec![b'a'; 100 << 10]));
    assert_eq!(answer.http(), "431", "{answer:?}");
    client.greet();
    bystander.greet();
    drop((client, bystander));
    server.stop();
}

#[test]
fn bursts_of_tiny_data_frames_arrive_whole() {
    let server = TestServer::start();
    for count in [5_000, 100_000] {
        let mut client = Client::connect(server.address());
        let stream = client.request(&Request::of(COUNT).open());
        let one = Frame::data(stream, message(b"x"), false).to_bytes();
        let mut burst = one.repeat(count);
        burst.extend(Frame::data(stream, [], true).to_bytes());
        client.send_bytes(&burst);
        let answer = client.answer(stream);
        assert_eq!(answer.reply(), format!("{count} messages, {count} bytes"));
        client.greet();
    }
    server.stop();
}

/// h2 closes a connection with its 101st empty DATA frame.
#[test]
fn too_many_empty_data_frames_end_their_connection_only() {
    let server = TestServer::start();
    let mut bystander = Client::connect(server.address());
    let mut client = Client::connect(server.address());
    let stream = client.request(&Request::of(COUNT).open());
    client.send_bytes(&Frame::data(stream, [], false).to_bytes().repeat(200));
    let answer = client.answer(stream);
    let code = answer.goaway.as_ref().map(|(code, _)| *code);
    assert_eq!(code, Some(frame::ENHANCE_YOUR_CALM), "{answer:?}");
    bystander.greet();
    drop((client, bystander));
    server.stop();
}

#[test]
fn rapid_resets_end_their_connection_and_not_the_server() {
    let server = TestServer::start();
    let mut bystander = Client::connect(server.address());
    let mut client = Client::connect(server.address());
    let mut burst = Vec::new();
    for _ in 0..1000 {
        let stream = client.new_stream();
        burst.extend(frame::to_bytes(&Request::of(HOLD).open().to_frames(stream)));
        burst.extend(Frame::reset(stream, frame::CANCEL).to_bytes());
    }
    burst.extend(Frame::ping([0; 8]).to_bytes());
    // The server may close the connection before it has read all; then its GOAWAY may be lost.
    if client.try_send_bytes(&burst).is_ok() {
        while let Some(frame) = client.next_frame() {
            match frame.kind {
                frame::PING => break,
                frame::GOAWAY => assert_eq!(frame.number(4), frame::ENHANCE_YOUR_CALM, "{frame:?}"),
                _ => {}
            }
        }
    }
    bystander.greet();
    drop((client, bystander));
    server.stop();
}

#[test]
fn every_ping_and_every_settings_is_acknowledged() {
    const COUNT: usize = 1000;
    let server = TestServer::start();
    let mut client = Client::connect(server.address());
    client.ping();
    client.send_bytes(&Frame::settings(&[]).to_bytes().repeat(COUNT));
    for _ in 0..COUNT {
        assert!(client.expect(frame::SETTINGS).has(frame::ACK));
    }
    client.greet();
    drop(client);
    server.stop();
}

#[test]
fn a_reply_waits_for_the_clients_window_and_can_be_cancelled_meanwhile() {
    let server = TestServer::start();
    let mut client = Client::connect_with(server.address(), &[(frame::INITIAL_WINDOW_SIZE, 0)]);
    let stream = client.request(&hello());
    client.expect(frame::HEADERS);
    let meanwhile = client.ping();
    assert!(meanwhile.iter().all(|it| it.kind != frame::DATA), "{meanwhile:?}");
    client.send(&Frame::window_update(stream, 1000));
    assert!(!client.expect(frame::DATA).payload.is_empty());
    client.expect(frame::HEADERS);

    let stream = client.request(&Request::of(HOLD));
    server.answer_held_call(1 << 20);
    client.expect(frame::HEADERS);
    client.send(&Frame::reset(stream, frame::CANCEL));
    server.wait_for("the send's failure", |state| state.failed_sends == 1);
    server.wait_for("the call's close", |state| state.cancelled == 1);
    drop(client);
    server.stop();
}

#[test]
fn a_registered_method_has_limits_of_its_own() {
    let server = TestServer::with(|builder| {
        let say_hello = builder.register_unary(SAY_HELLO);
        builder.configure(&say_hello, |method| method.max_receive_message_size(10));
        builder.configure(&say_hello, |method| method.max_send_message_size(12));
    });
    let mut client = Client::connect(server.address());
    client.greet();
    for (name, parts) in [("a long name", "13 vs. 10"), ("a name", "14 vs. 12")] {
        let answer = client.call(&Request::hello(name));
        assert_eq!((answer.http(), answer.code()), ("200", RESOURCE_EXHAUSTED), "{answer:?}");
        assert!(answer.message().contains(parts), "{answer:?}");
    }
    // Those of other methods are the server's.
    let body = message(&[0; 100]);
    let answer = client.call(&Request::of(COUNT).body(body));
    assert_eq!(answer.reply(), "1 messages, 100 bytes");
    drop(client);
    server.stop();
}

#[test]
fn an_address_in_use_is_named_in_the_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = Server::builder().bind(&address).unwrap_err();
    assert_eq!(error.kind(), turnstile::error::ErrorKind::System);
    let cause = error.io_error().expect("the system said no");
    assert_eq!(cause.kind(), std::io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&address), "{error}");
}

#[test]
fn an_address_that_cannot_be_read_is_an_error_with_what_to_write_instead() {
    for (text, instead) in [
        ("", "host:port, [ipv6]:port, unix:/path or unix-abstract:name"),
        ("nonsense", "\"nonsense:50051\""),
        ("127.0.0.1:99999", "65535"),
        ("unix:", "unix:/path"),
        ("[::1:80", "\"[::1]:50051\""),
        (":50051", "\"0.0.0.0:50051\""),
        ("http://127.0.0.1:50051", "\"127.0.0.1:50051\""),
    ] {
        let error = Server::builder().bind(text).unwrap_err();
        assert_eq!(error.kind(), turnstile::error::ErrorKind::Config, "{text:?}");
        let message = error.to_string();
        assert!(message.contains(&format!("{text:?}: ")) && message.contains(instead), "{message}");
    }
}
