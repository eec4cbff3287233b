//! The chores of this workspace: `cargo xtask help` lists them.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program talks to its terminal"
)]

mod checks;
mod sanitize;
mod steps;
mod tests;
mod tools;
mod workspace;

use std::env;
use std::process::ExitCode;

use steps::Steps;

const HELP: &str = "\
Usage: cargo xtask COMMAND

  tools              install the peers of the tests into target/tools (a no-op once they are there)
  test [-- ARGS...]  tools, every test of the workspace, and the loom models;
                     with ARGS: tools, and `cargo test --workspace ARGS...`
  sanitize           the I/O manager and the queues under ThreadSanitizer (needs a nightly toolchain)
  lint               rustfmt, clippy, rustdoc, Cargo.lock, and tokio's features
  ci                 lint, then test
  help               print this text
";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut steps = Steps::new();
    match args[..] {
        ["tools"] => tools::add_to(&mut steps),
        ["test"] => tests::add_all_to(&mut steps),
        ["test", "--", ref chosen @ ..] => tests::add_chosen_to(&mut steps, chosen),
        ["sanitize"] => sanitize::add_to(&mut steps),
        ["lint"] => checks::add_to(&mut steps),
        ["ci"] => {
            checks::add_to(&mut steps);
            tests::add_all_to(&mut steps);
        }
        ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{}\n\n{HELP}", complaint(&args));
            return ExitCode::from(2);
        }
    }
    steps.finish()
}

/// Says what is wrong with arguments that no command takes.
fn complaint(args: &[&str]) -> String {
    match args {
        [] => "xtask: no command given".into(),
        ["test", ..] => "xtask: arguments for `cargo test` go after `test --`".into(),
        _ => format!("xtask: no such command: {}", args.join(" ")),
    }
}
