//! The client's end of an HTTP/2 connection.

mod calls;
mod config;
mod request;
mod stream;
mod why;

pub(crate) use config::{ClientConfig, Keepalives, user_agent};
pub(in crate::transport) use request::head_of;
pub(in crate::transport) use why::of_message;

use super::clock::{Activity, Clock, Due};
use super::driven::{ABORT, Driven, Driver, End, FAILED, GO_AWAY, LOOK_AT_CLOCK, Progress};
use super::io::Io;
use super::payload::Payload;
use super::pinger::Pinger;
use crate::iomgr::{Deadline, Endpoint, Iomgr, Peer};
use crate::status::Status;
use crate::transport::{self, ClientStream, Connected, GoAway, Request};
use calls::{Calls, Start, UsedUp};
use h2::client::{Connection, SendRequest};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake as _};
use std::time::Instant;
use stream::H2ClientStream;

/// A connection to a server.
///
/// It lives until it is closed, whoever holds it: by its server, by
/// [`go_away`](transport::Transport::go_away) with its last call, or by
/// [`abort`](transport::Transport::abort).
pub(crate) type ClientTransport = Driven<Client>;

/// What is special to a client's end.
pub(crate) struct Client {
    config: Arc<ClientConfig>,
    connected: Arc<dyn Connected>,
    calls: Calls,
}

/// What the thread with the turn has.
pub(crate) struct Driving {
    phase: Phase,
    pinger: Pinger,
    /// This end wants it to end.
    is_leaving: bool,
    /// There is nothing left to do but to say so, for which there is little time.
    is_finishing: bool,
    /// Why the connection is closed.
    why: Option<Status>,
}

type Handshake = dyn Future<Output = Result<(Requests, Open), h2::Error>> + Send;
type Requests = SendRequest<Payload>;
type Open = Connection<Io, Payload>;

/// Where a connection is in its life.
enum Phase {
    /// The preface is on its way.
    Handshake(Pin<Box<Handshake>>),
    Open {
        connection: Box<Open>,
        /// Kept until the server's SETTINGS have come: no call begins before.
        requests: Option<Requests>,
    },
    Closed,
}

impl ClientTransport {
    /// A connection that has been made, over `endpoint`.
    pub(crate) fn new(
        endpoint: Box<dyn Endpoint>,
        config: Arc<ClientConfig>,
        connected: Arc<dyn Connected>,
        iomgr: Arc<Iomgr>,
    ) -> Arc<Self> {
        let peer = Arc::new(Peer::of(&*endpoint));
        let (io, traffic) = Io::client(endpoint);
        let builder = config.builder();
        let handshake = Box::pin(async move { builder.handshake(io).await });
        let driving = Driving {
            phase: Phase::Handshake(handshake),
            pinger: Pinger::default(),
            is_leaving: false,
            is_finishing: false,
            why: None,
        };
        let clock = Clock::new(config.timeouts());
        let end = Client { config, connected, calls: Calls::default() };
        Self::with(end, peer, traffic, iomgr, clock, driving)
    }

    /// Begins to speak, on whichever thread has the next turn. The server must have sent its SETTINGS
    /// before `deadline`, which is that of the connect.
    pub(crate) fn begin(self: &Arc<Self>, deadline: Deadline) {
        let until =
            if deadline == Deadline::NOW { Some(Instant::now()) } else { deadline.instant() };
        let driver = &mut *self.driver.lock();
        // A shutdown may have been faster.
        if matches!(driver.own.phase, Phase::Handshake(_)) {
            driver.clock.on_connected_to_server(until);
            self.set_timer(driver);
        }
        self.wake_by_ref();
    }

    /// What comes over the connection is no HTTP/2, as a stream has found out. h2 ends it.
    fn fail(self: &Arc<Self>) {
        self.ask(FAILED);
    }

    fn activity(&self) -> Activity {
        let idle_after = self.end.calls.idle_after();
        let may_ping = idle_after.is_none() || self.end.config.keepalive.without_calls;
        Activity { received: self.traffic.received(), may_ping, idle_after }
    }

    /// Does what other threads and the timer have asked for.
    fn obey(self: &Arc<Self>, driver: &mut Driver<Driving>) {
        let asked = self.take_asked();
        if asked & ABORT != 0 {
            close(driver, why::aborted(&self.peer));
        }
        if asked & GO_AWAY != 0 {
            driver.own.is_leaving = true;
            self.end.calls.refuse(why::closing(&self.peer));
            if driver.clock.awaits_greeting() {
                close(driver, why::aborted(&self.peer));
            }
        }
        if asked & FAILED != 0 {
            self.finish(driver);
        }
        if asked & LOOK_AT_CLOCK != 0 {
            self.look_at_clock(driver);
        }
    }

    /// Does what is due.
    fn look_at_clock(self: &Arc<Self>, driver: &mut Driver<Driving>) {
        let now = Instant::now();
        let activity = self.activity();
        while let Some(due) = driver.clock.on_deadline(now, activity) {
            tracing::debug!(peer = %self.peer, "{due}");
            match due {
                Due::Handshake => close(driver, why::no_settings(&self.peer, &self.traffic)),
                Due::Keepalive => close(driver, why::no_pong(&self.peer)),
                // A call that has ended may still be read by its application.
                Due::Abort if driver.own.is_leaving => close(driver, why::aborted(&self.peer)),
                Due::Abort => close(driver, why::stuck(&self.peer, &self.traffic)),
                Due::Ping => {
                    let Driving { pinger, phase, .. } = &mut driver.own;
                    pinger.ping(|| match phase {
                        Phase::Open { connection, .. } => connection.ping_pong(),
                        Phase::Handshake(_) | Phase::Closed => None,
                    });
                }
                Due::Idle => self.leave_idle(driver),
                // A server's.
                Due::GoAway | Due::Linger | Due::Age | Due::Grace => {}
            }
        }
        self.set_timer(driver);
    }

