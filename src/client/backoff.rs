//! When a connection that failed is tried again, as gRPC's connection backoff document has it. Pure.
//!
//! ```text
//!   attempt begins ---- at least until here it may take: MIN_CONNECT_TIME ----|
//!        |------ backoff: 1 s, x 1.6 each time, at most 120 s, +- 20 % ------|--> next attempt
//! ```
//!
//! The backoff counts from the beginning of an attempt, so that one that takes long is followed by the
//! next at once. It starts anew when a server has sent its SETTINGS.

use std::time::{Duration, Instant};

/// The time between the beginnings of two attempts (connection-backoff.md).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BackoffRules {
    /// After the first failure.
    pub(crate) initial: Duration,
    /// At most.
    pub(crate) max: Duration,
    /// How long an attempt may take at least, at each address.
    pub(crate) min_connect_time: Duration,
}

const MULTIPLIER: f64 = 1.6;
const JITTER: f64 = 0.2;

/// What an application may ask for: not to do nothing else, and what can be reckoned with.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl Default for BackoffRules {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(1),
            max: Duration::from_secs(120),
            min_connect_time: Duration::from_secs(20),
        }
    }
}

/// The attempts to reach one server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    rules: BackoffRules,
    next: Duration,
}

/// One attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    /// The next one does not begin before.
    pub(super) next: Instant,
    /// How long this one may take at an address.
    pub(super) time: Duration,
}

impl Backoff {
    pub(super) fn new(rules: BackoffRules) -> Self {
        let [initial, max] = [rules.initial, rules.max].map(|it| it.clamp(SHORTEST, LONGEST));
        let rules = BackoffRules { initial, max, ..rules };
        Self { rules, next: rules.initial }
    }

    /// An attempt begins. `fraction` is a random number from 0 to 1.
    pub(super) fn begin(&mut self, now: Instant, fraction: f64) -> Attempt {
        let current = self.next;
        self.next = current.mul_f64(MULTIPLIER).min(self.rules.max);
        let wait = current.mul_f64(1.0 + JITTER * (2.0 * fraction - 1.0));
        Attempt { next: now + wait, time: wait.max(self.rules.min_connect_time) }
    }

    /// The server is there.
    pub(super) fn reset(&mut self) {
        self.next = self.rules.initial;
    }
}

#[cfg(test)]
mod tests {
    use super::{Backoff, BackoffRules};
    use std::time::{Duration, Instant};

    fn waits(backoff: &mut Backoff, fraction: f64, count: usize) -> Vec<f64> {
        let now = Instant::now();
        let wait = |_| (backoff.begin(now, fraction).next - now).as_secs_f64();
        (0..count).map(wait).collect()
    }

    fn assert_close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
        }
    }

    #[test]
    fn waits_grow_by_three_fifths_up_to_two_minutes() {
        let mut backoff = Backoff::new(BackoffRules::default());
        let found = waits(&mut backoff, 0.5, 14);
        assert_close(&found[..6], &[1.0, 1.6, 2.56, 4.096, 6.5536, 10.48576]);
        assert_close(&found[11..], &[120.0; 3]);
    }

    #[test]
    fn jitter_is_a_fifth_either_way_and_does_not_add_up() {
        let mut backoff = Backoff::new(BackoffRules::default());
        assert_close(&waits(&mut backoff, 0.0, 2), &[0.8, 1.28]);
        assert_close(&waits(&mut backoff, 1.0, 1), &[2.56 * 1.2]);
        assert_close(&waits(&mut backoff, 0.5, 1), &[4.096]);
    }

    #[test]
    fn it_is_never_nothing_and_never_for_ever() {
        let waits_of = |time| {
            let rules = BackoffRules { initial: time, max: time, min_connect_time: time };
            waits(&mut Backoff::new(rules), 0.5, 3)
        };
        assert_close(&waits_of(Duration::ZERO), &[0.001; 3]);
        assert_close(&waits_of(Duration::MAX), &[365.0 * 86_400.0; 3]);
    }

    #[test]
    fn a_server_that_is_there_begins_anew() {
        let mut backoff = Backoff::new(BackoffRules::default());
        waits(&mut backoff, 0.5, 5);
        backoff.reset();
        assert_close(&waits(&mut backoff, 0.5, 2), &[1.0, 1.6]);
    }

    #[test]
    fn an_attempt_may_take_twenty_seconds_or_as_long_as_the_wait() {
        let mut backoff = Backoff::new(BackoffRules::default());
        let now = Instant::now();
        assert_eq!(backoff.begin(now, 0.5).time, Duration::from_secs(20));
        waits(&mut backoff, 0.5, 12);
        assert_eq!(backoff.begin(now, 0.5).time, Duration::from_secs(120));
    }
}
