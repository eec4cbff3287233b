//! What a client sees of a call, over a stream of which the test decides what comes.

use super::{ClientCore, ClientOwner, MessageRules};
use crate::call::{Batch, Outcome, StartError};
use crate::cq::{CompletionQueue, sealed::Queue as _};
use crate::iomgr::{Deadline, ExecCtx, Iomgr, iomgr_for_tests};
use crate::metadata::Metadata;
use crate::status::{Code, Status};
use crate::testing::CountingWaker;
use crate::transport::{Answer, ClientStream, Ended, Message, MessageStream};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

mod stub;

/// What the server has done, and what it has got.
#[derive(Default)]
struct Wire {
    answer: Option<Option<Answer>>,
    messages: VecDeque<Result<Option<Message>, Status>>,
    ended: Option<Status>,
    is_full: bool,
    is_broken: bool,
    /// `Some` for a message, `None` for the half-close.
    sent: Vec<Option<Bytes>>,
    cancelled: Option<Status>,
    waker: Option<Waker>,
}

#[derive(Clone, Default)]
struct Server(Arc<Mutex<Wire>>);

impl Server {
    fn does(&self, what: impl FnOnce(&mut Wire)) {
        let mut wire = self.0.lock().unwrap();
        what(&mut wire);
        let waker = wire.waker.take();
        drop(wire);
        waker.into_iter().for_each(Waker::wake);
    }

    fn answers(&self, name: &'static str, value: &str) {
        let mut metadata = Metadata::new();
        metadata.insert(name, value).unwrap();
        self.does(|wire| wire.answer = Some(Some(Answer { metadata, encoding: None })));
    }

    fn sends(&self, text: &'static str) {
        let message = Message { compressed: false, data: Bytes::from(text) };
        self.does(|wire| wire.messages.push_back(Ok(Some(message))));
    }

    fn ends(&self, status: Status) {
        self.does(|wire| {
            wire.answer.get_or_insert(None);
            wire.messages.push_back(Ok(None));
            wire.ended = Some(status);
        });
    }

    fn got(&self) -> Vec<Option<Bytes>> {
        self.0.lock().unwrap().sent.clone()
    }

    fn is_cancelled_with(&self) -> Option<Code> {
        self.0.lock().unwrap().cancelled.as_ref().map(Status::code)
    }
}

/// The client's end of the wire.
struct Stream(Server, Option<Message>);

