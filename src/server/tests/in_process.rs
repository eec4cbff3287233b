//! Clients in the server's process: which thread does what, on every engine, and how either end leaves.

use super::{Queue, reply, server, server_on, server_with, work};
use crate::call::{Batch, ClientCore, ClientOwner, MessageRules};
use crate::channelz::Channelz;
use crate::codec::Raw;
use crate::compression::Encodings;
use crate::cq::sealed::Queue as _;
use crate::iomgr::{Deadline, Iomgr, Sleepers, on_every_engine};
use crate::metadata::Metadata;
use crate::server::Server;
use crate::service::{self, Builder, MethodDescriptor, Response};
use crate::status::{Code, Status};
use crate::testing::PATIENCE;
use crate::testing::log::Log;
use crate::transport::h2::ClientConfig;
use crate::transport::inproc::Channel;
use crate::transport::{ClientTransport as _, Request, Transport as _};
use bytes::Bytes;
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

on_every_engine! {
    a_client_is_served_by_a_thread_in_run,
    a_client_is_served_by_a_thread_that_requests_calls,
    one_thread_is_client_and_server,
    a_handler_calls_its_own_server_on_the_only_thread,
    a_thread_that_waits_for_its_call_runs_no_handler,
    clients_on_several_threads_are_served_by_several,
}

const ECHO: MethodDescriptor<Bytes, Bytes, Raw> = MethodDescriptor::unary("/test.Test/Echo");
const ASK: MethodDescriptor<Bytes, Bytes, Raw> = MethodDescriptor::unary("/test.Test/Ask");

fn patience() -> Deadline {
    Deadline::after(PATIENCE)
}

/// A client, and the queue of its thread.
struct Client {
    channel: Arc<Channel>,
    iomgr: Arc<Iomgr>,
    queue: Queue,
}

impl Client {
    fn of(server: &Server) -> Self {
        let channel = server.connect_in_process(Arc::new(ClientConfig::default()));
        let iomgr = server.inner.iomgr.clone();
        Self { channel, queue: Queue::on(iomgr.clone()), iomgr }
    }

    /// Begins a call with one message, whose end comes out of the queue.
    fn begin(&self, path: &'static str, timeout: Option<Duration>) -> ClientOwner {
        let call = begin(&self.channel, &self.iomgr, path, timeout);
        let batch = Batch::new().send_message("question").send_close().receive_message();
        call.core().start(self.queue.core(), batch.receive_status(), 1).unwrap();
        call
    }

    /// Waits for the end of a call.
    fn end(&self) -> Result<Bytes, Status> {
        let mut event = self.queue.next(patience()).expect("the call does not end");
        let status = event.take_status().expect("the batch receives it");
        if status.is_ok() { Ok(event.take_message().expect("the reply")) } else { Err(status) }
    }

    fn call(&self, path: &'static str) -> Result<Bytes, Status> {
        let _call = self.begin(path, None);
        self.end()
    }
}

fn begin(
    channel: &Arc<Channel>,
    iomgr: &Arc<Iomgr>,
    path: &'static str,
    timeout: Option<Duration>,
) -> ClientOwner {
    let stream = channel.clone().start(Request {
        path: path.parse().unwrap(),
        authority: "test".parse().unwrap(),
        metadata: Metadata::new(),
        subtype: None,
        timeout,
        encoding: None,
        accepts: Encodings::default(),
    });
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let call = ClientCore::begun(stream, iomgr.clone(), deadline, MessageRules::default());
    call.core().begin();
    call
}

/// A method that answers with the request, and counts.
fn echo(count: &Arc<AtomicUsize>) -> Builder<()> {
    let count = count.clone();
    Builder::new("test.Test", ()).unary(ECHO, move |_, message| {
        count.fetch_add(1, SeqCst);
        async move { Ok(Response::new(message.into_inner())) }
    })
}

fn methods(service: Builder<()>) -> Vec<service::Method> {
    service.build().into_parts().0
}

fn a_client_is_served_by_a_thread_in_run(iomgr: &Arc<Iomgr>) {
    let count = Arc::default();
    let (server, _queue) = server_with(iomgr.clone(), methods(echo(&count)));
    thread::scope(|scope| {
        scope.spawn(|| server.run());
        let client = Client::of(&server);
        for _ in 0..100 {
            assert_eq!(client.call("/test.Test/Echo").unwrap(), "question");
        }
        let missing = client.call("/test.Test/Missing").unwrap_err();
        assert_eq!(missing.code(), Code::Unimplemented);
        server.shutdown(PATIENCE);
    });
    assert_eq!(count.load(SeqCst), 100);
}

