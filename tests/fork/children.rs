//! fork(2), which std does not have, for tests in a process of their own.

#![allow(unsafe_code, reason = "a child can be forked in no other way")]

use std::any::Any;
use std::env;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::ptr;

use crate::support::PATIENCE;
use crate::support::process::Process;

/// Which of the two processes this is.
pub(crate) enum Side {
    Parent(Child),
    Child(Report),
}

/// A child, in its parent.
pub(crate) struct Child {
    pid: libc::pid_t,
    report: UnixStream,
}

/// What a child tells its parent at its end.
pub(crate) struct Report(UnixStream);

/// Forks. Other threads may run, and the child has none of them.
pub(crate) fn fork() -> Side {
    let (ours, theirs) = UnixStream::pair().expect("sockets can be made");
    // SAFETY: the child goes on with this thread alone. What it calls is this crate, which is to be
    // tested there, and std and the allocator, which glibc keeps usable in such a child; it ends by
    // `_exit`, and does not come back to the test harness.
    match unsafe { libc::fork() } {
        -1 => panic!("{}", std::io::Error::last_os_error()),
        0 => Side::Child(Report(theirs)),
        pid => Side::Parent(Child { pid, report: ours }),
    }
}

/// Forks, does `work` in the child alone, and gives what that says, or has panicked with.
pub(crate) fn in_a_child(work: impl FnOnce() -> String) -> String {
    match fork() {
        Side::Parent(child) => child.report(),
        Side::Child(report) => report.tell(&panic_or(work)),
    }
}

/// What `work` says, or has panicked with.
pub(crate) fn panic_or(work: impl FnOnce() -> String) -> String {
    let text = |panic: Box<dyn Any + Send>| match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast_ref::<&str>().unwrap_or(&"something").to_string(),
    };
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| format!("panic: {}", text(panic)))
}

impl Child {
    /// Waits for its end, and gives what it has told.
    #[track_caller]
    pub(crate) fn report(mut self) -> String {
        let mut report = String::new();
        self.report.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        let read = self.report.read_to_string(&mut report);
        if read.is_err() {
            // SAFETY: no pointer; the child is not waited for yet, so that its id is its own.
            unsafe { libc::kill(self.pid, libc::SIGKILL) };
        }
        // SAFETY: a null pointer asks for no status.
        unsafe { libc::waitpid(self.pid, ptr::null_mut(), 0) };
        assert!(read.is_ok(), "the child hangs: {read:?}");
        report
    }
}

impl Report {
    /// Tells it, and ends the process at once.
    pub(crate) fn tell(mut self, text: &str) -> ! {
        let _ = self.0.write_all(text.as_bytes());
        // SAFETY: the call does not return, and runs nothing of this process.
        unsafe { libc::_exit(0) }
    }
}

/// Does `test`, which is the test of this name, in a process of its own.
#[track_caller]
pub(crate) fn in_a_process_of_its_own(name: &str, test: impl FnOnce()) {
    const MARK: &str = "TURNSTILE_TEST_IS_ALONE";
    if env::var_os(MARK).is_some() {
        return test();
    }
    let this = env::current_exe().expect("a test knows its own path");
    let mut command = Command::new(this);
    // A failure that is not in the child leaves threads behind, for which a scope waits for ever.
    command.args([name, "--exact", "--nocapture"]).env(MARK, "yes").stderr(Stdio::piped());
    let ended = Process::spawn(&mut command).join(PATIENCE * 2);
    assert!(ended.exit_code == Some(0) && ended.stdout.contains("1 passed"), "{ended:?}");
}
