//! Events: each is found, by whoever waits, and by nobody whom it is not for.

use super::{PATIENCE, Sleepers, look, pollset, watch, watched, work_until};
use crate::iomgr::deadline::Deadline;
use crate::iomgr::exec_ctx::ExecCtx;
use crate::iomgr::posix::fd::Fd;
use crate::iomgr::posix::fired::Fired;
use crate::iomgr::posix::manager::Iomgr;
use crate::iomgr::posix::pollset::Pollset;
use crate::iomgr::posix::sys::Readiness;
use crate::testing::CountingWaker;
use std::io::{Read, Write};
use std::net::UdpSocket;
use std::sync::{Arc, mpsc};
use std::thread;

on_every_engine! {
    more_ready_fds_than_one_batch_takes_are_all_served,
    an_event_is_found_by_who_waits_when_another_thread_has_gone,
    what_one_look_finds_is_run_by_the_thread_that_looked,
    a_late_event_of_an_old_fd_does_not_reach_the_next_owner_of_its_number,
    numbers_that_are_used_again_and_again_bring_no_event_of_their_past,
    no_event_is_lost_between_a_read_and_the_next_arming,
}

/// grpc#23535. One batch is 128 events.
fn more_ready_fds_than_one_batch_takes_are_all_served(iomgr: &Arc<Iomgr>) {
    const FDS: usize = 150;
    let pollset = pollset(iomgr);
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let receivers: Vec<_> = (0..FDS)
        .map(|_| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let address = socket.local_addr().unwrap();
            socket.set_nonblocking(true).unwrap();
            let fd = Fd::new(iomgr, socket.into()).unwrap();
            watch(iomgr, &fd);
            (fd, address)
        })
        .collect();
    // What came with the fds has been seen.
    (0..3).for_each(|_| look(iomgr, &pollset));
    let wakers: Vec<_> = (0..FDS).map(|_| CountingWaker::new()).collect();
    for ((fd, address), waker) in receivers.iter().zip(&wakers) {
        while fd.notify_on_read(&waker.waker()).is_ready() {}
        sender.send_to(b"x", address).unwrap();
    }
    // Nobody sleeps in between: all are there.
    for _ in 0..FDS.div_ceil(128) {
        iomgr.work(&pollset, Deadline::NOW, || true);
    }
    let unserved = wakers.iter().filter(|waker| waker.count() != 1).count();
    assert_eq!(unserved, 0);
}

/// The stranded event: one thread has found an event and gone back to its application, where it stays.
fn an_event_is_found_by_who_waits_when_another_thread_has_gone(iomgr: &Arc<Iomgr>) {
    let sockets = [watched(iomgr), watched(iomgr)];
    let (pollsets, sleepers) = ([pollset(iomgr), pollset(iomgr)], Sleepers::default());
    pollsets.iter().for_each(|pollset| look(iomgr, pollset));
    let [(first, mut first_peer), (second, mut second_peer)] = sockets;
    let wakers = [CountingWaker::new(), CountingWaker::new()];
    for (fd, waker) in [&first, &second].into_iter().zip(&wakers) {
        while fd.notify_on_read(&waker.waker()).is_ready() {}
    }
    let (left, leaves) = mpsc::channel();
    thread::scope(|scope| {
        for pollset in &pollsets {
            let (left, sleepers) = (left.clone(), &sleepers);
            scope.spawn(move || {
                let context = ExecCtx::enter();
                sleepers.add_this_thread();
                iomgr.work(pollset, Deadline::after(PATIENCE), || true);
                context.flush();
                left.send(thread::current().id()).unwrap();
            });
        }
        sleepers.wait_for(iomgr, 2);
        first_peer.write_all(b"x").unwrap();
        let gone = leaves.recv_timeout(PATIENCE).expect("the event was lost");
        assert_eq!((wakers[0].count(), wakers[1].count()), (1, 0));
        second_peer.write_all(b"x").unwrap();
        let next = leaves.recv_timeout(PATIENCE).expect("the event is stranded");
        assert_ne!(gone, next);
        assert_eq!((wakers[0].count(), wakers[1].count()), (1, 1));
    });
}

