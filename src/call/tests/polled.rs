//! A call as its handler has it: operations that are polled.

use super::{End, Options, Peer, Rpc};
use crate::call::{Batch, CallCore, Over, Reply};
use crate::metadata::Metadata;
use crate::status::{Code, Status};
use crate::testing::CountingWaker;
use bytes::Bytes;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

on_both_transports! {
    messages_come_one_by_one_and_then_their_end,
    a_reader_is_woken_when_a_message_has_come,
    the_first_message_brings_initial_metadata,
    initial_metadata_may_go_first_and_once,
    a_writer_waits_for_the_clients_window_and_is_woken,
    a_message_whose_writer_gave_up_goes_before_the_status,
    a_reply_is_initial_metadata_message_status_and_trailers,
    an_error_without_a_message_has_trailers_alone,
    trailers_that_were_set_before_go_with_any_status,
    what_is_sent_after_the_status_fails,
    no_message_comes_or_goes_after_the_deadline,
    a_reply_after_the_deadline_comes_too_late,
    whoever_waits_for_the_end_is_woken_by_a_cancel,
    whoever_waits_for_the_end_is_woken_by_the_status,
    a_wait_for_the_end_that_is_dropped_leaves_nothing,
    a_wait_for_the_end_keeps_the_waker_of_its_last_poll_only,
    a_waker_that_is_dropped_may_use_its_call,
    a_message_that_waits_for_a_thread_goes_with_its_call,
    a_broken_message_ends_the_call_for_both_ends,
    polled_and_started_operations_keep_one_order,
}

/// Longer than a client's window lets it be sent.
const LONG: usize = 100_000;

fn metadata(value: &str) -> Metadata {
    let mut metadata = Metadata::new();
    metadata.insert("key", value).unwrap();
    metadata
}

fn reply(status: Status) -> Reply {
    Reply::from(status)
}

/// The handler's next message.
fn read<P: Peer>(rpc: &mut Rpc<P>, waker: &CountingWaker) -> Poll<Result<Option<Bytes>, Status>> {
    let result = rpc.handled().poll_message(&mut Context::from_waker(&waker.waker()));
    rpc.settle();
    result
}

/// The handler begins to send a message, or goes on with one.
fn write<P: Peer>(
    rpc: &mut Rpc<P>,
    message: &mut Option<Bytes>,
    waker: &CountingWaker,
) -> Poll<Result<(), Status>> {
    let mut outgoing = message.take().map(|message| rpc.handled().pack(message));
    let (waker, call) = (waker.waker(), rpc.handled());
    let result = call.poll_send_message(&mut outgoing, &mut Context::from_waker(&waker));
    *message = outgoing.map(|outgoing| outgoing.data);
    rpc.settle();
    result
}

/// The handler sends a message, for which there is room.
fn send<P: Peer>(rpc: &mut Rpc<P>, message: &'static str) {
    let result =
        write(rpc, &mut Some(Bytes::from_static(message.as_bytes())), &CountingWaker::new());
    assert!(matches!(result, Poll::Ready(Ok(()))), "{result:?}");
}

/// Whether the call is over for `over`, which waits for it.
fn is_over<P: Peer>(rpc: &mut Rpc<P>, over: &mut Over, waker: &CountingWaker) -> bool {
    let result = Pin::new(over).poll(&mut Context::from_waker(&waker.waker()));
    rpc.settle();
    result.is_ready()
}

fn code<T>(result: Poll<Result<T, Status>>) -> Option<Code> {
    match result {
        Poll::Ready(Err(status)) => Some(status.code()),
        Poll::Ready(Ok(_)) | Poll::Pending => None,
    }
}

fn messages_come_one_by_one_and_then_their_end<P: Peer>() {
    let (mut rpc, waker) = (Rpc::<P>::new(), CountingWaker::new());
    rpc.send("a");
    rpc.send("b");
    rpc.half_close();
    for expected in [Some("a"), Some("b"), None, None] {
        let Poll::Ready(Ok(message)) = read(&mut rpc, &waker) else { panic!("{expected:?}") };
        assert_eq!(message.as_deref(), expected.map(str::as_bytes));
    }
}

fn a_reader_is_woken_when_a_message_has_come<P: Peer>() {
    let (mut rpc, waker) = (Rpc::<P>::new(), CountingWaker::new());
    assert!(read(&mut rpc, &waker).is_pending());
    assert_eq!(waker.count(), 0);
    rpc.send("a");
    assert!(waker.count() > 0);
    assert!(matches!(read(&mut rpc, &waker), Poll::Ready(Ok(Some(message))) if message == "a"));
}

