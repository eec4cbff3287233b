//! Engines that keep pollsets apart: who waits for which fd, and where. With the others, where every
//! thread waits for everything, only what all promise is checked.

use super::{Counts, PATIENCE, Says, iomgr, work_until};
use crate::iomgr::deadline::Deadline;
use crate::iomgr::exec_ctx::ExecCtx;
use crate::iomgr::posix::engine::PollingEngine;
use crate::iomgr::posix::epollex::Epollex;
use crate::iomgr::posix::fd::Fd;
use crate::iomgr::posix::manager::Iomgr;
use crate::iomgr::posix::pollset::Pollset;
use crate::iomgr::posix::pollset_set::PollsetSet;
use crate::testing::CountingWaker;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, mpsc};
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};

fn epollex() -> Arc<Iomgr> {
    Iomgr::new(Box::new(Epollex::new().expect("the kernel of the tests knows EPOLLEXCLUSIVE")))
}

/// A socket that nobody waits for, and its peer.
fn socket(iomgr: &Arc<Iomgr>) -> (Fd, UnixStream) {
    let (ours, peer) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (Fd::new(iomgr, ours.into()).unwrap(), peer)
}

/// Whether one look from `pollset` finds that `fd`, which is readable, can be read.
fn reaches(iomgr: &Iomgr, pollset: &Arc<Pollset>, fd: &Fd) -> bool {
    let waker = CountingWaker::new();
    // An event that was remembered is used up.
    while fd.notify_on_read(&waker.waker()).is_ready() {}
    let _context = ExecCtx::enter();
    iomgr.work(pollset, Deadline::NOW, || true);
    waker.count() > 0
}

/// A socket that has something to read.
fn readable(iomgr: &Arc<Iomgr>) -> (Fd, UnixStream) {
    let (fd, mut peer) = socket(iomgr);
    peer.write_all(b"x").unwrap();
    (fd, peer)
}

#[test]
fn a_pollset_waits_for_the_fds_of_its_set_and_of_those_that_it_is_in() {
    for iomgr in [iomgr(), epollex()] {
        let set = || PollsetSet::new(&iomgr);
        let (outer, inner, other) = (set(), set(), set());
        let (fd, _peer) = readable(&iomgr);
        outer.add_fd(fd.pollee()).unwrap();
        let pollset = Pollset::new();
        inner.add_pollset(&pollset).unwrap();
        other.add_pollset(&Pollset::new()).unwrap();
        outer.add_set(&inner).unwrap();
        assert!(reaches(&iomgr, &pollset, &fd));
    }
}

#[test]
fn fds_do_not_reach_the_pollsets_of_sets_above() {
    let iomgr = epollex();
    let (outer, inner) = (PollsetSet::new(&iomgr), PollsetSet::new(&iomgr));
    let ((fd, _peer), pollset) = (readable(&iomgr), Pollset::new());
    inner.add_fd(fd.pollee()).unwrap();
    outer.add_pollset(&pollset).unwrap();
    outer.add_set(&inner).unwrap();
    assert!(!reaches(&iomgr, &pollset, &fd));
}

