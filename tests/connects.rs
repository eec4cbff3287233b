//! Connects to addresses that never answer: what becomes of calls and of descriptors.

mod support;

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use turnstile::{Batch, CallOptions, Channel, Code, CompletionQueue, Deadline};

const CONNECTS: u32 = 10_000;
/// How many at a time, since each has a descriptor.
const AT_ONCE: u32 = 500;

const TIME: Duration = Duration::from_millis(200);

/// A listener that nobody accepts from, whose backlog is full: the system drops what comes, and a
/// connect waits for ever.
struct Full {
    listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl Full {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut queue = Vec::new();
        while let Ok(socket) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
            queue.push(socket);
        }
        Self { listener, _queue: queue }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }
}

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
#[expect(clippy::print_stdout, reason = "figures for the one who looks")]
fn ten_thousand_connects_that_are_never_answered_end_in_time_and_leave_nothing() {
    let full = Full::new();
    let address = full.address().to_string();
    let cq = CompletionQueue::<u32>::new();
    // What the process has once and for all is there after one.
    let mut before = None;
    let mut latest = Duration::ZERO;
    for batch in 0..=CONNECTS / AT_ONCE {
        let count = if batch == 0 { 1 } else { AT_ONCE };
        let calls: Vec<_> = (0..count).map(|tag| connect(&address, tag, &cq)).collect();
        let deadline = Instant::now() + TIME;
        for _ in 0..count {
            let mut event = cq.next(Deadline::NONE).unwrap();
            latest = latest.max(deadline.elapsed());
            let status = event.take_status().unwrap();
            check(event.tag, &address, status.code(), status.message());
        }
        drop(calls);
        // The channels' ends are this thread's to do, and are done when they are dropped.
        let open = open_descriptors();
        assert_eq!(open, *before.get_or_insert(open), "after batch {batch}");
    }
    println!("the last of {AT_ONCE} ended {latest:?} after its time");
}

/// Calls whose own time is over, and calls of which the connect's is.
fn connect(
    address: &str,
    tag: u32,
    cq: &CompletionQueue<u32>,
) -> (Channel, turnstile::client::Call<u32>) {
    let (options, time) = match tag % 2 {
        0 => (CallOptions::new().timeout(TIME), Duration::from_secs(60)),
        _ => (CallOptions::new(), TIME),
    };
    // A backoff is a connect's time, too.
    let channel = Channel::builder(address).connect_timeout(time).backoff(TIME, TIME * 1000);
    let channel = channel.build().unwrap();
    let call = channel.call("/test.Test/Test", options, cq);
    call.start(Batch::new().receive_status(), tag).unwrap();
    (channel, call)
}

fn check(tag: u32, address: &str, code: Code, message: &str) {
    let name = format!("cannot connect to {address}: no answer in time");
    let own = format!("the call's deadline passed; it waited for a connection to {address}");
    match tag % 2 {
        0 => assert_eq!((code, message), (Code::DeadlineExceeded, &*own)),
        _ => assert_eq!((code, message), (Code::Unavailable, &*name)),
    }
}
