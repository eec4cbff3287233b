//! Compression: who chooses it, and what is on the wire then.

use super::common::{
    BIDI, BLOCKING, CLIENT, INTERNAL, Plain, RESOURCE_EXHAUSTED, SERVER, UNARY, UNIMPLEMENTED,
    demo, serve_with, text, texts,
};
use crate::raw::client::{Answer, Client};
use crate::raw::request::{Request, prefixed};
use turnstile::service::IncomingCall;
use turnstile::{Bytes, Encoding, Response, Server, Service, Status};

/// Seven times "turnstile", by Python's gzip module.
const GZIP: &[u8] = &[
    0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3, 0x2b, 0x29, 0x2d, 0xca, 0x2b, 0x2e, 0xc9, 0xcc, 0x49, 0x55,
    0x28, 0x21, 0x9f, 5, 0, 0x9e, 0xcd, 0x98, 0xdb, 0x45, 0, 0, 0,
];

fn plain() -> String {
    ["turnstile"; 7].join(" ")
}

/// Says back what it hears, in every style.
fn echo() -> Service {
    demo()
        .unary(UNARY, |_, request| async move { Ok(Response::new(request.into_inner())) })
        .blocking_unary(BLOCKING, |(), request| Ok(Response::new(request.into_inner())))
        .client_streaming(CLIENT, |_, mut requests| async move {
            let mut all = Vec::new();
            while let Some(request) = requests.read().await? {
                all.extend(request);
            }
            Ok(Response::new(all.into()))
        })
        .server_streaming(SERVER, |_, request, mut replies| async move {
            replies.write(request.into_inner()).await
        })
        .blocking_bidi_streaming(BIDI, |(), requests, replies| {
            requests.try_for_each(|request| replies.write(request?))
        })
        .build()
}

fn gzip_server() -> turnstile::Builder {
    let mut builder = Server::builder();
    builder.accept_compressed(&[Encoding::Gzip]);
    builder
}

/// A request with one message, which is compressed.
fn compressed(method: Plain, message: &[u8]) -> Request {
    let body = prefixed(1, message.len(), message);
    Request::of(method.path()).with("grpc-encoding", "gzip").body(body)
}

/// One for a reply that may be compressed.
fn open_to_gzip(method: Plain) -> Request {
    let message = [b'x'; 500];
    let body = prefixed(0, message.len(), &message);
    Request::of(method.path()).with("grpc-accept-encoding", "identity,gzip").body(body)
}

/// Whether an answer that went well was compressed, by its head and by its first message.
#[track_caller]
fn is_compressed(answer: &Answer) -> bool {
    assert_eq!((answer.http(), answer.code()), ("200", 0), "{answer:?}");
    let is_named = answer.header("grpc-encoding") == Some("gzip");
    let flag = answer.body[0];
    let length = u32::from_be_bytes(answer.body[1..5].try_into().expect("four bytes"));
    assert_eq!((flag == 1, length < 500), (is_named, is_named), "{answer:?}");
    is_named
}

#[test]
fn a_compressed_request_reaches_a_handler_of_every_style() {
    serve_with(2, gzip_server().add_service(echo()), |_, address| {
        let mut client = Client::connect(address);
        for method in [UNARY, BLOCKING, CLIENT, SERVER, BIDI] {
            let answer = client.call(&compressed(method, GZIP));
            assert_eq!((answer.http(), answer.code()), ("200", 0), "{method:?}: {answer:?}");
            assert_eq!(texts(&answer.body), [plain()], "{method:?}");
            assert_eq!(answer.header("grpc-accept-encoding"), Some("identity,gzip"));
            assert_eq!(answer.header("grpc-encoding"), None, "the client has not asked for it");
        }
        // Messages without the flag are as they are, and both may come on one stream.
        let messages = [prefixed(0, 2, b"a "), prefixed(1, GZIP.len(), GZIP)].concat();
        let answer = client.call(&compressed(CLIENT, GZIP).body(messages));
        assert_eq!(texts(&answer.body), [format!("a {}", plain())]);
    });
}

