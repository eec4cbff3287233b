//! Who sends PINGs too often (gRFC A8, "Server Enforcement"). Pure.
//!
//! A client's PING costs its server a wakeup, and phones their battery. So a client has to keep an
//! interval between PINGs while nothing is sent to it. One that comes too early is a strike, and
//! the third strike ends the connection.
//!
//! Clients of gRPC send PINGs of another kind too, which measure how much data is on its way (BDP):
//! one at a time, and each because DATA has come. So what is sent forgets the strikes, as the gRFC
//! has it: HEADERS, DATA, and as in C-core WINDOW_UPDATEs too, which tell of a client that sends
//! data. And each DATA frame excuses one PING, whenever it comes: a slow network may hand much
//! data on piece by piece, with a PING after each, when its server has sent it long ago.

use super::traffic::Sent;
use std::time::{Duration, Instant};

/// How many strikes a client may have.
const MAX_STRIKES: u64 = 2;

/// How many PINGs can be excused in advance.
const MAX_EXCUSED: u64 = 64;

/// The least interval between the PINGs of a client that has no calls.
const INTERVAL_WITHOUT_CALLS: Duration = Duration::from_secs(2 * 60 * 60);

/// How often a client may send PINGs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PingPolicy {
    /// The least interval between them; zero for no limit.
    pub(crate) min_interval: Duration,
    /// Whether it is the same without calls.
    pub(crate) permit_without_calls: bool,
}

impl Default for PingPolicy {
    fn default() -> Self {
        Self { min_interval: Duration::from_secs(5 * 60), permit_without_calls: false }
    }
}

impl PingPolicy {
    fn interval(&self, has_calls: bool) -> Duration {
        if has_calls || self.permit_without_calls {
            self.min_interval
        } else {
            self.min_interval.max(INTERVAL_WITHOUT_CALLS)
        }
    }
}

/// What a client has against it.
#[derive(Default)]
pub(super) struct Strikes {
    count: u64,
    /// When the last PING came that was not excused and not early, if nothing was sent since.
    last: Option<Instant>,
    excused: u64,
}

impl Strikes {
    /// PINGs have come: one after another if there are several. Says whether that was one too many.
    /// `sent` is what was sent since the last time. The clock is not read for excused PINGs, which
    /// may be as many as there are calls.
    pub(super) fn on_pings(
        &mut self,
        pings: u64,
        sent: Sent,
        policy: &PingPolicy,
        has_calls: impl FnOnce() -> bool,
        clock: impl FnOnce() -> Instant,
    ) -> bool {
        if sent.forgiving > 0 {
            self.count = 0;
            self.last = None;
        }
        self.excused = self.excused.saturating_add(sent.data).min(MAX_EXCUSED);
        let excused = pings.min(self.excused);
        self.excused -= excused;
        let pings = pings - excused;
        if pings == 0 {
            return false;
        }
        let interval = policy.interval(has_calls());
        if interval.is_zero() {
            return false;
        }
        let now = clock();
        let is_early = self.last.is_some_and(|last| now.saturating_duration_since(last) < interval);
        if !is_early {
            self.last = Some(now);
        }
        // All but the first of several have no interval at all.
        self.count += pings - u64::from(!is_early);
        self.count > MAX_STRIKES
    }
}

#[cfg(all(test, not(turnstile_loom)))]
mod tests {
    use super::{PingPolicy, Strikes};
    use crate::transport::h2::traffic::Sent;
    use std::time::{Duration, Instant};

    const NOTHING: Sent = Sent { forgiving: 0, data: 0 };
    const HEADERS: Sent = Sent { forgiving: 1, data: 0 };
    const REPLY: Sent = Sent { forgiving: 3, data: 1 };
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;