#[test]
fn what_was_removed_is_not_waited_for_unless_there_is_another_way() {
    let iomgr = epollex();
    let (first, second) = (PollsetSet::new(&iomgr), PollsetSet::new(&iomgr));
    let ((fd, mut peer), pollset) = (readable(&iomgr), Pollset::new());
    for set in [&first, &second] {
        set.add_fd(fd.pollee()).unwrap();
        set.add_pollset(&pollset).unwrap();
    }
    assert!(reaches(&iomgr, &pollset, &fd));
    first.remove_pollset(&pollset);
    peer.write_all(b"x").unwrap();
    assert!(reaches(&iomgr, &pollset, &fd), "it still is in the second set");
    second.remove_pollset(&pollset);
    peer.write_all(b"x").unwrap();
    assert!(!reaches(&iomgr, &pollset, &fd));
    // The same for sets in sets, and for sets that are dropped.
    let outer = PollsetSet::new(&iomgr);
    outer.add_fd(fd.pollee()).unwrap();
    outer.add_set(&first).unwrap();
    drop(second);
    first.add_pollset(&pollset).unwrap();
    peer.write_all(b"x").unwrap();
    assert!(reaches(&iomgr, &pollset, &fd));
    drop(first);
    peer.write_all(b"x").unwrap();
    assert!(!reaches(&iomgr, &pollset, &fd));
    // It begins again where a new pollset does.
    outer.add_pollset(&pollset).unwrap();
    peer.write_all(b"x").unwrap();
    assert!(!reaches(&iomgr, &Pollset::new(), &fd), "a pollset without fds reaches one");
    assert!(reaches(&iomgr, &pollset, &fd));
}

#[test]
fn sets_that_are_in_each_other_are_no_harm() {
    for iomgr in [iomgr(), epollex()] {
        let (one, two) = (PollsetSet::new(&iomgr), PollsetSet::new(&iomgr));
        one.add_set(&two).unwrap();
        two.add_set(&one).unwrap();
        one.add_set(&one).unwrap();
        let ((fd, _peer), pollset) = (readable(&iomgr), Pollset::new());
        one.add_pollset(&pollset).unwrap();
        two.add_fd(fd.pollee()).unwrap();
        assert!(reaches(&iomgr, &pollset, &fd));
        two.remove_set(&one);
        drop(one);
    }
}

#[test]
fn pollsets_that_have_one_fd_share_its_pollable_and_a_second_fd_parts_them() {
    let engine = Epollex::new().unwrap();
    let iomgr = epollex();
    let ((fd, _peer), (other, _other_peer)) = (socket(&iomgr), socket(&iomgr));
    let (one, two) = (Pollset::new(), Pollset::new());
    let at = |pollset: &Pollset| pollset.lock().pollable().cloned();
    assert!(at(&one).is_none(), "a new pollset has nothing of its own");
    for pollset in [&one, &two, &one] {
        engine.add_to_pollset(pollset, fd.pollee()).unwrap();
    }
    assert!(Arc::ptr_eq(&at(&one).unwrap(), &at(&two).unwrap()));
    engine.add_to_pollset(&one, other.pollee()).unwrap();
    let multi = at(&one).unwrap();
    assert!(multi.only().is_none() && at(&two).unwrap().only().is_some());
    engine.add_to_pollset(&one, fd.pollee()).unwrap();
    assert!(Arc::ptr_eq(&at(&one).unwrap(), &multi), "it stays where it is");
    // One whose only fd has gone begins again.
    drop(fd);
    engine.add_to_pollset(&two, other.pollee()).unwrap();
    let only = at(&two).unwrap().only().unwrap().upgrade().unwrap();
    assert!(Arc::ptr_eq(&only, other.pollee()));
}

/// grpc#14217.
#[test]
fn a_thread_that_sleeps_in_a_pollset_that_moves_wakes_for_the_new_fd() {
    for iomgr in [iomgr(), epollex()] {
        let (set, pollset) = (PollsetSet::new(&iomgr), Pollset::new());
        set.add_pollset(&pollset).unwrap();
        let sockets = [readable(&iomgr), readable(&iomgr), readable(&iomgr)];
        let (read, is_done) = (CountingWaker::new(), AtomicUsize::new(0));
        thread::scope(|scope| {
            let done = || is_done.load(SeqCst) + read.count() == 3;
            let (iomgr, pollset) = (&iomgr, &pollset);
            let sleeper = scope.spawn(move || work_until(iomgr, pollset, done));
            for (fd, _) in &sockets {
                // Where every thread waits for everything, the event has been there before.
                if fd.notify_on_read(&read.waker()).is_ready() {
                    is_done.fetch_add(1, SeqCst);
                    // Of this the sleeper is not told otherwise.
                    pollset.kick();
                }
                set.add_fd(fd.pollee()).unwrap();
            }
            sleeper.join().unwrap();
        });
    }
}

