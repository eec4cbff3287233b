//! What may be on one server together.

use super::common::{
    BIDI, BLOCKING, CLIENT, Plain, SERVER, UNARY, call, demo, ok, request, serve_with,
};
use crate::raw::client::Client;
use std::future::pending;
use std::thread;
use turnstile::error::ErrorKind;
use turnstile::{
    Batch, Bytes, CompletionQueue, Deadline, Response, Server, Service, Status, service,
};

fn echo(name: &'static str, method: Plain) -> Service {
    service::Builder::new(name, ())
        .unary(method, |_, request| async move { Ok(Response::new(request.into_inner())) })
        .build()
}

/// Building it fails, with all of this in the message.
#[track_caller]
fn assert_refused(builder: &mut turnstile::Builder, parts: &[&str]) {
    let error = builder.bind("127.0.0.1:0").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    for part in parts {
        assert!(error.to_string().contains(part), "no {part:?} in {error}");
    }
}

#[test]
fn a_name_or_a_path_twice_is_an_error_that_names_it() {
    const TWIN: Plain = Plain::unary("/test.Demo/Unary");
    let one = || echo("test.Demo", UNARY);
    assert_refused(
        Server::builder().add_service(one()).add_service(one()),
        &["test.Demo", "twice"],
    );
    let mut builder = Server::builder();
    builder.register_unary("/test.Demo/Unary");
    assert_refused(builder.add_service(one()), &["/test.Demo/Unary", "registered"]);
    let twice = demo()
        .blocking_unary(UNARY, |(), request| Ok(Response::new(request.into_inner())))
        .unary(TWIN, |_, request| async move { Ok(Response::new(request.into_inner())) });
    assert_refused(Server::builder().add_service(twice.build()), &["/test.Demo/Unary"]);
}

#[test]
fn registered_methods_work_beside_services() {
    const QUEUED: Plain = Plain::unary("/test.Queue/Unary");
    const ECHO: Plain = Plain::unary("/test.Echo/Unary");
    let blocking = demo()
        .blocking_unary(BLOCKING, |(), request| Ok(Response::new(request.into_inner())))
        .build();
    let mut builder = Server::builder();
    let queued = builder.register(&QUEUED);
    builder.add_service(blocking).add_service(echo("test.Echo", ECHO));
    let queue = CompletionQueue::<bool>::new();
    serve_with(1, &mut builder, |server, address| {
        server.request_registered_call(&queued, &queue, &queue, true).unwrap();
        thread::scope(|scope| {
            let server = &**server;
            scope.spawn(|| {
                while let Some(mut event) = queue.next(Deadline::NONE) {
                    let Some(call) = event.take_call() else { continue };
                    let again = server.request_registered_call(&queued, &queue, &queue, true);
                    again.expect("the queue is open");
                    let reply: Bytes = event.take_message().expect("unary");
                    let batch = Batch::new().send_message(reply).send_status(Status::ok());
                    call.start(batch, false).expect("nothing is pending");
                }
            });
            let mut client = Client::connect(address);
            for _ in 0..10 {
                for method in [ECHO, BLOCKING, QUEUED] {
                    assert_eq!(ok(&client.call(&request(method, &["x"]))), ["x"], "{method:?}");
                }
            }
            drop(client);
            server.shutdown(std::time::Duration::ZERO);
            queue.shutdown();
        });
    });
}

/// Or else a second server would have none, and nobody would know why.
#[test]
fn a_builder_gives_its_services_to_one_server() {
    let mut builder = Server::builder();
    builder.add_service(echo("test.Demo", UNARY));
    serve_with(1, &mut builder, |_, address| {
        assert_eq!(ok(&call(address, UNARY, &["x"])), ["x"]);
    });
    assert_refused(&mut builder, &["services", "another builder"]);
    let mut builder = Server::builder();
    builder.fallback(|_, _| async { Ok(()) }).bind("127.0.0.1:0").unwrap();
    assert_refused(&mut builder, &["services", "another builder"]);
    // What is requested is not given away.
    let mut builder = Server::builder();
    builder.register_unary("/test.Queue/Unary");
    let first = builder.bind("127.0.0.1:0").unwrap();
    let second = builder.build().unwrap();
    assert_ne!(first.local_addr(), second.local_addr());
}

/// Or else messages would be lost: a handler takes, and gives, what its function says.
#[test]
fn a_method_that_is_added_as_another_kind_is_an_error_that_names_both() {
    const IDLE: &str = "no call comes";
    let cases = [
        (demo().unary(CLIENT, |_, _| pending()), CLIENT, "unary", "client_streaming"),
        (demo().client_streaming(UNARY, |_, _| pending()), UNARY, "client_streaming", "unary"),
        (
            demo().server_streaming(BIDI, |_, _, _| pending()),
            BIDI,
            "server_streaming",
            "bidi_streaming",
        ),
        (
            demo().bidi_streaming(SERVER, |_, _, _| pending()),
            SERVER,
            "bidi_streaming",
            "server_streaming",
        ),
        (
            demo().blocking_unary(SERVER, |(), _| panic!("{IDLE}")),
            SERVER,
            "blocking_unary",
            "blocking_server_streaming",
        ),
        (
            demo().blocking_client_streaming(BIDI, |(), _| panic!("{IDLE}")),
            BIDI,
            "blocking_client_streaming",
            "blocking_bidi_streaming",
        ),
        (
            demo().blocking_server_streaming(UNARY, |(), _, _| panic!("{IDLE}")),
            UNARY,
            "blocking_server_streaming",
            "blocking_unary",
        ),
        (
            demo().blocking_bidi_streaming(CLIENT, |(), _, _| panic!("{IDLE}")),
            CLIENT,
            "blocking_bidi_streaming",
            "blocking_client_streaming",
        ),
    ];
    for (service, method, used, right) in cases {
        let (used, right) = (format!("by {used},"), format!("add it by {right}"));
        assert_refused(
            Server::builder().add_service(service.build()),
            &["test.Demo", method.path(), &used, &right],
        );
    }
}

#[test]
fn a_method_that_no_call_of_its_service_can_reach_is_an_error_that_says_what_its_path_must_be() {
    for path in [
        "",
        "no-slash",
        "test.Demo/Unary",
        "/test.Demo",
        "/test.Demo/",
        "/test.Demo/a/b",
        "/test.Demo/a b",
        "/test.Demo/a#b",
        "/test.Demo.X/Unary",
        "/test.Other/Unary",
    ] {
        assert_refused(
            Server::builder().add_service(echo("test.Demo", Plain::unary(path))),
            &["test.Demo", &format!("{path:?}"), "\"/test.Demo/Method\""],
        );
    }
}

/// As in C-core any path may be registered, and a `*` in it stands for itself.
#[test]
fn a_registered_name_that_no_request_can_have_is_an_error() {
    for name in ["", "no-slash", "*", "test.Demo/Unary", "/test.Demo/a b", "/test.Demo/a#b"] {
        let mut builder = Server::builder();
        builder.register_method(name);
        assert_refused(&mut builder, &[&format!("{name:?}"), "\"/package.Service/Method\""]);
        let mut builder = Server::builder();
        builder.register(&Plain::unary(name));
        assert_refused(&mut builder, &[&format!("{name:?}"), "\"/package.Service/Method\""]);
    }
    let mut builder = Server::builder();
    for name in ["/", "/nothing", "/*", "/a.B/C?x=1", "/a.B/C/D", "/test.Demo/Unary"] {
        builder.register_method(name);
    }
    builder.bind("127.0.0.1:0").expect("requests may have these");
}
