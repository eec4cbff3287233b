//! What to do about an error of the system that does not pass: say it once, and rest.
//!
//! A wait that fails at once, again and again, would be a busy loop that floods the log. It fails for
//! good if somebody has closed the engine's fd (EBADF), and for a while without memory (ENOMEM). Timers
//! and closures from outside still have their time, so that the poller goes on, with growing rests.

use crate::sync::Mutex;
use std::io;
use std::time::{Duration, Instant};

/// The first rest, which each failure doubles, and the longest: a kick may wait so long for a poller
/// that cannot wait for it.
const FIRST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(100);

/// After so long an error is told again.
const AGAIN: Duration = Duration::from_secs(60);

/// The errors that were told.
#[derive(Default)]
pub(super) struct Trouble {
    /// Each with when that was. A leaf lock.
    told: Mutex<Vec<(Kind, Instant)>>,
}

type Kind = (io::ErrorKind, Option<i32>);

impl Trouble {
    /// Whether this error must be told, which the caller does.
    pub(super) fn is_new(&self, error: &io::Error, now: Instant) -> bool {
        let kind = (error.kind(), error.raw_os_error());
        let mut told = self.told.lock();
        let known = told.iter_mut().find(|(other, _)| *other == kind);
        match known {
            Some((_, at)) if now.saturating_duration_since(*at) < AGAIN => return false,
            Some((_, at)) => *at = now,
            None => told.push((kind, now)),
        }
        true
    }
}

/// How long a poller rests after each of its failures.
#[derive(Default)]
pub(super) struct Rests {
    next: Option<Duration>,
}

impl Rests {
    /// After one more.
    pub(super) fn after_failure(&mut self) -> Duration {
        let rest = self.next.unwrap_or(FIRST);
        self.next = Some((rest * 2).min(LONGEST));
        rest
    }
}

#[cfg(all(test, not(turnstile_loom)))]
mod tests {
    use super::{AGAIN, LONGEST, Rests, Trouble};
    use crate::iomgr::posix::sys::errno::{EBADF, ENOMEM};
    use std::io::Error;
    use std::time::{Duration, Instant};

    #[test]
    fn each_kind_of_error_is_told_once_a_minute() {
        let (trouble, now) = (Trouble::default(), Instant::now());
        let is_new = |number, now| trouble.is_new(&Error::from_raw_os_error(number), now);
        assert!(is_new(EBADF, now) && is_new(ENOMEM, now));
        let later = now + AGAIN - Duration::from_nanos(1);
        assert!(!is_new(EBADF, later) && !is_new(ENOMEM, later));
        assert!(is_new(EBADF, now + AGAIN) && !is_new(EBADF, now + AGAIN));
    }

    #[test]
    fn rests_grow_up_to_the_longest() {
        let mut rests = Rests::default();
        let millis: Vec<_> = (0..9).map(|_| rests.after_failure().as_millis()).collect();
        assert_eq!(millis, [1, 2, 4, 8, 16, 32, 64, 100, 100]);
        assert_eq!(rests.after_failure(), LONGEST);
    }
}
