//! Closures: they run when the outermost context flushes, with no lock held, each once.

use super::{Counts, Says, pollset, socket, watched, work_until};
use crate::iomgr::deadline::Deadline;
use crate::iomgr::exec_ctx::{ExecCtx, Run};
use crate::iomgr::posix::fd::Fd;
use crate::iomgr::posix::manager::Iomgr;
use crate::iomgr::posix::pollset::Pollset;
use crate::iomgr::posix::pollset_set::PollsetSet;
use crate::testing::{CountingWaker, without_deadlock};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Instant;

on_every_engine! {
    a_closure_runs_when_the_outermost_context_ends,
    a_wait_in_a_nested_context_runs_nothing_before_its_end,
    a_closure_may_use_everything_and_meets_no_lock,
    a_closure_that_panics_takes_neither_the_poller_nor_the_next_one_along,
}

fn a_closure_runs_when_the_outermost_context_ends(iomgr: &Arc<Iomgr>) {
    let (ran, runs) = mpsc::channel();
    let outer = ExecCtx::enter();
    {
        let _inner = ExecCtx::enter();
        let _innermost = ExecCtx::enter();
        iomgr.submit(Arc::new(Says(ran)));
    }
    assert!(runs.try_recv().is_err(), "a nested context ran it");
    drop(outer);
    assert!(runs.try_recv().is_ok());
    assert!(runs.try_recv().is_err());
}

fn a_wait_in_a_nested_context_runs_nothing_before_its_end(iomgr: &Arc<Iomgr>) {
    let ((fd, mut peer), pollset) = (watched(iomgr), pollset(iomgr));
    let (counts, ran) = Counts::new(iomgr);
    let outer = ExecCtx::enter();
    while fd.notify_on_read(&counts.clone().into()).is_ready() {}
    peer.write_all(b"x").unwrap();
    {
        let _inner = ExecCtx::enter();
        iomgr.work(&pollset, Deadline::NONE, || true);
    }
    assert_eq!(counts.runs(), 0);
    outer.flush();
    assert!(ran.try_recv().is_ok());
    drop(outer);
    assert_eq!(counts.runs(), 1);
}

/// Does everything that a closure may do, once.
struct UsesAll {
    iomgr: Arc<Iomgr>,
    pollset: Arc<Pollset>,
    set: PollsetSet,
    ended: Mutex<Option<(Fd, UnixStream)>>,
    done: mpsc::Sender<usize>,
}

impl Run for UsesAll {
    fn run(self: Arc<Self>) {
        let Some((fd, mut peer)) = self.ended.lock().unwrap().take() else { return };
        let (iomgr, waker) = (&self.iomgr, CountingWaker::new());
        self.pollset.kick();
        let _ = fd.notify_on_read(&waker.waker());
        self.set.add_fd(fd.pollee()).unwrap();
        let (next, _next_peer) = socket(iomgr);
        self.set.add_fd(next.pollee()).unwrap();
        peer.write_all(b"x").unwrap();
        self.set.remove_pollset(&self.pollset);
        self.set.add_pollset(&self.pollset).unwrap();
        fd.shutdown(std::io::Error::other("the test says so"));
        drop(fd);
        let timer = iomgr.timer_init(Instant::now(), self.clone());
        iomgr.timer_cancel(timer);
        iomgr.submit(self.clone());
        // It may wait, too.
        iomgr.work(&Pollset::new(), Deadline::NOW, || true);
        self.pollset.shutdown(&waker.waker());
        self.done.send(waker.count()).unwrap();
    }
}

fn a_closure_may_use_everything_and_meets_no_lock(iomgr: &Arc<Iomgr>) {
    let iomgr = iomgr.clone();
    without_deadlock(move || {
        let ((fd, peer), pollset) = (socket(&iomgr), Pollset::new());
        let set = PollsetSet::new(&iomgr);
        set.add_pollset(&pollset).unwrap();
        let (done, is_done) = mpsc::channel();
        let (iomgr, ended) = (iomgr, Mutex::new(Some((fd, peer))));
        let closure =
            Arc::new(UsesAll { iomgr: iomgr.clone(), pollset: pollset.clone(), set, ended, done });
        iomgr.submit(closure);
        let mut wakes = None;
        work_until(&iomgr, &pollset, || {
            wakes = wakes.or_else(|| is_done.try_recv().ok());
            wakes.is_some()
        });
        // What was armed was told, once, and so was the shutdown.
        assert_eq!(wakes, Some(2));
    });
}

struct Panics;

impl Run for Panics {
    fn run(self: Arc<Self>) {
        panic!("on purpose");
    }
}

fn a_closure_that_panics_takes_neither_the_poller_nor_the_next_one_along(iomgr: &Arc<Iomgr>) {
    let ((fd, mut peer), pollset) = (watched(iomgr), pollset(iomgr));
    let (counts, _ran) = Counts::new(iomgr);
    let (said, says) = mpsc::channel();
    iomgr.submit(Arc::new(Panics));
    iomgr.submit(Arc::new(Says(said)));
    work_until(iomgr, &pollset, || says.try_recv().is_ok());
    while fd.notify_on_read(&counts.clone().into()).is_ready() {}
    peer.write_all(b"x").unwrap();
    work_until(iomgr, &pollset, || counts.runs() == 1);
}
