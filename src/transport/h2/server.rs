//! The server's end of an HTTP/2 connection.

use super::clock::{Activity, Clock, Due};
use super::config::Config;
use super::driven::{ABORT, Driven, Driver, End, GO_AWAY, LOOK_AT_CLOCK, Progress};
use super::io::Io;
use super::payload::Payload;
use super::phase::Phase;
use super::pinger::Pinger;
use super::request::read_head;
use super::stream::H2Stream;
use super::strikes::Strikes;
use super::traffic::Traffic;
use crate::iomgr::{Endpoint, Iomgr, Peer};
use crate::monitor::{Socket, StreamMonitor};
use crate::random;
use crate::transport::Acceptor;
use h2::Reason;
use h2::server::SendResponse;
use http::Request;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake as _};
use std::time::Instant;

/// A connection that a client has opened.
pub(crate) type ServerTransport = Driven<Server>;

/// What is special to a server's end.
pub(crate) struct Server {
    id: usize,
    config: Arc<Config>,
    acceptor: Arc<dyn Acceptor>,
    /// Counts what comes over the connection, for channelz.
    socket: Option<Arc<Socket>>,
}

/// What the thread with the turn has.
pub(crate) struct Serving {
    phase: Phase,
    strikes: Strikes,
    pinger: Pinger,
    /// How many calls there have been.
    calls: u64,
}

impl Serving {
    fn activity(&mut self, traffic: &Traffic) -> Activity {
        let idle_after = (!self.phase.has_streams()).then_some(self.calls);
        Activity { received: traffic.received(), may_ping: true, idle_after }
    }
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
        let serving = Serving {
            phase: Phase::Handshake(config.builder().handshake(io)),
            strikes: Strikes::default(),
            pinger: Pinger::default(),
            calls: 0,
        };
        let clock = Clock::new(config.timeouts);
        let end = Server { id, config, acceptor, socket };
        Self::with(end, peer, traffic, iomgr, clock, serving)
    }

    /// Begins to serve, on whichever thread has the next turn.
    pub(crate) fn start(self: &Arc<Self>) {
        let driver = &mut *self.driver.lock();
        // A shutdown may have been faster.
        if matches!(driver.own.phase, Phase::Handshake(_)) {
            driver.clock.on_connected(Instant::now());
            self.set_timer(driver);
        }
        self.wake_by_ref();
    }

    /// Does what other threads and the timer have asked for.
    fn obey(self: &Arc<Self>, driver: &mut Driver<Serving>) {
        let asked = self.take_asked();
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

    fn go_away_now(self: &Arc<Self>, driver: &mut Driver<Serving>) {
        if driver.own.phase.go_away() {
            driver.clock.on_go_away(Instant::now());
            self.set_timer(driver);
        }
    }

    /// Ends every stream, and gives the GOAWAY that says so a moment to leave.
    fn abort_now(self: &Arc<Self>, driver: &mut Driver<Serving>, reason: Reason) {
        if driver.own.phase.abort(reason) {
            driver.clock.on_abort(Instant::now());
            self.set_timer(driver);
        }
    }

    /// Ends a connection that has no stream left, and gives its GOAWAY the same moment.
    fn finish_now(self: &Arc<Self>, driver: &mut Driver<Serving>) {
        if driver.own.phase.finish() {
            driver.clock.on_abort(Instant::now());
            self.set_timer(driver);
        }
    }

    /// Does what is due.
    fn look_at_clock(self: &Arc<Self>, driver: &mut Driver<Serving>) {
        let now = Instant::now();
        let activity = driver.own.activity(&self.traffic);
        while let Some(due) = driver.clock.on_deadline(now, activity) {
            tracing::debug!(peer = %self.peer, "{due}");
            match due {
                Due::Handshake | Due::Abort | Due::Linger | Due::Keepalive => {
                    driver.own.phase = Phase::Closed;
                }
                Due::GoAway => driver.own.phase.refuse(),
                Due::Ping => {
                    let Serving { pinger, phase, .. } = &mut driver.own;
                    if pinger.ping(|| phase.connection()?.0.ping_pong()) {
                        self.end.socket.iter().for_each(|socket| socket.ping_sent());
                    }
                }
                Due::Idle | Due::Age => self.go_away_now(driver),
                Due::Grace => self.abort_now(driver, Reason::NO_ERROR),
            }
        }
        self.set_timer(driver);
    }

    fn is_pinged_too_often(&self, driver: &mut Driver<Serving>) -> bool {
        let pings = self.traffic.take_pings();
        if pings == 0 {
            return false;
        }
        let (sent, policy) = (self.traffic.take_sent(), &self.end.config.ping_policy);
        let Serving { strikes, phase, .. } = &mut driver.own;
        strikes.on_pings(pings, sent, policy, || phase.has_streams(), Instant::now)
    }

    /// Ready with whether there is a connection to serve.
    fn poll_handshake(
        &self,
        driver: &mut Driver<Serving>,
        context: &mut Context<'_>,
    ) -> Poll<bool> {
        let Phase::Handshake(handshake) = &mut driver.own.phase else {
            return Poll::Ready(!matches!(driver.own.phase, Phase::Closed));
        };
        match Pin::new(handshake).poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(connection)) => {
                driver.own.phase = Phase::Open(connection);
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
    fn serve(
        self: &Arc<Self>,
        driver: &mut Driver<Serving>,
        context: &mut Context<'_>,
    ) -> Progress {
        loop {
            let Some((connection, refuses)) = driver.own.phase.connection() else {
                return self.linger(driver, context);
            };
            match connection.poll_accept(context) {
                Poll::Ready(Some(Ok((_, mut respond)))) if refuses => {
                    respond.send_reset(Reason::REFUSED_STREAM);
                }
                Poll::Ready(Some(Ok((request, respond)))) => {
                    driver.own.calls += 1;
                    self.on_request(request, respond);
                }
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(peer = %self.peer, %error, "a connection failed");
                    return Progress::Closed;
                }
                Poll::Ready(None) => {
                    if driver.own.phase.end(self.traffic.take_endpoint()) {
                        driver.clock.on_linger(Instant::now());
                        self.set_timer(driver);
                    }
                }
                Poll::Pending if self.traffic.is_turn_used_up() => return Progress::TurnIsOver,
                Poll::Pending
                    if driver.own.phase.is_overdue() && !driver.own.phase.has_streams() =>
                {
                    self.finish_now(driver);
                }
                Poll::Pending => return Progress::Idle,
            }
        }
    }

    fn linger(&self, driver: &mut Driver<Serving>, context: &mut Context<'_>) -> Progress {
        let Phase::Lingering(lingering) = &mut driver.own.phase else { return Progress::Closed };
        match lingering.poll(context, &self.traffic) {
            Poll::Ready(()) => Progress::Closed,
            Poll::Pending if self.traffic.is_turn_used_up() => Progress::TurnIsOver,
            Poll::Pending => Progress::Idle,
        }
    }

    fn on_request(&self, request: Request<h2::RecvStream>, mut respond: SendResponse<Payload>) {
        match read_head(request, &self.peer, &self.end.config) {
            Ok((head, body)) => {
                let stream = H2Stream::new(
                    respond,
                    body,
                    &self.end.config,
                    StreamMonitor::start(self.end.socket.as_ref()),
                );
                self.end.acceptor.clone().on_stream(head, Box::new(stream));
            }
            Err(refusal) => {
                tracing::debug!(peer = %self.peer, ?refusal, "a request is not gRPC");
                if let Err(error) = respond.send_response(refusal.into_response(), true) {
                    tracing::debug!(peer = %self.peer, %error, "a refusal cannot be sent");
                }
            }
        }
    }
}

