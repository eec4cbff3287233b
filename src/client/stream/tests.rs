//! What attempts are given, by a server of which the test decides what it refuses.

use super::{ChannelStream, NewStream};
use crate::client::balancer::{Asks, Balancer, Pick, Picture};
use crate::client::channel::Channel;
use crate::client::connectivity::ConnectivityState;
use crate::client::control::Control;
use crate::compression::Encodings;
use crate::iomgr::{Deadline, ListenAddress, Peer, iomgr_for_tests};
use crate::metadata::Metadata;
use crate::status::Status;
use crate::testing::CountingWaker;
use crate::transport::{
    Answer, ClientStream, ClientTransport, Ended, Message, MessageStream, Request, Transport,
};
use bytes::Bytes;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

/// What one attempt has got, and what its server says of it.
#[derive(Default)]
struct Attempt {
    lengths: Vec<usize>,
    is_half_closed: bool,
    /// Nothing more is taken.
    is_broken: bool,
    /// What the call is told when it asks how it goes: after that the call was refused.
    is_refused: bool,
    /// It is refused just after the call has asked.
    is_refused_next: bool,
}

type Shared = Arc<Mutex<Attempt>>;

/// A connection whose attempts the test sees.
struct Connection {
    peer: Arc<Peer>,
    attempts: Mutex<Vec<Shared>>,
}

impl Connection {
    fn new() -> Arc<Self> {
        Arc::new(Self { peer: Arc::new(Peer::in_process()), attempts: Mutex::default() })
    }

    fn attempt(&self, index: usize, change: impl FnOnce(&mut Attempt)) {
        change(&mut self.attempts.lock().unwrap()[index].lock().unwrap());
    }

    fn refuse(&self, index: usize) {
        self.attempt(index, |attempt| (attempt.is_broken, attempt.is_refused) = (true, true));
    }

    fn count(&self) -> usize {
        self.attempts.lock().unwrap().len()
    }

    /// The lengths of an attempt's messages, and whether it knows that no more come.
    fn got(&self, attempt: usize) -> (Vec<usize>, bool) {
        let attempts = self.attempts.lock().unwrap();
        let attempt = attempts[attempt].lock().unwrap();
        (attempt.lengths.clone(), attempt.is_half_closed)
    }
}

impl Transport for Connection {
    fn go_away(self: Arc<Self>) {}

    fn abort(self: Arc<Self>) {}
}

impl ClientTransport for Connection {
    fn start(self: Arc<Self>, _: Request) -> Box<dyn ClientStream> {
        let attempt = Shared::default();
        self.attempts.lock().unwrap().push(attempt.clone());
        Box::new(Stream(attempt))
    }

    fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }
}

struct Stream(Shared);

impl Stream {
    fn take(&self) -> Result<(), Status> {
        match self.0.lock().unwrap().is_broken {
            true => Err(Status::unavailable("nothing is taken")),
            false => Ok(()),
        }
    }
}

impl MessageStream for Stream {
    fn set_max_message_size(&mut self, _: usize) {}

    fn take_in(&mut self, _: &mut Context<'_>) {}

    fn begin_message(&mut self, message: Message) -> Result<(), Status> {
        self.0.lock().unwrap().lengths.push(message.data.len());
        Ok(())
    }

    fn poll_send_message(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(self.take())
    }

    fn poll_message(&mut self, _: &mut Context<'_>) -> Poll<Result<Option<Message>, Status>> {
        Poll::Pending
    }
}

impl ClientStream for Stream {
    fn half_close(&mut self) -> Result<(), Status> {
        self.0.lock().unwrap().is_half_closed = true;
        self.take()
    }

    fn poll_answer(&mut self, _: &mut Context<'_>) -> Poll<Option<Answer>> {
        let attempt = &mut *self.0.lock().unwrap();
        let answer = if attempt.is_refused { Poll::Ready(None) } else { Poll::Pending };
        attempt.is_refused |= attempt.is_refused_next;
        answer
    }

    fn poll_ended(&mut self, _: &mut Context<'_>) -> Poll<Ended> {
        Poll::Ready(Ended::refused(Status::unavailable("refused")))
    }

    fn cancel(&mut self, _: Status) {}
}

struct Only(Arc<Connection>);

impl Balancer for Only {
    fn connect(&mut self) {}

    fn on_addresses(&mut self, _: Result<Vec<ListenAddress>, Status>) {}

    fn poll(&mut self, _: &mut Context<'_>) -> Asks {
        Asks::Nothing
    }