fn the_first_message_brings_initial_metadata<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    send(&mut rpc, "a");
    assert_eq!(rpc.receive(), "a");
    assert!(rpc.client.initial_metadata().is_some_and(|it| it.is_empty()));
}

fn initial_metadata_may_go_first_and_once<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    rpc.handled().send_initial_metadata(metadata("early")).unwrap();
    assert_eq!(rpc.try_receive(), Poll::Pending);
    assert_eq!(rpc.client.initial_metadata().unwrap().get("key"), Some("early"));
    let again = rpc.handled().send_initial_metadata(metadata("late")).unwrap_err();
    assert_eq!(again.code(), Code::Internal);
    // A reply's own are too late as well, and that is no error.
    rpc.handled().finish(Reply { initial_metadata: metadata("late"), ..reply(Status::ok()) });
    rpc.settle();
    assert!(rpc.end().status().is_ok());
}

fn a_writer_waits_for_the_clients_window_and_is_woken<P: Peer>() {
    let (mut rpc, waker) = (Rpc::<P>::new(), CountingWaker::new());
    let mut message = Some(Bytes::from(vec![7; LONG]));
    let mut next = Some(Bytes::from_static(b"next"));
    // What fills the window of one transport is let through whole by the other.
    while write(&mut rpc, &mut message, &waker).is_ready() {
        message = Some(Bytes::from(vec![7; LONG]));
    }
    assert!(message.is_none(), "it has been taken, and is on its way");
    assert!(write(&mut rpc, &mut next, &waker).is_pending());
    assert!(next.is_some(), "it waits for the one before");
    let before = waker.count();
    while write(&mut rpc, &mut next, &waker).is_pending() {
        assert_eq!(rpc.receive().len(), LONG);
    }
    assert!(waker.count() > before);
    loop {
        match rpc.receive() {
            message if message == "next" => break,
            message => assert_eq!(message.len(), LONG),
        }
    }
}

fn a_message_whose_writer_gave_up_goes_before_the_status<P: Peer>() {
    let (mut rpc, waker) = (Rpc::<P>::new(), CountingWaker::new());
    let mut sent = 0;
    while {
        sent += 1;
        write(&mut rpc, &mut Some(Bytes::from(vec![7; LONG])), &waker).is_ready()
    } {}
    // The writer's future is dropped here.
    rpc.handled().finish(reply(Status::aborted("and then")));
    rpc.settle();
    for _ in 0..sent {
        assert_eq!(rpc.receive().len(), LONG);
    }
    assert_eq!(rpc.end().status().message(), "and then");
}

fn a_reply_is_initial_metadata_message_status_and_trailers<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    rpc.handled().finish(Reply {
        initial_metadata: metadata("first"),
        message: Some(Bytes::from_static(b"message")),
        is_uncompressed: false,
        status: Status::ok().with_metadata(metadata("last")),
    });
    rpc.settle();
    assert_eq!(rpc.receive(), "message");
    assert_eq!(rpc.client.initial_metadata().unwrap().get("key"), Some("first"));
    let status = rpc.end().status();
    assert!(status.is_ok());
    assert_eq!(status.metadata().unwrap().get("key"), Some("last"));
}

fn an_error_without_a_message_has_trailers_alone<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    rpc.handled().finish(reply(Status::not_found("no").with_metadata(metadata("last"))));
    rpc.settle();
    let status = rpc.end().status();
    assert_eq!((status.code(), status.message()), (Code::NotFound, "no"));
    assert_eq!(status.metadata().unwrap().get("key"), Some("last"));
    assert!(rpc.client.initial_metadata().is_none());
}

fn trailers_that_were_set_before_go_with_any_status<P: Peer>() {
    for status in [Status::ok(), Status::internal("no")] {
        let mut rpc = Rpc::<P>::new();
        rpc.handled().set_trailers(metadata("replaced"));
        rpc.handled().set_trailers(metadata("set"));
        let mut own = Metadata::new();
        own.insert("own", "too").unwrap();
        rpc.handled().finish(reply(status.clone().with_metadata(own)));
        rpc.settle();
        let end = rpc.end().status();
        assert_eq!(end.code(), status.code());
        let trailers = end.metadata().unwrap();
        assert_eq!((trailers.get("key"), trailers.get("own")), (Some("set"), Some("too")));
    }
}

