//! The turn of a transport or a task: one thread at a time drives it, and no wake is lost.
//!
//! ```text
//!            notify               begin              end
//!   IDLE ------------> NOTIFIED ----------> RUNNING -----> IDLE
//!                                            |   ^
//!                                     notify |   | end: run once more
//!                                            v   |
//!                                           RUN_AGAIN            (close: CLOSED, for ever)
//! ```

use crate::sync::{
    AtomicU8,
    Ordering::{AcqRel, Acquire},
};

const IDLE: u8 = 0;
const NOTIFIED: u8 = 1;
const RUNNING: u8 = 2;
const RUN_AGAIN: u8 = 3;
const CLOSED: u8 = 4;

/// Whose turn it is to drive something.
#[derive(Debug)]
pub(crate) struct Turn(AtomicU8);

impl Turn {
    /// Nobody drives, and nobody is asked to.
    pub(crate) fn new() -> Self {
        Self(AtomicU8::new(IDLE))
    }

    /// There is something to do. True if a run must be scheduled, or is; false if one is under
    /// way, which will see to it, or if it is closed.
    #[must_use]
    pub(crate) fn notify(&self) -> bool {
        matches!(self.wake(), IDLE | NOTIFIED)
    }

    /// The same for something whose scheduled run is there for any thread to take: true only for
    /// the one who must schedule it.
    #[must_use]
    pub(crate) fn notify_once(&self) -> bool {
        self.wake() == IDLE
    }

    fn wake(&self) -> u8 {
        self.update(|state| match state {
            IDLE => NOTIFIED,
            RUNNING => RUN_AGAIN,
            other => other,
        })
    }

    /// Takes the turn. False if another thread has it (it will run once more) or it is closed.
    #[must_use]
    pub(crate) fn begin(&self) -> bool {
        let before = self.update(|state| match state {
            IDLE | NOTIFIED => RUNNING,
            RUNNING => RUN_AGAIN,
            other => other,
        });
        matches!(before, IDLE | NOTIFIED)
    }

    /// Gives the turn back; false if it must be used once more first, because somebody notified
    /// meanwhile.
    #[must_use]
    pub(crate) fn end(&self) -> bool {
        let before = self.update(|state| match state {
            RUNNING => IDLE,
            RUN_AGAIN => RUNNING,
            other => other,
        });
        before != RUN_AGAIN
    }

    /// Gives the turn back as notified: the caller has scheduled the next run.
    pub(crate) fn end_notified(&self) {
        self.update(|state| if state == CLOSED { CLOSED } else { NOTIFIED });
    }

    /// Ends all turns.
    pub(crate) fn close(&self) {
        self.update(|_| CLOSED);
    }

    fn update(&self, next: impl Fn(u8) -> u8) -> u8 {
        let mut state = self.0.load(Acquire);
        loop {
            match self.0.compare_exchange(state, next(state), AcqRel, Acquire) {
                Ok(before) => return before,
                Err(now) => state = now,
            }
        }
    }
}

#[cfg(all(test, not(turnstile_loom)))]
mod tests {
    use super::Turn;

    #[test]
    fn a_notification_before_a_run_wants_one_to_be_scheduled() {
        let turn = Turn::new();
        assert!(turn.notify());
        assert!(turn.notify(), "the one who has it scheduled may be away");
        assert!(turn.begin());
        assert!(turn.end());
        assert!(turn.notify());
    }

    #[test]
    fn one_of_several_notifications_schedules_the_run_that_is_there_for_any_thread() {
        let turn = Turn::new();
        assert!(turn.notify_once());
        assert!(!turn.notify_once());
        assert!(turn.begin());
        assert!(!turn.notify_once(), "the run under way sees to it");
        assert!(!turn.end());
        turn.end_notified();
        assert!(!turn.notify_once(), "its run is scheduled already");
    }

    #[test]
    fn a_notification_during_a_run_is_one_more_run() {
        let turn = Turn::new();
        assert!(turn.begin());
        assert!(!turn.notify());
        assert!(!turn.notify());
        assert!(!turn.end());
        assert!(turn.end());
    }

    #[test]
    fn only_one_thread_has_the_turn() {
        let turn = Turn::new();
        assert!(turn.begin());
        assert!(!turn.begin());
        assert!(!turn.end(), "the second asked for a run");
        assert!(turn.end());
        assert!(turn.begin());
    }

