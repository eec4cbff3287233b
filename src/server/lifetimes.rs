//! For how long a server keeps its connections: the part of its description that is about clients
//! which are gone, idle, or have been there for long.

use super::Builder;
use std::time::Duration;

/// How long connections live (gRFC A9), and what PINGs their clients may send (gRFC A8).
///
/// All times are for each connection. [`Duration::MAX`] turns a limit off. Times are not watched to
/// the millisecond, since a busy connection must not pay for a clock: where something must not
/// happen *for* a time, it may take a quarter of the time longer until that is noticed.
impl Builder {
    /// How long a new connection may take to begin with HTTP/2: its preface and its SETTINGS.
    /// Default 120 seconds.
    pub fn handshake_timeout(&mut self, timeout: Duration) -> &mut Self {
        self.config.timeouts.handshake = timeout;
        self
    }

    /// How long a client may take to answer the PING of a graceful shutdown. Default 20 seconds.
    /// After that, new calls are refused, and the connection is closed with its last call.
    pub fn goaway_timeout(&mut self, timeout: Duration) -> &mut Self {
        self.config.timeouts.goaway = timeout;
        self
    }

    /// Finds clients that are gone without a word: when nothing has come from one for `time`, it is
    /// sent a PING, and when nothing comes for `timeout` after that, the connection is closed and
    /// its calls are cancelled. Any byte is a sign of life.
    ///
    /// Default 2 hours and 20 seconds, as gRPC's other servers have it (gRFC A9). A proxy or NAT
    /// that forgets silent connections earlier wants a shorter `time`. `Duration::MAX` as `time`
    /// turns keepalive off.
    ///
    /// `timeout` is also how long the system tries to send to a TCP client that does not acknowledge
    /// (TCP_USER_TIMEOUT, gRFC A18): with keepalive off, that is the system's default, which is
    /// about 15 minutes.
    pub fn keepalive(&mut self, time: Duration, timeout: Duration) -> &mut Self {
        self.config.timeouts.keepalive_time = time;
        self.config.timeouts.keepalive_timeout = timeout;
        self
    }

    /// How long a client must wait between two PINGs while nothing is sent to it. Default 5 minutes,
    /// and never less than 2 hours for a client without calls, unless
    /// [`permit_pings_without_calls`](Self::permit_pings_without_calls) says so.
    /// [`Duration::ZERO`] lets it send as many as it likes, while it has calls.
    ///
    /// A PING that comes too early is a strike, and the third strike ends the connection with a
    /// GOAWAY: ENHANCE_YOUR_CALM, "too_many_pings" (gRFC A8). Clients of gRPC then double their
    /// keepalive time. Headers or messages to the client forget its strikes, and each DATA frame
    /// excuses one PING: so those that gRPC's clients measure the bandwidth with never count.
    ///
    /// A client's keepalive time must not be below this. grpc-go's and C-core's have none unless
    /// they are given one.
    pub fn min_ping_interval(&mut self, interval: Duration) -> &mut Self {
        self.config.ping_policy.min_interval = interval;
        self
    }

    /// Whether a client without calls may send PINGs as often as one that has some. Off by default.
    pub fn permit_pings_without_calls(&mut self, permit: bool) -> &mut Self {
        self.config.ping_policy.permit_without_calls = permit;
        self
    }

    /// How long a connection may be without calls before its client is told to go, with a graceful
    /// GOAWAY without a text (gRFC A9; h2 sends none). The time begins when the client has sent its SETTINGS, and again with the
    /// end of the last call. Off by default. PINGs and other bytes are no use.
    ///
    /// Clients of gRPC connect again when they have a call.
    pub fn max_connection_idle(&mut self, time: Duration) -> &mut Self {
        self.config.timeouts.max_idle = time;
        self
    }

    /// How long a connection may live before its client is told to go, with a graceful GOAWAY: it
    /// connects again for new calls, and those that run may end (gRFC A9). Off by default. It is for
    /// load balancing: clients find servers that were added since.
    ///
    /// Each connection's age is up to 10 % more or less, by chance, so that clients that came
    /// together do not come again together.
    pub fn max_connection_age(&mut self, age: Duration) -> &mut Self {
        self.config.timeouts.max_age = age;
        self
    }

    /// How long calls may still run on a connection that has become
    /// [too old](Self::max_connection_age), before they are cancelled and it is closed (gRFC A9).
    /// Off by default: they run to their ends.
    pub fn max_connection_age_grace(&mut self, grace: Duration) -> &mut Self {
        self.config.timeouts.max_age_grace = grace;
        self
    }
}
