//! What is told and logged of a whole server.

use crate::blocking;
use crate::call::Batch;
use crate::codec::Raw;
use crate::iomgr::{Deadline, PeerAddress};
use crate::monitor::{Channelz, SocketCounts};
use crate::server::{Builder, Server};
use crate::service::{self, MethodDescriptor, Service};
use crate::stats::{CallEnd, CallInfo, Stats};
use crate::status::Status;
use crate::testing::PATIENCE;
use crate::testing::http2::{frames, greeting, request_for};
use crate::testing::log::Log;
use bytes::Bytes;
use std::future::poll_fn;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread;

/// The method that [`call`] asks for.
const TEST: MethodDescriptor<Bytes, Bytes, Raw> =
    MethodDescriptor::bidi_streaming("/test.Test/Test");

/// Makes a call, waits until it has ended, and goes. Gives the address that the server saw.
fn call(server: &Server) -> SocketAddr {
    call_to("/test.Test/Test", server)
}

fn call_to(path: &str, server: &Server) -> SocketAddr {
    let mut socket = TcpStream::connect(server.local_addr().unwrap()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(&[greeting(), request_for(path, 1)].concat()).unwrap();
    loop {
        let mut bytes = vec![0; 9];
        socket.read_exact(&mut bytes).unwrap();
        let length = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]);
        bytes.resize(9 + length as usize, 0);
        socket.read_exact(&mut bytes[9..]).unwrap();
        if frames(&bytes)[0].ends_stream() {
            return socket.local_addr().unwrap();
        }
    }
}

/// Serves on one thread while `client` runs, and gives what that thread logs.
fn log_of<R>(builder: &mut Builder, client: impl FnOnce(&Server) -> R) -> (R, Vec<String>) {
    let server = builder.bind("127.0.0.1:0").unwrap();
    let log = Log::default();
    let result = thread::scope(|scope| {
        let (server, subscriber) = (&server, log.subscriber("turnstile::"));
        scope.spawn(move || tracing::subscriber::with_default(subscriber, || server.run()));
        // A client that fails must not leave the thread waiting.
        let result = catch_unwind(AssertUnwindSafe(|| client(server)));
        server.shutdown(PATIENCE);
        result
    });
    (result.unwrap_or_else(|panic| resume_unwind(panic)), log.take())
}

/// The spans, and what a test's handler logs itself.
fn of_handlers(lines: Vec<String>) -> Vec<String> {
    let is_wanted = |line: &String| {
        ["span ", "enter ", "exit "].iter().any(|start| line.starts_with(start))
            || line.contains("turnstile::test")
    };
    lines.into_iter().filter(is_wanted).collect()
}

fn service(name: &'static str) -> Service {
    service::Builder::new(name, ())
        .bidi_streaming(TEST, |_, _, _| async { Err(Status::data_loss("lost")) })
        .build()
}

