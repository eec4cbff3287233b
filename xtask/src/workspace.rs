//! Where things are in the workspace, and how other programs are run in it.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the workspace")
}

/// Where the tools go: under the workspace whatever `CARGO_TARGET_DIR` says, so that the tests
/// find them.
pub(crate) fn tools_dir() -> PathBuf {
    root().join("target/tools")
}

/// A program, to be run in the root of the workspace, with nothing to read on its stdin.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).stdin(Stdio::null());
    command
}

/// The cargo that runs this program.
pub(crate) fn cargo_path() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// That cargo with a subcommand of it and `--locked`: a `Cargo.lock` that
/// has to change is an error.
pub(crate) fn cargo(subcommand: &str) -> Command {
    let mut cargo = command(cargo_path());
    cargo.arg(subcommand).arg("--locked");
    cargo
}

/// Where a program is on the PATH, if it is.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Runs a command whose output goes to the terminal.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let line = shown(command);
    println!("    $ {line}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{line}` failed ({status}); its output is above")),
        Err(error) => Err(cannot_start(&line, &error)),
    }
}

/// Runs a command and returns what it wrote to stdout. Its stderr is shown only if it fails.
pub(crate) fn output_of(command: &mut Command) -> Result<String, String> {
    let line = shown(command);
    let output = command.output().map_err(|error| cannot_start(&line, &error))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(format!("`{line}` failed ({}):\n{stdout}{stderr}", output.status))
}

fn cannot_start(line: &str, error: &io::Error) -> String {
    format!("`{line}` did not start: {error}")
}

/// The command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let envs = command.get_envs().filter_map(|(name, value)| {
        Some(format!("{}={:?}", name.to_string_lossy(), value?.to_string_lossy()))
    });
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy();
    let args = command.get_args().map(|arg| arg.to_string_lossy().into_owned());
    envs.chain([program.into_owned()]).chain(args).collect::<Vec<_>>().join(" ")
}
