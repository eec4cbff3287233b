//! Who polls, who is kicked, and for how long a wait lasts.

use super::{PATIENCE, Says, iomgr, work_until};
use crate::iomgr::deadline::Deadline;
use crate::iomgr::exec_ctx::{ExecCtx, Run};
use crate::iomgr::posix::pollset::Pollset;
use crate::testing::CountingWaker;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

/// grpc#12413.
#[test]
fn threads_that_are_kicked_all_the_time_never_lose_the_poller() {
    let iomgr = iomgr();
    let pollsets: Vec<_> = (0..3).map(|_| Pollset::new()).collect();
    thread::scope(|scope| {
        for index in 0..6 {
            let (iomgr, pollsets) = (&iomgr, &pollsets);
            scope.spawn(move || {
                for round in 0..500 {
                    // The kick is for whoever is in there, or for the next to come.
                    pollsets[(index + round) % 3].kick();
                    let start = Instant::now();
                    let short = Deadline::after(Duration::from_micros(200));
                    iomgr.work(&pollsets[index % 3], short, || true);
                    assert!(start.elapsed() < PATIENCE, "slept through its deadline");
                }
            });
        }
    });
    // Somebody can still poll.
    let (sender, receiver) = mpsc::channel();
    iomgr.submit(Arc::new(Says(sender)));
    work_until(&iomgr, &Pollset::new(), || receiver.try_recv().is_ok());
}

#[test]
fn a_kick_without_a_worker_is_kept_for_the_next_and_only_for_it() {
    let (iomgr, pollset) = (iomgr(), Pollset::new());
    pollset.kick();
    pollset.kick();
    iomgr.work(&pollset, Deadline::NONE, || true);
    let soon = Deadline::after(Duration::from_millis(5));
    iomgr.work(&pollset, soon, || true);
    assert!(soon.has_passed(), "the kick was used up");
}

/// Kicks a pollset from whichever thread runs it.
struct Kicks(Arc<Pollset>);

impl Run for Kicks {
    fn run(self: Arc<Self>) {
        self.0.kick();
    }
}

#[test]
fn a_kick_from_the_own_thread_ends_its_next_work() {
    let (iomgr, pollset) = (iomgr(), Pollset::new());
    iomgr.submit(Arc::new(Kicks(pollset.clone())));
    let context = ExecCtx::enter();
    iomgr.work(&pollset, Deadline::NONE, || true);
    context.flush();
    iomgr.work(&pollset, Deadline::NONE, || true);
}

#[test]
fn a_kick_reaches_every_one_of_several_sleepers() {
    let (iomgr, pollset) = (iomgr(), Pollset::new());
    thread::scope(|scope| {
        let (sender, left) = mpsc::channel();
        for _ in 0..4 {
            let (iomgr, pollset, sender) = (&iomgr, &pollset, sender.clone());
            scope.spawn(move || {
                iomgr.work(pollset, Deadline::NONE, || true);
                sender.send(()).unwrap();
            });
        }
        for _ in 0..4 {
            // A kick that comes before its worker is kept, so each is for one of them.
            pollset.kick();
            left.recv_timeout(PATIENCE).expect("a kick was lost");
        }
    });
}

#[test]
fn a_wait_never_ends_before_its_deadline() {
    let (iomgr, pollset) = (iomgr(), Pollset::new());
    for micros in [1, 900, 1100, 5000] {
        let deadline = Instant::now() + Duration::from_micros(micros);
        iomgr.work(&pollset, deadline.into(), || true);
        assert!(Instant::now() >= deadline);
    }
}

#[test]
fn a_waiter_behind_the_poller_keeps_its_own_deadline() {
    let (iomgr, pollset) = (iomgr(), Pollset::new());
    thread::scope(|scope| {
        let poller = scope.spawn(|| iomgr.work(&pollset, Deadline::NONE, || true));
        let deadline = Instant::now() + Duration::from_millis(5);
        iomgr.work(&Pollset::new(), deadline.into(), || true);
        assert!(Instant::now() >= deadline);
        pollset.kick();
        poller.join().unwrap();
    });
}

#[test]
fn work_is_not_waited_for_when_there_is_some_already() {
    let (iomgr, pollset) = (iomgr(), Pollset::new());
    iomgr.work(&pollset, Deadline::NONE, || false);
}

