//! Many calls at once.

use super::common::{
    BIDI, BLOCKING, BLOCKING_BIDI, Guards, UNARY, demo, ok, request, serve, texts, until,
};
use crate::raw::client::{Answer, Client};
use crate::raw::frame::{self, Frame};
use crate::raw::request::{Request, message};
use std::collections::HashMap;
use std::thread;
use turnstile::{Bytes, Response};

#[test]
fn sixty_four_blocking_streams_complete_on_four_threads() {
    const STREAMS: usize = 64;
    let service = demo()
        .blocking_bidi_streaming(BLOCKING_BIDI, |(), requests, replies| {
            for request in requests {
                replies.write(request?)?;
            }
            Ok(())
        })
        .build();
    serve(4, service, |_, address| {
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut client = Client::connect(address);
                    let open = Request::of(BLOCKING_BIDI.path()).open();
                    let streams: Vec<_> = (0..STREAMS / 4).map(|_| client.request(&open)).collect();
                    // All are open; each ends when its turn has come.
                    for part in ["a", "b"] {
                        for stream in &streams {
                            client.send(&Frame::data(*stream, message(part.as_bytes()), false));
                        }
                    }
                    for stream in &streams {
                        client.send(&Frame::data(*stream, message(b"c"), true));
                    }
                    let answers = answers(&mut client, &streams);
                    for stream in streams {
                        assert_eq!(texts(&answers[&stream]), ["a", "b", "c"]);
                    }
                });
            }
        });
    });
}

/// Reads the answers of many streams, as they come, and gives their bodies. Each must be OK.
fn answers(client: &mut Client, streams: &[u32]) -> HashMap<u32, Vec<u8>> {
    let mut bodies: HashMap<_, _> = streams.iter().map(|stream| (*stream, Vec::new())).collect();
    let mut left = streams.len();
    while left > 0 {
        let frame = client.next_frame().expect("the server goes on");
        match frame.kind {
            frame::DATA => bodies.get_mut(&frame.stream).unwrap().extend(&frame.payload),
            frame::HEADERS if frame.has(frame::END_STREAM) => {
                let fields = client.decode(&frame.payload);
                let status = fields.iter().find(|(name, _)| name == "grpc-status");
                assert_eq!(status.map(|(_, value)| &**value), Some("0"), "{fields:?}");
                left -= 1;
            }
            frame::HEADERS => drop(client.decode(&frame.payload)),
            frame::RST_STREAM | frame::GOAWAY => panic!("{frame:?}"),
            _ => {}
        }
    }
    bodies
}

#[test]
fn ten_thousand_async_streams_are_open_at_once() {
    const STREAMS: usize = 10_000;
    let guards = Guards::default();
    let service = demo()
        .bidi_streaming(BIDI, {
            let guards = guards.clone();
            move |_, mut requests, mut replies| {
                let guard = guards.guard();
                async move {
                    let _guard = guard;
                    while let Some(request) = requests.read().await? {
                        replies.write(request).await?;
                    }
                    Ok(())
                }
            }
        })
        .build();
    serve(2, service, |_, address| {
        let mut client = Client::connect(address);
        let open = Request::of(BIDI.path()).open();
        let streams: Vec<_> = (0..STREAMS).map(|_| client.new_stream()).collect();
        for some in streams.chunks(500) {
            let frames: Vec<_> = some.iter().flat_map(|stream| open.to_frames(*stream)).collect();
            client.send_bytes(&frame::to_bytes(&frames));
        }
        until(STREAMS, || guards.made());
        assert_eq!(guards.dropped(), 0, "all are open");
        for some in streams.chunks(500) {
            let ends = some.iter().map(|stream| Frame::data(*stream, message(b"x"), true));
            client.send_bytes(&frame::to_bytes(&ends.collect::<Vec<_>>()));
        }
        let bodies = answers(&mut client, &streams);
        assert!(bodies.values().all(|body| texts(body) == ["x"]));
        until(STREAMS, || guards.dropped());
    });
}

#[test]
fn both_styles_share_few_threads() {
    let service = demo()
        .unary(UNARY, |_, request| async move {
            tokio::task::yield_now().await;
            Ok(Response::new(request.into_inner()))
        })
        .blocking_unary(BLOCKING, |(), request| Ok(Response::new(request.into_inner())))
        .bidi_streaming(BIDI, |_, mut requests, mut replies| async move {
            while let Some(request) = requests.read().await? {
                replies.write(request).await?;
            }
            Ok(())
        })
        .blocking_bidi_streaming(BLOCKING_BIDI, |(), requests, replies| {
            requests.try_for_each(|request| replies.write(request?))
        })
        .build();
    serve(2, service, |_, address| {
        thread::scope(|scope| {
            for method in [UNARY, BLOCKING, BIDI, BLOCKING_BIDI] {
                for _ in 0..2 {
                    scope.spawn(move || {
                        let mut client = Client::connect(address);
                        for round in 0..50 {
                            let text = format!("{round}");
                            let answer: Answer = client.call(&request(method, &[&text]));
                            assert_eq!(ok(&answer), [text]);
                        }
                    });
                }
            }
        });
    });
}

#[test]
fn a_reply_of_many_messages_needs_no_help_from_the_client() {
    let service = demo()
        .server_streaming(super::common::SERVER, |_, request, mut replies| async move {
            let count: usize = super::common::text(&request).parse().expect("a number");
            for _ in 0..count {
                replies.write(Bytes::from_static(b"x")).await?;
            }
            Ok(())
        })
        .build();
    serve(1, service, |_, address| {
        let mut client = Client::connect(address);
        // 6 bytes each: less than the client's window.
        let answer = client.call(&request(super::common::SERVER, &["10000"]));
        assert_eq!(ok(&answer).len(), 10_000);
    });
}
