//! `cargo xtask lint`: what can be said of the code without running it.

use std::collections::BTreeSet;

use crate::steps::{Outcome, Steps};
use crate::workspace::{cargo, cargo_path, command, output_of, run};

/// What h2 0.4 switches on in tokio: `io-util` itself, which brings `bytes`; `sync` through
/// tokio-util; and the empty `default`. Anything more (`rt`, `net`, `time`...) would be a runtime
/// that this library must not have.
const TOKIO_FEATURES: [&str; 4] = ["bytes", "default", "io-util", "sync"];

/// Adds all the checks.
pub(crate) fn add_to(steps: &mut Steps) {
    steps.run("Cargo.lock", lock_is_up_to_date);
    steps.run("rustfmt", formatted);
    steps.run("tokio features", tokio_is_traits_only);
    // The interop programs always have gzip, and would bring it to all the others.
    steps.run("clippy", || clippy(&["--exclude", "turnstile-interop"]));
    steps.run("clippy, all features", || clippy(&["--all-features"]));
    steps.run("rustdoc", rustdoc);
}

fn lock_is_up_to_date() -> Outcome {
    output_of(cargo("metadata").args(["--format-version", "1"]))?;
    Ok("up to date".into())
}

fn formatted() -> Outcome {
    run(command(cargo_path()).args(["fmt", "--all", "--check"]))
        .map_err(|cause| format!("{cause}; `cargo fmt --all` puts it right"))?;
    Ok("no differences".into())
}

fn clippy(features: &[&str]) -> Outcome {
    let mut clippy = cargo("clippy");
    clippy.args(["--workspace", "--all-targets"]).args(features);
    run(clippy.args(["--", "-D", "warnings"]))?;
    Ok("no warnings".into())
}

fn rustdoc() -> Outcome {
    let args = ["--workspace", "--all-features", "--no-deps", "--document-private-items"];
    run(cargo("doc").args(args).env("RUSTDOCFLAGS", "-D warnings"))?;
    Ok("no warnings".into())
}

fn tokio_is_traits_only() -> Outcome {
    let args = ["-e", "normal", "-p", "turnstile-grpc", "-i", "tokio", "-f", "{p} | {f}"];
    let tree = output_of(cargo("tree").args(args))?;
    let enabled = features_of_first(&tree);
    let allowed = BTreeSet::from(TOKIO_FEATURES);
    if enabled == allowed {
        return Ok(format!("{} (what h2 needs)", TOKIO_FEATURES.join(", ")));
    }
    let more: Vec<_> = enabled.difference(&allowed).collect();
    let less: Vec<_> = allowed.difference(&enabled).collect();
    Err(format!(
        "tokio's features are not the ones that h2 needs: unexpected {more:?}, missing {less:?}\n\
         {tree}\
         If a dependency of this library switches on more, do without that dependency. If h2 \
         itself has changed its needs, change TOKIO_FEATURES in xtask/src/checks.rs."
    ))
}

/// The features in the first line of a tree in the format `{p} | {f}`.
fn features_of_first(tree: &str) -> BTreeSet<&str> {
    let line = tree.lines().next().unwrap_or_default();
    let features = line.split_once(" | ").map_or("", |(_, features)| features.trim());
    features.split(',').filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_those_of_the_first_line() {
        let tree = "tokio v1.0.0 | bytes,io-util\n└── h2 v0.4.0 | default\n";
        assert_eq!(features_of_first(tree), BTreeSet::from(["bytes", "io-util"]));
    }

    #[test]
    fn no_features_are_an_empty_set() {
        assert!(features_of_first("tokio v1.0.0 | \n").is_empty());
        assert!(features_of_first("").is_empty());
    }
}