/// grpc#6110.
#[test]
fn one_event_wakes_one_of_the_threads_that_wait_for_it_in_their_own_sets() {
    const THREADS: usize = 8;
    for iomgr in [iomgr(), epollex()] {
        let set = PollsetSet::new(&iomgr);
        let ((fd, mut peer), (other, _other_peer)) = (socket(&iomgr), socket(&iomgr));
        let pollsets: Vec<_> = (0..THREADS).map(|_| Pollset::new()).collect();
        for pollset in &pollsets {
            set.add_pollset(pollset).unwrap();
        }
        for fd in [&fd, &other] {
            set.add_fd(fd.pollee()).unwrap();
        }
        // What came with the fds has been seen.
        for pollset in &pollsets {
            iomgr.work(pollset, Deadline::NOW, || true);
        }
        let (counts, ran) = Counts::new(&iomgr);
        let (returned, returns) = mpsc::channel();
        let inside = Barrier::new(THREADS + 1);
        thread::scope(|scope| {
            for pollset in &pollsets {
                let (iomgr, returned, inside) = (&iomgr, returned.clone(), &inside);
                scope.spawn(move || {
                    let context = ExecCtx::enter();
                    inside.wait();
                    iomgr.work(pollset, Deadline::NONE, || true);
                    context.flush();
                    returned.send(()).unwrap();
                });
            }
            inside.wait();
            assert!(fd.notify_on_read(&Waker::from(counts.clone())).is_pending());
            peer.write_all(b"x").unwrap();
            ran.recv_timeout(PATIENCE).expect("the event was lost");
            returns.recv_timeout(PATIENCE).expect("the thread that ran it leaves");
            assert!(returns.try_recv().is_err(), "the others sleep on");
            pollsets.iter().for_each(|pollset| pollset.kick());
        });
        assert_eq!(counts.runs(), 1);
    }
}

#[test]
fn several_threads_poll_at_once_and_none_waits_for_what_another_runs() {
    let iomgr = epollex();
    let ((one, mut one_peer), (two, mut two_peer)) = (socket(&iomgr), socket(&iomgr));
    let pollsets = [Pollset::new(), Pollset::new()];
    for (pollset, fd) in pollsets.iter().zip([&one, &two]) {
        iomgr.engine().add_to_pollset(pollset, fd.pollee()).unwrap();
    }
    let reads = [CountingWaker::new(), CountingWaker::new()];
    for (read, fd) in reads.iter().zip([&one, &two]) {
        assert!(fd.notify_on_read(&read.waker()).is_pending());
    }
    // One thread does both, each from where it is waited for.
    one_peer.write_all(b"x").unwrap();
    two_peer.write_all(b"x").unwrap();
    work_until(&iomgr, &pollsets[0], || reads[0].count() == 1);
    assert_eq!(reads[1].count(), 0, "the other is not waited for here");
    work_until(&iomgr, &pollsets[1], || reads[1].count() == 1);
}

#[test]
fn timers_fire_in_time_whoever_sleeps() {
    let iomgr = epollex();
    let pollsets = [Pollset::new(), Pollset::new(), Pollset::new()];
    let sockets = [socket(&iomgr), socket(&iomgr)];
    for (pollset, (fd, _)) in pollsets.iter().zip(&sockets) {
        iomgr.engine().add_to_pollset(pollset, fd.pollee()).unwrap();
    }
    let (fired, fires) = mpsc::channel();
    thread::scope(|scope| {
        for pollset in &pollsets {
            let iomgr = &iomgr;
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

#[test]
fn a_closure_from_outside_finds_a_poller_wherever_it_sleeps() {
    let iomgr = epollex();
    let ((fd, _peer), pollset) = (socket(&iomgr), Pollset::new());
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
