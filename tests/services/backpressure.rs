//! A client that does not read makes its writer wait, and nobody else.

use super::common::{BIDI, Guards, SERVER, UNARY, demo, next, request, serve, until};
use crate::raw::client::Client;
use crate::raw::frame::{self, Frame};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::task::{Context, Poll};
use std::time::Duration;
use turnstile::{Bytes, Response, Status};

/// Many times what h2 keeps of a stream by itself.
const PART: usize = 100_000;
const PARTS: usize = 50;
/// What a stream may send before the client says more.
const FIRST_WINDOW: usize = 65_535;

fn part(index: usize) -> Bytes {
    vec![b'a' + (index % 26) as u8; PART].into()
}

/// A stream of messages.
struct Parts(std::ops::Range<usize>, Option<Status>);

impl futures_core::Stream for Parts {
    type Item = Result<Bytes, Status>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.next().map(part).map(Ok).or_else(|| self.1.take().map(Err)))
    }
}

/// Reads an answer of any length, giving window as it comes.
#[track_caller]
fn read_all(client: &mut Client, stream: u32) -> (Vec<u8>, u32) {
    let mut body = Vec::new();
    loop {
        let frame = client.next_frame().expect("the server goes on");
        match frame.kind {
            frame::DATA => {
                body.extend(&frame.payload);
                let taken = frame.payload.len() as u32;
                if taken > 0 {
                    client.send(&Frame::window_update(stream, taken));
                    client.send(&Frame::window_update(0, taken));
                }
            }
            frame::HEADERS => {
                let fields = client.decode(&frame.payload);
                if let Some((_, code)) = fields.iter().find(|(name, _)| name == "grpc-status") {
                    return (body, code.parse().expect("a number"));
                }
            }
            _ => {}
        }
    }
}

fn whole(parts: std::ops::Range<usize>) -> Vec<u8> {
    parts.flat_map(|index| crate::raw::request::message(&part(index))).collect()
}

#[test]
fn a_writer_waits_for_a_client_that_does_not_read() {
    let written = Arc::new(AtomicUsize::new(0));
    let (in_async, in_blocking) = (written.clone(), written.clone());
    let service = demo()
        .server_streaming(SERVER, move |_, _, mut replies| {
            let written = in_async.clone();
            async move {
                for index in 0..PARTS {
                    replies.write(part(index)).await?;
                    written.fetch_add(1, SeqCst);
                }
                Ok(())
            }
        })
        .blocking_bidi_streaming(BIDI, move |(), _, replies| {
            for index in 0..PARTS {
                replies.write(part(index))?;
                in_blocking.fetch_add(1, SeqCst);
            }
            Ok(())
        })
        .unary(UNARY, |_, request| async move { Ok(Response::new(request.into_inner())) })
        .build();
    serve(2, service, |_, address| {
        for method in [SERVER, BIDI] {
            written.store(0, SeqCst);
            // The window of the connection is larger than the stream's, and of use to others.
            let mut client = Client::connect(address);
            client.send(&Frame::window_update(0, 1 << 20));
            let stream = client.request(&request(method, &["x"]));
            client.head(stream);
            for _ in 0..20 {
                client.ping();
            }
            let so_far = written.load(SeqCst);
            assert!(so_far < PARTS / 2, "{so_far} of {PARTS} messages were taken");
            let other = client.new_stream();
            client.send_bytes(&frame::to_bytes(&request(UNARY, &["x"]).to_frames(other)));
            // The frames of the first stream have been read above; its window is used up.
            let answer = client.answer(other);
            assert_eq!(answer.body.len(), 6, "{answer:?}");
            assert!(written.load(SeqCst) < PARTS / 2);
            client.send(&Frame::reset(stream, frame::CANCEL));

            let mut client = Client::connect(address);
            let stream = client.request(&request(method, &["x"]));
            let (body, code) = read_all(&mut client, stream);
            assert_eq!((body, code), (whole(0..PARTS), 0));
        }
    });
}

#[test]
fn a_write_that_is_given_up_half_way_has_sent_all_of_its_message_or_nothing() {
    let service = demo()
        .server_streaming(SERVER, |_, _, mut replies| async move {
            replies.write(part(0)).await?;
            for index in 1..5 {
                // Polled once, and dropped.
                let mut write = pin!(replies.write(part(index)));
                let _ =
                    poll_fn(|context| Poll::Ready(write.as_mut().poll(context).is_ready())).await;
            }
            replies.write("end".into()).await
        })
        .bidi_streaming(BIDI, |_, _, mut replies| async move {
            let mut write = pin!(replies.write(part(0)));
            let _ = poll_fn(|context| Poll::Ready(write.as_mut().poll(context).is_ready())).await;
            // The status follows what is under way.
            Err(Status::not_found("after that"))
        })
        .build();
    serve(1, service, |_, address| {
        let mut client = Client::connect(address);
        let stream = client.request(&request(SERVER, &["x"]));
        let (body, code) = read_all(&mut client, stream);
        assert_eq!(code, 0);
        let messages = super::common::texts(&body);
        let (last, before) = messages.split_last().expect("one at least");
        assert_eq!((before[0].as_bytes(), &**last), (&*part(0), "end"));
        for message in &before[1..] {
            let index = (message.as_bytes()[0] - b'a') as usize;
            assert_eq!(message.as_bytes(), part(index), "a part of a message");
        }

        let stream = client.request(&request(BIDI, &[]));
        let (body, code) = read_all(&mut client, stream);
        assert_eq!((body, code), (whole(0..1), super::common::NOT_FOUND));
    });
}

#[test]
fn a_stream_is_forwarded_to_its_end_or_its_error() {
    let service = demo()
        .server_streaming(SERVER, |_, _, mut replies| async move {
            replies.forward(Parts(0..PARTS, None)).await
        })
        .blocking_bidi_streaming(BIDI, |(), _, replies| {
            replies.forward(Parts(0..3, Some(Status::not_found("no more"))))
        })
        .build();
    serve(1, service, |_, address| {
        let mut client = Client::connect(address);
        let stream = client.request(&request(SERVER, &["x"]));
        assert_eq!(read_all(&mut client, stream), (whole(0..PARTS), 0));
        let stream = client.request(&request(BIDI, &[]));
        assert_eq!(read_all(&mut client, stream), (whole(0..3), super::common::NOT_FOUND));
    });
}

/// The status of a handler that has ended waits behind its messages, and so does the shutdown.
#[test]
fn a_handler_may_end_before_its_client_has_read() {
    let guards = Guards::default();
    let (report, ended) = channel();
    let service = demo()
        .unary(UNARY, {
            let guards = guards.clone();
            move |_, _| {
                let (_guard, report) = (guards.guard(), report.clone());
                async move {
                    report.send(()).unwrap();
                    Ok(Response::new(vec![b'x'; PART * PARTS].into()))
                }
            }
        })
        .build();
    serve(1, service, |server, address| {
        let mut client = Client::connect(address);
        let stream = client.request(&request(UNARY, &["x"]));
        next(&ended);
        until(1, || guards.dropped());
        client.head(stream);
        server.shutdown(Duration::from_secs(3600));
        let ping = client.skip_to(frame::PING).expect("the shutdown asks whether all has come");
        client.pong(&ping);
        // What came before the PING was skipped: the client's first window.
        client.send(&Frame::window_update(stream, FIRST_WINDOW as u32));
        client.send(&Frame::window_update(0, FIRST_WINDOW as u32));
        let (body, code) = read_all(&mut client, stream);
        assert_eq!((body.len(), code), (5 + PART * PARTS - FIRST_WINDOW, 0));
    });
}
