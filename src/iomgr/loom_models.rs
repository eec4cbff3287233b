//! Models of the readiness cell: `RUSTFLAGS="--cfg turnstile_loom" cargo test --release loom_`.

use super::readiness::{ReadinessCell, Reason};
use crate::sync::{AtomicUsize, Mutex, Ordering::SeqCst};
use crate::testing::CountingWaker;
use loom::thread;
use std::io;
use std::sync::Arc;
use std::task::{Poll, Waker};

fn reason() -> Reason {
    Reason::new(io::Error::new(io::ErrorKind::ConnectionAborted, "the model says so"))
}

fn event(cell: &Mutex<ReadinessCell>) {
    let fired = cell.lock().set_ready();
    fired.into_iter().for_each(Waker::wake);
}

fn arm(cell: &Mutex<ReadinessCell>, waker: &CountingWaker) -> Poll<io::Result<()>> {
    cell.lock().arm(&waker.waker()).0
}

#[test]
fn an_event_is_seen_by_the_arming_or_fires_its_waker() {
    loom::model(|| {
        let cell = Arc::new(Mutex::<ReadinessCell>::default());
        let waker = CountingWaker::new();
        let event = thread::spawn({
            let cell = cell.clone();
            move || event(&cell)
        });
        let armed = arm(&cell, &waker);
        event.join().unwrap();
        match armed {
            Poll::Ready(result) => {
                result.unwrap();
                assert_eq!(waker.count(), 0, "told twice");
            }
            Poll::Pending => {
                assert_eq!(waker.count(), 1);
                assert!(matches!(arm(&cell, &waker), Poll::Ready(Ok(()))), "used up");
            }
        }
        assert!(arm(&cell, &waker).is_pending(), "one event, used up twice");
    });
}

/// A closure that is armed once reads each time that it is fired, and before it is armed. What was made
/// ready before an event is read at the latest when that is found.
#[test]
fn what_comes_with_an_event_is_read_by_who_is_armed_once() {
    loom::model(|| {
        let cell = Arc::new(Mutex::<ReadinessCell>::default());
        let (waker, sent) = (CountingWaker::new(), Arc::new(AtomicUsize::new(0)));
        let sender = thread::spawn({
            let (cell, sent) = (cell.clone(), sent.clone());
            move || {
                for _ in 0..2 {
                    sent.fetch_add(1, SeqCst);
                    event(&cell);
                }
            }
        });
        let read_and_arm = || {
            loop {
                let seen = sent.fetch_add(0, SeqCst);
                let (armed, unused) = cell.lock().arm_once(waker.waker());
                drop(unused);
                if armed.is_pending() {
                    return seen;
                }
            }
        };
        let (mut seen, mut runs) = (read_and_arm(), 0);
        // In the middle of it, and when all is sent: it runs as often as it was fired.
        if waker.count() > runs {
            (seen, runs) = (read_and_arm(), runs + 1);
        }
        sender.join().unwrap();
        while waker.count() > runs {
            (seen, runs) = (read_and_arm(), runs + 1);
        }
        assert_eq!(seen, 2, "it was not fired for the last");
    });
}

#[test]
fn two_events_fire_one_arming_once() {
    loom::model(|| {
        let cell = Arc::new(Mutex::<ReadinessCell>::default());
        let waker = CountingWaker::new();
        assert!(arm(&cell, &waker).is_pending());
        let other = thread::spawn({
            let cell = cell.clone();
            move || event(&cell)
        });
        event(&cell);
        other.join().unwrap();
        assert_eq!(waker.count(), 1);
    });
}

#[test]
fn shutdown_reaches_an_arming_whatever_else_happens() {
    loom::model(|| {
        let cell = Arc::new(Mutex::<ReadinessCell>::default());
        let waker = CountingWaker::new();
        let shutdown = thread::spawn({
            let cell = cell.clone();
            move || {
                let fired = cell.lock().shutdown(reason());
                fired.into_iter().for_each(Waker::wake);
            }
        });
        let event = thread::spawn({
            let cell = cell.clone();
            move || event(&cell)
        });
        let armed = arm(&cell, &waker);
        shutdown.join().unwrap();
        event.join().unwrap();
        // An event that fires first uses the arming up, and the shutdown is found by the next.
        assert_eq!(waker.count(), usize::from(armed.is_pending()));
        assert!(matches!(arm(&cell, &waker), Poll::Ready(Err(_))));
        assert_eq!(waker.count(), usize::from(armed.is_pending()), "nothing is armed any more");
    });
}
