//! Who polls, and who comes after it.

use super::{PATIENCE, Says, Sleepers, iomgr_on, pollset, socket, waits_for_everything, watched};
use super::{look, work_until};
use crate::iomgr::deadline::Deadline;
use crate::iomgr::exec_ctx::{ExecCtx, Run};
use crate::iomgr::posix::manager::Iomgr;
use crate::iomgr::posix::pollset::Pollset;
use crate::testing::CountingWaker;
use std::io::Write;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, mpsc};
use std::task::Waker;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

on_every_engine! {
    threads_that_are_kicked_all_the_time_never_lose_the_poller,
    polling_goes_on_in_the_same_pollset_while_a_closure_blocks,
    polling_goes_on_in_another_pollset_while_a_closure_blocks,
    the_last_of_many_threads_polls_when_the_others_have_left_one_by_one,
    a_closure_from_outside_runs_on_the_poller,
    a_closure_from_outside_finds_a_poller_wherever_it_sleeps,
    several_threads_poll_at_once_and_none_waits_for_what_another_runs,
    two_managers_know_nothing_of_each_other,
}

/// grpc#12413.
fn threads_that_are_kicked_all_the_time_never_lose_the_poller(iomgr: &Arc<Iomgr>) {
    // One without an fd, one with one, and one with two.
    let sockets = [socket(iomgr), socket(iomgr)];
    let pollsets: Vec<_> = (0..3).map(|_| Pollset::new()).collect();
    for (count, pollset) in pollsets.iter().enumerate() {
        for (fd, _) in &sockets[..count] {
            iomgr.engine().add_to_pollset(pollset, fd.pollee()).unwrap();
        }
    }
    thread::scope(|scope| {
        for index in 0..6 {
            let pollsets = &pollsets;
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
    // Somebody can still poll, everywhere.
    for pollset in &pollsets {
        let (sender, receiver) = mpsc::channel();
        iomgr.submit(Arc::new(Says(sender)));
        work_until(iomgr, pollset, || receiver.try_recv().is_ok());
    }
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
fn polling_goes_on_while_a_closure_blocks(iomgr: &Arc<Iomgr>, pollsets: [&Arc<Pollset>; 2]) {
    let (began, begins) = mpsc::channel();
    let (let_go, go_on) = mpsc::channel();
    let blocks = Arc::new(Blocks { began: began.clone(), go_on: Mutex::new(go_on) });
    let (let_second_go, go_on) = mpsc::channel();
    let second = Arc::new(Blocks { began, go_on: Mutex::new(go_on) });
    let sleepers = Sleepers::default();
    thread::scope(|scope| {
        for pollset in pollsets {
            scope.spawn(|| {
                let context = ExecCtx::enter();
                sleepers.add_this_thread();
                iomgr.work(pollset, Deadline::after(PATIENCE), || true);
                context.flush();
            });
        }
        // One of the two polls, and the other waits to be its heir.
        sleepers.wait_for(iomgr, 2);
        assert_eq!((iomgr.sleepers(), iomgr.waiting()), (1, 1));
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

/// grpc#14170.
fn polling_goes_on_in_the_same_pollset_while_a_closure_blocks(iomgr: &Arc<Iomgr>) {
    let pollset = Pollset::new();
    polling_goes_on_while_a_closure_blocks(iomgr, [&pollset, &pollset]);
}

/// grpc#14170.
fn polling_goes_on_in_another_pollset_while_a_closure_blocks(iomgr: &Arc<Iomgr>) {
    polling_goes_on_while_a_closure_blocks(iomgr, [&Pollset::new(), &Pollset::new()]);
}

/// The role is inherited down to the last one, and an fd is waited for all the time.
fn the_last_of_many_threads_polls_when_the_others_have_left_one_by_one(iomgr: &Arc<Iomgr>) {
    const THREADS: usize = 5;
    let (pollset, (fd, mut peer)) = (pollset(iomgr), watched(iomgr));
    let (waker, sleepers) = (CountingWaker::new(), Sleepers::default());
    look(iomgr, &pollset);
    assert!(fd.notify_on_read(&waker.waker()).is_pending());
    let (left, leaves) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            let (left, pollset, sleepers) = (left.clone(), &pollset, &sleepers);
            scope.spawn(move || {
                let context = ExecCtx::enter();
                sleepers.add_this_thread();
                iomgr.work(pollset, Deadline::NONE, || true);
                context.flush();
                left.send(()).unwrap();
            });
        }
        sleepers.wait_for(iomgr, THREADS);
        for _ in 1..THREADS {
            pollset.kick();
            leaves.recv_timeout(PATIENCE).expect("a kick was lost");
        }
        assert_eq!(waker.count(), 0);
        peer.write_all(b"x").unwrap();
        leaves.recv_timeout(PATIENCE).expect("nobody polls");
    });
    assert_eq!(waker.count(), 1);
}

fn a_closure_from_outside_runs_on_the_poller(iomgr: &Arc<Iomgr>) {
    let pollset = Pollset::new();
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| work_until(iomgr, &pollset, move || receiver.try_recv().is_ok()));
        iomgr.submit(Arc::new(Says(sender)));
    });
}

fn a_closure_from_outside_finds_a_poller_wherever_it_sleeps(iomgr: &Arc<Iomgr>) {
    let ((fd, _peer), pollset) = (socket(iomgr), Pollset::new());
    iomgr.engine().add_to_pollset(&pollset, fd.pollee()).unwrap();
    let (ran, runs) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            let context = ExecCtx::enter();
            while !pollset.is_shut_down() {
                iomgr.work(&pollset, Deadline::NONE, || true);
                context.flush();
            }
        });
        for _ in 0..100 {
            iomgr.submit(Arc::new(Says(ran.clone())));
            runs.recv_timeout(PATIENCE).expect("a closure was lost");
        }
        pollset.shutdown(Waker::noop());
    });
}

