//! The server for a longer time and with more calls than any other test: nothing may be lost, and
//! nothing may grow.
//!
//! `TURNSTILE_SOAK_SECONDS` says for how long (5 if not given), and `TURNSTILE_SOAK_SEED` with
//! which random numbers:
//!
//! ```text
//! TURNSTILE_SOAK_SECONDS=60 cargo test --release --test soak -- --nocapture
//! ```
//!
//! The clients are h2's, on a tokio runtime of one thread, which belongs to the tests: the library
//! has no runtime.

#![expect(clippy::print_stdout, reason = "the counts of a run are worth a look")]

mod soak {
    pub(crate) mod burst;
    pub(crate) mod client;
    pub(crate) mod heap;
    pub(crate) mod ledger;
    pub(crate) mod load;
    pub(crate) mod process;
    pub(crate) mod random;
    pub(crate) mod service;
    pub(crate) mod tags;
}

use soak::burst::{self, Direction, Framing, Reader};
use soak::heap;
use soak::load::{Load, Shape};
use soak::process::{alone, descriptors, resident_kib, threads};
use soak::service::Running;
use std::env;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use turnstile::CompletionQueue;

/// How long anything may take that is not made to take long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Every so often the process is looked at.
const SAMPLE: Duration = Duration::from_millis(100);

const SHAPE: Shape = Shape { connections: 10, calls: 1000, seed: 7, drops_once_in: 5000 };

/// The tests take turns, so that none measures another's load.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // A test that failed has not harmed the others.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn number(variable: &str, default: u64) -> u64 {
    let Ok(value) = env::var(variable) else { return default };
    value.parse().unwrap_or_else(|_| panic!("{variable} is {value:?}, and no number"))
}

/// A load on a thread of its own.
struct Client {
    load: Arc<Load>,
    /// Speaks when all calls have ended. The connections are still open then.
    calls_ended: Receiver<()>,
    thread: JoinHandle<()>,
}

impl Client {
    fn start(running: &Running, shape: Shape) -> Self {
        let load = Load::new(running.service.address(), shape, running.service.ledger.clone());
        let (sender, calls_ended) = channel();
        let run = {
            let load = load.clone();
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime").block_on(async {
                    load.run().await;
                    sender.send(()).expect("the test waits for this");
                    load.wait_for_close().await;
                });
            }
        };
        let thread = std::thread::Builder::new().name("client".into()).spawn(run);
        Self { load, calls_ended, thread: thread.expect("a thread starts") }
    }

    /// Keeps the load up for so long, and calls `look` every so often.
    fn watch(&self, duration: Duration, mut look: impl FnMut()) {
        let end = Instant::now() + duration;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            match self.calls_ended.recv_timeout(left.min(SAMPLE)) {
                Err(RecvTimeoutError::Timeout) => look(),
                ended => panic!("the load has ended early: {ended:?}"),
            }
        }
    }

    /// Ends the load, then the server, and checks that both have all they had begun.
    fn stop(self, running: Running) {
        self.load.stop();
        let ended = self.calls_ended.recv_timeout(2 * PATIENCE);
        assert!(ended.is_ok(), "the load's calls do not end");
        let service = running.service.clone();
        // The connections are open, so that no call ends by their close.
        let none_left = service.wait_for_no_calls(PATIENCE);
        service.ledger.assert_no_faults();
        assert!(none_left, "calls that have ended at the client live on: {:?}", service.counts);
        service.shut_down();
        running.join(PATIENCE);
        self.thread.join().expect("the client has panicked");
        service.ledger.assert_no_faults();
        service.tags.assert_none_lost();
    }
}

/// Makes everything that a process has only once: the engine's descriptors above all.
fn warm_up() {
    drop(CompletionQueue::<()>::new());
    turnstile::engine_name().expect("there is a polling engine");
}

/// How long the load before the measured one is. All of its calls begin at once, so that it brings
/// as many at a time as there ever are.
const WARM_UP: Duration = Duration::from_secs(1);

/// By how many bytes the heap may be larger after a load than after a shorter one. It was measured
/// as 0 after 3 and 5 seconds, and as at most 32 after 30 in release, with other seeds each time:
/// what stays (spare buffers of threads, the I/O manager's tables) is there after the first load.
/// The rest is for a table that doubles once more. A leak of one byte a call is more.
const HEAP_BOUND: usize = 4096;

/// How much memory the process may ever have: a thousand calls with all their buffers.
const RESIDENT_BOUND_KIB: u64 = 64 * 1024;

