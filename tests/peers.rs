//! The examples, called by the clients of other projects: grpcurl (grpc-go), Python's grpcio
//! (gRPC's C core), and nghttp2's h2load and nghttp.
//!
//! `cargo xtask tools` installs them; a test without its peer is skipped, unless
//! `TURNSTILE_REQUIRE_PEERS` is 1.

mod support;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use support::grpcurl::Grpcurl;
use support::peers::{peer, scratch, skipped};
use support::process::Process;
use support::python::Script;
use support::server::Server;
use support::socket::Socket;
use support::{PATIENCE, poll_until};

const SAY_HELLO: &str = "helloworld.Greeter/SayHello";
const UNIMPLEMENTED: i32 = 12;
const NOT_FOUND: i32 = 5;
const DEADLINE_EXCEEDED: i32 = 4;

/// The greeter in each style of handler.
const GREETERS: [&str; 3] = ["greeter_server", "greeter_blocking_server", "greeter_cq_server"];

fn greeter() -> Server {
    Server::start("greeter_server", &[])
}

fn echo() -> Server {
    Server::start("echo_cq_server", &[])
}

/// A path for something that one test writes, where nothing is yet.
fn fresh(name: &str) -> PathBuf {
    let path = scratch().join(format!("{name}-{}", process::id()));
    let _ = fs::remove_file(&path);
    path
}

// Calls by grpcurl.

