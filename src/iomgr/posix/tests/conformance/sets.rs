//! Pollset sets: which pollset waits for which fd, when both come and go.

use super::{assert_out_of_reach, pollset, reaches, socket, waits_for_everything, work_until};
use crate::iomgr::posix::manager::Iomgr;
use crate::iomgr::posix::pollset::Pollset;
use crate::iomgr::posix::pollset_set::PollsetSet;
use crate::testing::CountingWaker;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Waker;
use std::thread;

on_every_engine! {
    a_pollset_waits_for_the_fds_that_are_added_to_it,
    a_pollset_waits_for_the_fds_of_its_set_whichever_came_first,
    a_pollset_waits_for_the_fds_of_every_set_that_its_own_is_in,
    fds_do_not_reach_the_pollsets_of_sets_above,
    adding_twice_is_adding_once,
    what_was_removed_is_not_waited_for_unless_there_is_another_way,
    a_set_that_was_taken_out_or_dropped_is_no_way_any_more,
    a_pollset_that_was_removed_may_come_again,
    sets_that_are_in_each_other_are_no_harm,
    a_cycle_may_be_cut_anywhere,
    what_is_armed_when_its_pollset_goes_is_told_to_look_elsewhere,
    an_fd_that_is_removed_from_a_pollset_counts_as_ready_once,
    pollsets_that_have_one_fd_share_its_pollable_and_a_second_fd_parts_them,
    a_thread_that_sleeps_in_a_pollset_that_moves_wakes_for_the_new_fd,
    sets_change_while_threads_wait,
}

fn a_pollset_waits_for_the_fds_that_are_added_to_it(iomgr: &Arc<Iomgr>) {
    let (pollset, mut sockets) = (Pollset::new(), Vec::new());
    // The first one, the second one, and some more.
    for _ in 0..5 {
        let (fd, peer) = socket(iomgr);
        iomgr.engine().add_to_pollset(&pollset, fd.pollee()).unwrap();
        sockets.push((fd, peer));
        for (fd, peer) in &mut sockets {
            assert!(reaches(iomgr, &pollset, fd, peer));
        }
    }
    let (fd, mut peer) = socket(iomgr);
    assert_out_of_reach(iomgr, &pollset, &fd, &mut peer);
}

fn a_pollset_waits_for_the_fds_of_its_set_whichever_came_first(iomgr: &Arc<Iomgr>) {
    let (set, other) = (PollsetSet::new(iomgr), PollsetSet::new(iomgr));
    let ((early, mut early_peer), (late, mut late_peer)) = (socket(iomgr), socket(iomgr));
    let (pollset, elsewhere) = (Pollset::new(), Pollset::new());
    other.add_pollset(&elsewhere).unwrap();
    set.add_fd(early.pollee()).unwrap();
    set.add_pollset(&pollset).unwrap();
    set.add_fd(late.pollee()).unwrap();
    for (fd, peer) in [(&early, &mut early_peer), (&late, &mut late_peer)] {
        assert!(reaches(iomgr, &pollset, fd, peer));
        assert_out_of_reach(iomgr, &elsewhere, fd, peer);
    }
}

fn a_pollset_waits_for_the_fds_of_every_set_that_its_own_is_in(iomgr: &Arc<Iomgr>) {
    let sets: Vec<_> = (0..4).map(|_| PollsetSet::new(iomgr)).collect();
    let pollset = Pollset::new();
    sets[3].add_pollset(&pollset).unwrap();
    // The middle comes last.
    for index in [0, 2, 1] {
        sets[index].add_set(&sets[index + 1]).unwrap();
    }
    let ((fd, mut peer), (inner, mut inner_peer)) = (socket(iomgr), socket(iomgr));
    sets[0].add_fd(fd.pollee()).unwrap();
    sets[2].add_fd(inner.pollee()).unwrap();
    assert!(reaches(iomgr, &pollset, &fd, &mut peer));
    assert!(reaches(iomgr, &pollset, &inner, &mut inner_peer));
}

