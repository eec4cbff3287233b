//! What must be true when the threads come to rest.
//!
//! First nobody arms, adds or removes anything but as told here, so that all threads know the same of
//! what is armed and of who waits for it. They work for what is due. Then it is night: half of them sleep
//! in a few pollsets, which all others leave to them, and the other half wake them in many ways, and work
//! nowhere. A lost poller, kick or event stays lost there, since no other thread helps out.

use super::actions::Actor;
use super::socket::{Direction, Socket};
use super::ticket::Ticket;
use super::{FDS, PATIENCE, POLLSETS, THREADS};
use crate::iomgr::deadline::Deadline;
use crate::iomgr::exec_ctx::{ExecCtx, Run};
use crate::iomgr::posix::pollset::Pollset;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Instant;

/// How many pollsets are slept in.
const BEDS: usize = 4;

/// How many times each thread that is awake wakes a sleeper in one night.
const ALARMS: usize = 25;

/// How many threads are awake then.
const AWAKE: usize = THREADS / 2;

impl Actor<'_> {
    /// Comes to rest, and is back when all is checked.
    pub(super) fn rest(&mut self, meeting: &Barrier) {
        self.wait_for(meeting);
        if self.index == 0 {
            self.note("think");
            self.make_beds();
            self.world.think();
        }
        self.wait_for(meeting);
        self.see_to_what_is_due();
        let bed = (self.index >= AWAKE).then(|| self.choose_bed());
        *self.world.beds[self.index].lock().unwrap() = bed;
        self.wait_for(meeting);
        match bed {
            Some(slot) => self.sleep(slot),
            None => self.wake_sleepers(),
        }
        self.wait_for(meeting);
    }

    /// Works for this thread's share of what is armed and ready, each in one of the places where it is
    /// waited for, and for what this thread has armed otherwise.
    fn see_to_what_is_due(&mut self) {
        self.note("work for an event");
        for slot in (self.index..FDS).step_by(THREADS) {
            let fd = self.world.fds[slot].lock().unwrap().clone();
            // What the actions have left.
            self.work_for(&fd);
            // One more event, while the other threads work.
            if self.once_in(2) {
                self.ring(&fd);
                self.work_for(&fd);
            }
        }
        self.note("work for a timer or what was called");
        for ticket in self.take_due() {
            let it = self.pollset();
            self.work_until_run(&ticket, &it.pollset);
        }
    }

    /// Works for an fd's events in places where it is waited for, if there are any.
    fn work_for(&mut self, fd: &Socket) {
        let reach = self.world.reach();
        let places = reach.of(fd.id);
        for direction in [Direction::Read, Direction::Write] {
            if let Some(ticket) = fd.due(direction).filter(|_| !places.is_empty()) {
                let place = &places[self.below(places.len())];
                self.work_until_run(&ticket, &place.pollset);
                self.awaited += 1;
            }
        }
    }

    /// Works in a pollset until a closure has run, whoever runs it.
    fn work_until_run(&self, ticket: &Ticket, pollset: &Arc<Pollset>) {
        self.world.work_until(pollset, || ticket.has_run(), ticket.kind());
    }

    /// Arms a read, for which there is an event then.
    fn ring(&mut self, fd: &Socket) {
        let due = fd.arm(Direction::Read, false, &self.world.office);
        self.due.extend(due);
        fd.peer_writes();
    }

    /// Chooses the pollsets of one night. Some of them are new.
    fn make_beds(&mut self) {
        let first = self.below(POLLSETS - BEDS);
        for slot in first..first + BEDS {
            if self.once_in(2) {
                self.shut_pollset_down(slot);
            }
        }
        self.world.first_bed.store(first, SeqCst);
        self.world.awake.store(AWAKE, SeqCst);
    }

    fn choose_bed(&mut self) -> usize {
        self.world.first_bed.load(SeqCst) + self.below(BEDS)
    }

    /// Sleeps, runs what comes, and sleeps again until nobody is awake any more.
    fn sleep(&self, bed: usize) {
        self.note("sleep");
        let it = self.world.pollset(bed);
        let is_night = || self.world.awake.load(SeqCst) > 0;
        let context = ExecCtx::enter();
        while is_night() {
            let deadline = Deadline::after(PATIENCE);
            self.world.iomgr().work(&it.pollset, deadline, is_night);
            context.flush();
            assert!(!deadline.has_passed(), "a sleeper was not kicked");
        }
    }

    /// Does things of which each must wake a sleeper, and waits until one has dealt with it. The last
    /// thread that is awake ends the night.
    fn wake_sleepers(&mut self) {
        for _ in 0..ALARMS {
            match self.below(12) {
                0 => self.submit(),
                1 => self.set_timer(),
                2 => self.world.pollset(self.a_sleepers_bed()).pollset.kick(),
                3 => self.world.pollset(self.a_sleepers_bed()).pollset.kick_all(),
                // One at a time, as others must be left.
                4 if self.index == 0 => self.keep_one_busy(),
                _ => self.wake_by_an_event(),
            }
            self.note("wait for a sleeper to run something");
            self.take_due().iter().for_each(|ticket| wait_until_run(ticket));
        }
        if self.world.awake.fetch_sub(1, SeqCst) > 1 {
            return;
        }
        // As many kicks as sleepers, or their pollset goes.
        for slot in self.world.beds.each_ref().map(|bed| *bed.lock().unwrap()).into_iter().flatten()
        {
            match self.once_in(4) {
                true => self.shut_pollset_down(slot),
                false => self.world.pollset(slot).pollset.kick(),
            }
        }
    }

    /// While a sleeper is in a closure for long, another one runs what comes.
    fn keep_one_busy(&mut self) {
        let busy = Arc::new(Busy::default());
        self.world.iomgr().submit(busy.clone());
        wait_until(|| busy.is_running.load(SeqCst), "a long closure");
        self.submit();
        self.take_due().iter().for_each(|ticket| wait_until_run(ticket));
        busy.may_end.store(true, SeqCst);
    }

    fn a_sleepers_bed(&mut self) -> usize {
        let sleeper = AWAKE + self.below(THREADS - AWAKE);
        self.world.beds[sleeper].lock().unwrap().expect("it sleeps")
    }

    /// An fd of this thread's share, which comes to where somebody sleeps if it is not there.
    fn wake_by_an_event(&mut self) {
        self.note("bring an event to a sleeper");
        let slot = self.below(FDS / THREADS) * THREADS + self.index;
        let fd = self.world.fds[slot].lock().unwrap().clone();
        let bed = self.a_sleepers_bed();
        if self.once_in(2) {
            self.ring(&fd);
            self.add_fd_to(bed, &fd);
        } else {
            self.add_fd_to(bed, &fd);
            self.ring(&fd);
        }
        // None if it was shut down, or has no room for more.
        if let Some(ticket) = fd.due(Direction::Read) {
            self.due.push(ticket);
            self.awaited += 1;
        }
    }
}

/// A closure that takes its time.
#[derive(Default)]
struct Busy {
    is_running: AtomicBool,
    may_end: AtomicBool,
}

impl Run for Busy {
    fn run(self: Arc<Self>) {
        self.is_running.store(true, SeqCst);
        wait_until(|| self.may_end.load(SeqCst), "the end of a long closure");
    }
}

/// Waits until another thread has run it.
fn wait_until_run(ticket: &Ticket) {
    wait_until(|| ticket.has_run(), ticket.kind());
}

fn wait_until(is_done: impl Fn() -> bool, what: &str) {
    let start = Instant::now();
    while !is_done() {
        assert!(start.elapsed() < PATIENCE, "no sleeper has dealt with this: {what}");
        thread::yield_now();
    }
}
