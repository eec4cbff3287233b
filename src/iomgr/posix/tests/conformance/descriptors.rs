//! The last fds of the process. Each test runs in a process of its own, as the limit is the process's.

use super::listeners::{any_port, listen_in};
use super::{look, pollset, work_until};
use crate::iomgr::deadline::Deadline;
use crate::iomgr::exec_ctx::ExecCtx;
use crate::iomgr::posix::address::ListenAddress;
use crate::iomgr::posix::manager::Iomgr;
use crate::iomgr::posix::pollset_set::PollsetSet;
use crate::iomgr::posix::sys::for_tests::limit_descriptors;
use std::env;
use std::fs::File;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

on_every_engine! {
    a_listener_without_descriptors_rests_and_accepts_again,
    an_fd_that_no_engine_can_take_is_an_error_and_no_harm,
}

/// Says to a test that it is alone in its process.
const ALONE: &str = "TURNSTILE_TEST_IS_ALONE";

/// Does `body`, a part of the test of this name here, in a process in which nothing else happens.
fn alone(iomgr: &Iomgr, test: &str, body: impl FnOnce()) {
    if env::var_os(ALONE).is_some() {
        return body();
    }
    let (_, module) = module_path!().split_once("::").expect("a crate and a path");
    let name = format!("{module}::{}::{test}", iomgr.engine_name());
    let this = env::current_exe().expect("this process's program");
    let output = Command::new(this).args([&name, "--exact"]).env(ALONE, "1").output();
    let output = output.expect("a test can be started");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// Lets the process open no fd more until this is dropped.
struct Exhausted {
    before: u64,
}

impl Exhausted {
    fn new() -> Self {
        // The next fd would have this number.
        let next = File::open("/dev/null").unwrap().as_raw_fd();
        let before = limit_descriptors(next.try_into().expect("not negative")).unwrap();
        File::open("/dev/null").expect_err("there is none left");
        Self { before }
    }
}

impl Drop for Exhausted {
    fn drop(&mut self) {
        let _ = limit_descriptors(self.before);
    }
}

fn a_listener_without_descriptors_rests_and_accepts_again(iomgr: &Arc<Iomgr>) {
    alone(iomgr, "a_listener_without_descriptors_rests_and_accepts_again", || {
        let (set, pollset) = (Arc::new(PollsetSet::everybody(iomgr)), pollset(iomgr));
        let (listener, accepted) = listen_in(iomgr, &set, &any_port()).unwrap();
        let ListenAddress::Tcp(address) = *listener.address() else { panic!("it is TCP") };
        listener.start();
        let connect = || TcpStream::connect(address).expect("the kernel's queue has room");
        let first = connect();
        work_until(iomgr, &pollset, || accepted.try_recv().is_ok());

        let clients = [connect(), connect(), connect()];
        let exhausted = Exhausted::new();
        let (before, rests) = (iomgr.waits(), Deadline::after(Duration::from_millis(250)));
        let context = ExecCtx::enter();
        while !rests.has_passed() {
            iomgr.work(&pollset, rests, || true);
            context.flush();
        }
        let waits = iomgr.waits() - before;
        // It tries again some times a second.
        assert!(waits <= 12, "it looked {waits} times");
        assert!(accepted.try_recv().is_err());

        drop(exhausted);
        let mut count = 0;
        work_until(iomgr, &pollset, || {
            count += accepted.try_iter().count();
            count == clients.len()
        });
        let late = connect();
        work_until(iomgr, &pollset, || accepted.try_recv().is_ok());
        drop((first, clients, late));
    });
}

fn an_fd_that_no_engine_can_take_is_an_error_and_no_harm(iomgr: &Arc<Iomgr>) {
    alone(iomgr, "an_fd_that_no_engine_can_take_is_an_error_and_no_harm", || {
        let (set, pollset) = (PollsetSet::new(iomgr), super::Pollset::new());
        let ((fd, mut peer), (other, mut other_peer)) =
            (super::socket(iomgr), super::socket(iomgr));
        set.add_pollset(&pollset).unwrap();
        let exhausted = Exhausted::new();
        // Engines that keep pollsets apart need an fd for each, the others do not.
        for fd in [&fd, &other] {
            let added = set.add_fd(fd.pollee());
            assert_eq!(added.is_err(), iomgr.keeps_pollsets_apart());
        }
        look(iomgr, &pollset);
        drop(exhausted);
        for fd in [&fd, &other] {
            set.add_fd(fd.pollee()).unwrap();
        }
        for (fd, peer) in [(&fd, &mut peer), (&other, &mut other_peer)] {
            assert!(super::reaches(iomgr, &pollset, fd, peer));
        }
    });
}
