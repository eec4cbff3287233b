//! Who does not read stops who sends.

use super::h2_peer::H2Peer;
use super::{Peer, Rpc};
use crate::call::Batch;
use crate::status::Status;
use std::task::Poll;

on_both_transports! {
    a_client_that_does_not_read_stops_the_server,
    a_server_that_does_not_receive_stops_the_client,
    a_stopped_send_fails_when_the_client_goes,
    a_stopped_client_hears_that_the_call_has_ended,
}

/// Half of the window.
const LENGTH: usize = 32 * 1024;

/// Sends from the server until that is pending, and says how many messages left before.
fn fill_responses<P: Peer>(rpc: &mut Rpc<P>) -> usize {
    for sent in 0..10 {
        rpc.start(Batch::new().send_message(vec![sent; LENGTH]), sent.into());
        match rpc.try_event() {
            Some(event) => assert!(event.is_ok()),
            None => return sent.into(),
        }
    }
    panic!("the server is never stopped");
}

/// The same from the client.
fn fill_requests<P: Peer>(rpc: &mut Rpc<P>) -> usize {
    for sent in 0..10 {
        match rpc.begin_send(vec![sent; LENGTH]) {
            Poll::Ready(has_left) => assert!(has_left),
            Poll::Pending => return sent.into(),
        }
    }
    panic!("the client is never stopped");
}

fn a_client_that_does_not_read_stops_the_server<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    let sent = fill_responses(&mut rpc);
    assert!((1..=3).contains(&sent), "{sent} messages left");
    for number in 0..=sent {
        assert!(rpc.receive() == vec![number as u8; LENGTH]);
    }
    let event = rpc.event();
    assert!(event.is_ok() && event.tag as usize == sent);
    assert_eq!(rpc.try_receive(), Poll::Pending);
}

fn a_server_that_does_not_receive_stops_the_client<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    let sent = fill_requests(&mut rpc);
    assert!((1..=3).contains(&sent), "{sent} messages left");
    assert_eq!(rpc.go_on_sending(), Poll::Pending);
    for number in 0..=sent {
        rpc.start(Batch::new().receive_message(), 1);
        // The last message may need the window of several.
        let _ = rpc.go_on_sending();
        assert!(rpc.event().take_message().unwrap() == vec![number as u8; LENGTH]);
    }
    assert_eq!(rpc.go_on_sending(), Poll::Ready(true));
}

fn a_stopped_send_fails_when_the_client_goes<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    let sent = fill_responses(&mut rpc);
    rpc.client.cancel();
    let event = rpc.event();
    assert_eq!((event.tag as usize, event.is_ok()), (sent, false));
}

fn a_stopped_client_hears_that_the_call_has_ended<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    fill_requests(&mut rpc);
    rpc.start(Batch::new().send_status(Status::ok()), 1);
    assert!(rpc.event().is_ok());
    assert_eq!(rpc.go_on_sending(), Poll::Ready(false));
    assert!(rpc.end().status().is_ok());
}

#[test]
fn h2_only_a_message_that_is_received_gives_window_back() {
    let mut rpc = Rpc::<H2Peer>::new();
    rpc.send(vec![0; LENGTH]);
    rpc.send(vec![0; LENGTH - 10]);
    assert_eq!(rpc.client.room(), 0, "the window is full");
    rpc.settle();
    assert_eq!(rpc.client.room(), 0, "the transport has taken it all in, and gave nothing back");
    rpc.start(Batch::new().receive_message(), 1);
    assert_eq!(rpc.event().take_message().unwrap().len(), LENGTH);
    assert!(rpc.client.room() > 0);
}
