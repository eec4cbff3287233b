//! How long a wait lasts, and when timers fire, to the nanosecond.

use super::Step::{Meanwhile, Oversleeps, Passes, Signal, Sleeps, UntilWoken};
use super::{Clock, Rung, elsewhere, ms, scripted, work};
use crate::iomgr::deadline::Deadline;
use crate::iomgr::posix::pollset::Pollset;
use crate::iomgr::posix::tests::PATIENCE;
use crate::testing::log::Log;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

#[test]
fn a_wait_without_deadline_and_timers_has_no_timeout_and_reads_no_clock() {
    let ((iomgr, script), pollset) = (scripted(Clock::Unwanted), Pollset::new());
    let kicked = pollset.clone();
    script.add([Signal, Meanwhile(Box::new(move || kicked.kick()))]);
    work(&iomgr, &pollset, Deadline::NONE);
    assert_eq!(script.timeouts(), [None, None]);
    work(&iomgr, &pollset, Deadline::NOW);
    assert_eq!(script.timeouts(), [Some(Duration::ZERO)]);
    assert_eq!(script.world.looks(), 0);
}

/// grpc#28037.
#[test]
fn a_signal_restarts_the_wait_with_what_is_left_of_its_time() {
    let ((iomgr, script), pollset) = (scripted(Clock::Unwanted), Pollset::new());
    script.add([Passes(4), Signal, Signal, Passes(5), Signal, Sleeps]);
    work(&iomgr, &pollset, script.world.deadline(10));
    assert_eq!(script.timeouts(), [10, 6, 6, 1].map(|it| Some(ms(it))));
    assert_eq!(script.world.elapsed(), ms(10));
}

#[test]
fn signals_do_not_keep_a_wait_beyond_its_deadline() {
    let ((iomgr, script), pollset) = (scripted(Clock::Unwanted), Pollset::new());
    let world = script.world.clone();
    // The signal comes as the time is over.
    script.add([Meanwhile(Box::new(move || world.pass(ms(12)))), Signal]);
    work(&iomgr, &pollset, script.world.deadline(10));
    assert_eq!(script.timeouts(), [Some(ms(10))]);
}

#[test]
fn timers_fire_in_order_once_and_at_their_time() {
    let ((iomgr, script), pollset) = (scripted(Clock::Unwanted), Pollset::new());
    let (world, rung) = (&script.world, Rung::default());
    for (name, millis) in [("c", 30), ("a", 10), ("b", 20), ("b2", 20)] {
        iomgr.timer_init(world.at(millis), rung.timer(world, name));
    }
    // The second one is not due yet when a signal comes.
    script.add([Sleeps, Passes(9), Signal, Sleeps, Sleeps, Sleeps]);
    let mut rang = Vec::new();
    for _ in 0..4 {
        work(&iomgr, &pollset, world.deadline(100));
        rang.push(rung.take());
    }
    assert_eq!(
        rang,
        [vec![("a", ms(10))], vec![("b", ms(20)), ("b2", ms(20))], vec![("c", ms(30))], vec![],]
    );
    assert_eq!(script.timeouts(), [10, 10, 1, 10, 70].map(|it| Some(ms(it))));
}

#[test]
fn a_late_wait_fires_all_that_are_due() {
    let ((iomgr, script), pollset) = (scripted(Clock::Unwanted), Pollset::new());
    let (world, rung) = (&script.world, Rung::default());
    for (name, millis) in [("c", 30), ("a", 10), ("b", 20), ("later", 36)] {
        iomgr.timer_init(world.at(millis), rung.timer(world, name));
    }
    script.add([Oversleeps(25)]);
    work(&iomgr, &pollset, Deadline::NONE);
    assert_eq!(rung.take(), ["a", "b", "c"].map(|name| (name, ms(35))));
    // One that is due already is not waited for.
    iomgr.timer_init(world.at(1), rung.timer(world, "past"));
    work(&iomgr, &pollset, Deadline::NONE);
    assert_eq!(rung.take(), [("past", ms(35))]);
    assert_eq!(script.timeouts(), [Some(ms(10)), Some(Duration::ZERO)]);
}

#[test]
fn the_timeout_shrinks_to_the_next_timer_and_grows_when_that_is_cancelled() {
    let ((iomgr, script), pollset) = (scripted(Clock::Unwanted), Pollset::new());
    let (world, rung) = (&script.world, Rung::default());
    let (ids, id) = mpsc::channel();
    let set = {
        let (iomgr, timer, due) = (iomgr.clone(), rung.timer(world, "cancelled"), world.at(30));
        move || ids.send(iomgr.timer_init(due, timer)).unwrap()
    };
    let cancel = {
        let iomgr = iomgr.clone();
        move || assert!(iomgr.timer_cancel(id.recv().unwrap()))
    };
    script.add([Meanwhile(Box::new(set)), Passes(10), Meanwhile(Box::new(cancel)), Sleeps, Sleeps]);
    work(&iomgr, &pollset, world.deadline(100));
    assert_eq!(script.timeouts(), [100, 30, 70].map(|it| Some(ms(it))));
    assert_eq!((rung.take(), world.elapsed()), (vec![], ms(100)));
}

#[test]
fn a_later_timer_does_not_wake_the_poller() {
    let ((iomgr, script), pollset) = (scripted(Clock::Unwanted), Pollset::new());
    let (world, rung) = (&script.world, Rung::default());
    iomgr.timer_init(world.at(20), rung.timer(world, "first"));
    let set = {
        let (iomgr, timer, due) = (iomgr.clone(), rung.timer(world, "second"), world.at(30));
        move || {
            iomgr.timer_init(due, timer);
        }
    };
    script.add([Meanwhile(Box::new(set)), Sleeps, Sleeps]);
    work(&iomgr, &pollset, Deadline::NONE);
    work(&iomgr, &pollset, Deadline::NONE);
    assert_eq!(rung.take(), [("first", ms(20)), ("second", ms(30))]);
    assert_eq!(script.timeouts(), [Some(ms(20)), Some(ms(10))]);
}

