//! A point in time to wait for, or none.

use std::time::{Duration, Instant};

/// When a wait ends.
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
    pub const fn at(instant: Instant) -> Self {
        Self(Kind::At(instant))
    }

    /// Passes in `duration` from now; a duration too long for the clock never passes.
    pub fn after(duration: Duration) -> Self {
        Instant::now().checked_add(duration).map_or(Self::NONE, Self::at)
    }

    /// Whether it has passed.
    pub fn has_passed(self) -> bool {
        match self.0 {
            Kind::Now => true,
            Kind::At(instant) => instant <= Instant::now(),
            Kind::None => false,
        }
    }

    /// How long until it passes (zero if it has), or `None` if it never does.
    pub fn remaining(self) -> Option<Duration> {
        match self.0 {
            Kind::Now => Some(Duration::ZERO),
            Kind::At(instant) => Some(instant.saturating_duration_since(Instant::now())),
            Kind::None => None,
        }
    }

    /// The instant, if it is one.
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
