//! Calls made with grpcurl.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use super::PATIENCE;
use super::peers::workspace;
use super::process::{Ended, Process};

/// A call to be made.
pub(crate) struct Grpcurl {
    command: Command,
    max_time: &'static str,
    stdin: String,
}

impl Grpcurl {
    /// A call without TLS, of a method in one of the files in `proto`.
    pub(crate) fn new(program: impl AsRef<OsStr>, proto: &str) -> Self {
        let mut grpcurl = Self::by_reflection(program);
        let command = &mut grpcurl.command;
        command.arg("-import-path").arg(workspace().join("proto")).args(["-proto", proto]);
        grpcurl
    }

    /// A call without TLS, of a method that the server describes itself.
    pub(crate) fn by_reflection(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command.arg("-plaintext").stderr(Stdio::piped());
        Self { command, max_time: "60", stdin: String::new() }
    }

    /// Adds an entry of request metadata, `name: value`.
    pub(crate) fn header(mut self, header: &str) -> Self {
        self.command.args(["-H", header]);
        self
    }

    /// Sets the one request message.
    pub(crate) fn data(mut self, json: &str) -> Self {
        self.command.args(["-d", json]);
        self
    }

    /// Sets the request messages, which go through stdin.
    pub(crate) fn stream(mut self, messages: &[&str]) -> Self {
        self.command.args(["-d", "@"]);
        self.stdin = messages.join("\n");
        self
    }

    /// Sets the deadline of the call, in seconds.
    pub(crate) fn max_time(mut self, seconds: &'static str) -> Self {
        self.max_time = seconds;
        self
    }

    /// Makes it print metadata too.
    pub(crate) fn verbose(mut self) -> Self {
        self.command.arg("-v");
        self
    }

    /// Asks for the names of the services.
    #[track_caller]
    pub(crate) fn list(self, address: &str) -> Vec<String> {
        self.call(address, "list").ok().lines().map(str::to_owned).collect()
    }

    /// Asks what a service, a method or a message is.
    pub(crate) fn describe(mut self, address: &str, symbol: &str) -> Reply {
        self.command.args(["-max-time", self.max_time, address, "describe", symbol]);
        Running(Process::spawn(&mut self.command)).finish()
    }

    /// Makes the call over TCP.
    pub(crate) fn call(self, address: &str, method: &str) -> Reply {
        self.start(address, method).finish()
    }

    /// Makes the call over a UNIX socket.
    pub(crate) fn call_unix(mut self, socket: &Path, method: &str) -> Reply {
        self.command.arg("-unix");
        self.call(socket.to_str().expect("the path of the test's socket is UTF-8"), method)
    }

    /// Starts the call, so that its replies can be seen as they come.
    pub(crate) fn start(mut self, address: &str, method: &str) -> Running {
        self.command.args(["-max-time", self.max_time, address, method]);
        let mut process = Process::spawn(&mut self.command);
        process.close_stdin_after(&self.stdin);
        Running(process)
    }
}

/// A call under way.
pub(crate) struct Running(Process);

impl Running {
    /// Waits for a line of its output.
    pub(crate) fn wait_for_line(&mut self, text: &str) {
        self.0.wait_for_line(text);
    }

    /// Waits for the end of the call, which grpcurl's own deadline bounds.
    pub(crate) fn finish(self) -> Reply {
        Reply(self.0.join(4 * PATIENCE))
    }
}

/// A call that has ended.
pub(crate) struct Reply(Ended);

impl Reply {
    /// grpcurl's exit code: 0 where the call has succeeded.
    pub(crate) fn exit_code(&self) -> Option<i32> {
        self.0.exit_code
    }

    /// What grpcurl printed: the replies as JSON, where the call has succeeded.
    #[track_caller]
    pub(crate) fn ok(&self) -> &str {
        assert_eq!(self.0.exit_code, Some(0), "{:#?}", self.0);
        &self.0.stdout
    }

    /// The texts of the `EchoReply`s, in order, where the call has succeeded.
    #[track_caller]
    pub(crate) fn texts(&self) -> Vec<&str> {
        let fields = self.ok().lines().filter_map(|line| line.trim().strip_prefix("\"text\": \""));
        fields.filter_map(|rest| rest.split('"').next()).collect()
    }

    /// What grpcurl said of a call that ended with this status code.
    #[track_caller]
    pub(crate) fn failed_with(&self, code: i32) -> &str {
        assert_eq!(self.0.exit_code, Some(64 + code), "{:#?}", self.0);
        &self.0.stderr
    }
}
