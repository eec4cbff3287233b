//! The end of a pollset: with threads inside, from inside, from two sides, with something pending.

use super::{Sleepers, look, pollset, watch, watched, work_until};
use crate::iomgr::deadline::Deadline;
use crate::iomgr::exec_ctx::{ExecCtx, Run};
use crate::iomgr::posix::manager::Iomgr;
use crate::iomgr::posix::pollset::Pollset;
use crate::iomgr::posix::pollset_set::PollsetSet;
use crate::testing::CountingWaker;
use std::io::Write;
use std::sync::{Arc, Barrier};
use std::thread;

on_every_engine! {
    an_empty_pollset_shuts_down_at_once,
    a_pollset_that_is_shut_down_is_left_by_all_and_says_so_once,
    a_pollset_with_fds_is_left_by_all_and_says_so_once,
    a_closure_shuts_down_the_pollset_that_runs_it,
    two_threads_shut_down_at_once_and_one_is_told,
    what_is_armed_outlives_the_pollset_that_waited_for_it,
    a_pollset_that_is_shut_down_takes_no_more_fds,
}

fn an_empty_pollset_shuts_down_at_once(iomgr: &Arc<Iomgr>) {
    let (pollset, done, late) = (pollset(iomgr), CountingWaker::new(), CountingWaker::new());
    pollset.shutdown(&done.waker());
    assert_eq!(done.count(), 1);
    pollset.shutdown(&late.waker());
    iomgr.work(&pollset, Deadline::NONE, || true);
    assert_eq!((done.count(), late.count()), (1, 0));
}

/// All leave, and the last one says so.
fn is_left_by_all(iomgr: &Iomgr, pollset: &Arc<Pollset>) {
    const THREADS: usize = 3;
    let (done, sleepers) = (CountingWaker::new(), Sleepers::default());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                sleepers.add_this_thread();
                iomgr.work(pollset, Deadline::NONE, || true);
            });
        }
        sleepers.wait_for(iomgr, THREADS);
        pollset.shutdown(&done.waker());
        pollset.shutdown(&done.waker());
    });
    assert_eq!(done.count(), 1);
    iomgr.work(pollset, Deadline::NONE, || true);
    assert_eq!(done.count(), 1, "nobody comes in any more");
}

fn a_pollset_that_is_shut_down_is_left_by_all_and_says_so_once(iomgr: &Arc<Iomgr>) {
    is_left_by_all(iomgr, &Pollset::new());
}

fn a_pollset_with_fds_is_left_by_all_and_says_so_once(iomgr: &Arc<Iomgr>) {
    let sockets = [watched(iomgr), watched(iomgr)];
    let pollset = pollset(iomgr);
    look(iomgr, &pollset);
    is_left_by_all(iomgr, &pollset);
    drop(sockets);
}

/// Shuts a pollset down from whichever thread runs it.
struct ShutsDown(Arc<Pollset>, CountingWaker);

impl Run for ShutsDown {
    fn run(self: Arc<Self>) {
        self.0.shutdown(&self.1.waker());
    }
}

fn a_closure_shuts_down_the_pollset_that_runs_it(iomgr: &Arc<Iomgr>) {
    let (pollset, done, sleepers) = (pollset(iomgr), CountingWaker::new(), Sleepers::default());
    let _sockets = [watched(iomgr), watched(iomgr)];
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let context = ExecCtx::enter();
                sleepers.add_this_thread();
                while !pollset.is_shut_down() {
                    iomgr.work(&pollset, Deadline::NONE, || true);
                    context.flush();
                }
            });
        }
        sleepers.wait_for(iomgr, 2);
        iomgr.submit(Arc::new(ShutsDown(pollset.clone(), done.clone())));
    });
    assert_eq!(done.count(), 1);
}

fn two_threads_shut_down_at_once_and_one_is_told(iomgr: &Arc<Iomgr>) {
    for _ in 0..50 {
        let (pollset, start) = (Pollset::new(), Barrier::new(3));
        let done = [CountingWaker::new(), CountingWaker::new()];
        thread::scope(|scope| {
            for done in &done {
                scope.spawn(|| {
                    start.wait();
                    pollset.shutdown(&done.waker());
                });
            }
            start.wait();
            iomgr.work(&pollset, Deadline::NONE, || true);
        });
        assert_eq!(done[0].count() + done[1].count(), 1);
    }
}

fn what_is_armed_outlives_the_pollset_that_waited_for_it(iomgr: &Arc<Iomgr>) {
    let (fd, mut peer) = super::socket(iomgr);
    let (pollset, next, read) = (Pollset::new(), pollset(iomgr), CountingWaker::new());
    iomgr.engine().add_to_pollset(&pollset, fd.pollee()).unwrap();
    look(iomgr, &pollset);
    assert!(fd.notify_on_read(&read.waker()).is_pending());
    pollset.shutdown(std::task::Waker::noop());
    drop(pollset);
    assert_eq!(read.count(), 0);
    watch(iomgr, &fd);
    peer.write_all(b"x").unwrap();
    work_until(iomgr, &next, || read.count() == 1);
}

fn a_pollset_that_is_shut_down_takes_no_more_fds(iomgr: &Arc<Iomgr>) {
    let (set, pollset, done) = (PollsetSet::new(iomgr), Pollset::new(), CountingWaker::new());
    set.add_pollset(&pollset).unwrap();
    pollset.shutdown(&done.waker());
    // Nobody will come to wait there, and nothing is kept for it.
    let (fd, mut peer) = watched(iomgr);
    set.add_fd(fd.pollee()).unwrap();
    iomgr.engine().add_to_pollset(&pollset, fd.pollee()).unwrap();
    set.remove_pollset(&pollset);
    assert!(super::reaches(iomgr, &super::pollset(iomgr), &fd, &mut peer));
}
