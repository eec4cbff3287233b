//! The rounds in which the clients take turns.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use crate::Cpus;
use crate::client::Process;
use crate::process;
use crate::programs::{self, BARE};
use crate::server::Server;
use crate::usage::Usage;

/// The client that the others are compared with.
pub(crate) const YARDSTICK: &str = "tonic";

/// A client in one of its styles.
#[derive(Clone, Copy, Debug)]
struct Client {
    name: &'static str,
    kind: Kind,
    style: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Turnstile,
    Tonic,
    Python,
}

const CLIENTS: [Client; 5] = [
    Client { name: "turnstile_blocking", kind: Kind::Turnstile, style: "blocking" },
    Client { name: "turnstile_async", kind: Kind::Turnstile, style: "async" },
    Client { name: "turnstile_queue", kind: Kind::Turnstile, style: "queue" },
    Client { name: YARDSTICK, kind: Kind::Tonic, style: "async" },
    Client { name: "grpcio", kind: Kind::Python, style: "blocking" },
];

/// How calls are made, all of a client on one connection.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) title: &'static str,
    pub(crate) threads: usize,
    pub(crate) at_once: usize,
    /// Calls that count.
    calls: usize,
    /// Who can.
    clients: &'static [&'static str],
}

const WAYS: [Way; 3] = [
    Way {
        title: "one call at a time",
        threads: 1,
        at_once: 1,
        calls: 20_000,
        clients: &["turnstile_blocking", "turnstile_async", "turnstile_queue", YARDSTICK, "grpcio"],
    },
    Way {
        title: "50 calls at once, from one thread",
        threads: 1,
        at_once: 50,
        calls: 200_000,
        clients: &["turnstile_async", "turnstile_queue", YARDSTICK, "grpcio"],
    },
    Way {
        title: "4 threads, one call at a time each",
        threads: 4,
        at_once: 1,
        calls: 40_000,
        clients: &["turnstile_blocking", "turnstile_async", YARDSTICK, "grpcio"],
    },
];

/// Calls of a Python client, of those that the others make: it would take minutes for them all.
const PYTHON_SHARE: usize = 10;

/// What one counted run gave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measurement {
    pub(crate) calls: usize,
    pub(crate) took: Duration,
    /// The median of single calls, and their 99th percentile, where one is made at a time.
    pub(crate) latency: Option<(Duration, Duration)>,
    /// What the client used for them.
    pub(crate) usage: Usage,
}

impl Measurement {
    /// Calls in a second.
    pub(crate) fn rate(&self) -> f64 {
        self.calls as f64 / self.took.as_secs_f64()
    }

    /// The client's processor time for one call, in microseconds.
    pub(crate) fn cpu(&self) -> f64 {
        self.usage.cpu.as_secs_f64() * 1e6 / self.calls as f64
    }

    /// Context switches for a thousand calls.
    pub(crate) fn switches(&self) -> f64 {
        self.usage.switches as f64 * 1000.0 / self.calls as f64
    }
}

/// One client in one way: a measurement for each round, or what went wrong.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) way: &'static Way,
    pub(crate) name: &'static str,
    pub(crate) outcome: Result<Vec<Measurement>, String>,
}

/// What is started.
struct Programs {
    server: PathBuf,
    turnstile: Result<PathBuf, String>,
    tonic: Result<PathBuf, String>,
    python: Result<PathBuf, String>,
}

/// Builds the clients and measures each once a round in each of its ways. They follow each other
/// closely, and another one begins in each round.
pub(crate) fn run(rounds: usize, cpus: Cpus) -> Result<Vec<Entry>> {
    process::check_core(cpus.server)?;
    process::check_core(cpus.load)?;
    let text = |e: anyhow::Error| format!("{e:#}");
    let programs = Programs {
        server: programs::peer(BARE)?,
        turnstile: programs::client("turnstile_client").map_err(text),
        tonic: programs::client("tonic_client").map_err(text),
        python: programs::python().map_err(text),
    };
    let mut entries = Vec::new();
    for way in &WAYS {
        for client in CLIENTS.iter().filter(|client| way.clients.contains(&client.name)) {
            let outcome = programs.of(client).map(|_| Vec::new());
            entries.push((client, Entry { way, name: client.name, outcome }));
        }
    }
    for round in 0..rounds {
        for turn in entries.chunk_by_mut(|(_, a), (_, b)| std::ptr::eq(a.way, b.way)) {
            for place in 0..turn.len() {
                let which = (round + place) % turn.len();
                let (client, entry) = &mut turn[which];
                eprintln!("round {}/{rounds} {}: {}", round + 1, entry.way.title, entry.name);
                take_turn(&programs, client, cpus, entry);
            }
        }
    }
    Ok(entries.into_iter().map(|(_, entry)| entry).collect())
}

/// Adds a measurement, unless one has failed before.
fn take_turn(programs: &Programs, client: &Client, cpus: Cpus, entry: &mut Entry) {
    let Ok(measurements) = &mut entry.outcome else { return };
    match measure(programs, client, entry.way, cpus) {
        Ok(measurement) => measurements.push(measurement),
        Err(e) => {
            let error = format!("{e:#}");
            eprintln!("{}: {}: {error}", entry.way.title, entry.name);
            entry.outcome = Err(error);
        }
    }
}

/// The server is a fresh one, too, lest it be another for those who come later.
fn measure(programs: &Programs, client: &Client, way: &Way, cpus: Cpus) -> Result<Measurement> {
    let program = programs.of(client).map_err(anyhow::Error::msg)?;
    let server = Server::start(&programs.server, cpus.server)?;
    let share = if client.kind == Kind::Python { PYTHON_SHARE } else { 1 };
    let calls = way.calls / share;
    let mut command = process::pinned(cpus.load, program);
    if client.kind == Kind::Python {
        command.arg(programs::grpcio_client());
    }
    command.arg(client.style).arg(server.addr().to_string());
    command.args([way.threads, way.at_once, calls / 10, calls].map(|it| it.to_string()));
    let mut process = Process::start(&mut command)?;
    let usage = process.count_calls()?;
    let numbers = process.finish()?;
    let &[Some(took), median, p99] = &numbers[..] else {
        bail!("the client said {numbers:?}: three numbers are expected");
    };
    ensure!(!took.is_zero(), "the client says that its calls took no time");
    Ok(Measurement { calls, took, latency: median.zip(p99), usage })
}

impl Programs {
    fn of(&self, client: &Client) -> Result<&Path, String> {
        let path = match client.kind {
            Kind::Turnstile => &self.turnstile,
            Kind::Tonic => &self.tonic,
            Kind::Python => &self.python,
        };
        path.as_deref().map_err(Clone::clone)
    }
}