fn fds_do_not_reach_the_pollsets_of_sets_above(iomgr: &Arc<Iomgr>) {
    let (outer, inner) = (PollsetSet::new(iomgr), PollsetSet::new(iomgr));
    let ((fd, mut peer), pollset) = (socket(iomgr), Pollset::new());
    inner.add_fd(fd.pollee()).unwrap();
    outer.add_pollset(&pollset).unwrap();
    outer.add_set(&inner).unwrap();
    assert_out_of_reach(iomgr, &pollset, &fd, &mut peer);
}

fn adding_twice_is_adding_once(iomgr: &Arc<Iomgr>) {
    let (outer, set) = (PollsetSet::new(iomgr), PollsetSet::new(iomgr));
    let ((fd, mut peer), pollset) = (socket(iomgr), Pollset::new());
    for _ in 0..2 {
        outer.add_set(&set).unwrap();
        outer.add_fd(fd.pollee()).unwrap();
        set.add_pollset(&pollset).unwrap();
    }
    assert!(reaches(iomgr, &pollset, &fd, &mut peer));
    set.remove_pollset(&pollset);
    assert_out_of_reach(iomgr, &pollset, &fd, &mut peer);
    // Removing what is not there is nothing.
    set.remove_pollset(&pollset);
    outer.remove_set(&set);
    outer.remove_set(&set);
    set.add_pollset(&pollset).unwrap();
    assert_out_of_reach(iomgr, &pollset, &fd, &mut peer);
}

fn what_was_removed_is_not_waited_for_unless_there_is_another_way(iomgr: &Arc<Iomgr>) {
    let (first, second) = (PollsetSet::new(iomgr), PollsetSet::new(iomgr));
    let ((fd, mut peer), (other, _other_peer)) = (socket(iomgr), socket(iomgr));
    let pollset = Pollset::new();
    // With another fd at hand, so that the pollset has something of its own.
    iomgr.engine().add_to_pollset(&pollset, other.pollee()).unwrap();
    for set in [&first, &second] {
        set.add_fd(fd.pollee()).unwrap();
        set.add_pollset(&pollset).unwrap();
    }
    assert!(reaches(iomgr, &pollset, &fd, &mut peer));
    first.remove_pollset(&pollset);
    assert!(reaches(iomgr, &pollset, &fd, &mut peer), "it still is in the second set");
    second.remove_pollset(&pollset);
    assert_out_of_reach(iomgr, &pollset, &fd, &mut peer);
}

fn a_set_that_was_taken_out_or_dropped_is_no_way_any_more(iomgr: &Arc<Iomgr>) {
    let (outer, middle, inner) =
        (PollsetSet::new(iomgr), PollsetSet::new(iomgr), PollsetSet::new(iomgr));
    let ((fd, mut peer), pollset) = (socket(iomgr), Pollset::new());
    outer.add_fd(fd.pollee()).unwrap();
    outer.add_set(&middle).unwrap();
    middle.add_set(&inner).unwrap();
    inner.add_pollset(&pollset).unwrap();
    assert!(reaches(iomgr, &pollset, &fd, &mut peer));
    outer.remove_set(&middle);
    assert_out_of_reach(iomgr, &pollset, &fd, &mut peer);
    outer.add_set(&middle).unwrap();
    assert!(reaches(iomgr, &pollset, &fd, &mut peer));
    drop(middle);
    assert_out_of_reach(iomgr, &pollset, &fd, &mut peer);
    outer.add_set(&inner).unwrap();
    assert!(reaches(iomgr, &pollset, &fd, &mut peer));
    drop(outer);
    assert_out_of_reach(iomgr, &pollset, &fd, &mut peer);
}

