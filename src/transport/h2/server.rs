//! The server's end of an HTTP/2 connection.

use super::greeting::{Greeted, Greeting};
use super::io::{BYTES_PER_TURN, Io, TurnBytes};
use super::payload::Payload;
use super::request::read_head;
use super::stream::H2Stream;
use crate::iomgr::{Endpoint, Iomgr, PeerAddress, Run, Scheduled, TimerId, Turn};
use crate::sync::{AtomicBool, Mutex, Ordering};
use crate::transport::{Acceptor, Transport};
use h2::Reason;
use h2::server::{Builder, Connection, Handshake, SendResponse};
use http::Request;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

/// What a server's connections have in common.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// How many bytes a client may send on one stream before the application takes messages.
    pub(crate) stream_window: u32,
    /// The same for all streams of a connection together. h2 gives window back to both at once,
    /// so it must be much larger than one stream's, or a few unread streams would stop the others.
    pub(crate) connection_window: u32,
    pub(crate) max_concurrent_streams: Option<u32>,
    pub(crate) max_frame_size: u32,
    /// The limit of a request's metadata that is answered with RESOURCE_EXHAUSTED.
    pub(crate) max_metadata_size: usize,
    /// The limit of a received message, in bytes.
    pub(crate) max_message_size: usize,
    /// How long a client has for its connection preface and its SETTINGS.
    pub(crate) handshake_timeout: Duration,
    /// How long the client has to answer the PING of a graceful shutdown.
    pub(crate) goaway_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            stream_window: 1024 * 1024,
            connection_window: 16 * 1024 * 1024,
            max_concurrent_streams: None,
            max_frame_size: 16 * 1024,
            max_metadata_size: 16 * 1024,
            max_message_size: 4 * 1024 * 1024,
            handshake_timeout: Duration::from_secs(120),
            goaway_timeout: Duration::from_secs(20),
        }
    }
}

/// h2's own limit of a header block, beyond which it answers with HTTP 431 by itself. Between the
/// two, the answer can be gRPC's.
const MAX_HEADER_BLOCK: u32 = 64 * 1024;

/// What h2 may be charged for small DATA frames that are waiting in it (h2 >= 0.4.16 charges 256
/// minus the length for each, and kills the connection beyond the budget). They wait for one turn
/// at most, and the smallest that is not empty has 10 bytes with its header.
const DATA_FRAME_BUDGET: usize = 2 * 256 * (BYTES_PER_TURN / 10);

/// How often a run drives a connection that other threads keep notifying.
const DRIVES_PER_RUN: usize = 4;

/// How many streams a client may reset before they are accepted, beyond which h2 ends the
/// connection (CVE-2023-44487, "rapid reset"). h2 reads all that a turn brings before it gives the
/// first stream, so its default of 20 would punish a client that cancels a few calls at once.
const MAX_RESET_BEFORE_ACCEPT: usize = 1000;

/// How long the last GOAWAY of a connection may take to leave.
const ABORT_TIMEOUT: Duration = Duration::from_secs(1);

/// How much h2 keeps of a stream's messages that the client has no window for.
const SEND_BUFFER: usize = 256 * 1024;

impl Config {
    fn builder(&self) -> Builder {
        let mut builder = Builder::new();
        builder
            .initial_window_size(self.stream_window)
            .initial_connection_window_size(self.connection_window)
            .max_frame_size(self.max_frame_size)
            .max_header_list_size(MAX_HEADER_BLOCK)
            .max_send_buffer_size(SEND_BUFFER)
            .max_pending_accept_reset_streams(MAX_RESET_BEFORE_ACCEPT)
            .data_frame_budget(DATA_FRAME_BUDGET);
        if let Some(max) = self.max_concurrent_streams {
            builder.max_concurrent_streams(max);
        }
        builder
    }
}