/// Puts a server of its own under a load, from the first call to the end of both.
fn load_to_its_end(duration: Duration, shape: Shape, look: impl FnMut()) {
    let running = Running::start(2);
    let service = running.service.clone();
    let client = Client::start(&running, shape);
    let load = client.load.clone();
    client.watch(duration, look);
    client.stop(running);
    println!("client: {}", load.counts);
    println!("server: {:?}, {} tags", service.counts, service.tags.entered());
}

#[test]
fn a_thousand_concurrent_calls_with_random_cancels_lose_nothing() {
    let _turn = turn();
    alone("a_thousand_concurrent_calls_with_random_cancels_lose_nothing", || {
        let duration = Duration::from_secs(number("TURNSTILE_SOAK_SECONDS", 5));
        let shape = Shape { seed: number("TURNSTILE_SOAK_SEED", SHAPE.seed), ..SHAPE };
        println!("{duration:?} of {shape:?}, engine {}", turnstile::engine_name().unwrap());
        warm_up();
        let (threads_before, descriptors_before) = (threads(), descriptors());
        load_to_its_end(WARM_UP, shape, || {});
        let heap_before = heap::live();

        let mut most_resident = 0;
        let mut most_descriptors = 0;
        load_to_its_end(duration, shape, || {
            most_resident = most_resident.max(resident_kib());
            most_descriptors = most_descriptors.max(descriptors().len());
        });

        let heap_after = heap::live();
        println!("heap: {heap_before} bytes before, {heap_after} after");
        println!("VmRSS: at most {most_resident} KiB, {} after", resident_kib());
        let (threads_after, descriptors_after) = (threads(), descriptors());
        println!(
            "threads: {} before, {} after; descriptors: {} before, at most {most_descriptors}, \
             {} after",
            threads_before.len(),
            threads_after.len(),
            descriptors_before.len(),
            descriptors_after.len(),
        );
        assert_eq!(threads_before, threads_after, "threads");
        assert_eq!(descriptors_before, descriptors_after, "descriptors");
        assert!(heap_after <= heap_before + HEAP_BOUND, "{heap_before} bytes, then {heap_after}");
        assert!(most_resident < RESIDENT_BOUND_KIB, "{most_resident} KiB were resident");
    });
}

#[test]
fn threads_under_load_are_those_the_application_started() {
    let _turn = turn();
    alone("threads_under_load_are_those_the_application_started", || {
        warm_up();
        let before = threads();
        for servers in [1, 2, 7] {
            let running = Running::start(servers);
            let client = Client::start(&running, Shape { calls: 200, ..SHAPE });
            let counts = client.load.clone();
            client.watch(Duration::from_millis(700), || {
                let now = threads();
                // The client's runtime has one thread, too.
                assert_eq!(now.len(), before.len() + servers + 1, "{now:?}");
            });
            client.stop(running);
            assert!(counts.counts.completed.load(SeqCst) > 0);
            assert_eq!(threads(), before, "with {servers} threads");
        }
    });
}

#[test]
fn a_burst_of_100_000_one_byte_messages_arrives_whole() {
    let _turn = turn();
    for window in [65_535, 1 << 20] {
        for framing in [Framing::OneEach, Framing::Packed] {
            for reader in [Reader::Fast, Reader::Slow] {
                burst::run(window, &[Direction::ToServer(framing, reader)]);
            }
        }
    }
}

#[test]
fn a_burst_of_100_000_one_byte_messages_reaches_a_client_that_reads_late() {
    let _turn = turn();
    burst::run(65_535, &[Direction::ToClient(Reader::Fast)]);
    burst::run(65_535, &[Direction::ToClient(Reader::Slow)]);
}

#[test]
fn ten_bursts_at_once_on_one_connection_arrive_whole() {
    let _turn = turn();
    let to_server = |framing| Direction::ToServer(framing, Reader::Slow);
    burst::run(65_535, &[to_server(Framing::OneEach); 10]);
    burst::run(1 << 20, &[to_server(Framing::OneEach); 10]);
    burst::run(65_535, &[Direction::ToClient(Reader::Slow); 10]);
    let mut mixed = [Direction::ToServer(Framing::Packed, Reader::Fast); 10];
    mixed[1..4].fill(to_server(Framing::OneEach));
    mixed[4..7].fill(Direction::ToClient(Reader::Slow));
    mixed[7..9].fill(Direction::ToClient(Reader::Fast));
    burst::run(65_535, &mixed);
}
