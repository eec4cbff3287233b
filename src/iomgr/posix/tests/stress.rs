//! A stress of the polling engines: threads do at random whatever can be done to pollsets, sets, fds and
//! timers, and come to rest every now and then, when the product must be where the test believes it is.
//!
//! ```text
//! TURNSTILE_STRESS_SECONDS=60 cargo test --release --lib stress -- --nocapture
//! ```
//!
//! `TURNSTILE_STRESS_SECONDS` says for how long (2 if not given), `TURNSTILE_STRESS_SEED` with which
//! random numbers: those of a run are printed. They fix what each thread does, but not who is faster.
//!
//! # What is checked
//!
//! - **Each closure that was armed runs exactly once**: see [`ticket`] for what counts as one arming.
//! - **No waker is lost**: at rest, a read that is armed and whose peer has written runs when a thread
//!   works in any pollset that has the fd; the same for a write whose peer has read everything. And
//!   while threads sleep, one of them wakes for an event, a timer, and a closure from outside, also if
//!   the fd comes to its pollset then: [`rest`]. After a removal an event is demanded as ever, since the
//!   product says then that there may have been one.
//! - **No thread is stuck**: all waits have deadlines that a kick must beat, and the threads must come
//!   to rest again and again in bounded time.
//! - **No fd is leaked**, and no closure, fd or manager: each test has a process of its own, whose fds
//!   are counted before and after.

#![expect(clippy::print_stderr, reason = "the seed and the counts of a run are worth a look")]

mod actions;
mod rest;
mod socket;
mod ticket;
mod world;

use actions::Actor;
use proptest::test_runner::{RngAlgorithm, TestRng};
use std::env;
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::panic;
use std::process::{self, Command};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};
use world::World;

const THREADS: usize = 8;
const POLLSETS: usize = 200;
const FDS: usize = 500;
const SETS: usize = 24;

/// How many random actions a thread does between two rests.
const ACTIONS: usize = 400;

/// Long enough that only a hang reaches it, with a sanitizer and on a machine that is busy too.
const PATIENCE: Duration = Duration::from_secs(60);

/// One test for each engine. The only place here that knows them.
macro_rules! stress {
    ($($engine:ident),*) => {
        $(
            #[test]
            fn $engine() {
                in_a_process_of_its_own(stringify!($engine));
            }
        )*
    };
}

stress!(epollex, epoll1, poll);

/// Set in the process that a test has to itself.
const ALONE: &str = "TURNSTILE_STRESS_ALONE";

/// Runs the test once more, alone, so that no fd of another test is in its counts, and so that a thread
/// that is stuck, or has panicked, ends with the process.
fn in_a_process_of_its_own(engine: &str) {
    if env::var_os(ALONE).is_some() {
        return stress(engine);
    }
    let (_, module) = module_path!().split_once("::").expect("a module of the crate");
    let this = env::current_exe().expect("the test binary has a path");
    // Each pollset and each fd may have an epoll set and what wakes that.
    let script = "ulimit -n 4096 && exec \"$0\" \"$@\"";
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(this)
        .args([&format!("{module}::{engine}"), "--exact", "--nocapture", "--test-threads=1"])
        .env(ALONE, "1")
        .env(super::super::engine::STRATEGY, engine)
        .output()
        .expect("the test binary can be run once more");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{engine} failed in its own process:\n{said}");
    assert!(said.contains("fired"), "no test is called {engine}:\n{said}");
    eprintln!("{said}");
}

fn number(variable: &str, default: u64) -> u64 {
    let Ok(value) = env::var(variable) else { return default };
    value.parse().unwrap_or_else(|_| panic!("{variable} is {value:?}, and no number"))
}

fn stress(engine: &str) {
    // Another thread may wait for one that panics, for ever.
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |cause| {
        report(cause);
        process::exit(1);
    }));
    let length = Duration::from_secs(number("TURNSTILE_STRESS_SECONDS", 2));
    let seed = number("TURNSTILE_STRESS_SEED", RandomState::new().build_hasher().finish());
    eprintln!("{engine}: TURNSTILE_STRESS_SEED={seed}");

    let before = open_fds();
    let world = World::new();
    assert_eq!(world.iomgr().engine_name(), engine);
    let (progress, rounds) = mpsc::channel();
    let started = thread::spawn({
        let world = world.clone();
        move || run(&world, seed, length, &progress)
    });
    let mut count = 0;
    // Ends when the other side of the channel is dropped.
    loop {
        match rounds.recv_timeout(2 * PATIENCE) {
            Ok(()) => count += 1,
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!(
                "stuck in round {count}; what the threads do: {:?}",
                world.doing.each_ref().map(|it| *it.lock().unwrap()),
            ),
        }
    }
    let [did, awaited] = started.join().expect("a panic has ended the process");
    let figures = world.end();
    assert_eq!(open_fds(), before, "fds were leaked");
    eprintln!(
        "{engine}: {count} rounds in {length:?}, {did} actions; {figures}; {awaited} events awaited"
    );
}

/// What this process has open, but for the folder that says so.
fn open_fds() -> usize {
    fs::read_dir("/proc/self/fd").expect("/proc is there").count() - 1
}

/// Lets the threads act and rest by turns. Gives how many actions there were, and how many events the
/// test waited for.
fn run(world: &Arc<World>, seed: u64, length: Duration, progress: &Sender<()>) -> [u64; 2] {
    let (start, meeting) = (Instant::now(), Barrier::new(THREADS));
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|index| {
                let (meeting, progress) = (&meeting, progress.clone());
                scope.spawn(move || {
                    let mut actor = Actor::new(world, index, random(seed, index));
                    while !world.is_over() {
                        (0..ACTIONS).for_each(|_| actor.act());
                        actor.rest(meeting);
                        if index == 0 {
                            world.end_after(start, length);
                            progress.send(()).expect("the test waits for this");
                        }
                        actor.wait_for(meeting);
                    }
                    actor.finish()
                })
            })
            .collect();
        threads.into_iter().fold([0; 2], |[did, awaited], it| {
            let [more, more_awaited] = it.join().expect("a panic has ended the process");
            [did + more, awaited + more_awaited]
        })
    })
}

/// A thread's random numbers.
fn random(seed: u64, index: usize) -> TestRng {
    // Never all zero, which this generator cannot do with.
    let bytes = (u128::from(seed) << 64 | (index as u128 + 1)).to_le_bytes();
    TestRng::from_seed(RngAlgorithm::XorShift, &bytes)
}
