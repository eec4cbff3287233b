//! Counting a program's system calls.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::NamedTempFile;

use crate::process;

/// How often each system call was made.
pub(crate) type Counts = BTreeMap<String, u64>;

/// Runs a program under strace.
pub(crate) fn count(program: &Path, args: &[&str]) -> Result<Counts> {
    let summary = NamedTempFile::new().context("no temporary file for strace")?;
    let mut command = Command::new("strace");
    command.args(["-c", "-f", "-o"]).arg(summary.path()).arg(program).args(args);
    let output = process::output(&mut command, "strace")?;
    ensure!(
        output.status.success(),
        "strace failed ({}): {}: tracing may be forbidden here",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(parse(&fs::read_to_string(summary.path())?))
}

/// Reads strace's table: the calls are in the 4th column and the name in the last, with a column
/// for errors between them that is mostly empty.
fn parse(summary: &str) -> Counts {
    let row = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let name = *fields.last()?;
        let calls = fields.get(3)?.parse().ok()?;
        (name != "total" && fields.len() >= 5).then(|| (name.to_owned(), calls))
    };
    summary.lines().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn reads_the_table() {
        let counts = parse(
            "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.000060           5        12           mmap
 40.00    0.000040           4        10         2 openat
------ ----------- ----------- --------- --------- ----------------
100.00    0.000100           4        22         2 total
",
        );
        assert_eq!(counts.len(), 2);
        assert_eq!((counts["mmap"], counts["openat"]), (12, 10));
    }
}
