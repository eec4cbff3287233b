//! The end of a queue: drained, abandoned, from several threads and from inside.

use super::{Counted, Deadline, PluckQueue, Queue, begin, callbacks, iomgr, patience, post};
use std::sync::{Arc, Barrier};
use std::thread;

#[test]
fn what_has_begun_comes_out_after_a_shutdown_and_then_nothing() {
    let queue = Queue::<u32>::on(iomgr());
    let op = begin(&queue, 2);
    post(&queue, 1);
    queue.shutdown();
    assert!(!queue.is_drained());
    assert_eq!(queue.next(patience()).unwrap().tag, 1);
    op.complete(true, ());
    assert_eq!(queue.next(patience()).unwrap().tag, 2);
    assert!(queue.is_drained());
    assert!(queue.next(Deadline::NONE).is_none());
    assert!(queue.turn(Deadline::NONE).is_none());
}

#[test]
fn an_operation_after_the_shutdown_gets_its_tag_back() {
    use super::sealed::Queue as _;
    let queue = Queue::<u32>::on(iomgr());
    queue.shutdown();
    assert_eq!(queue.core().begin_op(7, None).err(), Some(7));
    let refused = super::super::Alarm::set(&queue, Deadline::NOW, 8).unwrap_err();
    assert_eq!(refused.0, 8);
}

#[test]
fn a_shutdown_sends_home_the_threads_that_wait() {
    let queue = Queue::<u32>::on(iomgr());
    let inside = Barrier::new(5);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                inside.wait();
                assert!(queue.next(patience()).is_none());
                assert!(queue.is_drained(), "went home at the deadline instead");
            });
        }
        inside.wait();
        queue.shutdown();
    });
}

#[test]
fn the_last_event_after_a_shutdown_sends_the_others_home() {
    let queue = Queue::<u32>::on(iomgr());
    let op = begin(&queue, 1);
    queue.shutdown();
    let taken: usize = thread::scope(|scope| {
        let takers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let taken = usize::from(queue.next(patience()).is_some());
                    assert!(queue.is_drained());
                    taken
                })
            })
            .collect();
        drop(op);
        takers.into_iter().map(|taker| taker.join().unwrap()).sum()
    });
    assert_eq!(taken, 1);
}

#[test]
fn two_threads_may_shut_down_at_once() {
    for _ in 0..50 {
        let queue = Queue::<u32>::on(iomgr());
        let start = Barrier::new(3);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    start.wait();
                    queue.shutdown();
                });
            }
            start.wait();
            assert!(queue.next(patience()).is_none());
            assert!(queue.is_drained());
        });
    }
}

#[test]
fn a_plucker_goes_home_when_the_last_other_tag_was_plucked() {
    let queue = PluckQueue::<u32, ()>::on(iomgr());
    let op = begin(&queue, 1);
    queue.shutdown();
    thread::scope(|scope| {
        let nobody = scope.spawn(|| {
            let event = queue.pluck(&2, patience());
            assert!(queue.is_drained(), "went home at the deadline instead");
            event.is_none()
        });
        op.complete(true, ());
        assert!(queue.pluck(&1, patience()).is_some());
        assert!(nobody.join().unwrap());
    });
}

#[test]
fn a_dropped_queue_drops_its_tags_now_and_later() {
    let tag = Counted::default();
    let queue = Queue::<Counted>::on(iomgr());
    post(&queue, tag.clone());
    let op = begin(&queue, tag.clone());
    assert_eq!(Arc::strong_count(&tag), 3);
    drop(queue);
    assert_eq!(Arc::strong_count(&tag), 2, "what was ready is dropped at once");
    op.complete(true, ());
    assert_eq!(Arc::strong_count(&tag), 1);
}

#[test]
fn a_dropped_queue_leaves_no_cycle_behind() {
    use super::sealed::Queue as _;
    let iomgr = iomgr();
    let manager = Arc::downgrade(&iomgr);
    let queue = Queue::<Counted>::on(iomgr);
    let core = Arc::downgrade(queue.core());
    let op = begin(&queue, Counted::default());
    post(&queue, Counted::default());
    assert!(queue.next(patience()).is_some());
    drop(queue);
    assert_eq!(core.strong_count(), 1, "the operation holds on to it");
    drop(op);
    assert_eq!((core.strong_count(), manager.strong_count()), (0, 0));
}

#[test]
fn a_dropped_callback_queue_calls_nobody() {
    let tag = Counted::default();
    let (queue, events) = callbacks::<Counted>();
    let op = begin(&queue, tag.clone());
    drop(queue);
    op.complete(true, ());
    assert!(events.try_recv().is_err());
    assert_eq!(Arc::strong_count(&tag), 1);
}
