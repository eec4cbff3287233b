//! What a client of ours sees of its call, and what becomes of that at the server, over both transports:
//! batches at both ends.

use super::ends::Queue;
use super::{Ends, Link, Options, Rpc};
use crate::call::{Batch, MessageRules, Outcome};
use crate::cq::{Event, sealed::Queue as _};
use crate::iomgr::Deadline;
use crate::metadata::Metadata;
use crate::status::{Code, Status};
use bytes::Bytes;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

on_both_links! {
    a_unary_call_is_one_batch_at_the_client,
    all_four_kinds_keep_messages_in_order,
    a_status_alone_comes_without_initial_metadata,
    a_long_message_passes_both_ways,
    a_client_whose_server_does_not_read_waits,
    a_server_whose_client_does_not_read_waits,
    after_the_half_close_the_client_receives_on,
    a_cancel_ends_the_call_at_both_ends,
    a_call_that_is_let_go_is_cancelled,
    what_was_started_comes_out_after_its_call_is_let_go,
    the_clients_deadline_ends_the_call_at_both_ends,
    the_servers_deadline_ends_the_call_at_both_ends,
    a_client_that_is_stopped_gets_an_early_status,
    a_cancel_that_comes_after_the_status_changes_nothing,
    what_is_over_a_limit_ends_the_call_for_both,
    metadata_over_a_limit_ends_the_call,
    a_call_after_the_servers_goodbye_was_not_sent,
    calls_of_one_connection_do_not_wait_for_each_other,
}

/// Half of the window.
const LENGTH: usize = 32 * 1024;

/// A call with a queue at each end.
struct Both<L: Link> {
    rpc: Rpc<Ends<L>>,
    queue: Queue,
}

impl<L: Link> Both<L> {
    fn new() -> Self {
        Self::with(Options::default())
    }

    fn with(options: Options) -> Self {
        let rpc: Rpc<Ends<L>> = Rpc::with(options);
        let queue = rpc.client.queue();
        Self { rpc, queue }
    }

    /// The client starts a batch.
    fn start(&mut self, batch: Batch, tag: &'static str) {
        self.rpc.client.call().start(self.queue.core(), batch, tag).unwrap();
        self.rpc.settle();
    }

    fn try_event(&mut self) -> Option<Event<&'static str, Outcome>> {
        self.rpc.settle();
        self.queue.next(Deadline::NOW)
    }

    /// The client's next event, which must be there.
    #[track_caller]
    fn event(&mut self) -> Event<&'static str, Outcome> {
        self.try_event().expect("an event is ready")
    }

    fn receive(&mut self) -> Option<Bytes> {
        self.start(Batch::new().receive_message(), "receive");
        let mut event = self.event();
        assert_eq!((event.tag, event.is_ok()), ("receive", true));
        event.take_message()
    }

    fn status(&mut self) -> Status {
        self.start(Batch::new().receive_status(), "status");
        self.event().take_status().expect("the batch receives it")
    }

    /// The server starts a batch, which is done at once.
    #[track_caller]
    fn serve(&mut self, batch: Batch) -> Option<Bytes> {
        self.rpc.start(batch, 0);
        let mut event = self.rpc.event();
        assert!(event.is_ok());
        event.take_message()
    }

    /// What the server is to notice.
    fn watch(&mut self) {
        self.rpc.start(Batch::new().receive_close(), 99);
    }

    #[track_caller]
    fn assert_cancelled_at_the_server(&mut self) {
        let event = self.rpc.event();
        assert_eq!((event.tag, event.is_ok(), event.is_cancelled()), (99, true, true));
        assert!(self.rpc.try_event().is_none(), "told twice");
    }
}

fn unary() -> Batch {
    let batch = Batch::new().send_message("question").send_close();
    batch.receive_initial_metadata().receive_message().receive_status()
}

fn metadata(key: &str, value: &[u8]) -> Metadata {
    let mut metadata = Metadata::new();
    metadata.insert_bin(key, value).unwrap();
    metadata
}

