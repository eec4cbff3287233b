//! Which client passes which case against which server: a table that is printed, and asserted.

use std::collections::BTreeMap;
use std::io::{self, Write};

/// What became of a case.
pub(crate) enum Outcome {
    Passed,
    /// With what the client said.
    Failed(String),
    /// The peer leaves out what the case needs, with the reason. Never a pass.
    Impossible(&'static str),
}

/// What became of the cases of one client. Cases that it does not have are not there.
pub(crate) type Results = BTreeMap<&'static str, Outcome>;

impl From<Result<(), String>> for Outcome {
    fn from(result: Result<(), String>) -> Self {
        result.map_or_else(Self::Failed, |()| Self::Passed)
    }
}

/// A row for each case, and a column for each pair of a client and a server.
pub(crate) struct Table {
    title: &'static str,
    cases: &'static [&'static str],
    columns: Vec<(&'static str, Results)>,
}

impl Table {
    /// A table with these rows.
    pub(crate) fn new(title: &'static str, cases: &'static [&'static str]) -> Self {
        Self { title, cases, columns: Vec::new() }
    }

    /// Adds what a client has found.
    pub(crate) fn add(&mut self, column: &'static str, results: Results) {
        for case in results.keys() {
            assert!(self.cases.contains(case), "{column}: {case} has no row");
        }
        self.columns.push((column, results));
    }

    /// Prints the table, and asserts that nothing failed.
    #[track_caller]
    pub(crate) fn finish(self) {
        // Not by eprintln!: libtest would keep that to itself, if the test passes.
        let _ = io::stderr().write_all(self.text().as_bytes());
        let mut failures = String::new();
        for (column, results) in &self.columns {
            for (case, outcome) in results {
                if let Outcome::Failed(said) = outcome {
                    failures += &format!("{case}, {column}:\n{said}\n");
                }
            }
        }
        assert!(failures.is_empty(), "{failures}");
    }

    fn text(&self) -> String {
        let mut text = format!("{:30}", self.title);
        let mut reasons = Vec::new();
        for (column, _) in &self.columns {
            text += &format!(" {column:16}");
        }
        for case in self.cases {
            text += &format!("\n{case:30}");
            for (_, results) in &self.columns {
                let how = match results.get(case) {
                    Some(Outcome::Passed) => "ok".to_owned(),
                    Some(Outcome::Failed(_)) => "FAIL".to_owned(),
                    Some(Outcome::Impossible(why)) => {
                        let known = reasons.iter().position(|it| it == why);
                        let number = known.unwrap_or_else(|| {
                            reasons.push(*why);
                            reasons.len() - 1
                        });
                        format!("not possible ({})", number + 1)
                    }
                    None => "-".to_owned(),
                };
                text += &format!(" {how:16}");
            }
        }
        for (number, why) in reasons.iter().enumerate() {
            text += &format!("\n({}) {why}", number + 1);
        }
        let lines = text.lines().map(str::trim_end);
        lines.collect::<Vec<_>>().join("\n") + "\n"
    }
}
