//! One server of a channel: the connection to it, or the attempts to get one.
//!
//! ```text
//!            connect              SETTINGS
//!   Idle ------------> Connecting --------> Ready --+
//!    ^                    |                         | GOAWAY, or it is closed
//!    |        no address  v                         |
//!    +------ backoff -- Resting                     |
//!    +----------------------------------------------+
//! ```
//!
//! Polled in the turns of [`Control`](super::control::Control), and nothing here is shared. A connection
//! that is let go lives until its last call has ended.

use super::backoff::{Attempt, Backoff, BackoffRules};
use crate::iomgr::{Connect, Deadline, Endpoint, Iomgr, ListenAddress, Peer, PollsetSet, Sleep};
use crate::random;
use crate::status::Status;
use crate::sync::Mutex;
use crate::transport::h2::{self, ClientConfig};
use crate::transport::{ClientTransport as _, Connected, GoAway, Transport as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;
use std::{mem, vec};

/// What the connections of a channel have in common.
#[derive(Clone)]
pub(super) struct Environment {
    pub(super) iomgr: Arc<Iomgr>,
    /// Who waits for connections that are being made.
    pub(super) set: Arc<PollsetSet>,
    pub(super) config: Arc<ClientConfig>,
    pub(super) backoff: BackoffRules,
}

/// One server, by the addresses that it may have.
pub(super) struct Subchannel {
    environment: Environment,
    backoff: Backoff,
    phase: Phase,
}

enum Phase {
    Idle,
    Connecting(Box<Connecting>),
    Ready(Connection),
    /// No address answered.
    Resting {
        why: Status,
        until: Sleep,
    },
}

/// An attempt: the addresses one after the other, until one answers.
struct Connecting {
    left: vec::IntoIter<ListenAddress>,
    attempt: Attempt,
    step: Step,
    failures: Vec<Status>,
}

enum Step {
    /// On to the next address.
    Next,
    Connect(Box<Connect>, Deadline),
    /// The server has accepted, and not sent its SETTINGS yet.
    Greeting(Connection),
}

struct Connection {
    transport: Arc<h2::ClientTransport>,
    news: Arc<News>,
}

/// How a server is to be reached.
pub(super) enum Reach<'a> {
    Idle,
    Connecting,
    Ready(&'a Arc<h2::ClientTransport>),
    Resting(&'a Status),
}

impl Subchannel {
    pub(super) fn new(environment: Environment) -> Self {
        let backoff = Backoff::new(environment.backoff);
        Self { environment, backoff, phase: Phase::Idle }
    }

    pub(super) fn reach(&self) -> Reach<'_> {
        match &self.phase {
            Phase::Idle => Reach::Idle,
            Phase::Connecting(_) => Reach::Connecting,
            Phase::Ready(connection) => Reach::Ready(&connection.transport),
            Phase::Resting { why, .. } => Reach::Resting(why),
        }
    }

    /// Begins an attempt, if none is under way and there is no connection.
    pub(super) fn connect(&mut self, addresses: Result<Vec<ListenAddress>, Status>) {
        if !matches!(self.phase, Phase::Idle) {
            return;
        }
        let attempt = self.backoff.begin(Instant::now(), random::fraction());
        match addresses {
            Ok(addresses) => {
                let left = addresses.into_iter();
                let connecting =
                    Connecting { left, attempt, step: Step::Next, failures: Vec::new() };
                self.phase = Phase::Connecting(Box::new(connecting));
            }
            Err(why) => self.rest(why, attempt),
        }
    }

    /// Goes on as far as it can, and registers for more.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) {
        while self.step(context).is_ready() {}
    }

    /// Ready when another phase has begun.
    fn step(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.phase {
            Phase::Idle => return Poll::Pending,
            Phase::Connecting(connecting) => {
                let result = ready!(connecting.poll(&self.environment, context));
                let attempt = connecting.attempt;
                match result {
                    Ok(connection) => {
                        self.backoff.reset();
                        self.phase = Phase::Ready(connection);
                    }
                    Err(why) => self.rest(why, attempt),
                }
            }
            Phase::Ready(connection) => {
                let end = ready!(connection.news.poll_end(context));
                self.environment.heed(&end);
                self.phase = Phase::Idle;
            }
            Phase::Resting { until, .. } => {
                ready!(until.poll(context));
                self.phase = Phase::Idle;
            }
        }
        Poll::Ready(())
    }

    fn rest(&mut self, why: Status, attempt: Attempt) {
        let until = Sleep::until(&self.environment.iomgr, attempt.next);
        self.phase = Phase::Resting { why, until };
    }
}

