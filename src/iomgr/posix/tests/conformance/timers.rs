//! Timers: each fires once, or is cancelled, whoever sleeps meanwhile.

use super::{PATIENCE, Says, look, pollset, socket, watched, work_until};
use crate::iomgr::deadline::Deadline;
use crate::iomgr::exec_ctx::{ExecCtx, Run};
use crate::iomgr::posix::manager::Iomgr;
use crate::iomgr::posix::pollset::Pollset;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};

on_every_engine! {
    a_timer_fires_once_and_not_before_its_time,
    a_timer_of_the_past_fires_at_the_next_look,
    a_cancelled_timer_does_not_fire_and_drops_its_closure,
    a_timer_that_has_fired_cannot_be_cancelled,
    a_cancel_that_races_with_the_time_is_one_of_both,
    an_earlier_timer_wakes_a_poller_that_sleeps_for_ever,
    timers_fire_in_time_whoever_sleeps,
}

fn after(millis: u64) -> Instant {
    Instant::now() + Duration::from_millis(millis)
}

fn a_timer_fires_once_and_not_before_its_time(iomgr: &Arc<Iomgr>) {
    let _sockets = [watched(iomgr), watched(iomgr)];
    for pollset in [Pollset::new(), pollset(iomgr)] {
        let ((fired, fires), due) = (mpsc::channel(), after(3));
        iomgr.timer_init(due, Arc::new(Says(fired)));
        let mut count = 0;
        work_until(iomgr, &pollset, || {
            count += fires.try_iter().count();
            assert!(count == 0 || Instant::now() >= due, "too early");
            count > 0
        });
        look(iomgr, &pollset);
        assert_eq!(count + fires.try_iter().count(), 1);
    }
}

fn a_timer_of_the_past_fires_at_the_next_look(iomgr: &Arc<Iomgr>) {
    let (fired, fires) = mpsc::channel();
    iomgr.timer_init(Instant::now(), Arc::new(Says(fired)));
    assert!(fires.try_recv().is_err(), "it runs on who polls");
    look(iomgr, &Pollset::new());
    assert!(fires.try_recv().is_ok());
}

fn a_cancelled_timer_does_not_fire_and_drops_its_closure(iomgr: &Arc<Iomgr>) {
    let ((fired, fires), (other, others)) = (mpsc::channel(), mpsc::channel());
    let closure = Arc::new(Says(fired));
    let timer = iomgr.timer_init(after(1), closure.clone());
    assert!(iomgr.timer_cancel(timer));
    assert_eq!(Arc::strong_count(&closure), 1);
    assert!(!iomgr.timer_cancel(timer), "it is cancelled already");
    iomgr.timer_init(after(3), Arc::new(Says(other)));
    work_until(iomgr, &Pollset::new(), || others.try_recv().is_ok());
    assert!(fires.try_recv().is_err());
}

fn a_timer_that_has_fired_cannot_be_cancelled(iomgr: &Arc<Iomgr>) {
    let (fired, fires) = mpsc::channel();
    let timer = iomgr.timer_init(Instant::now(), Arc::new(Says(fired)));
    work_until(iomgr, &Pollset::new(), || fires.try_recv().is_ok());
    assert!(!iomgr.timer_cancel(timer));
}

/// Counts its runs.
#[derive(Default)]
struct Runs(AtomicUsize);

impl Run for Runs {
    fn run(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn a_cancel_that_races_with_the_time_is_one_of_both(iomgr: &Arc<Iomgr>) {
    let pollset = pollset(iomgr);
    let (mut closures, mut cancelled) = (Vec::new(), Vec::new());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let context = ExecCtx::enter();
                while !pollset.is_shut_down() {
                    iomgr.work(&pollset, Deadline::NONE, || true);
                    context.flush();
                }
            });
        }
        for round in 0..500 {
            let closure = Arc::new(Runs::default());
            let due = Instant::now() + Duration::from_micros(round % 20);
            let timer = iomgr.timer_init(due, closure.clone());
            thread::yield_now();
            cancelled.push(usize::from(iomgr.timer_cancel(timer)));
            closures.push(closure);
        }
        pollset.shutdown(Waker::noop());
    });
    // Nothing is left that could still run.
    look(iomgr, &Pollset::new());
    for (closure, cancelled) in closures.iter().zip(&cancelled) {
        assert_eq!(closure.0.load(SeqCst) + cancelled, 1);
    }
}

fn an_earlier_timer_wakes_a_poller_that_sleeps_for_ever(iomgr: &Arc<Iomgr>) {
    let _sockets = [watched(iomgr), watched(iomgr)];
    for pollset in [Pollset::new(), pollset(iomgr)] {
        let (fired, fires) = mpsc::channel();
        let sleepers = super::Sleepers::default();
        thread::scope(|scope| {
            scope.spawn(|| {
                let context = ExecCtx::enter();
                sleepers.add_this_thread();
                iomgr.work(&pollset, Deadline::NONE, || true);
                context.flush();
            });
            sleepers.wait_for(iomgr, 1);
            let due = after(3);
            iomgr.timer_init(due, Arc::new(Says(fired)));
            fires.recv_timeout(PATIENCE).expect("it sleeps on");
            assert!(Instant::now() >= due, "too early");
        });
    }
}

fn timers_fire_in_time_whoever_sleeps(iomgr: &Arc<Iomgr>) {
    let pollsets = [Pollset::new(), Pollset::new(), Pollset::new()];
    let sockets = [socket(iomgr), socket(iomgr)];
    for (pollset, (fd, _)) in pollsets.iter().zip(&sockets) {
        iomgr.engine().add_to_pollset(pollset, fd.pollee()).unwrap();
    }
    let (fired, fires) = mpsc::channel();
    thread::scope(|scope| {
        for pollset in &pollsets {
            scope.spawn(move || {
                let context = ExecCtx::enter();
                while !pollset.is_shut_down() {
                    iomgr.work(pollset, Deadline::NONE, || true);
                    context.flush();
                }
            });
        }
        // Later ones first, so that each is the earliest when it is set; and one that is alone.
        let start = Instant::now();
        for millis in [30, 20, 10] {
            let due = start + Duration::from_millis(millis);
            iomgr.timer_init(due, Arc::new(Says(fired.clone())));
        }
        for millis in [10, 20, 30] {
            fires.recv_timeout(PATIENCE).expect("a timer was lost");
            assert!(start.elapsed() >= Duration::from_millis(millis), "too early");
        }
        iomgr.timer_init(Instant::now(), Arc::new(Says(fired.clone())));
        fires.recv_timeout(PATIENCE).expect("the timer was lost");
        pollsets.iter().for_each(|pollset| pollset.shutdown(Waker::noop()));
    });
}
