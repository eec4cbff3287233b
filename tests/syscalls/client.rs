//! A client of these tests: a process of its own, as the server is.

use std::env;
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::process::{self, Command};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use turnstile::client::{Stub, blocking};
use turnstile::codec::Raw;
use turnstile::{
    Batch, Bytes, CallOptions, Channel, CompletionQueue, Deadline, MethodDescriptor, block_on,
};

use super::server::{ECHO, Place, STRATEGY, kill, this_program};
use crate::support::process::Process;

pub(super) const ROLE: &str = "TURNSTILE_SYSCALLS_CALL";

const WARM: &str = "everything is set up";
const DONE: &str = "all calls have been made";

/// How many threads call at once.
const THREADS: usize = 2;
/// Calls before those that are counted, and all of those.
const WARM_UP: usize = 100;
pub(crate) const CALLS: usize = 10_000;

const AN_HOUR: Duration = Duration::from_secs(3600);

/// The server's method with a stream each way, as one that has one message each way.
const ONCE: MethodDescriptor<Bytes, Bytes, Raw> = MethodDescriptor::unary(ECHO.path());

/// The ways to call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// A stub that makes a queue for each call, and waits on it.
    Blocking,
    /// A stub whose futures a thread waits for.
    Async,
    /// A queue for each thread.
    Queue,
}

const STYLES: [Style; 3] = [Style::Blocking, Style::Async, Style::Queue];

/// A client that waits to be told to go on. Dropped, it is killed.
pub(crate) struct Calling {
    pid: u32,
    /// The client, or who traces it.
    process: Process,
}

impl Calling {
    /// Starts a client of the server at this address, which `tracer` runs: a command that lacks the
    /// program. It has made some calls when this returns.
    pub(crate) fn start(
        tracer: &mut Command,
        place: &Place,
        style: Style,
        address: SocketAddr,
    ) -> Self {
        let command = tracer.arg(this_program());
        command.args([place.test, "--exact", "--nocapture", "--test-threads=1"]);
        command.env(ROLE, format!("{style:?} {address}")).env(STRATEGY, &place.engine);
        let mut process = Process::spawn(command);
        let line = process.wait_for_line(WARM);
        let pid = line.rsplit(' ').next().and_then(|pid| pid.parse().ok());
        Self { pid: pid.unwrap_or_else(|| panic!("{line:?} names no process")), process }
    }

    /// Lets it make all its calls.
    pub(crate) fn go_on(&mut self) {
        self.process.close_stdin_after("");
        self.process.wait_for_line(DONE);
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        kill(self.pid);
    }
}

/// Calls as it was told, and then stays until it is killed.
#[expect(clippy::print_stdout, reason = "the test reads how far it is")]
pub(super) fn call(role: &str) {
    let (style, address) = role.split_once(' ').expect("a style and an address");
    let style = STYLES.into_iter().find(|it| format!("{it:?}") == style).expect("it is known");
    // An engine's clock stays set to the time by which the client had to connect, and is set again, for
    // what comes next, when that has come: not while calls are counted, however long they take.
    let channel = Channel::builder(address).connect_timeout(AN_HOUR).build();
    let channel = channel.expect("the address can be read");
    let barrier = Barrier::new(THREADS + 1);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut caller = Caller::new(style, &channel);
                (0..WARM_UP).for_each(|_| caller.call());
                barrier.wait();
                barrier.wait();
                (0..CALLS / THREADS).for_each(|_| caller.call());
                barrier.wait();
                // What its thread has goes when it ends, which is not to be counted.
                barrier.wait();
            });
        }
        barrier.wait();
        println!("{WARM} {}", process::id());
        let _ = io::stdin().read_to_end(&mut Vec::new());
        barrier.wait();
        barrier.wait();
        println!("{DONE}");
        loop {
            thread::park();
        }
    });
}

enum Caller<'a> {
    Blocking(blocking::Stub),
    Async(Stub),
    Queue(&'a Channel, CompletionQueue<()>),
}

impl<'a> Caller<'a> {
    fn new(style: Style, channel: &'a Channel) -> Self {
        match style {
            Style::Blocking => Self::Blocking(blocking::Stub::new(channel.clone())),
            Style::Async => Self::Async(Stub::new(channel.clone())),
            Style::Queue => Self::Queue(channel, CompletionQueue::new()),
        }
    }

    fn call(&mut self) {
        let message = Bytes::from_static(b"hello");
        let reply = match self {
            Self::Blocking(stub) => stub.unary(&ONCE, message.clone()).unwrap().into_inner(),
            Self::Async(stub) => block_on(stub.unary(&ONCE, message.clone())).unwrap().into_inner(),
            Self::Queue(channel, cq) => {
                let call = channel.call(ONCE.path(), CallOptions::new(), cq);
                let batch = Batch::new().send_message(message.clone()).send_close();
                call.start(batch.receive_message().receive_status(), ()).unwrap();
                let mut event = cq.next(Deadline::NONE).unwrap();
                assert!(event.take_status().unwrap().is_ok());
                event.take_message().unwrap()
            }
        };
        assert_eq!(reply, message);
    }
}

/// Where the environment says what to be.
pub(super) fn role() -> Option<String> {
    env::var(ROLE).ok()
}
