//! The server's end of an HTTP/2 connection.

use super::clock::{Activity, Clock, Due};
use super::config::Config;
use super::io::Io;
use super::payload::Payload;
use super::phase::{Phase, Pinger};
use super::request::read_head;
use super::stream::H2Stream;
use super::strikes::Strikes;
use super::traffic::Traffic;
use crate::iomgr::{Endpoint, Iomgr, Peer, Run, Scheduled, TimerId, Turn};
use crate::monitor::{Socket, StreamMonitor};
use crate::sync::{AtomicU8, Mutex, Ordering};
use crate::transport::{Acceptor, Transport};
use h2::Reason;
use h2::server::SendResponse;
use http::Request;
use std::hash::{BuildHasher as _, RandomState};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

/// How often a run drives a connection that other threads keep notifying.
const DRIVES_PER_RUN: usize = 4;

/// What other threads ask of a connection, as bits.
const GO_AWAY: u8 = 1;
const ABORT: u8 = 2;
/// The timer has fired.
const LOOK_AT_CLOCK: u8 = 4;

/// A connection that a client has opened.
///
/// It is driven in turns, by any thread: the one that received its bytes, or the one whose
/// operation made something to write.
pub(crate) struct ServerTransport {
    id: usize,
    peer: Arc<Peer>,
    config: Arc<Config>,
    acceptor: Arc<dyn Acceptor>,
    iomgr: Arc<Iomgr>,
    /// Counts what comes over the connection, for channelz.
    socket: Option<Arc<Socket>>,
    scheduled: Scheduled,
    turn: Turn,
    traffic: Arc<Traffic>,
    /// Locked by the thread that has the turn, for as long as it has it.
    driver: Mutex<Driver>,
    /// Set by any thread; seen in the next turn.
    asked: AtomicU8,
}

struct Driver {
    phase: Phase,
    clock: Clock,
    /// The clock's next deadline.
    timer: Option<(TimerId, Instant)>,
    strikes: Strikes,
    pinger: Pinger,
    /// How many calls there have been.
    calls: u64,
}

impl Driver {
    fn activity(&mut self, traffic: &Traffic) -> Activity {
        let idle_after = (!self.phase.has_streams()).then_some(self.calls);
        Activity { received: traffic.received(), idle_after }
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
        socket: Option<Arc<Socket>>,
    ) -> Arc<Self> {
        let peer = Arc::new(Peer::of(&*endpoint));
        let (io, traffic) = Io::server(endpoint);
        let driver = Driver {
            phase: Phase::Handshake(config.builder().handshake(io)),
            clock: Clock::new(config.timeouts),
            timer: None,
            strikes: Strikes::default(),
            pinger: Pinger::default(),
            calls: 0,
        };
        Arc::new(Self {
            id,
            peer,
            config,
            acceptor,
            iomgr,
            socket,
            scheduled: Scheduled::default(),
            turn: Turn::new(),
            traffic,
            driver: Mutex::new(driver),
            asked: AtomicU8::new(0),
        })
    }

    /// Begins to serve, on whichever thread has the next turn.
    pub(crate) fn start(self: &Arc<Self>) {
        let driver = &mut *self.driver.lock();
        // A shutdown may have been faster.
        if matches!(driver.phase, Phase::Handshake(_)) {
            driver.clock.on_connected(Instant::now());
            self.set_timer(driver);
        }
        self.wake_by_ref();
    }

    fn ask(self: &Arc<Self>, what: u8) {
        self.asked.fetch_or(what, Ordering::Release);
        self.wake_by_ref();
    }

    /// Sets the timer to the clock's next deadline. Called when that may have changed, which no
    /// call on the connection does.
    fn set_timer(self: &Arc<Self>, driver: &mut Driver) {
        let next = driver.clock.next_deadline();
        if driver.timer.map(|(_, deadline)| deadline) == next {
            return;
        }
        self.clear_timer(driver);
        if let Some(deadline) = next {
            let timer = self.iomgr.timer_init(deadline, Arc::new(Alarm(self.clone())));
            driver.timer = Some((timer, deadline));
        }
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
        self.traffic.begin_turn();
        self.obey(driver);
        let mut progress = match self.poll_handshake(driver, &mut context) {
            Poll::Pending => Progress::Idle,
            Poll::Ready(false) => Progress::Closed,
            Poll::Ready(true) => self.serve(driver, &mut context),
        };
        if driver.clock.awaits_greeting() && self.traffic.is_greeted() {
            let activity = driver.activity(&self.traffic);
            driver.clock.on_greeted(Instant::now(), activity, random_fraction());
            self.set_timer(driver);
        }
        if self.is_pinged_too_often(driver) {
            tracing::debug!(peer = %self.peer, "the client sends too many PINGs; it has to go");
            self.traffic.complain_of_pings();
            self.abort_now(driver, Reason::ENHANCE_YOUR_CALM);
            progress = self.serve(driver, &mut context);
        }
        if matches!(progress, Progress::Closed) {
            self.let_go(driver);
        }
        progress
    }

    /// Frees all that a connection holds.
    fn let_go(&self, driver: &mut Driver) {
        self.clear_timer(driver);
        driver.phase = Phase::Closed;
        drop(self.traffic.take_endpoint());
    }

    /// Does what other threads and the timer have asked for.
    fn obey(self: &Arc<Self>, driver: &mut Driver) {
        // Whoever asks wakes after that, so what is missed here is seen in another turn.
        if self.asked.load(Ordering::Relaxed) == 0 {
            return;
        }
        let asked = self.asked.swap(0, Ordering::Acquire);
        if asked & ABORT != 0 {
            self.abort_now(driver, Reason::NO_ERROR);
        }
        if asked & GO_AWAY != 0 {
            self.go_away_now(driver);
        }
        if asked & LOOK_AT_CLOCK != 0 {
            self.look_at_clock(driver);
        }
    }