/// A connection that a client has opened.
///
/// It is driven in turns, by any thread: the one that received its bytes, or the one whose
/// operation made something to write.
pub(crate) struct ServerTransport {
    id: usize,
    peer: Arc<PeerAddress>,
    config: Arc<Config>,
    acceptor: Arc<dyn Acceptor>,
    iomgr: Arc<Iomgr>,
    scheduled: Scheduled,
    turn: Turn,
    turn_bytes: TurnBytes,
    greeted: Greeted,
    /// Locked by the thread that has the turn, for as long as it has it.
    driver: Mutex<Driver>,
    /// Asked for by any thread; seen in the next turn.
    wants_go_away: AtomicBool,
    wants_abort: AtomicBool,
}

struct Driver {
    phase: Phase,
    /// The handshake's deadline, which ends with the client's SETTINGS, or the shutdown's.
    timer: Option<(TimerId, Instant)>,
}

enum Phase {
    Handshake(Handshake<Io, Payload>),
    Open(Connection<Io, Payload>),
    /// The first GOAWAY is out; the PING behind it may or may not be answered.
    Draining(Connection<Io, Payload>),
    /// The client has not answered the PING in time: what is new is refused, and the connection
    /// ends with its last stream.
    Overdue(Connection<Io, Payload>),
    /// The last GOAWAY is on its way.
    Aborting(Connection<Io, Payload>),
    Closed,
}

impl Driver {
    /// The handshake's deadline is the only one of an open connection.
    fn awaits_settings(&self) -> bool {
        matches!(self.phase, Phase::Open(_)) && self.timer.is_some()
    }

    fn is_overdue(&self) -> bool {
        matches!(self.phase, Phase::Overdue(_))
    }
}

/// How a turn ended.
enum Progress {
    /// Everything has been done, and wakers are registered.
    Idle,
    /// The bytes of the turn are used up, and there may be more.
    TurnIsOver,
    Closed,
}

impl ServerTransport {
    pub(crate) fn new(
        endpoint: Box<dyn Endpoint>,
        id: usize,
        config: Arc<Config>,
        acceptor: Arc<dyn Acceptor>,
        iomgr: Arc<Iomgr>,
    ) -> Arc<Self> {
        let peer = Arc::new(endpoint.peer().clone());
        let (turn_bytes, greeted) = (TurnBytes::default(), Greeted::default());
        let greeting = Some(Greeting::new(greeted.clone()));
        let io = Io { endpoint, turn_bytes: turn_bytes.clone(), greeting };
        let handshake = config.builder().handshake(io);
        Arc::new(Self {
            id,
            peer,
            config,
            acceptor,
            iomgr,
            scheduled: Scheduled::default(),
            turn: Turn::new(),
            turn_bytes,
            greeted,
            driver: Mutex::new(Driver { phase: Phase::Handshake(handshake), timer: None }),
            wants_go_away: AtomicBool::new(false),
            wants_abort: AtomicBool::new(false),
        })
    }

    /// Begins to serve, on whichever thread has the next turn.
    pub(crate) fn start(self: &Arc<Self>) {
        let driver = &mut *self.driver.lock();
        // A shutdown may have been faster.
        if matches!(driver.phase, Phase::Handshake(_)) {
            self.set_timer(driver, self.config.handshake_timeout);
        }
        self.wake_by_ref();
    }

    fn set_timer(self: &Arc<Self>, driver: &mut Driver, after: Duration) {
        self.clear_timer(driver);
        let Some(deadline) = Instant::now().checked_add(after) else { return };
        let timer = self.iomgr.timer_init(deadline, self.clone());
        driver.timer = Some((timer, deadline));
    }

    fn clear_timer(&self, driver: &mut Driver) {
        if let Some((timer, _)) = driver.timer.take() {
            self.iomgr.timer_cancel(timer);
        }
    }

