//! Tests of the I/O manager over real engines.

/// Makes each of these functions, which take an [`Iomgr`] that is theirs alone, a test on every engine
/// with its name in the path: `fds::poll::a_read_fires_once_for_each_arming`.
///
/// A function that is on no list is never used, which the compiler tells. This is the one place that
/// names the engines; a test of [`conformance`] compares it with what there is.
macro_rules! on_every_engine {
    (@engines $($then:tt)*) => { $crate::iomgr::on_every_engine! { $($then)* epollex epoll1 poll } };
    (@names $($engine:ident)+) => { [$(stringify!($engine)),+] };
    (@each $tests:tt $($engine:ident)+) => {
        $($crate::iomgr::on_every_engine! { @on $engine $tests })+
    };
    (@on $engine:ident [$($test:ident)+]) => {
        mod $engine {
            $(
                #[test]
                fn $test() {
                    super::$test(&$crate::iomgr::iomgr_on(stringify!($engine)));
                }
            )+
        }
    };
    ($($test:ident),+ $(,)?) => {
        $crate::iomgr::on_every_engine! { @engines @each [$($test)+] }
    };
}
pub(crate) use on_every_engine;

mod conformance;
mod scripted;
mod sharing;
mod stress;

use super::engine::Preferences;
use super::fd::Fd;
use super::manager::Iomgr;
use super::pollset::Pollset;
use super::pollset_set::PollsetSet;
use super::tcp_endpoint::TcpEndpoint;
use crate::iomgr::deadline::Deadline;
use crate::iomgr::endpoint::{Endpoint, PeerAddress};
use crate::iomgr::exec_ctx::{ExecCtx, Run};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::task::Wake;
use std::time::Duration;
use std::{fs, thread};

/// Long enough that only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A manager that no other test uses.
pub(crate) fn iomgr() -> Arc<Iomgr> {
    let engine = Preferences::of_environment().engine();
    Iomgr::new(engine.expect("the engine of the environment works here"))
}

/// The same over the engine of this name.
pub(crate) fn iomgr_on(engine: &str) -> Arc<Iomgr> {
    Iomgr::new(Preferences::of_program(engine).engine().expect("the engine works here"))
}

/// An endpoint over a non-blocking socket of any kind. One that keeps the bounds of writes, as a datagram socket
/// does, shows its peer each `sendmsg`.
pub(crate) fn endpoint(iomgr: &Arc<Iomgr>, socket: OwnedFd) -> Box<dyn Endpoint> {
    let endpoint = TcpEndpoint::new(iomgr, socket, PeerAddress::InProcess);
    let endpoint = endpoint.expect("the engine takes a socket");
    watch(iomgr, endpoint.fd());
    Box::new(endpoint)
}

/// A pollset whose threads wait for all that is watched in tests.
pub(crate) fn pollset(iomgr: &Arc<Iomgr>) -> Arc<Pollset> {
    let pollset = Pollset::new();
    PollsetSet::everybody(iomgr).add_pollset(&pollset).expect("the engine takes a pollset");
    pollset
}

/// Lets the pollsets of tests wait for an fd.
fn watch(iomgr: &Arc<Iomgr>, fd: &Fd) {
    PollsetSet::everybody(iomgr).add_fd(fd.pollee()).expect("the engine takes an fd");
}

/// A closure that says that it ran.
struct Says(Sender<()>);

impl Run for Says {
    fn run(self: Arc<Self>) {
        let _ = self.0.send(());
    }
}

/// Schedules itself when it is woken, as a transport does, and counts its runs.
struct Counts {
    iomgr: Arc<Iomgr>,
    runs: AtomicUsize,
    ran: Sender<()>,
}

impl Counts {
    /// One that says each time that it ran.
    fn new(iomgr: &Arc<Iomgr>) -> (Arc<Self>, Receiver<()>) {
        let (ran, runs) = mpsc::channel();
        (Arc::new(Self { iomgr: iomgr.clone(), runs: AtomicUsize::new(0), ran }), runs)
    }

    fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }
}

impl Wake for Counts {
    fn wake(self: Arc<Self>) {
        self.iomgr.clone().submit(self);
    }
}

impl Run for Counts {
    fn run(self: Arc<Self>) {
        self.runs.fetch_add(1, Ordering::SeqCst);
        self.ran.send(()).unwrap();
    }
}

/// Works `pollset` until `is_done`; a hang fails the test.
fn work_until(iomgr: &Iomgr, pollset: &Arc<Pollset>, mut is_done: impl FnMut() -> bool) {
    let (context, deadline) = (ExecCtx::enter(), Deadline::after(PATIENCE));
    while !is_done() {
        assert!(!deadline.has_passed(), "nothing happened");
        iomgr.work(pollset, deadline, || true);
        context.flush();
    }
}

/// The threads of a test, by the numbers that the system knows them by.
#[derive(Default)]
pub(crate) struct Sleepers(Mutex<Vec<u32>>);

impl Sleepers {
    /// The calling thread is going to sleep.
    pub(crate) fn add_this_thread(&self) {
        self.0.lock().unwrap().push(this_thread());
    }

    /// The calling thread has come back, and may sleep elsewhere.
    pub(crate) fn remove_this_thread(&self) {
        let this_thread = this_thread();
        self.0.lock().unwrap().retain(|it| *it != this_thread);
    }

    /// Waits until `count` threads have come and all of them sleep, as pollers or behind one. Who is
    /// added sleeps nowhere else.
    pub(crate) fn wait_for(&self, iomgr: &Iomgr, count: usize) {
        let patience = Deadline::after(PATIENCE);
        let mut in_a_row = 0;
        // Twice, since the threads are looked at one after the other.
        while in_a_row < 2 {
            assert!(!patience.has_passed(), "they do not fall asleep");
            thread::yield_now();
            let threads = self.0.lock().unwrap();
            let all_sleep = threads.len() == count && threads.iter().all(|it| sleeps(*it));
            in_a_row = if all_sleep && iomgr.sleepers() > 0 { in_a_row + 1 } else { 0 };
        }
    }
}

/// The number of the calling thread.
fn this_thread() -> u32 {
    let link = fs::read_link("/proc/thread-self").expect("Linux has it");
    let number = link.file_name().and_then(OsStr::to_str).and_then(|it| it.parse().ok());
    number.expect("it ends in the thread's number")
}

/// Whether a thread of this process waits in the kernel.
fn sleeps(thread: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/self/task/{thread}/stat")).unwrap_or_default();
    // The state comes after the name, which is in parentheses and may have any character.
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('S'))
}
