//! The four kinds of method, in both styles, and how many messages they take.

use super::common::{
    BIDI, CLIENT, Guards, Plain, SERVER, UNARY, UNIMPLEMENTED, call, demo, ok, request, serve, text,
};
use crate::raw::client::Client;
use crate::raw::frame::{self, Frame};
use crate::raw::request::{Request, message};
use turnstile::{Bytes, Response, Service, Status};

fn greet(name: &Bytes) -> Bytes {
    format!("Hello {}", text(name)).into()
}

fn in_async() -> Service {
    demo()
        .unary(UNARY, |_, request| async move { Ok(Response::new(greet(&request))) })
        .client_streaming(CLIENT, |_, mut requests| async move {
            let mut names = Vec::new();
            while let Some(name) = requests.read().await? {
                names.push(text(&name));
            }
            Ok(Response::new(names.join("+").into()))
        })
        .server_streaming(SERVER, |_, request, mut replies| async move {
            for letter in text(&request).chars() {
                replies.write(letter.to_string().into()).await?;
            }
            Ok(())
        })
        .bidi_streaming(BIDI, |_, mut requests, mut replies| async move {
            while let Some(name) = requests.read().await? {
                replies.write(greet(&name)).await?;
            }
            replies.write("bye".into()).await
        })
        .build()
}

fn in_blocking() -> Service {
    demo()
        .blocking_unary(UNARY, |(), request| Ok(Response::new(greet(&request))))
        .blocking_client_streaming(CLIENT, |(), requests| {
            let names =
                requests.map(|name| Ok(text(&name?))).collect::<Result<Vec<_>, Status>>()?;
            Ok(Response::new(names.join("+").into()))
        })
        .blocking_server_streaming(SERVER, |(), request, replies| {
            for letter in text(&request).chars() {
                replies.write(letter.to_string().into())?;
            }
            Ok(())
        })
        .blocking_bidi_streaming(BIDI, |(), requests, replies| {
            while let Some(name) = requests.read()? {
                replies.write(greet(&name))?;
            }
            replies.write("bye".into())
        })
        .build()
}

#[test]
fn every_kind_in_every_style_answers() {
    let rows: [(Plain, &[&str], &[&str]); 7] = [
        (UNARY, &["you"], &["Hello you"]),
        (CLIENT, &["a", "b", "c"], &["a+b+c"]),
        (CLIENT, &[], &[""]),
        (SERVER, &["xyz"], &["x", "y", "z"]),
        (SERVER, &[""], &[]),
        (BIDI, &["you", "me"], &["Hello you", "Hello me", "bye"]),
        (BIDI, &[], &["bye"]),
    ];
    for service in [in_async(), in_blocking()] {
        serve(2, service, |_, address| {
            let mut client = Client::connect(address);
            for (method, requests, replies) in &rows {
                let answer = client.call(&request(*method, requests));
                assert_eq!(ok(&answer), *replies, "{method:?} {requests:?}");
            }
        });
    }
}

#[test]
fn a_stream_in_both_directions_answers_while_it_is_open() {
    for service in [in_async(), in_blocking()] {
        serve(2, service, |_, address| {
            let mut client = Client::connect(address);
            let stream = client.request(&Request::of(BIDI.path()).open());
            for _ in 0..3 {
                client.send(&Frame::data(stream, message(b"you"), false));
                assert_eq!(client.expect(frame::DATA).payload, message(b"Hello you"));
            }
            client.send(&Frame::data(stream, [], true));
            assert_eq!(client.expect(frame::DATA).payload, message(b"bye"));
        });
    }
}

/// "Cardinality violation" of gRPC's status code document.
#[test]
fn a_method_with_one_request_takes_no_more_and_no_less() {
    for service in [in_async(), in_blocking()] {
        serve(2, service, |_, address| {
            for method in [UNARY, SERVER] {
                for (messages, cause) in [(&[][..], "sent none"), (&["a", "b"], "sent more")] {
                    let answer = call(address, method, messages);
                    assert_eq!(answer.code(), UNIMPLEMENTED, "{method:?}: {answer:?}");
                    assert!(answer.message().contains(cause), "{answer:?}");
                    assert!(answer.is_trailers_only(), "{answer:?}");
                }
            }
        });
    }
}

/// tonic answers INTERNAL "Missing request message." instead (grpc/grpc-rust#2410).
#[test]
fn a_client_that_cancels_before_its_request_is_whole_reaches_no_handler() {
    let called = Guards::default();
    let (in_async, in_blocking) = (called.clone(), called.clone());
    let service = demo()
        .unary(UNARY, move |_, _| {
            let _called = in_async.guard();
            async { Ok(Response::new(Bytes::new())) }
        })
        .blocking_server_streaming(SERVER, move |(), _, _| {
            let _called = in_blocking.guard();
            Ok(())
        })
        .build();
    serve(2, service, |_, address| {
        let mut client = Client::connect(address);
        let whole = message(b"whole");
        for method in [UNARY, SERVER] {
            for part in [&whole[..0], &whole[..3], &whole[..7], &whole] {
                let stream = client.request(&Request::of(method.path()).body(part).open());
                client.ping();
                client.send(&Frame::reset(stream, frame::CANCEL));
                let after = client.ping();
                let about = |it: &Frame| it.stream == stream && it.kind != frame::WINDOW_UPDATE;
                assert!(!after.iter().any(about), "{after:?}");
            }
        }
        // The connection goes on, and the calls above would have come before this one.
        let answer = client.call(&request(UNARY, &["x"]));
        assert_eq!(ok(&answer), [""]);
        assert_eq!(called.made(), 1);
    });
}

#[test]
fn bytes_that_the_codec_cannot_read_end_the_call_and_not_the_handlers_thread() {
    const TEXT: turnstile::MethodDescriptor<String, String> =
        turnstile::MethodDescriptor::unary("/test.Demo/Text");
    const TEXTS: turnstile::MethodDescriptor<String, String> =
        turnstile::MethodDescriptor::client_streaming("/test.Demo/Texts");
    let service = demo()
        .unary(TEXT, |_, request| async move { Ok(Response::new(request.into_inner())) })
        .blocking_client_streaming(TEXTS, |(), requests| {
            let mut first = None;
            for text in requests.by_ref() {
                first = first.or_else(|| text.err());
            }
            // After an error there is nothing more.
            assert!(requests.read().expect("no second error").is_none());
            Err(first.expect("the bytes are no protobuf"))
        })
        .build();
    serve(1, service, |_, address| {
        for path in [TEXT.path(), TEXTS.path()] {
            let mut client = Client::connect(address);
            let answer = client.call(&Request::of(path).body(message(&[0xff; 4])));
            assert_eq!(answer.code(), super::common::INTERNAL, "{answer:?}");
            assert!(answer.message().contains("cannot be read"), "{answer:?}");
        }
    });
}
