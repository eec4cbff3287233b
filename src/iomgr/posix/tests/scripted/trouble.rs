//! Waits that fail: no busy loop, no flood in the log, and whatever does not need the engine goes on.

use super::Step::{Fails, Meanwhile, Sleeps};
use super::{Clock, Rung, ms, scripted, work};
use crate::iomgr::deadline::Deadline;
use crate::iomgr::posix::pollset::Pollset;
use crate::iomgr::posix::sys::errno::{EBADF, ENOMEM};
use crate::iomgr::posix::tests::Says;
use crate::testing::log::Log;
use std::sync::{Arc, mpsc};

#[test]
fn an_error_that_stays_is_told_once_and_tried_again_with_growing_rests_until_the_deadline() {
    let (log, _guard) = Log::of_this_thread("turnstile");
    let ((iomgr, script), pollset) = (scripted(Clock::Unwanted), Pollset::new());
    script.add((0..8).map(|_| Fails(EBADF)));
    work(&iomgr, &pollset, script.world.deadline(130));
    assert_eq!(script.world.rests(), [1, 2, 4, 8, 16, 32, 64, 3].map(ms));
    assert_eq!((script.timeouts().len(), script.world.elapsed()), (8, ms(130)));
    // Whoever waits for no time does not rest either, and tells of what is new only.
    script.add([Fails(EBADF)]);
    work(&iomgr, &pollset, Deadline::NOW);
    script.add([Fails(ENOMEM)]);
    work(&iomgr, &pollset, Deadline::NOW);
    assert_eq!((script.world.rests().len(), script.world.elapsed()), (8, ms(130)));
    let lines = log.take();
    assert!(lines.len() == 2, "{lines:?}");
    assert!(lines.iter().all(|line| line.starts_with("ERROR") && line.contains("scripted")));
    assert!(lines[0].contains("os error 9") && lines[1].contains("os error 12"), "{lines:?}");
}

#[test]
fn timers_fire_at_their_time_although_waits_fail() {
    let ((iomgr, script), pollset) = (scripted(Clock::Unwanted), Pollset::new());
    let (world, rung) = (&script.world, Rung::default());
    iomgr.timer_init(world.at(5), rung.timer(world, "rings"));
    script.add((0..3).map(|_| Fails(ENOMEM)));
    work(&iomgr, &pollset, Deadline::NONE);
    assert_eq!((rung.take(), world.rests()), (vec![("rings", ms(5))], [1, 2, 2].map(ms).to_vec()));
    // Also one that a clock would ring for, which calls nobody who rests.
    let ((iomgr, script), pollset) = (scripted(Clock::Works), Pollset::new());
    let (world, rung) = (&script.world, Rung::default());
    iomgr.timer_init(world.at(2), rung.timer(world, "rings"));
    script.add([Fails(ENOMEM), Fails(ENOMEM)]);
    work(&iomgr, &pollset, Deadline::NONE);
    assert_eq!(rung.take(), [("rings", ms(2))]);
    assert_eq!(script.timeouts(), [None, None]);
}

#[test]
fn a_kick_and_a_closure_are_noticed_although_waits_fail() {
    let ((iomgr, script), pollset) = (scripted(Clock::Unwanted), Pollset::new());
    let kicked = pollset.clone();
    script.add([Fails(EBADF), Meanwhile(Box::new(move || kicked.kick()))]);
    work(&iomgr, &pollset, Deadline::NONE);
    let (says, said) = mpsc::channel();
    iomgr.put_off(Arc::new(Says(says)));
    script.add([Fails(EBADF)]);
    work(&iomgr, &pollset, Deadline::NONE);
    assert_eq!(said.try_recv(), Ok(()));
    // The second failure was met by one who must not rest.
    assert_eq!(script.world.rests(), [ms(1)]);
}

#[test]
fn an_error_that_passes_costs_one_rest() {
    let ((iomgr, script), pollset) = (scripted(Clock::Unwanted), Pollset::new());
    script.add([Fails(ENOMEM), Sleeps]);
    work(&iomgr, &pollset, script.world.deadline(10));
    assert_eq!(script.timeouts(), [Some(ms(10)), Some(ms(9))]);
    assert_eq!(script.world.rests(), [ms(1)]);
}
