//! How long a wait lasts, what ends it, and that nobody spins meanwhile.

use super::{CountingWaker, Says, Sleepers, pollset, this_thread, watch, watched};
use super::{look, work_until};
use crate::iomgr::deadline::Deadline;
use crate::iomgr::exec_ctx::ExecCtx;
use crate::iomgr::posix::fd::Fd;
use crate::iomgr::posix::manager::Iomgr;
use crate::iomgr::posix::pollset::Pollset;
use crate::iomgr::posix::sys::for_tests;
use std::cell::RefCell;
use std::io::Write;
use std::net::UdpSocket;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

on_every_engine! {
    a_wait_never_ends_before_its_deadline,
    a_waiter_behind_the_poller_keeps_its_own_deadline,
    work_is_not_waited_for_when_there_is_some_already,
    a_wait_ends_when_closures_were_scheduled,
    signals_do_not_move_the_deadline,
    an_idle_wait_does_not_spin,
    a_ready_fd_that_nobody_is_armed_for_does_not_spin,
    an_event_that_was_told_does_not_spin_while_its_bytes_are_unread,
    a_peer_that_hung_up_does_not_spin,
    a_socket_in_error_does_not_spin,
    a_thread_that_ends_can_still_wait_in_a_destructor_of_its_locals,
}

fn a_wait_never_ends_before_its_deadline(iomgr: &Arc<Iomgr>) {
    let (_sockets, with_fds) = ([watched(iomgr), watched(iomgr)], pollset(iomgr));
    for pollset in [Pollset::new(), with_fds] {
        for micros in [1, 900, 1100, 5000] {
            let deadline = Instant::now() + Duration::from_micros(micros);
            iomgr.work(&pollset, deadline.into(), || true);
            assert!(Instant::now() >= deadline);
        }
    }
}

fn a_waiter_behind_the_poller_keeps_its_own_deadline(iomgr: &Arc<Iomgr>) {
    let (pollset, sleepers) = (Pollset::new(), Sleepers::default());
    thread::scope(|scope| {
        scope.spawn(|| {
            sleepers.add_this_thread();
            iomgr.work(&pollset, Deadline::NONE, || true);
        });
        sleepers.wait_for(iomgr, 1);
        let deadline = Instant::now() + Duration::from_millis(5);
        iomgr.work(&Pollset::new(), deadline.into(), || true);
        assert!(Instant::now() >= deadline);
        pollset.kick();
    });
}

fn work_is_not_waited_for_when_there_is_some_already(iomgr: &Arc<Iomgr>) {
    iomgr.work(&Pollset::new(), Deadline::NONE, || false);
    assert_eq!(iomgr.waits(), 0);
}

fn a_wait_ends_when_closures_were_scheduled(iomgr: &Arc<Iomgr>) {
    let (fd, mut peer) = watched(iomgr);
    let (counts, ran) = super::Counts::new(iomgr);
    let pollset = pollset(iomgr);
    look(iomgr, &pollset);
    assert!(fd.notify_on_read(&counts.clone().into()).is_pending());
    peer.write_all(b"x").unwrap();
    let context = ExecCtx::enter();
    // Without a deadline: it returns for what the event has scheduled, which has not run yet.
    iomgr.work(&pollset, Deadline::NONE, || true);
    assert_eq!(counts.runs(), 0, "it ran inside of the wait");
    context.flush();
    assert!(ran.try_recv().is_ok());
}

/// grpc#28037.
fn signals_do_not_move_the_deadline(iomgr: &Arc<Iomgr>) {
    for_tests::allow_interrupts().unwrap();
    let _sockets = [watched(iomgr), watched(iomgr)];
    for pollset in [Pollset::new(), pollset(iomgr)] {
        let (begins, began) = mpsc::channel();
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let before = iomgr.waits();
                begins.send(this_thread()).unwrap();
                // Until signals have come during the waits.
                while iomgr.waits() < before + 10 {
                    let deadline = Instant::now() + Duration::from_millis(20);
                    iomgr.work(&pollset, deadline.into(), || true);
                    assert!(Instant::now() >= deadline, "a signal has ended it");
                }
                is_over.store(true, SeqCst);
            });
            let waiter = began.recv().unwrap();
            // They come at shorter intervals than the timeout, for as long as it takes: a wait that
            // began anew with each would never end.
            let patience = Deadline::after(super::PATIENCE);
            while !is_over.load(SeqCst) && !patience.has_passed() {
                // The thread may have just ended.
                let _ = for_tests::interrupt(waiter);
                thread::yield_now();
            }
            assert!(is_over.load(SeqCst), "signals keep the wait from its end");
        });
    }
}

/// How often an idle thread may look in [`idle`]: twice for what came before it, and once for the
/// time.
const FEW: usize = 4;

/// How often a thread that has nothing to do comes back from the engine in some milliseconds.
fn idle(iomgr: &Iomgr, pollset: &Arc<Pollset>) -> usize {
    let (before, deadline) = (iomgr.waits(), Deadline::after(Duration::from_millis(20)));
    let context = ExecCtx::enter();
    while !deadline.has_passed() {
        iomgr.work(pollset, deadline, || true);
        context.flush();
    }
    iomgr.waits() - before
}

