//! Errors that are none: what handlers and codecs may not answer.

use super::common::{INTERNAL, Plain, call, request, serve_with, until};
use super::log;
use crate::raw::client::Client;
use turnstile::codec::Codec;
use turnstile::service::{Builder as ServiceBuilder, IncomingCall};
use turnstile::{Bytes, MethodDescriptor, Response, Server, Status};

#[test]
fn an_error_that_is_ok_ends_with_internal_and_names_who_made_it() {
    log::keep();
    const ASYNC: Plain = Plain::unary("/test.OkAsError/Async");
    const BLOCKS: Plain = Plain::unary("/test.OkAsError/Blocks");
    const STREAM: Plain = Plain::client_streaming("/test.OkAsError/Stream");
    const REFUSED: &str = "a handler made a reply that the method cannot have";
    let service = |name| {
        ServiceBuilder::new(name, ())
            .unary(ASYNC, |_, _| async { Err::<Response<Bytes>, _>(Status::ok()) })
            .blocking_unary(BLOCKS, |(), _| Err::<Response<Bytes>, _>(Status::ok()))
            .client_streaming(STREAM, |_, _| async { Err::<Response<Bytes>, _>(Status::ok()) })
            .build()
    };
    let mut plain = Server::builder();
    plain.add_service(service("test.OkAsError"));
    let mut intercepted = Server::builder();
    intercepted.add_service(service("test.OkAsError")).intercept(|_: &mut IncomingCall| Ok(()));
    for (round, mut builder) in [plain, intercepted].into_iter().enumerate() {
        serve_with(1, &mut builder, |_, address| {
            for method in [ASYNC, BLOCKS, STREAM] {
                let answer = call(address, method, &["x"]);
                assert_eq!(answer.code(), INTERNAL, "{method:?}: {answer:?}");
                assert!(answer.message().contains(REFUSED), "{answer:?}");
                assert!(answer.is_trailers_only(), "{answer:?}");
                until(round + 1, || log::count(&[REFUSED, method.path(), "OK without a message"]));
            }
        });
    }
}

/// What cannot be written or read, and says so badly.
struct BadCodec;

impl Codec<Bytes> for BadCodec {
    const SUBTYPE: &'static str = "";

    fn encode(_: &Bytes) -> Result<Bytes, Status> {
        Err(Status::ok())
    }

    fn decode(bytes: Bytes) -> Result<Bytes, Status> {
        if bytes == "unread" { Err(Status::ok()) } else { Ok(bytes) }
    }
}

#[test]
fn a_codecs_error_that_is_ok_ends_with_internal_too() {
    log::keep();
    const METHOD: MethodDescriptor<Bytes, Bytes, BadCodec> =
        MethodDescriptor::unary("/test.BadCodec/Unary");
    let service = ServiceBuilder::new("test.BadCodec", ())
        .unary(METHOD, |_, request| async move { Ok(Response::new(request.into_inner())) })
        .build();
    let mut builder = Server::builder();
    builder.add_service(service);
    serve_with(1, &mut builder, |_, address| {
        let mut client = Client::connect(address);
        for (index, message) in ["unread", "unwritten"].into_iter().enumerate() {
            let answer = client.call(&request(Plain::unary(METHOD.path()), &[message]));
            assert_eq!(answer.code(), INTERNAL, "{answer:?}");
            assert!(answer.message().contains("a codec"), "{answer:?}");
            until(index + 1, || {
                log::count(&["a codec", METHOD.path(), "failed with the status OK"])
            });
        }
    });
}