#[test]
fn with_a_clock_nobody_minds_the_time() {
    let ((iomgr, script), pollset) = (scripted(Clock::Works), Pollset::new());
    let (world, rung) = (&script.world, Rung::default());
    iomgr.timer_init(world.at(20), rung.timer(world, "rings"));
    // The clock rings as a wake.
    let ring = {
        let pollable = world.state.lock().unwrap().pollables[0].clone();
        move || assert!(pollable.call())
    };
    script.add([Signal, Passes(20), Meanwhile(Box::new(ring))]);
    work(&iomgr, &pollset, Deadline::NONE);
    assert_eq!(rung.take(), [("rings", ms(20))]);
    assert_eq!(script.timeouts(), [None, None]);
    assert_eq!(world.state.lock().unwrap().set_to, [ms(20)], "it was set once");
}

#[test]
fn a_clock_that_breaks_is_told_of_once_and_the_poller_minds_the_time() {
    let (log, _guard) = Log::of_this_thread("turnstile");
    let ((iomgr, script), pollset) = (scripted(Clock::Breaks), Pollset::new());
    let (world, rung) = (&script.world, Rung::default());
    iomgr.timer_init(world.at(20), rung.timer(world, "rings"));
    script.add([Passes(5), Signal, Sleeps]);
    work(&iomgr, &pollset, Deadline::NONE);
    assert_eq!(rung.take(), [("rings", ms(20))]);
    assert_eq!(script.timeouts(), [Some(ms(20)), Some(ms(15))]);
    let lines = log.take();
    assert!(lines.len() == 1 && lines[0].contains("the clock cannot be set"), "{lines:?}");
}

/// Two threads sleep at pollables of their own. The one that was called for a new timer leaves before
/// it is due, and the other one sleeps for ever as far as it knows.
#[test]
fn without_a_clock_a_poller_that_leaves_hands_on_the_time() {
    let (iomgr, script) = scripted(Clock::Missing);
    let (world, rung, pollset) = (&script.world, Rung::default(), Pollset::new());
    let (other_pollset, other_script) = elsewhere(world);
    let (sleeps, is_asleep) = mpsc::channel();
    other_script.add([UntilWoken(sleeps), Sleeps]);
    let set = {
        let (iomgr, timer, due) = (iomgr.clone(), rung.timer(world, "rings"), world.at(50));
        move || {
            iomgr.timer_init(due, timer);
        }
    };
    let kick = {
        let pollset = pollset.clone();
        move || pollset.kick()
    };
    script.add([Meanwhile(Box::new(set)), Passes(20), Meanwhile(Box::new(kick))]);
    thread::scope(|scope| {
        scope.spawn(|| work(&iomgr, &other_pollset, Deadline::NONE));
        is_asleep.recv_timeout(PATIENCE).expect("the other one sleeps first");
        work(&iomgr, &pollset, Deadline::NONE);
    });
    assert_eq!(rung.take(), [("rings", ms(50))]);
    assert_eq!(script.timeouts(), [None, Some(ms(50))]);
    assert_eq!(other_script.timeouts(), [None, Some(ms(30))]);
}

#[test]
fn without_a_clock_nobody_is_called_while_another_one_wakes_in_time() {
    let (iomgr, script) = scripted(Clock::Missing);
    let (world, rung, pollset) = (&script.world, Rung::default(), Pollset::new());
    let (other_pollset, other_script) = elsewhere(world);
    iomgr.timer_init(world.at(50), rung.timer(world, "rings"));
    let (sleeps, is_asleep) = mpsc::channel();
    other_script.add([UntilWoken(sleeps)]);
    let kick = {
        let pollset = pollset.clone();
        move || pollset.kick()
    };
    script.add([Meanwhile(Box::new(kick))]);
    thread::scope(|scope| {
        scope.spawn(|| work(&iomgr, &other_pollset, Deadline::NONE));
        is_asleep.recv_timeout(PATIENCE).expect("the other one sleeps first");
        work(&iomgr, &pollset, Deadline::NONE);
        assert!(!other_script.take_wake(), "the other one minds the timer already");
        other_pollset.kick();
    });
    assert_eq!(script.timeouts(), [Some(ms(50))]);
    assert_eq!(other_script.timeouts(), [Some(ms(50))]);
}

/// The same when its time is over, and it was called after it has looked for the last time.
#[test]
fn without_a_clock_a_poller_that_is_called_as_it_leaves_hands_on_the_time() {
    let (iomgr, script) = scripted(Clock::Missing);
    let (world, rung, pollset) = (&script.world, Rung::default(), Pollset::new());
    let (other_pollset, other_script) = elsewhere(world);
    world.act_at(20, {
        let (iomgr, timer, due) = (iomgr.clone(), rung.timer(world, "rings"), world.at(50));
        move || {
            iomgr.timer_init(due, timer);
        }
    });
    let (sleeps, is_asleep) = mpsc::channel();
    other_script.add([UntilWoken(sleeps), Sleeps]);
    script.add([Sleeps]);
    thread::scope(|scope| {
        scope.spawn(|| work(&iomgr, &other_pollset, Deadline::NONE));
        is_asleep.recv_timeout(PATIENCE).expect("the other one sleeps first");
        work(&iomgr, &pollset, world.deadline(20));
    });
    assert_eq!(rung.take(), [("rings", ms(50))]);
    assert_eq!(other_script.timeouts(), [None, Some(ms(30))]);
}