fn what_is_sent_after_the_status_fails<P: Peer>() {
    let (mut rpc, waker) = (Rpc::<P>::new(), CountingWaker::new());
    rpc.handled().finish(reply(Status::ok()));
    let late = write(&mut rpc, &mut Some(Bytes::from_static(b"late")), &waker);
    assert_eq!(code(late), Some(Code::Cancelled));
    assert_eq!(code(read(&mut rpc, &waker)), Some(Code::Cancelled));
    assert!(rpc.handled().send_initial_metadata(Metadata::new()).is_err());
    rpc.handled().finish(reply(Status::internal("a second")));
    assert!(rpc.end().status().is_ok());
    assert!(!rpc.handled().is_cancelled());
}

/// A call with a message to read, whose deadline has passed without anybody's notice.
fn expired<P: Peer>() -> Rpc<P> {
    let timeout = Some(Duration::from_millis(50));
    let mut rpc = Rpc::<P>::with(Options { timeout, ..Options::default() });
    rpc.send("unread");
    rpc.let_the_deadline_pass();
    rpc
}

fn no_message_comes_or_goes_after_the_deadline<P: Peer>() {
    // Each is the first to come.
    type Operation<P> = fn(&mut Rpc<P>) -> Poll<Result<(), Status>>;
    let operations: [Operation<P>; 4] = [
        |rpc| read(rpc, &CountingWaker::new()).map_ok(|_| ()),
        |rpc| write(rpc, &mut Some(Bytes::from_static(b"late")), &CountingWaker::new()),
        |rpc| Poll::Ready(rpc.handled().send_initial_metadata(Metadata::new())),
        |rpc| {
            let mut over = rpc.handled().over();
            assert!(is_over(rpc, &mut over, &CountingWaker::new()));
            read(rpc, &CountingWaker::new()).map_ok(|_| ())
        },
    ];
    for operation in operations {
        let mut rpc = expired::<P>();
        assert_eq!(code(operation(&mut rpc)), Some(Code::DeadlineExceeded));
        assert_eq!(rpc.end().status().code(), Code::DeadlineExceeded);
        assert!(rpc.client.initial_metadata().is_none());
    }
}

fn a_reply_after_the_deadline_comes_too_late<P: Peer>() {
    let mut rpc = expired::<P>();
    let message = Some(Bytes::from_static(b"late"));
    rpc.handled().finish(Reply { message, ..reply(Status::ok()) });
    assert!(rpc.handled().is_over() && rpc.handled().is_cancelled());
    assert_eq!(rpc.end().status().code(), Code::DeadlineExceeded);
}

fn whoever_waits_for_the_end_is_woken_by_a_cancel<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    let [reader, writer, watcher, other] = [(); 4].map(|()| CountingWaker::new());
    let [mut over, mut other_over] = [(); 2].map(|()| rpc.handled().over());
    assert!(!is_over(&mut rpc, &mut over, &watcher));
    assert!(!is_over(&mut rpc, &mut other_over, &other));
    assert!(!is_over(&mut rpc, &mut over, &watcher), "asking again registers no second waker");
    assert!(read(&mut rpc, &reader).is_pending());
    let mut message = Some(Bytes::from(vec![7; LONG]));
    while write(&mut rpc, &mut message, &writer).is_ready() {
        message = Some(Bytes::from(vec![7; LONG]));
    }
    rpc.client.cancel();
    rpc.settle();
    assert!(reader.count() > 0 && writer.count() > 0);
    assert_eq!((watcher.count(), other.count()), (1, 1));
    assert!(is_over(&mut rpc, &mut over, &watcher) && rpc.handled().is_cancelled());
    assert_eq!(code(read(&mut rpc, &reader)), Some(Code::Cancelled));
    assert_eq!(code(write(&mut rpc, &mut message, &writer)), Some(Code::Cancelled));
}

fn whoever_waits_for_the_end_is_woken_by_the_status<P: Peer>() {
    let (mut rpc, watcher) = (Rpc::<P>::new(), CountingWaker::new());
    let mut over = rpc.handled().over();
    assert!(!is_over(&mut rpc, &mut over, &watcher));
    rpc.handled().finish(reply(Status::ok()));
    assert_eq!(watcher.count(), 1);
    assert!(is_over(&mut rpc, &mut over, &watcher) && !rpc.handled().is_cancelled());
}

fn a_wait_for_the_end_that_is_dropped_leaves_nothing<P: Peer>() {
    let (mut rpc, stays) = (Rpc::<P>::new(), CountingWaker::new());
    let mut staying = rpc.handled().over();
    assert!(!is_over(&mut rpc, &mut staying, &stays));
    for _ in 0..3 {
        let waker = CountingWaker::new();
        let mut given_up = rpc.handled().over();
        assert!(!is_over(&mut rpc, &mut given_up, &waker));
        assert!(!waker.is_unused(), "the call has it");
        drop(given_up);
        assert!(waker.is_unused(), "the call has let go of it");
    }
    rpc.client.cancel();
    rpc.settle();
    assert_eq!(stays.count(), 1);
}

