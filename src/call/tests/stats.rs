//! What is told of calls: to a `Stats`, and to the log.

use super::{Options, Peer, Rpc};
use crate::call::{Batch, CallCore};
use crate::stats::{CallEnd, CallInfo, MessageSize, Stats, Traffic};
use crate::status::{Code, Status};
use crate::testing::log::Log;
use crate::testing::without_deadlock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

on_both_transports! {
    a_call_is_told_from_its_start_to_its_end,
    a_message_that_the_application_does_not_take_is_not_told,
    a_handlers_messages_are_told_too,
    the_end_of_a_cancelled_call_is_told_once,
    the_end_of_a_call_that_was_let_go_is_internal,
    a_deadlines_end_is_told_with_its_status,
    a_stats_that_panics_harms_no_call,
    a_stats_may_use_the_call,
    one_event_is_logged_for_each_call,
}

/// What was told, a line each.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Told {
    fn push(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Stats for Told {
    fn call_started(&self, call: &CallInfo<'_>) {
        self.push(format!("started {}", call.method()));
    }

    fn message_received(&self, _call: &CallInfo<'_>, size: MessageSize) {
        self.push(format!("received {}/{}", size.compressed, size.uncompressed));
    }

    fn message_sent(&self, _call: &CallInfo<'_>, size: MessageSize) {
        self.push(format!("sent {}/{}", size.compressed, size.uncompressed));
    }

    fn call_ended(&self, call: &CallInfo<'_>, end: &CallEnd) {
        let show = |Traffic { messages, compressed_bytes, bytes }: Traffic| {
            format!("{messages}:{compressed_bytes}/{bytes}")
        };
        let (received, sent) = (show(end.received), show(end.sent));
        self.push(format!("ended {} {} {received} {sent}", call.method(), end.code));
    }
}

fn told<P: Peer>(timeout: Option<Duration>) -> (Rpc<P>, Arc<Told>) {
    let told = Arc::new(Told::default());
    let stats: Arc<dyn Stats> = told.clone();
    let rpc = Rpc::with(Options { timeout, stats: Some(stats), ..Options::default() });
    (rpc, told)
}

fn a_call_is_told_from_its_start_to_its_end<P: Peer>() {
    let (mut rpc, told) = told::<P>(None);
    assert_eq!(told.take(), [format!("started {}", rpc.call().method())]);
    rpc.send("four");
    rpc.half_close();
    rpc.start(Batch::new().receive_message(), 1);
    assert_eq!(told.take(), ["received 4/4"]);
    rpc.start(Batch::new().receive_message(), 2);
    assert_eq!(told.take(), [""; 0], "the end of the messages is none");
    rpc.start(Batch::new().send_message("a"), 3);
    rpc.start(Batch::new().send_message("").send_status(Status::not_found("gone")), 4);
    let method = rpc.call().method().to_owned();
    assert_eq!(
        told.take(),
        ["sent 1/1", "sent 0/0", &format!("ended {method} NOT_FOUND 1:4/4 2:1/1")]
    );
    rpc.drop_call();
    assert_eq!(told.take(), [""; 0]);
}

fn a_message_that_the_application_does_not_take_is_not_told<P: Peer>() {
    let (mut rpc, told) = told::<P>(None);
    rpc.send("unread");
    rpc.start(Batch::new().send_status(Status::ok()), 1);
    let method = rpc.call().method();
    assert_eq!(told.take()[1..], [format!("ended {method} OK 0:0/0 0:0/0")]);
}

fn a_handlers_messages_are_told_too<P: Peer>() {
    use crate::call::Reply;
    use crate::testing::CountingWaker;
    use std::task::{Context, Poll};

    let (mut rpc, told) = told::<P>(None);
    rpc.send("four");
    let core = rpc.call().owner.core().clone();
    let waker = CountingWaker::new().waker();
    let message = core.poll_message(&mut Context::from_waker(&waker));
    assert!(matches!(message, Poll::Ready(Ok(Some(message))) if message == "four"));
    let mut reply = Reply::from(Status::ok());
    reply.message = Some("seven".into());
    core.finish(reply);
    let end = format!("ended {} OK 1:4/4 1:5/5", rpc.call().method());
    assert_eq!(told.take()[1..], ["received 4/4", "sent 5/5", &end]);
}

fn the_end_of_a_cancelled_call_is_told_once<P: Peer>() {
    let (mut rpc, told) = told::<P>(None);
    rpc.start(Batch::new().receive_close(), 1);
    rpc.client.cancel();
    rpc.settle();
    rpc.call().cancel(Status::aborted("too late"));
    let method = rpc.call().method().to_owned();
    rpc.drop_call();
    assert_eq!(told.take()[1..], [format!("ended {method} CANCELLED 0:0/0 0:0/0")]);
}

fn the_end_of_a_call_that_was_let_go_is_internal<P: Peer>() {
    let (mut rpc, told) = told::<P>(None);
    let method = rpc.call().method().to_owned();
    rpc.drop_call();
    assert_eq!(told.take()[1..], [format!("ended {method} INTERNAL 0:0/0 0:0/0")]);
}

fn a_deadlines_end_is_told_with_its_status<P: Peer>() {
    let (rpc, told) = told::<P>(Some(Duration::ZERO));
    let method = rpc.call().method();
    let end = format!("ended {method} {} 0:0/0 0:0/0", Code::DeadlineExceeded);
    assert_eq!(told.take()[1..], [end]);
}

fn a_stats_that_panics_harms_no_call<P: Peer>() {
    struct Panics;

    impl Stats for Panics {
        fn call_started(&self, _call: &CallInfo<'_>) {
            panic!("at the start");
        }

        fn message_sent(&self, _call: &CallInfo<'_>, _size: MessageSize) {
            panic!("at a message");
        }

        fn call_ended(&self, _call: &CallInfo<'_>, _end: &CallEnd) {
            panic!("at the end");
        }
    }

    let stats: Option<Arc<dyn Stats>> = Some(Arc::new(Panics));
    let mut rpc = Rpc::<P>::with(Options { stats, ..Options::default() });
    rpc.start(Batch::new().send_message("sent").send_status(Status::ok()), 1);
    assert!(rpc.event().is_ok());
    assert_eq!(rpc.receive(), "sent");
    assert!(rpc.end().status().is_ok());
}

fn a_stats_may_use_the_call<P: Peer>() {
    struct Uses(Mutex<Weak<CallCore>>, AtomicUsize);

    impl Uses {
        fn call(&self) {
            let call = self.0.lock().unwrap().upgrade().expect("the call is not dropped");
            // It would wait for ever for a lock of the call's.
            call.cancel(Status::aborted("by what counts it"));
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Stats for Uses {
        fn message_sent(&self, _call: &CallInfo<'_>, _size: MessageSize) {
            self.call();
        }

        fn call_ended(&self, _call: &CallInfo<'_>, _end: &CallEnd) {
            self.call();
        }
    }

    without_deadlock(|| {
        let uses = Arc::new(Uses(Mutex::default(), AtomicUsize::default()));
        let stats: Arc<dyn Stats> = uses.clone();
        let mut rpc = Rpc::<P>::with(Options { stats: Some(stats), ..Options::default() });
        *uses.0.lock().unwrap() = rpc.core();
        rpc.start(Batch::new().send_message("sent"), 1);
        assert!(rpc.event().is_ok());
        assert_eq!(rpc.receive(), "sent");
        assert_eq!(rpc.end().status().code(), Code::Aborted);
        assert_eq!(uses.1.load(Ordering::Relaxed), 2);
    });
}

fn one_event_is_logged_for_each_call<P: Peer>() {
    let (log, _guard) = Log::of_this_thread("turnstile::call");
    let mut rpc = Rpc::<P>::new();
    rpc.send("four");
    rpc.start(Batch::new().receive_message(), 1);
    assert_eq!(log.take(), [""; 0]);
    rpc.start(Batch::new().send_message("a").send_status(Status::unavailable("try again")), 2);
    let (method, peer) = (rpc.call().method().to_owned(), rpc.call().peer().to_string());
    rpc.drop_call();
    let event = format!(
        "DEBUG turnstile::call message=a call ended method={method:?} peer={peer} \
         status=\"UNAVAILABLE\" duration messages_received=1 bytes_received=4 messages_sent=1 \
         bytes_sent=1",
    );
    assert_eq!(log.take(), [event]);
}
