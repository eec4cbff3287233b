//! `block_on`: a thread that waits for one future, and does the I/O of all meanwhile.

use super::common::{BLOCKING, UNARY, demo, next, ok, request, serve};
use crate::raw::client::Client;
use std::future::poll_fn;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread;
use std::time::Duration;
use tokio::sync::oneshot;
use turnstile::{
    Alarm, Bytes, CallbackQueue, CompletionQueue, Deadline, PluckQueue, Response, block_on,
};

#[test]
fn a_future_may_be_woken_at_any_moment() {
    // At once, while it is polled, from this thread or another.
    let mut polls = 0;
    block_on(poll_fn(|context| {
        polls += 1;
        match polls {
            1 => context.waker().wake_by_ref(),
            2 => {
                let waker = context.waker().clone();
                thread::spawn(move || waker.wake()).join().unwrap();
            }
            3 => {
                let waker = context.waker().clone();
                thread::spawn(move || waker.wake());
            }
            _ => return Poll::Ready(()),
        }
        Poll::Pending
    }));
    assert_eq!(polls, 4, "each wake is one poll");
}

#[test]
fn a_thread_that_waits_is_woken_by_another_every_time() {
    thread::scope(|scope| {
        for _ in 0..2 {
            let (send, receive) = channel::<oneshot::Sender<u32>>();
            scope.spawn(move || receive.iter().for_each(|answer| assert!(answer.send(7).is_ok())));
            scope.spawn(move || {
                for _ in 0..1000 {
                    let (answer, answered) = oneshot::channel();
                    send.send(answer).unwrap();
                    assert_eq!(block_on(answered), Ok(7));
                }
            });
        }
    });
}

#[test]
fn waits_may_be_nested_and_a_late_wake_of_one_harms_no_other() {
    let mut kept = None;
    let inner = block_on(async {
        poll_fn(|context| {
            kept = Some(context.waker().clone());
            Poll::Ready(())
        })
        .await;
        block_on(async { block_on(async { 1 }) + 1 }) + 1
    });
    assert_eq!(inner, 3);
    let (answer, answered) = oneshot::channel();
    let answerer = thread::spawn(move || {
        kept.expect("it was polled").wake();
        answer.send(5).unwrap();
    });
    assert_eq!(block_on(answered), Ok(5));
    answerer.join().unwrap();
}

#[test]
fn a_wait_that_panics_leaves_its_thread_fit_for_the_next() {
    let panics = std::panic::catch_unwind(|| block_on(async { panic!("on purpose") }));
    assert!(panics.is_err());
    let (answer, answered) = oneshot::channel();
    thread::spawn(move || answer.send(5));
    assert_eq!(block_on(answered), Ok(5));
}

/// The other events of the turn are taken by another thread meanwhile.
#[test]
fn a_thread_in_a_turn_of_a_queue_may_wait() {
    let queue = CompletionQueue::<u32>::new();
    let _alarms = [1, 2].map(|tag| Alarm::set(&queue, Deadline::NOW, tag).unwrap());
    let (answer, answered) = oneshot::channel();
    let answer = Mutex::new(Some(answer));
    let answered = Mutex::new(Some(answered));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(turn) = queue.turn(Deadline::NONE) {
                    for event in turn {
                        match event.tag {
                            1 => {
                                let answered = answered.lock().unwrap().take().expect("once");
                                assert_eq!(block_on(answered), Ok(()));
                            }
                            _ => answer.lock().unwrap().take().expect("once").send(()).unwrap(),
                        }
                    }
                    queue.shutdown();
                }
            });
        }
    });
}

/// What the waiting thread itself finds for its queue is another thread's. The callback's thread
/// waits; the other takes event 1, by which the waiting one becomes the poller, and comes back for
/// event 2.
#[test]
fn a_callback_that_waits_keeps_no_event_of_its_threads_queue() {
    let queue = Arc::new(CompletionQueue::<u32>::new());
    let (answer, answered) = oneshot::channel();
    let answered = Mutex::new(Some(answered));
    let (report, reports) = channel();
    let again = report.clone();
    let callbacks = CallbackQueue::<u32>::new({
        move |_| {
            report.send(Ok(())).unwrap();
            let answered = answered.lock().unwrap().take().expect("once");
            again.send(block_on(answered)).unwrap();
        }
    });
    let answer = Mutex::new(Some(answer));
    let second = Mutex::new(None);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(event) = queue.next(Deadline::NONE) {
                    if event.tag == 1 {
                        let soon = Deadline::after(Duration::from_millis(20));
                        let alarm = Alarm::set(&*queue, soon, 2).unwrap();
                        *second.lock().unwrap() = Some(alarm);
                    } else {
                        answer.lock().unwrap().take().expect("once").send(()).unwrap();
                    }
                }
            });
        }
        let _callback = Alarm::set(&callbacks, Deadline::NOW, 0).unwrap();
        assert_eq!(next(&reports), Ok(()), "the callback begins");
        let _first = Alarm::set(&*queue, Deadline::NOW, 1).unwrap();
        let ended = reports.recv_timeout(crate::raw::PATIENCE);
        // Lets both threads go, whatever has happened.
        drop(answer.lock().unwrap().take());
        queue.shutdown();
        assert_eq!(ended, Ok(Ok(())), "nobody came for event 2");
    });
}

#[test]
fn a_blocking_handler_may_wait_for_anything() {
    let (hand_out, waiting) = channel::<oneshot::Sender<Bytes>>();
    let service = demo()
        .blocking_unary(BLOCKING, move |(), _| {
            let (answer, answered) = oneshot::channel();
            hand_out.send(answer).unwrap();
            // A queue of its own first.
            let queue = PluckQueue::<u8>::new();
            let alarm = Alarm::set(&queue, Deadline::NOW, 1).unwrap();
            assert!(queue.pluck(&1, Deadline::NONE).is_some());
            drop(alarm);
            Ok(Response::new(block_on(answered).expect("it is answered")))
        })
        .unary(UNARY, |_, request| async move { Ok(Response::new(request.into_inner())) })
        .build();
    serve(1, service, |_, address| {
        let mut client = Client::connect(address);
        let stream = client.request(&request(BLOCKING, &["x"]));
        let answer = next(&waiting);
        client.ping();
        answer.send("from elsewhere".into()).unwrap();
        assert_eq!(ok(&client.answer(stream)), ["from elsewhere"]);
    });
}
