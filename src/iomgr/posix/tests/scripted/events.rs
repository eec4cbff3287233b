//! Batches of events, whoever they are for, and what happens while they are handed on.

use super::Step::{self, Events, Meanwhile, Sleeps, UntilWoken};
use super::{Clock, Part, elsewhere, ms, scripted, work};
use crate::iomgr::deadline::Deadline;
use crate::iomgr::posix::fd::Fd;
use crate::iomgr::posix::key::Key;
use crate::iomgr::posix::manager::Iomgr;
use crate::iomgr::posix::pollset::Pollset;
use crate::iomgr::posix::sys::Readiness;
use crate::iomgr::posix::tests::{PATIENCE, Says};
use crate::testing::CountingWaker;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Wake, Waker};
use std::thread;

const READABLE: Readiness = Readiness { read: true, write: false, error: false, hang_up: false };

/// A socket, of which only the script has news.
fn fd(iomgr: &Arc<Iomgr>) -> Fd {
    Fd::new(iomgr, UnixStream::pair().unwrap().0.into()).unwrap()
}

fn readable(fd: &Fd) -> Part {
    Part::Event(fd.pollee().key(), READABLE)
}

#[test]
fn events_for_nobody_do_not_end_a_wait() {
    let ((iomgr, script), pollset) = (scripted(Clock::Unwanted), Pollset::new());
    let (fd, gone) = (fd(&iomgr), fd(&iomgr));
    let waker = CountingWaker::new();
    assert!(fd.notify_on_write(&waker.waker()).is_pending());
    let late = readable(&gone);
    drop(gone);
    // One that has gone, one that never was, and one that waits for something else.
    let batch = vec![late, Part::Event(Key(1 << 40), READABLE), readable(&fd)];
    script.add([Events(batch), Step::Passes(3), Events(vec![]), Sleeps]);
    work(&iomgr, &pollset, script.world.deadline(10));
    assert_eq!(script.timeouts(), [10, 10, 7].map(|it| Some(ms(it))));
    assert_eq!(waker.count(), 0);
}

#[test]
fn an_fd_that_goes_in_the_middle_of_a_batch_is_fired_once_and_those_behind_it_too() {
    let ((iomgr, script), pollset) = (scripted(Clock::Unwanted), Pollset::new());
    let (before, gone, behind) = (fd(&iomgr), fd(&iomgr), fd(&iomgr));
    let wakers = [(); 3].map(|()| CountingWaker::new());
    for (fd, waker) in [&before, &gone, &behind].into_iter().zip(&wakers) {
        assert!(fd.notify_on_read(&waker.waker()).is_pending());
    }
    let (late, twice) = (readable(&gone), readable(&before));
    let goes = Part::Meanwhile(Box::new(move || drop(gone)));
    script.add([Events(vec![readable(&before), goes, late, readable(&behind), twice])]);
    work(&iomgr, &pollset, Deadline::NONE);
    assert_eq!(wakers.map(|waker| waker.count()), [1, 1, 1]);
    assert_eq!(script.timeouts(), [None]);
}

/// Drops an fd when it is woken, as a closed connection drops what it belongs to.
struct Drops(Mutex<Option<Fd>>);

impl Wake for Drops {
    fn wake(self: Arc<Self>) {
        drop(self.0.lock().unwrap().take());
    }
}

#[test]
fn what_an_event_fires_may_drop_an_fd_whose_event_is_in_the_same_batch() {
    let ((iomgr, script), pollset) = (scripted(Clock::Unwanted), Pollset::new());
    let (one, other, waker) = (fd(&iomgr), fd(&iomgr), CountingWaker::new());
    assert!(other.notify_on_read(&waker.waker()).is_pending());
    assert!(other.notify_on_write(&waker.waker()).is_pending());
    let batch = vec![readable(&one), readable(&other)];
    let drops = Waker::from(Arc::new(Drops(Mutex::new(Some(other)))));
    assert!(one.notify_on_read(&drops).is_pending());
    script.add([Events(batch)]);
    work(&iomgr, &pollset, Deadline::NONE);
    // The read by its event, the write by the drop.
    assert_eq!(waker.count(), 2);
    assert_eq!(script.timeouts(), [None]);
}