#[test]
fn a_shut_down_pollset_is_left_by_all_and_says_so_once() {
    let (iomgr, pollset, done) = (iomgr(), Pollset::new(), CountingWaker::new());
    let inside = Barrier::new(4);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                inside.wait();
                iomgr.work(&pollset, Deadline::NONE, || true);
            });
        }
        inside.wait();
        pollset.shutdown(&done.waker());
        pollset.shutdown(&done.waker());
    });
    assert_eq!(done.count(), 1);
    iomgr.work(&pollset, Deadline::NONE, || true);
    assert_eq!(done.count(), 1, "nobody comes in any more");
}

#[test]
fn a_closure_from_outside_runs_on_the_poller() {
    let (iomgr, pollset) = (iomgr(), Pollset::new());
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        let (iomgr, pollset) = (&iomgr, &pollset);
        scope.spawn(move || work_until(iomgr, pollset, || receiver.try_recv().is_ok()));
        iomgr.submit(Arc::new(Says(sender)));
    });
}

#[test]
fn an_earlier_timer_wakes_a_poller_that_sleeps_for_ever() {
    let (iomgr, pollset) = (iomgr(), Pollset::new());
    let (sender, receiver) = mpsc::channel();
    let due = Instant::now() + Duration::from_millis(5);
    thread::scope(|scope| {
        let (iomgr, pollset) = (&iomgr, &pollset);
        scope.spawn(move || {
            let context = ExecCtx::enter();
            while receiver.try_recv().is_err() {
                iomgr.work(pollset, Deadline::NONE, || true);
                context.flush();
            }
            assert!(Instant::now() >= due, "too early");
        });
        iomgr.timer_init(due, Arc::new(Says(sender)));
    });
}

/// A closure that does not return before the test says so.
struct Blocks {
    began: Sender<ThreadId>,
    go_on: Mutex<Receiver<()>>,
}

impl Run for Blocks {
    fn run(self: Arc<Self>) {
        self.began.send(thread::current().id()).unwrap();
        self.go_on.lock().unwrap().recv_timeout(PATIENCE).expect("the test lets it go on");
    }
}

/// A thread that found an event and runs it for long keeps nobody from finding the next one.
fn polling_goes_on_while_a_closure_blocks(pollsets: [&Arc<Pollset>; 2]) {
    let iomgr = iomgr();
    let (began, begins) = mpsc::channel();
    let (let_go, go_on) = mpsc::channel();
    let blocks = Arc::new(Blocks { began: began.clone(), go_on: Mutex::new(go_on) });
    let (let_second_go, go_on) = mpsc::channel();
    let second = Arc::new(Blocks { began, go_on: Mutex::new(go_on) });
    thread::scope(|scope| {
        for pollset in pollsets {
            let iomgr = &iomgr;
            scope.spawn(move || {
                let context = ExecCtx::enter();
                iomgr.work(pollset, Deadline::after(PATIENCE), || true);
                context.flush();
            });
        }
        // One of the two polls, and the other waits to be its heir.
        let patience = Deadline::after(PATIENCE);
        while iomgr.waiting() == 0 {
            assert!(!patience.has_passed(), "no thread waits");
            thread::yield_now();
        }
        iomgr.submit(blocks);
        let poller = begins.recv_timeout(PATIENCE).expect("the poller runs what it found");
        // The first thread is in its closure until this one has begun too.
        let now = Instant::now();
        iomgr.timer_init(now, second);
        let heir = begins.recv_timeout(PATIENCE).expect("nobody polls");
        assert_ne!(poller, heir);
        let_go.send(()).unwrap();
        let_second_go.send(()).unwrap();
    });
}

#[test]
fn polling_goes_on_in_the_same_pollset_while_a_closure_blocks() {
    let pollset = Pollset::new();
    polling_goes_on_while_a_closure_blocks([&pollset, &pollset]);
}

#[test]
fn polling_goes_on_in_another_pollset_while_a_closure_blocks() {
    polling_goes_on_while_a_closure_blocks([&Pollset::new(), &Pollset::new()]);
}

#[test]
fn two_managers_know_nothing_of_each_other() {
    let (one, other, pollset) = (iomgr(), iomgr(), Pollset::new());
    let (sender, receiver) = mpsc::channel();
    one.submit(Arc::new(Says(sender)));
    let context = ExecCtx::enter();
    other.work(&pollset, Deadline::NOW, || true);
    context.flush();
    assert!(receiver.try_recv().is_err(), "run by the wrong manager");
    work_until(&one, &pollset, || receiver.try_recv().is_ok());
}
