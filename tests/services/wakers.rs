//! Async handlers that wait for what has nothing to do with the server.

use super::common::{
    BIDI, CANCELLED, DEADLINE_EXCEEDED, Guards, UNARY, demo, next, ok, request, serve, until,
};
use crate::raw::client::Client;
use crate::raw::frame::{self, Frame};
use crate::raw::request::Request;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use turnstile::{Bytes, Response, Status};

#[test]
fn a_handler_is_woken_from_another_thread() {
    let (hand_out, waiting) = channel::<oneshot::Sender<Bytes>>();
    let service = demo()
        .unary(UNARY, move |_, _| {
            let (answer, answered) = oneshot::channel();
            hand_out.send(answer).unwrap();
            async move { Ok(Response::new(answered.await.expect("it is answered"))) }
        })
        .build();
    serve(2, service, |_, address| {
        thread::scope(|scope| {
            let answerer = scope.spawn(move || {
                for answer in waiting.iter().take(200) {
                    answer.send("from elsewhere".into()).expect("somebody waits");
                }
            });
            let mut client = Client::connect(address);
            for _ in 0..200 {
                assert_eq!(ok(&client.call(&request(UNARY, &["x"]))), ["from elsewhere"]);
            }
            answerer.join().unwrap();
        });
    });
}

/// A future that does something odd with its waker and is ready at the second poll.
fn odd(mut with_waker: impl FnMut(&Waker) + Send + 'static) -> impl Future<Output = ()> + Send {
    let mut is_first = true;
    poll_fn(move |context| {
        if is_first {
            is_first = false;
            with_waker(context.waker());
            return Poll::Pending;
        }
        Poll::Ready(())
    })
}

#[test]
fn a_wake_in_the_middle_of_a_poll_is_one_more_poll() {
    let service = demo()
        .unary(UNARY, |_, request| async move {
            match &**request {
                b"own" => odd(Waker::wake_by_ref).await,
                b"many" => odd(|waker| (0..1000).for_each(|_| waker.wake_by_ref())).await,
                // Before Pending is returned, and from another thread.
                b"foreign" => {
                    odd(|waker| {
                        let waker = waker.clone();
                        thread::spawn(move || waker.wake()).join().expect("a wake does not panic");
                    })
                    .await;
                }
                _ => {
                    odd(|waker| {
                        let waker = waker.clone();
                        thread::spawn(move || (0..1000).for_each(|_| waker.wake_by_ref()));
                    })
                    .await;
                }
            }
            Ok(Response::new(Bytes::new()))
        })
        .build();
    serve(2, service, |_, address| {
        let mut client = Client::connect(address);
        for how in ["own", "many", "foreign", "storm"] {
            for _ in 0..20 {
                ok(&client.call(&request(UNARY, &[how])));
            }
        }
    });
}

#[test]
fn a_late_wake_of_a_handler_that_has_ended_does_nothing() {
    let kept = Arc::new(Mutex::new(Vec::<Waker>::new()));
    let polls = Arc::new(AtomicUsize::new(0));
    let service = demo()
        .unary(UNARY, {
            let (kept, polls) = (kept.clone(), polls.clone());
            move |_, _| {
                let (kept, polls) = (kept.clone(), polls.clone());
                async move {
                    poll_fn(|context| {
                        polls.fetch_add(1, SeqCst);
                        kept.lock().unwrap().push(context.waker().clone());
                        Poll::Ready(())
                    })
                    .await;
                    Ok(Response::new(Bytes::new()))
                }
            }
        })
        .build();
    serve(1, service, |_, address| {
        let mut client = Client::connect(address);
        ok(&client.call(&request(UNARY, &["x"])));
        kept.lock().unwrap().iter().for_each(Waker::wake_by_ref);
        ok(&client.call(&request(UNARY, &["x"])));
        assert_eq!(polls.load(SeqCst), 2);
    });
    // And when the server is gone.
    kept.lock().unwrap().drain(..).for_each(Waker::wake);
    assert_eq!(polls.load(SeqCst), 2);
}