fn a_unary_call_is_one_batch_at_the_client<L: Link>() {
    let mut both = Both::<L>::new();
    both.start(unary(), "call");
    assert_eq!(both.rpc.call().metadata().get("who"), Some("a test"));
    assert_eq!(both.rpc.call().authority(), "test");
    assert_eq!(both.serve(Batch::new().receive_message()).unwrap(), "question");
    assert_eq!(both.serve(Batch::new().receive_message()), None);
    let status = Status::data_loss("ü%").with_details((&b"details"[..]).into());
    let batch = Batch::new()
        .send_initial_metadata(metadata("first-bin", &[0, 255]))
        .send_message("answer")
        .send_status(status.with_metadata(metadata("last-bin", b"")));
    assert!(both.try_event().is_none(), "it is not over");
    both.serve(batch);
    let mut event = both.event();
    assert!(event.is_ok());
    let initial = event.take_initial_metadata().unwrap();
    assert_eq!(initial.get_bin("first-bin").unwrap().unwrap(), &[0, 255][..]);
    assert_eq!(event.take_message().unwrap(), "answer");
    let status = event.take_status().unwrap();
    assert_eq!((status.code(), status.message()), (Code::DataLoss, "ü%"));
    assert_eq!(status.details(), b"details");
    assert_eq!(status.metadata().unwrap().get_bin("last-bin").unwrap().unwrap(), "");
    assert!(both.try_event().is_none(), "told twice");
    assert!(both.rpc.client.call().is_over());
}

fn all_four_kinds_keep_messages_in_order<L: Link>() {
    for (requests, replies) in [(1, 1), (7, 1), (1, 7), (7, 7)] {
        let mut both = Both::<L>::new();
        for number in 0..requests {
            both.start(Batch::new().send_message(vec![number]), "send");
            assert!(both.event().is_ok());
        }
        both.start(Batch::new().send_close(), "close");
        assert!(both.event().is_ok());
        for number in 0..requests {
            assert_eq!(*both.serve(Batch::new().receive_message()).unwrap(), [number]);
        }
        assert_eq!(both.serve(Batch::new().receive_message()), None);
        for number in 0..replies {
            both.serve(Batch::new().send_message(vec![number]));
        }
        both.serve(Batch::new().send_status(Status::ok()));
        for number in 0..replies {
            assert_eq!(*both.receive().unwrap(), [number]);
        }
        assert_eq!(both.receive(), None);
        assert!(both.status().is_ok(), "{requests} requests and {replies} replies");
    }
}

fn a_status_alone_comes_without_initial_metadata<L: Link>() {
    let mut both = Both::<L>::new();
    both.start(unary(), "call");
    let status = Status::not_found("nobody").with_metadata(metadata("last-bin", &[7]));
    both.serve(Batch::new().send_status(status));
    let mut event = both.event();
    assert!(event.is_ok(), "the status says how the rest went");
    assert!(event.take_initial_metadata().is_none(), "there were none");
    assert_eq!(event.take_message(), None);
    let status = event.take_status().unwrap();
    assert_eq!((status.code(), status.message()), (Code::NotFound, "nobody"));
    assert_eq!(*status.metadata().unwrap().get_bin("last-bin").unwrap().unwrap(), [7]);
}

fn a_long_message_passes_both_ways<L: Link>() {
    let mut both = Both::<L>::new();
    let long: Bytes = (0..3 << 20).map(|at| (at % 251) as u8).collect();
    let batch = Batch::new().send_message(long.clone()).send_close();
    both.start(batch.receive_message().receive_status(), "call");
    let got = both.serve(Batch::new().receive_message()).unwrap();
    assert!(got == long);
    both.rpc.start(Batch::new().send_message(got).send_status(Status::ok()), 1);
    let mut event = both.event();
    assert!(event.take_message().unwrap() == long);
    assert!(event.take_status().unwrap().is_ok());
    assert!(both.rpc.event().is_ok());
}

/// Sends from the client until that waits, and says how many messages left before.
fn fill<L: Link>(both: &mut Both<L>) -> usize {
    for sent in 0..10 {
        both.start(Batch::new().send_message(vec![sent; LENGTH]), "send");
        match both.try_event() {
            Some(event) => assert!(event.is_ok()),
            None => return sent.into(),
        }
    }
    panic!("the client is never stopped");
}

fn a_client_whose_server_does_not_read_waits<L: Link>() {
    let mut both = Both::<L>::new();
    let sent = fill(&mut both);
    assert!((1..=3).contains(&sent), "{sent} messages left");
    for number in 0..=sent {
        let message = both.serve(Batch::new().receive_message()).unwrap();
        assert!(message == vec![number as u8; LENGTH]);
    }
    let event = both.event();
    assert_eq!((event.tag, event.is_ok()), ("send", true));
}

fn a_server_whose_client_does_not_read_waits<L: Link>() {
    let mut both = Both::<L>::new();
    let mut sent = 0;
    loop {
        both.rpc.start(Batch::new().send_message(vec![sent; LENGTH]), 1);
        let Some(event) = both.rpc.try_event() else { break };
        assert!(event.is_ok() && sent < 10, "the server is never stopped");
        sent += 1;
    }
    assert!((1..=3).contains(&sent), "{sent} messages left");
    for number in 0..=sent {
        assert!(both.receive().unwrap() == vec![number; LENGTH]);
    }
    assert!(both.rpc.event().is_ok());
}

