//! Measures Turnstile's greeter beside tonic and beside a bare h2 loop; see README.md here.

mod client;
mod clients;
mod contest;
mod engines;
mod load;
mod micro;
mod process;
mod profile;
mod programs;
mod report;
mod server;
mod stats;
mod strace;
mod table;
mod usage;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Result, bail, ensure};
use clap::Parser;

use contest::Contest;
use load::Shape;
use programs::{BARE, CLIENTS, ENGINES, MICRO, NO_SERVERS, PEERS, Program, TONIC, TURNSTILE};
use table::Style;

/// Measures Turnstile's greeter beside tonic and beside a bare h2 loop.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// How often every server is measured with every shape, every engine with every operation, and
    /// every client in every way.
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: usize,

    /// Requests of a counted run [default: 300000, or 30000 for a shape of one call at a time].
    #[arg(long, value_name = "N")]
    requests: Option<u64>,

    /// Connections and concurrent streams on each of them.
    #[arg(long = "shape", value_name = "CxS", num_args = 1..,
          default_values = ["4x50", "1x1", "1x100", "50x10"])]
    shapes: Vec<Shape>,

    /// Only these of `turnstile`, `tonic`, `bare_h2_loop`, `micro`, `engines`, `clients` and
    /// the names of `--server`.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,

    /// One more server: a program that takes `--listen ADDR` and `--threads N` and says
    /// `listening on ADDR`. Serves to compare two builds of the same example.
    #[arg(long = "server", value_name = "NAME=PATH")]
    servers: Vec<Extra>,

    /// Samples this server with perf instead of measuring, and prints where its time goes.
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,

    /// Prints the tables in Markdown.
    #[arg(long)]
    markdown: bool,

    /// The core for the server and the core for the load.
    #[arg(long, value_name = "S,L", default_value = "0,1")]
    cpus: Cpus,
}

impl Options {
    /// Checks what clap cannot.
    fn check(&self) -> Result<()> {
        ensure!(self.rounds > 0, "--rounds 0 would measure nothing: give at least 1");
        let known: Vec<&str> = self.names().collect();
        for name in self.only.iter().chain(&self.profile) {
            if !known.contains(&name.as_str()) {
                bail!("there is no {name}: the names are {}", known.join(", "));
            }
        }
        if let Some(requests) = self.requests {
            for shape in &self.shapes {
                let least = shape.least_requests();
                ensure!(
                    requests >= least,
                    "--requests {requests} is too few for shape {shape}: give at least {least}"
                );
            }
        }
        Ok(())
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let own = TURNSTILE.into_iter().map(|(name, _)| name);
        own.chain([TONIC, BARE]).chain(NO_SERVERS).chain(self.servers.iter().map(Extra::name))
    }

    fn wants(&self, name: &str) -> bool {
        match &self.profile {
            Some(only) => only == name,
            None => self.only.is_empty() || self.only.iter().any(|n| n == name),
        }
    }

    fn style(&self) -> Style {
        if self.markdown { Style::Markdown } else { Style::Text }
    }

    /// The servers that are wanted, built.
    fn programs(&self) -> Vec<Program> {
        let mut programs = Vec::new();
        for (name, example) in TURNSTILE.into_iter().filter(|(name, _)| self.wants(name)) {
            programs.push(programs::turnstile(name, example));
        }
        let peers: Vec<&str> = PEERS.into_iter().filter(|name| self.wants(name)).collect();
        if !peers.is_empty() {
            programs.extend(programs::peers(&peers));
        }
        for Extra { name, path } in &self.servers {
            if self.wants(name) {
                programs.push(Program { name: name.clone(), path: Ok(path.clone()) });
            }
        }
        programs
    }

    fn contest(&self) -> Result<Contest> {
        Contest::new(self.programs(), self.shapes.clone(), self.requests, self.cpus)
    }
}

/// A server from elsewhere.
#[derive(Clone, Debug)]
struct Extra {
    name: String,
    path: PathBuf,
}

impl Extra {
    fn name(&self) -> &str {
        &self.name
    }
}

impl FromStr for Extra {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, path)) if !name.is_empty() && !path.is_empty() => {
                Ok(Self { name: name.to_owned(), path: path.into() })
            }
            _ => Err("not of the form NAME=PATH".to_owned()),
        }
    }
}

/// Where the two sides run.
#[derive(Clone, Copy, Debug)]
struct Cpus {
    server: usize,
    load: usize,
}

impl FromStr for Cpus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (server, load) = text.split_once(',').ok_or("not of the form S,L")?;
        let number = |n: &str| n.parse().map_err(|e| format!("{n}: {e}"));
        Ok(Self { server: number(server)?, load: number(load)? })
    }
}

fn is_server(name: &str) -> bool {
    !NO_SERVERS.contains(&name)
}

/// Does what is asked for; whether all of it succeeded.
fn run(options: &Options) -> Result<bool> {
    options.check()?;
    let style = options.style();
    if let Some(name) = &options.profile {
        ensure!(is_server(name), "--profile {name}: only servers can be profiled");
        print!("{}", report::profiles(&profile::run(&options.contest()?)?, style));
        return Ok(true);
    }
    let mut complete = true;
    if options.names().any(|name| is_server(name) && options.wants(name)) {
        let entries = options.contest()?.run(options.rounds);
        print!("{}", report::servers(&entries, style));
        complete = entries.iter().all(|entry| entry.outcome.is_ok());
    }
    if options.wants(MICRO) {
        let micro = micro::run(options.cpus.server);
        print!("{}", report::micro(&micro, style));
        complete &= micro.is_ok();
    }
    if options.wants(ENGINES) {
        let engines = engines::run(options.rounds, options.cpus.server, options.cpus.load);
        print!("{}", report::engines(&engines, style));
        complete &= engines.is_ok();
    }
    if options.wants(CLIENTS) {
        let clients = clients::run(options.rounds, options.cpus);
        print!("{}", report::clients(&clients, style));
        complete &= clients.is_ok_and(|all| all.iter().all(|entry| entry.outcome.is_ok()));
    }
    Ok(complete)
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}
