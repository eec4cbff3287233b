//! A point in time to wait for, or none.

use std::time::{Duration, Instant};

/// When a wait ends: at a point of the system's monotonic clock, at once, or never.
///
/// ```
/// use std::time::Duration;
/// use turnstile::Deadline;
///
/// assert!(Deadline::NOW.has_passed());
/// assert!(!Deadline::NONE.has_passed());
/// assert!(Deadline::after(Duration::from_secs(60)).remaining() > Some(Duration::from_secs(59)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Now,
    At(Instant),
    None,
}

impl Deadline {
    /// Has passed already: take what is there and do not wait.
    pub const NOW: Self = Self(Kind::Now);

    /// Never passes.
    pub const NONE: Self = Self(Kind::None);

    /// Passes at `instant`.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use turnstile::Deadline;
    ///
    /// let until = Instant::now() + Duration::from_secs(1);
    /// assert_eq!(Deadline::at(until).instant(), Some(until));
    /// assert_eq!(Deadline::from(until), Deadline::at(until));
    /// ```
    pub const fn at(instant: Instant) -> Self {
        Self(Kind::At(instant))
    }

    /// Passes in `duration` from now; a duration too long for the clock never passes.
    ///
    /// ```
    /// use std::time::Duration;
    /// use turnstile::Deadline;
    ///
    /// assert!(!Deadline::after(Duration::from_secs(1)).has_passed());
    /// assert_eq!(Deadline::after(Duration::MAX), Deadline::NONE);
    /// ```
    pub fn after(duration: Duration) -> Self {
        Instant::now().checked_add(duration).map_or(Self::NONE, Self::at)
    }

    /// Whether it has passed.
    ///
    /// ```
    /// use turnstile::Deadline;
    ///
    /// /// Does work in steps, for as long as somebody wants it.
    /// fn count(deadline: Deadline) -> u64 {
    ///     let mut steps = 0;
    ///     while !deadline.has_passed() {
    ///         steps += 1;
    ///     }
    ///     steps
    /// }
    /// assert_eq!(count(Deadline::NOW), 0);
    /// ```
    pub fn has_passed(self) -> bool {
        self.has_passed_at(Instant::now)
    }

    /// The same by another clock, which is asked only if the answer depends on it.
    pub(crate) fn has_passed_at(self, now: impl FnOnce() -> Instant) -> bool {
        match self.0 {
            Kind::Now => true,
            Kind::At(instant) => instant <= now(),
            Kind::None => false,
        }
    }

    /// How long until it passes (zero if it has), or `None` if it never does.
    ///
    /// ```
    /// use std::time::Duration;
    /// use turnstile::Deadline;
    ///
    /// /// How long a query may take: what is left, and 5 seconds at most.
    /// fn query_timeout(deadline: Deadline) -> Duration {
    ///     deadline.remaining().map_or(Duration::from_secs(5), |left| left.min(Duration::from_secs(5)))
    /// }
    /// assert_eq!(query_timeout(Deadline::NOW), Duration::ZERO);
    /// assert_eq!(query_timeout(Deadline::NONE), Duration::from_secs(5));
    /// ```
    pub fn remaining(self) -> Option<Duration> {
        match self.0 {
            Kind::Now => Some(Duration::ZERO),
            Kind::At(instant) => Some(instant.saturating_duration_since(Instant::now())),
            Kind::None => None,
        }
    }

    /// The instant, if it is one.
    ///
    /// ```
    /// use turnstile::Deadline;
    ///
    /// assert_eq!(Deadline::NONE.instant(), None);
    /// assert_eq!(Deadline::NOW.instant(), None);
    /// ```
    pub fn instant(self) -> Option<Instant> {
        match self.0 {
            Kind::At(instant) => Some(instant),
            Kind::Now | Kind::None => None,
        }
    }
}

impl From<Instant> for Deadline {
    fn from(instant: Instant) -> Self {
        Self::at(instant)
    }
}