fn several_threads_poll_at_once_and_none_waits_for_what_another_runs(iomgr: &Arc<Iomgr>) {
    if waits_for_everything(iomgr) {
        return;
    }
    let ((one, mut one_peer), (two, mut two_peer)) = (socket(iomgr), socket(iomgr));
    let (pollsets, sleepers) = ([Pollset::new(), Pollset::new()], Sleepers::default());
    for (pollset, fd) in pollsets.iter().zip([&one, &two]) {
        iomgr.engine().add_to_pollset(pollset, fd.pollee()).unwrap();
    }
    let reads = [CountingWaker::new(), CountingWaker::new()];
    for (read, fd) in reads.iter().zip([&one, &two]) {
        assert!(fd.notify_on_read(&read.waker()).is_pending());
    }
    // Both are in the engine.
    thread::scope(|scope| {
        for pollset in &pollsets {
            scope.spawn(|| {
                look(iomgr, pollset);
                sleepers.add_this_thread();
                iomgr.work(pollset, Deadline::NONE, || true);
            });
        }
        sleepers.wait_for(iomgr, 2);
        assert_eq!(iomgr.sleepers(), 2);
        pollsets.iter().for_each(|pollset| pollset.kick());
    });
    // One thread does both, each from where it is waited for.
    one_peer.write_all(b"x").unwrap();
    two_peer.write_all(b"x").unwrap();
    work_until(iomgr, &pollsets[0], || reads[0].count() == 1);
    assert_eq!(reads[1].count(), 0, "the other is not waited for here");
    work_until(iomgr, &pollsets[1], || reads[1].count() == 1);
}

fn two_managers_know_nothing_of_each_other(one: &Arc<Iomgr>) {
    let (other, pollset) = (iomgr_on(one.engine_name()), Pollset::new());
    let (sender, receiver) = mpsc::channel();
    one.submit(Arc::new(Says(sender)));
    look(&other, &pollset);
    assert!(receiver.try_recv().is_err(), "run by the wrong manager");
    work_until(one, &pollset, || receiver.try_recv().is_ok());
}
