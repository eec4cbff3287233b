//! The four kinds of call, in both colours, with their metadata.

use super::common::{CHAT, LIST, UNARY, UPLOAD, echo, next, reports, with_stubs};
use std::future::poll_fn;
use std::pin::Pin;
use std::thread;

use futures_core::Stream;
use turnstile::client::{Streaming, Stub};
use turnstile::{CallOptions, Metadata, Status, block_on};

fn options() -> CallOptions {
    CallOptions::new().metadata("x-echo", "7")
}

#[test]
fn a_unary_call_brings_the_reply_and_both_metadata() {
    with_stubs(echo(), |stub, blocking| {
        let call = stub.with(options()).unary(&UNARY, "you".to_owned());
        for reply in [block_on(call), blocking.with(options()).unary(&UNARY, "you".to_owned())] {
            let reply = reply.unwrap();
            assert_eq!(*reply, "Hello you");
            assert_eq!(reply.metadata().get("x-initial"), Some("7"));
            assert_eq!(reply.trailers().get("x-trailing"), Some("7"));
        }
        // Those options were one call's.
        let reply = blocking.unary(&UNARY, String::new()).unwrap();
        assert_eq!((reply.as_str(), reply.metadata().get("x-initial")), ("Hello ", None));
    });
}

#[test]
fn a_stream_of_requests_brings_one_reply() {
    with_stubs(echo(), |stub, blocking| {
        let reply = block_on(async {
            let mut upload = stub.with(options()).client_streaming(&UPLOAD);
            for name in ["a", "b", "c"] {
                assert!(upload.write(name.to_owned()).await?);
            }
            upload.finish().await
        });
        let mut upload = blocking.with(options()).client_streaming(&UPLOAD);
        for name in ["a", "b"] {
            assert!(upload.write(name.to_owned()).unwrap());
        }
        assert!(upload.write_uncompressed("c".to_owned()).unwrap());
        for reply in [reply, upload.finish()] {
            let reply = reply.unwrap();
            assert_eq!(*reply, "a+b+c");
            assert_eq!(reply.metadata().get("x-initial"), Some("7"));
            assert_eq!(reply.trailers().get("x-trailing"), Some("7"));
        }
        // Without any request.
        assert_eq!(*block_on(stub.client_streaming(&UPLOAD).finish()).unwrap(), "");
        assert_eq!(*blocking.client_streaming(&UPLOAD).finish().unwrap(), "");
    });
}

#[test]
fn a_stream_of_replies_is_read_to_its_end_with_both_metadata() {
    with_stubs(echo(), |stub, blocking| {
        block_on(async {
            let mut letters = stub.with(options()).server_streaming(&LIST, "xyz".to_owned());
            assert_eq!(letters.metadata().await.get("x-initial"), Some("7"));
            assert!(letters.status().is_none() && letters.trailers().is_none());
            let mut read = Vec::new();
            while let Some(letter) = letters.read().await.unwrap() {
                read.push(letter);
            }
            assert_eq!(read, ["x", "y", "z"]);
            // Also after the messages.
            assert_eq!(letters.metadata().await.get("x-initial"), Some("7"));
            assert!(letters.status().is_some_and(Status::is_ok));
            assert_eq!(letters.trailers().and_then(|it| it.get("x-trailing")), Some("7"));
            assert_eq!(letters.read().await.unwrap(), None);
        });
        let mut letters = blocking.with(options()).server_streaming(&LIST, "xyz".to_owned());
        let read: Result<Vec<_>, _> = letters.by_ref().collect();
        assert_eq!(read.unwrap(), ["x", "y", "z"]);
        assert_eq!(letters.metadata().get("x-initial"), Some("7"));
        assert!(letters.status().is_some_and(Status::is_ok));
        assert_eq!(letters.trailers().and_then(|it| it.get("x-trailing")), Some("7"));
        assert_eq!(letters.read().unwrap(), None);
    });
}

#[test]
fn replies_are_a_stream_too() {
    async fn all(mut replies: Streaming<String>) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(reply) = poll_fn(|it| Pin::new(&mut replies).poll_next(it)).await {
            all.push(reply.unwrap());
        }
        all
    }
    with_stubs(echo(), |stub, _| {
        assert_eq!(block_on(all(stub.server_streaming(&LIST, "ab".to_owned()))), ["a", "b"]);
    });
}

