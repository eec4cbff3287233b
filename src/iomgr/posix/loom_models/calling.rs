//! A model of several who sleep, of which one is called by name: what it is called for is looked at, also if
//! it leaves.

use super::pollable;
use crate::iomgr::deadline::Deadline;
use crate::iomgr::exec_ctx::{ExecCtx, Run};
use crate::iomgr::posix::engine::PollingEngine;
use crate::iomgr::posix::manager::Iomgr;
use crate::iomgr::posix::pollable::Pollable;
use crate::iomgr::posix::pollset::Pollset;
use crate::sync::{AtomicBool, Ordering::SeqCst};
use loom::thread;
use std::sync::Arc;

/// An engine with two pollables, one of them home to all.
struct Two([Arc<Pollable>; 2]);

impl PollingEngine for Two {
    fn name(&self) -> &'static str {
        "two sleepers"
    }

    fn home(&self) -> &Arc<Pollable> {
        &self.0[0]
    }

    fn keeps_pollsets_apart(&self) -> bool {
        true
    }

    fn wake_any(&self) {
        let _ = self.0.iter().any(|it| it.call());
    }
}

/// A manager, and a pollset at each of its pollables: who is in the first one leaves, and the other one stays.
fn two() -> (Arc<Iomgr>, Arc<Pollset>, Arc<Pollset>) {
    let pollables = [pollable(), pollable()];
    let (leaves, stays) = (Pollset::new(), Pollset::new());
    stays.move_to(stays.lock(), Some(pollables[1].clone()));
    (Iomgr::new(Box::new(Two(pollables))), leaves, stays)
}

/// A closure that ends the wait of who stays.
struct Ends {
    has_run: AtomicBool,
    stays: Arc<Pollset>,
}

impl Run for Ends {
    fn run(self: Arc<Self>) {
        self.has_run.swap(true, SeqCst);
        self.stays.kick();
    }
}

#[test]
fn a_closure_from_outside_is_run_by_who_stays_if_not_by_who_leaves() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let (iomgr, leaves, stays) = two();
        let ends = Arc::new(Ends { has_run: AtomicBool::new(false), stays: stays.clone() });
        let leaver = thread::spawn({
            let iomgr = iomgr.clone();
            move || {
                let _context = ExecCtx::enter();
                iomgr.work(&leaves, Deadline::NOW, || true);
            }
        });
        let stayer = thread::spawn({
            let (iomgr, ends) = (iomgr.clone(), ends.clone());
            move || {
                let context = ExecCtx::enter();
                let is_idle = || !ends.has_run.fetch_or(false, SeqCst);
                while is_idle() {
                    iomgr.work(&stays, Deadline::NONE, is_idle);
                    context.flush();
                }
            }
        });
        iomgr.put_off(ends.clone());
        leaver.join().unwrap();
        stayer.join().unwrap();
    });
}

/// Does nothing.
struct Nothing;

impl Run for Nothing {
    fn run(self: Arc<Self>) {}
}

/// The first call may find that whoever it is for has just gone.
#[test]
fn a_call_in_vain_keeps_nobody_from_being_called() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let (iomgr, leaves, stays) = two();
        let put_off = |closure: Arc<dyn Run>| {
            let iomgr = iomgr.clone();
            thread::spawn(move || iomgr.put_off(closure))
        };
        let context = ExecCtx::enter();
        let first = put_off(Arc::new(Nothing));
        iomgr.work(&leaves, Deadline::NOW, || true);
        context.flush();
        first.join().unwrap();
        let ends = Arc::new(Ends { has_run: AtomicBool::new(false), stays: stays.clone() });
        let second = put_off(ends.clone());
        let is_idle = || !ends.has_run.fetch_or(false, SeqCst);
        while is_idle() {
            iomgr.work(&stays, Deadline::NONE, is_idle);
            context.flush();
        }
        second.join().unwrap();
    });
}
