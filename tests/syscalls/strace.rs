//! A process whose system calls strace writes down.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use crate::support::peers::{self, Peer, scratch};

/// Where strace is, if it is there and may trace.
///
/// # Panics
/// If it is not, and the environment requires it.
pub(crate) fn find() -> Option<PathBuf> {
    let strace = peers::find(Peer::Strace)?;
    let trial = Command::new(&strace).args(["-f", "-qq", "-o", "/dev/null", "true"]).output();
    let cause = match trial {
        Ok(output) if output.status.success() => return Some(strace),
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    peers::unavailable(&format!(
        "strace may not trace here ({cause}): give a container the capability SYS_PTRACE (docker run \
         --cap-add=SYS_PTRACE), and have kernel.yama.ptrace_scope below 3",
    ));
    None
}

/// A process under strace.
pub(crate) struct Traced<P> {
    pub(crate) process: P,
    log: PathBuf,
    /// Up to where the log has been read.
    seen: u64,
}

impl<P> Traced<P> {
    /// Starts a process of which these system calls are noted: `start` is given the command that lacks the
    /// program to run, and `name` is told from other processes.
    pub(crate) fn start(
        strace: &Path,
        name: &str,
        calls: &[&str],
        start: impl FnOnce(&mut Command) -> P,
    ) -> Self {
        let log = scratch().join(format!("{name}-{}.strace", process::id()));
        let mut command = Command::new(strace);
        // With a filter in the kernel no other call becomes slower.
        command.args(["-f", "-qq", "--seccomp-bpf", "-e", "signal=none", "-e"]);
        command.arg(format!("trace={}", calls.join(","))).arg("-o").arg(&log);
        Self { process: start(&mut command), log, seen: 0 }
    }

    /// The calls since the last time, one a line, as strace has them. A call is in the log before its
    /// thread goes on, so that those before a reply that has come are here.
    pub(crate) fn calls(&mut self) -> Vec<String> {
        let mut text = String::new();
        let mut log = File::open(&self.log).expect("strace writes its log");
        log.seek(SeekFrom::Start(self.seen)).expect("it is a file");
        log.read_to_string(&mut text).expect("strace writes text");
        self.seen += text.len() as u64;
        // What has no name is the second half of a line that another thread's broke in two.
        text.lines().filter(|line| name(line).is_some()).map(str::to_owned).collect()
    }
}

impl<P> Drop for Traced<P> {
    fn drop(&mut self) {
        // It is in nobody's way if it stays.
        let _ = fs::remove_file(&self.log);
    }
}

/// The call in a line: `PID name(arguments...`.
pub(crate) fn name(line: &str) -> Option<&str> {
    let after_pid = line.trim_start_matches(|it: char| it.is_ascii_digit()).trim_start();
    let (name, _) = after_pid.split_once('(')?;
    let is_name = |it: char| it.is_ascii_alphanumeric() || it == '_';
    (!name.is_empty() && name.chars().all(is_name)).then_some(name)
}
