//! Where a server's time goes, sampled by perf during the counted run.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::contest::Contest;
use crate::load::Shape;
use crate::process;
use crate::programs::Program;

/// The Debian package that perf is in.
const PACKAGE: &str = "linux-perf";

/// Samples a second; no round number, lest they fall in step with timers.
const FREQUENCY: &str = "4999";

/// The time perf gets to attach itself.
const ATTACH: Duration = Duration::from_millis(500);

/// The samples of one server under one shape.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) name: String,
    pub(crate) shape: Shape,
    pub(crate) total: u64,
    /// From the most samples down.
    pub(crate) symbols: Vec<Symbol>,
}

/// A function and the samples that were taken in it itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Symbol {
    pub(crate) group: &'static str,
    pub(crate) name: String,
    pub(crate) samples: u64,
}

impl Profile {
    /// The samples of each group, from the most down.
    pub(crate) fn groups(&self) -> Vec<(&'static str, u64)> {
        let mut groups: BTreeMap<&str, u64> = BTreeMap::new();
        for symbol in &self.symbols {
            *groups.entry(symbol.group).or_default() += symbol.samples;
        }
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_by_key(|&(_, samples)| std::cmp::Reverse(samples));
        groups
    }
}

/// Samples each server of the contest under each shape.
pub(crate) fn run(contest: &Contest) -> Result<Vec<Profile>> {
    process::check_tool("perf", PACKAGE)?;
    let mut profiles = Vec::new();
    for program in &contest.programs {
        for &shape in &contest.shapes {
            profiles.push(sample(contest, program, shape)?);
        }
    }
    Ok(profiles)
}

fn sample(contest: &Contest, program: &Program, shape: Shape) -> Result<Profile> {
    let path = program.path.as_ref().map_err(|e| anyhow!("{e}"))?;
    let folder = TempDir::new().context("no temporary folder for perf")?;
    let data = folder.path().join("perf.data");
    let server = contest.start(path, shape)?;
    let recording = Recording::start(server.pid(), contest.load_cpu(), &data)?;
    contest.drive(&server, shape)?;
    recording.stop()?;
    let symbols = read(&data)?;
    let total = symbols.iter().map(|symbol| symbol.samples).sum();
    ensure!(total > 0, "perf took no samples: cpu-clock may not work on this machine");
    Ok(Profile { name: program.name.clone(), shape, total, symbols })
}

/// A running `perf record`.
#[derive(Debug)]
struct Recording {
    perf: Child,
}

impl Recording {
    fn start(pid: u32, cpu: usize, data: &Path) -> Result<Self> {
        let mut command = process::pinned(cpu, "perf");
        command
            .args(["record", "-e", "cpu-clock", "-F", FREQUENCY, "-g"])
            .args(["-p", &pid.to_string(), "-o"])
            .arg(data)
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut recording = Self { perf: process::spawn(&mut command, "util-linux")? };
        thread::sleep(ATTACH);
        if recording.perf.try_wait()?.is_some() {
            return Err(recording.failure());
        }
        Ok(recording)
    }

    fn stop(mut self) -> Result<()> {
        let pid = i32::try_from(self.perf.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("perf has no process id")?, Signal::INT)
            .context("perf cannot be stopped")?;
        let status = self.perf.wait()?;
        // perf passes the interrupt on to itself once it has written everything.
        if !status.success() && status.code().is_some() {
            return Err(self.failure());
        }
        Ok(())
    }

    fn failure(&mut self) -> anyhow::Error {
        let mut said = String::new();
        if let Some(stderr) = &mut self.perf.stderr {
            // What cannot be read cannot be told, either.
            let _ = stderr.read_to_string(&mut said);
        }
        anyhow!(
            "perf does not record here: {}: it may need root, or \
             `sysctl kernel.perf_event_paranoid=1`",
            said.trim()
        )
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        // It has ended already unless something failed.
        let _ = self.perf.kill();
        let _ = self.perf.wait();
    }
}