fn what_one_look_finds_is_run_by_the_thread_that_looked(iomgr: &Arc<Iomgr>) {
    let sockets = [watched(iomgr), watched(iomgr), watched(iomgr)];
    let pollset = pollset(iomgr);
    look(iomgr, &pollset);
    let counts: Vec<_> = (0..3).map(|_| super::Counts::new(iomgr)).collect();
    for ((fd, peer), (counts, _)) in sockets.iter().zip(&counts) {
        while fd.notify_on_read(&counts.clone().into()).is_ready() {}
        let mut peer = peer;
        peer.write_all(b"x").unwrap();
    }
    look(iomgr, &pollset);
    // It has not left any of them for the next time.
    assert!(counts.iter().all(|(counts, _)| counts.runs() == 1));
}

/// A key is never used twice: a batch that was fetched before the fd went finds nobody.
fn a_late_event_of_an_old_fd_does_not_reach_the_next_owner_of_its_number(iomgr: &Arc<Iomgr>) {
    /// So many that one has the old one's place in the table of fds, and most likely its number.
    const NEW: usize = 64;
    let (old, mut old_peer) = watched(iomgr);
    let pollset = pollset(iomgr);
    let key = old.pollee().key();
    old_peer.write_all(b"for the old one").unwrap();
    drop(old);
    let (new, waker) = ((0..NEW).map(|_| watched(iomgr)).collect::<Vec<_>>(), CountingWaker::new());
    for (fd, _) in &new {
        assert!(fd.notify_on_read(&waker.waker()).is_pending());
    }
    let mut fired = Fired::default();
    let readiness = Readiness { read: true, write: true, error: true, hang_up: true };
    iomgr.fds().on_event(key, readiness, &mut fired);
    assert_eq!(fired.len(), 0);
    for _ in 0..3 {
        look(iomgr, &pollset);
    }
    assert_eq!(waker.count(), 0);
    assert!(new.iter().all(|(fd, _)| !fd.is_hung_up()));
}

/// The same with batches of the engine's own, by a thread that polls all the time.
fn numbers_that_are_used_again_and_again_bring_no_event_of_their_past(iomgr: &Arc<Iomgr>) {
    let pollset = pollset(iomgr);
    thread::scope(|scope| {
        scope.spawn(|| {
            let context = ExecCtx::enter();
            while !pollset.is_shut_down() {
                iomgr.work(&pollset, Deadline::NONE, || true);
                context.flush();
            }
        });
        for _ in 0..300 {
            let (loud, quiet) = (CountingWaker::new(), CountingWaker::new());
            let (fd, mut peer) = watched(iomgr);
            let _ = fd.notify_on_read(&loud.waker());
            peer.write_all(b"x").unwrap();
            drop(fd);
            let (next, _next_peer) = watched(iomgr); // Most likely with the number of the old one.
            let arming = next.notify_on_read(&quiet.waker());
            assert!(arming.is_pending(), "there is nothing to read");
            // What the poller fetches while it is kicked has come before this.
            pollset.kick();
            assert_eq!(quiet.count(), 0, "an event of the one before");
        }
        pollset.shutdown(std::task::Waker::noop());
    });
}

/// Reads until it would block, arms, and waits, as an endpoint does, with a peer that writes at any
/// moment.
fn no_event_is_lost_between_a_read_and_the_next_arming(iomgr: &Arc<Iomgr>) {
    const BYTES: usize = 2000;
    let (ours, mut peer) = std::os::unix::net::UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let mut reader = ours.try_clone().unwrap();
    let fd = Fd::new(iomgr, ours.into()).unwrap();
    watch(iomgr, &fd);
    let pollset: Arc<Pollset> = pollset(iomgr);
    let (waker, mut read) = (CountingWaker::new(), 0);
    thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..BYTES {
                peer.write_all(b"x").unwrap();
                thread::yield_now();
            }
        });
        while read < BYTES {
            while let Ok(count) = reader.read(&mut [0; 64]) {
                assert_ne!(count, 0, "the peer has not closed before its last byte");
                read += count;
                if read == BYTES {
                    return;
                }
            }
            let before = waker.count();
            if fd.notify_on_read(&waker.waker()).is_pending() {
                work_until(iomgr, &pollset, || waker.count() > before);
            }
        }
    });
    assert_eq!(read, BYTES);
}
