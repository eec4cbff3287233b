//! What creating and dropping a completion queue costs, in time and in system calls.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::process;
use crate::programs;
use crate::stats::Summary;
use crate::strace::{self, Counts};

/// How many queues are created while system calls are counted.
const QUEUES: u64 = 10_000;

/// What the `micro` program gave.
#[derive(Debug)]
pub(crate) struct Micro {
    /// Nanoseconds of each operation, over batches.
    pub(crate) times: Vec<(String, Summary)>,
    pub(crate) calls: Result<Calls>,
}

/// The system calls of runs that create no queue, one, and many. The first queue of a process may
/// start what all queues share, so only those beyond it tell what a queue costs.
#[derive(Debug)]
pub(crate) struct Calls {
    pub(crate) queues: u64,
    pub(crate) rows: Vec<Row>,
}

/// One system call, and how often it was made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) none: u64,
    pub(crate) one: u64,
    pub(crate) many: u64,
}

impl Row {
    fn new(name: &str, runs: &[Counts; 3], count: impl Fn(&Counts) -> u64) -> Self {
        let [none, one, many] = runs.each_ref().map(count);
        Self { name: name.to_owned(), none, one, many }
    }
}

/// Builds `micro` and runs it on the server's core.
pub(crate) fn run(cpu: usize) -> Result<Micro> {
    process::check_core(cpu)?;
    let program = programs::micro()?;
    let said = process::stdout(process::pinned(cpu, &program).arg("time"), "util-linux")?;
    let times = said.lines().map(time).collect::<Result<_>>()?;
    Ok(Micro { times, calls: count(&program) })
}

/// One line of what `micro` says: a name, a tab, and nanoseconds for each batch.
fn time(line: &str) -> Result<(String, Summary)> {
    let parse = || {
        let (name, batches) = line.split_once('\t')?;
        let batches: Vec<f64> =
            batches.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
        Some((name.to_owned(), Summary::of(batches)?))
    };
    parse().with_context(|| format!("micro said {line:?}, which cannot be read"))
}

fn count(program: &Path) -> Result<Calls> {
    let run = |queues: u64| strace::count(program, &["churn", &queues.to_string()]);
    let runs = [run(0)?, run(1)?, run(QUEUES)?];
    ensure!(!runs[2].is_empty(), "strace counted nothing at all");
    Ok(Calls { queues: QUEUES, rows: rows(&runs) })
}

/// The system calls whose number differs, and the sum of all.
fn rows(runs: &[Counts; 3]) -> Vec<Row> {
    let names: BTreeSet<&String> = runs.iter().flat_map(Counts::keys).collect();
    let row = |name: &String| {
        Row::new(name, runs, |counts| counts.get(name).copied().unwrap_or_default())
    };
    let mut rows: Vec<Row> = names.into_iter().map(row).collect();
    rows.retain(|row| row.none != row.one || row.one != row.many);
    rows.push(Row::new("all", runs, |counts| counts.values().sum()));
    rows
}

#[cfg(test)]
mod tests {
    use super::{Counts, rows, time};

    #[test]
    fn reads_a_line() {
        let (name, summary) = time("eventfd\t3.0 1.0 2.0").unwrap();
        assert_eq!(name, "eventfd");
        assert_eq!(summary.show(1), "2.0 (1.0..3.0)");
        assert!(time("eventfd 3.0").is_err());
        assert!(time("eventfd\tx").is_err());
    }

    #[test]
    fn compares_runs() {
        let run = |mmap, eventfd| -> Counts {
            [("mmap".to_owned(), mmap), ("read".to_owned(), 2), ("eventfd2".to_owned(), eventfd)]
                .into_iter()
                .collect()
        };
        let rows = rows(&[run(3, 0), run(3, 1), run(4, 1)]);
        let found: Vec<_> =
            rows.iter().map(|row| (row.name.as_str(), row.none, row.one, row.many)).collect();
        assert_eq!(found, [("eventfd2", 0, 1, 1), ("mmap", 3, 3, 4), ("all", 5, 6, 7)]);
    }
}