    /// One turn.
    fn drive(self: &Arc<Self>) -> Progress {
        let waker = Waker::from(self.clone());
        let mut context = Context::from_waker(&waker);
        let driver = &mut *self.driver.lock();
        self.turn_bytes.refill();
        self.obey(driver);
        self.watch_deadline(driver);
        let progress = match self.poll_handshake(driver, &mut context) {
            Poll::Pending => Progress::Idle,
            Poll::Ready(false) => Progress::Closed,
            Poll::Ready(true) => self.serve(driver, &mut context),
        };
        if driver.awaits_settings() && self.greeted.has_come() {
            self.clear_timer(driver);
        }
        if matches!(progress, Progress::Closed) {
            self.clear_timer(driver);
            driver.phase = Phase::Closed;
        }
        progress
    }

    /// Does what other threads have asked for.
    fn obey(self: &Arc<Self>, driver: &mut Driver) {
        if self.wants_abort.swap(false, Ordering::AcqRel) {
            self.abort_now(driver);
        }
        if self.wants_go_away.swap(false, Ordering::AcqRel) {
            driver.phase = match mem::replace(&mut driver.phase, Phase::Closed) {
                Phase::Open(mut connection) => {
                    connection.graceful_shutdown();
                    self.set_timer(driver, self.config.goaway_timeout);
                    Phase::Draining(connection)
                }
                // No call can be on it.
                Phase::Handshake(_) => Phase::Closed,
                other => other,
            };
        }
    }

    /// Ends every stream, and gives the GOAWAY that says so a moment to leave.
    fn abort_now(self: &Arc<Self>, driver: &mut Driver) {
        driver.phase = match mem::replace(&mut driver.phase, Phase::Closed) {
            Phase::Open(mut connection)
            | Phase::Draining(mut connection)
            | Phase::Overdue(mut connection) => {
                connection.abrupt_shutdown(Reason::NO_ERROR);
                self.set_timer(driver, ABORT_TIMEOUT);
                Phase::Aborting(connection)
            }
            Phase::Handshake(_) => Phase::Closed,
            other => other,
        };
    }

    /// Sees to the handshake's and the graceful shutdown's deadlines.
    fn watch_deadline(&self, driver: &mut Driver) {
        let is_over = driver.timer.is_some_and(|(_, deadline)| deadline <= Instant::now());
        if !is_over {
            return;
        }
        driver.timer = None;
        driver.phase = match mem::replace(&mut driver.phase, Phase::Closed) {
            Phase::Handshake(_) => {
                let timeout = self.config.handshake_timeout;
                tracing::debug!(peer = %self.peer, ?timeout, "no HTTP/2 preface came in time");
                Phase::Closed
            }
            Phase::Open(_) => {
                let timeout = self.config.handshake_timeout;
                tracing::debug!(peer = %self.peer, ?timeout, "no HTTP/2 SETTINGS came in time");
                Phase::Closed
            }
            Phase::Aborting(_) => {
                tracing::debug!(peer = %self.peer, "the client does not take its last GOAWAY");
                Phase::Closed
            }
            Phase::Draining(connection) => {
                let timeout = self.config.goaway_timeout;
                tracing::debug!(peer = %self.peer, ?timeout, "the client answers no PING");
                Phase::Overdue(connection)
            }
            other @ (Phase::Overdue(_) | Phase::Closed) => other,
        };
    }