#[test]
fn a_request_that_is_too_long_or_broken_when_decompressed_reaches_no_handler() {
    let service = demo()
        .unary(UNARY, |_, _| async { panic!("it is not called") })
        .blocking_unary(BLOCKING, |(), _| panic!("it is not called"))
        .build();
    let mut builder = gzip_server();
    builder.add_service(service).max_receive_message_size(GZIP.len());
    serve_with(1, &mut builder, |_, address| {
        let mut client = Client::connect(address);
        for method in [UNARY, BLOCKING] {
            let answer = client.call(&compressed(method, GZIP));
            assert_eq!(answer.code(), RESOURCE_EXHAUSTED, "{answer:?}");
            assert!(answer.message().contains("more than 33 when decompressed"), "{answer:?}");
            let answer = client.call(&compressed(method, &GZIP[1..]));
            assert_eq!(answer.code(), INTERNAL, "{answer:?}");
            assert!(answer.message().contains("cannot be decompressed as gzip"), "{answer:?}");
        }
    });
}

#[test]
fn an_encoding_that_the_server_does_not_take_is_answered_with_those_that_it_takes() {
    serve_with(1, gzip_server().add_service(echo()), |_, address| {
        for encoding in ["br", "deflate", "zstd", "gzi", "gzip,gzip"] {
            let request = compressed(UNARY, GZIP).with("grpc-encoding", encoding);
            let answer = Client::connect(address).call(&request);
            assert_eq!((answer.http(), answer.code()), ("200", UNIMPLEMENTED), "{answer:?}");
            assert_eq!(answer.header("grpc-accept-encoding"), Some("identity,gzip"));
            assert!(answer.message().contains("identity,gzip"), "{answer:?}");
        }
    });
}

#[test]
fn replies_are_compressed_as_the_method_has_it_then_the_service_then_the_server() {
    const OTHER: Plain = Plain::unary("/test.Other/Unary");
    let other = || {
        turnstile::service::Builder::new("test.Other", ())
            .unary(OTHER, |_, request| async move { Ok(Response::new(request.into_inner())) })
            .build()
    };
    let gzip = Encoding::Gzip;
    let configured =
        || echo().compress_replies(gzip).configure("Blocking", |it| it.compress_replies(None));
    let mut on = Server::builder();
    on.add_service(echo()).add_service(other().compress_replies(None)).compress_replies(gzip);
    let mut off = Server::builder();
    off.add_service(configured()).add_service(other());
    for (mut builder, expected) in [
        (on, [(UNARY, true), (BLOCKING, true), (OTHER, false)]),
        (off, [(UNARY, true), (BLOCKING, false), (OTHER, false)]),
    ] {
        serve_with(2, &mut builder, |_, address| {
            let mut client = Client::connect(address);
            for (method, wanted) in expected {
                let answer = client.call(&open_to_gzip(method));
                assert_eq!(is_compressed(&answer), wanted, "{method:?}");
                assert_eq!(answer.header("grpc-accept-encoding"), None, "requests may not be");
                let closed = open_to_gzip(method).without("grpc-accept-encoding");
                assert!(!is_compressed(&client.call(&closed)));
            }
        });
    }
}

#[test]
fn a_call_chooses_for_itself_and_so_does_a_message() {
    let service = demo()
        .unary(UNARY, |_, request| async move {
            request.context().set_compression(Some(Encoding::Gzip))?;
            Ok(Response::new(request.into_inner()))
        })
        .blocking_unary(BLOCKING, |(), request| {
            request.context().set_compression(Some(Encoding::Gzip))?;
            Ok(Response::new(()).uncompressed().map(|()| request.into_inner()))
        })
        .server_streaming(SERVER, |_, request, mut replies| async move {
            replies.set_compression(Some(Encoding::Gzip))?;
            let message = request.into_inner();
            replies.write(message.clone()).await?;
            replies.write_uncompressed(message.clone()).await?;
            let late = replies.set_compression(None).expect_err("the encoding has been sent");
            assert!(late.message().contains("before"), "{late}");
            replies.write(message).await
        })
        .build();
    serve_with(2, Server::builder().add_service(service), |_, address| {
        let mut client = Client::connect(address);
        assert!(is_compressed(&client.call(&open_to_gzip(UNARY))));
        for (method, expected) in [(BLOCKING, vec![0]), (SERVER, vec![1, 0, 1])] {
            let answer = client.call(&open_to_gzip(method));
            assert_eq!(answer.header("grpc-encoding"), Some("gzip"), "{answer:?}");
            assert_eq!(flags(&answer.body), expected, "{method:?}");
        }
    });
}