/// Each thread sleeps before the other does something for it.
fn a_client_is_served_by_a_thread_that_requests_calls(iomgr: &Arc<Iomgr>) {
    let (server, notified) = server_on(iomgr.clone());
    let sleepers = Sleepers::default();
    thread::scope(|scope| {
        let (server, notified, sleepers) = (&server, &notified, &sleepers);
        scope.spawn(move || {
            let calls = Queue::on(server.inner.iomgr.clone());
            for _ in 0..20 {
                sleepers.add_this_thread();
                server.request_call_on(&calls, notified, 1).unwrap();
                let mut event = notified.next(patience()).expect("the call does not come");
                let call = event.take_call().unwrap();
                call.start(Batch::new().receive_message(), 2).unwrap();
                let message = calls.next(patience()).unwrap().take_message().unwrap();
                assert_eq!(message, "question");
                call.start(reply(), 3).unwrap();
                assert!(calls.next(patience()).unwrap().is_ok());
            }
        });
        let client = Client::of(server);
        for _ in 0..20 {
            assert_eq!(client.call("/test.Test/Any").unwrap(), "hello");
        }
    });
}

fn one_thread_is_client_and_server(iomgr: &Arc<Iomgr>) {
    let (server, queue) = server_on(iomgr.clone());
    let client = Client { queue, ..Client::of(&server) };
    let queue = &client.queue;
    server.request_call(queue, 7).unwrap();
    let _call = client.begin("/test.Test/Any", None);
    let mut event = queue.next(patience()).expect("the call has come");
    assert_eq!(event.tag, 7);
    event.take_call().unwrap().start(reply(), 8).unwrap();
    let mut tags = Vec::new();
    for _ in 0..2 {
        let mut event = queue.next(patience()).expect("the end of the call, at each side");
        tags.push((event.tag, event.take_message()));
    }
    tags.sort_unstable();
    assert_eq!(tags, [(1, Some(Bytes::from("hello"))), (8, None)]);
}

/// A handler that waits for a call to its own server leaves the thread to that.
fn a_handler_calls_its_own_server_on_the_only_thread(iomgr: &Arc<Iomgr>) {
    let channel = Arc::new(OnceLock::<Arc<Channel>>::new());
    let ask = {
        let (channel, iomgr) = (channel.clone(), iomgr.clone());
        move |_: Arc<()>, question: crate::Request<Bytes>| {
            let channel = channel.get().expect("the client has connected").clone();
            let iomgr = iomgr.clone();
            async move {
                let owner = begin(&channel, &iomgr, "/test.Test/Echo", None);
                let call = owner.core();
                let mut question = Some(call.pack(question.into_inner()));
                poll_fn(|context| call.poll_send_message(&mut question, context)).await?;
                call.half_close();
                assert!(poll_fn(|context| call.poll_initial_metadata(context)).await.is_empty());
                let answer = poll_fn(|context| call.poll_message(context)).await?;
                match poll_fn(|context| call.poll_status(context)).await {
                    status if status.is_ok() => Ok(Response::new(answer.unwrap_or_default())),
                    status => Err(status),
                }
            }
        }
    };
    let service = echo(&Arc::default()).unary(ASK, ask);
    let (server, _queue) = server_with(iomgr.clone(), methods(service));
    let client = Client::of(&server);
    channel.set(client.channel.clone()).ok().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| server.run());
        for _ in 0..10 {
            assert_eq!(client.call("/test.Test/Ask").unwrap(), "question");
        }
        server.shutdown(PATIENCE);
    });
}

fn a_thread_that_waits_for_its_call_runs_no_handler(iomgr: &Arc<Iomgr>) {
    let count = Arc::default();
    let (server, _queue) = server_with(iomgr.clone(), methods(echo(&count)));
    let client = Client::of(&server);
    let _call = client.begin("/test.Test/Echo", Some(Duration::from_millis(20)));
    assert_eq!(client.end().unwrap_err().code(), Code::DeadlineExceeded);
    assert_eq!(count.load(SeqCst), 0);
    thread::scope(|scope| {
        scope.spawn(|| server.run());
        assert_eq!(client.call("/test.Test/Echo").unwrap(), "question");
        server.shutdown(PATIENCE);
    });
}