impl Stream {
    fn poll<R>(&self, context: &Context<'_>, what: impl FnOnce(&mut Wire) -> Option<R>) -> Poll<R> {
        let wire = &mut *self.0.0.lock().unwrap();
        match what(wire) {
            Some(result) => Poll::Ready(result),
            None => {
                wire.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl MessageStream for Stream {
    fn set_max_message_size(&mut self, _bytes: usize) {}

    fn take_in(&mut self, context: &mut Context<'_>) {
        self.0.0.lock().unwrap().waker = Some(context.waker().clone());
    }

    fn begin_message(&mut self, message: Message) -> Result<(), Status> {
        self.1 = Some(message);
        Ok(())
    }

    fn poll_send_message(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        let message = self.1.clone();
        let sent = self.poll(context, |wire| match () {
            () if wire.is_broken => Some(Err(Status::unavailable("the stream is broken"))),
            () if wire.is_full => None,
            () => {
                wire.sent.push(message.map(|message| message.data));
                Some(Ok(()))
            }
        });
        if sent.is_ready() {
            self.1 = None;
        }
        sent
    }

    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Message>, Status>> {
        self.poll(context, |wire| wire.messages.pop_front())
    }
}

impl ClientStream for Stream {
    fn half_close(&mut self) -> Result<(), Status> {
        self.0.0.lock().unwrap().sent.push(None);
        Ok(())
    }

    fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<Option<Answer>> {
        self.poll(context, |wire| wire.answer.take())
    }

    fn poll_ended(&mut self, context: &mut Context<'_>) -> Poll<Ended> {
        self.poll(context, |wire| {
            let status = wire.cancelled.clone().or_else(|| wire.ended.clone())?;
            Some(Ended::processed(status))
        })
    }

    fn cancel(&mut self, status: Status) {
        let wire = &mut *self.0.0.lock().unwrap();
        if wire.ended.is_none() {
            wire.cancelled.get_or_insert(status);
        }
    }
}

/// A call with its server and a queue.
struct Rpc {
    iomgr: Arc<Iomgr>,
    server: Server,
    call: ClientOwner,
    cq: CompletionQueue<&'static str, Outcome>,
}

impl Rpc {
    fn begin() -> Self {
        Self::with(None, MessageRules::default())
    }

    fn with(deadline: Option<Instant>, rules: MessageRules) -> Self {
        let (iomgr, server) = (iomgr_for_tests(), Server::default());
        let stream = Box::new(Stream(server.clone(), None));
        let call = ClientCore::begun(stream, iomgr.clone(), deadline, rules);
        call.core().begin();
        let cq = CompletionQueue::on(iomgr.clone());
        Self { iomgr, server, call, cq }
    }

    fn start(&self, batch: Batch, tag: &'static str) -> Result<(), StartError<&'static str>> {
        self.call.core().start(self.cq.core(), batch, tag)
    }

    fn next(&self) -> Option<crate::cq::Event<&'static str, Outcome>> {
        self.cq.next(Deadline::NOW)
    }

    /// Polls once, and once more each time that the call says that it is worth while.
    fn poll<R>(&self, mut poll: impl FnMut(&mut Context<'_>) -> Poll<R>) -> Poll<R> {
        let waker = CountingWaker::new();
        loop {
            let before = waker.count();
            let result = poll(&mut Context::from_waker(&waker.waker()));
            let context = ExecCtx::enter();
            context.flush();
            if result.is_ready() || waker.count() == before {
                return result;
            }
        }
    }
}

fn unary() -> Batch {
    Batch::new()
        .send_message("request")
        .send_close()
        .receive_initial_metadata()
        .receive_message()
        .receive_status()
}

#[test]
fn a_unary_call_is_one_batch() {
    let rpc = Rpc::begin();
    rpc.start(unary(), "call").unwrap();
    assert_eq!(rpc.server.got(), [Some("request".into()), None]);
    rpc.server.answers("who", "server");
    rpc.server.sends("reply");
    assert!(rpc.next().is_none(), "it is not over");
    rpc.server.ends(Status::ok());
    let mut event = rpc.next().expect("everything has come");
    assert!(event.is_ok());
    assert_eq!(event.take_initial_metadata().unwrap().get("who"), Some("server"));
    assert_eq!(event.take_message().as_deref(), Some(&b"reply"[..]));
    assert!(event.take_status().unwrap().is_ok());
    assert!(rpc.call.core().is_over());
    assert!(rpc.server.is_cancelled_with().is_none());
}

#[test]
fn a_status_without_an_answer_says_how_everything_went() {
    let rpc = Rpc::begin();
    rpc.server.does(|wire| wire.is_broken = true);
    rpc.start(unary(), "call").unwrap();
    rpc.server.ends(Status::not_found("nobody"));
    let mut event = rpc.next().unwrap();
    assert!(event.is_ok(), "the status says how the rest went");
    assert!(event.take_initial_metadata().is_none(), "there were none");
    assert_eq!(event.take_message(), None);
    assert_eq!(event.take_status().unwrap().message(), "nobody");
}

#[test]
fn messages_come_before_the_status_and_one_at_a_time() {
    let rpc = Rpc::begin();
    rpc.start(Batch::new().receive_status(), "status").unwrap();
    rpc.server.answers("who", "server");
    rpc.server.sends("one");
    rpc.server.sends("two");
    rpc.server.ends(Status::aborted("enough"));
    assert!(rpc.next().is_none(), "there are messages before it");
    for expected in ["one", "two"] {
        rpc.start(Batch::new().receive_message(), "message").unwrap();
        let mut event = rpc.next().unwrap();
        assert_eq!(event.take_message().as_deref(), Some(expected.as_bytes()));
    }
    // Nothing is in the way any more, whether or not somebody looks for the end of the messages.
    let mut event = rpc.next().expect("the status");
    assert_eq!((event.tag, event.take_status().unwrap().code()), ("status", Code::Aborted));
    rpc.start(Batch::new().receive_message().receive_status(), "again").unwrap();
    let mut event = rpc.next().unwrap();
    assert_eq!(event.take_message(), None);
    assert_eq!(event.take_status().unwrap().message(), "enough");
}

#[test]
fn a_send_that_fails_leaves_the_servers_status_to_be_received() {
    let rpc = Rpc::begin();
    rpc.server.does(|wire| wire.is_full = true);
    rpc.start(Batch::new().send_message("a"), "send").unwrap();
    assert!(rpc.next().is_none());
    rpc.server.does(|wire| wire.is_broken = true);
    rpc.server.ends(Status::resource_exhausted("too much"));
    let event = rpc.next().unwrap();
    assert_eq!((event.tag, event.is_ok()), ("send", false));
    rpc.start(Batch::new().receive_status(), "status").unwrap();
    assert_eq!(rpc.next().unwrap().take_status().unwrap().message(), "too much");
}

#[test]
fn a_cancel_ends_what_is_pending_and_tells_the_server() {
    let rpc = Rpc::begin();
    rpc.start(Batch::new().receive_message(), "message").unwrap();
    rpc.start(Batch::new().receive_status(), "status").unwrap();
    rpc.call.core().cancel(Status::cancelled("the user went away"));
    assert_eq!(rpc.server.is_cancelled_with(), Some(Code::Cancelled));
    let mut event = rpc.next().unwrap();
    assert_eq!((event.tag, event.take_message()), ("message", None));
    assert_eq!(rpc.next().unwrap().take_status().unwrap().message(), "the user went away");
    rpc.call.core().cancel(Status::aborted("too late"));
    rpc.start(Batch::new().send_message("x"), "send").unwrap();
    assert!(!rpc.next().unwrap().is_ok());
}

#[test]
fn the_deadline_ends_a_call_whoever_touches_it() {
    let rpc = Rpc::with(Some(Instant::now()), MessageRules::default());
    rpc.start(unary(), "call").unwrap();
    let mut event = rpc.next().unwrap();
    assert_eq!(event.take_status().unwrap().code(), Code::DeadlineExceeded);
    assert_eq!(rpc.server.is_cancelled_with(), Some(Code::DeadlineExceeded));
    assert!(rpc.server.got().is_empty());
    drop(rpc.iomgr);
}

#[test]
fn what_only_servers_send_and_what_comes_too_late_is_an_error() {
    let rpc = Rpc::begin();
    let text = |batch| rpc.start(batch, "x").unwrap_err().to_string();
    assert!(
        text(Batch::new().send_status(Status::ok())).starts_with("send_status is for the other")
    );
    assert!(text(Batch::new().receive_close()).contains("receive_close"));
    rpc.start(Batch::new().send_close(), "close").unwrap();
    assert!(rpc.next().unwrap().is_ok());
    assert!(text(Batch::new().send_close()).contains("too late"));
    assert!(text(Batch::new().send_message("x")).contains("send_message came too late"));
    rpc.start(Batch::new().receive_message(), "message").unwrap();
    assert!(text(Batch::new().receive_message()).contains("pending"));
}

#[test]
fn a_message_over_the_limit_is_not_sent_and_ends_the_call() {
    let rules = MessageRules { max_send_size: 3, ..MessageRules::default() };
    let rpc = Rpc::with(None, rules);
    rpc.start(Batch::new().send_message("long").receive_status(), "call").unwrap();
    let status = rpc.next().unwrap().take_status().unwrap();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.message(), "sent message larger than max (4 vs. 3)");
    assert!(rpc.server.is_cancelled_with().is_some());
}

#[test]
fn what_is_wrong_with_a_message_is_the_status() {
    let rpc = Rpc::begin();
    rpc.server.answers("who", "server");
    let compressed = Message { compressed: true, data: Bytes::from("x") };
    rpc.server.does(|wire| wire.messages.push_back(Ok(Some(compressed))));
    rpc.start(Batch::new().receive_message().receive_status(), "call").unwrap();
    let mut event = rpc.next().unwrap();
    assert_eq!(event.take_message(), None);
    assert_eq!(event.take_status().unwrap().code(), Code::Internal);
    assert_eq!(rpc.server.is_cancelled_with(), Some(Code::Internal));
}

#[test]
fn a_stub_polls_the_same_call() {
    let rpc = Rpc::begin();
    assert!(rpc.poll(|context| rpc.call.core().poll_initial_metadata(context)).is_pending());
    let mut message = Some(rpc.call.core().pack(Bytes::from("request")));
    let sent = rpc.poll(|context| rpc.call.core().poll_send_message(&mut message, context));
    assert!(matches!(sent, Poll::Ready(Ok(()))));
    rpc.call.core().half_close();
    rpc.call.core().half_close();
    assert_eq!(rpc.server.got(), [Some("request".into()), None]);
    rpc.server.answers("who", "server");
    let Poll::Ready(metadata) = rpc.poll(|context| rpc.call.core().poll_initial_metadata(context))
    else {
        panic!("the server has answered")
    };
    assert_eq!(metadata.get("who"), Some("server"));
    rpc.server.sends("reply");
    assert!(rpc.poll(|context| rpc.call.core().poll_status(context)).is_pending());
    let next = rpc.poll(|context| rpc.call.core().poll_message(context));
    assert!(matches!(next, Poll::Ready(Ok(Some(text))) if text == "reply"));
    rpc.server.ends(Status::ok());
    let next = rpc.poll(|context| rpc.call.core().poll_message(context));
    assert!(matches!(next, Poll::Ready(Ok(None))));
    let status = rpc.poll(|context| rpc.call.core().poll_status(context));
    assert!(matches!(status, Poll::Ready(status) if status.is_ok()));
    assert!(rpc.call.core().is_over());
}
