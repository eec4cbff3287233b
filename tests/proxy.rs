//! examples/proxy, between clients and backends of several kinds.

mod raw;
mod support;

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use raw::client::Client;
use raw::request::{Request, message};
use support::grpcurl::Grpcurl;
use support::peers::peer;
use support::python::{Running, Script};
use support::server::{Server, run_client};
use support::socket::Socket;
use turnstile::client::blocking::Stub;
use turnstile::test_server::TestServer;
use turnstile::{CallOptions, Channel, Code, MethodDescriptor, Service, service};

/// A backend, and the proxy before it.
struct Pair {
    backend: Server,
    proxy: Server,
}

impl Pair {
    fn start(backend: &str) -> Self {
        let backend = Server::start(backend, &[]);
        let proxy = proxy(backend.address());
        Self { backend, proxy }
    }

    /// Both end in good order, whatever they have been through.
    #[track_caller]
    fn stop(self) {
        self.proxy.stop();
        self.backend.stop();
    }
}

fn proxy(backend: &str) -> Server {
    Server::start("proxy", &["--backend", backend])
}

/// Runs checks of a Python script that knows of no proxy.
fn python_checks(backend: &str, script: &str, checks: &[&str]) {
    let python = peer!(Python);
    let pair = Pair::start(backend);
    Script::new(python, script, pair.proxy.address()).check(checks);
    pair.stop();
}

// What passes.

#[test]
fn every_kind_of_method_passes() {
    let checks = ["every_kind_of_method", "bidi_in_step", "empty_messages_and_streams"];
    python_checks("echo_cq_server", "echo_client.py", &checks);
}

#[test]
fn metadata_and_statuses_pass_both_ways() {
    let checks = ["metadata_both_ways", "every_status", "unknown_methods"];
    python_checks("echo_cq_server", "echo_client.py", &checks);
}

#[test]
fn initial_metadata_pass_before_the_first_message() {
    python_checks("metadata", "examples_client.py", &["metadata", "metadata_of_a_stream"]);
}

#[test]
fn long_streams_pass_whole() {
    let checks = ["client_stream_of_100_000", "server_stream_of_100_000"];
    python_checks("echo_cq_server", "echo_client.py", &checks);
}

#[test]
fn large_messages_pass_up_to_the_limit_of_the_backend() {
    let checks = ["message_sizes_up_to_the_limit", "message_sizes_over_the_limit"];
    python_checks("echo_cq_server", "echo_client.py", &checks);
}

#[test]
#[cfg(all(feature = "gzip", feature = "deflate"))]
fn each_side_has_its_own_compression() {
    // Replies of the backend are compressed by its choice, as the proxy can read all.
    python_checks("compression", "compression_client.py", &["requests_and_replies", "streams"]);
}

#[test]
fn our_clients_pass() {
    let greeter = Pair::start("greeter_server");
    for style in ["blocking", "async", "queue"] {
        let args = ["--style", style, "--target", greeter.proxy.address(), "Ada"];
        let ended = run_client("greeter_client", &args);
        assert_eq!((ended.exit_code, &*ended.stdout), (Some(0), "Hello Ada"), "{ended:?}");
    }
    greeter.stop();
    let guide = Pair::start("route_guide_server");
    let ended = run_client("route_guide_client", &["--target", guide.proxy.address()]);
    assert_eq!(ended.exit_code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("28 features are in the area"), "{ended:?}");
    assert!(ended.stdout.contains("there was \"Second\""), "{ended:?}");
    guide.stop();
}