#[test]
fn grpcurl_is_greeted() {
    let program = peer!(Grpcurl);
    for style in GREETERS {
        let grpcurl = Grpcurl::new(program.clone(), "helloworld.proto");
        let server = Server::start(style, &[]);
        let reply = grpcurl.data(r#"{"name": "world"}"#).call(server.address(), SAY_HELLO);
        assert!(reply.ok().contains(r#""message": "Hello world""#), "{style}: {}", reply.ok());
        server.stop();
    }
}

#[test]
fn grpcurl_is_greeted_over_ipv6() {
    let grpcurl = Grpcurl::new(peer!(Grpcurl), "helloworld.proto");
    if TcpListener::bind("[::1]:0").is_err() {
        return skipped("this machine has no IPv6");
    }
    let server = Server::start_on("[::1]:0", "greeter_server", &[]);
    let reply = grpcurl.data(r#"{"name": "world"}"#).call(server.address(), SAY_HELLO);
    assert!(reply.ok().contains(r#""message": "Hello world""#), "{}", reply.ok());
    server.stop();
}

#[test]
fn grpcurl_is_greeted_over_a_unix_socket() {
    let grpcurl = Grpcurl::new(peer!(Grpcurl), "helloworld.proto");
    let socket = Socket::new("grpcurl.sock");
    let server = Server::start_on(&socket.address(), "greeter_server", &[]);
    assert_eq!(server.address(), socket.address());
    let reply = grpcurl.data(r#"{"name": "world"}"#).call_unix(&socket.path, SAY_HELLO);
    assert!(reply.ok().contains(r#""message": "Hello world""#), "{}", reply.ok());
    server.stop();
}

#[test]
fn grpcurl_is_known_by_its_credentials_on_both_kinds_of_unix_socket() {
    let grpcurl = peer!(Grpcurl);
    let socket = Socket::new("uds.sock");
    let mut server = Server::start_on(&socket.address(), "uds", &[]);
    let second = server.wait_for_line("listening on unix-abstract:");
    let name = second.trim_start_matches("listening on unix-abstract:");
    let user = fs::metadata("/proc/self").expect("Linux has /proc").uid();
    let path = socket.path.display().to_string();
    for (address, path) in
        [(format!("unix://{path}"), path), (format!("unix:@{name}"), format!("@{name}"))]
    {
        let call = Grpcurl::new(&grpcurl, "helloworld.proto").data(r#"{"name": "world"}"#);
        let reply = call.call(&address, SAY_HELLO);
        let greeting = format!(r#""message": "Hello world, user {user}""#);
        assert!(reply.ok().contains(&greeting), "{}", reply.ok());
        let line = server.wait_for_line(&format!("called through {path}: process "));
        assert!(line.contains(&format!(", user {user}, group ")), "{line}");
    }
    server.stop();
}

#[test]
fn grpcurl_is_greeted_by_a_server_that_watches_its_connections() {
    let grpcurl = Grpcurl::new(peer!(Grpcurl), "helloworld.proto");
    let server = Server::start("keepalive", &[]);
    let reply = grpcurl.data(r#"{"name": "world"}"#).call(server.address(), SAY_HELLO);
    assert!(reply.ok().contains(r#""message": "Hello world""#), "{}", reply.ok());
    server.stop();
}

#[test]
fn a_method_that_is_not_served_is_unimplemented_to_grpcurl() {
    let grpcurl = peer!(Grpcurl);
    let server = greeter();
    let stream = Grpcurl::new(&grpcurl, "helloworld.proto").data("{}");
    let reply = stream.call(server.address(), "helloworld.Greeter/SayHelloStreamReply");
    reply.failed_with(UNIMPLEMENTED);
    let other_service = Grpcurl::new(&grpcurl, "echo.proto").data("{}");
    let reply = other_service.call(server.address(), "turnstile.echo.Echo/Unary");
    reply.failed_with(UNIMPLEMENTED);
    server.stop();
}

#[test]
fn grpcurl_calls_every_kind_of_method() {
    let grpcurl = peer!(Grpcurl);
    let server = echo();
    let new = || Grpcurl::new(&grpcurl, "echo.proto");
    let reply = new().data(r#"{"text": "a"}"#).call(server.address(), "turnstile.echo.Echo/Unary");
    assert_eq!(reply.texts(), ["a"]);
    let texts = [r#"{"text": "a"}"#, r#"{"text": "b"}"#, r#"{"text": "c"}"#];
    let reply = new().stream(&texts).call(server.address(), "turnstile.echo.Echo/ClientStream");
    assert_eq!(reply.texts(), ["a b c"]);
    let three = r#"{"text": "a", "count": 3, "interval_ms": 10}"#;
    let reply = new().data(three).call(server.address(), "turnstile.echo.Echo/ServerStream");
    assert_eq!(reply.texts(), ["a", "a", "a"]);
    let reply = new().stream(&texts).call(server.address(), "turnstile.echo.Echo/Bidi");
    assert_eq!(reply.texts(), ["a", "b", "c"]);
    server.stop();
}

#[test]
fn metadata_goes_both_ways_with_grpcurl() {
    let grpcurl = Grpcurl::new(peer!(Grpcurl), "echo.proto");
    let server = echo();
    let reply = grpcurl
        .header("x-echo-a: b")
        .header("x-echo-raw-bin: AP/+fw==")
        .data(r#"{"text": "a"}"#)
        .verbose()
        .call(server.address(), "turnstile.echo.Echo/Unary");
    let output = reply.ok();
    let initial = section(output, "Response headers received:");
    assert!(initial.contains(&"x-echo-a: b"), "{output}");
    assert!(initial.contains(&"x-echo-raw-bin: AP/+fw=="), "{output}");
    let trailing = section(output, "Response trailers received:");
    assert!(trailing.contains(&"x-echo-raw-bin: AP/+fw=="), "{output}");
    assert!(!trailing.contains(&"x-echo-a: b"), "{output}");
    server.stop();
}

/// The lines between a heading and the next empty line.
fn section<'a>(output: &'a str, heading: &str) -> Vec<&'a str> {
    let after = output.lines().skip_while(|line| *line != heading).skip(1);
    after.take_while(|line| !line.is_empty()).collect()
}

#[test]
fn a_status_reaches_grpcurl_with_its_message() {
    let grpcurl = peer!(Grpcurl);
    let server = echo();
    for method in ["Unary", "ClientStream", "ServerStream", "Bidi"] {
        let reply = Grpcurl::new(&grpcurl, "echo.proto")
            .header(&format!("x-want-code: {NOT_FOUND}"))
            .header("x-want-message: caf%C3%A9 %E2%98%83")
            .data(r#"{"text": "a"}"#)
            .call(server.address(), &format!("turnstile.echo.Echo/{method}"));
        let said = reply.failed_with(NOT_FOUND);
        assert!(said.contains("Code: NotFound"), "{method}: {said}");
        assert!(said.contains("Message: café ☃"), "{method}: {said}");
    }
    server.stop();
}

#[test]
fn a_deadline_ends_the_call_of_grpcurl() {
    let grpcurl = Grpcurl::new(peer!(Grpcurl), "echo.proto").max_time("0.3");
    let server = echo();
    let slow = r#"{"text": "a", "count": 2, "interval_ms": 60000}"#;
    let reply = grpcurl.data(slow).call(server.address(), "turnstile.echo.Echo/ServerStream");
    reply.failed_with(DEADLINE_EXCEEDED);
    server.stop();
}

// Checks by Python's grpcio.

/// Runs checks of a script against an example.
fn python_checks(example: &str, script: &str, checks: &[&str]) {
    let python = peer!(Python);
    let server = Server::start(example, &[]);
    Script::new(python, script, server.address()).check(checks);
    server.stop();
}

#[test]
fn python_is_greeted() {
    for style in GREETERS {
        python_checks(style, "greeter_client.py", &["say_hello", "methods_not_served"]);
    }
}

#[test]
fn python_makes_many_calls_at_once() {
    for style in GREETERS {
        python_checks(style, "greeter_client.py", &["many_calls_at_once"]);
    }
}

#[test]
fn python_is_greeted_over_a_unix_socket_if_it_names_an_authority() {
    let python = peer!(Python);
    let socket = Socket::new("python.sock");
    let server = Server::start_on(&socket.address(), "greeter_server", &[]);
    Script::new(python, "greeter_client.py", &socket.address()).check(&["say_hello"]);
    server.stop();
}

#[test]
fn python_calls_every_kind_of_method() {
    let checks = ["every_kind_of_method", "bidi_in_step", "empty_messages_and_streams"];
    python_checks("echo_cq_server", "echo_client.py", &checks);
}

#[test]
fn metadata_goes_both_ways_with_python() {
    python_checks("echo_cq_server", "echo_client.py", &["metadata_both_ways"]);
}

#[test]
fn every_status_reaches_python() {
    let checks = ["every_status", "unknown_methods", "compressed_request"];
    python_checks("echo_cq_server", "echo_client.py", &checks);
}

#[test]
fn a_deadline_ends_the_call_of_python() {
    python_checks("echo_cq_server", "echo_client.py", &["deadline"]);
}

#[test]
fn long_streams_of_tiny_messages_arrive_whole() {
    let checks = ["client_stream_of_100_000", "server_stream_of_100_000"];
    python_checks("echo_cq_server", "echo_client.py", &checks);
}

#[test]
#[cfg(target_os = "linux")]
fn a_slow_reader_costs_time_and_not_memory() {
    let python = peer!(Python);
    let server = echo();
    let before = server.resident_kib();
    let script = Script::new(python, "echo_client.py", server.address());
    script.check(&["bidi_of_100_000_with_a_slow_reader", "bidi_that_is_not_read"]);
    // The second check alone sends 64 MiB: that much, or more, would mean that it was all kept.
    let grown = server.resident_kib().saturating_sub(before);
    assert!(grown < 32 * 1024, "the server has grown by {grown} KiB");
    server.stop();
}

#[test]
fn messages_are_as_large_as_the_limit_and_no_larger() {
    let checks = ["message_sizes_up_to_the_limit", "message_sizes_over_the_limit"];
    python_checks("echo_cq_server", "echo_client.py", &checks);
}

#[test]
fn the_server_sees_a_cancelled_call() {
    let python = peer!(Python);
    let mut server = echo();
    let script = Script::new(python, "echo_client.py", server.address());
    let mut script = script.start("with_test_cancel");
    script.wait_for_line("cancelled");
    // The client's connection is still open, so it is the cancel itself that has been seen.
    server.wait_for_line("cancelled /turnstile.echo.Echo/Bidi");
    script.finish();
    server.stop();
}

#[test]
fn the_server_sees_a_client_that_dies() {
    let python = peer!(Python);
    let mut server = echo();
    let script = Script::new(python, "echo_client.py", server.address());
    let mut script = script.start("with_test_stay_open");
    script.wait_for_line("open");
    script.kill();
    server.wait_for_line("cancelled /turnstile.echo.Echo/Bidi");
    server.stop();
}

// Compression, in examples/compression. It is built if its features are on.

#[test]
#[cfg(all(feature = "gzip", feature = "deflate"))]
fn python_sends_and_receives_compressed_messages() {
    let checks = ["requests_and_replies", "streams", "choices_of_the_server", "limits"];
    python_checks("compression", "compression_client.py", &checks);
}

#[test]
#[cfg(all(feature = "gzip", feature = "deflate"))]
fn grpcurl_reads_gzip_where_the_server_has_a_choice_and_plain_messages_else() {
    let program = peer!(Grpcurl);
    let server = Server::start("compression", &[]);
    let text = "hello ".repeat(1000);
    // A method whose encoding is deflate, which grpc-go does not know, sends messages as they are.
    for (method, count, encoding) in [("Unary", 1, "gzip"), ("ServerStream", 2, "none")] {
        let reply = Grpcurl::new(&program, "echo.proto")
            .data(&format!(r#"{{"text": "{text}", "count": {count}}}"#))
            .verbose()
            .call(server.address(), &format!("turnstile.echo.Echo/{method}"));
        let output = reply.ok();
        assert_eq!(reply.texts(), vec![&text; count], "{method}");
        let trailers = section(output, "Response trailers received:");
        assert!(trailers.contains(&&*format!("x-compression: {encoding}")), "{output}");
    }
    server.stop();
}

#[test]
#[cfg(all(feature = "gzip", feature = "deflate"))]
fn a_compressed_reply_is_named_and_flagged_on_the_wire() {
    let nghttp = peer!(Nghttp);
    let server = Server::start("compression", &[]);
    // `EchoRequest { text: "a" * 100 }`.
    let body = Body::new("compression", &[&b"\x0a\x64"[..], &[b'a'; 100]].concat());
    let mut command = grpc_post(nghttp, &body);
    command.args(["-v", "--timeout", "20", "-H", "grpc-accept-encoding: identity,gzip"]);
    command.arg(format!("http://{}/turnstile.echo.Echo/Unary", server.address()));
    let ended = Process::spawn(&mut command).join(2 * PATIENCE);
    for line in ["grpc-encoding: gzip", "grpc-accept-encoding: identity,gzip,deflate"] {
        assert!(ended.stdout.contains(line), "no {line} in {ended:#?}");
    }
    server.stop();
}

// Raw HTTP/2 by nghttp2.

/// A file with one gRPC message in it: no compression, the length, the message.
struct Body {
    path: PathBuf,
}

impl Body {
    fn new(name: &str, message: &[u8]) -> Self {
        let length = u32::try_from(message.len()).expect("a small message").to_be_bytes();
        let body = [&[0], &length[..], message].concat();
        let path = fresh(name);
        fs::write(&path, body).expect("target/tmp can be written to");
        Self { path }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// `HelloRequest { name: "world" }`.
const HELLO_WORLD: &[u8] = b"\x0a\x05world";

/// `EchoRequest { text: "a", count: 2, interval_ms: 60000 }`.
const SLOW_STREAM: &[u8] = b"\x0a\x01a\x10\x02\x18\xe0\xd4\x03";

/// A POST by h2load or nghttp with the headers of a gRPC call.
fn grpc_post(program: impl AsRef<Path>, body: &Body) -> Command {
    let mut command = Command::new(program.as_ref());
    command.args(["-H", "te: trailers", "-H", "content-type: application/grpc", "-d"]);
    command.arg(&body.path);
    command
}

/// h2load with 4 connections of 50 streams each, for a number of seconds.
fn load(h2load: impl AsRef<Path>, server: &Server, seconds: u32, body: &Body) -> Process {
    let mut command = grpc_post(h2load, body);
    command.args(["-c", "4", "-m", "50", "-t", "1", "-D", &seconds.to_string()]);
    Process::spawn(command.arg(format!("http://{}/{SAY_HELLO}", server.address())))
}

#[test]
fn the_server_itself_ends_a_call_at_its_deadline() {
    let nghttp = peer!(Nghttp);
    let server = echo();
    let body = Body::new("slow-stream", SLOW_STREAM);
    let mut command = grpc_post(nghttp, &body);
    command.args(["-v", "--timeout", "20", "-H", "grpc-timeout: 300m"]);
    command.arg(format!("http://{}/turnstile.echo.Echo/ServerStream", server.address()));
    // nghttp has no deadline of its own for that call: this status is the server's.
    let ended = Process::spawn(&mut command).join(2 * PATIENCE);
    assert!(ended.stdout.contains("grpc-status: 4"), "{ended:#?}");
    server.stop();
}

#[test]
#[cfg(target_os = "linux")]
fn no_thread_is_added_under_load() {
    let h2load = peer!(H2load);
    GREETERS.into_iter().for_each(|style| assert_no_thread_is_added(&h2load, style));
}

#[cfg(target_os = "linux")]
fn assert_no_thread_is_added(h2load: &Path, style: &str) {
    let server = Server::start(style, &["--threads", "2"]);
    // Main, which waits for signals, and the two that were asked for.
    let assert_three = |when: &str| {
        let threads = server.threads();
        assert_eq!(threads.len(), 3, "{when} the load the threads are {threads:?}");
    };
    // `listening on` may come before the second worker.
    poll_until(PATIENCE, || server.threads().len() == 3);
    assert_three("before");
    let body = Body::new("hello", HELLO_WORLD);
    let mut load = load(h2load, &server, 3, &body);
    let ended = poll_until(2 * PATIENCE, || {
        assert_three("under");
        load.has_ended()
    });
    assert!(ended, "h2load does not end");
    let report = load.join(PATIENCE);
    assert_eq!(report.exit_code, Some(0), "{report:#?}");
    assert_load_succeeded(&report.stdout);
    assert_three("after");
    server.stop();
}

/// h2load's summary: `requests: N total, ... N succeeded, 0 failed, 0 errored, 0 timeout`.
fn assert_load_succeeded(report: &str) {
    let line = report.lines().find(|line| line.starts_with("requests:"));
    let line = line.unwrap_or_else(|| panic!("no summary in what h2load says:\n{report}"));
    assert!(line.contains(" 0 failed, 0 errored, 0 timeout"), "{report}");
    assert!(!line.contains(" 0 succeeded"), "{report}");
}

#[test]
#[cfg(target_os = "linux")]
fn closed_connections_leave_no_descriptors() {
    let h2load = peer!(H2load);
    let server = greeter();
    let body = Body::new("hello-descriptors", HELLO_WORLD);
    let load = |arguments: [&str; 6]| {
        let mut command = grpc_post(&h2load, &body);
        command.args(arguments).arg(format!("http://{}/{SAY_HELLO}", server.address()));
        let report = Process::spawn(&mut command).join(2 * PATIENCE);
        assert_load_succeeded(&report.stdout);
    };
    // The first connection may bring an epoll set of its server's, which stays.
    load(["-c", "1", "-m", "1", "-n", "1"]);
    let before = server.open_descriptors();
    load(["-c", "50", "-m", "10", "-n", "5000"]);
    let closed = poll_until(PATIENCE, || server.open_descriptors() <= before);
    assert!(closed, "{} descriptors were open, now {}", before, server.open_descriptors());
    server.stop();
}

// Stops.

#[test]
fn a_stop_lets_a_running_call_finish() {
    let grpcurl = Grpcurl::new(peer!(Grpcurl), "echo.proto");
    let server = echo();
    let slow = r#"{"text": "a", "count": 5, "interval_ms": 200}"#;
    let mut call = grpcurl.data(slow).start(server.address(), "turnstile.echo.Echo/ServerStream");
    call.wait_for_line("text");
    server.terminate();
    assert_eq!(call.finish().texts(), ["a"; 5]);
    server.join(PATIENCE);
}

#[test]
fn a_stop_under_load_ends_with_exit_code_0() {
    let h2load = peer!(H2load);
    let server = Server::start("greeter_server", &["--threads", "2"]);
    let body = Body::new("hello-stop", HELLO_WORLD);
    let mut load = load(h2load, &server, 30, &body);
    load.wait_for_line("Main benchmark duration is started");
    server.stop();
}
