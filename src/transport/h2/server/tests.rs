//! Wakes, turns that panic, and the end.

use super::{Config, Phase, ServerTransport};
use crate::iomgr::{
    Deadline, Endpoint, ExecCtx, Iomgr, PeerAddress, endpoint_for_tests, iomgr_for_tests,
    pollset_for_tests,
};
use crate::sync::Mutex;
use crate::testing::http2::{PING, SETTINGS, frame, frames, greeting, request};
use crate::testing::{PATIENCE, without_deadlock};
use crate::transport::{Acceptor, Head, Stream, Transport as _};
use std::io::{self, IoSlice, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// What a server has seen of its connections.
#[derive(Default)]
struct Seen {
    closed: Mutex<Vec<usize>>,
    /// Panics when a call comes.
    takes_no_call: bool,
}

impl Acceptor for Seen {
    fn on_stream(self: Arc<Self>, _head: Head, _stream: Box<dyn Stream>) {
        assert!(!self.takes_no_call, "on purpose");
    }

    fn on_closed(&self, id: usize) {
        self.closed.lock().push(id);
    }
}

/// An endpoint that is never ready, and counts the reads.
struct Counted(Arc<AtomicUsize>);

/// An endpoint whose every read panics.
struct Panics;

/// The rest of an endpoint whose reads are what matters.
macro_rules! writes_into_nothing {
    () => {
        fn consume(&mut self, _count: usize) {}

        fn poll_write(
            &mut self,
            _context: &mut Context<'_>,
            buffers: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(buffers.iter().map(|buffer| buffer.len()).sum()))
        }

        fn poll_flush(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn peer(&self) -> &PeerAddress {
            &PeerAddress::InProcess
        }
    };
}

impl Endpoint for Counted {
    fn poll_fill(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Poll::Pending
    }

    writes_into_nothing!();
}

impl Endpoint for Panics {
    fn poll_fill(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        panic!("on purpose")
    }

    writes_into_nothing!();
}

fn transport(
    endpoint: Box<dyn Endpoint>,
    id: usize,
    server: &Arc<Seen>,
    iomgr: &Arc<Iomgr>,
) -> Arc<ServerTransport> {
    let config = Arc::new(Config::default());
    ServerTransport::new(endpoint, id, config, server.clone(), iomgr.clone(), None)
}

/// A connection that is being served, and its client, which has begun to speak.
fn connection(id: usize, server: &Arc<Seen>, iomgr: &Arc<Iomgr>) -> UnixStream {
    connected(id, server, iomgr).1
}

fn connected(
    id: usize,
    server: &Arc<Seen>,
    iomgr: &Arc<Iomgr>,
) -> (Arc<ServerTransport>, UnixStream) {
    let (ours, mut client) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(&greeting()).unwrap();
    let transport = transport(endpoint_for_tests(iomgr, ours.into()), id, server, iomgr);
    transport.start();
    (transport, client)
}

fn is_lingering(transport: &ServerTransport) -> bool {
    matches!(transport.driver.lock().own.phase, Phase::Lingering(_))
}

/// A connection that has ended gracefully, and its client, which has not closed yet.
fn ended(id: usize, server: &Arc<Seen>, iomgr: &Arc<Iomgr>) -> (Arc<ServerTransport>, UnixStream) {
    /// What h2 puts into the PING behind its GOAWAY.
    const SHUTDOWN_PING: [u8; 8] = [0x0b, 0x7b, 0xa2, 0xf0, 0x8b, 0x9b, 0xfe, 0x54];
    let (transport, mut client) = connected(id, server, iomgr);
    assert_is_served(iomgr, &mut client);
    transport.clone().go_away();
    work_until(iomgr, || matches!(transport.driver.lock().own.phase, Phase::Draining(_)));
    client.write_all(&frame(PING, 1, 0, &SHUTDOWN_PING)).unwrap();
    work_until(iomgr, || is_lingering(&transport));
    (transport, client)
}

/// Reads what is left of a connection, up to its end.
#[track_caller]
fn read_rest(client: &mut UnixStream) {
    client.set_nonblocking(false).unwrap();
    client.read_to_end(&mut Vec::new()).expect("the client sees the end");
}

/// Works until `is_done`.
fn work_until(iomgr: &Arc<Iomgr>, mut is_done: impl FnMut() -> bool) {
    let (context, patience) = (ExecCtx::enter(), Deadline::after(PATIENCE));
    let pollset = pollset_for_tests(iomgr);
    while !is_done() {
        assert!(!patience.has_passed(), "nothing happened");
        iomgr.work(&pollset, patience, || true);
        context.flush();
    }
}

/// Asserts that a connection is served: its client's SETTINGS are acknowledged.
#[track_caller]
fn assert_is_served(iomgr: &Arc<Iomgr>, client: &mut UnixStream) {
    client.set_nonblocking(true).unwrap();
    let mut bytes = Vec::new();
    work_until(iomgr, || {
        let mut chunk = [0; 1024];
        match client.read(&mut chunk) {
            Ok(count) => {
                assert_ne!(count, 0, "closed");
                bytes.extend_from_slice(&chunk[..count]);
            }
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
        frames(&bytes).iter().any(|it| it.kind == SETTINGS && it.flags == 1)
    });
}

#[test]
fn a_wake_while_the_connection_is_driven_only_enqueues() {
    without_deadlock(|| {
        let reads = Arc::new(AtomicUsize::new(0));
        let (server, iomgr) = (Arc::default(), iomgr_for_tests());
        let transport = transport(Box::new(Counted(reads.clone())), 1, &server, &iomgr);
        let context = ExecCtx::enter();
        let driver = transport.driver.lock();
        let waker = Waker::from(transport.clone());
        waker.wake_by_ref();
        waker.wake();
        drop(driver);
        assert_eq!(reads.load(Ordering::SeqCst), 0, "it ran inside of the wake");
        context.flush();
        assert_eq!(reads.load(Ordering::SeqCst), 1, "two wakes before a run are one run");
    });
}

#[test]
fn an_endpoint_that_panics_closes_its_own_connection_only() {
    let (server, iomgr) = (Arc::<Seen>::default(), iomgr_for_tests());
    let mut before = connection(1, &server, &iomgr);
    let panics = transport(Box::new(Panics), 2, &server, &iomgr);
    panics.start();
    let mut after = connection(3, &server, &iomgr);
    work_until(&iomgr, || !server.closed.lock().is_empty());
    assert_is_served(&iomgr, &mut before);
    assert_is_served(&iomgr, &mut after);
    // It is driven no more, whoever wakes it.
    let context = ExecCtx::enter();
    Waker::from(panics).wake();
    context.flush();
    assert_eq!(*server.closed.lock(), [2]);
}

#[test]
fn a_turn_that_panics_in_a_call_closes_its_own_connection_only() {
    let server = Arc::new(Seen { takes_no_call: true, ..Seen::default() });
    let iomgr = iomgr_for_tests();
    let (mut other, mut client) = (connection(1, &server, &iomgr), connection(2, &server, &iomgr));
    assert_is_served(&iomgr, &mut client);
    client.write_all(&request(1)).unwrap();
    work_until(&iomgr, || !server.closed.lock().is_empty());
    read_rest(&mut client);
    assert_is_served(&iomgr, &mut other);
    assert_eq!(*server.closed.lock(), [2]);
}

#[test]
fn a_client_may_send_after_the_end_until_it_closes() {
    let (server, iomgr) = (Arc::<Seen>::default(), iomgr_for_tests());
    let (transport, mut client) = ended(1, &server, &iomgr);
    let context = ExecCtx::enter();
    client.write_all(&[0; 50_000]).expect("the server's socket is open");
    Waker::from(transport.clone()).wake();
    context.flush();
    // Nothing was reset: what came before is still there.
    read_rest(&mut client);
    drop(client);
    work_until(&iomgr, || !server.closed.lock().is_empty());
    let driver = transport.driver.lock();
    assert!(matches!(driver.own.phase, Phase::Closed));
    assert!(driver.timer.is_none());
    assert!(transport.traffic.take_endpoint().is_none(), "the socket stays open");
}

/// On average, so that a busy machine may take its time once.
#[test]
fn a_client_that_closes_is_not_waited_for() {
    const CONNECTIONS: usize = 20;
    let (server, iomgr) = (Arc::<Seen>::default(), iomgr_for_tests());
    let begin = Instant::now();
    for id in 1..=CONNECTIONS {
        let (_, client) = ended(id, &server, &iomgr);
        drop(client);
        work_until(&iomgr, || server.closed.lock().len() == id);
    }
    // A second each, if they waited for their timers.
    assert!(begin.elapsed() < Duration::from_secs(CONNECTIONS as u64) / 2);
}

#[test]
fn an_abort_does_not_wait_for_the_client_to_close() {
    let (server, iomgr) = (Arc::<Seen>::default(), iomgr_for_tests());
    let (lingering, _client) = ended(1, &server, &iomgr);
    let (open, mut other) = connected(2, &server, &iomgr);
    assert_is_served(&iomgr, &mut other);
    let context = ExecCtx::enter();
    lingering.abort();
    open.abort();
    context.flush();
    let mut closed = server.closed.lock().clone();
    closed.sort_unstable();
    assert_eq!(closed, [1, 2]);
}