#[test]
fn the_details_of_an_error_pass_and_reflection_does() {
    let program = peer!(Grpcurl);
    let pair = Pair::start("error_details_server");
    let nameless = Grpcurl::by_reflection(&program);
    let nameless = nameless.call(pair.proxy.address(), "helloworld.Greeter/SayHello");
    let said = nameless.failed_with(Code::InvalidArgument as i32);
    let parts = ["google.rpc.BadRequest", r#""field": "name""#, "must not be empty"];
    assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    pair.stop();
}

#[test]
fn a_codec_passes_by_its_name() {
    let pair = Pair::start("custom_codec");
    let mut client = Client::connect(pair.proxy.address().parse().expect("an address"));
    let add = Request::of("/turnstile.calculator.Calculator/Add")
        .body(message(br#"{"numbers": [1, 2]}"#));
    let answer = client.call(&add.clone().with("content-type", "application/grpc+json"));
    assert_eq!((answer.code(), &*answer.body), (0, &*message(br#"{"sum":3.0}"#)), "{answer:?}");
    let answer = client.call(&add.with("content-type", "application/grpc+other"));
    assert_eq!(answer.code(), Code::Unimplemented as u32, "{answer:?}");
    assert!(answer.message().contains("application/grpc+other"), "{answer:?}");
    // What was nothing but a status is that here too, so that a client may try again.
    assert!(answer.is_trailers_only(), "{answer:?}");
    drop(client);
    pair.stop();
}

#[test]
fn a_deadline_passes() {
    let program = peer!(Grpcurl);
    let mut pair = Pair::start("deadline");
    let new = || Grpcurl::by_reflection(&program).data(r#"{"name": "world"}"#);
    let hello = "helloworld.Greeter/SayHello";
    let reply = new().max_time("20").call(pair.proxy.address(), hello);
    assert!(reply.ok().contains("Hello world"), "{}", reply.ok());
    let line = pair.backend.wait_for_line("ms left");
    let left: u32 = line.trim_end_matches(" ms left").parse().expect("a number");
    assert!((1..=20_000).contains(&left), "{left} ms are left of 20 s");
    let reply = new().max_time("0.3").call(pair.proxy.address(), hello);
    reply.failed_with(Code::DeadlineExceeded as i32);
    pair.stop();
}

#[test]
fn a_deadline_ends_a_stream_at_both_ends() {
    let python = peer!(Python);
    let mut pair = Pair::start("echo_cq_server");
    Script::new(python, "echo_client.py", pair.proxy.address()).check(&["deadline"]);
    pair.backend.wait_for_line("cancelled /turnstile.echo.Echo/ServerStream");
    pair.stop();
}

// How fast.

#[test]
fn a_slow_reader_slows_the_writer_and_costs_no_memory() {
    let python = peer!(Python);
    let pair = Pair::start("echo_cq_server");
    let before = pair.proxy.resident_kib();
    let script = Script::new(python, "echo_client.py", pair.proxy.address());
    // In the second nobody reads the replies, so the backend takes no requests: both ways are full.
    script.check(&["bidi_of_100_000_with_a_slow_reader", "bidi_that_is_not_read"]);
    // That alone sends 64 MiB: so much, or more, would mean that it was all kept.
    let grown = pair.proxy.resident_kib().saturating_sub(before);
    assert!(grown < 32 * 1024, "the proxy has grown by {grown} KiB");
    pair.stop();
}

// Ends.

/// Begins a check that has a call open by now.
fn open_call(python: &std::path::Path, pair: &Pair) -> Running {
    let script = Script::new(python, "echo_client.py", pair.proxy.address());
    let mut script = script.start("with_test_stay_open");
    script.wait_for_line("open");
    script
}

#[test]
fn a_cancelled_call_is_cancelled_at_the_backend() {
    let python = peer!(Python);
    let mut pair = Pair::start("echo_cq_server");
    let script = Script::new(python, "echo_client.py", pair.proxy.address());
    let mut script = script.start("with_test_cancel");
    script.wait_for_line("cancelled");
    pair.backend.wait_for_line("cancelled /turnstile.echo.Echo/Bidi");
    script.finish();
    pair.stop();
}

#[test]
fn a_client_that_dies_is_gone_for_the_backend() {
    let python = peer!(Python);
    let mut pair = Pair::start("echo_cq_server");
    open_call(&python, &pair).kill();
    pair.backend.wait_for_line("cancelled /turnstile.echo.Echo/Bidi");
    pair.stop();
}

#[test]
fn a_proxy_that_stops_lets_its_calls_end() {
    let python = peer!(Python);
    let pair = Pair::start("echo_cq_server");
    let script = open_call(&python, &pair);
    pair.proxy.terminate();
    script.finish();
    pair.proxy.join(support::PATIENCE);
    pair.backend.stop();
}

#[test]
fn without_a_backend_a_call_says_what_was_tried_and_with_one_again_it_passes() {
    let program = peer!(Grpcurl);
    let socket = Socket::new("backend.sock");
    let proxy = proxy(&socket.address());
    let call = || {
        let call = Grpcurl::new(&program, "helloworld.proto").data(r#"{"name": "world"}"#);
        call.call(proxy.address(), "helloworld.Greeter/SayHello")
    };
    let reply = call();
    let said = reply.failed_with(Code::Unavailable as i32);
    assert!(said.contains("cannot connect to unix:"), "{said}");
    assert!(said.contains("backend.sock: No such file or directory"), "{said}");
    let backend = Server::start_on(&socket.address(), "greeter_server", &[]);
    // The channel rests before it tries again, and its calls fail meanwhile.
    let mut reply = None;
    let greeted =
        support::poll_until(support::PATIENCE, || reply.insert(call()).exit_code() == Some(0));
    assert!(greeted, "{}", reply.expect("there was a call").ok());
    proxy.stop();
    backend.stop();
}

const CHAT: MethodDescriptor<String, String> = MethodDescriptor::bidi_streaming("/test.Demo/Chat");

/// Runs a test with a stub that reaches a service through the proxy.
fn through_proxy(service: Service, test: impl FnOnce(Stub)) {
    let mut builder = turnstile::Server::builder();
    builder.add_service(service);
    thread::scope(|scope| {
        let server = TestServer::start(scope, 2, &mut builder).expect("there is a free port");
        let proxy = proxy(&server.address());
        let channel = Channel::connect(proxy.address()).expect("it is an address");
        test(Stub::new(channel).with(CallOptions::new().timeout(support::PATIENCE)));
        proxy.stop();
    });
}

#[test]
fn a_backend_may_end_before_its_client() {
    let service = service::Builder::new("test.Demo", ())
        .bidi_streaming(CHAT, |_, mut requests, mut replies| async move {
            let first = requests.read().await?.unwrap_or_default();
            replies.write(format!("{first} is enough")).await?;
            match &*first {
                "one" => Ok(()),
                _ => Err(turnstile::Status::aborted("enough")),
            }
        })
        .build();
    through_proxy(service, |stub| {
        for (first, code) in [("one", Code::Ok), ("two", Code::Aborted)] {
            let (mut writer, mut reader) = stub.bidi_streaming(&CHAT);
            writer.write(first.to_owned()).expect("it is the first");
            // It may write for ever, and is told to stop.
            while let Ok(true) = writer.write("more".repeat(1000)) {}
            let enough = format!("{first} is enough");
            assert_eq!(reader.read().expect("it came before"), Some(enough));
            let end = reader.read();
            let ended_with = end.as_ref().map_or_else(turnstile::Status::code, |_| Code::Ok);
            assert_eq!(ended_with, code, "{end:?}");
        }
    });
}

#[test]
fn a_half_close_passes_behind_the_last_message_and_leaves_the_other_half_open() {
    let (closed, is_closed) = channel();
    let service = service::Builder::new("test.Demo", std::sync::Mutex::new(closed))
        .bidi_streaming(CHAT, |closed, mut requests, mut replies| async move {
            let mut all = Vec::new();
            while let Some(request) = requests.read().await? {
                all.push(request);
            }
            closed.lock().expect("nobody panics with it").send(all.len()).expect("it is awaited");
            for request in all {
                replies.write(request).await?;
            }
            Ok(())
        })
        .build();
    through_proxy(service, |stub| {
        let (mut writer, reader) = stub.bidi_streaming(&CHAT);
        for number in 0..100 {
            assert!(writer.write(number.to_string()).expect("the call goes on"));
        }
        assert!(is_closed.try_recv().is_err(), "the client has not said that no more come");
        writer.close();
        let count = is_closed.recv_timeout(support::PATIENCE).expect("the close passes");
        assert_eq!(count, 100);
        let replies: Result<Vec<_>, _> = reader.collect();
        let expected: Vec<_> = (0..100).map(|number| number.to_string()).collect();
        assert_eq!(replies.expect("the call ends with OK"), expected);
    });
}

#[test]
fn a_backend_that_dies_ends_its_calls_with_unavailable() {
    let pair = Pair::start("echo_cq_server");
    let channel = Channel::connect(pair.proxy.address()).expect("it is an address");
    let stub = Stub::new(channel).with(CallOptions::new().timeout(Duration::from_secs(60)));
    const BIDI: MethodDescriptor<String, String> =
        MethodDescriptor::bidi_streaming("/turnstile.echo.Echo/Bidi");
    let (mut writer, mut reader) = stub.bidi_streaming(&BIDI);
    // `EchoRequest` and `EchoReply` begin with a text too.
    assert!(writer.write("a".to_owned()).expect("the call goes on"));
    assert_eq!(reader.read().expect("the call goes on").as_deref(), Some("a"));
    let Pair { backend, proxy } = pair;
    let address = backend.address().to_owned();
    drop(backend); // which kills it
    let status = reader.read().expect_err("the call has ended");
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(status.message().contains(&address), "{status}");
    proxy.stop();
}
