//! Builds the programs under test and finds out where Cargo put them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// The library's own greeters, one for each style of handler, and the examples that they are.
pub(crate) const TURNSTILE: [(&str, &str); 3] = [
    ("turnstile", "greeter_server"),
    ("turnstile_cq", "greeter_cq_server"),
    ("turnstile_blocking", "greeter_blocking_server"),
];
/// The greeter on tonic.
pub(crate) const TONIC: &str = "tonic";
/// The floor.
pub(crate) const BARE: &str = "bare_h2_loop";
/// Not a server: what single operations cost.
pub(crate) const MICRO: &str = "micro";
/// No server either: what the polling engines cost.
pub(crate) const ENGINES: &str = "engines";
/// The clients, all of them.
pub(crate) const CLIENTS: &str = "clients";
/// Those that are no servers.
pub(crate) const NO_SERVERS: [&str; 3] = [MICRO, ENGINES, CLIENTS];

/// The servers that this workspace brings.
pub(crate) const PEERS: [&str; 2] = [TONIC, BARE];

/// A server's name in the tables and its program, or why there is none.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) path: Result<PathBuf, String>,
}

impl Program {
    fn new(name: &str, path: Result<PathBuf>) -> Self {
        Self { name: name.to_owned(), path: path.map_err(|e| format!("{e:#}")) }
    }
}

/// Builds an example of the library's workspace.
pub(crate) fn turnstile(name: &str, example: &str) -> Program {
    let manifest = here().join("../Cargo.toml");
    Program::new(name, build(&manifest, &["--example", example], None))
}

/// Builds those of this workspace's servers that are named.
pub(crate) fn peers(names: &[&str]) -> Vec<Program> {
    names.iter().map(|name| Program::new(name, peer(name))).collect()
}

/// Builds one of this workspace's servers.
pub(crate) fn peer(name: &str) -> Result<PathBuf> {
    member("turnstile-bench-peers", binary(name))
}

/// Builds one of this workspace's clients.
pub(crate) fn client(name: &str) -> Result<PathBuf> {
    member("turnstile-bench-clients", name)
}

/// The Python that has grpcio.
pub(crate) fn python() -> Result<PathBuf> {
    let path = here().join("../target/tools/venv/bin/python");
    ensure!(
        path.is_file(),
        "grpcio is not installed: run `cargo xtask tools`, which puts it into target/tools/venv"
    );
    Ok(path)
}

/// The client that Python runs.
pub(crate) fn grpcio_client() -> PathBuf {
    here().join("clients/grpcio_client.py")
}

/// Builds the program that times single operations.
pub(crate) fn micro() -> Result<PathBuf> {
    member("turnstile-bench-micro", "micro")
}

/// Builds the program that times the polling engines, with a library that shows them. Nothing else is
/// built that way.
pub(crate) fn engines() -> Result<PathBuf> {
    let what = ["--package", "turnstile-bench-engines", "--bin", ENGINES];
    build(&here().join("Cargo.toml"), &what, Some("--cfg turnstile_bench"))
}

fn binary(name: &str) -> &str {
    if name == TONIC { "tonic_greeter" } else { name }
}

fn member(package: &str, bin: &str) -> Result<PathBuf> {
    build(&here().join("Cargo.toml"), &["--package", package, "--bin", bin], None)
}

/// This workspace's folder: Cargo says so to what it runs.
fn here() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from)
}

/// Builds one program in the release profile, with `more_flags` for the compiler.
fn build(manifest: &Path, what: &[&str], more_flags: Option<&str>) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    if let Some(more) = more_flags {
        let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
        command.env("RUSTFLAGS", format!("{flags} {more}"));
    }
    let output = command
        .args(["build", "--release", "--quiet", "--message-format=json-render-diagnostics"])
        .arg("--manifest-path")
        .arg(manifest)
        .args(what)
        .stderr(Stdio::inherit())
        .output()
        .context("cargo cannot be run: start this through `cargo run`")?;
    let what = what.join(" ");
    if !output.status.success() {
        bail!("`cargo build --release {what}` failed: see its messages above");
    }
    executable(&String::from_utf8_lossy(&output.stdout))
        .with_context(|| format!("`cargo build --release {what}` made no program"))
}

/// The program that Cargo's messages name last.
fn executable(messages: &str) -> Option<PathBuf> {
    messages
        .lines()
        .rev()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

#[cfg(test)]
mod tests {
    use super::executable;

    #[test]
    fn finds_the_program_among_cargos_messages() {
        let messages = concat!(
            "{\"reason\":\"compiler-artifact\",\"executable\":null}\n",
            "{\"reason\":\"compiler-artifact\",\"executable\":\"target/release/examples/x\"}\n",
            "{\"reason\":\"build-finished\",\"success\":true}\n",
        );
        assert_eq!(executable(messages).unwrap().to_str(), Some("target/release/examples/x"));
        assert_eq!(executable("{}\nnot json"), None);
    }
}
