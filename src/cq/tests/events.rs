//! What goes in comes out, once, and on which thread.

use super::{
    CallbackQueue, Counted, Deadline, PATIENCE, PluckQueue, Queue, begin, callbacks, iomgr,
    patience, post,
};
use crate::iomgr::{Iomgr, on_every_engine};
use std::collections::HashSet;
use std::sync::{Arc, Barrier, Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};
use std::{iter, thread};

on_every_engine! {
    threads_of_one_queue_get_each_event_once_and_none_goes_home_early,
    one_thread_serves_many_queues_on_one_engine,
}

#[test]
fn a_tag_comes_out_once_with_its_outcome_and_in_order() {
    let queue = Queue::<u32, &str>::on(iomgr());
    let failed = begin(&queue, 2);
    begin(&queue, 1).complete(true, "done");
    drop(failed);
    let first = queue.next(patience()).unwrap();
    assert_eq!((first.tag, first.is_ok(), first.outcome), (1, true, "done"));
    let second = queue.next(patience()).unwrap();
    assert_eq!((second.tag, second.is_ok(), second.outcome), (2, false, ""));
    assert!(queue.next(Deadline::NOW).is_none());
}

#[test]
fn every_kind_of_queue_gives_the_tag_away() {
    let tag = Counted::default();
    let threads = Queue::<Counted>::on(iomgr());
    post(&threads, tag.clone());
    assert_eq!(Arc::strong_count(&tag), 2);
    drop(threads.next(patience()).unwrap());
    assert_eq!(Arc::strong_count(&tag), 1);

    let pluckers = PluckQueue::<Counted, ()>::on(iomgr());
    post(&pluckers, tag.clone());
    drop(pluckers.pluck(&tag, patience()).unwrap());
    assert_eq!(Arc::strong_count(&tag), 1);

    let (called, events) = callbacks::<Counted>();
    post(&called, tag.clone());
    called.shutdown();
    called.work(patience());
    drop(events.try_recv().expect("called back"));
    assert!(events.try_recv().is_err());
    assert_eq!(Arc::strong_count(&tag), 1);
}

#[test]
fn a_wait_for_nothing_ends_at_its_deadline_and_not_before() {
    let queue = Queue::<u32>::on(iomgr());
    let past = Deadline::at(Instant::now());
    assert!(queue.next(Deadline::NOW).is_none());
    assert!(queue.next(past).is_none());
    assert!(queue.turn(Deadline::NOW).is_none());
    let due = Instant::now() + Duration::from_millis(5);
    assert!(queue.next(due.into()).is_none());
    assert!(Instant::now() >= due);
    assert!(!queue.is_drained(), "which tells it from a shutdown");
}

#[test]
fn what_is_ready_is_given_even_when_the_deadline_has_passed() {
    let queue = Queue::<u32>::on(iomgr());
    post(&queue, 1);
    assert_eq!(queue.next(Deadline::NOW).unwrap().tag, 1);
}

fn threads_of_one_queue_get_each_event_once_and_none_goes_home_early(iomgr: &Arc<Iomgr>) {
    let queue = Queue::<u32>::on(iomgr.clone());
    let taken = thread::scope(|scope| {
        let takers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let events = iter::from_fn(|| queue.next(Deadline::NONE));
                    let tags: Vec<_> = events.map(|event| event.tag).collect();
                    assert!(queue.is_drained(), "sent home although the queue is open");
                    tags
                })
            })
            .collect();
        thread::scope(|posters| {
            for poster in 0..2 {
                let queue = &queue;
                posters.spawn(move || (0..2000).for_each(|index| post(queue, index * 2 + poster)));
            }
        });
        queue.shutdown();
        takers.into_iter().flat_map(|taker| taker.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(taken.len(), 4000);
    assert_eq!(taken.iter().collect::<HashSet<_>>().len(), 4000);
}

fn one_thread_serves_many_queues_on_one_engine(iomgr: &Arc<Iomgr>) {
    let queues: Vec<_> = (0..50).map(|_| Queue::<usize>::on(iomgr.clone())).collect();
    for (index, queue) in queues.iter().enumerate() {
        post(queue, index);
    }
    for (index, queue) in queues.iter().enumerate() {
        assert_eq!(queue.next(patience()).unwrap().tag, index);
        assert!(queue.next(Deadline::NOW).is_none());
    }
}

