//! `cargo xtask sanitize`: the I/O manager and the queues under ThreadSanitizer, with each engine.
//!
//! It says of two accesses that nothing orders, also where no test has failed. It takes a nightly
//! toolchain, and builds the standard library anew, so that the order which that makes is seen too. So
//! it is no part of `cargo xtask test`.

use std::path::Path;
use std::process::Command;

use crate::steps::{Outcome, Steps};
use crate::tests::ENGINES;
use crate::workspace::{command, on_path, output_of, run};

/// How long the stress of each engine takes, in seconds.
const STRESS: &str = "20";

/// Adds the toolchain, and if that is there the tests.
pub(crate) fn add_to(steps: &mut Steps) {
    let mut host = String::new();
    steps.run("nightly toolchain", || {
        host = toolchain()?;
        Ok(format!("for {host}"))
    });
    if host.is_empty() {
        return;
    }
    steps.run("stress of the engines", || sanitized(&host, &["stress"], ENGINES[0]));
    for engine in ENGINES {
        let tests = ["iomgr::", "cq::", "--skip", "stress"];
        steps.run(&format!("tests under {engine}"), || sanitized(&host, &tests, engine));
    }
}

/// The host of the nightly toolchain, which must have the standard library's source.
fn toolchain() -> Result<String, String> {
    let install = "run `rustup toolchain install nightly --component rust-src`";
    if on_path("rustup").is_none() {
        let cause =
            "ThreadSanitizer needs a nightly toolchain, and there is no rustup to run it by";
        return Err(format!("{cause}: install rustup (https://rustup.rs), and {install}"));
    }
    let rustc = |args: &[&str]| {
        output_of(nightly("rustc").args(args))
            .map_err(|cause| format!("{cause}There is no nightly toolchain: {install}"))
    };
    let sysroot = rustc(&["--print", "sysroot"])?;
    let source = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/Cargo.lock");
    if !source.is_file() {
        return Err(format!("the nightly toolchain has no source of its library: {install}"));
    }
    let version = rustc(&["-vV"])?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| format!("`rustc -vV` names no host:\n{version}"))
}

/// A program of the nightly toolchain.
fn nightly(program: &str) -> Command {
    let mut rustup = command("rustup");
    rustup.args(["run", "nightly", program]);
    rustup
}

/// Those unit tests of the library that the arguments choose, with queues that use this engine.
fn sanitized(host: &str, tests: &[&str], engine: &str) -> Outcome {
    let mut cargo = nightly("cargo");
    cargo.args([
        "test",
        "--locked",
        "-Zbuild-std",
        "--target",
        host,
        "--target-dir",
        "target/tsan",
    ]);
    cargo.args(["--lib", "--"]).args(tests);
    cargo.env("RUSTFLAGS", "-Zsanitizer=thread").env("GRPC_POLL_STRATEGY", engine);
    // Tests that panic on purpose would look for the names of a stack for longer than they may take.
    cargo.env("RUST_BACKTRACE", "0");
    run(cargo.env("TURNSTILE_STRESS_SECONDS", STRESS))?;
    Ok("nothing found".into())
}
