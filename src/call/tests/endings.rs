//! How a call can end, and what each end of it sees then.

use super::{End, Options, Peer, Rpc};
use crate::call::{Batch, CallCore, Reply};
use crate::metadata::Metadata;
use crate::status::{Code, Status};
use crate::testing::without_deadlock;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Weak;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;
use std::{fmt, thread};

on_both_transports! {
    the_status_may_come_before_the_client_half_closes,
    cancelling_from_another_thread_ends_what_is_pending,
    a_clients_cancel_reaches_the_close_and_what_is_pending,
    a_clients_cancel_is_seen_later_by_who_asks_later,
    sends_after_a_clients_cancel_fail_by_event,
    a_deadline_ends_the_call_for_both,
    a_deadline_that_has_passed_ends_the_call_at_once,
    a_batch_that_is_started_after_the_deadline_fails_by_its_event,
    a_call_that_is_dropped_after_its_deadline_ends_with_that,
    a_call_that_ends_in_time_is_not_touched_by_its_deadline,
    a_call_that_is_dropped_ends_with_internal,
    a_call_that_is_dropped_with_its_status_pending_still_sends_it,
    cancelling_a_call_that_is_over_does_nothing,
    an_aborted_transport_ends_what_is_pending,
    a_client_that_vanishes_ends_what_is_pending,
    a_message_that_is_dropped_may_use_its_call,
    a_message_that_was_sent_may_use_its_call_when_it_is_dropped,
    a_status_that_is_dropped_may_use_its_call,
    what_a_call_is_cancelled_with_does_not_stay_with_it,
    a_reply_to_a_call_that_is_over_may_use_it,
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

/// Enough to make a call in, and not to wait for.
fn soon() -> Options {
    Options { timeout: Some(Duration::from_millis(50)), ..Options::default() }
}

fn a_batch_that_is_started_after_the_deadline_fails_by_its_event<P: Peer>() {
    without_deadlock(|| {
        let mut rpc = Rpc::<P>::with(soon());
        start_receives(&mut rpc);
        // One that is under way, and one that comes too late. Their messages use the call when they
        // are dropped.
        let ((under_way, first_drops), (late, last_drops)) =
            (uses_call(&rpc, 100_000), uses_call(&rpc, 1));
        rpc.start(Batch::new().send_message("fills the window"), 3);
        rpc.start(Batch::new().send_message(Bytes::from_owner(under_way)), 4);
        rpc.let_the_deadline_pass();
        let batch = Batch::new().send_message(Bytes::from_owner(late)).send_status(Status::ok());
        rpc.call().start(batch, 5).unwrap();
        assert_eq!((first_drops.try_recv(), last_drops.try_recv()), (Ok(()), Ok(())));
        let mut expected = cancelled_receives();
        expected.extend([(3, (true, false)), (4, (false, false)), (5, (false, false))]);
        assert_eq!(events(&mut rpc), expected);
        while let std::task::Poll::Ready(Some(message)) = rpc.try_receive() {
            assert_eq!(message, "fills the window");
        }
        assert_eq!(rpc.end().status().code(), Code::DeadlineExceeded);
    });
}

fn a_call_that_is_dropped_after_its_deadline_ends_with_that<P: Peer>() {
    let mut rpc = Rpc::<P>::with(soon());
    rpc.let_the_deadline_pass();
    rpc.drop_call();
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

/// Bytes, or an error, whose drop uses a call: it would wait for ever for a lock of the call's.
#[derive(Debug)]
struct UsesCall {
    core: Weak<CallCore>,
    dropped: Sender<()>,
    bytes: Vec<u8>,
}

impl Drop for UsesCall {
    fn drop(&mut self) {
        if let Some(core) = self.core.upgrade() {
            core.is_over();
            core.cancel(Status::aborted("by what was dropped"));
        }
        self.dropped.send(()).unwrap();
    }
}

impl AsRef<[u8]> for UsesCall {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Display for UsesCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it uses a call")
    }
}

impl std::error::Error for UsesCall {}

/// Makes what uses the call when it is dropped, and hears of it.
fn uses_call<P: Peer>(rpc: &Rpc<P>, length: usize) -> (UsesCall, Receiver<()>) {
    let (dropped, drops) = mpsc::channel();
    (UsesCall { core: rpc.core(), dropped, bytes: vec![1; length] }, drops)
}

/// h2 may hold on to the call, and drop it under its locks.
fn what_a_call_is_cancelled_with_does_not_stay_with_it<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    let (source, source_drops) = uses_call(&rpc, 1);
    let (details, details_drops) = uses_call(&rpc, 1);
    let status = Status::aborted("enough").with_source(source);
    rpc.call().cancel(status.with_details(Bytes::from_owner(details)));
    assert_eq!(rpc.end().status().code(), Code::Aborted);
    let held = rpc.core().upgrade();
    drop(rpc);
    assert!(held.is_some());
    assert_eq!(source_drops.try_recv(), Ok(()));
    assert_eq!(details_drops.try_recv(), Ok(()));
}

