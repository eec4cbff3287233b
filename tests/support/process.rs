//! A child process that does not outlive its test.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::lines::Lines;
use super::{PATIENCE, poll_until};

/// A running process, its stdin open. Dropped, it is killed.
pub(crate) struct Process {
    name: String,
    child: Child,
    stdout: Lines,
    stderr: Option<Lines>,
}

/// What a process leaves behind.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit code, unless a signal has ended it.
    pub(crate) exit_code: Option<i32>,
    /// What it wrote to stdout.
    pub(crate) stdout: String,
    /// What it wrote to stderr, if the command has a pipe for that.
    pub(crate) stderr: String,
}

impl Process {
    /// Starts a command. Its stderr goes where the command sends it.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child =
            command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let stdout = Lines::of(child.stdout.take().expect("stdout is piped"));
        let stderr = child.stderr.take().map(Lines::of);
        Self { name, child, stdout, stderr }
    }

    /// The id of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes to its stdin, and closes it.
    pub(crate) fn close_stdin_after(&mut self, text: &str) {
        if let Some(mut stdin) = self.child.stdin.take() {
            // It fails if the process has ended before, and then its exit code tells.
            let _ = stdin.write_all(text.as_bytes());
        }
    }

    /// The next line of its stdout.
    pub(crate) fn next_line(&mut self, within: Duration) -> String {
        self.stdout.next(within)
    }

    /// Reads its stdout up to the first line with this text in it.
    pub(crate) fn wait_for_line(&mut self, text: &str) -> String {
        self.stdout.wait_for(text, PATIENCE)
    }

    /// Reads its stderr, which must be piped, up to the first line with this text in it.
    pub(crate) fn wait_for_stderr_line(&mut self, text: &str) -> String {
        self.stderr.as_mut().expect("stderr is piped").wait_for(text, PATIENCE)
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_some()
    }

    /// Closes its stdin and waits for it to end by itself.
    ///
    /// # Panics
    /// If it still runs when the time is up.
    pub(crate) fn join(mut self, within: Duration) -> Ended {
        self.close_stdin_after("");
        let Some(stdout) = self.stdout.wait_for_end(within) else {
            panic!("{} still runs after {within:?}", self.name);
        };
        let stdout = stdout.join("\n");
        let stderr = self.stderr.as_mut().and_then(|lines| lines.wait_for_end(within));
        let stderr = stderr.map_or_else(String::new, |lines| lines.join("\n"));
        // Its stdout closes just before the process is gone.
        let gone = poll_until(PATIENCE, || self.has_ended());
        assert!(gone, "{} has closed its stdout but still runs", self.name);
        let status = self.child.wait().expect("a child can be waited for");
        Ended { exit_code: status.code(), stdout, stderr }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail if it has ended already, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