    #[test]
    fn a_closed_turn_is_never_taken_again() {
        let turn = Turn::new();
        assert!(turn.begin());
        turn.close();
        assert!(turn.end());
        assert!(!turn.notify());
        assert!(!turn.begin());
        turn.end_notified();
        assert!(!turn.begin());
    }
}

#[cfg(all(test, turnstile_loom))]
mod loom_models {
    use super::Turn;
    use loom::sync::Mutex;
    use loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use loom::thread;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize as StdAtomicUsize, Ordering::SeqCst};

    /// Something that is driven: each notification comes after a piece of work.
    struct Driven {
        turn: Turn,
        /// Relaxed, so that only the turn itself can make it visible to the driver.
        work: AtomicUsize,
        seen: StdAtomicUsize,
        drivers: StdAtomicUsize,
    }

    impl Driven {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                turn: Turn::new(),
                work: AtomicUsize::new(0),
                seen: StdAtomicUsize::new(0),
                drivers: StdAtomicUsize::new(0),
            })
        }

        fn add_work(&self) {
            self.work.fetch_add(1, Relaxed);
            if self.turn.notify() {
                self.run();
            }
        }

        fn run(&self) {
            if !self.turn.begin() {
                return;
            }
            loop {
                assert_eq!(self.drivers.fetch_add(1, SeqCst), 0, "two drivers");
                self.seen.store(self.work.load(Relaxed), SeqCst);
                assert_eq!(self.drivers.fetch_sub(1, SeqCst), 1);
                if self.turn.end() {
                    return;
                }
            }
        }
    }

    #[test]
    fn no_notification_is_lost_and_one_thread_drives() {
        loom::model(|| {
            let driven = Driven::new();
            let others = [(); 2].map(|()| {
                let driven = driven.clone();
                thread::spawn(move || driven.add_work())
            });
            for other in others {
                other.join().unwrap();
            }
            assert_eq!(driven.seen.load(SeqCst), 2);
        });
    }

    /// A task, whose scheduled runs any thread takes.
    struct Queued {
        driven: Driven,
        scheduled: Mutex<usize>,
    }

    impl Queued {
        fn add_work(&self) {
            self.driven.work.fetch_add(1, Relaxed);
            if self.driven.turn.notify_once() {
                self.schedule();
            }
        }

        fn schedule(&self) {
            let mut scheduled = self.scheduled.lock().unwrap();
            *scheduled += 1;
            assert_eq!(*scheduled, 1, "scheduled twice");
        }

        /// Takes a scheduled run, if there is one.
        fn take(&self) -> bool {
            let mut scheduled = self.scheduled.lock().unwrap();
            let is_one = *scheduled > 0;
            *scheduled -= usize::from(is_one);
            is_one
        }

        fn run_all(&self) {
            let Driven { turn, work, seen, drivers } = &self.driven;
            while self.take() {
                assert!(turn.begin(), "a scheduled run finds the turn free");
                assert_eq!(drivers.fetch_add(1, SeqCst), 0, "two drivers");
                seen.store(work.load(Relaxed), SeqCst);
                assert_eq!(drivers.fetch_sub(1, SeqCst), 1);
                if !turn.end() {
                    turn.end_notified();
                    self.schedule();
                }
            }
        }
    }

    #[test]
    fn a_run_that_waits_for_any_thread_is_scheduled_once_and_loses_no_notification() {
        loom::model(|| {
            let driven = Driven {
                turn: Turn::new(),
                work: AtomicUsize::new(0),
                seen: StdAtomicUsize::new(0),
                drivers: StdAtomicUsize::new(0),
            };
            let queued = Arc::new(Queued { driven, scheduled: Mutex::new(0) });
            let notifier = thread::spawn({
                let queued = queued.clone();
                move || queued.add_work()
            });
            let runner = thread::spawn({
                let queued = queued.clone();
                move || queued.run_all()
            });
            queued.add_work();
            queued.run_all();
            notifier.join().unwrap();
            runner.join().unwrap();
            // The threads in `run` come back for what is scheduled.
            queued.run_all();
            assert_eq!(queued.driven.seen.load(SeqCst), 2);
        });
    }

    #[test]
    fn a_run_without_a_notification_loses_none_either() {
        loom::model(|| {
            let driven = Driven::new();
            let other = thread::spawn({
                let driven = driven.clone();
                move || driven.add_work()
            });
            driven.run();
            other.join().unwrap();
            assert_eq!(driven.seen.load(SeqCst), 1);
        });
    }
}
