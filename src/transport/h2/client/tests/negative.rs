//! The cases of gRPC's "HTTP2 Interop Test Descriptions": a server that misbehaves.

use super::peer::{Received, World, framed};
use crate::testing::http2::{
    ACK, DATA, END_STREAM, HEADERS, PADDED, PING, RST_STREAM, WINDOW_UPDATE, frame,
};

/// The first call ends well, and the next goes elsewhere: its transport says that it has not begun.
#[test]
fn goaway() {
    let mut world = World::new();
    let first = world.unary();
    let stream = world.request();
    let second = world.unary();
    world.request();
    world.goaway(stream, 0, "");
    world.answer_ok(stream);
    let whole = first.finish(&mut world);
    assert_eq!((whole.status().as_str(), whole.messages.len()), ("OK", 1));
    let whole = second.finish(&mut world);
    assert!(whole.ended.is_unprocessed());
    assert_eq!(
        whole.status(),
        "UNAVAILABLE: the server at inproc takes no more calls: it sent GOAWAY NO_ERROR",
    );
    let third = world.begin().finish(&mut world);
    assert!(third.ended.is_unprocessed());
    let told = world.seen.told();
    assert_eq!(told.goaways.len(), 1);
    assert_eq!((told.goaways[0].is_of_pings, &*told.goaways[0].text), (false, "GOAWAY NO_ERROR"));
    assert_eq!(
        world.closed().to_string(),
        "UNAVAILABLE: the server at inproc ended the connection with GOAWAY NO_ERROR",
    );
}

#[test]
fn rst_after_header() {
    let mut world = World::new();
    let call = world.unary();
    let stream = world.request();
    world.answer(stream);
    world.reset(stream, 0);
    let whole = call.finish(&mut world);
    assert!(whole.answer.is_some() && !whole.ended.is_unprocessed());
    assert_eq!(
        whole.status(),
        "INTERNAL: the server at inproc reset the call's stream with NO_ERROR, but sent no status",
    );
}

#[test]
fn rst_during_data() {
    let mut world = World::new();
    let call = world.unary();
    let stream = world.request();
    world.answer(stream);
    world.send(&frame(DATA, 0, stream, &framed(&[7; 1000])[..500]));
    world.reset(stream, 2);
    let whole = call.finish(&mut world);
    assert!(whole.messages.is_empty());
    assert_eq!(
        whole.status(),
        "INTERNAL: the server at inproc reset the call's stream with INTERNAL_ERROR",
    );
}

#[test]
fn rst_after_data() {
    let mut world = World::new();
    let call = world.unary();
    let stream = world.request();
    world.answer(stream);
    world.send(&frame(DATA, 0, stream, &framed(&[7; 1000])));
    world.reset(stream, 8);
    let whole = call.finish(&mut world);
    assert_eq!(whole.messages.len(), 1);
    assert_eq!(
        whole.status(),
        "CANCELLED: the server at inproc reset the call's stream with CANCEL",
    );
}

#[test]
fn a_refused_stream_is_unprocessed() {
    let mut world = World::new();
    let call = world.unary();
    let stream = world.request();
    world.reset(stream, 7);
    let whole = call.finish(&mut world);
    assert!(whole.ended.is_unprocessed());
    assert_eq!(
        whole.status(),
        "UNAVAILABLE: the server at inproc reset the call's stream with REFUSED_STREAM: it has not \
         looked at the call",
    );
}

#[test]
fn ping() {
    let mut world = World::new();
    let call = world.unary();
    let stream = world.request();
    let mut sent = Vec::new();
    let mut ping = |world: &mut World| {
        let payload = [sent.len() as u8; 8];
        sent.push(payload.to_vec());
        world.send(&frame(PING, 0, 0, &payload));
    };
    ping(&mut world);
    world.answer(stream);
    ping(&mut world);
    world.send(&frame(DATA, 0, stream, &framed(b"reply")[..3]));
    ping(&mut world);
    world.send(&frame(DATA, 0, stream, &framed(b"reply")[3..]));
    ping(&mut world);
    world.trailers(stream, &[("grpc-status", "0")]);
    ping(&mut world);
    assert_eq!(call.finish(&mut world).status(), "OK");
    for payload in sent {
        let pong = world.frame(|it| it.kind == PING);
        assert_eq!((pong.flags, pong.payload), (ACK, payload));
    }
}

#[test]
fn max_streams() {
    let mut world = World::with(crate::transport::h2::ClientConfig::default(), &[(3, 1)]);
    let calls: Vec<_> = (0..10).map(|_| world.unary()).collect();
    for mut call in calls {
        let stream = world.request_of(&mut call);
        // Nothing of another call comes while this one goes on.
        world.settle();
        assert!(!world.take_frames().iter().any(|it| matches!(it.kind, HEADERS | DATA)));
        world.answer_ok(stream);
        let message = call.answer(&mut world).map(|_| call.message(&mut world));
        assert_eq!(message.unwrap().unwrap().unwrap(), "reply");
        assert_eq!(call.message(&mut world).unwrap(), None);
        assert!(call.ended(&mut world).status.is_ok());
    }
    assert!(world.take_frames().iter().all(|it| it.kind != RST_STREAM));
}

/// Each frame has five bytes of data and 255 of padding, which count against the window.
#[test]
fn data_frame_padding() {
    const MESSAGE: usize = 314_159;
    let mut world = World::new();
    let mut call = world.unary();
    let stream = world.request();
    world.answer(stream);
    let message = framed(&[7; MESSAGE]);
    // As the client's SETTINGS and its first WINDOW_UPDATE have them.
    let (mut of_stream, mut of_connection) = (1 << 20, 1 << 24);
    let mut updates = 0;
    let mut frames = message.chunks(5).peekable();
    let mut got = None;
    while got.is_none() {
        for _ in 0..1000 {
            let length = 1 + frames.peek().map_or(0, |data| data.len()) + 255;
            let Some(data) = frames.next_if(|_| length <= of_stream && length <= of_connection)
            else {
                break;
            };
            of_stream -= length;
            of_connection -= length;
            let payload = [&[255], data, &[0; 255]].concat();
            world.send(&frame(DATA, PADDED, stream, &payload));
        }
        let message = call.poll(|it, context| {
            it.take_in(context);
            let _ = it.poll_answer(context);
            it.poll_message(context)
        });
        if let std::task::Poll::Ready(message) = message {
            got = message.unwrap();
        }
        let is_update = |it: &Received| it.kind == WINDOW_UPDATE;
        for update in world.take_frames().into_iter().filter(is_update) {
            let more = u32::from_be_bytes(update.payload[..].try_into().unwrap()) as usize;
            updates += 1;
            // The first makes the connection's window what it is.
            match update.stream {
                0 if more == (1 << 24) - 65_535 => {}
                0 => of_connection += more,
                _ => of_stream += more,
            }
        }
    }
    assert_eq!(got.unwrap().data, &message[5..]);
    assert!(updates > 10);
    world.trailers(stream, &[("grpc-status", "0")]);
    assert_eq!(call.message(&mut world).unwrap(), None);
    assert!(call.ended(&mut world).status.is_ok());
}

#[test]
fn a_status_that_ends_with_data_is_no_status() {
    let mut world = World::new();
    let call = world.unary();
    let stream = world.request();
    world.answer(stream);
    world.send(&frame(DATA, END_STREAM, stream, &[]));
    let status = call.finish(&mut world).status();
    assert_eq!(
        status,
        "UNKNOWN: the server at inproc ended the call without trailers, and so no grpc-status"
    );
}