    fn picture(&self) -> Picture {
        Picture { state: ConnectivityState::Ready, pick: Pick::Connection(self.0.clone()) }
    }
}

fn stream_on(connection: &Arc<Connection>) -> ChannelStream {
    let balancer = Box::new(Only(connection.clone()));
    let channel = Channel::on(Control::balanced(iomgr_for_tests(), balancer));
    let request = Request {
        path: "/test.Test/Test".parse().unwrap(),
        authority: "test".parse().unwrap(),
        metadata: Metadata::new(),
        subtype: None,
        timeout: None,
        encoding: None,
        accepts: Encodings::default(),
    };
    let (deadline, waits_for_ready, pollset) = (Deadline::NONE, false, None);
    let new = NewStream { request, deadline, waits_for_ready, pollset };
    ChannelStream::new(channel.inner(), new)
}

fn begin(stream: &mut ChannelStream, length: usize) {
    let data = Bytes::from(vec![0; length]);
    stream.begin_message(Message { compressed: false, data }).unwrap();
}

fn poll_sent(stream: &mut ChannelStream) -> Poll<Result<(), Status>> {
    let waker = CountingWaker::new().waker();
    stream.poll_send_message(&mut Context::from_waker(&waker))
}

fn poll_answer(stream: &mut ChannelStream) -> Poll<Option<Answer>> {
    let waker = CountingWaker::new().waker();
    stream.poll_answer(&mut Context::from_waker(&waker))
}

/// Sends a message of this length, which must be taken at once.
fn send(stream: &mut ChannelStream, length: usize) {
    begin(stream, length);
    let taken = poll_sent(stream);
    assert!(matches!(taken, Poll::Ready(Ok(()))), "{taken:?}");
}

const MUCH: usize = 200 * 1024;

#[test]
fn a_message_too_much_to_be_kept_is_not_lost_with_an_attempt_that_is_refused_already() {
    let connection = Connection::new();
    let mut stream = stream_on(&connection);
    send(&mut stream, MUCH);
    // The call has not looked since.
    connection.refuse(0);
    send(&mut stream, MUCH);
    stream.half_close().unwrap();
    assert_eq!(connection.got(0), (vec![MUCH], false));
    assert_eq!(connection.got(1), (vec![MUCH, MUCH], true));
}

#[test]
fn what_was_too_much_to_be_kept_is_given_once() {
    let connection = Connection::new();
    let mut stream = stream_on(&connection);
    send(&mut stream, MUCH);
    send(&mut stream, MUCH);
    send(&mut stream, 1);
    stream.half_close().unwrap();
    assert_eq!(connection.got(0), (vec![MUCH, MUCH, 1], true));
    connection.refuse(0);
    assert!(poll_answer(&mut stream).is_ready());
    assert_eq!(connection.count(), 1, "it is not sent again");
}

#[test]
fn an_attempt_that_is_refused_while_its_call_looks_is_followed_by_another() {
    let connection = Connection::new();
    let mut stream = stream_on(&connection);
    send(&mut stream, 1);
    connection.attempt(0, |attempt| attempt.is_refused_next = true);
    assert!(poll_answer(&mut stream).is_pending());
    assert!(poll_answer(&mut stream).is_pending());
    assert_eq!(connection.count(), 2);
    assert_eq!(connection.got(1), (vec![1], false));
}

#[test]
fn nothing_fails_that_another_attempt_may_take() {
    let connection = Connection::new();
    let mut stream = stream_on(&connection);
    send(&mut stream, 1);
    // How it ends is known later, as of a connection that is lost.
    connection.attempt(0, |attempt| attempt.is_broken = true);
    begin(&mut stream, 1);
    assert!(poll_sent(&mut stream).is_pending());
    connection.refuse(0);
    assert!(matches!(poll_sent(&mut stream), Poll::Ready(Ok(()))));
    assert_eq!(connection.got(1), (vec![1, 1], false));
}

#[test]
fn a_half_close_does_not_fail_that_another_attempt_may_take() {
    let connection = Connection::new();
    let mut stream = stream_on(&connection);
    send(&mut stream, 1);
    connection.attempt(0, |attempt| attempt.is_broken = true);
    stream.half_close().unwrap();
    assert!(poll_answer(&mut stream).is_pending());
    connection.refuse(0);
    assert!(poll_answer(&mut stream).is_pending());
    assert_eq!(connection.got(1), (vec![1], true));
}
