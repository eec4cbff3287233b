//! Models of the turnstile, and of the way in which a sleeping poller is interrupted.

mod calling;
mod hanging_up;
mod sharing;
mod watching;

use super::engine::PollingEngine;
use super::events::Events;
use super::fd_table::FdTable;
use super::manager::Iomgr;
use super::pollable::{Pollable, Source};
use super::pollee::Pollee;
use super::pollset::Pollset;
use crate::iomgr::deadline::Deadline;
use crate::iomgr::exec_ctx::{ExecCtx, Run};
use crate::sync::{AtomicBool, Condvar, Mutex, Ordering};
use crate::testing::CountingWaker;
use loom::thread;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize as StdAtomicUsize;
use std::time::{Duration, Instant};

/// A source without fds, in which a wait ends only by a wake.
#[derive(Default)]
struct Sleeper {
    is_woken: Mutex<bool>,
    changed: Condvar,
}

impl Source for Sleeper {
    fn add(&self, _pollee: &Arc<Pollee>, _fd: &Arc<OwnedFd>) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, _pollee: &Pollee, _fd: BorrowedFd<'_>) -> io::Result<()> {
        Ok(())
    }

    fn wait(&self, timeout: Option<Duration>, _events: &mut Events<'_>) -> io::Result<()> {
        let mut is_woken = self.is_woken.lock();
        while !*is_woken && timeout != Some(Duration::ZERO) {
            is_woken = self.changed.wait_until(is_woken, None);
        }
        *is_woken = false;
        Ok(())
    }

    fn wake(&self) -> io::Result<()> {
        *self.is_woken.lock() = true;
        self.changed.notify_one();
        Ok(())
    }
}

fn pollable() -> Arc<Pollable> {
    // A model must run the same way every time, whatever core it is on.
    Pollable::shared(Box::new(Sleeper::default()), 1, || 0)
}

/// An engine with one pollable.
struct Sleepers(Arc<Pollable>);

impl PollingEngine for Sleepers {
    fn name(&self) -> &'static str {
        "sleeper"
    }

    fn home(&self) -> &Arc<Pollable> {
        &self.0
    }

    fn add(&self, _pollee: &Arc<Pollee>) -> io::Result<()> {
        Ok(())
    }
}

/// A manager for one run of a model.
pub(crate) fn iomgr() -> Arc<Iomgr> {
    Iomgr::new(Box::new(Sleepers(pollable())))
}

/// Counts, outside of loom's sight, that at most one thread at a time is in a stretch of code.
#[derive(Default)]
struct Alone(StdAtomicUsize);

impl Alone {
    fn pass(&self) {
        assert_eq!(self.0.fetch_add(1, Ordering::SeqCst), 0, "two at a time");
        thread::yield_now();
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Each thread waits until it is the poller, and leaves. If the role were lost, one would wait for
/// ever, which loom reports as a deadlock.
fn everybody_becomes_the_poller(pollsets: &[Arc<Pollset>]) {
    let home = pollable();
    let alone = Arc::new(Alone::default());
    let pass = |home: &Arc<Pollable>, pollset: &Arc<Pollset>, alone: &Alone| {
        let seat = pollset.enter(home, None, || true).expect("nobody kicks");
        alone.pass();
        drop(seat);
    };
    let others: Vec<_> = pollsets[1..]
        .iter()
        .map(|pollset| {
            let (home, pollset, alone) = (home.clone(), pollset.clone(), alone.clone());
            thread::spawn(move || pass(&home, &pollset, &alone))
        })
        .collect();
    pass(&home, &pollsets[0], &alone);
    for other in others {
        other.join().unwrap();
    }
}

#[test]
fn the_role_goes_to_a_waiter_of_the_same_pollset() {
    loom::model(|| {
        let pollset = Pollset::new();
        everybody_becomes_the_poller(&[pollset.clone(), pollset]);
    });
}

#[test]
fn the_role_goes_to_a_waiter_of_another_pollset() {
    loom::model(|| everybody_becomes_the_poller(&[Pollset::new(), Pollset::new()]));
}

#[test]
fn the_role_goes_round_among_three_threads() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let pollset = Pollset::new();
        everybody_becomes_the_poller(&[pollset.clone(), pollset, Pollset::new()]);
    });
}

/// A pollset whose last waiter leaves is taken off the list, but not when another has come.
#[test]
fn who_comes_while_another_leaves_its_pollset_is_seen() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    let past = Instant::now();
    model.check(move || {
        let home = pollable();
        let (comes_and_goes, other) = (Pollset::new(), Pollset::new());
        let seat = other.enter(&home, None, || true).expect("nobody is here");
        let goes = thread::spawn({
            let (home, pollset) = (home.clone(), comes_and_goes.clone());
            move || drop(pollset.enter(&home, Some(past), || true))
        });
        let comes = thread::spawn({
            let (home, pollset) = (home.clone(), comes_and_goes);
            move || assert!(pollset.enter(&home, None, || true).is_some())
        });
        drop(seat);
        goes.join().unwrap();
        comes.join().unwrap();
    });
}

/// grpc#12413.
#[test]
fn a_kicked_waiter_does_not_take_the_role_with_it() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let home = pollable();
        let (kicked, other) = (Pollset::new(), Pollset::new());
        let waiter = thread::spawn({
            let (home, kicked) = (home.clone(), kicked.clone());
            move || drop(kicked.enter(&home, None, || true))
        });
        let poller = thread::spawn({
            let (home, other) = (home.clone(), other.clone());
            move || assert!(other.enter(&home, None, || true).is_some())
        });
        kicked.kick();
        waiter.join().unwrap();
        poller.join().unwrap();
        assert!(other.enter(&home, None, || true).is_some(), "the role was lost");
    });
}

