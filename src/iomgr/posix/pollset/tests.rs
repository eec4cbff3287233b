//! Kicks, one by one.

use super::Pollset;
use crate::iomgr::posix::events::Events;
use crate::iomgr::posix::pollable::{Pollable, Source};
use crate::iomgr::posix::pollee::Pollee;
use crate::testing::PATIENCE;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Waker;
use std::time::{Duration, Instant};
use std::{io, thread};

/// A source where nothing happens, and which counts how often it was woken.
#[derive(Default)]
struct Nothing(Arc<AtomicUsize>);

impl Source for Nothing {
    fn add(&self, _pollee: &Arc<Pollee>, _fd: &Arc<OwnedFd>) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, _pollee: &Pollee, _fd: BorrowedFd<'_>) -> io::Result<()> {
        Ok(())
    }

    fn wait(&self, _timeout: Option<Duration>, _events: &mut Events<'_>) -> io::Result<()> {
        Ok(())
    }

    fn wake(&self) -> io::Result<()> {
        self.0.fetch_add(1, SeqCst);
        Ok(())
    }
}

/// So that a test that fails does not wait for ever.
fn late() -> Option<Instant> {
    Some(Instant::now() + PATIENCE)
}

/// Where pollsets wait, and how often that was woken.
fn home() -> (Arc<Pollable>, Arc<AtomicUsize>) {
    let wakes = Arc::new(AtomicUsize::new(0));
    (Pollable::shared(Box::new(Nothing(wakes.clone())), 1, || 0), wakes)
}

#[test]
fn a_poller_that_is_kicked_twice_is_woken_once() {
    let (home, wakes) = home();
    let pollset = Pollset::new();
    let mut seat = pollset.enter(&home, None, || true).expect("nobody is here");
    assert!(!seat.leave_if_kicked());
    pollset.kick();
    pollset.kick();
    pollset.kick_all();
    assert_eq!(wakes.load(SeqCst), 1);
    assert!(seat.leave_if_kicked());
    drop(seat);
    assert!(pollset.enter(&home, None, || true).is_some(), "no kick is kept: somebody was here");
}

#[test]
fn of_two_kicks_the_first_is_for_whoever_waits_behind_the_poller() {
    let (home, wakes) = home();
    let pollset = Pollset::new();
    let mut seat = pollset.enter(&home, None, || true).expect("nobody is here");
    thread::scope(|scope| {
        let waiter = scope.spawn(|| pollset.enter(&home, late(), || true).is_none());
        while home.turnstile().waiting() == 0 {
            thread::yield_now();
        }
        pollset.kick();
        assert!(waiter.join().unwrap(), "it was not kicked");
    });
    assert!(!seat.leave_if_kicked() && wakes.load(SeqCst) == 0);
    pollset.kick();
    assert!(seat.leave_if_kicked() && wakes.load(SeqCst) == 1);
}

#[test]
fn the_role_goes_to_whoever_has_waited_longest() {
    let (home, _) = home();
    let pollset = Pollset::new();
    let seat = pollset.enter(&home, None, || true).expect("nobody is here");
    let turns = AtomicUsize::new(0);
    thread::scope(|scope| {
        for number in 0..3 {
            let (home, pollset, turns) = (&home, &pollset, &turns);
            scope.spawn(move || {
                let _seat = pollset.enter(home, late(), || true).expect("nobody kicks");
                assert_eq!(turns.fetch_add(1, SeqCst), number);
            });
            while home.turnstile().waiting() == number {
                thread::yield_now();
            }
        }
        drop(seat);
    });
    assert_eq!(turns.load(SeqCst), 3);
}

#[test]
fn whoever_was_kicked_behind_the_poller_does_not_inherit_its_role() {
    let (home, _) = home();
    let pollset = Pollset::new();
    let seat = pollset.enter(&home, None, || true).expect("nobody is here");
    thread::scope(|scope| {
        let waiter = scope.spawn(|| pollset.enter(&home, late(), || true).is_some());
        while home.turnstile().waiting() == 0 {
            thread::yield_now();
        }
        // It cannot leave before the lock is free.
        let mut state = pollset.lock();
        assert!(state.kick().is_none(), "nobody sleeps in the source for it");
        assert!(state.waiting_at(&home).is_none());
        drop(state);
        drop(seat);
        assert!(!waiter.join().unwrap());
    });
}

/// What a pollset keeps for the next one who comes must not keep where it was.
#[test]
fn a_pollset_lets_go_of_where_it_was_when_it_moves_or_ends() {
    let (home, _) = home();
    let moves: fn(&Pollset) = |it| it.move_to(it.lock(), None);
    let ends: fn(&Pollset) = |it| it.shutdown(Waker::noop());
    for goes in [moves, ends] {
        for is_inside in [false, true] {
            let (pollset, place) = (Pollset::new(), self::home().0);
            let left = Arc::downgrade(&place);
            pollset.move_to(pollset.lock(), Some(place));
            let seat = pollset.enter(&home, None, || true);
            let seat = seat.filter(|_| is_inside);
            goes(&pollset);
            drop(seat);
            assert!(left.upgrade().is_none(), "inside: {is_inside}");
        }
    }
}

/// It looks when it comes to the seat.
#[test]
fn nobody_wakes_the_source_for_an_heir_that_is_yet_to_come() {
    let (home, wakes) = home();
    let pollset = Pollset::new();
    let seat = pollset.enter(&home, None, || true).expect("nobody is here");
    thread::scope(|scope| {
        let heir = scope.spawn(|| {
            let _seat = pollset.enter(&home, late(), || true).expect("nobody kicks");
            home.will_look() && !home.call() && wakes.load(SeqCst) == 0
        });
        while home.turnstile().waiting() == 0 {
            thread::yield_now();
        }
        drop(seat);
        assert!(heir.join().unwrap());
    });
}

/// A wake is for whoever sleeps at the pollable, a kick for who is in the pollset.
#[test]
fn a_kick_of_another_pollset_at_the_same_pollable_sends_nobody_home() {
    let (home, wakes) = home();
    let (here, there) = (Pollset::new(), Pollset::new());
    let seat = there.enter(&home, None, || true).expect("nobody is here");
    there.kick();
    drop(seat);
    let mut seat = here.enter(&home, None, || true).expect("nobody is here");
    assert_eq!(wakes.load(SeqCst), 1, "whoever comes next finds it");
    assert!(!seat.leave_if_kicked());
    drop(seat);
    assert!(there.enter(&home, None, || true).is_some(), "the kick went with who left");
}
