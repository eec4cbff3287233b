//! Metadata of requests and replies, and statuses: what is sent, in which frame.

use super::common::{
    BIDI, BLOCKING, BLOCKING_BIDI, CLIENT, NOT_FOUND, SERVER, UNARY, call, demo, next, ok, request,
    serve,
};
use crate::raw::client::Client;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use tokio::sync::oneshot;
use turnstile::{Bytes, Metadata, Response, Status};

fn entry(key: &str, value: &str) -> Metadata {
    let mut metadata = Metadata::new();
    metadata.insert(key, value).expect("a key of these tests is valid");
    metadata
}

fn find<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

#[test]
fn metadata_of_a_response_goes_before_the_message_and_with_the_status() {
    fn response() -> Response<Bytes> {
        let mut response = Response::new(Bytes::from("x"));
        *response.metadata_mut() = entry("x-first", "1");
        *response.trailers_mut() = entry("x-last", "2");
        response
    }
    let service = demo()
        .unary(UNARY, |_, _| async { Ok(response()) })
        .blocking_unary(BLOCKING, |(), _| Ok(response()))
        .client_streaming(CLIENT, |_, _| async { Ok(response()) })
        .build();
    serve(1, service, |_, address| {
        for method in [UNARY, BLOCKING, CLIENT] {
            let answer = call(address, method, &["a"]);
            assert_eq!(ok(&answer), ["x"]);
            assert_eq!(find(&answer.head, "x-first"), Some("1"), "{answer:?}");
            assert_eq!(find(&answer.trailers, "x-last"), Some("2"), "{answer:?}");
            assert_eq!(find(&answer.head, "x-last"), None, "{answer:?}");
        }
    });
}

#[test]
fn initial_metadata_can_go_before_anything_else() {
    let (open_async, gate) = oneshot::channel::<()>();
    let gate = Mutex::new(Some(gate));
    let (open_blocking, blocking_gate) = channel::<()>();
    let blocking_gate = Mutex::new(blocking_gate);
    let service = demo()
        .unary(UNARY, move |_, request| {
            let gate = gate.lock().unwrap().take().expect("one call");
            async move {
                request.context().send_initial_metadata(entry("x-early", "1"))?;
                let twice = request.context().send_initial_metadata(entry("x-late", "1"));
                assert!(twice.unwrap_err().message().contains("before the first message"));
                gate.await.expect("the test opens it");
                let mut response = Response::new(Bytes::new());
                *response.metadata_mut() = entry("x-late", "1");
                Ok(response)
            }
        })
        .blocking_server_streaming(SERVER, move |(), _, replies| {
            replies.send_initial_metadata(entry("x-early", "1"))?;
            blocking_gate.lock().unwrap().recv().expect("the test opens it");
            replies.write(Bytes::new())
        })
        .build();
    serve(1, service, |_, address| {
        let mut client = Client::connect(address);
        let stream = client.request(&request(UNARY, &["a"]));
        let head = client.head(stream);
        assert_eq!(find(&head, "x-early"), Some("1"), "{head:?}");
        assert_eq!(find(&head, "x-late"), None, "{head:?}");
        open_async.send(()).unwrap();
        assert_eq!(client.answer(stream).code(), 0);

        let stream = client.request(&request(SERVER, &["a"]));
        let head = client.head(stream);
        assert_eq!(find(&head, "x-early"), Some("1"), "{head:?}");
        open_blocking.send(()).unwrap();
        assert_eq!(client.answer(stream).code(), 0);
    });
}

#[test]
fn an_error_is_one_block_of_headers_and_keeps_its_metadata() {
    let status = || Status::not_found("für 100% 世界").with_metadata(entry("x-why", "gone"));
    let service = demo()
        .unary(UNARY, move |_, request| async move {
            request.context().set_trailers(entry("x-cost", "3"));
            Err::<Response<Bytes>, _>(status())
        })
        .blocking_bidi_streaming(BLOCKING_BIDI, move |(), requests, _| {
            requests.set_trailers(entry("x-cost", "3"));
            Err(status())
        })
        .build();
    serve(1, service, |_, address| {
        for method in [UNARY, BLOCKING_BIDI] {
            let answer = call(address, method, &["a"]);
            assert_eq!(answer.code(), NOT_FOUND, "{answer:?}");
            assert!(answer.is_trailers_only(), "{answer:?}");
            assert_eq!(answer.message(), "f%C3%BCr 100%25 %E4%B8%96%E7%95%8C");
            assert_eq!(answer.header("x-why"), Some("gone"), "{answer:?}");
            assert_eq!(answer.header("x-cost"), Some("3"), "{answer:?}");
        }
    });
}

#[test]
fn trailers_that_are_set_go_with_whatever_the_call_ends_with() {
    let service = demo()
        .unary(UNARY, |_, request| async move {
            request.context().set_trailers(entry("x-cost", "3"));
            let mut response = Response::new(Bytes::new());
            *response.trailers_mut() = entry("x-last", "2");
            Ok(response)
        })
        .server_streaming(SERVER, |_, _, mut replies| async move {
            replies.set_trailers(entry("x-cost", "2"));
            replies.write("x".into()).await?;
            replies.set_trailers(entry("x-cost", "3"));
            Err(Status::not_found("in the middle"))
        })
        .bidi_streaming(BIDI, |_, requests, _| async move {
            requests.set_trailers(entry("x-cost", "3"));
            std::future::pending().await
        })
        .build();
    serve(1, service, |_, address| {
        let answer = call(address, UNARY, &["a"]);
        ok(&answer);
        assert_eq!(find(&answer.trailers, "x-cost"), Some("3"), "{answer:?}");
        assert_eq!(find(&answer.trailers, "x-last"), Some("2"), "{answer:?}");

        let answer = call(address, SERVER, &["a"]);
        assert_eq!((answer.code(), answer.message()), (NOT_FOUND, "in the middle"));
        assert_eq!(find(&answer.trailers, "x-cost"), Some("3"), "{answer:?}");

        let expiring = request(BIDI, &[]).with("grpc-timeout", "1500m");
        let answer = Client::connect(address).call(&expiring);
        assert_eq!(answer.code(), super::common::DEADLINE_EXCEEDED, "{answer:?}");
        assert_eq!(answer.header("x-cost"), Some("3"), "{answer:?}");
    });
}

#[test]
fn a_handler_sees_who_called_what_and_with_which_metadata() {
    let (report, seen) = channel();
    let service = demo()
        .unary(UNARY, move |_, request| {
            let context = request.context();
            let values: Vec<_> = request
                .metadata()
                .get_all_bin("x-bin")
                .map(|value| value.expect("others are refused"))
                .collect();
            let text = request.metadata().get("x-text").map(str::to_owned);
            let names = (context.method().to_owned(), context.authority().to_owned());
            let left = context.time_left().expect("the call has a deadline");
            report.send((names, text, values, left, context.peer().to_string())).unwrap();
            async { Ok(Response::new(Bytes::new())) }
        })
        .build();
    serve(1, service, |_, address| {
        let request = request(UNARY, &["a"])
            .with("x-text", "7")
            .with("x-bin", "AQ,Ag")
            .with("grpc-timeout", "1H");
        let mut client = Client::connect(address);
        ok(&client.call(&request));
        let (names, text, values, left, peer) = next(&seen);
        assert_eq!(names, (UNARY.path().to_owned(), "test".to_owned()));
        assert_eq!(text.as_deref(), Some("7"));
        assert_eq!(values, [&[1][..], &[2]]);
        assert!(left.as_secs() > 3500, "{left:?}");
        assert!(peer.contains("127.0.0.1"), "{peer}");
    });
}