/// Notes its number when it is woken.
struct Notes(usize, Arc<Mutex<Vec<usize>>>);

impl Wake for Notes {
    fn wake(self: Arc<Self>) {
        self.1.lock().unwrap().push(self.0);
    }
}

/// grpc#23535.
#[test]
fn every_event_of_a_large_batch_is_fired_in_order_by_one_wait() {
    let ((iomgr, script), pollset) = (scripted(Clock::Unwanted), Pollset::new());
    let (fired, fds) = (Arc::default(), [(); 500].map(|()| fd(&iomgr)));
    for (number, fd) in fds.iter().enumerate() {
        let waker = Waker::from(Arc::new(Notes(number, Arc::clone(&fired))));
        assert!(fd.notify_on_read(&waker).is_pending());
    }
    script.add([Events(fds.iter().map(readable).collect())]);
    work(&iomgr, &pollset, Deadline::NONE);
    assert_eq!(script.timeouts(), [None]);
    assert!(fired.lock().unwrap().iter().copied().eq(0..fds.len()));
}

#[test]
fn a_kick_during_the_wait_ends_it_and_no_other() {
    let ((iomgr, script), pollset) = (scripted(Clock::Unwanted), Pollset::new());
    let kick = || {
        let kicked = pollset.clone();
        Meanwhile(Box::new(move || kicked.kick()))
    };
    script.add([Step::Passes(3), kick()]);
    work(&iomgr, &pollset, script.world.deadline(10));
    assert_eq!(script.world.elapsed(), ms(3));
    // A kick that comes in the middle of a batch is used up by the wait, too.
    let kicked = pollset.clone();
    script.add([Events(vec![Part::Meanwhile(Box::new(move || kicked.kick()))])]);
    work(&iomgr, &pollset, script.world.deadline(10));
    assert_eq!(script.world.elapsed(), ms(3));
    // What woke the source may end a wait for nothing, which goes on then.
    script.add([Sleeps]);
    work(&iomgr, &pollset, script.world.deadline(10));
    assert_eq!(script.world.elapsed(), ms(10));
}

#[test]
fn a_closure_from_outside_ends_the_wait() {
    let ((iomgr, script), pollset) = (scripted(Clock::Unwanted), Pollset::new());
    let (says, said) = mpsc::channel();
    let put_off = {
        let iomgr = iomgr.clone();
        move || iomgr.put_off(Arc::new(Says(says)))
    };
    script.add([Step::Passes(3), Meanwhile(Box::new(put_off))]);
    work(&iomgr, &pollset, script.world.deadline(10));
    assert_eq!((said.try_recv(), script.world.elapsed()), (Ok(()), ms(3)));
}

/// Two threads sleep at pollables of their own. The one that is called for the closure has looked for the
/// last time, as its time is over, and may not be back for long.
#[test]
fn who_is_called_as_it_leaves_calls_another() {
    let (iomgr, script) = scripted(Clock::Works);
    let (world, pollset) = (&script.world, Pollset::new());
    let (other_pollset, other_script) = elsewhere(world);
    let (says, said) = mpsc::channel();
    world.act_at(10, {
        let iomgr = iomgr.clone();
        move || iomgr.put_off(Arc::new(Says(says)))
    });
    let (sleeps, is_asleep) = mpsc::channel();
    other_script.add([UntilWoken(sleeps)]);
    script.add([Sleeps]);
    thread::scope(|scope| {
        scope.spawn(|| work(&iomgr, &other_pollset, Deadline::NONE));
        is_asleep.recv_timeout(PATIENCE).expect("the other one sleeps first");
        work(&iomgr, &pollset, world.deadline(10));
    });
    assert_eq!(said.try_recv(), Ok(()));
}
