//! One event wakes one thread, by the counts of the engine's waits (grpc#6110).

use super::listeners::{any_port, listen_in};
use super::{Counts, PATIENCE, Sleepers, look, pollset, socket, watched};
use crate::iomgr::deadline::Deadline;
use crate::iomgr::exec_ctx::ExecCtx;
use crate::iomgr::posix::address::ListenAddress;
use crate::iomgr::posix::fd::Fd;
use crate::iomgr::posix::manager::Iomgr;
use crate::iomgr::posix::pollset::Pollset;
use crate::iomgr::posix::pollset_set::PollsetSet;
use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, mpsc};
use std::task::Waker;
use std::thread;

const THREADS: usize = 8;

on_every_engine! {
    one_event_wakes_one_of_eight_threads_at_one_fd,
    one_event_wakes_one_of_eight_threads_with_sets_of_their_own,
    one_event_wakes_one_of_eight_threads_of_which_some_wait_for_nothing_else,
    one_event_wakes_one_of_eight_threads_in_one_pollset,
    one_connect_wakes_one_of_eight_threads,
}

/// One thread for each pollset waits, `event` happens, and one of them returns with what that has
/// scheduled. The others sleep on, or again. Gives how often one has come back from the engine.
fn wakes_one(iomgr: &Arc<Iomgr>, pollsets: &[Arc<Pollset>], event: impl FnOnce()) -> usize {
    let sleepers = Sleepers::default();
    let (returned, returns) = mpsc::channel();
    thread::scope(|scope| {
        for pollset in pollsets {
            let (returned, sleepers) = (returned.clone(), &sleepers);
            scope.spawn(move || {
                let context = ExecCtx::enter();
                sleepers.add_this_thread();
                iomgr.work(pollset, Deadline::after(PATIENCE * 2), || true);
                sleepers.remove_this_thread();
                context.flush();
                returned.send(()).unwrap();
            });
        }
        sleepers.wait_for(iomgr, THREADS);
        let before = iomgr.waits();
        event();
        returns.recv_timeout(PATIENCE).expect("the event was lost");
        // Who was woken for nothing has looked and sleeps again.
        sleepers.wait_for(iomgr, THREADS - 1);
        let woken = iomgr.waits() - before;
        assert!(returns.try_recv().is_err(), "the others sleep on");
        pollsets.iter().for_each(|pollset| pollset.kick());
        woken
    })
}

/// The event is that `fd` becomes readable.
fn a_read_wakes_one(iomgr: &Arc<Iomgr>, pollsets: &[Arc<Pollset>], fd: &Fd, peer: &mut impl Write) {
    // What came with the fds has been seen.
    for _ in 0..2 {
        pollsets.iter().for_each(|pollset| look(iomgr, pollset));
    }
    let (counts, ran) = Counts::new(iomgr);
    while fd.notify_on_read(&Waker::from(counts.clone())).is_ready() {}
    let woken = wakes_one(iomgr, pollsets, || {
        peer.write_all(b"x").unwrap();
        ran.recv_timeout(PATIENCE).expect("the event was lost");
    });
    assert_eq!(woken, 1);
    assert_eq!(counts.runs(), 1);
}

fn one_event_wakes_one_of_eight_threads_at_one_fd(iomgr: &Arc<Iomgr>) {
    let (fd, mut peer) = socket(iomgr);
    let pollsets: Vec<_> = (0..THREADS).map(|_| Pollset::new()).collect();
    for pollset in &pollsets {
        iomgr.engine().add_to_pollset(pollset, fd.pollee()).unwrap();
    }
    a_read_wakes_one(iomgr, &pollsets, &fd, &mut peer);
}

/// Pollsets with more fds than one, which `set` has.
fn crowd(iomgr: &Arc<Iomgr>, set: &PollsetSet, fds: [&Fd; 2]) -> Vec<Arc<Pollset>> {
    let pollsets: Vec<_> = (0..THREADS).map(|_| Pollset::new()).collect();
    for pollset in &pollsets {
        set.add_pollset(pollset).unwrap();
    }
    for fd in fds {
        set.add_fd(fd.pollee()).unwrap();
    }
    pollsets.iter().for_each(|pollset| look(iomgr, pollset));
    pollsets
}

fn one_event_wakes_one_of_eight_threads_with_sets_of_their_own(iomgr: &Arc<Iomgr>) {
    let ((fd, mut peer), (other, _other_peer)) = (socket(iomgr), socket(iomgr));
    let set = PollsetSet::new(iomgr);
    let pollsets = crowd(iomgr, &set, [&fd, &other]);
    a_read_wakes_one(iomgr, &pollsets, &fd, &mut peer);
}

fn one_event_wakes_one_of_eight_threads_of_which_some_wait_for_nothing_else(iomgr: &Arc<Iomgr>) {
    let ((fd, mut peer), (other, _other_peer)) = (socket(iomgr), socket(iomgr));
    let pollsets: Vec<_> = (0..THREADS).map(|_| Pollset::new()).collect();
    for (index, pollset) in pollsets.iter().enumerate() {
        iomgr.engine().add_to_pollset(pollset, fd.pollee()).unwrap();
        if index % 2 == 1 {
            iomgr.engine().add_to_pollset(pollset, other.pollee()).unwrap();
        }
    }
    a_read_wakes_one(iomgr, &pollsets, &fd, &mut peer);
}

fn one_event_wakes_one_of_eight_threads_in_one_pollset(iomgr: &Arc<Iomgr>) {
    let pollset = pollset(iomgr);
    let ((fd, mut peer), _other) = (watched(iomgr), watched(iomgr));
    a_read_wakes_one(iomgr, &vec![pollset; THREADS], &fd, &mut peer);
}

/// Two at most: the one that accepts, and one that polls instead of it.
fn one_connect_wakes_one_of_eight_threads(iomgr: &Arc<Iomgr>) {
    let set = Arc::new(PollsetSet::new(iomgr));
    let ((one, _one_peer), (other, _other_peer)) = (socket(iomgr), socket(iomgr));
    let pollsets = crowd(iomgr, &set, [&one, &other]);
    let (listener, accepted) = listen_in(iomgr, &set, &any_port()).unwrap();
    let ListenAddress::Tcp(address) = *listener.address() else { panic!("it is TCP") };
    listener.start();
    // It is armed when it has run.
    pollsets.iter().for_each(|pollset| look(iomgr, pollset));
    let mut ends = None;
    let woken = wakes_one(iomgr, &pollsets, || {
        let client = TcpStream::connect(address).unwrap();
        ends = Some((client, accepted.recv_timeout(PATIENCE).expect("it was lost")));
    });
    listener.close();
    assert!((1..=2).contains(&woken), "woken: {woken}");
}
