//! What the suite of calls does not see: wakers, the client's limit, and when a channel is closed.

use super::client::Ended;
use super::{Channel, ClientStream, Config};
use crate::iomgr::{Deadline, ExecCtx, Iomgr, Peer, Pollset, iomgr_for_tests};
use crate::metadata::Metadata;
use crate::status::{Code, Status};
use crate::testing::CountingWaker;
use crate::transport::{Acceptor, Head, Message, Stream, Transport as _};
use bytes::Bytes;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

/// Keeps the servers' ends for the test.
#[derive(Default)]
struct Ends {
    streams: Mutex<Vec<Box<dyn Stream>>>,
    closed: Mutex<Vec<usize>>,
}

impl Acceptor for Ends {
    fn on_stream(self: Arc<Self>, _head: Head, stream: Box<dyn Stream>) {
        self.streams.lock().unwrap().push(stream);
    }

    fn on_closed(&self, id: usize) {
        self.closed.lock().unwrap().push(id);
    }
}

struct World {
    ends: Arc<Ends>,
    iomgr: Arc<Iomgr>,
    channel: Arc<Channel>,
}

impl World {
    fn new(config: Config) -> Self {
        let (ends, iomgr) = (Arc::new(Ends::default()), iomgr_for_tests());
        let channel = Channel::new(3, config, ends.clone(), iomgr.clone());
        Self { ends, iomgr, channel }
    }

    fn start(&self) -> ClientStream {
        self.channel.start(Head {
            path: http::uri::PathAndQuery::from_static("/a/b"),
            authority: None,
            metadata: Metadata::new(),
            subtype: None,
            timeout: None,
            encoding: None,
            peer: Arc::new(Peer::in_process()),
        })
    }

    fn pair(&self) -> (ClientStream, Box<dyn Stream>) {
        let client = self.start();
        (client, self.ends.streams.lock().unwrap().pop().expect("the call has come"))
    }

    /// How often the acceptor was told that the channel is closed.
    fn closed(&self) -> usize {
        let context = ExecCtx::enter();
        self.iomgr.work(&Pollset::new(), Deadline::NOW, || true);
        context.flush();
        let closed = self.ends.closed.lock().unwrap();
        assert!(closed.iter().all(|id| *id == 3));
        closed.len()
    }
}

fn message(data: &'static [u8]) -> Message {
    Message { compressed: false, data: Bytes::from_static(data) }
}

fn noop() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

#[test]
fn each_end_wakes_the_other_for_what_it_waits_for() {
    let world = World::new(Config { window: 1, ..Config::default() });
    let (mut client, mut server) = world.pair();
    let (at_client, at_server) = (CountingWaker::new(), CountingWaker::new());
    let (client_waker, server_waker) = (at_client.waker(), at_server.waker());
    let client_context = &mut Context::from_waker(&client_waker);
    let server_context = &mut Context::from_waker(&server_waker);

    assert!(server.poll_message(server_context).is_pending());
    client.begin_message(message(b"one"));
    assert_eq!(client.poll_send_message(client_context), Poll::Ready(Ok(())));
    assert_eq!(at_server.count(), 1, "a message");
    client.begin_message(message(b"two"));
    assert_eq!(client.poll_send_message(client_context), Poll::Pending);
    assert_eq!(at_client.count(), 0);
    let first = server.poll_message(server_context);
    assert!(matches!(first, Poll::Ready(Ok(Some(one))) if one == message(b"one")));
    assert_eq!(at_client.count(), 1, "room");
    assert_eq!(client.poll_send_message(client_context), Poll::Ready(Ok(())));

    assert!(client.poll_initial_metadata(client_context).is_pending());
    server.send_initial_metadata(Metadata::new(), None).unwrap();
    assert_eq!(at_client.count(), 2, "initial metadata");
    assert!(client.poll_message(client_context).is_pending());
    server.begin_message(message(b"three")).unwrap();
    assert!(server.poll_send_message(server_context).is_ready());
    assert_eq!(at_client.count(), 3, "a message");
    assert!(client.poll_status(client_context).is_pending(), "the message comes first");
    server.send_status(Status::ok()).unwrap();
    assert_eq!(at_client.count(), 4, "a status");
    assert!(client.poll_status(client_context).is_pending(), "the message still comes first");
    assert_eq!(client.poll_message(client_context), Poll::Ready(Some(message(b"three"))));
    assert!(client.poll_status(client_context).is_ready());
}

