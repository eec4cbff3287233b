//! Kicks: of whoever waits in a pollset, of nobody, of all, and of oneself.

use super::{PATIENCE, Sleepers, pollset, watched};
use crate::iomgr::deadline::Deadline;
use crate::iomgr::exec_ctx::{ExecCtx, Run};
use crate::iomgr::posix::manager::Iomgr;
use crate::iomgr::posix::pollset::Pollset;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

on_every_engine! {
    a_kick_ends_the_wait_of_a_poller,
    a_kick_ends_a_wait_behind_the_poller,
    a_kick_reaches_a_pollset_with_fds,
    a_kick_without_a_worker_is_kept_for_the_next_and_only_for_it,
    a_kick_from_the_own_thread_ends_its_next_work,
    a_kick_reaches_every_one_of_several_sleepers,
    a_kick_of_one_pollset_leaves_another_alone,
    a_kick_of_all_sends_everybody_away_and_is_not_kept,
}

/// `kick` ends the only wait, however long that would be.
fn ends_a_wait(iomgr: &Iomgr, pollset: &Arc<Pollset>, kick: impl FnOnce()) {
    let sleepers = Sleepers::default();
    thread::scope(|scope| {
        scope.spawn(|| {
            sleepers.add_this_thread();
            iomgr.work(pollset, Deadline::NONE, || true);
        });
        sleepers.wait_for(iomgr, 1);
        kick();
    });
}

fn a_kick_ends_the_wait_of_a_poller(iomgr: &Arc<Iomgr>) {
    let pollset = Pollset::new();
    ends_a_wait(iomgr, &pollset, || pollset.kick());
}

fn a_kick_ends_a_wait_behind_the_poller(iomgr: &Arc<Iomgr>) {
    let (polls, waits, sleepers) = (Pollset::new(), Pollset::new(), Sleepers::default());
    let enter = |pollset: &Arc<Pollset>| {
        sleepers.add_this_thread();
        iomgr.work(pollset, Deadline::NONE, || true);
    };
    thread::scope(|scope| {
        let poller = scope.spawn(|| enter(&polls));
        sleepers.wait_for(iomgr, 1);
        let waiter = scope.spawn(|| enter(&waits));
        sleepers.wait_for(iomgr, 2);
        waits.kick();
        waiter.join().unwrap();
        assert!(!poller.is_finished());
        polls.kick();
    });
}

fn a_kick_reaches_a_pollset_with_fds(iomgr: &Arc<Iomgr>) {
    let pollset = pollset(iomgr);
    // None, one, and several.
    let mut sockets = Vec::new();
    for _ in 0..3 {
        sockets.push(watched(iomgr));
        ends_a_wait(iomgr, &pollset, || pollset.kick());
    }
}

fn a_kick_without_a_worker_is_kept_for_the_next_and_only_for_it(iomgr: &Arc<Iomgr>) {
    let pollset = Pollset::new();
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

fn a_kick_from_the_own_thread_ends_its_next_work(iomgr: &Arc<Iomgr>) {
    let pollset = Pollset::new();
    iomgr.submit(Arc::new(Kicks(pollset.clone())));
    let context = ExecCtx::enter();
    iomgr.work(&pollset, Deadline::NONE, || true);
    context.flush();
    iomgr.work(&pollset, Deadline::NONE, || true);
}

fn a_kick_reaches_every_one_of_several_sleepers(iomgr: &Arc<Iomgr>) {
    let pollset = Pollset::new();
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

fn a_kick_of_one_pollset_leaves_another_alone(iomgr: &Arc<Iomgr>) {
    let (one, other, sleepers) = (Pollset::new(), Pollset::new(), Sleepers::default());
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            sleepers.add_this_thread();
            iomgr.work(&one, Deadline::NONE, || true);
        });
        sleepers.wait_for(iomgr, 1);
        other.kick();
        // It is the other's, and is kept there.
        iomgr.work(&other, Deadline::NONE, || true);
        assert!(!waiter.is_finished());
        one.kick();
    });
}

fn a_kick_of_all_sends_everybody_away_and_is_not_kept(iomgr: &Arc<Iomgr>) {
    const THREADS: usize = 4;
    let (pollset, sleepers) = (pollset(iomgr), Sleepers::default());
    let _sockets = [watched(iomgr), watched(iomgr)];
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                sleepers.add_this_thread();
                let patience = Deadline::after(PATIENCE);
                iomgr.work(&pollset, patience, || true);
                assert!(!patience.has_passed(), "it was not kicked");
            });
        }
        sleepers.wait_for(iomgr, THREADS);
        pollset.kick_all();
    });
    let soon = Deadline::after(Duration::from_millis(5));
    iomgr.work(&pollset, soon, || true);
    assert!(soon.has_passed(), "nobody was there to keep it for");
}