#[test]
fn an_event_found_while_waiting_on_another_queue_reaches_its_thread() {
    let iomgr = iomgr();
    let (one, other) = (Queue::<u32>::on(iomgr.clone()), Queue::<u32>::on(iomgr));
    thread::scope(|scope| {
        // Whichever of the two polls finds both alarms.
        let waiter = scope.spawn(|| one.next(patience()).map(|event| event.tag));
        let other_waiter = scope.spawn(|| other.next(patience()).map(|event| event.tag));
        let soon = Deadline::after(Duration::from_millis(2));
        let _first = super::super::Alarm::set(&one, soon, 1).unwrap();
        let _second = super::super::Alarm::set(&other, soon, 2).unwrap();
        assert_eq!(waiter.join().unwrap(), Some(1));
        assert_eq!(other_waiter.join().unwrap(), Some(2));
    });
}

#[test]
fn each_plucker_gets_its_own_tag() {
    let queue = PluckQueue::<u32, ()>::on(iomgr());
    let ops: Vec<_> = (0..4).map(|tag| begin(&queue, tag)).collect();
    thread::scope(|scope| {
        let queue = &queue;
        let pluckers: Vec<_> = (0..4)
            .map(|tag| scope.spawn(move || queue.pluck(&tag, patience()).map(|event| event.tag)))
            .collect();
        for op in ops.into_iter().rev() {
            op.complete(true, ());
        }
        for (tag, plucker) in (0..4).zip(pluckers) {
            assert_eq!(plucker.join().unwrap(), Some(tag));
        }
    });
}

#[test]
fn a_plucker_leaves_the_other_tags() {
    let queue = PluckQueue::<u32, ()>::on(iomgr());
    post(&queue, 1);
    assert!(queue.pluck(&2, Deadline::NOW).is_none());
    assert_eq!(queue.pluck(&1, Deadline::NOW).unwrap().tag, 1);
}

#[test]
fn a_turn_is_bounded_by_what_was_ready_at_its_start() {
    let queue = Queue::<u32>::on(iomgr());
    post(&queue, 1);
    post(&queue, 2);
    let turn = queue.turn(patience()).unwrap();
    let mut tags = Vec::new();
    for event in turn {
        post(&queue, event.tag + 10);
        tags.push(event.tag);
    }
    assert_eq!(tags, [1, 2]);
    assert_eq!(
        queue.turn(patience()).unwrap().map(|event| event.tag).collect::<Vec<_>>(),
        [11, 12]
    );
}

#[test]
fn a_next_inside_a_turn_takes_from_the_same_events() {
    let queue = Queue::<u32>::on(iomgr());
    (1..=3).for_each(|tag| post(&queue, tag));
    let mut turn = queue.turn(patience()).unwrap();
    assert_eq!(turn.next().unwrap().tag, 1);
    assert_eq!(queue.next(Deadline::NOW).unwrap().tag, 2);
    assert_eq!(turn.next().unwrap().tag, 3);
    assert!(turn.next().is_none());
    assert!(queue.next(Deadline::NOW).is_none());
}

/// How many events may come before one that only the engine can find, in the worst case.
const BOUND: usize = 150;

#[test]
fn events_that_make_events_do_not_keep_next_from_the_engine() {
    let queue = Queue::<u32>::on(iomgr());
    post(&queue, 0);
    let _alarm = super::super::Alarm::set(&queue, Deadline::NOW, 1).unwrap();
    let came = (0..BOUND).any(|_| {
        post(&queue, 0);
        queue.next(Deadline::NOW).unwrap().tag == 1
    });
    assert!(came, "the alarm starves");
}

