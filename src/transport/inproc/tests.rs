//! What the suite of calls does not see: wakers, what ends a call early, and when a channel is closed.

use super::{Channel, Config};
use crate::compression::Encodings;
use crate::iomgr::{Deadline, ExecCtx, Iomgr, Pollset, iomgr_for_tests};
use crate::metadata::Metadata;
use crate::status::{Code, Status};
use crate::testing::CountingWaker;
use crate::transport::h2::{self, ClientConfig};
use crate::transport::{
    Acceptor, ClientStream, ClientTransport as _, Ended, Head, Message, Request, Stream,
    Transport as _, Unprocessed,
};
use bytes::Bytes;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

/// Keeps the servers' ends for the test.
#[derive(Default)]
struct Ends {
    streams: Mutex<Vec<(Head, Box<dyn Stream>)>>,
    closed: Mutex<Vec<usize>>,
}

impl Acceptor for Ends {
    fn on_stream(self: Arc<Self>, head: Head, stream: Box<dyn Stream>) {
        self.streams.lock().unwrap().push((head, stream));
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
    fn new() -> Self {
        Self::with(h2::Config::default(), ClientConfig::default())
    }

    fn with(server: h2::Config, client: ClientConfig) -> Self {
        let (ends, iomgr) = (Arc::new(Ends::default()), iomgr_for_tests());
        let config = Config { server: Arc::new(server), client: Arc::new(client) };
        let channel = Channel::new(3, config, ends.clone(), iomgr.clone(), None);
        Self { ends, iomgr, channel }
    }

    fn start_with(&self, metadata: Metadata) -> Box<dyn ClientStream> {
        let _context = ExecCtx::enter();
        self.channel.clone().start(Request {
            path: "/a/b".parse().unwrap(),
            authority: "test".parse().unwrap(),
            metadata,
            subtype: None,
            timeout: None,
            encoding: None,
            accepts: Encodings::default(),
        })
    }

    fn start(&self) -> Box<dyn ClientStream> {
        self.start_with(Metadata::new())
    }

    /// The call that the server was told of last.
    fn accept(&self) -> Option<(Head, Box<dyn Stream>)> {
        self.ends.streams.lock().unwrap().pop()
    }

    fn pair(&self) -> (Box<dyn ClientStream>, Box<dyn Stream>) {
        let client = self.start();
        (client, self.accept().expect("the call has come").1)
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

/// How a call ended that has no message left.
#[track_caller]
fn ended(client: &mut dyn ClientStream) -> Ended {
    match client.poll_ended(&mut noop()) {
        Poll::Ready(ended) => ended,
        Poll::Pending => panic!("the call has not ended"),
    }
}

#[test]
fn each_end_wakes_the_other_for_what_it_waits_for() {
    let small = ClientConfig { stream_window: 1, ..ClientConfig::default() };
    let world = World::with(h2::Config { stream_window: 1, ..h2::Config::default() }, small);
    let (mut client, mut server) = world.pair();
    let (at_client, at_server) = (CountingWaker::new(), CountingWaker::new());
    let (client_waker, server_waker) = (at_client.waker(), at_server.waker());
    let client_context = &mut Context::from_waker(&client_waker);
    let server_context = &mut Context::from_waker(&server_waker);

    assert!(server.poll_message(server_context).is_pending());
    client.begin_message(message(b"one")).unwrap();
    assert!(matches!(client.poll_send_message(client_context), Poll::Ready(Ok(()))));
    assert_eq!(at_server.count(), 1, "a message");
    client.begin_message(message(b"two")).unwrap();
    assert!(client.poll_send_message(client_context).is_pending());
    assert_eq!(at_client.count(), 0);
    let first = server.poll_message(server_context);
    assert!(matches!(first, Poll::Ready(Ok(Some(one))) if one == message(b"one")));
    assert_eq!(at_client.count(), 1, "room");
    assert!(matches!(client.poll_send_message(client_context), Poll::Ready(Ok(()))));

    assert!(client.poll_answer(client_context).is_pending());
    server.send_initial_metadata(Metadata::new(), None).unwrap();
    assert_eq!(at_client.count(), 2, "initial metadata");
    assert!(matches!(client.poll_answer(client_context), Poll::Ready(Some(_))));
    assert!(client.poll_message(client_context).is_pending());
    server.begin_message(message(b"three")).unwrap();
    assert!(server.poll_send_message(server_context).is_ready());
    assert_eq!(at_client.count(), 3, "a message");
    assert!(client.poll_ended(client_context).is_pending(), "the message comes first");
    server.send_status(Status::ok()).unwrap();
    assert_eq!(at_client.count(), 4, "a status");
    assert!(client.poll_ended(client_context).is_pending(), "the message still comes first");
    let third = client.poll_message(client_context);
    assert!(matches!(third, Poll::Ready(Ok(Some(three))) if three == message(b"three")));
    assert!(matches!(client.poll_message(client_context), Poll::Ready(Ok(None))));
    assert!(client.poll_ended(client_context).is_ready());
}

#[test]
fn each_end_wakes_the_other_when_it_goes() {
    let world = World::new();
    let (client, mut server) = world.pair();
    let woken = CountingWaker::new();
    server.take_in(&mut Context::from_waker(&woken.waker()));
    drop(client);
    assert_eq!(woken.count(), 1);
    let cause = server.poll_cancelled(&mut noop());
    assert!(matches!(cause, Poll::Ready(cause) if cause.code() == Code::Cancelled));

    let (mut client, server) = world.pair();
    client.take_in(&mut Context::from_waker(&woken.waker()));
    drop(server);
    assert_eq!(woken.count(), 2);
    let Poll::Ready(Err(cause)) = client.poll_message(&mut noop()) else { panic!("no error") };
    assert_eq!(cause.code(), Code::Cancelled);
    assert!(!ended(&mut *client).is_unprocessed());
    client.begin_message(message(b"late")).unwrap();
    assert!(matches!(client.poll_send_message(&mut noop()), Poll::Ready(Err(_))));
    assert!(client.half_close().is_err());
}

#[test]
fn empty_messages_fill_the_window_too() {
    let config = h2::Config { stream_window: 4000, ..h2::Config::default() };
    let world = World::with(config, ClientConfig::default());
    let (mut client, _server) = world.pair();
    let fit = (0..1000).take_while(|_| {
        client.begin_message(message(b"")).unwrap();
        client.poll_send_message(&mut noop()).is_ready()
    });
    assert_eq!(fit.count(), 4000 / size_of::<Message>());
}

#[test]
fn messages_are_handed_over_without_a_copy() {
    let world = World::new();
    let (mut client, mut server) = world.pair();
    let sent = Bytes::from(vec![1; 100]);
    client.begin_message(Message { compressed: true, data: sent.clone() }).unwrap();
    assert!(client.poll_send_message(&mut noop()).is_ready());
    let Poll::Ready(Ok(Some(got))) = server.poll_message(&mut noop()) else { panic!("no message") };
    assert_eq!((got.compressed, got.data.as_ptr()), (true, sent.as_ptr()));
}

#[test]
fn a_response_over_the_limit_is_the_clients_status_and_cancels_the_server() {
    let client = ClientConfig { max_message_size: 3, ..ClientConfig::default() };
    let world = World::with(h2::Config::default(), client);
    let (mut client, mut server) = world.pair();
    server.send_initial_metadata(Metadata::new(), None).unwrap();
    server.begin_message(message(b"four")).unwrap();
    assert!(server.poll_send_message(&mut noop()).is_ready());
    assert!(matches!(client.poll_message(&mut noop()), Poll::Ready(Err(_))));
    let status = ended(&mut *client).status;
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.message(), "message larger than max (4 vs. 3), from the server at inproc");
    assert!(server.poll_cancelled(&mut noop()).is_ready());
    assert!(server.send_status(Status::ok()).is_err());
}

#[test]
fn a_cancel_takes_an_ok_back_that_was_not_read_and_nothing_else() {
    let world = World::new();
    let (mut client, mut server) = world.pair();
    server.send_initial_metadata(Metadata::new(), None).unwrap();
    server.begin_message(message(b"unread")).unwrap();
    assert!(server.poll_send_message(&mut noop()).is_ready());
    server.send_status(Status::ok()).unwrap();
    client.cancel(Status::aborted("enough"));
    let Poll::Ready(Err(status)) = client.poll_message(&mut noop()) else { panic!("no error") };
    assert_eq!(status.message(), "enough");
    assert_eq!(ended(&mut *client).status.message(), "enough");
    client.cancel(Status::aborted("again"));
    assert_eq!(ended(&mut *client).status.message(), "enough");

    for status in [Status::ok(), Status::not_found("nobody")] {
        let (mut client, mut server) = world.pair();
        server.send_status(status.clone()).unwrap();
        if status.is_ok() {
            assert!(ended(&mut *client).status.is_ok());
        }
        client.cancel(Status::aborted("too late"));
        assert_eq!(ended(&mut *client).status.code(), status.code());
    }
}

#[test]
fn a_call_that_ends_before_the_server_is_told_never_comes() {
    let world = World::new();
    let context = ExecCtx::enter();
    drop(world.start());
    let mut cancelled = world.start();
    cancelled.cancel(Status::aborted("enough"));
    context.flush();
    assert!(world.accept().is_none());
    assert_eq!(ended(&mut *cancelled).status.code(), Code::Aborted);
    world.channel.clone().go_away();
    assert_eq!(world.closed(), 1, "they are not under way");
}

#[test]
fn what_the_server_refuses_over_the_wire_it_refuses_here() {
    let world = World::new();
    let mut metadata = Metadata::new();
    metadata.insert("x-long", &"x".repeat(20_000)).unwrap();
    let mut client = world.start_with(metadata);
    assert!(world.accept().is_none());
    assert!(matches!(client.poll_answer(&mut noop()), Poll::Ready(None)));
    let Ended { status, unprocessed } = ended(&mut *client);
    assert_eq!((status.code(), unprocessed), (Code::ResourceExhausted, None));
    assert!(status.message().starts_with("the request's metadata is larger than max"), "{status}");
}

#[test]
fn an_answer_that_the_client_does_not_take_ends_the_call_for_both() {
    let world = World::new();
    let (mut client, mut server) = world.pair();
    let mut metadata = Metadata::new();
    metadata.insert("x-long", &"x".repeat(20_000)).unwrap();
    server.send_initial_metadata(metadata, None).unwrap();
    assert!(server.poll_cancelled(&mut noop()).is_ready());
    let status = ended(&mut *client).status;
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(
        status.message().contains("initial metadata of the server at inproc is larger"),
        "{status}"
    );
}

#[test]
fn a_head_is_what_it_would_be_over_the_wire() {
    let world = World::new();
    let mut metadata = Metadata::new();
    metadata.insert_bin("key-bin", &[0, 255]).unwrap();
    metadata.insert("user-agent", "shop/1").unwrap();
    let _client = world.start_with(metadata);
    let (head, _server) = world.accept().unwrap();
    assert_eq!((head.method(), head.authority.as_ref().unwrap().as_str()), ("/a/b", "test"));
    assert_eq!(head.metadata.get_bin("key-bin").unwrap().unwrap(), &[0, 255][..]);
    assert!(head.metadata.get("user-agent").unwrap().starts_with("shop/1 grpc-rust-turnstile/"));
    assert_eq!(head.metadata.len(), 2);
    assert_eq!(head.peer.to_string(), "inproc");
    assert_eq!(world.channel.peer().to_string(), "inproc");
}

#[test]
fn a_channel_that_goes_away_closes_with_its_last_call() {
    let world = World::new();
    let (mut client, mut server) = world.pair();
    world.channel.clone().go_away();
    let mut refused = world.start();
    let Ended { status, unprocessed } = ended(&mut *refused);
    assert_eq!((status.code(), unprocessed), (Code::Unavailable, Some(Unprocessed::NotSent)));
    assert!(world.accept().is_none(), "the server sees nothing of it");
    drop(refused);
    assert_eq!(world.closed(), 0, "a call is under way");
    server.send_initial_metadata(Metadata::new(), None).unwrap();
    server.begin_message(message(b"last")).unwrap();
    assert!(server.poll_send_message(&mut noop()).is_ready());
    server.send_status(Status::ok()).unwrap();
    drop(server);
    assert_eq!(world.closed(), 1, "what the client has still to read does not keep the server");
    world.channel.clone().abort();
    assert_eq!(world.closed(), 1, "told twice");
    let last = client.poll_message(&mut noop());
    assert!(matches!(last, Poll::Ready(Ok(Some(last))) if last == message(b"last")));
    assert!(matches!(client.poll_message(&mut noop()), Poll::Ready(Ok(None))));
    assert!(ended(&mut *client).status.is_ok());
}

#[test]
fn an_aborted_channel_ends_its_calls_and_is_closed_at_once() {
    let world = World::new();
    let (mut client, mut server) = world.pair();
    world.channel.clone().abort();
    assert_eq!(world.closed(), 1);
    let Ended { status, unprocessed } = ended(&mut *client);
    assert_eq!((status.code(), unprocessed), (Code::Unavailable, None));
    let cause = server.poll_cancelled(&mut noop());
    assert!(matches!(cause, Poll::Ready(cause) if cause.code() == Code::Cancelled));
    drop((client, server));
    assert_eq!(world.closed(), 1, "told twice");
}

#[test]
fn the_channel_of_a_server_that_takes_none_refuses_every_call() {
    let world = World::new();
    let config = Config { server: Arc::default(), client: Arc::default() };
    let channel = Channel::closed(config, world.ends.clone(), world.iomgr.clone());
    let world = World { channel, ..world };
    assert!(ended(&mut *world.start()).is_unprocessed());
    world.channel.clone().go_away();
    world.channel.clone().abort();
    assert_eq!(world.closed(), 0, "the acceptor does not know it");
}