#[test]
fn a_kick_is_noticed_by_the_poller_or_by_the_next_to_come() {
    loom::model(|| {
        let (iomgr, pollset) = (iomgr(), Pollset::new());
        let worker = thread::spawn({
            let (iomgr, pollset) = (iomgr.clone(), pollset.clone());
            move || iomgr.work(&pollset, Deadline::NONE, || true)
        });
        pollset.kick();
        worker.join().unwrap();
    });
}

/// A wake of one may end the wait of the other, and must not be the other's last.
#[test]
fn kicks_of_two_pollsets_at_one_pollable_are_both_noticed() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let (iomgr, pollsets) = (iomgr(), [(); 2].map(|()| Pollset::new()));
        let workers = pollsets.clone().map(|pollset| {
            let iomgr = iomgr.clone();
            thread::spawn(move || iomgr.work(&pollset, Deadline::NONE, || true))
        });
        for pollset in &pollsets {
            pollset.kick();
        }
        for worker in workers {
            worker.join().unwrap();
        }
    });
}

#[test]
fn two_kicks_send_two_workers_home() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let (iomgr, pollset) = (iomgr(), Pollset::new());
        let is_done = Arc::new(AtomicBool::new(false));
        let worker = || {
            let (iomgr, pollset, is_done) = (iomgr.clone(), pollset.clone(), is_done.clone());
            thread::spawn(move || {
                // As a queue does: what the kick is for is looked at under the pollset's lock.
                iomgr.work(&pollset, Deadline::NONE, || !is_done.load(Ordering::SeqCst));
            })
        };
        let workers = [worker(), worker()];
        is_done.store(true, Ordering::SeqCst);
        pollset.kick();
        pollset.kick();
        for worker in workers {
            worker.join().unwrap();
        }
    });
}

#[test]
fn a_kick_of_all_reaches_the_poller_and_the_waiter() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let (iomgr, pollset) = (iomgr(), Pollset::new());
        let is_done = Arc::new(AtomicBool::new(false));
        let worker = || {
            let (iomgr, pollset, is_done) = (iomgr.clone(), pollset.clone(), is_done.clone());
            thread::spawn(move || {
                iomgr.work(&pollset, Deadline::NONE, || !is_done.load(Ordering::SeqCst));
            })
        };
        let workers = [worker(), worker()];
        is_done.store(true, Ordering::SeqCst);
        pollset.kick_all();
        for worker in workers {
            worker.join().unwrap();
        }
    });
}

#[test]
fn a_shutdown_sends_the_worker_home_and_says_so_once() {
    loom::model(|| {
        let (iomgr, pollset, done) = (iomgr(), Pollset::new(), CountingWaker::new());
        let worker = thread::spawn({
            let (iomgr, pollset) = (iomgr.clone(), pollset.clone());
            move || iomgr.work(&pollset, Deadline::NONE, || true)
        });
        pollset.shutdown(&done.waker());
        worker.join().unwrap();
        assert_eq!(done.count(), 1);
    });
}

/// A thread that sleeps where its pollset was must come to where it has moved, or it would sleep for
/// ever (grpc#14217).
fn everybody_comes_along(sleepers: usize) {
    let (home, next, pollset) = (pollable(), pollable(), Pollset::new());
    let sleepers: Vec<_> = (0..sleepers)
        .map(|_| {
            let (home, next, pollset) = (home.clone(), next.clone(), pollset.clone());
            thread::spawn(move || {
                loop {
                    let Some(seat) = pollset.enter(&home, None, || true) else { continue };
                    if Arc::ptr_eq(seat.pollable(), &next) {
                        return;
                    }
                    seat.fall_asleep();
                    seat.wait(None, &mut Events::of(&FdTable::default())).unwrap();
                }
            })
        })
        .collect();
    pollset.move_to(pollset.lock(), Some(next));
    for sleeper in sleepers {
        sleeper.join().unwrap();
    }
}

#[test]
fn a_sleeper_comes_along_when_its_pollset_moves() {
    loom::model(|| everybody_comes_along(1));
}

#[test]
fn the_poller_and_the_one_behind_it_come_along_when_their_pollset_moves() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| everybody_comes_along(2));
}

/// A closure that says that it ran.
struct Flag(StdAtomicUsize);

impl Run for Flag {
    fn run(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A thread works until the closure has run, while the other schedules it.
fn the_poller_runs(schedule: impl FnOnce(&Iomgr, Arc<dyn Run>)) {
    let (iomgr, flag) = (iomgr(), Arc::new(Flag(StdAtomicUsize::new(0))));
    let worker = thread::spawn({
        let (iomgr, flag) = (iomgr.clone(), flag.clone());
        move || {
            let (pollset, context) = (Pollset::new(), ExecCtx::enter());
            while flag.0.load(Ordering::SeqCst) == 0 {
                iomgr.work(&pollset, Deadline::NONE, || true);
                context.flush();
            }
        }
    });
    schedule(&iomgr, flag.clone());
    worker.join().unwrap();
    assert_eq!(flag.0.load(Ordering::SeqCst), 1);
}

#[test]
fn a_closure_from_outside_wakes_the_poller() {
    loom::model(|| the_poller_runs(|iomgr, closure| iomgr.submit(closure)));
}

#[test]
fn an_earlier_timer_wakes_the_poller() {
    let past = Instant::now();
    loom::model(move || {
        the_poller_runs(|iomgr, closure| {
            iomgr.timer_init(past, closure);
        });
    });
}
