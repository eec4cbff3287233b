//! Models of the queues: what is posted is taken, and nobody sleeps through it.

use super::core::PendingOp;
use super::{CallbackQueue, CompletionQueue, PluckQueue, sealed};
use crate::iomgr::{Deadline, iomgr_for_tests as iomgr};
use loom::thread;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

type Queue = CompletionQueue<u32, ()>;

fn begin(queue: &impl sealed::Queue<u32, ()>, tag: u32) -> PendingOp<()> {
    queue.core().begin_op(tag, None).expect("the queue is open")
}

/// A model of three threads: three preemptions, which a stolen event needs.
fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

#[test]
fn an_event_is_taken_by_the_thread_that_waits() {
    loom::model(|| {
        let queue = Queue::on(iomgr());
        let op = begin(&queue, 7);
        let poster = thread::spawn(move || op.complete(true, ()));
        assert_eq!(queue.next(Deadline::NONE).expect("it was posted").tag, 7);
        poster.join().unwrap();
    });
}

/// One of them may take what the other was woken for.
#[test]
fn two_events_are_taken_by_two_threads() {
    check(|| {
        let queue = Arc::new(Queue::on(iomgr()));
        let ops = [begin(&*queue, 1), begin(&*queue, 2)];
        let poster = thread::spawn(move || {
            for op in ops {
                op.complete(true, ());
            }
        });
        let take =
            |queue: &Queue| queue.next(Deadline::NONE).expect("there is one for each thread").tag;
        let other = thread::spawn({
            let queue = queue.clone();
            move || take(&queue)
        });
        let mut tags = [take(&queue), other.join().unwrap()];
        tags.sort_unstable();
        assert_eq!(tags, [1, 2]);
        poster.join().unwrap();
    });
}

#[test]
fn two_posters_and_one_thread_that_takes() {
    check(|| {
        let queue = Queue::on(iomgr());
        let posters = [1, 2].map(|tag| {
            let op = begin(&queue, tag);
            thread::spawn(move || op.complete(true, ()))
        });
        let mut tags = [1, 2].map(|_| queue.next(Deadline::NONE).expect("two were posted").tag);
        tags.sort_unstable();
        assert_eq!(tags, [1, 2]);
        for poster in posters {
            poster.join().unwrap();
        }
    });
}

#[test]
fn a_shutdown_sends_every_thread_home() {
    check(|| {
        let queue = Arc::new(Queue::on(iomgr()));
        let op = begin(&*queue, 1);
        let takers = [(); 2].map(|()| {
            let queue = queue.clone();
            thread::spawn(move || {
                let mut taken = 0;
                while queue.next(Deadline::NONE).is_some() {
                    taken += 1;
                }
                assert!(queue.is_drained(), "None without a deadline means drained");
                taken
            })
        });
        op.complete(true, ());
        queue.shutdown();
        let taken = takers.map(|taker| taker.join().unwrap());
        assert_eq!(taken[0] + taken[1], 1);
    });
}

#[test]
fn an_event_that_a_turn_leaves_is_taken_by_another_thread() {
    check(|| {
        let queue = Arc::new(Queue::on(iomgr()));
        let op = begin(&*queue, 1);
        // One of the two drops its turn unused; the event is the other's.
        let leaver = thread::spawn({
            let queue = queue.clone();
            move || drop(queue.turn(Deadline::NONE))
        });
        let taker = thread::spawn({
            let queue = queue.clone();
            move || {
                let tag = queue.next(Deadline::NONE).expect("the leaver leaves it").tag;
                queue.shutdown();
                tag
            }
        });
        op.complete(true, ());
        assert_eq!(taker.join().unwrap(), 1);
        leaver.join().unwrap();
    });
}

#[test]
fn a_plucker_gets_its_tag() {
    loom::model(|| {
        let queue = PluckQueue::<u32, ()>::on(iomgr());
        let ops = [begin(&queue, 1), begin(&queue, 2)];
        let poster = thread::spawn(move || {
            for op in ops {
                op.complete(true, ());
            }
        });
        assert_eq!(queue.pluck(&2, Deadline::NONE).expect("it was posted").tag, 2);
        assert_eq!(queue.pluck(&1, Deadline::NONE).expect("it was posted").tag, 1);
        poster.join().unwrap();
    });
}

#[test]
fn each_event_is_called_back_once() {
    loom::model(|| {
        let calls = Arc::new(AtomicUsize::new(0));
        let queue = CallbackQueue::<u32, ()>::on(iomgr(), {
            let calls = calls.clone();
            move |_| {
                calls.fetch_add(1, Ordering::SeqCst);
            }
        });
        let ops = [begin(&queue, 1), begin(&queue, 2)];
        let poster = thread::spawn(move || {
            for op in ops {
                op.complete(true, ());
            }
        });
        queue.shutdown();
        queue.work(Deadline::NONE);
        poster.join().unwrap();
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    });
}
