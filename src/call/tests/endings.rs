//! How a call can end, and what each end of it sees then.

use super::{End, Options, Peer, Rpc};
use crate::call::Batch;
use crate::status::{Code, Status};
use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

on_both_transports! {
    the_status_may_come_before_the_client_half_closes,
    cancelling_from_another_thread_ends_what_is_pending,
    a_clients_cancel_reaches_the_close_and_what_is_pending,
    a_clients_cancel_is_seen_later_by_who_asks_later,
    sends_after_a_clients_cancel_fail_by_event,
    a_deadline_ends_the_call_for_both,
    a_deadline_that_has_passed_ends_the_call_at_once,
    a_call_that_ends_in_time_is_not_touched_by_its_deadline,
    a_call_that_is_dropped_ends_with_internal,
    a_call_that_is_dropped_with_its_status_pending_still_sends_it,
    cancelling_a_call_that_is_over_does_nothing,
    an_aborted_transport_ends_what_is_pending,
    a_client_that_vanishes_ends_what_is_pending,
}

/// Whether each tag's batch succeeded, and whether it saw the call cancelled.
fn events<P: Peer>(rpc: &mut Rpc<P>) -> BTreeMap<u32, (bool, bool)> {
    let mut seen = BTreeMap::new();
    while let Some(event) = rpc.try_event() {
        let before = seen.insert(event.tag, (event.is_ok(), event.is_cancelled()));
        assert!(before.is_none(), "{} came out twice", event.tag);
    }
    seen
}

/// Starts what waits for the client: a message that is received, and the close.
fn start_receives<P: Peer>(rpc: &mut Rpc<P>) {
    rpc.start(Batch::new().receive_message(), 1);
    rpc.start(Batch::new().receive_close(), 2);
}

/// What these give when the call is cancelled.
fn cancelled_receives() -> BTreeMap<u32, (bool, bool)> {
    BTreeMap::from([(1, (false, false)), (2, (true, true))])
}

fn the_status_may_come_before_the_client_half_closes<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    rpc.send("unread");
    start_receives(&mut rpc);
    assert_eq!(rpc.event().take_message().unwrap(), "unread");
    rpc.start(Batch::new().receive_message(), 1);
    rpc.start(Batch::new().send_status(Status::unauthenticated("who?")), 3);
    let expected = BTreeMap::from([(1, (false, false)), (2, (true, false)), (3, (true, false))]);
    assert_eq!(events(&mut rpc), expected);
    assert_eq!(rpc.end().status().code(), Code::Unauthenticated);
}

fn cancelling_from_another_thread_ends_what_is_pending<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    start_receives(&mut rpc);
    assert!(rpc.try_event().is_none());
    let call = rpc.call();
    thread::scope(|scope| {
        scope.spawn(|| call.cancel(Status::aborted("by another thread")));
    });
    assert_eq!(events(&mut rpc), cancelled_receives());
    let status = rpc.end().status();
    assert_eq!((status.code(), status.message()), (Code::Aborted, "by another thread"));
}

fn a_clients_cancel_reaches_the_close_and_what_is_pending<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    start_receives(&mut rpc);
    rpc.client.cancel();
    assert_eq!(events(&mut rpc), cancelled_receives());
}

fn a_clients_cancel_is_seen_later_by_who_asks_later<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    rpc.client.cancel();
    rpc.settle();
    start_receives(&mut rpc);
    assert_eq!(events(&mut rpc), cancelled_receives());
}

fn sends_after_a_clients_cancel_fail_by_event<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    rpc.start(Batch::new().receive_close(), 1);
    rpc.client.cancel();
    assert!(rpc.event().is_cancelled());
    rpc.start(Batch::new().send_message("late"), 2);
    rpc.start(Batch::new().send_message("later").send_status(Status::ok()), 3);
    rpc.start(Batch::new().receive_message(), 4);
    let failed = (false, false);
    assert_eq!(events(&mut rpc), BTreeMap::from([(2, failed), (3, failed), (4, failed)]));
}

fn a_deadline_ends_the_call_for_both<P: Peer>() {
    let timeout = Some(Duration::from_millis(20));
    let mut rpc = Rpc::<P>::with(Options { timeout, ..Options::default() });
    assert!(rpc.call().deadline().instant().is_some());
    start_receives(&mut rpc);
    let mut seen = BTreeMap::new();
    while seen.len() < 2 {
        let event = rpc.wait_event();
        assert!(seen.insert(event.tag, (event.is_ok(), event.is_cancelled())).is_none());
    }
    assert_eq!(seen, cancelled_receives());
    assert!(rpc.call().deadline().has_passed());
    assert_eq!(rpc.end().status().code(), Code::DeadlineExceeded);
}

fn a_deadline_that_has_passed_ends_the_call_at_once<P: Peer>() {
    let timeout = Some(Duration::ZERO);
    let mut rpc = Rpc::<P>::with(Options { timeout, ..Options::default() });
    start_receives(&mut rpc);
    assert_eq!(events(&mut rpc), cancelled_receives());
    assert_eq!(rpc.end().status().code(), Code::DeadlineExceeded);
}

fn a_call_that_ends_in_time_is_not_touched_by_its_deadline<P: Peer>() {
    let timeout = Some(Duration::from_secs(60));
    let mut rpc = Rpc::<P>::with(Options { timeout, ..Options::default() });
    start_receives(&mut rpc);
    rpc.start(Batch::new().send_status(Status::ok()), 3);
    assert_eq!(events(&mut rpc)[&2], (true, false));
    assert!(rpc.end().status().is_ok());
    let core = rpc.core();
    rpc.drop_call();
    assert_eq!(core.strong_count(), 0, "the deadline's timer outlives the call");
}

fn a_call_that_is_dropped_ends_with_internal<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    start_receives(&mut rpc);
    rpc.drop_call();
    assert_eq!(events(&mut rpc), cancelled_receives());
    assert_eq!(rpc.end().status().code(), Code::Internal);
}

fn a_call_that_is_dropped_with_its_status_pending_still_sends_it<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    for tag in 1..=2 {
        rpc.start(Batch::new().send_message(vec![1; 100_000]), tag);
        if rpc.try_event().is_none() {
            break;
        }
    }
    rpc.start(Batch::new().send_status(Status::data_loss("on purpose")), 3);
    assert!(rpc.try_event().is_none(), "the status waits for the message");
    rpc.drop_call();
    while let std::task::Poll::Ready(Some(message)) = rpc.try_receive() {
        assert_eq!(message.len(), 100_000);
    }
    assert_eq!(rpc.end().status().code(), Code::DataLoss);
    assert_eq!(events(&mut rpc)[&3], (true, false));
}

fn cancelling_a_call_that_is_over_does_nothing<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    rpc.start(Batch::new().send_status(Status::ok()).receive_close(), 1);
    rpc.call().cancel(Status::internal("too late"));
    assert_eq!(events(&mut rpc), BTreeMap::from([(1, (true, false))]));
    assert!(rpc.end().status().is_ok());
}

fn an_aborted_transport_ends_what_is_pending<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    start_receives(&mut rpc);
    rpc.client.abort();
    assert_eq!(events(&mut rpc), cancelled_receives());
    match rpc.end() {
        End::Status(status) => assert_eq!(status.code(), Code::Unavailable),
        End::Broken => {}
    }
    assert_eq!(rpc.closed(), 1);
}

fn a_client_that_vanishes_ends_what_is_pending<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    start_receives(&mut rpc);
    rpc.client.vanish();
    assert_eq!(events(&mut rpc), cancelled_receives());
    assert_eq!(rpc.closed(), 1);
}