#[track_caller]
fn assert_idle(iomgr: &Iomgr, pollset: &Arc<Pollset>) {
    let waits = idle(iomgr, pollset);
    assert!(waits <= FEW, "it looked {waits} times");
}

/// grpc#16588.
fn an_idle_wait_does_not_spin(iomgr: &Arc<Iomgr>) {
    assert_idle(iomgr, &Pollset::new());
    let (_sockets, pollset) = ([watched(iomgr), watched(iomgr)], pollset(iomgr));
    assert_idle(iomgr, &pollset);
    // A timer that is not due yet is slept through, too.
    let (fired, fires) = mpsc::channel();
    let due = Instant::now() + Duration::from_micros(5500);
    iomgr.timer_init(due, Arc::new(Says(fired)));
    assert_idle(iomgr, &pollset);
    assert!(fires.try_recv().is_ok());
}

fn a_ready_fd_that_nobody_is_armed_for_does_not_spin(iomgr: &Arc<Iomgr>) {
    let (fd, mut peer) = watched(iomgr);
    let (pollset, error) = (pollset(iomgr), CountingWaker::new());
    peer.write_all(b"x").unwrap();
    assert_idle(iomgr, &pollset);
    // It can be read and written, and somebody waits for something else.
    assert!(fd.notify_on_error(&error.waker()).is_pending());
    assert_idle(iomgr, &pollset);
    assert_eq!(error.count(), 0);
}

fn an_event_that_was_told_does_not_spin_while_its_bytes_are_unread(iomgr: &Arc<Iomgr>) {
    let (fd, mut peer) = watched(iomgr);
    let (pollset, read) = (pollset(iomgr), CountingWaker::new());
    assert!(fd.notify_on_read(&read.waker()).is_pending());
    peer.write_all(b"x").unwrap();
    work_until(iomgr, &pollset, || read.count() == 1);
    assert_idle(iomgr, &pollset);
    assert_eq!(read.count(), 1);
    // Who arms again without reading may be told once more, and then no more.
    while fd.notify_on_read(&read.waker()).is_ready() {}
    assert_idle(iomgr, &pollset);
    assert!(read.count() <= 2);
}

fn a_peer_that_hung_up_does_not_spin(iomgr: &Arc<Iomgr>) {
    let (fd, peer) = watched(iomgr);
    let (pollset, read, error) = (pollset(iomgr), CountingWaker::new(), CountingWaker::new());
    drop(peer);
    assert_idle(iomgr, &pollset);
    assert!(fd.notify_on_error(&error.waker()).is_pending());
    assert_idle(iomgr, &pollset);
    if fd.notify_on_read(&read.waker()).is_pending() {
        work_until(iomgr, &pollset, || read.count() == 1);
    }
    assert_idle(iomgr, &pollset);
    assert_eq!(error.count(), 0);
}

fn a_socket_in_error_does_not_spin(iomgr: &Arc<Iomgr>) {
    let any = "127.0.0.1:0";
    let closed = UdpSocket::bind(any).unwrap().local_addr().unwrap();
    let socket = UdpSocket::bind(any).unwrap();
    socket.connect(closed).unwrap();
    socket.set_nonblocking(true).unwrap();
    let fd = Fd::new(iomgr, socket.try_clone().unwrap().into()).unwrap();
    watch(iomgr, &fd);
    let (pollset, error) = (pollset(iomgr), CountingWaker::new());
    assert!(fd.notify_on_error(&error.waker()).is_pending());
    socket.send(b"to nobody").unwrap();
    work_until(iomgr, &pollset, || error.count() == 1);
    // Nobody has taken it.
    assert_idle(iomgr, &pollset);
    assert_eq!(error.count(), 1);
    assert!(socket.take_error().unwrap().is_some());
}

/// What a thread's local does when it goes, after those that a wait has made.
#[derive(Default)]
struct LastAct(RefCell<Option<Box<dyn FnOnce()>>>);

impl Drop for LastAct {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(|act| act());
    }
}

thread_local! {
    static LAST_ACT: LastAct = LastAct::default();
}

/// A queue may be a thread's local. A panic there would end the process.
fn a_thread_that_ends_can_still_wait_in_a_destructor_of_its_locals(iomgr: &Arc<Iomgr>) {
    let (waited, waits) = mpsc::channel();
    let here = iomgr.clone();
    let thread = thread::spawn(move || {
        let (pollset, there) = (Pollset::new(), here.clone());
        // Locals go in the reverse order of their first use.
        LAST_ACT.with(|act| {
            *act.0.borrow_mut() = Some(Box::new(move || {
                let wait = || look(&there, &pollset);
                waited.send(catch_unwind(AssertUnwindSafe(wait)).is_ok()).unwrap();
            }));
        });
        look(&here, &Pollset::new());
    });
    thread.join().unwrap();
    assert!(waits.recv().expect("it was dropped"), "a wait has panicked");
    assert_eq!(iomgr.waits(), 2);
}
