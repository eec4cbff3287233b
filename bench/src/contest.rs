//! The rounds in which the servers take turns.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::Cpus;
use crate::load::{Load, Shape};
use crate::process;
use crate::programs::Program;
use crate::server::Server;
use crate::usage::Usage;
use crate::verify::verify;

/// The time a server gets to settle its accounts before they are read.
const SETTLE: Duration = Duration::from_millis(50);

/// The servers, the shapes and what drives them.
#[derive(Debug)]
pub(crate) struct Contest {
    pub(crate) programs: Vec<Program>,
    pub(crate) shapes: Vec<Shape>,
    requests: Option<u64>,
    cpus: Cpus,
    load: Load,
}

/// What one counted run gave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measurement {
    /// Requests in a second.
    pub(crate) rate: f64,
    /// Requests in all.
    pub(crate) requests: u64,
    /// What the server used for them.
    pub(crate) usage: Usage,
}

impl Measurement {
    /// The server's processor time for one request, in microseconds.
    pub(crate) fn cpu(&self) -> f64 {
        self.usage.cpu.as_secs_f64() * 1e6 / self.requests as f64
    }
}

/// One server under one shape: a measurement for each round, or what went wrong.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) shape: Shape,
    pub(crate) name: String,
    pub(crate) outcome: Result<Vec<Measurement>, String>,
}

impl Contest {
    /// Checks that everything is there that a measurement needs.
    pub(crate) fn new(
        programs: Vec<Program>,
        shapes: Vec<Shape>,
        requests: Option<u64>,
        cpus: Cpus,
    ) -> Result<Self> {
        process::check_core(cpus.server)?;
        let load = Load::new(cpus.load)?;
        Ok(Self { programs, shapes, requests, cpus, load })
    }

    /// The core of the load, for whoever watches a run.
    pub(crate) fn load_cpu(&self) -> usize {
        self.cpus.load
    }

    /// Measures every server with every shape once a round. The servers under one shape follow
    /// each other closely, and another one begins in each round, so that whatever else the
    /// machine does meets all of them alike.
    pub(crate) fn run(&self, rounds: usize) -> Vec<Entry> {
        let mut entries: Vec<Entry> = self.entries();
        let servers = self.programs.len();
        for round in 0..rounds {
            for turn in entries.chunks_mut(servers) {
                for place in 0..servers {
                    let which = (round + place) % servers;
                    let entry = &mut turn[which];
                    eprintln!("round {}/{rounds} {} {}", round + 1, entry.shape, entry.name);
                    self.take_turn(&self.programs[which], entry);
                }
            }
        }
        entries
    }

    fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        for &shape in &self.shapes {
            for Program { name, path } in &self.programs {
                let outcome = path.clone().map(|_| Vec::new());
                entries.push(Entry { shape, name: name.clone(), outcome });
            }
        }
        entries
    }

    /// Adds a measurement, unless one has failed before.
    fn take_turn(&self, program: &Program, entry: &mut Entry) {
        let (Ok(path), Ok(measurements)) = (&program.path, &mut entry.outcome) else { return };
        match self.measure(path, entry.shape) {
            Ok(measurement) => measurements.push(measurement),
            Err(e) => {
                let error = format!("{e:#}");
                eprintln!("{} {}: {error}", entry.shape, entry.name);
                entry.outcome = Err(error);
            }
        }
    }

    fn measure(&self, path: &Path, shape: Shape) -> Result<Measurement> {
        let server = self.start(path, shape)?;
        thread::sleep(SETTLE);
        let before = Usage::of(server.pid())?;
        let rate = self.drive(&server, shape)?;
        thread::sleep(SETTLE);
        let usage = Usage::of(server.pid())?.since(&before);
        Ok(Measurement { rate, requests: self.requests(shape), usage })
    }

    /// A server that has given one right answer and is warm.
    pub(crate) fn start(&self, path: &Path, shape: Shape) -> Result<Server> {
        let server = Server::start(path, self.cpus.server)?;
        verify(server.addr()).context("one call made by hand")?;
        self.load.warm_up(server.addr(), shape, self.requests(shape))?;
        Ok(server)
    }

    /// The counted run.
    pub(crate) fn drive(&self, server: &Server, shape: Shape) -> Result<f64> {
        self.load.run(server.addr(), shape, self.requests(shape))
    }

    fn requests(&self, shape: Shape) -> u64 {
        self.requests.unwrap_or_else(|| shape.default_requests())
    }
}
