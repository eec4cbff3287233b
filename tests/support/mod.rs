//! What the integration tests share: the peers they run, and the examples those peers talk to.

#![allow(dead_code, reason = "each test file uses a part of this")]

pub(crate) mod grpcurl;
pub(crate) mod lines;
pub(crate) mod peers;
pub(crate) mod process;
pub(crate) mod python;
pub(crate) mod server;
pub(crate) mod socket;

use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take that ought to be immediate. Generous, for a machine under load:
/// only a failure waits this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Asks again and again until the answer is yes, and says whether it came in time.
///
/// For states that nobody reports: the threads and descriptors in `/proc`, and the exit of a
/// child process, for which std has no wait with a deadline.
pub(crate) fn poll_until(within: Duration, mut question: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + within;
    loop {
        if question() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
}
