//! Threads and the system: where they run, whether they sleep, what they have used.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, Pid, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;
use std::{fs, io};

/// The two cores that everything runs on.
#[derive(Clone, Copy)]
pub(crate) struct Cores([usize; 2]);

impl Cores {
    pub(crate) fn new(waiter: usize, other: usize) -> Self {
        Self([waiter, other])
    }

    /// Keeps this thread, which is the `index`th, on its core: they go round.
    pub(crate) fn pin(self, index: usize) -> io::Result<()> {
        let mut set = CpuSet::new();
        set.set(self.0[index % self.0.len()]);
        Ok(sched_setaffinity(None, &set)?)
    }
}

/// Whether a thread of this process sleeps.
pub(crate) fn is_asleep(thread: Pid) -> io::Result<bool> {
    let stat = fs::read_to_string(format!("/proc/self/task/{}/stat", thread.as_raw_nonzero()))?;
    // Behind the name, which is in parentheses and may have any in it.
    Ok(stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('S')))
}

/// The time of the wall.
pub(crate) fn time() -> Duration {
    now(ClockId::Monotonic)
}

/// The processor time of this thread, which is no longer for what else the machine does.
pub(crate) fn thread_time() -> Duration {
    now(ClockId::ThreadCPUTime)
}

/// The processor time of this process.
pub(crate) fn process_time() -> Duration {
    now(ClockId::ProcessCPUTime)
}

fn now(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Sees to it that so many fds can be open.
///
/// # Errors
/// The hard limit is lower.
pub(crate) fn allow_fds(count: u64) -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|maximum| maximum < count) {
        return Err(io::Error::other(format!(
            "needs {count} fds: raise the hard limit (ulimit -n)"
        )));
    }
    if limit.current.is_some_and(|current| current < count) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(count), ..limit })?;
    }
    Ok(())
}
