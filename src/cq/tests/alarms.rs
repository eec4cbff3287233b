//! Alarms ring once, in time, or not at all.

use super::super::Alarm;
use super::{Counted, Deadline, Queue, iomgr, patience};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn alarms_ring_by_deadline_and_not_before() {
    let queue = Queue::<u32>::on(iomgr());
    let start = Instant::now();
    let after = |millis| Deadline::at(start + Duration::from_millis(millis));
    let _late = Alarm::set(&queue, after(8), 8).unwrap();
    let _soon = Alarm::set(&queue, after(3), 3).unwrap();
    let _now = Alarm::set(&queue, Deadline::NOW, 0).unwrap();
    for millis in [0, 3, 8] {
        let event = queue.next(patience()).unwrap();
        assert_eq!((event.tag, event.is_ok()), (millis, true));
        assert!(start.elapsed() >= Duration::from_millis(millis.into()));
    }
}

#[test]
fn a_cancelled_or_dropped_alarm_comes_out_as_not_ok() {
    let queue = Queue::<u32>::on(iomgr());
    let cancelled = Alarm::set(&queue, patience(), 1).unwrap();
    let dropped = Alarm::set(&queue, Deadline::NONE, 2).unwrap();
    cancelled.cancel();
    cancelled.cancel();
    drop(dropped);
    for tag in [1, 2] {
        let event = queue.next(Deadline::NOW).unwrap();
        assert_eq!((event.tag, event.is_ok()), (tag, false));
    }
    drop(cancelled);
    assert!(queue.next(Deadline::NOW).is_none());
}

#[test]
fn an_alarm_that_has_rung_cannot_be_cancelled() {
    let queue = Queue::<u32>::on(iomgr());
    let alarm = Alarm::set(&queue, Deadline::NOW, 1).unwrap();
    assert!(queue.next(patience()).unwrap().is_ok());
    alarm.cancel();
    drop(alarm);
    assert!(queue.next(Deadline::NOW).is_none());
}

#[test]
fn a_cancel_that_races_with_the_deadline_gives_one_event() {
    let queue = Queue::<u32>::on(iomgr());
    for round in 0..200 {
        let soon = Deadline::after(Duration::from_micros(u64::from(round % 4) * 300));
        let alarm = Alarm::set(&queue, soon, round).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| alarm.cancel());
            assert_eq!(queue.next(patience()).unwrap().tag, round);
        });
        assert!(queue.next(Deadline::NOW).is_none());
    }
}

/// grpc#21227: who changes what the poller waits for must wake it.
#[test]
fn an_alarm_set_from_another_thread_is_earlier_than_the_sleep_of_the_poller() {
    let queue = Queue::<u32>::on(iomgr());
    let _later = Alarm::set(&queue, patience(), 0).unwrap();
    thread::scope(|scope| {
        let waiter = scope.spawn(|| queue.next(Deadline::NONE).map(|event| event.tag));
        let soon = Deadline::after(Duration::from_millis(3));
        let _soon = Alarm::set(&queue, soon, 1).unwrap();
        assert_eq!(waiter.join().unwrap(), Some(1));
    });
}

#[test]
fn a_cancel_wakes_the_thread_that_waits() {
    let queue = Queue::<u32>::on(iomgr());
    let alarm = Alarm::set(&queue, Deadline::NONE, 1).unwrap();
    thread::scope(|scope| {
        let waiter = scope.spawn(|| queue.next(patience()).map(|event| event.is_ok()));
        alarm.cancel();
        assert_eq!(waiter.join().unwrap(), Some(false));
    });
}

#[test]
fn an_alarm_outlives_its_queue_and_drops_its_tag() {
    let tag = Counted::default();
    let queue = Queue::<Counted>::on(iomgr());
    let alarm = Alarm::set(&queue, patience(), tag.clone()).unwrap();
    drop(queue);
    assert_eq!(Arc::strong_count(&tag), 2);
    drop(alarm);
    assert_eq!(Arc::strong_count(&tag), 1);
}
