//! What every polling engine promises, and one test for each fault that such engines have had.
//!
//! Each function is a test on every engine (`on_every_engine!` in the module above): the engine's name
//! is in the test's path. Where only engines are meant that keep pollsets apart, the test says so with
//! [`waits_for_everything`] or [`assert_out_of_reach`].
//!
//! # Index
//!
//! `tests/architecture` checks that each test of this table exists. Paths are those of modules, below
//! this one or below the crate; a number is that of the issue of gRPC where the fault was seen.
//!
//! | fault | test |
//! |---|---|
//! | a worker sleeps where its pollset was, and the pollset has moved (14217) | `sets::a_thread_that_sleeps_in_a_pollset_that_moves_wakes_for_the_new_fd` |
//! | no poller is left after kicks (12413) | `pollers::threads_that_are_kicked_all_the_time_never_lose_the_poller` |
//! | a cancel does not reach who waits in the call's queue (21227) | `crate::server::tests::engines::a_cancel_reaches_the_thread_that_waits_in_the_calls_queue` |
//! | a handler that blocks on one queue stalls another's calls (14170, 27089) | `crate::server::tests::engines::a_handler_that_blocks_holds_up_no_call_of_another_queue` |
//! | a closure that blocks keeps everybody from polling (14170) | `pollers::polling_goes_on_in_the_same_pollset_while_a_closure_blocks`, `pollers::polling_goes_on_in_another_pollset_while_a_closure_blocks` |
//! | a cap on events delays the rest (23535) | `events::more_ready_fds_than_one_batch_takes_are_all_served` |
//! | a signal begins the whole timeout again (28037) | `waits::signals_do_not_move_the_deadline` |
//! | a wait of less than a millisecond is a busy loop, or ends early (16588) | `waits::a_wait_never_ends_before_its_deadline`, `waits::an_idle_wait_does_not_spin` |
//! | EPOLLEXCLUSIVE is ignored by the kernel | `crate::iomgr::posix::sys::epoll::tests::a_kernel_that_ignores_exclusive_wakeups_is_told_from_one_that_knows_them`, `crate::iomgr::posix::sys::epoll::tests::the_kernel_of_the_tests_knows_exclusive_wakeups` |
//! | EPOLLEXCLUSIVE does not go with EPOLL_CTL_MOD and epoll sets | `crate::iomgr::posix::sys::epoll::tests::what_is_exclusive_is_neither_modified_nor_an_epoll_set` |
//! | one event wakes a herd (6110) | `herds::one_event_wakes_one_of_eight_threads_at_one_fd`, `herds::one_event_wakes_one_of_eight_threads_with_sets_of_their_own` |
//! | one connect wakes a herd at the listener (6110) | `herds::one_connect_wakes_one_of_eight_threads` |
//! | an event stays with a thread that has gone back to its application | `events::an_event_is_found_by_who_waits_when_another_thread_has_gone` |
//! | an fd's number is used again while an old event is under way | `events::a_late_event_of_an_old_fd_does_not_reach_the_next_owner_of_its_number`, `events::numbers_that_are_used_again_and_again_bring_no_event_of_their_past` |
//! | a shutdown with operations pending | `shutdowns::what_is_armed_outlives_the_pollset_that_waited_for_it`, `fds::a_shutdown_fires_every_direction_once_and_fails_later_armings` |
//! | a shutdown with workers inside | `shutdowns::a_pollset_that_is_shut_down_is_left_by_all_and_says_so_once` |
//! | a shutdown from inside a closure | `shutdowns::a_closure_shuts_down_the_pollset_that_runs_it` |
//! | two threads shut down at once | `shutdowns::two_threads_shut_down_at_once_and_one_is_told` |
//! | a queue is destroyed while a call of it lives | `crate::server::tests::engines::a_queue_is_destroyed_while_its_call_lives` |
//! | many threads at one queue | `crate::cq::tests::events::threads_of_one_queue_get_each_event_once_and_none_goes_home_early` |
//! | one thread serves many queues | `crate::cq::tests::events::one_thread_serves_many_queues_on_one_engine` |
//! | a kick with no worker is lost | `kicks::a_kick_without_a_worker_is_kept_for_the_next_and_only_for_it` |
//! | a kick from the own thread is lost | `kicks::a_kick_from_the_own_thread_ends_its_next_work` |
//! | nested contexts run closures too early, or never | `closures::a_closure_runs_when_the_outermost_context_ends` |
//! | the process has no fd left, and the listener is lost or spins | `descriptors::a_listener_without_descriptors_rests_and_accepts_again` |
//! | fork in a process with threads is neither refused nor safe | `tests/fork.rs::a_forked_child_is_told_that_it_cannot_use_its_parents_engine` |

mod closures;
mod connects;
mod descriptors;
mod endpoints;
mod ends;
mod errors;
mod events;
mod fds;
mod herds;
mod kicks;
mod listeners;
mod pollers;
mod sets;
mod shutdowns;
mod timers;
mod waits;

use super::{
    Counts, PATIENCE, Preferences, Says, Sleepers, iomgr_on, pollset, this_thread, watch,
    work_until,
};
use crate::iomgr::deadline::Deadline;
use crate::iomgr::exec_ctx::ExecCtx;
use crate::iomgr::posix::fd::Fd;
use crate::iomgr::posix::manager::Iomgr;
use crate::iomgr::posix::pollset::Pollset;
use crate::testing::CountingWaker;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

/// A socket that nobody waits for, and its peer.
fn socket(iomgr: &Arc<Iomgr>) -> (Fd, UnixStream) {
    let (ours, peer) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (Fd::new(iomgr, ours.into()).unwrap(), peer)
}

/// One that the pollsets of tests wait for.
fn watched(iomgr: &Arc<Iomgr>) -> (Fd, UnixStream) {
    let (fd, peer) = socket(iomgr);
    watch(iomgr, &fd);
    (fd, peer)
}

/// Takes from the engine what is there, and runs it.
fn look(iomgr: &Iomgr, pollset: &Arc<Pollset>) {
    let context = ExecCtx::enter();
    iomgr.work(pollset, Deadline::NOW, || true);
    context.flush();
}

/// Whether one look from `pollset` finds that `fd` can be read, now that `peer` has written.
fn reaches(iomgr: &Iomgr, pollset: &Arc<Pollset>, fd: &Fd, peer: &mut UnixStream) -> bool {
    let waker = CountingWaker::new();
    // What was scheduled for whoever polls next, and what was remembered, is used up.
    look(iomgr, &Pollset::new());
    while fd.notify_on_read(&waker.waker()).is_ready() {}
    peer.write_all(b"x").unwrap();
    look(iomgr, pollset);
    waker.count() > 0
}

/// `pollset` does not wait for `fd`, if its engine keeps pollsets apart; else it does, as for all.
#[track_caller]
fn assert_out_of_reach(iomgr: &Iomgr, pollset: &Arc<Pollset>, fd: &Fd, peer: &mut UnixStream) {
    assert_eq!(reaches(iomgr, pollset, fd, peer), waits_for_everything(iomgr));
}

/// Whether every thread waits for every fd, so that there is nothing to see for a test of pollsets that
/// are kept apart.
fn waits_for_everything(iomgr: &Iomgr) -> bool {
    !iomgr.keeps_pollsets_apart()
}

#[test]
fn every_engine_is_tested() {
    let tested = on_every_engine!(@engines @names).join(", ");
    let error = Preferences::of_program("no such engine").engine().err().expect("unknown");
    let known = format!("known are {tested} and all");
    assert!(error.to_string().ends_with(&known), "{error}");
}
