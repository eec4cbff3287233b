//! What a process has used, as the kernel accounts for it under `/proc`.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// What a process has used up to a moment, or between two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Time on a processor, to the nanosecond where the kernel tells (`schedstat`).
    pub(crate) cpu: Duration,
    /// The part of it in user mode, by the tick.
    pub(crate) user: Duration,
    /// The part of it in the kernel, by the tick.
    pub(crate) system: Duration,
    /// How often it gave up the processor or lost it.
    pub(crate) switches: u64,
    /// The most memory it has had at a time, in KiB.
    pub(crate) peak: u64,
}

impl Usage {
    /// What the process has used so far.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let (user, system) = ticks(pid).with_context(|| format!("process {pid} has ended"))?;
        let mut usage = Self { user, system, ..Self::default() };
        usage.peak = field(&read(&format!("/proc/{pid}/status"))?, "VmHWM:").unwrap_or_default();
        let mut nanoseconds = 0;
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let task = task?.path();
            // A thread may end while the list is read.
            let text = |file| fs::read_to_string(task.join(file)).unwrap_or_default();
            nanoseconds += first_number(&text("schedstat"));
            usage.switches += switches(&text("status"));
        }
        usage.cpu = match nanoseconds {
            0 => user + system,
            _ => Duration::from_nanos(nanoseconds),
        };
        Ok(usage)
    }

    /// What was used since an earlier moment; the peak is that of the whole time.
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(before.cpu),
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
            switches: self.switches.saturating_sub(before.switches),
            peak: self.peak,
        }
    }
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("{path} cannot be read"))
}

fn ticks(pid: u32) -> Result<(Duration, Duration)> {
    let stat = read(&format!("/proc/{pid}/stat"))?;
    let (user, system) = stat_times(&stat).context("/proc/PID/stat is not as expected")?;
    let nanoseconds = 1_000_000_000 / rustix::param::clock_ticks_per_second();
    let duration = |ticks: u64| Duration::from_nanos(ticks * nanoseconds);
    Ok((duration(user), duration(system)))
}

/// `utime` and `stime`, the 14th and 15th field; the 2nd is the program's name in parentheses and
/// may itself contain spaces and parentheses.
fn stat_times(stat: &str) -> Option<(u64, u64)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn switches(status: &str) -> u64 {
    ["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"]
        .into_iter()
        .filter_map(|name| field(status, name))
        .sum()
}

/// The number in the line of a `status` file that begins with `name`.
fn field(status: &str, name: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(first_number)
}

fn first_number(text: &str) -> u64 {
    text.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Usage, field, stat_times, switches};

    #[test]
    fn reads_stat_past_a_strange_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 12 34 0 0 20 0 1 0 5 6 7";
        assert_eq!(stat_times(stat), Some((12, 34)));
        assert_eq!(stat_times("7 (a) S 1"), None);
    }

    #[test]
    fn reads_status() {
        let status = "VmHWM:\t    2048 kB\nvoluntary_ctxt_switches:\t3\n\
                      nonvoluntary_ctxt_switches:\t4\n";
        assert_eq!(field(status, "VmHWM:"), Some(2048));
        assert_eq!(switches(status), 7);
    }

    #[test]
    fn this_process_uses_something() {
        let before = Usage::of(std::process::id()).unwrap();
        let mut sum = 0u64;
        for n in 0..50_000_000u64 {
            sum = std::hint::black_box(sum ^ n);
        }
        let used = Usage::of(std::process::id()).unwrap().since(&before);
        assert!(!used.cpu.is_zero());
        assert!(used.peak > 0);
    }
}