    fn go_away_now(self: &Arc<Self>, driver: &mut Driver) {
        if driver.phase.go_away() {
            driver.clock.on_go_away(Instant::now());
            self.set_timer(driver);
        }
    }

    /// Ends every stream, and gives the GOAWAY that says so a moment to leave.
    fn abort_now(self: &Arc<Self>, driver: &mut Driver, reason: Reason) {
        if driver.phase.abort(reason) {
            driver.clock.on_abort(Instant::now());
            self.set_timer(driver);
        }
    }

    /// Ends a connection that has no stream left, and gives its GOAWAY the same moment.
    fn finish_now(self: &Arc<Self>, driver: &mut Driver) {
        if driver.phase.finish() {
            driver.clock.on_abort(Instant::now());
            self.set_timer(driver);
        }
    }

    /// Does what is due.
    fn look_at_clock(self: &Arc<Self>, driver: &mut Driver) {
        let now = Instant::now();
        let activity = driver.activity(&self.traffic);
        while let Some(due) = driver.clock.on_deadline(now, activity) {
            tracing::debug!(peer = %self.peer, "{due}");
            match due {
                Due::Handshake | Due::Abort | Due::Linger | Due::Keepalive => {
                    driver.phase = Phase::Closed;
                }
                Due::GoAway => driver.phase.refuse(),
                Due::Ping => {
                    if driver.pinger.ping(&mut driver.phase) {
                        self.socket.iter().for_each(|socket| socket.ping_sent());
                    }
                }
                Due::Idle | Due::Age => self.go_away_now(driver),
                Due::Grace => self.abort_now(driver, Reason::NO_ERROR),
            }
        }
        self.set_timer(driver);
    }

    fn is_pinged_too_often(&self, driver: &mut Driver) -> bool {
        let pings = self.traffic.take_pings();
        if pings == 0 {
            return false;
        }
        let (sent, policy) = (self.traffic.take_sent(), &self.config.ping_policy);
        let Driver { strikes, phase, .. } = driver;
        strikes.on_pings(pings, sent, policy, || phase.has_streams(), Instant::now)
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

    /// Reads, takes in new streams, and writes, until there is nothing left to do; and at the end
    /// waits for the client to close.
    fn serve(self: &Arc<Self>, driver: &mut Driver, context: &mut Context<'_>) -> Progress {
        loop {
            let Some((connection, refuses)) = driver.phase.connection() else {
                return self.linger(driver, context);
            };
            match connection.poll_accept(context) {
                Poll::Ready(Some(Ok((_, mut respond)))) if refuses => {
                    respond.send_reset(Reason::REFUSED_STREAM);
                }
                Poll::Ready(Some(Ok((request, respond)))) => {
                    driver.calls += 1;
                    self.on_request(request, respond);
                }
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(peer = %self.peer, %error, "a connection failed");
                    return Progress::Closed;
                }
                Poll::Ready(None) => {
                    if driver.phase.end(self.traffic.take_endpoint()) {
                        driver.clock.on_linger(Instant::now());
                        self.set_timer(driver);
                    }
                }
                Poll::Pending if self.traffic.is_turn_used_up() => return Progress::TurnIsOver,
                Poll::Pending if driver.phase.is_overdue() && !driver.phase.has_streams() => {
                    self.finish_now(driver);
                }
                Poll::Pending => return Progress::Idle,
            }
        }
    }

    fn linger(&self, driver: &mut Driver, context: &mut Context<'_>) -> Progress {
        let Phase::Lingering(lingering) = &mut driver.phase else { return Progress::Closed };
        match lingering.poll(context, &self.traffic) {
            Poll::Ready(()) => Progress::Closed,
            Poll::Pending if self.traffic.is_turn_used_up() => Progress::TurnIsOver,
            Poll::Pending => Progress::Idle,
        }
    }

    fn on_request(&self, request: Request<h2::RecvStream>, mut respond: SendResponse<Payload>) {
        match read_head(request, &self.peer, &self.config) {
            Ok((head, body)) => {
                let stream = H2Stream::new(
                    respond,
                    body,
                    &self.config,
                    StreamMonitor::start(self.socket.as_ref()),
                );
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
        self.socket.iter().for_each(|socket| socket.close());
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

/// What a connection's timer runs. The connection itself is run for many reasons, and would have to
/// look at the clock each time.
struct Alarm(Arc<ServerTransport>);

impl Run for Alarm {
    fn run(self: Arc<Self>) {
        self.0.ask(LOOK_AT_CLOCK);
    }
}

/// Closes a transport whose turn panics.
struct CloseOnPanic<'a>(&'a ServerTransport);

impl Drop for CloseOnPanic<'_> {
    fn drop(&mut self) {
        tracing::error!(peer = %self.0.peer, "a connection's turn panicked; it is closed");
        self.0.let_go(&mut self.0.driver.lock());
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
        self.ask(GO_AWAY);
    }

    fn abort(self: Arc<Self>) {
        self.ask(ABORT);
    }
}

/// A number from 0 to 1, by chance: the hash of nothing, under keys that std takes from the system.
fn random_fraction() -> f64 {
    let hash = RandomState::new().hash_one(());
    (hash >> 32) as f64 / f64::from(u32::MAX)
}

#[cfg(all(test, not(turnstile_loom)))]
mod tests;
