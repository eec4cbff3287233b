//! What may be started, in which order it leaves, and that it completes once.

use super::{Peer, Rpc};
use crate::call::Batch;
use crate::metadata::Metadata;
use crate::status::{Code, Status};
use bytes::Bytes;
use std::sync::Arc;

on_both_transports! {
    an_empty_batch_completes_at_once,
    a_second_pending_batch_of_a_kind_is_refused_and_comes_back,
    sends_leave_in_order_whatever_the_order_in_the_batch,
    sends_of_two_batches_leave_in_order,
    nothing_can_be_sent_after_the_status,
    a_batch_completes_when_the_last_of_its_operations_has,
    a_batch_with_a_failed_operation_fails_once,
    batches_that_begin_alike_are_not_taken_for_each_other,
    a_queue_that_is_shut_down_takes_no_batch_and_gives_what_is_pending,
    a_queue_that_is_dropped_takes_its_tags_along_and_the_call_lives_on,
}

fn an_empty_batch_completes_at_once<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    rpc.start(Batch::new(), 1);
    assert!(rpc.event().is_ok());
    assert!(rpc.try_event().is_none());
}

fn a_second_pending_batch_of_a_kind_is_refused_and_comes_back<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    let long = Bytes::from(vec![0; 100_000]);
    // Fills the window, and what is behind it is pending.
    rpc.start(Batch::new().send_message(long.clone()), 1);
    if rpc.try_event().is_some() {
        rpc.start(Batch::new().send_message(long), 1);
    }
    rpc.start(Batch::new().send_status(Status::ok()), 2);
    rpc.start(Batch::new().receive_message(), 3);
    rpc.start(Batch::new().receive_close(), 4);
    assert!(rpc.try_event().is_none());
    type Refused = (fn(Batch) -> Batch, &'static str);
    let refused: [Refused; 4] = [
        (|batch| batch.send_message("more"), "send_message is pending"),
        (|batch| batch.send_status(Status::ok()), "send_status is pending"),
        (Batch::receive_message, "receive_message is pending"),
        (Batch::receive_close, "receive_close is pending"),
    ];
    for (add, says) in refused {
        let error = rpc.call().start(add(Batch::new()), 9).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
        let (batch, tag) = error.into_parts();
        assert_eq!(tag, 9);
        assert_eq!(format!("{batch:?}"), format!("{:?}", add(Batch::new())));
    }
    assert!(rpc.try_event().is_none(), "a refused batch has no event");
    rpc.call().cancel(Status::aborted("enough"));
    let mut tags: Vec<u32> = (0..4).map(|_| rpc.event().tag).collect();
    tags.sort_unstable();
    assert_eq!(tags, [1, 2, 3, 4]);
    assert!(rpc.try_event().is_none());
}

fn sends_leave_in_order_whatever_the_order_in_the_batch<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    let mut metadata = Metadata::new();
    metadata.insert("first", "yes").unwrap();
    let batch = Batch::new()
        .send_status(Status::aborted("third"))
        .send_message("second")
        .send_initial_metadata(metadata);
    rpc.start(batch, 1);
    assert!(rpc.event().is_ok());
    assert_eq!(rpc.client.initial_metadata().unwrap().get("first"), Some("yes"));
    assert_eq!(rpc.receive(), "second");
    assert_eq!(rpc.end().status().message(), "third");
}

fn sends_of_two_batches_leave_in_order<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    let long = Bytes::from(vec![7; 200_000]);
    rpc.call().start(Batch::new().send_message(long.clone()), 1).unwrap();
    rpc.call().start(Batch::new().send_status(Status::ok()), 2).unwrap();
    assert!(rpc.receive() == long);
    assert!(rpc.end().status().is_ok());
    assert_eq!([rpc.event().tag, rpc.event().tag], [1, 2]);
}

fn nothing_can_be_sent_after_the_status<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    rpc.start(Batch::new().send_status(Status::ok()), 1);
    assert!(rpc.event().is_ok());
    for batch in [
        Batch::new().send_initial_metadata(Metadata::new()),
        Batch::new().send_message("late"),
        Batch::new().send_status(Status::ok()),
    ] {
        let error = rpc.call().start(batch, 2).unwrap_err();
        assert!(error.to_string().contains("too late"), "{error}");
    }
    rpc.start(Batch::new().receive_message(), 3);
    let event = rpc.event();
    assert_eq!((event.tag, event.is_ok()), (3, false), "the call is over");
    rpc.start(Batch::new().receive_close(), 4);
    let event = rpc.event();
    assert_eq!((event.tag, event.is_ok(), event.is_cancelled()), (4, true, false));
}

fn a_batch_completes_when_the_last_of_its_operations_has<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    rpc.start(Batch::new().send_message("one").receive_message(), 1);
    assert_eq!(rpc.receive(), "one");
    assert!(rpc.try_event().is_none(), "nothing was received");
    rpc.send("two");
    let mut event = rpc.event();
    assert!(event.is_ok());
    assert_eq!(event.take_message().unwrap(), "two");
}

fn a_batch_with_a_failed_operation_fails_once<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    rpc.start(Batch::new().send_message("one").receive_message().receive_close(), 1);
    assert_eq!(rpc.receive(), "one");
    rpc.client.cancel();
    let event = rpc.event();
    assert!(!event.is_ok() && event.is_cancelled());
    assert!(rpc.try_event().is_none());
}

fn a_queue_that_is_shut_down_takes_no_batch_and_gives_what_is_pending<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    rpc.start(Batch::new().receive_message(), 1);
    rpc.shut_down_queue();
    let error = rpc.call().start(Batch::new().receive_close(), 2).unwrap_err();
    assert!(error.to_string().contains("shut down"), "{error}");
    assert_eq!(error.into_parts().1, 2);
    rpc.send("last");
    assert_eq!(rpc.event().take_message().unwrap(), "last");
    assert!(rpc.try_event().is_none());
}

fn a_queue_that_is_dropped_takes_its_tags_along_and_the_call_lives_on<P: Peer>() {
    let tag = Arc::new(());
    let mut rpc = Rpc::<P, Arc<()>>::new();
    rpc.send("one");
    rpc.start(Batch::new().receive_message(), tag.clone());
    rpc.start(Batch::new().receive_close(), tag.clone());
    assert_eq!(Arc::strong_count(&tag), 3);
    rpc.drop_queue();
    assert_eq!(Arc::strong_count(&tag), 2, "the one that was ready");
    assert!(rpc.call().start(Batch::new().receive_message(), tag.clone()).is_err());
    rpc.call().cancel(Status::aborted("enough"));
    assert_eq!(Arc::strong_count(&tag), 1);
    assert_eq!(rpc.end().status().code(), Code::Aborted);
}

fn batches_that_begin_alike_are_not_taken_for_each_other<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    rpc.start(Batch::new().send_initial_metadata(Metadata::new()), 0);
    assert_eq!(rpc.event().tag, 0);
    // Its message leaves at once, and it waits for the client's.
    rpc.start(Batch::new().send_message("a").receive_message(), 1);
    assert!(rpc.try_event().is_none());
    rpc.start(Batch::new().send_message("b"), 2);
    let mut event = rpc.event();
    assert_eq!((event.tag, event.is_ok(), event.take_message()), (2, true, None));
    rpc.send("answer");
    let mut event = rpc.event();
    assert_eq!((event.tag, event.is_ok()), (1, true));
    assert_eq!(event.take_message().unwrap(), "answer");
    assert_eq!((rpc.receive(), rpc.receive()), ("a".into(), "b".into()));
}