#[test]
fn a_handler_that_always_wakes_itself_lets_others_go_on() {
    let stop = Arc::new(AtomicBool::new(false));
    let polls = Arc::new(AtomicUsize::new(0));
    let service = demo()
        .bidi_streaming(BIDI, {
            let (stop, polls) = (stop.clone(), polls.clone());
            move |_, _, _| {
                let (stop, polls) = (stop.clone(), polls.clone());
                poll_fn(move |context| {
                    polls.fetch_add(1, SeqCst);
                    if stop.load(SeqCst) {
                        return Poll::Ready(Ok(()));
                    }
                    context.waker().wake_by_ref();
                    Poll::Pending
                })
            }
        })
        .unary(UNARY, |_, request| async move {
            if request.is_empty() {
                std::future::pending::<()>().await;
            }
            Ok(Response::new(request.into_inner()))
        })
        .build();
    serve(1, service, |_, address| {
        let mut spinner = Client::connect(address);
        let spinning = spinner.request(&Request::of(BIDI.path()).open());
        until(true, || polls.load(SeqCst) > 1000);
        let mut client = Client::connect(address);
        for _ in 0..10 {
            assert_eq!(ok(&client.call(&request(UNARY, &["x"]))), ["x"]);
        }
        // Timers go on too.
        let answer = client.call(&request(UNARY, &[""]).with("grpc-timeout", "20m"));
        assert_eq!(answer.code(), DEADLINE_EXCEEDED, "{answer:?}");
        stop.store(true, SeqCst);
        ok(&spinner.answer(spinning));
    });
}

/// Deadline, cancel and shutdown each end a call whose handler never answers.
#[test]
fn a_handler_that_never_answers_ends_with_its_call() {
    let guards = Guards::default();
    let service = demo()
        .unary(UNARY, {
            let guards = guards.clone();
            move |_, _| {
                let guard = guards.guard();
                async move {
                    let _guard = guard;
                    std::future::pending::<Result<Response<Bytes>, Status>>().await
                }
            }
        })
        .build();
    serve(1, service, |server, address| {
        let mut client = Client::connect(address);
        let answer = client.call(&request(UNARY, &["x"]).with("grpc-timeout", "1500m"));
        assert_eq!(answer.code(), DEADLINE_EXCEEDED);
        until(1, || guards.dropped());

        let stream = client.request(&request(UNARY, &["x"]));
        until(2, || guards.made());
        client.send(&Frame::reset(stream, frame::CANCEL));
        until(2, || guards.dropped());

        let stream = client.request(&request(UNARY, &["x"]));
        until(3, || guards.made());
        server.shutdown(Duration::from_millis(20));
        let answer = client.answer(stream);
        let code = answer.header("grpc-status").map(|_| answer.code());
        assert!(
            answer.is_closed || answer.reset.is_some() || code == Some(CANCELLED),
            "{answer:?}"
        );
        until(3, || guards.dropped());
    });
}

/// A future that holds its own waker, as those of many collections of futures do.
#[test]
fn a_handler_that_keeps_its_own_waker_is_freed_with_its_call() {
    let guards = Guards::default();
    let (report, polled) = channel();
    let service = demo()
        .bidi_streaming(BIDI, {
            let guards = guards.clone();
            move |_, _, _| {
                let (guard, report) = (guards.guard(), report.clone());
                let mut kept = Vec::new();
                poll_fn(move |context| {
                    let _guard = &guard;
                    kept.push(context.waker().clone());
                    report.send(()).unwrap();
                    Poll::<Result<(), Status>>::Pending
                })
            }
        })
        .build();
    serve(1, service, |_, address| {
        let mut client = Client::connect(address);
        let _stream = client.request(&Request::of(BIDI.path()).open());
        next(&polled);
    });
    until(1, || guards.dropped());
}

/// "long" sleeps for an hour, anything else for 2 ms.
#[test]
fn a_handler_that_sleeps_leaves_its_thread_to_others() {
    let guards = Guards::default();
    let service = demo()
        .unary(UNARY, {
            let guards = guards.clone();
            move |_, request: turnstile::Request<Bytes>| {
                let guard = guards.guard();
                async move {
                    let _guard = guard;
                    let is_long = &request[..] == b"long";
                    let time = Duration::from_millis(if is_long { 3_600_000 } else { 2 });
                    let start = Instant::now();
                    turnstile::sleep(time).await;
                    assert!(start.elapsed() >= time, "it woke up early");
                    Ok(Response::new(request.into_inner()))
                }
            }
        })
        .build();
    serve(1, service, |_, address| {
        let mut client = Client::connect(address);
        let long = client.request(&request(UNARY, &["long"]));
        for _ in 0..20 {
            assert_eq!(ok(&client.call(&request(UNARY, &["short"]))), ["short"]);
        }
        until((21, 20), || (guards.made(), guards.dropped()));
        client.send(&Frame::reset(long, frame::CANCEL));
        until(21, || guards.dropped());
    });
}