/// The channel does not need it any more: calls that go on may end.
impl Drop for Subchannel {
    fn drop(&mut self) {
        if let Phase::Ready(connection) = mem::replace(&mut self.phase, Phase::Idle) {
            connection.transport.go_away();
        }
    }
}

impl Connecting {
    /// Ready with a connection whose server takes calls, or with what went wrong at each address.
    fn poll(
        &mut self,
        environment: &Environment,
        context: &mut Context<'_>,
    ) -> Poll<Result<Connection, Status>> {
        loop {
            match &mut self.step {
                Step::Next => match self.left.next() {
                    Some(address) => self.begin(address, environment),
                    None => return Poll::Ready(Err(self.why())),
                },
                Step::Connect(connect, deadline) => match ready!(Pin::new(connect).poll(context)) {
                    Ok(endpoint) => {
                        let connection = environment.open(endpoint, *deadline, context.waker());
                        self.step = Step::Greeting(connection);
                    }
                    Err(error) => {
                        let why = Status::unavailable(error.to_string()).with_source(error);
                        self.fail(why);
                    }
                },
                Step::Greeting(connection) => match ready!(connection.news.poll_ready(context)) {
                    Ok(()) => {
                        let Step::Greeting(connection) = mem::replace(&mut self.step, Step::Next)
                        else {
                            continue;
                        };
                        return Poll::Ready(Ok(connection));
                    }
                    Err(end) => {
                        let why = end.before_any_call(connection.transport.peer());
                        self.fail(why);
                    }
                },
            }
        }
    }

    fn begin(&mut self, address: ListenAddress, environment: &Environment) {
        let deadline = Deadline::after(self.attempt.time);
        let (iomgr, set) = (&environment.iomgr, Some(&environment.set));
        let connect = Connect::new(iomgr, set, vec![address], deadline)
            .with_user_timeout(environment.config.user_timeout());
        self.step = Step::Connect(Box::new(connect), deadline);
    }

    fn fail(&mut self, why: Status) {
        self.failures.push(why);
        self.step = Step::Next;
    }

    /// Why no address is any good.
    fn why(&mut self) -> Status {
        let Some(last) = self.failures.pop() else {
            return Status::unavailable("its name stands for no address");
        };
        if self.failures.is_empty() {
            return last;
        }
        let texts = self.failures.iter().chain([&last]).map(Status::message);
        Status::unavailable(texts.collect::<Vec<_>>().join("; ")).with_source(last)
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        if let Step::Greeting(connection) = &self.step {
            connection.transport.clone().abort();
        }
    }
}

impl Environment {
    fn open(&self, endpoint: Box<dyn Endpoint>, deadline: Deadline, waker: &Waker) -> Connection {
        let news = Arc::new(News::new(waker.clone()));
        let transport = h2::ClientTransport::new(
            endpoint,
            self.config.clone(),
            news.clone(),
            self.iomgr.clone(),
        );
        transport.begin(deadline);
        Connection { transport, news }
    }

