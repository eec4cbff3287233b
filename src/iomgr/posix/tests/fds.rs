//! Fds: armed once and fired once, shut down, taken away.

use super::{Counts, PATIENCE, iomgr, pollset, watch, work_until};
use crate::iomgr::deadline::Deadline;
use crate::iomgr::exec_ctx::ExecCtx;
use crate::iomgr::posix::fd::Fd;
use crate::iomgr::posix::manager::Iomgr;
use crate::testing::CountingWaker;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, mpsc};
use std::task::{Poll, Waker};
use std::thread;

/// A watched socket and its peer.
fn watched(iomgr: &Arc<Iomgr>) -> (Fd, UnixStream) {
    let (ours, peer) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let fd = Fd::new(iomgr, ours.into()).unwrap();
    watch(iomgr, &fd);
    (fd, peer)
}

fn reset() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "the test says so")
}

/// Lets the engine report everything that is there.
fn look(iomgr: &Arc<Iomgr>) {
    let _context = ExecCtx::enter();
    iomgr.work(&pollset(iomgr), Deadline::NOW, || true);
}

#[test]
fn a_read_fires_once_for_each_arming() {
    let iomgr = iomgr();
    let (fd, mut peer) = watched(&iomgr);
    let (waker, pollset) = (CountingWaker::new(), pollset(&iomgr));
    look(&iomgr); // The first report says only that it is writable.
    assert!(fd.notify_on_read(&waker.waker()).is_pending());
    peer.write_all(b"1").unwrap();
    work_until(&iomgr, &pollset, || waker.count() == 1);
    peer.write_all(b"2").unwrap();
    look(&iomgr);
    assert_eq!(waker.count(), 1, "it was not armed again");
    assert!(matches!(fd.notify_on_read(&waker.waker()), Poll::Ready(Ok(()))));
    assert!(fd.notify_on_read(&waker.waker()).is_pending());
}

#[test]
fn a_new_socket_is_writable_and_not_in_error() {
    let iomgr = iomgr();
    let (fd, _peer) = watched(&iomgr);
    let (write, error) = (CountingWaker::new(), CountingWaker::new());
    assert!(fd.notify_on_write(&write.waker()).is_pending());
    assert!(fd.notify_on_error(&error.waker()).is_pending());
    work_until(&iomgr, &pollset(&iomgr), || write.count() == 1);
    assert_eq!(error.count(), 0);
    assert!(!fd.is_hung_up());
}

#[test]
fn a_peer_that_closes_is_a_hang_up_that_can_be_read() {
    let iomgr = iomgr();
    let (fd, peer) = watched(&iomgr);
    let waker = CountingWaker::new();
    assert!(fd.notify_on_read(&waker.waker()).is_pending());
    drop(peer);
    work_until(&iomgr, &pollset(&iomgr), || waker.count() == 1);
    assert!(fd.is_hung_up());
}

#[test]
fn a_shutdown_fires_every_direction_once_and_fails_later_armings() {
    let iomgr = iomgr();
    let (fd, _peer) = watched(&iomgr);
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
    for index in 0..3 {
        let Poll::Ready(Err(error)) = arm(index) else { panic!("direction {index} is alive") };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}

#[test]
fn an_orphaned_fd_comes_back_open_and_is_watched_no_more() {
    let iomgr = iomgr();
    let (fd, mut peer) = watched(&iomgr);
    let waker = CountingWaker::new();
    assert!(fd.notify_on_read(&waker.waker()).is_pending());
    let mut back = UnixStream::from(fd.orphan());
    assert_eq!(waker.count(), 1, "what was armed is told");
    peer.write_all(b"x").unwrap();
    look(&iomgr);
    assert_eq!(waker.count(), 1);
    assert_eq!(back.read(&mut [0; 8]).unwrap(), 1);
}

#[test]
fn a_dropped_fd_is_closed_and_what_was_armed_is_told() {
    let iomgr = iomgr();
    let (fd, mut peer) = watched(&iomgr);
    let waker = CountingWaker::new();
    assert!(fd.notify_on_read(&waker.waker()).is_pending());
    drop(fd);
    assert_eq!(waker.count(), 1);
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0, "the peer sees the end");
}

#[test]
fn the_next_owner_of_a_number_sees_no_old_event() {
    let iomgr = iomgr();
    let (old, mut old_peer) = watched(&iomgr);
    old_peer.write_all(b"for the old one").unwrap();
    drop(old);
    let (new, _new_peer) = watched(&iomgr); // Most likely with the number of the old one.
    let waker = CountingWaker::new();
    assert!(new.notify_on_read(&waker.waker()).is_pending());
    for _ in 0..3 {
        look(&iomgr);
    }
    assert_eq!(waker.count(), 0);
}

/// grpc#6110, and the stranded event: whichever thread finds it runs it.
#[test]
fn one_event_among_many_sleepers_is_run_once() {
    let iomgr = iomgr();
    let (fd, mut peer) = watched(&iomgr);
    let (counts, ran) = Counts::new(&iomgr);
    look(&iomgr);
    assert!(fd.notify_on_read(&Waker::from(counts.clone())).is_pending());
    let pollsets: Vec<_> = (0..4).map(|_| pollset(&iomgr)).collect();
    let (returned, returns) = mpsc::channel();
    thread::scope(|scope| {
        for pollset in &pollsets {
            let (iomgr, returned) = (&iomgr, returned.clone());
            scope.spawn(move || {
                let context = ExecCtx::enter();
                iomgr.work(pollset, Deadline::NONE, || true);
                context.flush();
                returned.send(()).unwrap();
            });
        }
        peer.write_all(b"x").unwrap();
        ran.recv_timeout(PATIENCE).expect("the event was lost");
        returns.recv_timeout(PATIENCE).expect("the thread that ran it leaves");
        assert!(returns.try_recv().is_err(), "the others sleep on");
        for pollset in &pollsets {
            pollset.kick();
        }
    });
    assert_eq!(counts.runs(), 1);
}
