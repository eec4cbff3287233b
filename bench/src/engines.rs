//! What the polling engines cost, beside mio and polling.

use std::process::Command;

use anyhow::{Context, Result};

use crate::process;
use crate::programs;

/// The one that the others are compared with.
pub(crate) const YARDSTICK: &str = "mio";

/// One operation of one contender.
#[derive(Debug, PartialEq)]
pub(crate) struct Series {
    /// What was measured, and its unit.
    pub(crate) operation: String,
    pub(crate) contender: String,
    /// A value for each round.
    pub(crate) values: Vec<f64>,
}

/// Builds `engines` and runs it: `waiter` is the core of the thread that waits.
pub(crate) fn run(rounds: usize, waiter: usize, other: usize) -> Result<Vec<Series>> {
    process::check_core(waiter)?;
    process::check_core(other)?;
    let args = [rounds, waiter, other].map(|it| it.to_string());
    let said = process::stdout(Command::new(programs::engines()?).args(args), "cargo")?;
    said.lines().map(series).collect()
}

/// One line of what `engines` says: the operation, the contender and the values, with tabs between.
fn series(line: &str) -> Result<Series> {
    let parse = || {
        let mut parts = line.splitn(3, '\t').map(str::to_owned);
        let (operation, contender, values) = (parts.next()?, parts.next()?, parts.next()?);
        let values = values.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(Series { operation, contender, values })
    };
    parse().with_context(|| format!("engines said {line:?}, which cannot be read"))
}

#[cfg(test)]
mod tests {
    use super::{Series, series};

    #[test]
    fn reads_a_line() {
        let (operation, contender) = ("kick, ns".to_owned(), "mio, short reads".to_owned());
        let expected = Series { operation, contender, values: vec![2.0, 1.5] };
        assert_eq!(series("kick, ns\tmio, short reads\t2.0 1.5").unwrap(), expected);
        assert!(series("kick, ns\t2.0").is_err());
        assert!(series("kick, ns\tmio\tx").is_err());
    }
}