#[test]
fn an_async_handler_is_in_its_span_whenever_it_is_polled() {
    let service = service::Builder::new("test.Test", ()).bidi_streaming(TEST, |_, _, _| {
        let mut polls = 0;
        poll_fn(move |context| {
            polls += 1;
            tracing::info!(target: "turnstile::test", polls);
            context.waker().wake_by_ref();
            if polls == 2 { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
    });
    let (peer, lines) = log_of(Server::builder().add_service(service.build()), call);
    let span = format!("span call method=\"/test.Test/Test\" peer=ipv4:{peer}");
    let (enter, exit) = ("enter call", "exit call");
    let expected = [
        &span,
        // It is made,
        enter,
        exit,
        // polled,
        enter,
        "INFO turnstile::test polls=1",
        exit,
        enter,
        "INFO turnstile::test polls=2",
        exit,
        // and dropped.
        enter,
        exit,
    ];
    assert_eq!(of_handlers(lines), expected);
}

#[test]
fn a_blocking_handler_is_in_its_span_while_it_runs() {
    let handler = |(): &(), requests: &mut blocking::Reader<Bytes>, _: &mut blocking::Writer<_>| {
        tracing::info!(target: "turnstile::test", "running");
        requests.read().map(|message| assert_eq!(message, None))
    };
    let service = service::Builder::new("test.Test", ()).blocking_bidi_streaming(TEST, handler);
    let (peer, lines) = log_of(Server::builder().add_service(service.build()), call);
    let span = format!("span call method=\"/test.Test/Test\" peer=ipv4:{peer}");
    let running = "INFO turnstile::test message=running";
    assert_eq!(of_handlers(lines), [&span, "enter call", running, "exit call"]);
}

#[test]
fn nothing_is_logged_of_a_handler_whose_span_nobody_wants() {
    let log = Log::default();
    let server = Server::builder().add_service(service("test.Test")).bind("127.0.0.1:0").unwrap();
    thread::scope(|scope| {
        let (server, subscriber) = (&server, log.subscriber("turnstile::connection"));
        scope.spawn(move || tracing::subscriber::with_default(subscriber, || server.run()));
        let result = catch_unwind(AssertUnwindSafe(|| call(server)));
        server.shutdown(PATIENCE);
        assert!(result.is_ok());
    });
    assert_eq!(of_handlers(log.take()), [""; 0]);
}

#[test]
fn connections_calls_and_the_shutdown_are_logged() {
    let (log, _guard) = Log::of_this_thread("turnstile::");
    // Over an I/O manager that no other test's threads work on.
    let (server, queue) = super::server();
    let client = super::client_with_calls(&server, &queue, 1);
    let peer = PeerAddress::InProcess;
    let status = || Batch::new().send_status(Status::data_loss("lost"));
    let calls = super::serve_turn(&queue, 1, |call| call.start(status(), 0).unwrap());
    assert_eq!(*calls[0].peer(), peer);
    let connection = "DEBUG turnstile::connection message=a";
    let expected = [
        format!("{connection} client connects peer={peer}"),
        format!(
            "DEBUG turnstile::call message=a call ended method=\"/test.Test/Test\" peer={peer} \
             status=\"DATA_LOSS\" duration messages_received=0 bytes_received=0 messages_sent=0 \
             bytes_sent=0",
        ),
    ];
    assert_eq!(log.take(), expected);
    server.shutdown_and_notify(&queue, 9).unwrap();
    server.cancel_all_calls();
    while queue.next(Deadline::after(PATIENCE)).expect("the shutdown completes").tag != 9 {}
    let expected = [
        "INFO turnstile::server message=shutting down".to_owned(),
        format!("{connection} connection is closed peer={peer}"),
        "INFO turnstile::server message=shut down".to_owned(),
    ];
    assert_eq!(log.take(), expected);
    drop((calls, client));
}

#[test]
fn a_server_that_channelz_sees_counts_its_calls_and_connections() {
    let channelz = Channelz::new();
    let mut builder = Server::builder();
    builder.add_service(service("test.Test")).channelz(&channelz);
    let (client, monitor) = log_of(&mut builder, |server| {
        let monitor = channelz.servers(0, 1).items.remove(0);
        assert_eq!(monitor.listeners()[0].address, server.addresses()[0]);
        let idle = TcpStream::connect(server.local_addr().unwrap()).unwrap();
        call(server);
        // Accepted before the one that was served.
        let socket = monitor.sockets(0, 1).items.remove(0);
        assert_eq!(socket.local, Some(PeerAddress::Tcp(idle.peer_addr().unwrap())));
        assert_eq!(socket.remote, PeerAddress::Tcp(idle.local_addr().unwrap()));
        assert_eq!(socket.counts(), SocketCounts::default());
        (idle, monitor)
    })
    .0;
    drop(client);
    let calls = monitor.calls();
    assert_eq!((calls.started, calls.succeeded, calls.failed), (1, 0, 1));
    assert_eq!(monitor.sockets(0, 10).items.len(), 0);
    assert!(channelz.server(monitor.id()).is_none(), "the server is dropped");
}

/// What was told, a line each.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Stats for Told {
    fn call_started(&self, call: &CallInfo<'_>) {
        let line = format!("{} started: {}", call.metric_method(), call.is_registered());
        self.0.lock().unwrap().push(line);
    }

    fn call_ended(&self, call: &CallInfo<'_>, end: &CallEnd) {
        self.0.lock().unwrap().push(format!("{} ended: {}", call.method(), end.code));
    }
}

fn told_by(builder: &mut Builder) -> Vec<String> {
    let told = Arc::new(Told::default());
    log_of(builder.stats(told.clone()), call);
    std::mem::take(&mut *told.0.lock().unwrap())
}

#[test]
fn a_stats_is_told_of_calls_of_handlers_by_their_method() {
    let told = told_by(Server::builder().add_service(service("test.Test")));
    assert_eq!(told, ["test.Test/Test started: true", "/test.Test/Test ended: DATA_LOSS"]);
}

#[test]
fn a_method_that_is_not_registered_is_the_other_one() {
    let mut builder = Server::builder();
    builder.register_method("/another.Service/Method");
    let told = told_by(&mut builder);
    assert_eq!(told, ["other started: false", "/test.Test/Test ended: UNIMPLEMENTED"]);
    let fallback = |_, _| async { Err(Status::aborted("nowhere")) };
    let told = told_by(Server::builder().fallback(fallback));
    assert_eq!(told, ["other started: false", "/test.Test/Test ended: ABORTED"]);
}

#[test]
fn a_path_with_a_query_is_another_method_and_told_as_it_was_sent() {
    let (told, channelz) = (Arc::new(Told::default()), Channelz::new());
    let mut builder = Server::builder();
    builder.add_service(service("test.Test")).stats(told.clone()).channelz(&channelz);
    let (monitor, _) = log_of(&mut builder, |server| {
        call_to("/test.Test/Test?x=1", server);
        channelz.servers(0, 1).items.remove(0)
    });
    let told = told.0.lock().unwrap();
    assert_eq!(*told, ["other started: false", "/test.Test/Test?x=1 ended: UNIMPLEMENTED"]);
    assert_eq!((monitor.calls().started, monitor.calls().failed), (1, 1));
}

#[test]
fn each_of_several_stats_is_told_even_if_one_panics() {
    struct Panics;

    impl Stats for Panics {
        fn call_started(&self, _call: &CallInfo<'_>) {
            panic!("at the start");
        }
    }

    let first = Arc::new(Told::default());
    let mut builder = Server::builder();
    builder.add_service(service("test.Test")).stats(first.clone()).stats(Panics);
    let last = told_by(&mut builder);
    assert_eq!(last.len(), 2);
    assert_eq!(*first.0.lock().unwrap(), last);
}
