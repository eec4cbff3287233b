//! An example of this project, or another server of it, run as a process of its own.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use super::PATIENCE;
use super::process::{Ended, Process};

/// An example that serves. Dropped, it is killed.
pub(crate) struct Server {
    name: String,
    process: Process,
    address: String,
}

impl Server {
    /// Starts an example on a free port of 127.0.0.1.
    pub(crate) fn start(example: &str, args: &[&str]) -> Self {
        Self::start_on("127.0.0.1:0", example, args)
    }

    /// Starts an example on an address of its `--listen` flag, and waits until it listens.
    pub(crate) fn start_on(listen: &str, example: &str, args: &[&str]) -> Self {
        let mut command = Command::new(example_path(example));
        Self::spawn(example, command.args(["--listen", listen]).args(args))
    }

    /// Starts any program that says where it listens as the examples do.
    pub(crate) fn run(program: &Path, args: &[&str]) -> Self {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        Self::spawn(&name, Command::new(program).args(args))
    }

    /// The same as `start`, with a variable of the environment.
    pub(crate) fn start_with_env(example: &str, name: &str, value: &str) -> Self {
        let mut command = Command::new(example_path(example));
        Self::spawn(example, command.args(["--listen", "127.0.0.1:0"]).env(name, value))
    }

    /// The same as `start`, with a process that may have this many descriptors open.
    pub(crate) fn start_with_descriptors(limit: usize, example: &str) -> Self {
        let script = format!("ulimit -n {limit} && exec \"$0\" \"$@\"");
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).arg(example_path(example));
        Self::spawn(example, command.args(["--listen", "127.0.0.1:0"]))
    }

    /// A server of another project, which has said itself where it listens.
    pub(crate) fn of(name: &str, process: Process, address: String) -> Self {
        Self { name: name.to_owned(), process, address }
    }

    /// Starts any command that says where it listens as the examples do.
    pub(crate) fn spawn(example: &str, command: &mut Command) -> Self {
        let mut process = Process::spawn(command);
        let line = process.next_line(PATIENCE);
        let address = line
            .strip_prefix("listening on ")
            .unwrap_or_else(|| panic!("{example}: first line is {line:?}, not `listening on ...`"))
            .to_owned();
        Self { name: example.to_owned(), process, address }
    }

    /// Where it listens, as it says itself.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The id of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The names of its threads.
    pub(crate) fn threads(&self) -> Vec<String> {
        let tasks = self.entries("task");
        let name =
            |task: &PathBuf| Some(fs::read_to_string(task.join("comm")).ok()?.trim().to_owned());
        tasks.iter().filter_map(name).collect()
    }

    /// How many descriptors it has open.
    pub(crate) fn open_descriptors(&self) -> usize {
        self.entries("fd").len()
    }

    /// The memory it occupies, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = self.proc_dir().join("status");
        let text = fs::read_to_string(&status)
            .unwrap_or_else(|error| panic!("{}: {error}", status.display()));
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        number
            .and_then(|number| number.parse().ok())
            .unwrap_or_else(|| panic!("no VmRSS in {}:\n{text}", status.display()))
    }

    /// Reads its stdout up to the first line with this text in it.
    pub(crate) fn wait_for_line(&mut self, text: &str) -> String {
        self.process.wait_for_line(text)
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        // A builtin of every shell, while a program `kill` is not installed everywhere.
        let pid = self.pid().to_string();
        let status = Command::new("sh").args(["-c", "kill -TERM \"$1\"", "sh", &pid]).status();
        assert!(
            status.as_ref().is_ok_and(ExitStatus::success),
            "{} cannot be sent SIGTERM: {status:?}",
            self.name
        );
    }

    /// Waits for it to end by itself, and asserts that its exit code is 0.
    #[track_caller]
    pub(crate) fn join(self, within: Duration) {
        let ended = self.process.join(within);
        assert_eq!(ended.exit_code, Some(0), "{} has written:\n{}", self.name, ended.stdout);
    }

    /// Sends SIGTERM and asserts that it ends with exit code 0.
    #[track_caller]
    pub(crate) fn stop(self) {
        self.terminate();
        self.join(PATIENCE);
    }

    fn entries(&self, folder: &str) -> Vec<PathBuf> {
        let folder = self.proc_dir().join(folder);
        let entries =
            fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
    }

    fn proc_dir(&self) -> PathBuf {
        Path::new("/proc").join(self.pid().to_string())
    }
}

/// Runs an example that is a client to its end.
pub(crate) fn run_client(example: &str, args: &[&str]) -> Ended {
    let mut command = Command::new(example_path(example));
    Process::spawn(command.args(args).stderr(Stdio::piped())).join(PATIENCE)
}

/// Cargo puts examples beside the folder of the test's own executable.
fn example_path(name: &str) -> PathBuf {
    let test = env::current_exe().expect("a test knows its own path");
    let profile = test.ancestors().nth(2).expect("a test is in target/PROFILE/deps");
    let path = profile.join("examples").join(name);
    assert!(
        path.is_file(),
        "{} is not built: run `cargo build --examples`, or plain `cargo test`, which does",
        path.display()
    );
    path
}
