//! Checks made with Python's grpcio: the scripts in `tests/peers`.

use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::peers::{scratch, workspace};
use super::process::{Ended, Process};
use super::server::Server;

/// More than the time after which a script ends itself, to show where it was.
const SCRIPT_LIMIT: Duration = Duration::from_secs(260);

/// A script that serves. It says where it listens as the examples do, and ends with its stdin.
pub(crate) fn serve(python: impl AsRef<OsStr>, script: &str) -> Server {
    Server::spawn(script, command(python, script).arg("--temp").arg(scratch()))
}

/// An interpreter that runs a script in `tests/peers`.
fn command(python: impl AsRef<OsStr>, script: &str) -> Command {
    let mut command = Command::new(python);
    command.arg(workspace().join("tests/peers").join(script));
    // With fork support grpcio stops its threads now and then.
    command.env_remove("GRPC_ENABLE_FORK_SUPPORT").env_remove("PYTHONPATH");
    // The tests' own servers are run under each engine; grpcio does not know all of them.
    command.env_remove("GRPC_POLL_STRATEGY");
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUNBUFFERED", "1");
    command
}

/// A script to be run.
pub(crate) struct Script {
    command: Command,
}

impl Script {
    /// A script in `tests/peers`, and the address that it talks to.
    pub(crate) fn new(python: impl AsRef<OsStr>, script: &str, target: &str) -> Self {
        let mut command = command(python, script);
        command.args(["--target", target, "--temp"]).arg(scratch());
        Self { command }
    }

    /// Sets a variable of its environment.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs some of its checks, and asserts that all of them pass.
    #[track_caller]
    pub(crate) fn check(mut self, checks: &[&str]) {
        self.command.args(checks).stderr(Stdio::piped());
        finish(Process::spawn(&mut self.command));
    }

    /// Runs some of its checks, and gives what it said of each.
    pub(crate) fn report(mut self, checks: &[&str]) -> Ended {
        self.command.args(checks).stderr(Stdio::piped());
        Process::spawn(&mut self.command).join(SCRIPT_LIMIT)
    }

    /// Starts a check that the test has a part in.
    pub(crate) fn start(mut self, check: &str) -> Running {
        self.command.arg(check).stderr(Stdio::piped());
        Running(Process::spawn(&mut self.command))
    }
}

/// A check under way. Dropped, it is killed.
pub(crate) struct Running(Process);

impl Running {
    /// Waits for a line of its output.
    pub(crate) fn wait_for_line(&mut self, text: &str) {
        self.0.wait_for_line(text);
    }

    /// Lets it go on, by closing its stdin, and asserts that it passes.
    #[track_caller]
    pub(crate) fn finish(self) {
        finish(self.0);
    }

    /// Kills it in the middle of its call.
    pub(crate) fn kill(self) {
        drop(self);
    }
}

#[track_caller]
fn finish(process: Process) {
    let ended = process.join(SCRIPT_LIMIT);
    assert_eq!(ended.exit_code, Some(0), "{}\n{}", ended.stdout, ended.stderr);
}
