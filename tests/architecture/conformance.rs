//! The index of the polling engines' faults names tests that exist, and that are run on every engine.

use crate::words;
use std::fs;
use std::path::{Path, PathBuf};

/// The suite, whose doc has the index.
const SUITE: &str = "iomgr/posix/tests/conformance";

/// How many faults the index has at least: it is not to be lost with its format.
const FAULTS: usize = 26;

/// Tests of what all engines have in common, which one test shows; and the crate's integration tests,
/// all of which `cargo xtask test` runs under each engine.
const ONCE: &[&str] = &["iomgr/posix/sys/", "../tests/"];

fn source_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The rows of the table in a module's doc: each one's fault, and the paths of its tests.
fn rows(source: &str) -> Vec<(&str, Vec<&str>)> {
    let lines = source.lines().filter_map(|line| line.strip_prefix("//! | "));
    let cells = lines.filter_map(|line| line.strip_suffix(" |")?.split_once(" | "));
    let rows = cells.filter(|(fault, _)| *fault != "fault");
    rows.map(|(fault, tests)| (fault, tests.split('`').skip(1).step_by(2).collect())).collect()
}

/// Why `test` of the index does not count, or nothing. `read` gives a file's text by its path below
/// `src`.
fn complaint(test: &str, read: impl Fn(&str) -> Option<String>) -> Option<String> {
    let (module, name) = test.rsplit_once("::").unwrap_or(("", test));
    let path = match (module.strip_prefix("crate::"), module.strip_suffix(".rs")) {
        (Some(module), _) => module.replace("::", "/"),
        (None, Some(file)) => format!("../{file}"),
        (None, None) => format!("{SUITE}/{}", module.replace("::", "/")),
    };
    // Tests beside the code are in a module of its file.
    let path = path
        .strip_suffix("/tests")
        .filter(|it| read(&format!("{it}.rs")).is_some())
        .unwrap_or(&path);
    let Some(source) = read(&format!("{path}.rs")) else {
        return Some(format!("{test}: there is no file {path}.rs"));
    };
    if !source.contains(&format!("fn {name}(")) {
        return Some(format!("{test}: there is no such function in {path}.rs"));
    }
    let list = source.split_once("on_every_engine! {").map_or("", |(_, list)| list);
    let list = list.split('}').next().unwrap_or_default();
    let is_run = words(list).any(|it| it == name) || ONCE.iter().any(|it| path.starts_with(it));
    (!is_run).then(|| format!("{test}: it is not on the list of on_every_engine in {path}.rs"))
}

#[test]
fn every_fault_of_the_index_has_its_tests() {
    let read = |path: &str| fs::read_to_string(source_folder().join(path)).ok();
    let source = read(&format!("{SUITE}.rs")).expect("the suite is there");
    let rows = rows(&source);
    assert!(rows.len() >= FAULTS, "only {} faults", rows.len());
    let mut found = Vec::new();
    for (fault, tests) in rows {
        if tests.is_empty() {
            found.push(format!("{fault}: no test"));
        }
        found.extend(tests.iter().filter_map(|test| complaint(test, read)));
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn a_test_that_is_not_there_or_not_run_is_found() {
    let read = |path: &str| {
        let text = match path {
            "iomgr/posix/tests/conformance/fds.rs" => {
                "on_every_engine! {\n    listed,\n}\nfn listed() {}\nfn unlisted() {}\n"
            }
            "iomgr/posix/sys/epoll.rs" => "mod tests {\n    fn once() {}\n}\n",
            "../tests/whole.rs" => "fn everything() {}\n",
            _ => return None,
        };
        Some(text.to_owned())
    };
    let good = [
        "fds::listed",
        "crate::iomgr::posix::sys::epoll::tests::once",
        "tests/whole.rs::everything",
    ];
    for test in good {
        assert_eq!(complaint(test, read), None);
    }
    let cases = [
        ("fds::unlisted", "not on the list"),
        ("fds::gone", "no such function"),
        ("gone::listed", "no file"),
        ("crate::iomgr::posix::sys::epoll::tests::gone", "no such function"),
    ];
    for (test, expected) in cases {
        let complaint = complaint(test, read).expect(test);
        assert!(complaint.contains(expected), "{complaint}");
    }
    let table =
        "//! | fault | test |\n//! |---|---|\n//! | one | `a::b`, `c::d` |\n//! | two | soon |\n";
    assert_eq!(rows(table), [("one", vec!["a::b", "c::d"]), ("two", vec![])]);
}
