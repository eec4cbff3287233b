//! What a connection does because of the time. Pure: the caller brings the clock, and has a timer
//! for the one next deadline.
//!
//! Nothing that happens on a connection is noted with its time, for that would be a clock to read
//! with each of its calls. It is counted instead, and the clock looks at the counts: see [`Lull`].

#[cfg(all(test, not(turnstile_loom)))]
mod tests;

use std::fmt;
use std::time::{Duration, Instant};

/// How many times a [`Lull`] looks before it has lasted long enough.
const LOOKS: u32 = 4;

/// The least time between two looks, so that a timer does not spin.
const MIN_LOOK: Duration = Duration::from_millis(1);

/// How long the last GOAWAY of a connection may take to leave.
const ABORT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a client may take to close, when its connection has ended in good order.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);

/// For how long a connection waits, or is. [`Duration::MAX`] is for ever.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// For the client's preface and SETTINGS.
    pub(crate) handshake: Duration,
    /// For the answer to the PING of a graceful shutdown.
    pub(crate) goaway: Duration,
    /// For anything to come, before a PING is sent.
    pub(crate) keepalive_time: Duration,
    /// For anything to come after that PING, before the connection is closed.
    pub(crate) keepalive_timeout: Duration,
    /// For a call, when there is none.
    pub(crate) max_idle: Duration,
    /// For the connection's life, give or take a tenth.
    pub(crate) max_age: Duration,
    /// For calls that run at the end of that.
    pub(crate) max_age_grace: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(120),
            goaway: Duration::from_secs(20),
            keepalive_time: Duration::from_secs(2 * 60 * 60),
            keepalive_timeout: Duration::from_secs(20),
            max_idle: Duration::MAX,
            max_age: Duration::MAX,
            max_age_grace: Duration::MAX,
        }
    }
}

impl Timeouts {
    /// How long the kernel may try to send before it ends a connection (TCP_USER_TIMEOUT): as long
    /// as a PING may go unanswered, since it is to find the same peers (gRFC A18).
    pub(crate) fn user_timeout(&self) -> Option<Duration> {
        let is_on = self.keepalive_time != Duration::MAX && self.keepalive_timeout != Duration::MAX;
        is_on.then_some(self.keepalive_timeout)
    }
}

/// What is to be done, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// The client has not greeted: close.
    Handshake,
    /// The client has not answered the PING of the graceful shutdown: go on without.
    GoAway,
    /// The client does not take its last GOAWAY: close.
    Abort,
    /// The client has read its last GOAWAY, or not, and has not closed: close.
    Linger,
    /// Nothing has come for long: send a PING.
    Ping,
    /// Nothing has come after that either: close.
    Keepalive,
    /// There was no call for long: go away.
    Idle,
    /// The connection is old: go away.
    Age,
    /// Calls still run long after that: abort.
    Grace,
}

impl fmt::Display for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Handshake => "no HTTP/2 preface and SETTINGS came in time",
            Self::GoAway => "the client answers no PING, and gets no new calls",
            Self::Abort => "the peer does not take its last GOAWAY",
            Self::Linger => "the connection has ended, and the client does not close",
            Self::Ping => "nothing has come for the keepalive time; a PING is sent",
            Self::Keepalive => "nothing has come since the keepalive PING; the peer is gone",
            Self::Idle => "the connection has no calls, and is told to go",
            Self::Age => "the connection is old, and is told to go",
            Self::Grace => "the connection's calls are cancelled, since its grace is over",
        })
    }
}

/// What has happened on a connection, by counts that only grow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Activity {
    /// Bytes that have come.
    pub(super) received: u64,
    /// Whether a PING may be sent when nothing comes.
    pub(super) may_ping: bool,
    /// Calls that have been, if none is now.
    pub(super) idle_after: Option<u64>,
}

/// The deadlines of one connection.
pub(super) struct Clock {
    timeouts: Timeouts,
    awaits_greeting: bool,
    handshake: Option<Instant>,
    goaway: Option<Instant>,
    abort: Option<Instant>,
    linger: Option<Instant>,
    keepalive: Option<Keepalive>,
    idle: Option<Lull>,
    age: Option<Instant>,
    grace: Option<Instant>,
}

struct Keepalive {
    silence: Lull,
    pinged: Option<Pinged>,
}

/// A PING was sent when so many bytes had come.
struct Pinged {
    received: u64,
    until: Option<Instant>,
}

/// A time in which nothing happens. It is looked at [`LOOKS`] times, and is over when as many looks
/// in a row have seen the same; so it has lasted for its whole time then, and at most a look more.
struct Lull {
    next: Instant,
    step: Duration,
    seen: Option<u64>,
    same: u32,
}

impl Clock {
    /// No deadline yet.
    pub(super) fn new(timeouts: Timeouts) -> Self {
        Self {
            timeouts,
            awaits_greeting: false,
            handshake: None,
            goaway: None,
            abort: None,
            linger: None,
            keepalive: None,
            idle: None,
            age: None,
            grace: None,
        }
    }

    /// A client has connected.
    pub(super) fn on_connected(&mut self, now: Instant) {
        self.awaits_greeting = true;
        self.handshake = after(now, self.timeouts.handshake);
    }

    /// A server was connected to, which is to greet until then.
    pub(super) fn on_connected_to_server(&mut self, until: Option<Instant>) {
        self.awaits_greeting = true;
        self.handshake = until;
    }

