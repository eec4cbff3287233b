//! A connection's counters.

use super::server::ServerMonitor;
use crate::iomgr::PeerAddress;
use crate::status::Code;
use crate::sync::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A connection, as its transport and its streams count. Its numbers are left to its server when
/// the last of them is gone.
pub(crate) struct Socket {
    data: Arc<SocketData>,
    server: Arc<ServerMonitor>,
}

/// What is known of a connection.
pub(crate) struct SocketData {
    pub(crate) id: i64,
    pub(crate) local: Option<PeerAddress>,
    pub(crate) remote: PeerAddress,
    /// It is not to be listed any more, though calls that came over it are still there.
    is_closed: AtomicBool,
    counters: Counters,
}

#[derive(Default)]
struct Counters {
    started: AtomicU64,
    ended_with_ok: AtomicU64,
    ended_with_error: AtomicU64,
    broken: AtomicU64,
    messages_sent: AtomicU64,
    messages_received: AtomicU64,
    pings_sent: AtomicU64,
    last_started: Clock,
    last_sent: Clock,
    last_received: Clock,
}

/// The numbers of a connection, at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SocketCounts {
    /// Streams that became calls.
    pub(crate) started: u64,
    /// Those whose status was sent: OK, and others.
    pub(crate) ended_with_ok: u64,
    pub(crate) ended_with_error: u64,
    /// Those that ended without one.
    pub(crate) broken: u64,
    pub(crate) messages_sent: u64,
    pub(crate) messages_received: u64,
    /// To see whether the client is still there.
    pub(crate) pings_sent: u64,
    pub(crate) last_started: Option<SystemTime>,
    pub(crate) last_sent: Option<SystemTime>,
    pub(crate) last_received: Option<SystemTime>,
}

impl Socket {
    pub(super) fn new(data: Arc<SocketData>, server: Arc<ServerMonitor>) -> Arc<Self> {
        Arc::new(Self { data, server })
    }

    /// A PING of the keepalive has been sent.
    pub(crate) fn ping_sent(&self) {
        count(&self.data.counters.pings_sent);
    }

    /// The connection is closed.
    pub(crate) fn close(&self) {
        self.data.is_closed.store(true, Relaxed);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.server.forget(&self.data);
    }
}

impl SocketData {
    pub(super) fn new(id: i64, local: Option<PeerAddress>, remote: PeerAddress) -> Self {
        let (is_closed, counters) = (AtomicBool::new(false), Counters::default());
        Self { id, local, remote, is_closed, counters }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Relaxed)
    }

    pub(crate) fn counts(&self) -> SocketCounts {
        let counters = &self.counters;
        SocketCounts {
            started: counters.started.load(Relaxed),
            ended_with_ok: counters.ended_with_ok.load(Relaxed),
            ended_with_error: counters.ended_with_error.load(Relaxed),
            broken: counters.broken.load(Relaxed),
            messages_sent: counters.messages_sent.load(Relaxed),
            messages_received: counters.messages_received.load(Relaxed),
            pings_sent: counters.pings_sent.load(Relaxed),
            last_started: counters.last_started.read(),
            last_sent: counters.last_sent.read(),
            last_received: counters.last_received.read(),
        }
    }
}

/// The time of the last event of some kind, in nanoseconds since 1970; 0 if there was none.
#[derive(Default)]
struct Clock(AtomicU64);

impl Clock {
    fn stamp(&self) {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Enough until the year 2554.
        self.0.store(u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    fn read(&self) -> Option<SystemTime> {
        let nanos = self.0.load(Relaxed);
        (nanos > 0).then(|| UNIX_EPOCH + Duration::from_nanos(nanos))
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

/// What one stream reports to its connection's counters, if anybody counts.
pub(crate) struct StreamMonitor {
    /// `None` once the stream's end is counted, too.
    socket: Option<Arc<Socket>>,
}

impl StreamMonitor {
    /// A stream has become a call.
    pub(crate) fn start(socket: Option<&Arc<Socket>>) -> Self {
        if let Some(socket) = socket {
            count(&socket.data.counters.started);
            socket.data.counters.last_started.stamp();
        }
        Self { socket: socket.cloned() }
    }

    pub(crate) fn message_received(&self) {
        if let Some(socket) = &self.socket {
            count(&socket.data.counters.messages_received);
            socket.data.counters.last_received.stamp();
        }
    }

    pub(crate) fn message_sent(&self) {
        if let Some(socket) = &self.socket {
            count(&socket.data.counters.messages_sent);
            socket.data.counters.last_sent.stamp();
        }
    }

    /// The stream's status has been sent.
    pub(crate) fn ended(&mut self, code: Code) {
        if let Some(socket) = self.socket.take() {
            let counters = &socket.data.counters;
            let is_ok = code == Code::Ok;
            count(if is_ok { &counters.ended_with_ok } else { &counters.ended_with_error });
        }
    }
}

impl Drop for StreamMonitor {
    fn drop(&mut self) {
        if let Some(socket) = self.socket.take() {
            count(&socket.data.counters.broken);
        }
    }
}
