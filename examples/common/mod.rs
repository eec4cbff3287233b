//! What the example servers share: their arguments, their threads, and how they stop.

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
        let defaults = Self { listen: default_listen.to_owned(), threads: default_threads };
        match Self::parse(env::args().skip(1), defaults) {
            Ok(args) => args,
            Err(message) => {
                eprintln!("{message}");
                eprintln!("usage: [--listen ADDR] [--threads N]");
                eprintln!("ADDR is host:port, [ipv6]:port, unix:/path or unix-abstract:name;");
                eprintln!("the defaults are {default_listen} and {default_threads}");
                process::exit(2);
            }
        }
    }

    fn parse(mut args: impl Iterator<Item = String>, defaults: Self) -> Result<Self, String> {
        let mut parsed = defaults;
        while let Some(name) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{name} wants a value"));
            match name.as_str() {
                "--listen" => parsed.listen = value()?,
                "--threads" => {
                    let text = value()?;
                    parsed.threads = text
                        .parse()
                        .ok()
                        .filter(|threads| *threads > 0)
                        .ok_or_else(|| format!("--threads wants a number, not {text:?}"))?;
                }
                _ => return Err(format!("unknown argument {name:?}")),
            }
        }
        Ok(parsed)
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
