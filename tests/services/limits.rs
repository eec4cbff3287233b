//! Limits of messages: the server's, a service's and a method's, in and out.

use std::net::SocketAddr;

use super::common::{
    BLOCKING, Plain, RESOURCE_EXHAUSTED, SERVER, UNARY, call, demo, ok, request, serve, serve_with,
};
use crate::raw::client::Client;
use crate::raw::request::{Request, prefixed};
use turnstile::{Bytes, Response, Server, Service, error::ErrorKind, service};

const OTHER: Plain = Plain::unary("/test.Other/Unary");

/// Says back what it hears.
fn echo() -> Service {
    demo()
        .unary(UNARY, |_, request| async move { Ok(Response::new(request.into_inner())) })
        .blocking_unary(BLOCKING, |(), request| Ok(Response::new(request.into_inner())))
        .build()
}

fn other() -> Service {
    service::Builder::new("test.Other", ())
        .unary(OTHER, |_, request| async move { Ok(Response::new(request.into_inner())) })
        .build()
}

/// The longest message that a method takes and sends back is this one.
#[track_caller]
fn assert_limit(address: SocketAddr, method: Plain, limit: usize, whose: &str) {
    let longest = "x".repeat(limit);
    assert_eq!(ok(&call(address, method, &[&longest])), [longest]);
    let answer = call(address, method, &[&"x".repeat(limit + 1)]);
    assert_eq!((answer.http(), answer.code()), ("200", RESOURCE_EXHAUSTED), "{answer:?}");
    let text = format!("{whose}message larger than max ({} vs. {limit})", limit + 1);
    assert_eq!(answer.message(), text);
}

#[test]
fn the_limit_of_requests_is_the_methods_then_the_services_then_the_servers() {
    // The method's setting comes first in time too, and must not be undone.
    let service = echo()
        .configure("Unary", |method| method.max_receive_message_size(300))
        .max_receive_message_size(200);
    let mut builder = Server::builder();
    builder.add_service(service).add_service(other()).max_receive_message_size(100);
    serve_with(2, &mut builder, |_, address| {
        for (method, limit) in [(UNARY, 300), (BLOCKING, 200), (OTHER, 100)] {
            assert_limit(address, method, limit, "");
        }
        // The prefix is enough to refuse it.
        let announced = Request::of(UNARY.path()).body(prefixed(0, 301, b"")).open();
        let answer = Client::connect(address).call(&announced);
        assert_eq!(answer.code(), RESOURCE_EXHAUSTED, "{answer:?}");
    });
}

#[test]
fn the_limit_of_replies_is_the_methods_then_the_services_then_the_servers() {
    let service = echo()
        .max_send_message_size(200)
        .configure("Unary", |method| method.max_send_message_size(300));
    let mut builder = Server::builder();
    builder.add_service(service).add_service(other()).max_send_message_size(100);
    serve_with(2, &mut builder, |_, address| {
        for (method, limit) in [(UNARY, 300), (BLOCKING, 200), (OTHER, 100)] {
            assert_limit(address, method, limit, "sent ");
        }
    });
}

#[test]
fn a_writer_whose_message_is_over_the_limit_hears_why_and_so_does_the_client() {
    let service = demo()
        .server_streaming(SERVER, |_, _, mut out| async move {
            out.write(Bytes::from_static(b"short")).await?;
            let status = out.write(vec![b'x'; 101].into()).await.expect_err("it is too long");
            assert_eq!(status.message(), "sent message larger than max (101 vs. 100)");
            assert!(out.write(Bytes::from_static(b"short")).await.is_err(), "the call is over");
            Ok(())
        })
        .build();
    serve(1, service.max_send_message_size(100), |_, address| {
        let answer = Client::connect(address).call(&request(SERVER, &["go"]));
        assert_eq!(answer.code(), RESOURCE_EXHAUSTED, "{answer:?}");
        assert!(answer.message().contains("101 vs. 100"), "{answer:?}");
        assert_eq!(super::common::texts(&answer.body), ["short"]);
    });
}

#[test]
fn a_method_that_is_not_there_cannot_be_configured() {
    let service = echo().configure("Unari", |method| method.max_send_message_size(1));
    let error = Server::builder().add_service(service).bind("127.0.0.1:0").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    for part in ["test.Demo", "\"Unari\"", "Unary, Blocking"] {
        assert!(error.to_string().contains(part), "{error}");
    }
}