fn a_pollset_that_was_removed_may_come_again(iomgr: &Arc<Iomgr>) {
    let (set, pollset) = (PollsetSet::new(iomgr), Pollset::new());
    let ((fd, mut peer), (other, mut other_peer)) = (socket(iomgr), socket(iomgr));
    set.add_fd(fd.pollee()).unwrap();
    for _ in 0..3 {
        set.add_pollset(&pollset).unwrap();
        assert!(reaches(iomgr, &pollset, &fd, &mut peer));
        set.remove_pollset(&pollset);
        // It begins again where a new pollset does.
        assert_out_of_reach(iomgr, &pollset, &fd, &mut peer);
        assert_out_of_reach(iomgr, &Pollset::new(), &fd, &mut peer);
    }
    set.add_fd(other.pollee()).unwrap();
    set.add_pollset(&pollset).unwrap();
    assert!(reaches(iomgr, &pollset, &fd, &mut peer));
    assert!(reaches(iomgr, &pollset, &other, &mut other_peer));
}

fn sets_that_are_in_each_other_are_no_harm(iomgr: &Arc<Iomgr>) {
    let (one, two) = (PollsetSet::new(iomgr), PollsetSet::new(iomgr));
    one.add_set(&two).unwrap();
    two.add_set(&one).unwrap();
    one.add_set(&one).unwrap();
    let ((fd, mut peer), pollset) = (socket(iomgr), Pollset::new());
    one.add_pollset(&pollset).unwrap();
    two.add_fd(fd.pollee()).unwrap();
    assert!(reaches(iomgr, &pollset, &fd, &mut peer));
    two.remove_set(&one);
    drop(one);
    assert_out_of_reach(iomgr, &pollset, &fd, &mut peer);
}

fn a_cycle_may_be_cut_anywhere(iomgr: &Arc<Iomgr>) {
    for cut in 0..3 {
        let sets: Vec<_> = (0..3).map(|_| PollsetSet::new(iomgr)).collect();
        let ((fd, mut peer), pollset) = (socket(iomgr), Pollset::new());
        sets[0].add_fd(fd.pollee()).unwrap();
        sets[2].add_pollset(&pollset).unwrap();
        for index in 0..3 {
            sets[index].add_set(&sets[(index + 1) % 3]).unwrap();
        }
        assert!(reaches(iomgr, &pollset, &fd, &mut peer));
        sets[cut].remove_set(&sets[(cut + 1) % 3]);
        match cut {
            // From 2 back to 0 nothing was needed.
            2 => assert!(reaches(iomgr, &pollset, &fd, &mut peer)),
            _ => assert_out_of_reach(iomgr, &pollset, &fd, &mut peer),
        }
    }
}

/// An event that went to where nobody comes any more must not be lost.
fn what_is_armed_when_its_pollset_goes_is_told_to_look_elsewhere(iomgr: &Arc<Iomgr>) {
    let ((fd, mut peer), set) = (socket(iomgr), PollsetSet::new(iomgr));
    let (goes, stays, read) = (Pollset::new(), Pollset::new(), CountingWaker::new());
    set.add_fd(fd.pollee()).unwrap();
    for pollset in [&goes, &stays] {
        set.add_pollset(pollset).unwrap();
        super::look(iomgr, pollset);
    }
    assert!(fd.notify_on_read(&read.waker()).is_pending());
    peer.write_all(b"x").unwrap();
    set.remove_pollset(&goes);
    work_until(iomgr, &stays, || read.count() == 1);
}

/// An event may have gone to the thread that was woken there, and to nobody else.
fn an_fd_that_is_removed_from_a_pollset_counts_as_ready_once(iomgr: &Arc<Iomgr>) {
    let ((fd, _peer), set) = (socket(iomgr), PollsetSet::new(iomgr));
    let (pollset, read) = (Pollset::new(), CountingWaker::new());
    set.add_fd(fd.pollee()).unwrap();
    set.add_pollset(&pollset).unwrap();
    super::look(iomgr, &pollset);
    assert!(fd.notify_on_read(&read.waker()).is_pending());
    set.remove_pollset(&pollset);
    let told = usize::from(!waits_for_everything(iomgr));
    for _ in 0..2 {
        super::look(iomgr, &Pollset::new());
        assert_eq!(read.count(), told);
    }
}

