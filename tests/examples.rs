//! What the examples teach, tried with real clients: what grpcurl does without .proto files, what
//! Kubernetes' probe is told, and each of the smaller examples.

mod raw;
mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use raw::client::Client;
use raw::request::{Request, message};
use support::PATIENCE;
use support::grpcurl::Grpcurl;
use support::peers::{peer, workspace};
use support::process::{Ended, Process};
use support::python::Script;
use support::server::{Server, run_client};
use support::socket::Socket;
use turnstile::service::IncomingCall;
use turnstile::test_server::TestServer;
use turnstile::{Code, Status, reflection};
use turnstile_protos::helloworld;

const SAY_HELLO: &str = "helloworld.Greeter/SayHello";
const SAY_HELLO_STREAM_REPLY: &str = "helloworld.Greeter/SayHelloStreamReply";
const WORLD: &str = r#"{"name": "world"}"#;

#[test]
fn a_greeter_fits_on_a_page() {
    for name in ["greeter_server", "greeter_blocking_server", "greeter_cq_server"] {
        let path = workspace().join("examples").join(name).with_extension("rs");
        let lines = fs::read_to_string(&path).expect("the example is there").lines().count();
        assert!(lines <= 35, "{name} has {lines} lines, and a greeter may have 35");
    }
}

/// The name of each example, and its source.
fn examples() -> Vec<(String, String)> {
    let entries = fs::read_dir(workspace().join("examples")).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("it can be read").path());
    let examples = paths.filter(|path| !path.ends_with("common")).flat_map(|path| {
        let stem = path.file_stem().expect("it has a name").to_string_lossy().into_owned();
        match path.is_dir() {
            // Those in a folder have their names in Cargo.toml.
            true => vec![
                (format!("{stem}_server"), path.join("main.rs")),
                (format!("{stem}_client"), path.join("client.rs")),
            ],
            false => vec![(stem, path)],
        }
    });
    examples.map(|(name, path)| (name, fs::read_to_string(path).expect("it can be read"))).collect()
}

#[test]
fn the_readme_names_every_example() {
    let readme = fs::read_to_string(workspace().join("README.md")).expect("there is a README");
    for (name, _) in examples() {
        assert!(readme.contains(&format!("`{name}`")), "{name} is not in README.md");
    }
}

#[test]
fn every_example_begins_with_commands_that_leave_no_file() {
    for (name, source) in examples() {
        let doc: Vec<_> = source.lines().map_while(|line| line.strip_prefix("//!")).collect();
        let doc = doc.join("\n");
        let run = format!("cargo run --release --example {name}");
        assert!(doc.contains(&run), "{name} does not say how it is run");
        // A client says which server it calls.
        let others = match name.strip_suffix("_client") {
            Some(stem) => vec![format!("cargo run --release --example {stem}_server")],
            None => ["grpcurl -plaintext ", "curl "].map(str::to_owned).to_vec(),
        };
        assert!(others.iter().any(|it| doc.contains(it)), "{name} does not say how it is called");
        let writes = ["> ", " -o ", "tee "];
        assert!(!writes.iter().any(|it| doc.contains(it)), "{name} leaves a file:\n{doc}");
    }
}

/// Each part of a text that begins behind `begin` and ends before `end`.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> Vec<&'a str> {
    let parts = text.split(begin).skip(1);
    parts.map(|part| part.split(end).next().expect("a split has a first part")).collect()
}

/// Doctests of `proto/` compile the README's Rust, where more packages are generated than the
/// README's build script names, and where a program may lack its `main`.
#[test]
fn the_readmes_programs_need_only_its_build_script() {
    let readme = fs::read_to_string(workspace().join("README.md")).expect("there is a README");
    let (build_scripts, programs): (Vec<_>, Vec<_>) =
        between(&readme, "\n```rust,no_run\n", "\n```")
            .into_iter()
            .partition(|code| code.contains("turnstile_build::"));
    let [build_script] = build_scripts[..] else { panic!("not one: {build_scripts:?}") };
    let protos = between(build_script, "compile_protos(\"", "\"");
    let read = |path| fs::read_to_string(workspace().join(path)).expect("it is in this folder too");
    let protos: String = protos.into_iter().map(read).collect();
    let packages = between(&protos, "\npackage ", ";");
    assert!(!packages.is_empty(), "{build_script}");
    assert_eq!(programs.len(), 4, "async, blocking, a client, and on a completion queue");
    for program in programs {
        assert!(program.contains("\nfn main() -> "), "it is no src/main.rs:\n{program}");
        let included = between(program, "include_proto!(\"", "\"");
        assert!(!included.is_empty(), "{program}");
        for package in included {
            assert!(packages.contains(&package), "no build script has {package}");
        }
    }
}