    /// Whether a client is ended by each of its PINGs, which come so many seconds after the
    /// beginning, when this was sent since the one before.
    #[track_caller]
    fn check(policy: PingPolicy, has_calls: bool, pings: &[(u64, Sent)], expected: &[bool]) {
        let start = Instant::now();
        let mut strikes = Strikes::default();
        let judge = |&(at, sent): &(u64, Sent)| {
            let clock = || start + Duration::from_secs(at);
            strikes.on_pings(1, sent, &policy, || has_calls, clock)
        };
        assert_eq!(pings.iter().map(judge).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_third_early_ping_is_one_too_many() {
        let pings = [(0, NOTHING), (1, NOTHING), (2, NOTHING), (3, NOTHING)];
        check(PingPolicy::default(), true, &pings, &[false, false, false, true]);
    }

    #[test]
    fn pings_that_keep_the_interval_are_no_strikes() {
        let pings: Vec<_> = (0..9).map(|n| (n * 5 * MINUTE, NOTHING)).collect();
        check(PingPolicy::default(), true, &pings, &[false; 9]);
    }

    #[test]
    fn without_calls_the_interval_is_two_hours_unless_it_is_permitted_to_be_less() {
        let pings: Vec<_> = (0..4).map(|n| (n * 5 * MINUTE, NOTHING)).collect();
        check(PingPolicy::default(), false, &pings, &[false, false, false, true]);
        let permits = PingPolicy { permit_without_calls: true, ..PingPolicy::default() };
        check(permits, false, &pings, &[false; 4]);
        let pings: Vec<_> = (0..4).map(|n| (n * 2 * HOUR, NOTHING)).collect();
        check(PingPolicy::default(), false, &pings, &[false; 4]);
    }

    #[test]
    fn strikes_are_kept_between_pings_in_time_and_forgotten_with_what_is_sent() {
        let pings =
            [(0, NOTHING), (1, NOTHING), (2, NOTHING), (HOUR, NOTHING), (HOUR + 1, NOTHING)];
        check(PingPolicy::default(), true, &pings, &[false, false, false, false, true]);
        let pings = [(0, NOTHING), (1, NOTHING), (2, NOTHING), (3, HEADERS), (4, NOTHING)];
        check(PingPolicy::default(), true, &pings, &[false; 5]);
    }

    /// As the gRFC has it: each second one is early.
    #[test]
    fn the_interval_is_counted_from_the_last_ping_in_time() {
        let pings: Vec<_> = (0..6).map(|n| (n * 4 * MINUTE, NOTHING)).collect();
        check(PingPolicy::default(), true, &pings, &[false, false, false, false, false, true]);
    }

    #[test]
    fn pings_that_come_together_are_early_all_but_the_first() {
        let policy = PingPolicy::default();
        let clock = Instant::now;
        assert!(!Strikes::default().on_pings(3, NOTHING, &policy, || true, clock));
        assert!(Strikes::default().on_pings(4, NOTHING, &policy, || true, clock));
    }

    /// A client that measures: a PING for each piece of data, and all are there at once.
    #[test]
    fn each_data_frame_excuses_a_ping_whenever_it_comes_and_no_clock_is_read() {
        let policy = PingPolicy::default();
        let no_clock = || -> Instant { panic!("the clock is read") };
        let mut strikes = Strikes::default();
        for _ in 0..1000 {
            assert!(!strikes.on_pings(1, REPLY, &policy, || true, no_clock));
        }
        let burst = Sent { forgiving: 20, data: 20 };
        assert!(!strikes.on_pings(1, burst, &policy, || true, no_clock));
        for _ in 1..20 {
            assert!(!strikes.on_pings(1, NOTHING, &policy, || true, no_clock));
        }
    }

    #[test]
    fn what_is_excused_in_advance_has_a_bound() {
        let sent = Sent { forgiving: 1_000_000, data: 1_000_000 };
        let pings = super::MAX_EXCUSED + 1 + super::MAX_STRIKES;
        let policy = PingPolicy::default();
        assert!(!Strikes::default().on_pings(pings, sent, &policy, || true, Instant::now));
        assert!(Strikes::default().on_pings(pings + 1, sent, &policy, || true, Instant::now));
    }

    #[test]
    fn without_an_interval_nothing_is_early() {
        let policy = PingPolicy { min_interval: Duration::ZERO, permit_without_calls: true };
        let mut strikes = Strikes::default();
        assert!(!strikes.on_pings(1_000, NOTHING, &policy, || false, Instant::now));
    }
}
