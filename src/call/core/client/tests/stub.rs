//! What stubs do at once.

use super::Rpc;
use crate::call::{Batch, OnlyReply};
use crate::iomgr::ExecCtx;
use crate::metadata::Metadata;
use crate::status::{Code, Status};
use crate::testing::CountingWaker;
use bytes::Bytes;
use std::task::{Context, Poll};

fn only_reply(rpc: &Rpc, reply: &mut OnlyReply) -> Option<Status> {
    match rpc.poll(|context| rpc.call.core().poll_only_reply(reply, context)) {
        Poll::Ready(status) => Some(status),
        Poll::Pending => None,
    }
}

fn ended_with_trailers(code: Code) -> Status {
    let mut trailers = Metadata::new();
    trailers.insert("x-cost", "3").unwrap();
    Status::new(code, "").with_metadata(trailers)
}

#[test]
fn a_request_leaves_with_its_half_close_and_the_reply_comes_with_everything() {
    let rpc = Rpc::begin();
    rpc.call.core().send_only(Bytes::from("request").into());
    assert_eq!(rpc.server.got(), [Some("request".into()), None]);
    let mut reply = OnlyReply::default();
    assert!(only_reply(&rpc, &mut reply).is_none());
    rpc.server.answers("who", "server");
    rpc.server.sends("reply");
    assert!(only_reply(&rpc, &mut reply).is_none(), "the status is missing");
    rpc.server.ends(ended_with_trailers(Code::Ok));
    let status = only_reply(&rpc, &mut reply).expect("everything has come");
    assert!(status.is_ok());
    assert_eq!(status.into_metadata().get("x-cost"), Some("3"));
    assert_eq!(reply.message.as_deref(), Some(&b"reply"[..]));
    assert_eq!(reply.metadata.unwrap().get("who"), Some("server"));
}

#[test]
fn ok_without_a_reply_is_unimplemented_and_keeps_the_trailers() {
    let polled = Rpc::begin();
    polled.server.ends(ended_with_trailers(Code::Ok));
    let polled = only_reply(&polled, &mut OnlyReply::default()).expect("it is over");
    let rpc = Rpc::begin();
    rpc.start(Batch::new().receive_only_message().receive_status(), "call").unwrap();
    rpc.server.ends(ended_with_trailers(Code::Ok));
    let mut event = rpc.next().unwrap();
    assert_eq!(event.take_message(), None);
    for status in [polled, event.take_status().unwrap()] {
        assert_eq!(status.code(), Code::Unimplemented);
        assert_eq!(status.into_metadata().get("x-cost"), Some("3"));
    }
    // An error needs no reply.
    let rpc = Rpc::begin();
    rpc.server.ends(ended_with_trailers(Code::NotFound));
    let status = only_reply(&rpc, &mut OnlyReply::default()).expect("it is over");
    assert_eq!(status.code(), Code::NotFound);
}

#[test]
fn a_second_reply_ends_the_call_before_its_status_comes() {
    let rpc = Rpc::begin();
    rpc.start(Batch::new().receive_only_message().receive_status(), "call").unwrap();
    let polled = Rpc::begin();
    for server in [&rpc.server, &polled.server] {
        server.answers("who", "server");
        server.sends("one");
        server.sends("two");
    }
    let mut event = rpc.next().expect("it waits for no status");
    let mut reply = OnlyReply::default();
    let status = only_reply(&polled, &mut reply).expect("neither does this");
    for status in [event.take_status().unwrap(), status] {
        assert_eq!(status.code(), Code::Unimplemented);
    }
    for message in [event.take_message(), reply.message] {
        assert_eq!(message.as_deref(), Some(&b"one"[..]));
    }
    for server in [&rpc.server, &polled.server] {
        assert_eq!(server.is_cancelled_with(), Some(Code::Unimplemented));
    }
}

#[test]
fn a_call_of_a_stream_takes_any_number_of_replies() {
    let rpc = Rpc::begin();
    rpc.call.core().open(false);
    rpc.server.answers("who", "server");
    rpc.server.sends("one");
    rpc.server.sends("two");
    rpc.server.ends(Status::ok());
    let read = || rpc.poll(|context| rpc.call.core().poll_message(context));
    for expected in [Some("one"), Some("two"), None] {
        let Poll::Ready(Ok(message)) = read() else { panic!("it has come") };
        assert_eq!(message.as_deref(), expected.map(str::as_bytes));
    }
    assert!(rpc.call.core().known_status().unwrap().is_ok());
}

#[test]
fn who_asks_whether_the_status_is_known_takes_no_message_from_who_reads() {
    let rpc = Rpc::begin();
    let core = rpc.call.core();
    let waker = CountingWaker::new();
    let read = || core.poll_message(&mut Context::from_waker(&waker.waker()));
    assert!(read().is_pending());
    let context = ExecCtx::enter();
    rpc.server.answers("who", "server");
    rpc.server.sends("one");
    rpc.server.ends(Status::aborted("enough"));
    // Before the call has run, and with it who reads.
    assert!(core.known_status().is_none());
    context.flush();
    assert!(waker.count() > 0, "who reads is woken");
    assert!(matches!(read(), Poll::Ready(Ok(Some(message))) if message == "one"));
    assert_eq!(core.known_status().unwrap().code(), Code::Aborted);
    assert!(matches!(read(), Poll::Ready(Ok(None))));
}

#[test]
fn what_is_sent_on_a_call_that_is_over_goes_nowhere() {
    let rpc = Rpc::begin();
    rpc.call.core().cancel(Status::unauthenticated("refused"));
    rpc.call.core().open(true);
    rpc.call.core().send_only(Bytes::from("request").into());
    assert!(rpc.server.got().is_empty());
    let status = only_reply(&rpc, &mut OnlyReply::default()).expect("it is over");
    assert_eq!((status.code(), status.message()), (Code::Unauthenticated, "refused"));
}
