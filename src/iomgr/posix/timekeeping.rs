//! Who minds the timers while threads sleep.
//!
//! Where one thread polls at a time, it sleeps no longer than to the earliest timer. Where several
//! do, the engine's clock calls one of them in time. If there is no clock to be had, each poller minds
//! the time itself, and it is written down here until when each of them sleeps: one that leaves, and
//! was the only one to wake in time, calls another.

use super::engine::PollingEngine;
use super::trouble::Trouble;
use crate::iomgr::timers::Timers;
use crate::sync::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::time::Instant;

#[derive(Default)]
pub(super) struct TimeKeeping {
    /// Locked before what the engine locks when it sets its clock.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When the engine's clock expires, if it is set.
    clock: Option<Instant>,
    /// When those wake by themselves that sleep without a clock, and how many at a time.
    wakes: BTreeMap<Instant, usize>,
}

/// Somebody wakes in time, until this is dropped.
#[must_use]
pub(super) struct Minding<'a> {
    keeping: &'a TimeKeeping,
    until: Instant,
}

impl TimeKeeping {
    /// Whether one of those that sleep is woken at the earliest timer, without minding it.
    pub(super) fn is_by_clock(
        &self,
        engine: &dyn PollingEngine,
        timers: &Timers,
        trouble: &Trouble,
    ) -> bool {
        if !engine.keeps_pollsets_apart() {
            return false;
        }
        // Both are looked at under the lock: whoever was late would set the clock to what is not
        // the earliest any more, and take back its last call.
        let mut state = self.state.lock();
        let Some(timer) = timers.next_deadline() else { return true };
        let now = engine.now();
        if state.clock.is_some_and(|set| now < set && set <= timer) {
            return true;
        }
        let set = engine.set_clock(timer.saturating_duration_since(now));
        state.clock = set.is_ok().then_some(timer);
        drop(state);
        if let Err(error) = &set
            // That is an engine without a clock.
            && error.kind() != io::ErrorKind::Unsupported
            && trouble.is_new(error, now)
        {
            tracing::error!(%error, engine = engine.name(), "the clock cannot be set");
        }
        set.is_ok()
    }

    /// The caller sleeps until then at most.
    pub(super) fn mind(&self, until: Instant) -> Minding<'_> {
        *self.state.lock().wakes.entry(until).or_default() += 1;
        Minding { keeping: self, until }
    }

    /// Whether one of those that sleep without a clock wakes for `timer`.
    pub(super) fn is_minded(&self, timer: Instant) -> bool {
        self.state.lock().wakes.first_key_value().is_some_and(|(first, _)| *first <= timer)
    }
}

impl Drop for Minding<'_> {
    fn drop(&mut self) {
        let wakes = &mut self.keeping.state.lock().wakes;
        if let Some(count) = wakes.get_mut(&self.until) {
            *count -= 1;
            if *count == 0 {
                wakes.remove(&self.until);
            }
        }
    }
}
