//! Messages of all lengths, whole and in order.

use super::h2_peer::H2Peer;
use super::{Options, Peer, Rpc};
use crate::call::Batch;
use crate::status::{Code, Status};
use bytes::{BufMut, Bytes, BytesMut};
use std::task::Poll;

const MIB: usize = 1024 * 1024;

on_both_transports! {
    a_message_of_0_bytes_arrives,
    a_message_as_long_as_the_limit_arrives,
    a_message_over_the_limit_ends_the_call_for_both,
    a_reply_over_the_limit_ends_the_call_for_both,
    a_burst_of_100_000_messages_arrives_whole_at_a_reader_who_starts_late,
    a_burst_of_messages_to_the_client_arrives_whole,
}

fn pattern(length: usize) -> Bytes {
    (0..length).map(|at| (at % 251) as u8).collect()
}

fn a_message_of_0_bytes_arrives<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    rpc.send("");
    rpc.half_close();
    rpc.start(Batch::new().receive_message(), 1);
    assert_eq!(rpc.event().take_message(), Some(Bytes::new()));
    rpc.start(Batch::new().receive_message(), 2);
    assert_eq!(rpc.event().take_message(), None, "which is something else");
    rpc.start(Batch::new().send_message("").send_status(Status::ok()), 3);
    assert_eq!(rpc.receive(), "");
    assert!(rpc.end().status().is_ok());
}

fn a_message_as_long_as_the_limit_arrives<P: Peer>() {
    let mut rpc = Rpc::<P>::with(Options { max_message_size: 4 * MIB, ..Options::default() });
    let message = pattern(4 * MIB);
    rpc.start(Batch::new().receive_message(), 1);
    rpc.send(message.clone());
    assert!(rpc.event().take_message().unwrap() == message);
    rpc.call().start(Batch::new().send_message(message.clone()), 2).unwrap();
    assert!(rpc.receive() == message);
    assert!(rpc.event().is_ok());
}

fn a_message_over_the_limit_ends_the_call_for_both<P: Peer>() {
    let mut rpc = Rpc::<P>::with(Options { max_message_size: 100, ..Options::default() });
    rpc.start(Batch::new().receive_close(), 1);
    rpc.send(pattern(100));
    rpc.send(pattern(101));
    rpc.start(Batch::new().receive_message(), 2);
    assert_eq!(rpc.event().take_message().unwrap().len(), 100);
    rpc.start(Batch::new().receive_message(), 3);
    let mut events = [rpc.event(), rpc.event()];
    events.sort_by_key(|event| event.tag);
    assert_eq!(events.each_ref().map(|event| event.tag), [1, 3]);
    assert!(events[0].is_ok() && events[0].is_cancelled());
    assert!(!events[1].is_ok() && events[1].take_message().is_none());
    let status = rpc.end().status();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.message(), "message larger than max (101 vs. 100)");
}

fn a_reply_over_the_limit_ends_the_call_for_both<P: Peer>() {
    let mut rpc = Rpc::<P>::with(Options { max_send_size: 100, ..Options::default() });
    rpc.start(Batch::new().receive_close(), 1);
    rpc.start(Batch::new().send_message(pattern(100)), 2);
    assert!(rpc.event().is_ok());
    assert_eq!(rpc.receive().len(), 100);
    rpc.start(Batch::new().send_message(pattern(101)).send_status(Status::ok()), 3);
    let mut events = [rpc.event(), rpc.event()];
    events.sort_by_key(|event| event.tag);
    assert_eq!(events.each_ref().map(|event| event.tag), [1, 3]);
    assert!(events[0].is_ok() && events[0].is_cancelled());
    assert!(!events[1].is_ok());
    let status = rpc.end().status();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.message(), "sent message larger than max (101 vs. 100)");
}