fn pollsets_that_have_one_fd_share_its_pollable_and_a_second_fd_parts_them(iomgr: &Arc<Iomgr>) {
    if waits_for_everything(iomgr) {
        return;
    }
    let engine = iomgr.engine();
    let ((fd, _peer), (other, _other_peer)) = (socket(iomgr), socket(iomgr));
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
fn a_thread_that_sleeps_in_a_pollset_that_moves_wakes_for_the_new_fd(iomgr: &Arc<Iomgr>) {
    let (set, pollset) = (PollsetSet::new(iomgr), Pollset::new());
    set.add_pollset(&pollset).unwrap();
    // Readable before the pollset has them, while its thread sleeps where it was before.
    let sockets = [socket(iomgr), socket(iomgr), socket(iomgr)];
    let (read, ready) = (CountingWaker::new(), AtomicUsize::new(0));
    let sleepers = super::Sleepers::default();
    thread::scope(|scope| {
        scope.spawn(|| {
            sleepers.add_this_thread();
            work_until(iomgr, &pollset, || ready.load(SeqCst) + read.count() == sockets.len());
        });
        for (fd, peer) in &sockets {
            sleepers.wait_for(iomgr, 1);
            let mut peer = peer;
            peer.write_all(b"x").unwrap();
            // Where every thread waits for everything, the event may have been there before.
            if fd.notify_on_read(&read.waker()).is_ready() {
                ready.fetch_add(1, SeqCst);
                pollset.kick();
            }
            set.add_fd(fd.pollee()).unwrap();
        }
    });
}

/// Threads wait in pollsets that come, go and move all the time; what is readable at the end is read.
fn sets_change_while_threads_wait(iomgr: &Arc<Iomgr>) {
    let (outer, inner) = (PollsetSet::new(iomgr), PollsetSet::new(iomgr));
    let pollsets = [Pollset::new(), Pollset::new(), pollset(iomgr)];
    let mut sockets = [socket(iomgr), socket(iomgr), socket(iomgr)];
    thread::scope(|scope| {
        for pollset in &pollsets {
            scope.spawn(|| {
                let context = crate::iomgr::exec_ctx::ExecCtx::enter();
                while !pollset.is_shut_down() {
                    iomgr.work(pollset, crate::iomgr::Deadline::NONE, || true);
                    context.flush();
                }
            });
        }
        for round in 0..100 {
            outer.add_set(&inner).unwrap();
            inner.add_pollset(&pollsets[round % 2]).unwrap();
            outer.add_fd(sockets[round % 3].0.pollee()).unwrap();
            inner.add_fd(sockets[(round + 1) % 3].0.pollee()).unwrap();
            outer.add_pollset(&pollsets[(round + 1) % 2]).unwrap();
            if round % 3 == 0 {
                outer.remove_set(&inner);
            }
            inner.remove_pollset(&pollsets[round % 2]);
            if round % 10 == 9 {
                outer.remove_pollset(&pollsets[round % 2]);
                sockets[round % 3] = socket(iomgr);
            }
        }
        outer.add_pollset(&pollsets[0]).unwrap();
        for (fd, peer) in &mut sockets {
            outer.add_fd(fd.pollee()).unwrap();
            let (counts, ran) = super::Counts::new(iomgr);
            while fd.notify_on_read(&Waker::from(counts.clone())).is_ready() {}
            peer.write_all(b"x").unwrap();
            ran.recv_timeout(super::PATIENCE).expect("the event was lost");
        }
        pollsets.iter().for_each(|pollset| pollset.shutdown(Waker::noop()));
    });
}
