//! The four kinds of RPC, and metadata both ways.

use super::{Peer, Rpc};
use crate::call::Batch;
use crate::metadata::Metadata;
use crate::status::{Code, Status};
use std::task::Poll;

on_both_transports! {
    a_unary_call_is_one_message_each_way,
    a_client_streams_and_gets_one_answer,
    a_server_streams_after_one_request,
    both_sides_stream_in_turns,
    metadata_goes_both_ways,
    a_message_sends_initial_metadata_first,
    a_status_alone_comes_without_initial_metadata,
}

fn a_unary_call_is_one_message_each_way<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    rpc.send("question");
    rpc.half_close();
    rpc.start(Batch::new().receive_message(), 1);
    assert_eq!(rpc.event().take_message().unwrap(), "question");
    rpc.start(Batch::new().send_message("answer").send_status(Status::ok()).receive_close(), 2);
    let event = rpc.event();
    assert_eq!((event.tag, event.is_ok(), event.is_cancelled()), (2, true, false));
    assert_eq!(rpc.receive(), "answer");
    assert!(rpc.end().status().is_ok());
}

fn a_client_streams_and_gets_one_answer<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    let mut sum = 0;
    for number in 1..=10_u8 {
        rpc.send(vec![number]);
        rpc.start(Batch::new().receive_message(), number.into());
        sum += rpc.event().take_message().unwrap()[0];
    }
    rpc.start(Batch::new().receive_message(), 11);
    assert!(rpc.try_event().is_none(), "the client may send more");
    rpc.half_close();
    let mut last = rpc.event();
    assert!(last.is_ok() && last.take_message().is_none());
    rpc.start(Batch::new().send_message(vec![sum]).send_status(Status::ok()), 12);
    assert_eq!(rpc.receive(), &[55][..]);
    assert!(rpc.end().status().is_ok());
}

fn a_server_streams_after_one_request<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    rpc.half_close();
    for number in 0..10_u8 {
        rpc.start(Batch::new().send_message(vec![number]), number.into());
        assert!(rpc.event().is_ok());
    }
    rpc.start(Batch::new().send_status(Status::ok()), 10);
    assert!(rpc.event().is_ok());
    for number in 0..10_u8 {
        assert_eq!(rpc.receive(), &[number][..]);
    }
    assert!(rpc.end().status().is_ok());
}

fn both_sides_stream_in_turns<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    for round in 0..20 {
        rpc.send(format!("ping {round}"));
        rpc.start(Batch::new().receive_message(), round);
        let message = rpc.event().take_message().unwrap();
        rpc.start(Batch::new().send_message(message), round);
        assert!(rpc.event().is_ok());
        assert_eq!(rpc.receive(), format!("ping {round}"));
    }
    rpc.half_close();
    rpc.start(Batch::new().receive_message().send_status(Status::ok()), 20);
    assert!(rpc.event().take_message().is_none());
    assert!(rpc.end().status().is_ok());
}

fn metadata_goes_both_ways<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    assert_eq!(rpc.call().method(), "/test.Test/Test");
    assert_eq!(rpc.call().metadata().get("who"), Some("a test"));
    let mut initial = Metadata::new();
    initial.insert_bin("key-bin", &[0, 255]).unwrap();
    let mut trailing = Metadata::new();
    trailing.insert("after", "all").unwrap();
    let status = Status::not_found("no such thing: ü").with_metadata(trailing);
    rpc.start(Batch::new().send_initial_metadata(initial).send_status(status), 1);
    assert!(rpc.event().is_ok());
    let got = rpc.client.initial_metadata().unwrap();
    assert_eq!(got.get_bin("key-bin").unwrap().unwrap(), &[0, 255][..]);
    let status = rpc.end().status();
    assert_eq!((status.code(), status.message()), (Code::NotFound, "no such thing: ü"));
    assert_eq!(status.metadata().unwrap().get("after"), Some("all"));
}

fn a_message_sends_initial_metadata_first<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    assert_eq!(rpc.try_receive(), Poll::Pending);
    assert!(rpc.client.initial_metadata().is_none());
    rpc.start(Batch::new().send_message("first"), 1);
    assert!(rpc.event().is_ok());
    assert!(rpc.client.initial_metadata().is_some());
    assert_eq!(rpc.receive(), "first");
    let late = Batch::new().send_initial_metadata(Metadata::new());
    assert!(rpc.call().start(late, 2).is_err(), "it was sent with the message");
}

fn a_status_alone_comes_without_initial_metadata<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    rpc.start(Batch::new().send_status(Status::aborted("no")), 1);
    assert!(rpc.event().is_ok());
    assert!(rpc.client.initial_metadata().is_none());
    assert_eq!(rpc.end().status().code(), Code::Aborted);
}
