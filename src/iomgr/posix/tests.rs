//! Tests of the I/O manager over the real engine: one for each fault known from the field.

mod apart;
mod connects;
mod fds;
mod pollers;
mod scripted;
mod streams;

use super::engine::Preferences;
use super::fd::Fd;
use super::manager::Iomgr;
use super::pollset::Pollset;
use super::pollset_set::PollsetSet;
use super::tcp_endpoint::TcpEndpoint;
use crate::iomgr::deadline::Deadline;
use crate::iomgr::endpoint::{Endpoint, PeerAddress};
use crate::iomgr::exec_ctx::{ExecCtx, Run};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::task::Wake;
use std::time::Duration;

/// Long enough that only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A manager that no other test uses.
pub(crate) fn iomgr() -> Arc<Iomgr> {
    let engine = Preferences::of_environment().engine();
    Iomgr::new(engine.expect("the engine of the environment works here"))
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