fn after_the_half_close_the_client_receives_on<L: Link>() {
    let mut both = Both::<L>::new();
    both.start(Batch::new().send_close(), "close");
    assert!(both.event().is_ok());
    let again = both.rpc.client.call().start(both.queue.core(), Batch::new().send_close(), "again");
    assert!(again.unwrap_err().to_string().contains("too late"));
    assert_eq!(both.serve(Batch::new().receive_message()), None);
    for number in 0..3 {
        both.serve(Batch::new().send_message(vec![number]));
        assert_eq!(*both.receive().unwrap(), [number]);
    }
    both.start(Batch::new().receive_message().receive_status(), "end");
    assert!(both.try_event().is_none(), "the server may send more");
    both.serve(Batch::new().send_status(Status::ok()));
    let mut event = both.event();
    assert_eq!(event.take_message(), None);
    assert!(event.take_status().unwrap().is_ok());
}

fn a_cancel_ends_the_call_at_both_ends<L: Link>() {
    let mut both = Both::<L>::new();
    both.watch();
    both.start(Batch::new().receive_message(), "message");
    both.start(Batch::new().receive_status(), "status");
    both.rpc.client.call().cancel(Status::aborted("the user went away"));
    let mut event = both.event();
    assert_eq!((event.tag, event.take_message()), ("message", None));
    let mut event = both.event();
    let status = event.take_status().unwrap();
    assert_eq!((event.tag, status.message()), ("status", "the user went away"));
    both.assert_cancelled_at_the_server();
    both.start(Batch::new().send_message("late"), "late");
    assert!(!both.event().is_ok());
    assert_eq!(both.status().code(), Code::Aborted, "it stays what it was");
}

fn a_call_that_is_let_go_is_cancelled<L: Link>() {
    let mut both = Both::<L>::new();
    both.watch();
    both.rpc.client.drop_call();
    both.assert_cancelled_at_the_server();
}

fn what_was_started_comes_out_after_its_call_is_let_go<L: Link>() {
    let mut both = Both::<L>::new();
    both.start(unary(), "call");
    both.rpc.client.drop_call();
    let status = both.event().take_status().unwrap();
    assert_eq!(status.code(), Code::Cancelled);
    assert!(both.try_event().is_none(), "told twice");
}

fn the_clients_deadline_ends_the_call_at_both_ends<L: Link>() {
    let client_timeout = Some(Duration::from_millis(20));
    let mut both = Both::<L>::with(Options { client_timeout, ..Options::default() });
    both.watch();
    both.start(unary(), "call");
    let Both { rpc, queue } = &mut both;
    let mut event = rpc.wait_for(|rpc| {
        rpc.settle();
        queue.next(Deadline::NOW)
    });
    assert_eq!(event.take_status().unwrap().code(), Code::DeadlineExceeded);
    both.assert_cancelled_at_the_server();
}

/// The client does not look at its clock.
fn the_servers_deadline_ends_the_call_at_both_ends<L: Link>() {
    let timeout = Some(Duration::from_millis(20));
    let mut both = Both::<L>::with(Options { timeout, ..Options::default() });
    both.watch();
    both.start(unary(), "call");
    let event = both.rpc.wait_event();
    assert!(event.is_cancelled());
    assert_eq!(both.event().take_status().unwrap().code(), Code::DeadlineExceeded);
}

fn a_client_that_is_stopped_gets_an_early_status<L: Link>() {
    let mut both = Both::<L>::new();
    fill(&mut both);
    both.serve(Batch::new().send_message("enough").send_status(Status::resource_exhausted("full")));
    let event = both.event();
    assert_eq!((event.tag, event.is_ok()), ("send", false));
    both.start(Batch::new().send_close(), "close");
    assert!(!both.event().is_ok());
    assert_eq!(both.receive().unwrap(), "enough");
    assert_eq!(both.status().message(), "full");
}

fn a_cancel_that_comes_after_the_status_changes_nothing<L: Link>() {
    let mut both = Both::<L>::new();
    both.start(unary(), "call");
    both.serve(Batch::new().send_message("answer").send_status(Status::ok()).receive_close());
    assert!(both.event().take_status().unwrap().is_ok());
    both.rpc.client.call().cancel(Status::aborted("too late"));
    assert!(both.status().is_ok());
    both.rpc.client.drop_call();
    assert!(both.rpc.try_event().is_none());
}

