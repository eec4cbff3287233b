//! Models of the engine poll: what is armed is watched by somebody who sleeps, whoever comes and goes.

use crate::iomgr::posix::events::Events;
use crate::iomgr::posix::fd_table::FdTable;
use crate::iomgr::posix::poll_list::PollList;
use crate::iomgr::posix::pollable::{Pollable, Source};
use crate::iomgr::posix::pollee::Pollee;
use crate::iomgr::posix::pollset::Pollset;
use crate::iomgr::posix::sys::EventFd;
use crate::iomgr::posix::watch::Interest;
use crate::sync::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use loom::thread;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::task::Waker;

/// An fd, and two pollsets with a list each that has it.
struct World {
    sleepers: Arc<AtomicUsize>,
    fd: EventFd,
    fds: FdTable,
    pollee: Arc<Pollee>,
    places: [(Arc<Pollset>, Arc<Pollable>); 2],
    is_over: AtomicBool,
}

impl World {
    fn new() -> Arc<Self> {
        let (sleepers, fd) = (Arc::new(AtomicUsize::new(0)), EventFd::new().unwrap());
        // As in `Role::new`.
        sleepers.store(0, SeqCst);
        let copy = fd.as_fd().try_clone_to_owned().unwrap();
        let fds = FdTable::default();
        let (key, cells) = fds.insert().unwrap();
        let pollee = Pollee::new(key, cells, Arc::new(copy));
        let places = [(); 2].map(|()| {
            let list: Box<dyn Source> = Box::new(PollList::new(&sleepers).unwrap());
            let pollable = Pollable::apart(list, None);
            pollee.join(&pollable).unwrap();
            (Pollset::new(), pollable)
        });
        Arc::new(Self { sleepers, fd, fds, pollee, places, is_over: AtomicBool::new(false) })
    }

    /// Arms the fd as its owner does.
    fn arm(&self) {
        assert!(self.pollee.arm(Interest::READ, Waker::noop()).is_pending());
        if self.sleepers.fetch_add(0, SeqCst) > 0 && self.pollee.lacks_watcher() {
            self.pollee.call_watcher();
        }
    }

    /// Polls once at one of the places. Who finds the event ends it for the other one.
    fn look(&self, place: usize) {
        let (pollset, pollable) = &self.places[place];
        let is_idle = || !self.is_over.load(SeqCst);
        let Some(seat) = pollset.enter(pollable, None, is_idle) else { return };
        seat.fall_asleep();
        let mut events = Events::of(&self.fds);
        seat.wait(None, &mut events).unwrap();
        drop(seat);
        let found = events.fire();
        if found {
            self.is_over.store(true, SeqCst);
            self.places[1 - place].0.kick();
        }
    }

    fn look_until_it_is_over(&self, place: usize) {
        while !self.is_over.load(SeqCst) {
            self.look(place);
        }
    }
}

#[test]
fn a_poller_that_sleeps_is_called_for_what_is_armed() {
    loom::model(|| {
        let world = World::new();
        let sleeper = thread::spawn({
            let world = world.clone();
            move || world.look_until_it_is_over(0)
        });
        world.fd.signal().unwrap();
        world.arm();
        sleeper.join().unwrap();
    });
}

#[test]
fn who_leaves_for_good_hands_on_what_it_watched() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let world = World::new();
        world.arm();
        let leaver = thread::spawn({
            let world = world.clone();
            // Once, and whether there was something or not.
            move || world.look(0)
        });
        let stayer = thread::spawn({
            let world = world.clone();
            move || world.look_until_it_is_over(1)
        });
        world.places[0].0.kick();
        leaver.join().unwrap();
        world.fd.signal().unwrap();
        stayer.join().unwrap();
    });
}

#[test]
fn an_fd_that_was_removed_is_its_owners_alone() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let world = World::new();
        world.arm();
        let poller = thread::spawn({
            let world = world.clone();
            move || world.look(0)
        });
        world.pollee.leave_all();
        assert!(!world.pollee.is_watched(), "a wait still holds on to the fd");
        world.places[0].0.kick();
        poller.join().unwrap();
    });
}
