//! Which threads of a server woke, by the kernel's own account.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::server::{Running, THREAD};
use crate::support::{PATIENCE, poll_until};

/// How often each thread that serves has gone to sleep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sleeps(BTreeMap<PathBuf, u64>);

impl Sleeps {
    /// Waits until all threads that serve are asleep, and none of them is about to be woken.
    ///
    /// Two looks that find the same: whoever is asleep in both and has not gone to sleep in between
    /// slept all the time, and so at the end of the first look all were asleep at once.
    pub(crate) fn of(server: &Running, threads: usize) -> Self {
        let mut before = None;
        let is_quiet = poll_until(PATIENCE, || {
            let now = Self::look(server, threads);
            let is_same = now.is_some() && now == before;
            before = now;
            is_same
        });
        assert!(is_quiet, "the server's {threads} threads do not come to rest");
        before.expect("it was looked at")
    }

    /// `None` if some thread is awake, or not there yet.
    fn look(server: &Running, threads: usize) -> Option<Self> {
        let tasks = fs::read_dir(format!("/proc/{}/task", server.pid)).expect("the server runs");
        let mut sleeps = BTreeMap::new();
        for task in tasks.flatten().map(|task| task.path()) {
            let name = fs::read_to_string(task.join("comm")).ok()?;
            if name.starts_with(THREAD) {
                let count = times_asleep(&task)?;
                sleeps.insert(task, count);
            }
        }
        (sleeps.len() == threads).then_some(Self(sleeps))
    }

    /// How often each thread was woken since then, without those that were not.
    pub(crate) fn since(&self, before: &Self) -> Vec<u64> {
        let more = |(task, count): (&PathBuf, &u64)| count - before.0[task];
        self.0.iter().map(more).filter(|count| *count > 0).collect()
    }
}

/// How often a thread has gone to sleep, if it is asleep.
fn times_asleep(task: &Path) -> Option<u64> {
    let status = fs::read_to_string(task.join("status")).ok()?;
    let field = |name| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let is_asleep = field("State:")?.starts_with('S');
    let count = field("voluntary_ctxt_switches:")?.parse().ok()?;
    is_asleep.then_some(count)
}