#[test]
fn a_stream_both_ways_answers_while_it_is_open() {
    with_stubs(echo(), |stub, blocking| {
        block_on(async {
            let (mut names, mut greetings) = stub.with(options()).bidi_streaming(&CHAT);
            for name in ["you", "me"] {
                assert!(names.write(name.to_owned()).await.unwrap());
                assert_eq!(greetings.read().await.unwrap(), Some(format!("Hello {name}")));
            }
            names.close();
            assert_eq!(greetings.read().await.unwrap().as_deref(), Some("bye"));
            assert_eq!(greetings.read().await.unwrap(), None);
            assert_eq!(greetings.metadata().await.get("x-initial"), Some("7"));
        });
        let (mut names, mut greetings) = blocking.with(options()).bidi_streaming(&CHAT);
        assert_eq!(greetings.metadata().get("x-initial"), Some("7"));
        for name in ["you", "me"] {
            assert!(names.write(name.to_owned()).unwrap());
            assert_eq!(greetings.read().unwrap(), Some(format!("Hello {name}")));
        }
        names.close();
        assert_eq!(greetings.by_ref().collect::<Result<Vec<_>, _>>().unwrap(), ["bye"]);
        assert_eq!(greetings.trailers().and_then(|it| it.get("x-trailing")), Some("7"));
    });
}

#[test]
fn the_halves_of_a_call_go_to_two_threads() {
    const MESSAGES: usize = 500;
    with_stubs(echo(), |stub, blocking| {
        let expected: Vec<_> = (0..MESSAGES).map(|it| format!("Hello {it}")).collect();
        thread::scope(|scope| {
            let (mut names, greetings) = blocking.bidi_streaming(&CHAT);
            scope.spawn(move || {
                for number in 0..MESSAGES {
                    assert!(names.write(number.to_string()).unwrap());
                }
            });
            let read: Vec<_> = greetings.map(Result::unwrap).collect();
            assert_eq!((&read[..MESSAGES], &*read[MESSAGES]), (&*expected, "bye"));

            let (mut names, mut greetings) = stub.bidi_streaming(&CHAT);
            scope.spawn(move || {
                block_on(async {
                    for number in 0..MESSAGES {
                        assert!(names.write(number.to_string()).await.unwrap());
                    }
                });
            });
            block_on(async {
                for expected in &expected {
                    assert_eq!(greetings.read().await.unwrap().as_ref(), Some(expected));
                }
                assert_eq!(greetings.read().await.unwrap().as_deref(), Some("bye"));
            });
        });
    });
}

#[test]
fn a_call_begins_when_its_function_is_called() {
    let (begun, heard) = reports();
    let service = super::common::demo().bidi_streaming(CHAT, move |_, mut requests, _| {
        let begun = begun.clone();
        async move {
            begun.send(()).unwrap();
            while requests.read().await?.is_some() {}
            Ok(())
        }
    });
    with_stubs(service.build(), |stub, blocking| {
        // Nothing is read or written; a thread that serves drives the connection.
        let _async = stub.bidi_streaming(&CHAT);
        next(&heard);
        let _blocking = blocking.bidi_streaming(&CHAT);
        next(&heard);
    });
}

#[test]
fn many_calls_of_one_stub_go_on_at_once() {
    with_stubs(echo(), |stub, _| {
        let calls: Vec<_> = (0..100).map(|it| stub.clone().unary(&UNARY, it.to_string())).collect();
        for (number, call) in calls.into_iter().enumerate() {
            assert_eq!(*block_on(call).unwrap(), format!("Hello {number}"));
        }
    });
}

#[test]
fn a_handler_calls_another_server_in_either_colour() {
    with_stubs(echo(), |stub, blocking| {
        let outer = super::common::demo()
            .unary(UNARY, move |_, request| {
                let stub: Stub = stub.clone();
                async move { stub.unary(&UNARY, request.into_inner()).await }
            })
            .blocking_server_streaming(LIST, move |_, request, replies| {
                replies.write(blocking.unary(&UNARY, request.into_inner())?.into_inner())
            });
        with_stubs(outer.build(), |stub, blocking| {
            assert_eq!(*block_on(stub.unary(&UNARY, "you".to_owned())).unwrap(), "Hello you");
            let replies = blocking.server_streaming(&LIST, "you".to_owned());
            assert_eq!(replies.collect::<Result<Vec<_>, _>>().unwrap(), ["Hello you"]);
        });
    });
}

#[test]
fn a_blocking_call_works_within_block_on() {
    with_stubs(echo(), |_, blocking| {
        let reply = block_on(async { blocking.unary(&UNARY, "you".to_owned()) });
        assert_eq!(*reply.unwrap(), "Hello you");
    });
}

#[test]
fn metadata_of_a_stub_and_of_a_call_add_up() {
    let service = super::common::demo().unary(UNARY, |_, request| async move {
        let metadata: &Metadata = request.metadata();
        let values: Vec<_> = metadata.get_all("x-who").collect();
        Ok(turnstile::Response::new(values.join(",")))
    });
    with_stubs(service.build(), |stub, _| {
        let stub = stub.with(CallOptions::new().metadata("x-who", "stub"));
        let stub = stub.with(CallOptions::new().metadata("x-who", "call"));
        assert_eq!(*block_on(stub.unary(&UNARY, String::new())).unwrap(), "stub,call");
    });
}
