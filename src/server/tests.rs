//! A server over sockets that the test has made, so that it sees each write and each close.

mod engines;
mod in_process;
mod observed;

use super::connections::Connections;
use super::methods::Methods;
use super::run_queue::RunQueue;
use super::serve::Overdue;
use super::{Inner, Server};
use crate::call::{Batch, Call, MessageRules, Outcome};
use crate::cq::CompletionQueue;
use crate::cq::sealed::Queue as _;
use crate::iomgr::{
    AcceptHandler as _, Deadline, ExecCtx, Iomgr, PollsetSet, Run as _, endpoint_for_tests,
    iomgr_for_tests,
};
use crate::service::{self, Attachment};
use crate::status::Status;
use crate::testing::PATIENCE;
use crate::testing::http2::{Frame, frames, greeting, request};
use std::collections::BTreeSet;
use std::io::{ErrorKind, Read as _};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

type Queue = CompletionQueue<u32, Outcome>;

/// A server that listens nowhere, and a queue, over an I/O manager of their own.
fn server() -> (Server, Queue) {
    server_on(iomgr_for_tests())
}

/// The same over this I/O manager, which nothing else uses.
fn server_on(iomgr: Arc<Iomgr>) -> (Server, Queue) {
    server_with(iomgr, Vec::new())
}

/// The same with handlers.
fn server_with(iomgr: Arc<Iomgr>, handled: Vec<service::Method>) -> (Server, Queue) {
    let queue = Queue::on(iomgr.clone());
    let (set, run_queue) = (PollsetSet::everybody(&iomgr), RunQueue::new(iomgr.clone()));
    for pollset in [queue.core().pollset(), run_queue.pollset()] {
        set.add_pollset(pollset).unwrap();
    }
    let inner = Arc::new(Inner {
        iomgr,
        set: Arc::new(set),
        config: Arc::default(),
        methods: Methods::new(Vec::new(), handled, None, MessageRules::default(), 1000),
        stats: None,
        monitor: None,
        attachments: Vec::new(),
        run_queue,
        connections: Connections::default(),
    });
    (Server { inner, addresses: Vec::new() }, queue)
}

/// A connection comes in.
fn accept(server: &Arc<Inner>, socket: impl Into<OwnedFd>) {
    let _context = ExecCtx::enter();
    let endpoint = endpoint_for_tests(&server.iomgr, socket.into());
    server.clone().on_connection(endpoint);
}

/// A client whose socket keeps the bounds of writes: it receives what each `sendmsg` sent.
struct Client(UnixDatagram);

impl Client {
    fn connect(server: &Server) -> Self {
        let (ours, client) = UnixDatagram::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        client.set_nonblocking(true).unwrap();
        accept(&server.inner, ours);
        Self(client)
    }

    fn send(&self, bytes: &[u8]) {
        assert_eq!(self.0.send(bytes).unwrap(), bytes.len());
    }