fn clients_on_several_threads_are_served_by_several(iomgr: &Arc<Iomgr>) {
    const CALLS: usize = 50;
    let count = Arc::default();
    let (server, _queue) = server_with(iomgr.clone(), methods(echo(&count)));
    thread::scope(|scope| {
        let server = &server;
        for _ in 0..2 {
            scope.spawn(|| server.run());
        }
        let clients = [(); 3].map(|()| {
            scope.spawn(|| {
                let client = Client::of(server);
                for _ in 0..CALLS {
                    let _calls = [(); 4].map(|()| client.begin("/test.Test/Echo", None));
                    (0..4).for_each(|_| assert_eq!(client.end().unwrap(), "question"));
                }
            })
        });
        clients.into_iter().for_each(|client| client.join().unwrap());
        server.shutdown(PATIENCE);
    });
    assert_eq!(count.load(SeqCst), 3 * 4 * CALLS);
}

/// A server with a call of its client's that has been requested.
fn with_call() -> (Server, Queue, Client, ClientOwner, crate::call::Call<u32>) {
    let (server, queue) = server();
    let client = Client::of(&server);
    server.request_call(&queue, 7).unwrap();
    let call = client.begin("/test.Test/Any", None);
    let requested = queue.next(Deadline::NOW).and_then(|mut event| event.take_call());
    (server, queue, client, call, requested.expect("the call has come"))
}

#[test]
fn a_shutdown_waits_for_calls_of_the_process_and_takes_no_more() {
    let (server, queue, client, _call, requested) = with_call();
    server.shutdown_and_notify(&queue, 9).unwrap();
    work(&queue);
    for client in [&client, &Client::of(&server)] {
        let refused = client.call("/test.Test/Any").unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
        assert!(refused.message().contains("the server is shut down"), "{refused}");
    }
    requested.start(reply(), 8).unwrap();
    // The client has still to read the reply, and its channel.
    let tags = [(); 2].map(|()| queue.next(Deadline::NOW).expect("the shutdown is complete").tag);
    assert_eq!(tags, [8, 9]);
    assert_eq!(client.end().unwrap(), "hello");
}

#[test]
fn a_server_that_is_dropped_or_cancels_all_ends_calls_of_the_process() {
    let ways: [fn(Server) -> Option<Server>; 2] = [
        |server| {
            drop(server);
            None
        },
        |server| {
            server.cancel_all_calls();
            Some(server)
        },
    ];
    for end in ways {
        let (server, queue, client, _call, requested) = with_call();
        requested.start(Batch::new().receive_close(), 8).unwrap();
        let server = end(server);
        assert!(queue.next(Deadline::NOW).expect("the call is over").is_cancelled());
        assert_eq!(client.end().unwrap_err().code(), Code::Unavailable);
        assert_eq!(client.call("/test.Test/Any").unwrap_err().code(), Code::Unavailable);
        if let Some(server) = server {
            // Another channel is as good as a new connection.
            let client = Client::of(&server);
            server.request_call(&queue, 7).unwrap();
            let _call = client.begin("/test.Test/Any", None);
            assert!(queue.next(Deadline::NOW).unwrap().take_call().is_some());
        }
    }
}

#[test]
fn a_channel_that_its_client_closes_is_not_kept_by_the_server() {
    let (log, _guard) = Log::of_this_thread("turnstile::connection");
    let (server, queue) = server();
    let client = Client::of(&server);
    assert_eq!(Arc::strong_count(&client.channel), 2);
    client.channel.clone().go_away();
    work(&queue);
    assert_eq!(Arc::strong_count(&client.channel), 1);
    let line = |what| format!("DEBUG turnstile::connection message=a {what} peer=inproc");
    assert_eq!(log.take(), ["client connects", "connection is closed"].map(line));
}

#[test]
fn channelz_counts_calls_of_the_process() {
    let channelz = Channelz::new();
    let mut builder = Server::builder();
    builder.add_service(echo(&Arc::default()).build()).channelz(&channelz);
    let server = builder.bind("127.0.0.1:0").unwrap();
    let client = Client::of(&server);
    let monitor = channelz.servers(0, 1).items.remove(0);
    let socket = monitor.sockets(0, 2).items.remove(0);
    assert_eq!((socket.remote.to_string().as_str(), &socket.local), ("inproc", &None));
    thread::scope(|scope| {
        scope.spawn(|| server.run());
        assert_eq!(client.call("/test.Test/Echo").unwrap(), "question");
        assert!(client.call("/test.Test/Missing").is_err());
        server.shutdown(PATIENCE);
    });
    let calls = monitor.calls();
    assert_eq!((calls.started, calls.succeeded, calls.failed), (2, 1, 1));
    let counts = socket.counts();
    assert_eq!((counts.messages_received, counts.messages_sent), (1, 1));
    assert_eq!(monitor.sockets(0, 2).items.len(), 0, "it is closed");
}