fn read(data: &Path) -> Result<Vec<Symbol>> {
    let mut command = Command::new("perf");
    command
        .args(["report", "--stdio", "-q", "--no-children", "-g", "none", "-t", "|"])
        .args(["-F", "sample,dso,symbol", "-i"])
        .arg(data);
    let mut symbols: Vec<Symbol> =
        process::stdout(&mut command, PACKAGE)?.lines().filter_map(symbol).collect();
    if symbols.is_empty() {
        bail!("perf report had nothing to say: cpu-clock may not work on this machine");
    }
    symbols.sort_by_key(|symbol| std::cmp::Reverse(symbol.samples));
    Ok(symbols)
}

/// One line of `perf report`: samples, object and symbol.
fn symbol(line: &str) -> Option<Symbol> {
    let mut fields = line.splitn(3, '|');
    let samples = fields.next()?.trim().parse().ok()?;
    let object = fields.next()?.trim();
    let name = fields.next()?.trim();
    let kernel = name.starts_with("[k]");
    let name = name.trim_start_matches("[k] ").trim_start_matches("[.] ").to_owned();
    let group = if kernel || object.starts_with("[kernel") { "kernel" } else { group(&name) };
    Some(Symbol { group, name, samples })
}

/// The group that a function of user mode belongs to.
fn group(symbol: &str) -> &'static str {
    const MALLOC: [&str; 8] =
        ["malloc", "free", "calloc", "realloc", "_int_", "unlink_chunk", "memalign", "tcache"];
    const MEMORY: [&str; 4] = ["memmove", "memcpy", "memset", "memcmp"];
    let rust = symbol.contains("::");
    match first_crate(symbol) {
        Some("h2") if symbol.contains("h2::hpack") => "hpack",
        Some("h2") => "h2",
        Some("http") => "http",
        Some("bytes") => "bytes",
        Some("tokio" | "tokio_util" | "tokio_stream" | "mio") => "tokio",
        Some("hyper" | "hyper_util") => "hyper",
        Some("tonic" | "tonic_prost" | "tower" | "tower_service" | "axum") => "tonic",
        Some("prost") => "prost",
        Some("turnstile") => "turnstile",
        Some(example) if example.starts_with("greeter_") => "turnstile",
        Some("turnstile_bench_peers" | "tonic_greeter" | "bare_h2_loop") => "peer's own",
        _ if !rust && MALLOC.iter().any(|name| symbol.contains(name)) => "malloc",
        _ if !rust && MEMORY.iter().any(|name| symbol.contains(name)) => "memory copies",
        _ => "other",
    }
}

/// The crate that a symbol names first, the standard ones aside: `<h2::Codec<T> as ...>::poll`
/// belongs to h2, as does `core::ptr::drop_in_place<h2::Codec<T>>`.
fn first_crate(symbol: &str) -> Option<&str> {
    symbol
        .split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
        .filter_map(|path| path.split_once("::"))
        .map(|(first, _)| first)
        .find(|first| !matches!(*first, "" | "core" | "alloc" | "std"))
}

#[cfg(test)]
mod tests {
    use super::{group, symbol};

    #[test]
    fn groups_symbols() {
        let cases = [
            ("h2::hpack::table::Table::index", "hpack"),
            ("<h2::codec::Codec<T,B> as futures_core::stream::Stream>::poll_next", "h2"),
            ("core::ptr::drop_in_place<h2::frame::Frame>", "h2"),
            ("turnstile::cq::CompletionQueue<T>::next", "turnstile"),
            ("core::str::converts::from_utf8", "other"),
            ("cfree@GLIBC_2.2.5", "malloc"),
            ("malloc_consolidate", "malloc"),
            ("__memmove_avx512_unaligned_erms", "memory copies"),
            ("epoll_wait", "other"),
        ];
        for (symbol, expected) in cases {
            assert_eq!(group(symbol), expected, "{symbol}");
        }
    }

    #[test]
    fn reads_a_line() {
        let found = symbol(" 824        |[kernel.kallsyms]|[k] tcp_sendmsg").unwrap();
        assert_eq!((found.group, found.samples), ("kernel", 824));
        assert_eq!(found.name, "tcp_sendmsg");
        assert_eq!(symbol(""), None);
    }
}