#[test]
fn handlers_and_interceptors_see_which_requests_were_compressed() {
    fn seen(context: &turnstile::Context) -> String {
        let encoding = context.request_encoding().map_or("none", Encoding::name);
        format!("{encoding} {}", context.was_compressed())
    }
    fn note(call: &mut IncomingCall) -> Result<(), Status> {
        let context = turnstile::Context::clone(call);
        call.map_requests(move |_| Ok(seen(&context).into()));
        Ok(())
    }
    let service = demo()
        .unary(UNARY, |_, request| async move {
            assert_eq!(request.was_compressed(), request.context().was_compressed());
            Ok(Response::new(format!("{} {}", text(&request), request.was_compressed()).into()))
        })
        .blocking_unary(BLOCKING, |(), request| {
            Ok(Response::new(format!("{} {}", text(&request), request.was_compressed()).into()))
        })
        .blocking_bidi_streaming(BIDI, |(), requests, replies| {
            while let Some(request) = requests.read()? {
                let text = format!("{} {}", text(&request), requests.was_compressed());
                replies.write(text.into())?;
            }
            Ok(())
        })
        .build();
    serve_with(2, gzip_server().add_service(service).intercept(note), |_, address| {
        let mut client = Client::connect(address);
        let plain = || prefixed(0, 1, b"x");
        for method in [UNARY, BLOCKING] {
            let answer = client.call(&compressed(method, GZIP));
            assert_eq!(texts(&answer.body), ["gzip true true"], "{method:?}");
            // The encoding is the call's, and each message has it or not.
            let answer = client.call(&compressed(method, GZIP).body(plain()));
            assert_eq!(texts(&answer.body), ["gzip false false"], "{method:?}");
            let answer = client.call(&Request::of(method.path()).body(plain()));
            assert_eq!(texts(&answer.body), ["none false false"], "{method:?}");
        }
        let body = [plain(), prefixed(1, GZIP.len(), GZIP), plain()].concat();
        let answer = client.call(&compressed(BIDI, GZIP).body(body));
        let expected = ["gzip false false", "gzip true true", "gzip false false"];
        assert_eq!(texts(&answer.body), expected);
    });
}

/// The compressed flags of the messages in a body.
fn flags(mut body: &[u8]) -> Vec<u8> {
    let mut flags = Vec::new();
    while let Some((prefix, rest)) = body.split_first_chunk::<5>() {
        let length = u32::from_be_bytes(prefix[1..].try_into().expect("four bytes"));
        flags.push(prefix[0]);
        body = &rest[length as usize..];
    }
    flags
}

#[test]
fn interceptors_see_messages_uncompressed() {
    fn shout(call: &mut IncomingCall) -> Result<(), Status> {
        call.map_requests(|message| {
            assert_eq!(text(&message), plain());
            Ok(message)
        });
        call.map_replies(|message| {
            assert_eq!(text(&message), plain());
            Ok(Bytes::from(text(&message).to_uppercase().repeat(10)))
        });
        Ok(())
    }
    let mut builder = gzip_server();
    builder.compress_replies(Encoding::Gzip).intercept(shout).add_service(echo());
    serve_with(2, &mut builder, |_, address| {
        let mut client = Client::connect(address);
        for method in [UNARY, BLOCKING, CLIENT, SERVER, BIDI] {
            let request = compressed(method, GZIP);
            let answer = client.call(&request);
            assert_eq!(texts(&answer.body), [plain().to_uppercase().repeat(10)], "{method:?}");
            let answer = client.call(&request.with("grpc-accept-encoding", "gzip"));
            assert!(is_compressed(&answer), "{method:?}");
        }
    });
}