    /// Ready with whether there is a connection to serve.
    fn poll_handshake(&self, driver: &mut Driver, context: &mut Context<'_>) -> Poll<bool> {
        let Phase::Handshake(handshake) = &mut driver.phase else {
            return Poll::Ready(!matches!(driver.phase, Phase::Closed));
        };
        match Pin::new(handshake).poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(connection)) => {
                driver.phase = Phase::Open(connection);
                Poll::Ready(true)
            }
            Poll::Ready(Err(error)) => {
                tracing::debug!(peer = %self.peer, %error, "a client does not speak HTTP/2");
                Poll::Ready(false)
            }
        }
    }

    /// Reads, takes in new streams, and writes, until there is nothing left to do.
    fn serve(self: &Arc<Self>, driver: &mut Driver, context: &mut Context<'_>) -> Progress {
        loop {
            let (connection, refuses) = match &mut driver.phase {
                Phase::Open(connection) | Phase::Draining(connection) => (connection, false),
                Phase::Overdue(connection) | Phase::Aborting(connection) => (connection, true),
                Phase::Handshake(_) | Phase::Closed => return Progress::Closed,
            };
            match connection.poll_accept(context) {
                Poll::Ready(Some(Ok((_, mut respond)))) if refuses => {
                    respond.send_reset(Reason::REFUSED_STREAM);
                }
                Poll::Ready(Some(Ok((request, respond)))) => self.on_request(request, respond),
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(peer = %self.peer, %error, "a connection failed");
                    return Progress::Closed;
                }
                Poll::Ready(None) => return Progress::Closed,
                Poll::Pending if self.turn_bytes.are_used_up() => return Progress::TurnIsOver,
                Poll::Pending if !connection.has_streams() && driver.is_overdue() => {
                    self.abort_now(driver);
                }
                Poll::Pending => return Progress::Idle,
            }
        }
    }

    fn on_request(&self, request: Request<h2::RecvStream>, mut respond: SendResponse<Payload>) {
        match read_head(request, &self.peer, self.config.max_metadata_size) {
            Ok((head, body)) => {
                let stream = H2Stream::new(respond, body, self.config.max_message_size);
                self.acceptor.clone().on_stream(head, Box::new(stream));
            }
            Err(refusal) => {
                tracing::debug!(peer = %self.peer, ?refusal, "a request is not gRPC");
                if let Err(error) = respond.send_response(refusal.into_response(), true) {
                    tracing::debug!(peer = %self.peer, %error, "a refusal cannot be sent");
                }
            }
        }
    }

    /// Leaves what there still is to do to a later run, so that others get this thread.
    fn put_off(self: &Arc<Self>) {
        self.turn.end_notified();
        // This thread's own wakes wait for that run.
        let _ = self.scheduled.claim();
        self.iomgr.put_off(self.clone());
    }

    fn close(&self) {
        self.turn.close();
        tracing::debug!(
            target: "turnstile::connection",
            parent: None,
            peer = %self.peer,
            "a connection is closed",
        );
        self.acceptor.on_closed(self.id);
    }
}

impl Run for ServerTransport {
    fn run(self: Arc<Self>) {
        self.scheduled.clear();
        if !self.turn.begin() {
            return;
        }
        // A panic inside must not leave the turn taken for ever.
        let guard = CloseOnPanic(&self);
        let mut drives = 0;
        loop {
            drives += 1;
            match self.drive() {
                Progress::Closed => break self.close(),
                Progress::Idle if self.turn.end() => break,
                Progress::Idle if drives < DRIVES_PER_RUN => {}
                Progress::Idle | Progress::TurnIsOver => break self.put_off(),
            }
        }
        mem::forget(guard);
    }
}

/// Closes a transport whose turn panics.
struct CloseOnPanic<'a>(&'a ServerTransport);

impl Drop for CloseOnPanic<'_> {
    fn drop(&mut self) {
        tracing::error!(peer = %self.0.peer, "a connection's turn panicked; it is closed");
        let driver = &mut *self.0.driver.lock();
        self.0.clear_timer(driver);
        driver.phase = Phase::Closed;
        self.0.close();
    }
}

impl Wake for ServerTransport {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    /// Only enqueues: h2 calls it under its locks.
    fn wake_by_ref(self: &Arc<Self>) {
        if self.turn.notify() && self.scheduled.claim() {
            self.iomgr.submit(self.clone());
        }
    }
}

impl Transport for ServerTransport {
    fn go_away(self: Arc<Self>) {
        self.wants_go_away.store(true, Ordering::Release);
        self.wake_by_ref();
    }

    fn abort(self: Arc<Self>) {
        self.wants_abort.store(true, Ordering::Release);
        self.wake_by_ref();
    }
}

#[cfg(all(test, not(turnstile_loom)))]
mod tests;