// grpcurl without .proto files.

/// The names of the services, after those of reflection.
fn listed(grpcurl: &Path, address: &str) -> Vec<String> {
    let names = Grpcurl::by_reflection(grpcurl).list(address);
    let (reflection, others): (Vec<_>, _) =
        names.into_iter().partition(|name| name.starts_with("grpc.reflection."));
    let versions = ["v1", "v1alpha"].map(|it| format!("grpc.reflection.{it}.ServerReflection"));
    assert_eq!(reflection, versions);
    others
}

#[test]
fn grpcurl_needs_no_proto_file_for_a_greeter() {
    let program = peer!(Grpcurl);
    let new = || Grpcurl::by_reflection(&program);
    for style in ["greeter_server", "greeter_blocking_server"] {
        let server = Server::start(style, &[]);
        let address = server.address();
        assert_eq!(listed(&program, address), ["helloworld.Greeter"]);
        let described = new().describe(address, "helloworld.Greeter");
        assert!(described.ok().contains("rpc SayHello ( .helloworld.HelloRequest )"), "{style}");
        let described = new().describe(address, "helloworld.HelloRequest");
        assert!(described.ok().contains("string name = 1;"), "{style}: {}", described.ok());
        let described = new().describe(address, "grpc.reflection.v1.ServerReflection");
        assert!(described.ok().contains("rpc ServerReflectionInfo ( stream"), "{style}");
        let reply = new().data(WORLD).call(address, SAY_HELLO);
        assert!(reply.ok().contains(r#""message": "Hello world""#), "{style}: {}", reply.ok());
        let reply = new().data(WORLD).call(address, SAY_HELLO_STREAM_REPLY);
        let said = reply.failed_with(Code::Unimplemented as i32);
        assert!(said.contains("Message: /helloworld.Greeter/SayHelloStreamReply"), "{said}");
        server.stop();
    }
}

#[test]
fn grpcurl_needs_no_proto_file_for_any_kind_of_method() {
    let program = peer!(Grpcurl);
    let new = || Grpcurl::by_reflection(&program);
    let server = Server::start("route_guide_server", &[]);
    let address = server.address();
    assert_eq!(listed(&program, address), ["routeguide.RouteGuide"]);
    let described = new().describe(address, "routeguide.RouteGuide.RouteChat");
    let signature = "RouteChat ( stream .routeguide.RouteNote ) returns ( stream ";
    assert!(described.ok().contains(signature), "{}", described.ok());

    let point = r#"{"latitude": 409146138, "longitude": -746188906}"#;
    let reply = new().data(point).call(address, "routeguide.RouteGuide/GetFeature");
    assert!(reply.ok().contains(r#""name": "Berkshire Valley"#), "{}", reply.ok());
    let everywhere = r#"{"lo": {"latitude": 400000000, "longitude": -750000000},
        "hi": {"latitude": 420000000, "longitude": -730000000}}"#;
    let reply = new().data(everywhere).call(address, "routeguide.RouteGuide/ListFeatures");
    assert!(reply.ok().matches(r#""name": "#).count() > 1, "{}", reply.ok());
    let route = [point, r#"{"latitude": 409146138, "longitude": -746188906}"#, "{}"];
    let reply = new().stream(&route).call(address, "routeguide.RouteGuide/RecordRoute");
    assert!(reply.ok().contains(r#""pointCount": 3"#), "{}", reply.ok());
    assert!(reply.ok().contains(r#""featureCount": 2"#), "{}", reply.ok());
    let note = |text: &str| format!(r#"{{"location": {{"latitude": 1}}, "message": "{text}"}}"#);
    let (first, second) = (note("first"), note("second"));
    let reply = new().stream(&[&first, &second]).call(address, "routeguide.RouteGuide/RouteChat");
    assert!(reply.ok().contains(r#""message": "first""#), "{}", reply.ok());
    assert!(!reply.ok().contains("second"), "{}", reply.ok());
    server.stop();
}

#[test]
fn grpcurl_needs_no_proto_file_over_a_unix_socket() {
    let program = peer!(Grpcurl);
    let new = || Grpcurl::by_reflection(&program);
    let socket = Socket::new("reflection.sock");
    let server = Server::start_on(&socket.address(), "greeter_server", &[]);
    let names = new().call_unix(&socket.path, "list");
    assert!(names.ok().lines().any(|name| name == "helloworld.Greeter"), "{}", names.ok());
    let reply = new().data(WORLD).call_unix(&socket.path, SAY_HELLO);
    assert!(reply.ok().contains("Hello world"), "{}", reply.ok());
    server.stop();
}

#[test]
fn grpcurl_falls_back_to_the_older_reflection() {
    fn newer_is_not_here(call: &mut IncomingCall) -> Result<(), Status> {
        if call.method().starts_with("/grpc.reflection.v1.") {
            return Err(Status::unimplemented("this server is an old one"));
        }
        Ok(())
    }
    struct Greeter;
    impl helloworld::greeter::Service for Greeter {}

    let program = peer!(Grpcurl);
    let reflection = reflection::service(helloworld::FILE_DESCRIPTOR_SET);
    let mut builder = turnstile::Server::builder();
    builder.add_service(helloworld::greeter::server(Greeter));
    builder.add_service(reflection.intercept(newer_is_not_here));
    thread::scope(|scope| {
        let server = TestServer::start(scope, 1, &mut builder).unwrap();
        assert_eq!(listed(&program, &server.address()), ["helloworld.Greeter"]);
        let described =
            Grpcurl::by_reflection(&program).describe(&server.address(), "helloworld.HelloReply");
        assert!(described.ok().contains("string message = 1;"), "{}", described.ok());
    });
}

#[test]
fn two_packages_are_reflected_together() {
    let program = peer!(Grpcurl);
    let new = || Grpcurl::by_reflection(&program);
    let server = Server::start("reflection", &[]);
    let address = server.address();
    assert_eq!(listed(&program, address), ["helloworld.Greeter", "turnstile.echo.Echo"]);
    let reply = new().data(WORLD).call(address, SAY_HELLO);
    assert!(reply.ok().contains("Hello world"), "{}", reply.ok());
    let texts = [r#"{"text": "a"}"#, r#"{"text": "b"}"#];
    let reply = new().stream(&texts).call(address, "turnstile.echo.Echo/Bidi");
    assert_eq!(reply.texts(), ["a", "b"]);
    server.stop();
}

// Our own clients.

#[test]
fn a_client_of_each_style_is_greeted() {
    let server = Server::start("greeter_server", &[]);
    for style in ["blocking", "async", "queue"] {
        for (name, greeting) in [(None, "Hello world"), (Some("Ada"), "Hello Ada")] {
            let mut args = vec!["--style", style, "--target", server.address()];
            args.extend(name);
            let ended = run_client("greeter_client", &args);
            assert_eq!(ended.exit_code, Some(0), "{style}: {ended:?}");
            assert_eq!((&*ended.stdout, &*ended.stderr), (greeting, ""), "{style}");
        }
    }
    server.stop();
}

#[test]
fn a_client_without_a_server_says_what_it_tried() {
    // Its name is free, and stays so.
    let socket = Socket::new("nobody.sock");
    for style in ["blocking", "async", "queue"] {
        let args = ["--style", style, "--target", &socket.address()];
        let ended = run_client("greeter_client", &args);
        assert_eq!((ended.exit_code, &*ended.stdout), (Some(1), ""), "{style}: {ended:?}");
        let said = &ended.stderr;
        assert!(said.starts_with("UNAVAILABLE: cannot connect to unix:"), "{style}: {said}");
        assert!(said.contains("nobody.sock: No such file or directory"), "{style}: {said}");
    }
}

#[test]
fn a_client_that_is_called_wrongly_says_how_it_is_called() {
    for (args, what) in [
        (&["--style", "fast"][..], "--style cannot be \"fast\""),
        (&["--target", "localhost"], "the port is missing; write \"localhost:50051\""),
        (&["--target"], "--target wants a value"),
        (&["Ada", "Grace"], "unknown argument \"Grace\""),
        (&["--help"], "unknown argument \"--help\""),
    ] {
        let ended = run_client("greeter_client", args);
        assert_eq!(ended.exit_code, Some(2), "{args:?}: {ended:?}");
        let said = &ended.stderr;
        assert!(said.contains(what) && said.contains("usage: [--style "), "{args:?}: {said}");
    }
}

#[test]
fn a_client_calls_a_method_of_each_kind() {
    let server = Server::start("route_guide_server", &[]);
    let ended = run_client("route_guide_client", &["--target", server.address()]);
    assert_eq!(ended.exit_code, Some(0), "{ended:?}");
    let lines: Vec<_> = ended.stdout.lines().collect();
    for line in [
        "at 40.9146138, -74.6188906 is Berkshire Valley Management Area Trail, Jefferson, NJ, USA",
        "there is nothing at 0, 0",
        "  40.7838351, -74.6143763 Patriots Path, Mendham, NJ 07945, USA",
        "28 features are in the area",
        "10 points, 9 of them with a name, 876232 m",
        "we say \"Fourth\"",
        "there was \"First\" at 0.0000001, 0.0000001",
        "there was \"Second\" at 0.0000001, 0.0000002",
    ] {
        assert!(lines.contains(&line), "{line:?} is not in\n{}", ended.stdout);
    }
    server.stop();
}

// Python's grpcio.

/// Runs checks of the smaller examples' script.
fn python_checks(example: &str, checks: &[&str]) {
    let python = peer!(Python);
    let server = Server::start(example, &[]);
    Script::new(python, "examples_client.py", server.address()).check(checks);
    server.stop();
}

#[test]
fn python_reads_the_older_reflection() {
    python_checks("reflection", &["reflection_in_v1alpha", "reflection_answers_in_turn"]);
}

#[test]
fn metadata_goes_with_calls_both_ways() {
    python_checks("metadata", &["metadata", "metadata_of_a_stream"]);
}

#[test]
fn messages_may_be_json() {
    python_checks("custom_codec", &["json_messages"]);
}

#[test]
fn handlers_may_wait_for_tokio() {
    python_checks("with_tokio", &["many_at_once"]);
}

#[test]
fn a_handler_learns_that_its_call_was_cancelled() {
    let python = peer!(Python);
    let mut server = Server::start("cancellation", &[]);
    let script = Script::new(python, "examples_client.py", server.address());
    let script = script.start("with_test_cancel");
    server.wait_for_line("async: greeting world");
    script.finish();
    server.wait_for_line("async: world has gone");
    server.wait_for_line("async: dropped what the handler held");
    server.stop();
}

// The rest.

#[test]
fn a_blocking_handler_learns_that_its_client_has_gone() {
    let program = peer!(Grpcurl);
    let mut server = Server::start("cancellation", &[]);
    let grpcurl = Grpcurl::by_reflection(program).data(r#"{"text": "me"}"#);
    let call = grpcurl.start(server.address(), "turnstile.echo.Echo/Unary");
    server.wait_for_line("blocking: working for me");
    drop(call);
    server.wait_for_line("blocking: stopped working for me");
    server.stop();
}

#[test]
fn a_handler_passes_its_deadline_on() {
    let program = peer!(Grpcurl);
    let mut server = Server::start("deadline", &[]);
    let new = || Grpcurl::by_reflection(&program).data(WORLD);
    let reply = new().max_time("20").call(server.address(), SAY_HELLO);
    assert!(reply.ok().contains("Hello world"), "{}", reply.ok());
    let line = server.wait_for_line("ms left");
    let left: u32 = line.trim_end_matches(" ms left").parse().expect("a number");
    assert!(left <= 20_000, "{left} ms are left of 20 s");
    // 300 ms are less than it takes, so the answer comes before the deadline, or is the deadline.
    let reply = new().max_time("0.3").call(server.address(), SAY_HELLO);
    reply.failed_with(Code::DeadlineExceeded as i32);
    server.stop();
}

#[test]
fn interceptors_let_in_who_has_a_token_and_time_every_call() {
    let program = peer!(Grpcurl);
    let mut server = Server::start("interceptor", &[]);
    let new = || Grpcurl::by_reflection(&program);
    // Reflection needs no token.
    assert_eq!(listed(&program, server.address()), ["helloworld.Greeter"]);
    server.wait_for_line("ServerReflectionInfo: OK after ");
    let said = new().call(server.address(), SAY_HELLO);
    let said = said.failed_with(Code::Unauthenticated as i32);
    assert!(said.contains("there is no token"), "{said}");
    server.wait_for_line("/helloworld.Greeter/SayHello: UNAUTHENTICATED");
    let wrong = new().header("authorization: Bearer simsim").call(server.address(), SAY_HELLO);
    assert!(wrong.failed_with(Code::Unauthenticated as i32).contains("the token is not valid"));
    let right = new().header("authorization: Bearer sesame").call(server.address(), SAY_HELLO);
    assert!(right.ok().contains("Hello Ali Baba"), "{}", right.ok());
    server.wait_for_line("/helloworld.Greeter/SayHello: OK after ");
    server.stop();
}

#[test]
fn an_error_says_more_than_its_code() {
    let program = peer!(Grpcurl);
    let server = Server::start("error_details_server", &[]);
    let new = || Grpcurl::by_reflection(&program);
    let nameless = new().call(server.address(), SAY_HELLO);
    let said = nameless.failed_with(Code::InvalidArgument as i32);
    let parts = ["google.rpc.BadRequest", r#""field": "name""#, "must not be empty"];
    assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    assert!(new().data(WORLD).call(server.address(), SAY_HELLO).ok().contains("Hello world"));
    let again = new().data(WORLD).call(server.address(), SAY_HELLO);
    let said = again.failed_with(Code::ResourceExhausted as i32);
    let parts = [r#""reason": "GREETED_BEFORE""#, "google.rpc.QuotaFailure", "name:world"];
    assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    server.stop();
}

#[test]
fn a_fallback_answers_any_method() {
    let program = peer!(Grpcurl);
    let server = Server::start("fallback", &[]);
    let texts = [r#"{"text": "a"}"#, r#"{"text": "b"}"#];
    let echo = Grpcurl::by_reflection(&program).stream(&texts);
    assert_eq!(echo.call(server.address(), "turnstile.echo.Echo/Bidi").texts(), ["a", "b"]);
    // Both messages of the greeter are one string.
    let hello = Grpcurl::by_reflection(&program).data(WORLD).verbose();
    let reply = hello.call(server.address(), SAY_HELLO);
    assert!(reply.ok().contains(r#""message": "world""#), "{}", reply.ok());
    assert!(reply.ok().contains("x-method: /helloworld.Greeter/SayHello"), "{}", reply.ok());
    server.stop();
}

#[test]
fn a_codec_takes_its_own_content_type_and_no_other() {
    let server = Server::start("custom_codec", &[]);
    let mut client = Client::connect(server.address().parse().expect("an address"));
    let add = Request::of("/turnstile.calculator.Calculator/Add")
        .body(message(br#"{"numbers": [1, 2]}"#));
    let answer = client.call(&add.clone().with("content-type", "application/grpc+json"));
    assert_eq!(answer.code(), 0, "{answer:?}");
    assert_eq!(answer.body, message(br#"{"sum":3.0}"#));
    let answer = client.call(&add.with("content-type", "application/grpc+proto"));
    assert_eq!(answer.code(), Code::Unimplemented as u32, "{answer:?}");
    assert!(answer.message().contains("application/grpc+json"), "{answer:?}");
    drop(client);
    server.stop();
}

/// Asks for the health of a service; the empty name is the server.
fn probe(program: &Path, address: &str, service: &str) -> Ended {
    let mut command = Command::new(program);
    command.args(["-addr", address, "-service", service]).stderr(Stdio::piped());
    command.args(["-connect-timeout", "20s", "-rpc-timeout", "20s"]);
    Process::spawn(&mut command).join(2 * PATIENCE)
}

#[test]
fn a_probe_is_told_of_a_drain_before_the_server_stops() {
    let program = peer!(HealthProbe);
    let mut server = Server::start("health_server", &[]);
    let services = ["", "helloworld.Greeter"];
    for service in services {
        let healthy = probe(&program, server.address(), service);
        assert_eq!(healthy.exit_code, Some(0), "{healthy:?}");
        assert!(healthy.stderr.contains("status: SERVING"), "{healthy:?}");
    }
    let unknown = probe(&program, server.address(), "no.such.Service");
    assert!(unknown.stderr.contains("NotFound"), "{unknown:?}");
    server.terminate();
    server.wait_for_line("draining");
    for service in services {
        let draining = probe(&program, server.address(), service);
        assert_ne!(draining.exit_code, Some(0), "{draining:?}");
        assert!(draining.stderr.contains("NOT_SERVING"), "{draining:?}");
    }
    server.stop();
}
