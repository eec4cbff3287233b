//! Fds: armed once and fired once, shut down, taken away.

use super::{PATIENCE, look, pollset, socket, watched, work_until};
use crate::iomgr::posix::fd::Fd;
use crate::iomgr::posix::manager::Iomgr;
use crate::iomgr::posix::pollset::Pollset;
use crate::iomgr::posix::pollset_set::PollsetSet;
use crate::testing::CountingWaker;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::task::Poll;

on_every_engine! {
    a_read_fires_once_for_each_arming,
    an_event_that_fires_a_closure_is_used_up_and_the_next_one_is_not,
    readiness_that_came_before_the_arming_is_remembered,
    the_waker_of_the_last_arming_is_the_one_that_counts,
    each_direction_fires_for_itself,
    a_new_socket_is_writable_and_not_in_error,
    a_socket_that_was_full_becomes_writable_when_its_peer_reads,
    a_peer_that_closes_is_a_hang_up_that_can_be_read,
    a_shutdown_fires_every_direction_once_and_fails_later_armings,
    an_orphaned_fd_comes_back_open_and_is_watched_no_more,
    an_orphaned_fd_leaves_every_pollset_and_set,
    a_dropped_fd_is_closed_and_what_was_armed_is_told,
    an_fd_may_go_while_threads_wait_for_it,
}

fn reset() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "the test says so")
}

fn a_read_fires_once_for_each_arming(iomgr: &Arc<Iomgr>) {
    let (fd, mut peer) = watched(iomgr);
    let (waker, pollset) = (CountingWaker::new(), pollset(iomgr));
    look(iomgr, &pollset); // The first report says only that it is writable.
    assert!(fd.notify_on_read(&waker.waker()).is_pending());
    peer.write_all(b"1").unwrap();
    work_until(iomgr, &pollset, || waker.count() == 1);
    peer.write_all(b"2").unwrap();
    look(iomgr, &pollset);
    assert_eq!(waker.count(), 1, "it was not armed again");
    assert!(matches!(fd.notify_on_read(&waker.waker()), Poll::Ready(Ok(()))));
    assert!(fd.notify_on_read(&waker.waker()).is_pending());
}

fn an_event_that_fires_a_closure_is_used_up_and_the_next_one_is_not(iomgr: &Arc<Iomgr>) {
    let (fd, mut peer) = watched(iomgr);
    let (waker, pollset) = (CountingWaker::new(), pollset(iomgr));
    look(iomgr, &pollset); // The first report says only that it is writable.
    let read_all = || {
        let mut socket = UnixStream::from(fd.as_fd().try_clone_to_owned().unwrap());
        while socket.read(&mut [0; 16]).is_ok() {}
    };
    for round in 1..=3 {
        read_all();
        while fd.notify_once_on_read(waker.waker()).is_ready() {
            read_all();
        }
        peer.write_all(b"1").unwrap();
        work_until(iomgr, &pollset, || waker.count() == round);
    }
    // What comes while nobody is armed is there when somebody is.
    read_all();
    peer.write_all(b"2").unwrap();
    look(iomgr, &pollset);
    if fd.notify_once_on_read(waker.waker()).is_pending() {
        work_until(iomgr, &pollset, || waker.count() == 4);
    }
}

fn readiness_that_came_before_the_arming_is_remembered(iomgr: &Arc<Iomgr>) {
    let (fd, mut peer) = watched(iomgr);
    let (waker, pollset) = (CountingWaker::new(), pollset(iomgr));
    look(iomgr, &pollset);
    peer.write_all(b"x").unwrap();
    // Nobody is armed now; an engine may tell then, or when somebody is.
    look(iomgr, &pollset);
    if fd.notify_on_read(&waker.waker()).is_pending() {
        work_until(iomgr, &pollset, || waker.count() == 1);
    }
}