fn what_is_over_a_limit_ends_the_call_for_both<L: Link>() {
    let client = |client_rules| Options { client_rules, ..Options::default() };
    let limit = |max_receive_size, max_send_size| MessageRules {
        max_receive_size,
        max_send_size,
        ..MessageRules::default()
    };
    // Who has the limit, and whether a request or a reply is over it.
    let cases = [
        (
            client(limit(100, usize::MAX)),
            false,
            "message larger than max (101 vs. 100), from the server at inproc",
        ),
        (client(limit(usize::MAX, 100)), true, "sent message larger than max (101 vs. 100)"),
        (
            Options { max_message_size: 100, ..Options::default() },
            true,
            "message larger than max (101 vs. 100)",
        ),
        (
            Options { max_send_size: 100, ..Options::default() },
            false,
            "sent message larger than max (101 vs. 100)",
        ),
    ];
    for (options, is_request, expected) in cases {
        let mut both = Both::<L>::with(options);
        for length in [100, 101] {
            let message = vec![1; length];
            if is_request {
                both.start(Batch::new().send_message(message), "send");
                let _ = both.event();
                both.rpc.start(Batch::new().receive_message(), 1);
            } else {
                both.rpc.start(Batch::new().send_message(message), 1);
                both.start(Batch::new().receive_message(), "receive");
                let received = both.event().take_message();
                assert_eq!(received.is_some(), length == 100, "{expected}");
            }
            let _ = both.rpc.event();
        }
        let status = both.status();
        assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, expected));
        both.watch();
        both.assert_cancelled_at_the_server();
    }
}

fn metadata_over_a_limit_ends_the_call<L: Link>() {
    let long = || {
        let mut metadata = Metadata::new();
        metadata.insert("x-long", &"x".repeat(20_000)).unwrap();
        metadata
    };
    // The request's: the server is not told of the call.
    let mut both = Both::<L>::new();
    let call = both.rpc.client.call_with(long(), None);
    both.rpc.settle();
    assert_eq!(both.rpc.others(), 0);
    let refused = call.core().poll_status(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(status) = refused else { panic!("it is refused") };
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().starts_with("the request's metadata is larger than max (2"));

    // The initial metadata of the server, which then hears of a cancel.
    both.watch();
    both.serve(Batch::new().send_initial_metadata(long()));
    let status = both.status();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(
        status
            .message()
            .starts_with("the initial metadata of the server at inproc is larger than max (2")
    );
    both.assert_cancelled_at_the_server();

    // The trailing metadata, whose status is told all the same.
    for initial in [false, true] {
        let mut both = Both::<L>::new();
        if initial {
            both.serve(Batch::new().send_initial_metadata(Metadata::new()));
        }
        both.serve(Batch::new().send_status(Status::not_found("nobody").with_metadata(long())));
        let status = both.status();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(status.message().ends_with("the status with it: NOT_FOUND: nobody"), "{status}");
    }
}

fn a_call_after_the_servers_goodbye_was_not_sent<L: Link>() {
    let mut both = Both::<L>::new();
    both.start(unary(), "call");
    both.rpc.client.link.go_away();
    both.rpc.settle();
    let context = &mut Context::from_waker(Waker::noop());
    let mut late = both.rpc.client.stream(Metadata::new(), None);
    assert!(matches!(late.poll_answer(context), Poll::Ready(None)));
    let Poll::Ready(ended) = late.poll_ended(context) else { panic!("it is refused") };
    assert_eq!((ended.status.code(), ended.is_unprocessed()), (Code::Unavailable, true));
    drop(late);
    assert_eq!((both.rpc.others(), both.rpc.closed()), (0, 0), "there is a call");
    both.serve(Batch::new().send_message("answer").send_status(Status::ok()));
    let mut event = both.event();
    assert_eq!(event.take_message().unwrap(), "answer");
    assert!(event.take_status().unwrap().is_ok());
    both.rpc.settle();
    assert_eq!(both.rpc.closed(), 1);
}

fn calls_of_one_connection_do_not_wait_for_each_other<L: Link>() {
    let mut both = Both::<L>::new();
    // Of the call of the test nothing is read.
    fill(&mut both);
    let others: Vec<_> =
        (0..10).map(|_| both.rpc.client.call_with(Metadata::new(), None)).collect();
    for other in &others {
        other.core().start(both.queue.core(), Batch::new().receive_status(), "other").unwrap();
    }
    both.rpc.settle();
    assert_eq!(both.rpc.others(), 10);
    both.rpc.finish_others(&Status::aborted("other"));
    for _ in 0..10 {
        let mut event = both.event();
        assert_eq!((event.tag, event.take_status().unwrap().code()), ("other", Code::Aborted));
    }
    assert!(both.try_event().is_none());
}
