//! Which client passes which case: a table that is printed, and asserted.

use std::collections::BTreeMap;
use std::io::{self, Write};

/// What became of the cases of one client, or what it said of a failure. Cases that it does not
/// have are not there.
pub(crate) type Results = BTreeMap<&'static str, Result<(), String>>;

/// A row for each case, and a column for each client.
pub(crate) struct Table {
    server: &'static str,
    cases: &'static [&'static str],
    columns: Vec<(&'static str, Results)>,
}

impl Table {
    /// Of clients against this server.
    pub(crate) fn new(server: &'static str, cases: &'static [&'static str]) -> Self {
        Self { server, cases, columns: Vec::new() }
    }

    /// Adds what a client has found.
    pub(crate) fn add(&mut self, client: &'static str, results: Results) {
        for case in results.keys() {
            assert!(self.cases.contains(case), "{client}: {case} has no row");
        }
        self.columns.push((client, results));
    }

    /// Prints the table, and asserts that nothing failed.
    #[track_caller]
    pub(crate) fn finish(self) {
        // Not by eprintln!: libtest would keep that to itself, if the test passes.
        let _ = io::stderr().write_all(self.text().as_bytes());
        let mut failures = String::new();
        for (client, results) in &self.columns {
            for (case, result) in results {
                if let Err(said) = result {
                    failures += &format!("{case}, by {client}:\n{said}\n");
                }
            }
        }
        assert!(failures.is_empty(), "{failures}");
    }

    fn text(&self) -> String {
        let mut text = format!("{:30}", format!("against {}", self.server));
        for (client, _) in &self.columns {
            text += &format!(" {client:8}");
        }
        for case in self.cases {
            text += &format!("\n{case:30}");
            for (_, results) in &self.columns {
                let how = match results.get(case) {
                    Some(Ok(())) => "ok",
                    Some(Err(_)) => "FAIL",
                    None => "-",
                };
                text += &format!(" {how:8}");
            }
        }
        let lines = text.lines().map(str::trim_end);
        lines.collect::<Vec<_>>().join("\n") + "\n"
    }
}