fn the_waker_of_the_last_arming_is_the_one_that_counts(iomgr: &Arc<Iomgr>) {
    let (fd, mut peer) = watched(iomgr);
    let (old, new) = (CountingWaker::new(), CountingWaker::new());
    assert!(fd.notify_on_read(&old.waker()).is_pending());
    assert!(fd.notify_on_read(&new.waker()).is_pending());
    assert!(old.is_unused());
    peer.write_all(b"x").unwrap();
    work_until(iomgr, &pollset(iomgr), || new.count() == 1);
    assert_eq!(old.count(), 0);
}

fn each_direction_fires_for_itself(iomgr: &Arc<Iomgr>) {
    let (fd, mut peer) = watched(iomgr);
    let (read, write, pollset) = (CountingWaker::new(), CountingWaker::new(), pollset(iomgr));
    assert!(fd.notify_on_read(&read.waker()).is_pending());
    assert!(fd.notify_on_write(&write.waker()).is_pending());
    work_until(iomgr, &pollset, || write.count() == 1);
    look(iomgr, &pollset);
    assert_eq!(read.count(), 0, "there is nothing to read");
    peer.write_all(b"x").unwrap();
    work_until(iomgr, &pollset, || read.count() == 1);
    assert_eq!(write.count(), 1);
}

fn a_new_socket_is_writable_and_not_in_error(iomgr: &Arc<Iomgr>) {
    let (fd, _peer) = watched(iomgr);
    let (write, error) = (CountingWaker::new(), CountingWaker::new());
    assert!(fd.notify_on_write(&write.waker()).is_pending());
    assert!(fd.notify_on_error(&error.waker()).is_pending());
    work_until(iomgr, &pollset(iomgr), || write.count() == 1);
    assert_eq!(error.count(), 0);
    assert!(!fd.is_hung_up());
}

