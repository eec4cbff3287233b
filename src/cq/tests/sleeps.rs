//! Sleeps end at their time, or not at all.

use super::super::{block_on, sleep, sleep_until};
use super::Deadline;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn sleeps_end_in_the_order_of_their_times_and_never_early() {
    let start = Instant::now();
    let after = |millis| Deadline::at(start + Duration::from_millis(millis));
    let (mut late, mut soon) = (pin!(sleep_until(after(8))), pin!(sleep_until(after(3))));
    block_on(soon.as_mut());
    assert!(start.elapsed() >= Duration::from_millis(3));
    block_on(late.as_mut());
    assert!(start.elapsed() >= Duration::from_millis(8));
    // Ready from then on.
    block_on(late.as_mut());
}

#[test]
fn a_sleep_whose_time_has_passed_is_over() {
    block_on(sleep(Duration::ZERO));
    block_on(sleep_until(Deadline::NOW));
    block_on(sleep_until(Deadline::at(Instant::now())));
}

#[test]
fn a_sleep_without_end_goes_on_while_another_ends() {
    let mut endless = pin!(sleep_until(Deadline::NONE));
    let mut longest = pin!(sleep(Duration::MAX));
    let mut short = pin!(sleep(Duration::from_millis(3)));
    block_on(poll_fn(|context| {
        assert!(endless.as_mut().poll(context).is_pending());
        assert!(longest.as_mut().poll(context).is_pending());
        short.as_mut().poll(context)
    }));
}

#[test]
fn a_sleep_wakes_who_polled_it_last() {
    let mut asleep = Box::pin(sleep(Duration::from_millis(20)));
    block_on(poll_fn(|context| {
        // On a slow machine it is ready here, or at once there, which is as right.
        let _ = asleep.as_mut().poll(context);
        Poll::Ready(())
    }));
    thread::spawn(move || block_on(asleep)).join().unwrap();
}