fn a_message_that_is_dropped_may_use_its_call<P: Peer>() {
    without_deadlock(|| {
        // One of which a part was sent.
        let mut rpc = Rpc::<P>::new();
        let (owner, drops) = uses_call(&rpc, 100_000);
        rpc.start(Batch::new().send_message("fills the window"), 1);
        rpc.start(Batch::new().send_message(Bytes::from_owner(owner)), 2);
        rpc.call().cancel(Status::aborted("enough"));
        rpc.settle();
        assert_eq!(drops.try_recv(), Ok(()));

        // And one that cannot be sent any more.
        let (owner, drops) = uses_call(&rpc, 1);
        rpc.start(Batch::new().send_message(Bytes::from_owner(owner)), 3);
        assert_eq!(drops.try_recv(), Ok(()));
        let failed = (false, false);
        assert_eq!(
            events(&mut rpc),
            BTreeMap::from([(1, (true, false)), (2, failed), (3, failed)])
        );
    });
}

fn a_message_that_was_sent_may_use_its_call_when_it_is_dropped<P: Peer>() {
    without_deadlock(|| {
        for length in [1, 50_000] {
            let mut rpc = Rpc::<P>::new();
            let (owner, drops) = uses_call(&rpc, length);
            rpc.start(Batch::new().send_message(Bytes::from_owner(owner)), 1);
            assert_eq!(rpc.receive().len(), length);
            rpc.settle();
            assert_eq!(drops.try_recv(), Ok(()));
            assert_eq!(events(&mut rpc), BTreeMap::from([(1, (true, false))]));
        }
    });
}

fn a_reply_to_a_call_that_is_over_may_use_it<P: Peer>() {
    without_deadlock(|| {
        let rpc = Rpc::<P>::new();
        rpc.call().cancel(Status::aborted("enough"));
        let ((owner, message), (source, status)) = (uses_call(&rpc, 1), uses_call(&rpc, 0));
        rpc.handled().finish(Reply {
            initial_metadata: Metadata::new(),
            message: Some(Bytes::from_owner(owner)),
            is_uncompressed: false,
            status: Status::data_loss("too late").with_source(source),
        });
        assert_eq!(message.try_recv(), Ok(()));
        assert_eq!(status.try_recv(), Ok(()));
    });
}

fn a_status_that_is_dropped_may_use_its_call<P: Peer>() {
    without_deadlock(|| {
        // One that is sent.
        let mut rpc = Rpc::<P>::new();
        let (source, sent) = uses_call(&rpc, 0);
        rpc.start(Batch::new().send_status(Status::data_loss("sent").with_source(source)), 1);
        assert_eq!(rpc.end().status().code(), Code::DataLoss);
        // One for a call that is over.
        let (source, late) = uses_call(&rpc, 0);
        rpc.call().cancel(Status::internal("too late").with_source(source));
        assert_eq!(late.try_recv(), Ok(()));
        assert_eq!(events(&mut rpc), BTreeMap::from([(1, (true, false))]));
        drop(rpc);
        assert_eq!(sent.try_recv(), Ok(()));

        // One that waits behind a message.
        let mut rpc = Rpc::<P>::new();
        rpc.start(Batch::new().send_message("fills the window"), 1);
        rpc.start(Batch::new().send_message(vec![1; 100_000]), 2);
        let (owner, drops) = uses_call(&rpc, 1);
        let status = Status::data_loss("unsent").with_details(Bytes::from_owner(owner));
        rpc.start(Batch::new().send_status(status), 3);
        rpc.call().cancel(Status::aborted("enough"));
        rpc.settle();
        assert_eq!(drops.try_recv(), Ok(()));
        let failed = (false, false);
        assert_eq!(
            events(&mut rpc),
            BTreeMap::from([(1, (true, false)), (2, failed), (3, failed)])
        );
    });
}