fn a_socket_that_was_full_becomes_writable_when_its_peer_reads(iomgr: &Arc<Iomgr>) {
    let (ours, mut peer) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    peer.set_nonblocking(true).unwrap();
    let mut writer = ours.try_clone().unwrap();
    let fd = Fd::new(iomgr, ours.into()).unwrap();
    super::watch(iomgr, &fd);
    let (waker, pollset) = (CountingWaker::new(), pollset(iomgr));
    let mut written = 0;
    // As a writer does: it arms when the kernel takes no more, until that is an arming that waits.
    loop {
        match writer.write(&[0; 4096]) {
            Ok(count) => written += count,
            Err(_) if fd.notify_on_write(&waker.waker()).is_pending() => break,
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }
    look(iomgr, &pollset);
    let early = waker.count();
    if early == 1 {
        // The first report of a new fd, on an engine with edges: now that is used up.
        while fd.notify_on_write(&waker.waker()).is_ready() {}
        look(iomgr, &pollset);
        assert_eq!(waker.count(), early, "it is full");
    }
    let mut read = 0;
    while read < written {
        read += peer.read(&mut [0; 4096]).unwrap();
    }
    work_until(iomgr, &pollset, || waker.count() == early + 1);
}

fn a_peer_that_closes_is_a_hang_up_that_can_be_read(iomgr: &Arc<Iomgr>) {
    let (fd, peer) = watched(iomgr);
    let waker = CountingWaker::new();
    assert!(fd.notify_on_read(&waker.waker()).is_pending());
    drop(peer);
    work_until(iomgr, &pollset(iomgr), || waker.count() == 1);
    assert!(fd.is_hung_up());
}

fn a_shutdown_fires_every_direction_once_and_fails_later_armings(iomgr: &Arc<Iomgr>) {
    let (fd, _peer) = watched(iomgr);
    let wakers = [CountingWaker::new(), CountingWaker::new(), CountingWaker::new()];
    let arm = |index: usize| match index {
        0 => fd.notify_on_read(&wakers[0].waker()),
        1 => fd.notify_on_write(&wakers[1].waker()),
        _ => fd.notify_on_error(&wakers[2].waker()),
    };
    assert!((0..3).all(|index| arm(index).is_pending()));
    fd.shutdown(reset());
    fd.shutdown(io::Error::other("too late"));
    assert!(wakers.iter().all(|waker| waker.count() == 1));
    // What the engine finds later changes nothing.
    look(iomgr, &pollset(iomgr));
    for index in 0..3 {
        let Poll::Ready(Err(error)) = arm(index) else { panic!("direction {index} is alive") };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
    assert!(wakers.iter().all(|waker| waker.count() == 1));
}

fn an_orphaned_fd_comes_back_open_and_is_watched_no_more(iomgr: &Arc<Iomgr>) {
    let (fd, mut peer) = watched(iomgr);
    let waker = CountingWaker::new();
    assert!(fd.notify_on_read(&waker.waker()).is_pending());
    let mut back = UnixStream::from(fd.orphan());
    assert_eq!(waker.count(), 1, "what was armed is told");
    peer.write_all(b"x").unwrap();
    look(iomgr, &pollset(iomgr));
    assert_eq!(waker.count(), 1);
    assert_eq!(back.read(&mut [0; 8]).unwrap(), 1);
}

fn an_orphaned_fd_leaves_every_pollset_and_set(iomgr: &Arc<Iomgr>) {
    let ((fd, mut peer), (other, mut other_peer)) = (socket(iomgr), socket(iomgr));
    let (set, outer) = (PollsetSet::new(iomgr), PollsetSet::new(iomgr));
    let pollsets = [Pollset::new(), Pollset::new(), Pollset::new()];
    outer.add_set(&set).unwrap();
    set.add_pollset(&pollsets[0]).unwrap();
    for fd in [&fd, &other] {
        outer.add_fd(fd.pollee()).unwrap();
        iomgr.engine().add_to_pollset(&pollsets[1], fd.pollee()).unwrap();
    }
    // One that has nothing else, too.
    iomgr.engine().add_to_pollset(&pollsets[2], fd.pollee()).unwrap();
    let mut back = UnixStream::from(fd.orphan());
    peer.write_all(b"x").unwrap();
    for pollset in &pollsets {
        look(iomgr, pollset);
    }
    assert_eq!(back.read(&mut [0; 8]).unwrap(), 1);
    // It can come again, as another one, and those that stayed are where they were.
    let again = Fd::new(iomgr, back.into()).unwrap();
    outer.add_fd(again.pollee()).unwrap();
    assert!(super::reaches(iomgr, &pollsets[0], &again, &mut peer));
    for pollset in &pollsets[..2] {
        assert!(super::reaches(iomgr, pollset, &other, &mut other_peer));
    }
}

fn a_dropped_fd_is_closed_and_what_was_armed_is_told(iomgr: &Arc<Iomgr>) {
    let (fd, mut peer) = watched(iomgr);
    let waker = CountingWaker::new();
    assert!(fd.notify_on_read(&waker.waker()).is_pending());
    drop(fd);
    assert_eq!(waker.count(), 1);
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0, "the peer sees the end");
}

/// The thread that sleeps in the engine may hold on to the fd for that, but not for longer.
fn an_fd_may_go_while_threads_wait_for_it(iomgr: &Arc<Iomgr>) {
    let (pollset, sleepers) = (pollset(iomgr), super::Sleepers::default());
    let (keeps, mut keeps_peer) = watched(iomgr);
    let (fd, mut peer) = watched(iomgr);
    let (waker, other) = (CountingWaker::new(), CountingWaker::new());
    assert!(fd.notify_on_read(&waker.waker()).is_pending());
    look(iomgr, &pollset);
    while keeps.notify_on_read(&other.waker()).is_ready() {}
    std::thread::scope(|scope| {
        scope.spawn(|| {
            sleepers.add_this_thread();
            work_until(iomgr, &pollset, || other.count() == 1);
        });
        sleepers.wait_for(iomgr, 1);
        let number = UnixStream::from(fd.as_fd().try_clone_to_owned().unwrap());
        drop(fd);
        assert_eq!(waker.count(), 1);
        drop(number);
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0, "it is closed while the thread waits");
        keeps_peer.write_all(b"x").unwrap();
    });
}
