//! What the system says about this process, and a process of its own for each test that asks.

use std::env;
use std::fs;
use std::process::Command;

const ALONE: &str = "TURNSTILE_SOAK_ALONE";

/// Runs a test in a process of its own, so that the threads and descriptors of other tests are not
/// in its counts. `name` is the test's.
pub(crate) fn alone(name: &str, test: impl FnOnce()) {
    if env::var_os(ALONE).is_some() {
        return test();
    }
    let this = env::current_exe().expect("the test binary has a path");
    let output = Command::new(this)
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(ALONE, "1")
        .output()
        .expect("the test binary can be run once more");
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{stdout}");
    assert!(output.status.success(), "{name} failed in its own process:\n{stderr}");
    assert!(stdout.contains("1 passed"), "no test is called {name}");
}

/// The names of this process's threads, with their ids.
pub(crate) fn threads() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").expect("/proc is there");
    tasks
        .flatten()
        .map(|task| {
            // It may have ended since it was listed.
            let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            format!("{} {}", task.file_name().to_string_lossy(), name.trim())
        })
        .collect()
}

/// What this process's descriptors are open on, but for the one that lists them.
pub(crate) fn descriptors() -> Vec<String> {
    let open = fs::read_dir("/proc/self/fd").expect("/proc is there");
    let paths = open.flatten().map(|it| it.path()).collect::<Vec<_>>();
    // The listing's own is closed by now, and so has no target any more.
    let targets = paths.into_iter().filter_map(|path| {
        fs::read_link(&path)
            .ok()
            .map(|target| format!("{} -> {}", path.display(), target.display()))
    });
    targets.collect()
}

/// How much memory this process has (VmRSS), in KiB.
pub(crate) fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("/proc is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).expect("VmRSS is a number of KiB")
}
