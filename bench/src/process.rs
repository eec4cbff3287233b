//! Running the tools that the measurement stands on, each on a core of its own.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::process::{Child, Command, Output};

use anyhow::{Context, Error, Result, bail};

/// A command for `program` that stays on core `cpu`.
pub(crate) fn pinned(cpu: usize, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.arg("-c").arg(cpu.to_string()).arg(program);
    command
}

/// Fails unless `taskset` is there and the core may be used.
pub(crate) fn check_core(cpu: usize) -> Result<()> {
    let output = output(&mut pinned(cpu, "true"), "util-linux")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "core {cpu} cannot be used: {}: choose the server's and the load's with --cpus S,L",
            said.trim()
        );
    }
    Ok(())
}

/// Fails, with the remedy, unless `tool` of the Debian package `package` is there.
pub(crate) fn check_tool(tool: &str, package: &str) -> Result<()> {
    output(Command::new(tool).arg("--version"), package).map(drop)
}

/// Runs a command to its end; a missing program is reported with the package that has it.
pub(crate) fn output(command: &mut Command, package: &str) -> Result<Output> {
    command.output().map_err(Error::from).map_err(|e| explain(e, command, package))
}

/// Starts a command; a missing program is reported with the package that has it.
pub(crate) fn spawn(command: &mut Command, package: &str) -> Result<Child> {
    command.spawn().map_err(Error::from).map_err(|e| explain(e, command, package))
}

fn explain(error: Error, command: &Command, package: &str) -> Error {
    let program = command.get_program().to_string_lossy().into_owned();
    match error.downcast_ref::<std::io::Error>().map(std::io::Error::kind) {
        Some(ErrorKind::NotFound) => {
            error.context(format!("{program} is missing: `apt-get install {package}`"))
        }
        _ => error.context(format!("{program} cannot be started")),
    }
}

/// The standard output of a command that has to succeed.
pub(crate) fn stdout(command: &mut Command, package: &str) -> Result<String> {
    let output = output(command, package)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{:?} failed ({}): {}", command.get_program(), output.status, said.trim());
    }
    String::from_utf8(output.stdout).context("the output is not UTF-8")
}