    /// Whether the peer has yet to send its SETTINGS, and a client its preface before them.
    pub(super) fn awaits_greeting(&self) -> bool {
        self.awaits_greeting
    }

    /// The peer has sent its SETTINGS, and a client its preface before them. `spread`, from 0 to 1, says where in its
    /// range the age is: connections that began together must not all end together.
    pub(super) fn on_greeted(&mut self, now: Instant, activity: Activity, spread: f64) {
        self.awaits_greeting = false;
        self.handshake = None;
        self.keepalive = Keepalive::begin(now, &self.timeouts, activity.received);
        self.idle = Lull::begin(now, self.timeouts.max_idle, activity.idle_after);
        let max_age = self.timeouts.max_age;
        self.age = after(now, max_age).and_then(|_| after(now, spread_out(max_age, spread)));
    }

    /// A graceful shutdown has begun.
    pub(super) fn on_go_away(&mut self, now: Instant) {
        self.awaits_greeting = false;
        self.handshake = None;
        self.idle = None;
        self.goaway = after(now, self.timeouts.goaway);
    }

    /// The last GOAWAY is to leave.
    pub(super) fn on_abort(&mut self, now: Instant) {
        *self = Self::new(self.timeouts);
        self.abort = after(now, ABORT_TIMEOUT);
    }

    /// Everything is sent, and the client is to close.
    pub(super) fn on_linger(&mut self, now: Instant) {
        *self = Self::new(self.timeouts);
        self.linger = after(now, LINGER_TIMEOUT);
    }

    /// When to ask next what is due.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let keepalive = self.keepalive.as_ref().map(Keepalive::next_deadline);
        let idle = self.idle.as_ref().map(|lull| lull.next);
        let fixed = [self.handshake, self.goaway, self.abort, self.linger, self.age, self.grace];
        fixed.into_iter().chain([keepalive, idle]).flatten().min()
    }

    /// What is due, if anything. There may be more, so ask again.
    pub(super) fn on_deadline(&mut self, now: Instant, activity: Activity) -> Option<Due> {
        let fixed = [
            (&mut self.handshake, Due::Handshake),
            (&mut self.goaway, Due::GoAway),
            (&mut self.abort, Due::Abort),
            (&mut self.linger, Due::Linger),
            (&mut self.grace, Due::Grace),
        ];
        for (deadline, due) in fixed {
            if is_due(deadline, now) {
                return Some(due);
            }
        }
        if is_due(&mut self.age, now) {
            self.grace = after(now, self.timeouts.max_age_grace);
            return Some(Due::Age);
        }
        if self.idle.as_mut().is_some_and(|lull| lull.look(now, activity.idle_after)) {
            self.idle = None;
            return Some(Due::Idle);
        }
        let due = self.keepalive.as_mut()?.look(now, &self.timeouts, activity);
        if due == Some(Due::Keepalive) {
            self.keepalive = None;
        }
        due
    }
}

impl Keepalive {
    fn begin(now: Instant, timeouts: &Timeouts, received: u64) -> Option<Self> {
        let silence = Lull::begin(now, timeouts.keepalive_time, Some(received))?;
        Some(Self { silence, pinged: None })
    }

    fn next_deadline(&self) -> Instant {
        let until = self.pinged.as_ref().and_then(|pinged| pinged.until);
        until.map_or(self.silence.next, |until| until.min(self.silence.next))
    }

    fn look(&mut self, now: Instant, timeouts: &Timeouts, activity: Activity) -> Option<Due> {
        let Activity { received, may_ping, .. } = activity;
        let is_silent = self.silence.look(now, may_ping.then_some(received));
        match &mut self.pinged {
            Some(pinged) if pinged.received != received => self.pinged = None,
            Some(pinged) => return is_due(&mut pinged.until, now).then_some(Due::Keepalive),
            None => {}
        }
        if !is_silent {
            return None;
        }
        self.pinged = Some(Pinged { received, until: after(now, timeouts.keepalive_timeout) });
        Some(Due::Ping)
    }
}

impl Lull {
    /// Begins to look; `None` if it is to last for ever.
    fn begin(now: Instant, time: Duration, seen: Option<u64>) -> Option<Self> {
        after(now, time)?;
        let step = (time / LOOKS).max(MIN_LOOK);
        Some(Self { next: after(now, step)?, step, seen, same: 0 })
    }

    /// Looks, if it is time to. `seen` is `None` while something is under way. Says whether the
    /// lull has lasted long enough.
    fn look(&mut self, now: Instant, seen: Option<u64>) -> bool {
        if now < self.next {
            return false;
        }
        let is_same = seen.is_some() && seen == self.seen;
        self.same = if is_same { self.same + 1 } else { 0 };
        self.seen = seen;
        self.next = now + self.step;
        self.same >= LOOKS
    }
}

/// `None` for what is never.
fn after(now: Instant, time: Duration) -> Option<Instant> {
    if time == Duration::MAX { None } else { now.checked_add(time) }
}

fn is_due(deadline: &mut Option<Instant>, now: Instant) -> bool {
    deadline.take_if(|deadline| *deadline <= now).is_some()
}

/// From nine to eleven tenths of a time.
fn spread_out(time: Duration, spread: f64) -> Duration {
    let tenth = time / 10;
    let added = tenth.saturating_mul(2).mul_f64(spread.clamp(0.0, 1.0));
    (time - tenth).saturating_add(added)
}