#[test]
fn events_that_make_events_do_not_keep_turns_from_the_engine() {
    for length in [1, 10, BOUND / 2] {
        let queue = Queue::<u32>::on(iomgr());
        (0..length).for_each(|_| post(&queue, 0));
        let _alarm = super::super::Alarm::set(&queue, Deadline::NOW, 1).unwrap();
        let mut seen = 0;
        let came = iter::from_fn(|| queue.turn(Deadline::NOW))
            .flatten()
            .take_while(|_| {
                seen += 1;
                // A turn is not cut short.
                seen <= BOUND + 2 * length
            })
            .inspect(|_| post(&queue, 0))
            .any(|event| event.tag == 1);
        assert!(came, "the alarm starves behind turns of {length}");
    }
}

#[test]
fn events_that_make_events_do_not_keep_callbacks_from_the_engine() {
    let itself = Arc::new(OnceLock::<CallbackQueue<u32, ()>>::new());
    let (sender, tags) = mpsc::channel();
    let queue = CallbackQueue::on(iomgr(), {
        let itself = Arc::downgrade(&itself);
        move |event: super::Event<u32, ()>| {
            sender.send(event.tag).unwrap();
            let itself = itself.upgrade().unwrap();
            if (1..10 * BOUND as u32).contains(&event.tag) {
                post(itself.get().unwrap(), event.tag + 1);
            } else if event.tag > 0 {
                itself.get().unwrap().shutdown();
            }
        }
    });
    itself.set(queue).ok().unwrap();
    let queue = itself.get().unwrap();
    post(queue, 1);
    let _alarm = super::super::Alarm::set(queue, Deadline::NOW, 0).unwrap();
    queue.work(patience());
    let tags: Vec<_> = tags.try_iter().collect();
    let alarm = tags.iter().position(|tag| *tag == 0).expect("the alarm rings");
    assert!(alarm <= BOUND, "the alarm starves for {alarm} events");
    assert_eq!(tags.len(), 1 + 10 * BOUND, "every event is handed out");
}

#[test]
fn a_callback_may_use_its_own_queue() {
    let itself = Arc::new(OnceLock::<CallbackQueue<u32, ()>>::new());
    let (sender, tags) = mpsc::channel();
    let queue = CallbackQueue::on(iomgr(), {
        let (itself, sender) = (Arc::downgrade(&itself), Mutex::new(sender));
        move |event: super::Event<u32, ()>| {
            sender.lock().unwrap().send(event.tag).unwrap();
            let itself = itself.upgrade().unwrap();
            let queue = itself.get().unwrap();
            if event.tag < 3 {
                post(queue, event.tag + 1);
            } else {
                queue.shutdown();
            }
        }
    });
    let queue = {
        itself.set(queue).ok().unwrap();
        itself.get().unwrap()
    };
    post(queue, 1);
    queue.work(patience());
    assert!(queue.is_drained());
    assert_eq!(tags.try_iter().collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn a_panic_in_a_callback_takes_no_other_event_with_it() {
    let (sender, tags) = mpsc::channel();
    let queue = CallbackQueue::<u32, ()>::on(iomgr(), move |event| {
        assert_ne!(event.tag, 1, "on purpose");
        sender.send(event.tag).unwrap();
    });
    (0..3).for_each(|tag| post(&queue, tag));
    queue.shutdown();
    queue.work(patience());
    assert!(queue.is_drained());
    assert_eq!(tags.try_iter().collect::<Vec<_>>(), [0, 2]);
}

#[test]
fn a_panic_in_the_last_callback_still_sends_every_thread_home() {
    let queue = CallbackQueue::<u32, ()>::on(iomgr(), |_| panic!("on purpose"));
    let op = begin(&queue, 1);
    queue.shutdown();
    let (start, (sender, home)) = (Barrier::new(4), mpsc::channel());
    thread::scope(|scope| {
        for _ in 0..3 {
            let (queue, start, sender) = (&queue, &start, sender.clone());
            scope.spawn(move || {
                start.wait();
                queue.work(patience());
                sender.send(queue.is_drained()).unwrap();
            });
        }
        start.wait();
        op.complete(true, ());
        let soon = Instant::now() + PATIENCE / 2;
        for _ in 0..3 {
            let left = soon.saturating_duration_since(Instant::now());
            assert!(home.recv_timeout(left).expect("a thread was left behind"));
        }
    });
}
