//! `cargo xtask test`: every test there is.

use std::process::Command;

use crate::steps::{Outcome, Steps};
use crate::tools;
use crate::workspace::{cargo, output_of, root, run};

/// The name that all the loom models share.
const LOOM_MODELS: &str = "loom_";

/// The polling engines, the default one first.
pub(crate) const ENGINES: &[&str] = &["epollex", "epoll1", "poll"];

/// Adds the tools, the tests of the workspace and the loom models.
pub(crate) fn add_all_to(steps: &mut Steps) {
    tools::add_to(steps);
    steps.run("tests of the workspace", || workspace_tests(&[]));
    for engine in &ENGINES[1..] {
        steps.run(&format!("tests under {engine}"), || tests_under(engine));
    }
    steps.run("tests without features", tests_without_features);
    steps.run("loom models", loom_models);
}

/// Adds the tools and those tests that the arguments of `cargo test` choose.
pub(crate) fn add_chosen_to(steps: &mut Steps, chosen: &[&str]) {
    tools::add_to(steps);
    steps.run("examples", || examples(chosen.contains(&"--release")));
    steps.run("chosen tests", || workspace_tests(chosen));
}

/// The examples that the peers call: `cargo test` builds them too, but not if it is told which
/// tests to run.
fn examples(release: bool) -> Outcome {
    let mut build = cargo("build");
    build.args(["--examples", "--all-features"]);
    if release {
        build.arg("--release");
    }
    run(&mut build)?;
    Ok("built".into())
}

/// With the tools in place a test that cannot find its peer is a failure, not a skip. Features add
/// tests and take none away, so these are all but the few below.
fn workspace_tests(chosen: &[&str]) -> Outcome {
    let mut test = cargo("test");
    test.args(["--workspace", "--all-features", "--no-fail-fast"]).args(chosen);
    run(test.env("TURNSTILE_REQUIRE_PEERS", "1"))?;
    Ok("passed".into())
}

/// All tests but those of documentation once more, with servers that use this polling engine.
fn tests_under(engine: &str) -> Outcome {
    let mut test = cargo("test");
    test.args(["-p", "turnstile-grpc", "-p", "turnstile-interop"]);
    test.args(["--all-features", "--no-fail-fast", "--lib", "--tests"]);
    run(test.env("TURNSTILE_REQUIRE_PEERS", "1").env("GRPC_POLL_STRATEGY", engine))?;
    Ok("passed".into())
}

/// What is another program without features: the library, and the answers to what needs one.
fn tests_without_features() -> Outcome {
    run(cargo("test").args(["--no-fail-fast", "--lib", "--test", "bad_input"]))?;
    Ok("passed".into())
}

fn loom_models() -> Outcome {
    run(&mut loom_test(&["--no-run"], &[]))?;
    let list = output_of(&mut loom_test(&[], &["--list"]))?;
    let models = list.lines().filter(|line| line.ends_with(": test")).count();
    if models == 0 {
        return Err(format!(
            "no test of the library has `{LOOM_MODELS}` in its name under --cfg turnstile_loom, \
             so nothing was checked; were the models renamed?"
        ));
    }
    run(&mut loom_test(&[], &[]))?;
    Ok(format!("{models} passed"))
}

/// The loom models have a target folder of their own: with one folder for both, their RUSTFLAGS
/// would make cargo build everything anew at each change-over.
fn loom_test(cargo_args: &[&str], test_args: &[&str]) -> Command {
    let mut test = cargo("test");
    test.args(["--release", "--lib", LOOM_MODELS, "--target-dir"]);
    test.arg(root().join("target/loom")).args(cargo_args).arg("--").args(test_args);
    test.env("RUSTFLAGS", "--cfg turnstile_loom").env("LOOM_MAX_PREEMPTIONS", "3");
    test
}
