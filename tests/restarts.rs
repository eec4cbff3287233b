//! A server that is killed again and again, and clients that wait for it.

mod support;

use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use support::server::Server;
use turnstile::{
    Batch, CallOptions, Channel, Code, CompletionQueue, ConnectivityState, Deadline, block_on,
    codec,
};
use turnstile_protos::helloworld::greeter::SAY_HELLO;
use turnstile_protos::helloworld::{HelloReply, HelloRequest};

const RESTARTS: usize = 20;
const THREADS: usize = 4;
const CALLS_AT_ONCE: u32 = 10;

/// How long a call may take that waits for the server, at most.
const PATIENCE: Duration = Duration::from_secs(30);

/// The first wait between two attempts to connect, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(200));

/// Keeps calls going until it is told to stop, and counts how they end.
struct Load<'a> {
    channel: &'a Channel,
    stop: &'a AtomicBool,
    /// How many calls have ended well.
    good: &'a AtomicUsize,
}

impl Load<'_> {
    fn run(&self) -> HashMap<Code, usize> {
        let cq = CompletionQueue::<u32>::new();
        let mut calls: HashMap<u32, _> =
            (0..CALLS_AT_ONCE).map(|tag| (tag, self.begin(&cq, tag))).collect();
        let mut codes = HashMap::new();
        while !calls.is_empty() {
            let mut event = cq.next(Deadline::NONE).expect("the queue is open");
            assert!(calls.remove(&event.tag).is_some(), "a call ends once");
            let status = event.take_status().expect("a call ends with a status");
            if status.is_ok() {
                let reply: HelloReply = codec::decode(event.take_message().unwrap()).unwrap();
                assert_eq!(reply.message, format!("Hello {}", event.tag));
                self.good.fetch_add(1, SeqCst);
            }
            *codes.entry(status.code()).or_default() += 1;
            if !self.stop.load(SeqCst) {
                calls.insert(event.tag, self.begin(&cq, event.tag));
            }
        }
        codes
    }

    fn begin(&self, cq: &CompletionQueue<u32>, tag: u32) -> turnstile::client::Call<u32> {
        let options = CallOptions::new().wait_for_ready(true).timeout(PATIENCE);
        let call = self.channel.call(SAY_HELLO.path(), options, cq);
        let request = codec::encode(&HelloRequest { name: tag.to_string() });
        let batch = Batch::new().send_message(request).send_close();
        call.start(batch.receive_message().receive_status(), tag).unwrap();
        call
    }
}

/// Waits until calls end well again, and gives how long that took.
fn recovery(good: &AtomicUsize) -> Duration {
    let (before, since) = (good.load(SeqCst), Instant::now());
    let has_recovered = support::poll_until(PATIENCE, || good.load(SeqCst) > before);
    assert!(has_recovered, "no call has ended well for {PATIENCE:?}");
    since.elapsed()
}

#[test]
#[expect(clippy::print_stdout, reason = "figures for the one who looks")]
fn calls_that_wait_for_a_server_that_is_killed_end_well_or_as_unavailable() {
    // Its port, and that of every server after it.
    let first = Server::start("greeter_server", &[]);
    let address = first.address().to_owned();
    let channel = Channel::builder(&address).backoff(BACKOFF.0, BACKOFF.1).build().unwrap();
    let (stop, good) = (AtomicBool::new(false), AtomicUsize::new(0));
    let load = Load { channel: &channel, stop: &stop, good: &good };
    let codes = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| load.run())).collect();
        let mut server = first;
        recovery(&good);
        for _ in 0..RESTARTS {
            drop(server); // SIGKILL
            server = Server::start_on(&address, "greeter_server", &[]);
            let took = recovery(&good);
            println!("calls end well {took:?} after the server was back");
        }
        stop.store(true, SeqCst);
        let mut all = HashMap::<Code, usize>::new();
        for thread in threads {
            for (code, count) in thread.join().unwrap() {
                *all.entry(code).or_default() += count;
            }
        }
        all
    });
    println!("calls: {codes:?}");
    assert!(codes.keys().all(|code| [Code::Ok, Code::Unavailable].contains(code)), "{codes:?}");
    assert!(codes[&Code::Ok] > RESTARTS);
}

/// The times at which a channel tries to connect, by a listener's count of what comes.
#[test]
fn attempts_to_connect_are_as_far_apart_as_the_backoff_says() {
    const ATTEMPTS: u32 = 6;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let initial = Duration::from_millis(100);
    let channel = Channel::builder(&address).backoff(initial, Duration::from_millis(400));
    let channel = channel.build().unwrap();
    let times: Vec<Instant> = thread::scope(|scope| {
        let listening = scope.spawn(|| {
            let accept = |_| {
                // Accepted and closed at once, before there are SETTINGS.
                let _ = listener.accept().unwrap();
                Instant::now()
            };
            (0..ATTEMPTS).map(accept).collect()
        });
        channel.state(true);
        // This thread does the I/O; the channel stays in TRANSIENT_FAILURE until it succeeds.
        while !listening.is_finished() {
            let state = channel.state(false);
            assert_ne!(state, ConnectivityState::Ready);
            block_on(turnstile::sleep(Duration::from_millis(5)));
        }
        listening.join().unwrap()
    });
    let mut expected = initial;
    for pair in times.windows(2) {
        let gap = pair[1] - pair[0];
        // A fifth less at least; there is no upper limit on a machine under load.
        assert!(gap >= expected.mul_f64(0.79), "{gap:?} instead of {expected:?}");
        expected = expected.mul_f64(1.6).min(Duration::from_millis(400));
    }
}