    /// The frames of each write that has come.
    fn writes(&self) -> Vec<Vec<Frame>> {
        let mut writes = Vec::new();
        let mut buffer = [0; 64 * 1024];
        loop {
            match self.0.recv(&mut buffer) {
                Ok(count) => writes.push(frames(&buffer[..count])),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return writes,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// The frames that have come, whatever the write.
fn frames_of(client: &Client) -> Vec<Frame> {
    client.writes().into_iter().flatten().collect()
}

/// Does what there is to do, without waiting.
fn work(queue: &Queue) {
    for _ in 0..8 {
        assert!(queue.next(Deadline::NOW).is_none(), "nothing is requested");
    }
}

/// Takes `count` calls that the client has made with one write, in one turn, and lets `answer`
/// answer each there.
fn serve_turn(queue: &Queue, count: u32, mut answer: impl FnMut(&Call<u32>)) -> Vec<Call<u32>> {
    let turn = queue.turn(Deadline::after(PATIENCE)).expect("calls come");
    let mut calls = Vec::new();
    for mut event in turn {
        let call = event.take_call().expect("the client has made as many");
        answer(&call);
        calls.push(call);
    }
    assert_eq!(calls.len(), count as usize, "what came together is one turn");
    calls
}

/// A client that has made `count` calls with one write, each of which was requested.
fn client_with_calls(server: &Server, queue: &Queue, count: u32) -> Client {
    let client = Client::connect(server);
    client.send(&greeting());
    work(queue);
    client.writes();
    (0..count).for_each(|tag| server.request_call(queue, tag).unwrap());
    let requests: Vec<u8> = (0..count).flat_map(|index| request(2 * index + 1)).collect();
    client.send(&requests);
    client
}

fn reply() -> Batch {
    Batch::new().send_message(&b"hello"[..]).send_status(Status::ok())
}

#[test]
fn the_replies_of_a_turn_leave_in_one_write() {
    const CALLS: u32 = 20;
    let (server, queue) = server();
    let client = client_with_calls(&server, &queue, CALLS);
    let calls = serve_turn(&queue, CALLS, |call| call.start(reply(), 0).unwrap());
    // What is sent has left with the turn, before the thread comes back for more.
    let writes = client.writes();
    assert_eq!(writes.len(), 1, "{writes:?}");
    let replies = writes[0].iter().filter(|it| it.ends_stream()).count();
    assert_eq!(replies, CALLS as usize);
    assert_eq!(calls.len(), replies);
}

#[test]
fn what_is_started_outside_of_a_turn_leaves_at_once() {
    const CALLS: u32 = 3;
    let (server, queue) = server();
    let client = client_with_calls(&server, &queue, CALLS);
    let calls = serve_turn(&queue, CALLS, |_| {});
    assert!(client.writes().iter().flatten().all(|it| !it.ends_stream()));
    for call in &calls {
        call.start(reply(), 0).unwrap();
        let writes = client.writes();
        assert_eq!(writes.len(), 1, "{writes:?}");
        assert!(writes[0].iter().any(Frame::ends_stream));
    }
}

/// Asserts that a connection which was just accepted is closed, without a word of HTTP/2.
fn assert_takes_in_no_connection(server: &Arc<Inner>) {
    let (ours, mut client) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    accept(server, ours);
    assert_eq!(client.read(&mut [0; 64]).unwrap(), 0);
}

#[test]
fn a_dropped_server_takes_in_no_connection_that_was_just_accepted() {
    let (server, queue) = server();
    let inner = server.inner.clone();
    drop(server);
    assert_takes_in_no_connection(&inner);
    assert!(queue.next(Deadline::NOW).is_none());
}

/// With a short grace, its end can be found by one thread before another, which has set the timer,
/// begins the shutdown.
#[test]
fn a_grace_that_is_over_before_its_shutdown_begins_lets_no_connection_in_between() {
    let (server, queue) = server();
    Arc::new(Overdue(server.inner.clone())).run();
    assert_takes_in_no_connection(&server.inner);
    server.shutdown_and_notify(&queue, 7).unwrap();
    let event = queue.next(Deadline::after(PATIENCE)).expect("there is nothing to wait for");
    assert_eq!((event.tag, event.is_ok()), (7, true));
}

#[derive(Default)]
struct CountsBuilds(AtomicUsize);

impl Attachment for CountsBuilds {
    fn on_build(&self, services: Option<BTreeSet<String>>) {
        assert_eq!(services, Some(BTreeSet::from(["test.Demo".to_owned()])));
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn a_service_is_told_of_a_server_only_when_that_listens() {
    let builds = Arc::new(CountsBuilds::default());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let service = service::Builder::new("test.Demo", ()).build().attach(builds.clone());
    let mut builder = Server::builder();
    builder.add_service(service);
    builder.bind(&taken.local_addr().unwrap().to_string()).unwrap_err();
    assert_eq!(builds.0.load(SeqCst), 0);
    builder.bind("127.0.0.1:0").unwrap();
    assert_eq!(builds.0.load(SeqCst), 1);
}
