//! What the examples share: their arguments, and for servers their threads, and how they stop.

#![expect(unreachable_pub, reason = "a module of each example, and no crate")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "programs talk")]
#![allow(dead_code, reason = "not every example uses all of it")]

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::env;
use std::process;
use std::thread;
use std::time::Duration;
use turnstile::{Deadline, PluckQueue, Server};

/// How long running calls may take after a signal before they are cancelled.
const GRACE: Duration = Duration::from_secs(10);

/// The arguments of an example server.
pub struct Args {
    /// Where to listen.
    pub listen: String,
    /// How many threads serve.
    pub threads: usize,
}

impl Args {
    /// Reads `[--listen ADDR] [--threads N]`, or says how they are written and exits.
    pub fn read(default_listen: &str, default_threads: usize) -> Self {
        let usage = format!(
            "usage: [--listen ADDR] [--threads N]\n{}\n\
             the defaults are {default_listen} and {default_threads}",
            Self::ADDRESSES,
        );
        Self::of(&Flags::read(&usage, &Self::FLAGS, 0), default_listen, default_threads)
    }

    /// The flags of a server.
    pub const FLAGS: [&str; 2] = ["--listen", "--threads"];

    /// How ADDR is written.
    pub const ADDRESSES: &str = "ADDR is host:port, [ipv6]:port, unix:/path or unix-abstract:name;";

    /// The arguments of a server that has others besides.
    pub fn of(flags: &Flags, default_listen: &str, default_threads: usize) -> Self {
        let listen = flags.get("--listen").unwrap_or(default_listen).to_owned();
        let threads = flags.get("--threads").map_or(default_threads, |text| {
            let threads = text.parse().ok().filter(|threads| *threads > 0);
            threads
                .unwrap_or_else(|| flags.fail(&format!("--threads wants a number, not {text:?}")))
        });
        Self { listen, threads }
    }
}

/// What was written behind a program's name.
pub struct Flags {
    usage: String,
    values: Vec<(String, String)>,
    /// What is no flag, nor the value of one.
    pub rest: Vec<String>,
}

impl Flags {
    /// Reads flags of these names, each with a value, and `most` arguments besides. Or says how they are
    /// written and exits.
    pub fn read(usage: &str, names: &[&str], most: usize) -> Self {
        let mut flags = Self { usage: usage.to_owned(), values: Vec::new(), rest: Vec::new() };
        let mut args = env::args().skip(1);
        while let Some(arg) = args.next() {
            if names.contains(&&*arg) {
                let value = args.next();
                let value = value.unwrap_or_else(|| flags.fail(&format!("{arg} wants a value")));
                flags.values.push((arg, value));
            } else if arg.starts_with('-') || flags.rest.len() == most {
                flags.fail(&format!("unknown argument {arg:?}"));
            } else {
                flags.rest.push(arg);
            }
        }
        flags
    }

    /// The value of a flag, if it was given.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.iter().rev().find(|(given, _)| given == name).map(|(_, value)| &**value)
    }

    /// Says what is wrong, and how it is written, and exits.
    pub fn fail(&self, message: &str) -> ! {
        eprintln!("{message}\n{}", self.usage);
        process::exit(2);
    }
}

/// Lends the server its threads until SIGINT or SIGTERM comes, and then shuts it down.
pub fn serve(server: &Server, threads: usize) -> turnstile::Result<()> {
    run(server, threads, || server.run(), || {})
}

/// The same, but the first signal only calls `drain`, and the second shuts the server down.
pub fn serve_draining(
    server: &Server,
    threads: usize,
    drain: impl FnOnce(),
) -> turnstile::Result<()> {
    let mut signals = listen(server)?;
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| server.run());
        }
        signals.forever().next();
        drain();
        signals.forever().next();
        server.shutdown(GRACE);
    });
    Ok(())
}

/// Runs `serve` on each of the threads until SIGINT or SIGTERM comes. Then shuts down the server,
/// and calls `stopped`, after which the threads must return from `serve`.
pub fn run(
    server: &Server,
    threads: usize,
    serve: impl Fn() + Sync,
    stopped: impl FnOnce(),
) -> turnstile::Result<()> {
    let mut signals = listen(server)?;
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(&serve);
        }
        // This thread waits for a signal; the others serve.
        signals.forever().next();
        stop(server);
        stopped();
        Ok(())
    })
}

/// Says where the server listens, and gives what comes to stop it.
fn listen(server: &Server) -> turnstile::Result<Signals> {
    // Before the address is printed, so that whoever reads it can stop this process cleanly.
    let signals = Signals::new([SIGINT, SIGTERM])?;
    for address in server.addresses() {
        println!("listening on {address}");
    }
    Ok(signals)
}

/// Lets running calls end, and cancels those that take too long.
fn stop(server: &Server) {
    let stopped = PluckQueue::<()>::new();
    server.shutdown_and_notify(&stopped, ()).expect("the queue is open");
    if stopped.pluck(&(), Deadline::after(GRACE)).is_none() {
        server.cancel_all_calls();
        stopped.pluck(&(), Deadline::NONE);
    }
}
