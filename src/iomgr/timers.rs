//! Timers: closures that are due at an instant. Pure; the caller brings the clock.

use super::exec_ctx::Run;
use crate::sync::{AtomicU64, LoadInOrder, Mutex, Ordering::SeqCst};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The timers of one I/O manager.
#[repr(C)] // What every look at an engine asks for comes first: see the manager.
pub(crate) struct Timers {
    /// When the earliest is due, in nanoseconds after `start`; [`NEVER`] if there is none. Stored under
    /// the lock, and loaded without.
    earliest: AtomicU64,
    /// A leaf lock: nothing is locked or run while it is held.
    state: Mutex<State>,
    start: Instant,
}

const NEVER: u64 = u64::MAX;

#[derive(Default)]
struct State {
    due: BTreeMap<TimerId, Arc<dyn Run>>,
    /// Tells timers of the same instant apart, in the order in which they were made.
    next_serial: u64,
}

/// Names a timer, for [`Timers::cancel`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimerId {
    deadline: Instant,
    serial: u64,
}

impl Default for Timers {
    fn default() -> Self {
        let earliest = AtomicU64::new(NEVER);
        // As in `Role::new`.
        #[cfg(turnstile_loom)]
        earliest.swap(NEVER, SeqCst);
        Self { state: Mutex::default(), earliest, start: Instant::now() }
    }
}

impl Timers {
    /// The state has changed.
    fn note_earliest(&self, state: &State) {
        let earliest = state.due.first_key_value().map_or(NEVER, |(id, _)| {
            let nanos = id.deadline.saturating_duration_since(self.start).as_nanos();
            // 584 years are as good as ever.
            u64::try_from(nanos).unwrap_or(NEVER - 1).min(NEVER - 1)
        });
        self.earliest.swap(earliest, SeqCst);
    }

    /// Adds a timer. The flag says that it is the earliest now, so that whoever sleeps until the
    /// former earliest must be woken.
    pub(crate) fn add(&self, deadline: Instant, closure: Arc<dyn Run>) -> (TimerId, bool) {
        let mut state = self.state.lock();
        let id = TimerId { deadline, serial: state.next_serial };
        state.next_serial += 1;
        state.due.insert(id, closure);
        let is_first = state.due.first_key_value().is_some_and(|(first, _)| *first == id);
        if is_first {
            self.note_earliest(&state);
        }
        (id, is_first)
    }

    /// Takes the timer out; its closure comes back if it has not been taken by
    /// [`take_due`](Self::take_due). So a closure is run, or comes back here, and never both.
    pub(crate) fn cancel(&self, id: TimerId) -> Option<Arc<dyn Run>> {
        let mut state = self.state.lock();
        let closure = state.due.remove(&id);
        self.note_earliest(&state);
        closure
    }

    /// How many there are.
    #[cfg(all(test, not(turnstile_loom)))]
    pub(crate) fn len(&self) -> usize {
        self.state.lock().due.len()
    }

    /// When the next timer is due; a time that has passed may be given as a later one.
    #[inline]
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let earliest = self.earliest.load_in_order();
        (earliest != NEVER).then(|| self.start + Duration::from_nanos(earliest))
    }

    /// The closures that are due at `now`, the earliest first.
    pub(crate) fn take_due(&self, now: Instant) -> Vec<Arc<dyn Run>> {
        let mut state = self.state.lock();
        let mut due = Vec::new();
        while let Some(first) = state.due.first_entry() {
            if first.key().deadline > now {
                break;
            }
            due.push(first.remove());
        }
        if !due.is_empty() {
            self.note_earliest(&state);
        }
        due
    }
}

#[cfg(all(test, not(turnstile_loom)))]
mod tests {
    use super::Timers;
    use crate::iomgr::exec_ctx::Run;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    struct Nothing;

    impl Run for Nothing {
        fn run(self: Arc<Self>) {}
    }

    #[test]
    fn timers_come_out_by_deadline_and_then_by_age() {
        let timers = Timers::default();
        let start = Instant::now();
        let closures: Vec<Arc<dyn Run>> =
            (0..4).map(|_| Arc::new(Nothing) as Arc<dyn Run>).collect();
        for (closure, millis) in closures.iter().zip([30, 10, 20, 10]) {
            timers.add(start + Duration::from_millis(millis), closure.clone());
        }
        assert_eq!(timers.next_deadline(), Some(start + Duration::from_millis(10)));
        assert!(timers.take_due(start + Duration::from_millis(9)).is_empty());
        let due = timers.take_due(start + Duration::from_millis(20));
        assert_eq!(due.len(), 3);
        for (got, want) in due.iter().zip([1, 3, 2]) {
            assert!(Arc::ptr_eq(got, &closures[want]));
        }
        assert_eq!(timers.next_deadline(), Some(start + Duration::from_millis(30)));
    }

    #[test]
    fn a_timer_is_taken_or_cancelled_but_not_both() {
        let timers = Timers::default();
        let now = Instant::now();
        let (taken, _) = timers.add(now, Arc::new(Nothing));
        let (cancelled, _) = timers.add(now + Duration::from_secs(1), Arc::new(Nothing));
        assert_eq!(timers.take_due(now).len(), 1);
        assert!(timers.cancel(taken).is_none());
        assert!(timers.cancel(cancelled).is_some());
        assert!(timers.cancel(cancelled).is_none());
        assert_eq!(timers.next_deadline(), None);
    }

    #[test]
    fn only_a_new_earliest_timer_asks_for_a_wakeup() {
        let timers = Timers::default();
        let now = Instant::now();
        assert!(timers.add(now + Duration::from_secs(2), Arc::new(Nothing)).1);
        assert!(timers.add(now + Duration::from_secs(1), Arc::new(Nothing)).1);
        assert!(!timers.add(now + Duration::from_secs(1), Arc::new(Nothing)).1);
        assert!(!timers.add(now + Duration::from_secs(3), Arc::new(Nothing)).1);
    }
}