    /// There was no call for long. One that begins now goes to another connection.
    fn leave_idle(&self, driver: &mut Driver<Driving>) {
        driver.own.is_leaving = true;
        let why = why::idle(&self.peer);
        let told = GoAway { is_of_pings: false, text: why.message().to_owned() };
        self.end.calls.refuse(why);
        self.end.connected.on_go_away(told);
    }

    /// The connection has nothing left to do, and a moment to say so.
    fn finish(self: &Arc<Self>, driver: &mut Driver<Driving>) {
        if !driver.own.is_finishing {
            driver.own.is_finishing = true;
            driver.clock.on_abort(Instant::now());
            self.set_timer(driver);
        }
    }

    /// Begins calls that wait for a place.
    fn begin_waiting(&self) {
        if let Err(UsedUp) = self.end.calls.begin_waiting() {
            let why = why::used_up(&self.peer);
            let told = GoAway { is_of_pings: false, text: why.message().to_owned() };
            self.end.calls.refuse(why);
            self.end.connected.on_go_away(told);
        }
    }

    /// Lets h2 read and write until there is nothing left to do.
    fn poll(&self, driver: &mut Driver<Driving>, context: &mut Context<'_>) -> Progress {
        let result = loop {
            match &mut driver.own.phase {
                Phase::Handshake(handshake) => match handshake.as_mut().poll(context) {
                    Poll::Ready(Ok((requests, connection))) => {
                        let connection = Box::new(connection);
                        driver.own.phase = Phase::Open { connection, requests: Some(requests) };
                    }
                    Poll::Ready(Err(error)) => break Err(error),
                    Poll::Pending => return Progress::Idle,
                },
                Phase::Open { connection, .. } => match Pin::new(&mut **connection).poll(context) {
                    Poll::Ready(result) => break result,
                    Poll::Pending if self.traffic.is_turn_used_up() => return Progress::TurnIsOver,
                    Poll::Pending => return Progress::Idle,
                },
                Phase::Closed => return Progress::Closed,
            }
        };
        tracing::debug!(peer = %self.peer, ?result, "a connection has ended");
        let is_ours = driver.own.is_leaving && result.is_ok() && self.traffic.goaway().is_none();
        close(
            driver,
            match is_ours {
                true => why::aborted(&self.peer),
                false => why::end_of(result, &self.peer, &self.traffic),
            },
        );
        Progress::Closed
    }

    /// Tells of what the server has said since the last turn.
    fn tell_news(self: &Arc<Self>, driver: &mut Driver<Driving>) {
        if let Some(goaway) = self.traffic.take_news() {
            self.end.calls.refuse(why::refused_by(&self.peer, Some(&goaway)));
            let (is_of_pings, text) = (goaway.is_of_pings(), goaway.to_string());
            self.end.connected.on_go_away(GoAway { is_of_pings, text });
        }
        let Phase::Open { requests, .. } = &mut driver.own.phase else { return };
        if self.traffic.is_greeted()
            && let Some(requests) = requests.take()
        {
            // Ages are a server's.
            driver.clock.on_greeted(Instant::now(), self.activity(), 0.0);
            self.end.calls.open(requests);
            self.set_timer(driver);
            self.end.connected.on_ready();
        }
        // Those that waited for SETTINGS, and for places.
        self.begin_waiting();
        // A server that is not written to any more has closed, and what it has said comes soon. Of a call
        // that began now it would see nothing.
        let is_broken = self.traffic.is_broken();
        if is_broken {
            self.end.calls.hold();
        }
        if is_broken || self.end.calls.are_over() {
            self.finish(driver);
        }
    }
}

fn close(driver: &mut Driver<Driving>, why: Status) {
    driver.own.phase = Phase::Closed;
    driver.own.why.get_or_insert(why);
}

impl End for Client {
    type Own = Driving;

    fn drive(
        transport: &Arc<ClientTransport>,
        driver: &mut Driver<Driving>,
        context: &mut Context<'_>,
    ) -> Progress {
        transport.obey(driver);
        transport.begin_waiting();
        let progress = transport.poll(driver, context);
        transport.tell_news(driver);
        progress
    }

    fn let_go(driving: &mut Driving) {
        driving.phase = Phase::Closed;
    }

    fn on_closed(transport: &ClientTransport) {
        let why = transport.driver.lock().own.why.take();
        let why = why.unwrap_or_else(|| why::panicked(&transport.peer));
        tracing::debug!(
            target: "turnstile::connection",
            parent: None,
            peer = %transport.peer,
            %why,
            "a connection is closed",
        );
        transport.end.calls.close(why.clone());
        transport.end.connected.on_closed(why);
    }
}

impl transport::ClientTransport for ClientTransport {
    fn start(self: Arc<Self>, request: Request) -> Box<dyn ClientStream> {
        let (accepts, timeout) = (request.accepts, request.timeout);
        let head = match head_of(request, &self.end.config) {
            Ok(head) => head,
            Err(status) => return Box::new(H2ClientStream::failed(&self, status)),
        };
        let written_before = self.traffic.written();
        // A server that has closed meanwhile is to be found out before the call is written.
        let after_lull = || self.traffic.look_again();
        let start = self.end.calls.start(head, timeout, after_lull);
        if matches!(start, Start::Waits(_)) {
            self.wake_by_ref();
        }
        Box::new(H2ClientStream::new(&self, start, written_before, accepts))
    }

    fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }
}

#[cfg(all(test, not(turnstile_loom)))]
mod tests;