    /// A server that has had too many PINGs gets half as many from now on (gRFC A8).
    fn heed(&mut self, end: &End) {
        if let End::GoAway(GoAway { is_of_pings: true, .. }) = end {
            let keepalive = &mut Arc::make_mut(&mut self.config).keepalive;
            keepalive.time = keepalive.time.saturating_mul(2);
            let every = keepalive.time;
            tracing::warn!(
                target: "turnstile::connection",
                ?every,
                "a server has had too many PINGs, and now gets half as many; set a longer keepalive",
            );
        }
    }
}

/// What a connection has told since the last turn.
struct News {
    waker: Waker,
    /// Locked for moments by the thread with the connection's turn, and by the one with the channel's.
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    is_ready: bool,
    end: Option<End>,
}

/// Why a connection takes no more calls.
#[derive(Clone)]
enum End {
    GoAway(GoAway),
    Closed(Status),
}

impl End {
    /// Of a connection that ended as soon as it was made. The next one is not made at once, then.
    fn before_any_call(self, peer: &Peer) -> Status {
        match self {
            Self::Closed(why) => why,
            Self::GoAway(GoAway { text, .. }) => Status::unavailable(format!(
                "the connection to {peer} ended before it had a call: {text}"
            )),
        }
    }
}

impl News {
    fn new(waker: Waker) -> Self {
        Self { waker, told: Mutex::default() }
    }

    /// Ready when the server has sent its SETTINGS, or never will. The waker is the one that it was made
    /// with: the channel has but one.
    fn poll_ready(&self, _context: &mut Context<'_>) -> Poll<Result<(), End>> {
        let told = self.told.lock();
        match &told.end {
            None if told.is_ready => Poll::Ready(Ok(())),
            None => Poll::Pending,
            Some(end) => Poll::Ready(Err(end.clone())),
        }
    }

    /// Ready when the connection takes no more calls.
    fn poll_end(&self, _context: &mut Context<'_>) -> Poll<End> {
        self.told.lock().end.clone().map_or(Poll::Pending, Poll::Ready)
    }

    fn tell(&self, tell: impl FnOnce(&mut Told)) {
        tell(&mut self.told.lock());
        self.waker.wake_by_ref();
    }
}

impl Connected for News {
    fn on_ready(&self) {
        self.tell(|told| told.is_ready = true);
    }

    fn on_go_away(&self, why: GoAway) {
        // "too_many_pings" may come behind another.
        self.tell(|told| match &told.end {
            None => told.end = Some(End::GoAway(why)),
            Some(_) if why.is_of_pings => told.end = Some(End::GoAway(why)),
            Some(_) => {}
        });
    }

    fn on_closed(&self, why: Status) {
        self.tell(|told| {
            told.end.get_or_insert(End::Closed(why));
        });
    }
}

#[cfg(all(test, not(turnstile_loom)))]
mod tests {
    use super::{End, Environment};
    use crate::client::backoff::BackoffRules;
    use crate::iomgr::{PollsetSet, iomgr_for_tests};
    use crate::status::Status;
    use crate::transport::GoAway;
    use crate::transport::h2::{ClientConfig, Keepalives};
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn a_server_that_has_had_too_many_pings_gets_half_as_many_from_then_on() {
        let iomgr = iomgr_for_tests();
        let set = Arc::new(PollsetSet::new(&iomgr));
        let keepalive = Keepalives::new(Duration::from_secs(20), Duration::from_secs(5), true);
        let config = Arc::new(ClientConfig { keepalive, ..ClientConfig::default() });
        let backoff = BackoffRules::default();
        let mut environment = Environment { iomgr, set, config, backoff };
        let goaway = |is_of_pings| End::GoAway(GoAway { is_of_pings, text: String::new() });
        let ends =
            [goaway(false), End::Closed(Status::unavailable("")), goaway(true), goaway(true)];
        let times = ends.map(|end| {
            environment.heed(&end);
            environment.config.keepalive.time.as_secs()
        });
        assert_eq!(times, [20, 20, 40, 80]);
    }
}