#[test]
fn each_end_wakes_the_other_when_it_goes() {
    let world = World::new(Config::default());
    let (client, mut server) = world.pair();
    let woken = CountingWaker::new();
    server.take_in(&mut Context::from_waker(&woken.waker()));
    drop(client);
    assert_eq!(woken.count(), 1);
    let cause = server.poll_cancelled(&mut noop());
    assert!(matches!(cause, Poll::Ready(cause) if cause.code() == Code::Cancelled));

    let (mut client, server) = world.pair();
    assert!(client.poll_status(&mut Context::from_waker(&woken.waker())).is_pending());
    drop(server);
    assert_eq!(woken.count(), 2);
    let status = client.poll_status(&mut noop());
    assert!(matches!(status, Poll::Ready(status) if status.code() == Code::Cancelled));
    client.begin_message(message(b"late"));
    assert_eq!(client.poll_send_message(&mut noop()), Poll::Ready(Err(Ended)));
}

#[test]
fn empty_messages_fill_the_window_too() {
    let world = World::new(Config { window: 4000, ..Config::default() });
    let (mut client, _server) = world.pair();
    let fit = (0..1000).take_while(|_| {
        client.begin_message(message(b""));
        client.poll_send_message(&mut noop()).is_ready()
    });
    assert_eq!(fit.count(), 4000 / size_of::<Message>());
}

#[test]
fn messages_are_handed_over_without_a_copy() {
    let world = World::new(Config::default());
    let (mut client, mut server) = world.pair();
    let sent = Bytes::from(vec![1; 100]);
    client.begin_message(Message { compressed: false, data: sent.clone() });
    assert!(client.poll_send_message(&mut noop()).is_ready());
    let Poll::Ready(Ok(Some(got))) = server.poll_message(&mut noop()) else { panic!("no message") };
    assert_eq!(got.data.as_ptr(), sent.as_ptr());
}

#[test]
fn a_response_over_the_limit_is_the_clients_status_and_cancels_the_server() {
    let world = World::new(Config { max_message_size: 3, ..Config::default() });
    let (mut client, mut server) = world.pair();
    server.send_initial_metadata(Metadata::new(), None).unwrap();
    server.begin_message(message(b"four")).unwrap();
    assert!(server.poll_send_message(&mut noop()).is_ready());
    assert_eq!(client.poll_message(&mut noop()), Poll::Ready(None));
    let Poll::Ready(status) = client.poll_status(&mut noop()) else { panic!("no status") };
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.message(), "message larger than max (4 vs. 3)");
    assert!(server.poll_cancelled(&mut noop()).is_ready());
    assert!(server.send_status(Status::ok()).is_err());
}

#[test]
fn a_compressed_request_is_refused() {
    let world = World::new(Config::default());
    let (mut client, mut server) = world.pair();
    client.begin_message(Message { compressed: true, ..message(b"?") });
    assert!(client.poll_send_message(&mut noop()).is_ready());
    let refused = server.poll_message(&mut noop());
    assert!(matches!(refused, Poll::Ready(Err(status)) if status.code() == Code::Internal));
}

#[test]
fn a_channel_that_goes_away_closes_with_its_last_call() {
    let world = World::new(Config::default());
    let (mut client, mut server) = world.pair();
    world.channel.clone().go_away();
    let mut refused = world.start();
    let status = refused.poll_status(&mut noop());
    assert!(matches!(status, Poll::Ready(status) if status.code() == Code::Unavailable));
    assert!(world.ends.streams.lock().unwrap().is_empty(), "the server sees nothing of it");
    drop(refused);
    assert_eq!(world.closed(), 0, "a call is under way");
    server.send_status(Status::ok()).unwrap();
    drop(server);
    assert!(client.poll_status(&mut noop()).is_ready());
    drop(client);
    assert_eq!(world.closed(), 1);
    world.channel.clone().abort();
    assert_eq!(world.closed(), 1, "told twice");
}

#[test]
fn an_aborted_channel_ends_its_calls_and_is_closed_at_once() {
    let world = World::new(Config::default());
    let (mut client, mut server) = world.pair();
    world.channel.clone().abort();
    assert_eq!(world.closed(), 1);
    let status = client.poll_status(&mut noop());
    assert!(matches!(status, Poll::Ready(status) if status.code() == Code::Unavailable));
    let cause = server.poll_cancelled(&mut noop());
    assert!(matches!(cause, Poll::Ready(cause) if cause.code() == Code::Unavailable));
    drop((client, server));
    assert_eq!(world.closed(), 1, "told twice");
}
