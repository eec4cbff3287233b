//! A client under test, from its start to its end. What it says and hears: see `clients/src/lib.rs`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::process;
use crate::usage::Usage;

/// The time a client gets to settle its accounts before they are read.
const SETTLE: Duration = Duration::from_millis(50);

/// A running client, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// Starts it. Its errors go where the driver's go.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = process::spawn(command, "util-linux")?;
        let input = child.stdin.take().context("the client has no standard input")?;
        let output = child.stdout.take().context("the client has no standard output")?;
        Ok(Self { child, input, output: BufReader::new(output) })
    }

    /// Lets it warm up and make the calls that count: what it used for these.
    pub(crate) fn count_calls(&mut self) -> Result<Usage> {
        self.expect("warm")?;
        let before = self.usage()?;
        self.go_on()?;
        self.expect("done")?;
        Ok(self.usage()?.since(&before))
    }

    /// What it has measured itself; taskset has replaced itself by the client.
    pub(crate) fn finish(mut self) -> Result<Vec<Option<Duration>>> {
        self.go_on()?;
        let line = self.line()?;
        let durations = durations(&line)
            .with_context(|| format!("the client said {line:?} instead of what its calls took"))?;
        self.go_on()?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the client failed ({status})");
        Ok(durations)
    }

    fn usage(&self) -> Result<Usage> {
        thread::sleep(SETTLE);
        Usage::of(self.child.id())
    }

    fn go_on(&mut self) -> Result<()> {
        self.input.write_all(b"\n").context("the client has ended")
    }

    fn expect(&mut self, word: &str) -> Result<()> {
        let line = self.line()?;
        ensure!(line == word, "the client said {line:?} instead of {word:?}");
        Ok(())
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            bail!("the client failed ({}): see its message above", self.child.wait()?);
        }
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Neither matters for a child that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Numbers of nanoseconds behind `took`; `-` is one that was not measured.
fn durations(line: &str) -> Option<Vec<Option<Duration>>> {
    let duration = |word: &str| match word {
        "-" => Some(None),
        number => number.parse().ok().map(|it| Some(Duration::from_nanos(it))),
    };
    line.strip_prefix("took ")?.split(' ').map(duration).collect()
}

#[cfg(test)]
mod tests {
    use super::{Duration, durations};

    #[test]
    fn reads_what_was_measured() {
        let expected = vec![Some(Duration::from_nanos(7)), None, None];
        assert_eq!(durations("took 7 - -"), Some(expected));
        assert_eq!(durations("took x"), None);
        assert_eq!(durations("7 8 9"), None);
    }
}