fn a_burst_of_100_000_messages_arrives_whole_at_a_reader_who_starts_late<P: Peer>() {
    const COUNT: usize = 100_000;
    let mut rpc = Rpc::<P>::new();
    // What the window holds is sent before anybody reads.
    let mut sent = 0;
    while rpc.begin_send(vec![sent as u8]) == Poll::Ready(true) {
        sent += 1;
        assert!(sent < COUNT, "the window holds all of it");
    }
    assert!(sent > 1000, "only {sent} messages fit the window");
    let (mut got, mut is_under_way) = (0, true);
    while got < COUNT {
        rpc.call().start(Batch::new().receive_message(), 1).unwrap();
        let mut event = rpc.event();
        let message = event.take_message().expect("there are more");
        assert_eq!(*message, [got as u8], "message {got}");
        got += 1;
        while is_under_way && rpc.client.poll_send() == Poll::Ready(true) {
            sent += 1;
            is_under_way = sent < COUNT;
            if is_under_way {
                rpc.client.begin_message(vec![sent as u8].into());
            }
        }
    }
    rpc.half_close();
    rpc.start(Batch::new().receive_message(), 2);
    assert_eq!(rpc.event().take_message(), None);
}

fn a_burst_of_messages_to_the_client_arrives_whole<P: Peer>() {
    const COUNT: usize = 10_000;
    let mut rpc = Rpc::<P>::new();
    let (mut sent, mut got) = (0, 0);
    rpc.start(Batch::new().send_message(vec![0]), 0);
    while got < COUNT {
        match rpc.try_event() {
            Some(event) => {
                assert!(event.is_ok());
                sent += 1;
                if sent < COUNT {
                    rpc.call().start(Batch::new().send_message(vec![sent as u8]), 0).unwrap();
                }
            }
            None => {
                assert_eq!(*rpc.receive(), [got as u8], "message {got}");
                got += 1;
            }
        }
    }
    assert_eq!(sent, COUNT);
}

#[test]
fn h2_a_message_split_over_many_data_frames_arrives() {
    for piece in [1, 2, 7, 4096] {
        let mut rpc = Rpc::<H2Peer>::with(Options { piece, ..Options::default() });
        rpc.start(Batch::new().receive_message(), 1);
        let message = pattern(5000);
        rpc.send(message.clone());
        assert_eq!(rpc.event().take_message(), Some(message), "in pieces of {piece}");
    }
}

#[test]
fn h2_many_messages_in_one_data_frame_arrive() {
    let mut rpc = Rpc::<H2Peer>::new();
    let mut frame = BytesMut::new();
    for number in 0..200_u8 {
        frame.put_slice(&[0, 0, 0, 0, 1, number]);
    }
    rpc.client.send_raw(frame.freeze(), true);
    for number in 0..200_u8 {
        rpc.start(Batch::new().receive_message(), 1);
        assert_eq!(rpc.event().take_message().unwrap(), &[number][..]);
    }
    rpc.start(Batch::new().receive_message(), 1);
    let mut last = rpc.event();
    assert!(last.is_ok() && last.take_message().is_none());
}

#[test]
fn h2_a_stream_that_ends_inside_a_message_is_an_error() {
    let mut rpc = Rpc::<H2Peer>::new();
    rpc.client.send_raw(Bytes::from_static(&[0, 0, 0, 0, 9, 1]), true);
    rpc.start(Batch::new().receive_message(), 1);
    assert!(!rpc.event().is_ok());
    let status = rpc.end().status();
    assert_eq!(status.code(), Code::Internal);
    assert!(status.message().contains("after 6 of 14 bytes"), "{status}");
}

#[test]
fn h2_a_bad_flag_byte_is_an_error() {
    let mut rpc = Rpc::<H2Peer>::new();
    rpc.client.send_raw(Bytes::from_static(&[2, 0, 0, 0, 0]), true);
    rpc.start(Batch::new().receive_message(), 1);
    assert!(!rpc.event().is_ok());
    assert_eq!(rpc.end().status().code(), Code::Internal);
}
