//! What may be on one server together.

use super::common::{BLOCKING, Plain, UNARY, call, demo, ok, request, serve_with};
use crate::raw::client::Client;
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
    let other = echo("test.Other", TWIN);
    assert_refused(
        Server::builder().add_service(one()).add_service(other),
        &["/test.Demo/Unary", "test.Other"],
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
    let blocking = demo()
        .blocking_unary(BLOCKING, |(), request| Ok(Response::new(request.into_inner())))
        .build();
    let mut builder = Server::builder();
    let queued = builder.register(&QUEUED);
    builder.add_service(blocking).add_service(echo("test.Echo", UNARY));
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
                for method in [UNARY, BLOCKING, QUEUED] {
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
