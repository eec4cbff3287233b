//! The server of these tests: a process of its own, so that its system calls and threads are those
//! of one server under one polling engine, and of nothing else.
//!
//! It is the test binary once more, which a variable of the environment tells to serve.

use std::env;
use std::io::{self, Read as _};
use std::mem;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{self, Command};
use std::thread;
use std::time::Duration;

use turnstile::codec::Raw;
use turnstile::service::Builder as ServiceBuilder;
use turnstile::{
    Batch, Bytes, Call, CompletionQueue, Deadline, MethodDescriptor, PluckQueue, Server, Status,
};

use super::client;
use crate::support::process::Process;

/// Answers each message with itself, while the call is open.
pub(crate) const ECHO: MethodDescriptor<Bytes, Bytes, Raw> =
    MethodDescriptor::bidi_streaming("/test.Costs/Echo");

/// What the names of threads that serve begin with.
pub(crate) const THREAD: &str = "serves";

/// The polling engines that there are.
const ENGINES: [&str; 3] = ["epollex", "epoll1", "poll"];

pub(super) const STRATEGY: &str = "GRPC_POLL_STRATEGY";
const ROLE: &str = "TURNSTILE_SYSCALLS_SERVE";
const SERVING: &str = "serving ";

/// The ways to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Threads in `Server::run`, for an async handler.
    Async,
    /// The same for a blocking one, which waits on a pollset of its own.
    Blocking,
    /// Each thread has a queue for the calls that come, and each call a queue of its own, which its
    /// thread waits on.
    QueuePerCall,
}

/// Runs a test once under each engine, or under the one that the environment asks for. `name` is the
/// test's: in the process that is its server, this serves, and in that of its client, it calls.
pub(crate) fn under_each_engine(name: &'static str, test: impl Fn(Place)) {
    if let Ok(role) = env::var(ROLE) {
        return serve(&role);
    }
    if let Some(role) = client::role() {
        return client::call(&role);
    }
    let engines = match env::var(STRATEGY) {
        Ok(engine) => vec![engine],
        Err(_) => ENGINES.map(str::to_owned).to_vec(),
    };
    engines.into_iter().for_each(|engine| test(Place { test: name, engine }));
}

/// Where a test's server runs.
pub(crate) struct Place {
    pub(super) test: &'static str,
    pub(crate) engine: String,
}

impl Place {
    /// Starts the server, and waits until it listens.
    pub(crate) fn serve(&self, style: Style, threads: usize) -> Running {
        self.spawn(&mut Command::new(this_program()), style, threads)
    }

    /// The same, but `tracer` runs it: a command that lacks the program to run.
    pub(crate) fn serve_under(
        &self,
        tracer: &mut Command,
        style: Style,
        threads: usize,
    ) -> Running {
        self.spawn(tracer.arg(this_program()), style, threads)
    }

    fn spawn(&self, command: &mut Command, style: Style, threads: usize) -> Running {
        command.args([self.test, "--exact", "--nocapture", "--test-threads=1"]);
        command.env(ROLE, format!("{style:?} {threads}")).env(STRATEGY, &self.engine);
        let mut process = Process::spawn(command);
        let line = process.wait_for_line(SERVING);
        // The harness has begun the line with the name of the test.
        let (_, what) = line.split_once(SERVING).expect("it was waited for");
        let parse = || {
            let (pid, address) = what.split_once(' ')?;
            Some((pid.parse().ok()?, address.trim().parse().ok()?))
        };
        let (pid, address) = parse().unwrap_or_else(|| panic!("{line:?} names no address"));
        Running { pid, address, _process: process }
    }
}

pub(super) fn this_program() -> PathBuf {
    env::current_exe().expect("the test binary has a path")
}

/// A server that runs. Dropped, it is killed.
pub(crate) struct Running {
    pub(crate) pid: u32,
    pub(crate) address: SocketAddr,
    /// The server, or who traces it.
    _process: Process,
}

impl Drop for Running {
    fn drop(&mut self) {
        kill(self.pid);
    }
}

/// Kills a process that may be traced: before its tracer, which would leave it behind, without the system
/// calls that were to be traced.
pub(super) fn kill(pid: u32) {
    let _ = Command::new("sh").args(["-c", "kill -KILL \"$1\"", "sh", &pid.to_string()]).status();
}

/// Serves as it was told, until the standard input ends.
#[expect(clippy::print_stdout, reason = "the test reads where it listens")]
fn serve(role: &str) {
    let (style, threads) = role.split_once(' ').expect("a style and a number");
    let style = [Style::Async, Style::Blocking, Style::QueuePerCall]
        .into_iter()
        .find(|it| format!("{it:?}") == style)
        .expect("the style is known");
    let server = server(style).expect("there is a free port");
    let address = server.local_addr().expect("it listens on TCP");
    thread::scope(|scope| {
        for index in 0..threads.parse().expect("a number of threads") {
            let name = format!("{THREAD} {index}");
            let serve = || match style {
                Style::Async | Style::Blocking => server.run(),
                Style::QueuePerCall => take_calls(&server),
            };
            thread::Builder::new().name(name).spawn_scoped(scope, serve).expect("a thread");
        }
        println!("{SERVING}{} {address}", process::id());
        let _ = io::stdin().read_to_end(&mut Vec::new());
        server.shutdown(Duration::ZERO);
    });
}

fn server(style: Style) -> turnstile::Result<Server> {
    let service = ServiceBuilder::new("test.Costs", ());
    let service = match style {
        Style::QueuePerCall => return Server::builder().bind("127.0.0.1:0"),
        Style::Async => service.bidi_streaming(ECHO, |_, mut requests, mut replies| async move {
            while let Some(message) = requests.read().await? {
                replies.write(message).await?;
            }
            Ok(())
        }),
        Style::Blocking => service.blocking_bidi_streaming(ECHO, |(), requests, replies| {
            while let Some(message) = requests.read()? {
                replies.write(message)?;
            }
            Ok(())
        }),
    };
    Server::builder().add_service(service.build()).bind("127.0.0.1:0")
}

/// One thread, with a queue for the calls that come.
fn take_calls(server: &Server) {
    let calls = CompletionQueue::new();
    let mut queue = PluckQueue::new();
    while server.request_call_on(&queue, &calls, ()).is_ok() {
        let call = calls.next(Deadline::NONE).and_then(|mut event| event.take_call());
        // There is none any more after the shutdown.
        let Some(call) = call else { break };
        echo(&call, &mem::replace(&mut queue, PluckQueue::new()));
    }
}

/// Serves a call on its own queue.
fn echo(call: &Call<()>, queue: &PluckQueue<()>) {
    let wait_for = |batch: Batch| {
        call.start(batch, ()).ok()?;
        queue.pluck(&(), Deadline::NONE)
    };
    while let Some(message) =
        wait_for(Batch::new().receive_message()).and_then(|mut event| event.take_message())
    {
        wait_for(Batch::new().send_message(message));
    }
    wait_for(Batch::new().send_status(Status::ok()));
}