impl End for Server {
    type Own = Serving;

    fn drive(
        transport: &Arc<ServerTransport>,
        driver: &mut Driver<Serving>,
        context: &mut Context<'_>,
    ) -> Progress {
        transport.obey(driver);
        let mut progress = match transport.poll_handshake(driver, context) {
            Poll::Pending => Progress::Idle,
            Poll::Ready(false) => Progress::Closed,
            Poll::Ready(true) => transport.serve(driver, context),
        };
        if driver.clock.awaits_greeting() && transport.traffic.is_greeted() {
            let activity = driver.own.activity(&transport.traffic);
            driver.clock.on_greeted(Instant::now(), activity, random::fraction());
            transport.set_timer(driver);
        }
        if transport.is_pinged_too_often(driver) {
            tracing::debug!(peer = %transport.peer, "the client sends too many PINGs; it has to go");
            transport.traffic.complain_of_pings();
            transport.abort_now(driver, Reason::ENHANCE_YOUR_CALM);
            progress = transport.serve(driver, context);
        }
        progress
    }

    fn let_go(serving: &mut Serving) {
        serving.phase = Phase::Closed;
    }

    fn on_closed(transport: &ServerTransport) {
        let Self { id, acceptor, socket, .. } = &transport.end;
        socket.iter().for_each(|socket| socket.close());
        tracing::debug!(
            target: "turnstile::connection",
            parent: None,
            peer = %transport.peer,
            "a connection is closed",
        );
        acceptor.on_closed(*id);
    }
}

#[cfg(all(test, not(turnstile_loom)))]
mod tests;
