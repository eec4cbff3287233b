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
    is_refused: bool,
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

    fn refuse(&self, attempt: usize) {
        self.attempts.lock().unwrap()[attempt].lock().unwrap().is_refused = true;
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
    fn is_refused(&self) -> bool {
        self.0.lock().unwrap().is_refused
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
        let refused = || Err(Status::unavailable("refused"));
        Poll::Ready(if self.is_refused() { refused() } else { Ok(()) })
    }

    fn poll_message(&mut self, _: &mut Context<'_>) -> Poll<Result<Option<Message>, Status>> {
        Poll::Pending
    }
}

impl ClientStream for Stream {
    fn half_close(&mut self) -> Result<(), Status> {
        self.0.lock().unwrap().is_half_closed = true;
        Ok(())
    }

    fn poll_answer(&mut self, _: &mut Context<'_>) -> Poll<Option<Answer>> {
        if self.is_refused() { Poll::Ready(None) } else { Poll::Pending }
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

/// Sends a message of this length, which must be taken at once.
fn send(stream: &mut ChannelStream, length: usize) {
    let data = Bytes::from(vec![0; length]);
    stream.begin_message(Message { compressed: false, data }).unwrap();
    let waker = CountingWaker::new().waker();
    let taken = stream.poll_send_message(&mut Context::from_waker(&waker));
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
    let waker = CountingWaker::new().waker();
    assert!(stream.poll_answer(&mut Context::from_waker(&waker)).is_ready());
    assert_eq!(connection.attempts.lock().unwrap().len(), 1, "it is not sent again");
}