fn a_wait_for_the_end_keeps_the_waker_of_its_last_poll_only<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    let [first, last] = [(); 2].map(|()| CountingWaker::new());
    let mut over = rpc.handled().over();
    assert!(!is_over(&mut rpc, &mut over, &first));
    assert!(!is_over(&mut rpc, &mut over, &last));
    rpc.client.cancel();
    rpc.settle();
    assert_eq!((first.count(), last.count()), (0, 1));
}

/// Like the last waker of a task, with which a future is dropped that has the call.
struct UsesItsCall(Arc<CallCore>);

impl Wake for UsesItsCall {
    fn wake(self: Arc<Self>) {}
}

impl Drop for UsesItsCall {
    fn drop(&mut self) {
        self.0.set_trailers(Metadata::new());
    }
}

fn a_waker_that_is_dropped_may_use_its_call<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    let call = rpc.handled();
    let waker = || Waker::from(Arc::new(UsesItsCall(call.clone())));
    let mut over = call.over();
    let mut sent = Poll::Ready(Ok(()));
    // The second of each replaces the first.
    for _ in 0..2 {
        assert!(call.poll_message(&mut Context::from_waker(&waker())).is_pending());
        assert!(Pin::new(&mut over).poll(&mut Context::from_waker(&waker())).is_pending());
        while sent.is_ready() {
            let mut message = Some(Bytes::from(vec![7; LONG]).into());
            sent = call.poll_send_message(&mut message, &mut Context::from_waker(&waker()));
        }
        sent = call.poll_send_message(&mut None, &mut Context::from_waker(&waker()));
        assert!(sent.is_pending());
    }
    drop(over);
    rpc.client.cancel();
    rpc.settle();
    assert!(call.is_over());
}

/// A message that says when it is dropped.
struct Tracked {
    _message: Arc<()>,
}

impl AsRef<[u8]> for Tracked {
    fn as_ref(&self) -> &[u8] {
        b"parked"
    }
}

fn a_message_that_waits_for_a_thread_goes_with_its_call<P: Peer>() {
    let message = Arc::new(());
    let tracked = || Some(Bytes::from_owner(Tracked { _message: message.clone() }));
    let mut rpc = Rpc::<P>::new();
    rpc.handled().park(tracked());
    assert_eq!(rpc.handled().unpark().as_deref(), Some(&b"parked"[..]));
    rpc.handled().park(tracked());
    rpc.settle();
    assert_eq!(Arc::strong_count(&message), 2, "it waits");
    rpc.client.cancel();
    rpc.settle();
    assert!(rpc.handled().is_over(), "nobody has asked for its end, and yet it is known");
    assert_eq!(Arc::strong_count(&message), 1, "it is gone before a thread comes");
    rpc.handled().park(tracked());
    assert_eq!(rpc.handled().unpark(), None, "the call is over");
    assert_eq!(Arc::strong_count(&message), 1);
}

fn a_broken_message_ends_the_call_for_both_ends<P: Peer>() {
    let options = Options { max_message_size: 10, ..Options::default() };
    let (mut rpc, waker) = (Rpc::<P>::with(options), CountingWaker::new());
    let _ = rpc.begin_send(vec![7; 11]);
    assert_eq!(code(read(&mut rpc, &waker)), Some(Code::ResourceExhausted));
    assert_eq!(code(read(&mut rpc, &waker)), Some(Code::ResourceExhausted), "and it stays so");
    assert!(rpc.handled().is_cancelled());
    match rpc.end() {
        End::Status(status) => assert_eq!(status.code(), Code::ResourceExhausted),
        End::Broken => panic!("the client does not get the status"),
    }
}

fn polled_and_started_operations_keep_one_order<P: Peer>() {
    let mut rpc = Rpc::<P>::new();
    send(&mut rpc, "polled");
    rpc.start(Batch::new().send_message("started"), 1);
    assert!(rpc.event().is_ok());
    send(&mut rpc, "polled again");
    rpc.handled().finish(reply(Status::ok()));
    rpc.settle();
    assert_eq!(
        [rpc.receive(), rpc.receive(), rpc.receive()],
        ["polled", "started", "polled again"]
    );
    assert!(rpc.end().status().is_ok());
}
