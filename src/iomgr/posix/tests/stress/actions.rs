//! What a thread does at random.

use super::socket::{Direction, Socket};
use super::ticket::Ticket;
use super::world::{Edge, NamedPollset, NamedSet, World};
use super::{FDS, POLLSETS, SETS, THREADS};
use crate::iomgr::deadline::Deadline;
use crate::iomgr::exec_ctx::ExecCtx;
use crate::iomgr::timers::TimerId;
use proptest::prelude::RngExt;
use proptest::test_runner::TestRng;
use std::mem;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

/// One thread of the stress.
pub(super) struct Actor<'a> {
    pub(super) world: &'a World,
    pub(super) index: usize,
    random: TestRng,
    /// Tickets that must have run when the next rest ends.
    pub(super) due: Vec<Arc<Ticket>>,
    timers: Vec<(TimerId, Arc<Ticket>)>,
    actions: u64,
    /// How many events the test knew of, and has waited for.
    pub(super) awaited: u64,
}

/// An action with its name, and its share in a thousand or so.
type Action = (usize, &'static str, fn(&mut Actor<'_>));

const ACTIONS: &[Action] = &[
    (150, "work", |it| it.work()),
    (30, "work in a context that is open", |it| it.work_nested()),
    (150, "arm a read", |it| it.arm(Direction::Read)),
    (80, "arm a write", |it| it.arm(Direction::Write)),
    (40, "arm an error", |it| it.arm(Direction::Error)),
    (150, "write to an fd", |it| it.fd().peer_writes()),
    (50, "read from an fd", |it| it.fd().peer_reads()),
    (5, "end an fd's input", |it| it.fd().peer_ends()),
    (60, "add an fd to a pollset", |it| it.add_fd()),
    (40, "add an fd to a set", |it| it.add_fd_to_set()),
    (40, "add a pollset to a set", |it| it.add_pollset_to_set()),
    (15, "remove a pollset from a set", |it| it.remove_pollset_from_set()),
    (4, "add a set to a set", |it| it.add_set_to_set()),
    (4, "remove a set from a set", |it| it.remove_set_from_set()),
    (4, "drop a set", |it| it.renew_set()),
    (50, "kick", |it| it.pollset().pollset.kick()),
    (10, "kick all", |it| it.pollset().pollset.kick_all()),
    (40, "set a timer", |it| it.set_timer()),
    (20, "cancel a timer", |it| it.cancel_timer()),
    (30, "submit from outside", |it| it.submit()),
    (10, "put off from a context", |it| it.put_off()),
    (5, "shut an fd down", |it| it.shut_fd_down()),
    (15, "drop or orphan an fd", |it| it.renew_fd()),
    (15, "shut a pollset down, or drop it", |it| it.renew_pollset()),
];

impl<'a> Actor<'a> {
    pub(super) fn new(world: &'a World, index: usize, random: TestRng) -> Self {
        Self { world, index, random, due: Vec::new(), timers: Vec::new(), actions: 0, awaited: 0 }
    }

    /// Does one thing.
    pub(super) fn act(&mut self) {
        let all: usize = ACTIONS.iter().map(|(share, ..)| share).sum();
        let mut left = self.below(all);
        for (share, name, action) in ACTIONS {
            if left < *share {
                self.note(name);
                action(self);
                break;
            }
            left -= share;
        }
        self.actions += 1;
    }

    /// Says what this thread is about to do.
    pub(super) fn note(&self, what: &'static str) {
        *self.world.doing[self.index].lock().unwrap() = what;
    }

    pub(super) fn wait_for(&self, meeting: &Barrier) {
        self.note("wait for the others");
        meeting.wait();
    }

    /// How many actions there were, and how many events were waited for.
    pub(super) fn finish(self) -> [u64; 2] {
        [self.actions, self.awaited]
    }

    /// All tickets that must have run before long.
    pub(super) fn take_due(&mut self) -> Vec<Arc<Ticket>> {
        let timers = self.timers.drain(..).map(|(_, ticket)| ticket);
        self.due.drain(..).chain(timers).collect()
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.random.random_range(0..limit)
    }

    pub(super) fn once_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn fd(&mut self) -> Arc<Socket> {
        self.world.fds[self.below(FDS)].lock().unwrap().clone()
    }

    pub(super) fn pollset(&mut self) -> Arc<NamedPollset> {
        self.world.pollset(self.below(POLLSETS))
    }

    /// Two slots of which one thing can be added to the other. Each such pair is the business of one
    /// thread.
    fn pair(&mut self, of: usize, and_of: usize) -> (usize, usize) {
        loop {
            let (one, two) = (self.below(of), self.below(and_of));
            if (one + two) % THREADS == self.index {
                return (one, two);
            }
        }
    }

    fn believe(&self, edge: Edge) {
        self.world.beliefs[self.index].lock().unwrap().insert(edge);
    }

    fn disbelieve(&self, edge: Edge) {
        self.world.beliefs[self.index].lock().unwrap().remove(&edge);
    }

    fn soon(&mut self) -> Duration {
        Duration::from_micros(self.below(2000) as u64)
    }

    fn work(&mut self) {
        let pollset = self.pollset();
        let deadline = match self.below(3) {
            0 => Deadline::after(self.soon()),
            _ => Deadline::NOW,
        };
        self.world.work(&pollset.pollset, deadline);
    }

    fn work_nested(&mut self) {
        let _outer = ExecCtx::enter();
        self.work();
    }

    fn arm(&mut self, direction: Direction) {
        let fills = self.once_in(4);
        let fd = self.fd();
        let due = fd.arm(direction, fills, &self.world.office);
        self.due.extend(due);
    }

    fn add_fd(&mut self) {
        let (slot, fd) = self.pair(POLLSETS, FDS);
        let fd = self.world.fds[fd].lock().unwrap().clone();
        self.add_fd_to(slot, &fd);
    }

    /// Adds an fd to the pollset of a slot.
    pub(super) fn add_fd_to(&self, slot: usize, fd: &Socket) {
        let it = self.world.pollset(slot);
        let engine = self.world.iomgr().engine();
        engine.add_to_pollset(&it.pollset, &fd.pollee).expect("the engine takes an fd");
        if !goes_to_sets(slot) {
            self.believe(Edge::Fd { pollset: it.id, fd: fd.id });
        }
    }

    fn add_fd_to_set(&mut self) {
        let (set, fd) = self.pair(SETS, FDS);
        let set = self.world.sets[set].lock().unwrap().clone();
        let fd = self.world.fds[fd].lock().unwrap().clone();
        set.set.add_fd(&fd.pollee).expect("the engine takes an fd");
        self.believe(Edge::SetFd { set: set.id, fd: fd.id });
    }

    fn set_and_pollset(&mut self) -> (Arc<NamedSet>, Arc<NamedPollset>, Edge) {
        let (set, slot) = loop {
            let (set, slot) = self.pair(SETS, POLLSETS);
            if goes_to_sets(slot) {
                break (set, slot);
            }
        };
        let set = self.world.sets[set].lock().unwrap().clone();
        let it = self.world.pollset(slot);
        let edge = Edge::SetPollset { set: set.id, pollset: it.id };
        (set, it, edge)
    }

    fn add_pollset_to_set(&mut self) {
        let (set, it, edge) = self.set_and_pollset();
        set.set.add_pollset(&it.pollset).expect("the engine takes a pollset");
        self.believe(edge);
    }

    fn remove_pollset_from_set(&mut self) {
        let (set, it, edge) = self.set_and_pollset();
        set.set.remove_pollset(&it.pollset);
        self.disbelieve(edge);
    }

    fn two_sets(&mut self) -> (Arc<NamedSet>, Arc<NamedSet>, Edge) {
        let (outer, inner) = self.pair(SETS, SETS);
        let outer = self.world.sets[outer].lock().unwrap().clone();
        let inner = self.world.sets[inner].lock().unwrap().clone();
        let edge = Edge::SetSet { outer: outer.id, inner: inner.id };
        (outer, inner, edge)
    }

    fn add_set_to_set(&mut self) {
        let (outer, inner, edge) = self.two_sets();
        outer.set.add_set(&inner.set).expect("the engine takes a set");
        self.believe(edge);
    }

    fn remove_set_from_set(&mut self) {
        let (outer, inner, edge) = self.two_sets();
        outer.set.remove_set(&inner.set);
        self.disbelieve(edge);
    }

    fn renew_set(&mut self) {
        let new = NamedSet::new(self.world.iomgr(), self.world.next_id());
        let slot = self.below(SETS);
        let old = mem::replace(&mut *self.world.sets[slot].lock().unwrap(), new);
        drop(old);
    }

    pub(super) fn set_timer(&mut self) {
        let ticket = self.world.office.scheduled("timer");
        let deadline = Instant::now() + self.soon();
        let id = self.world.iomgr().timer_init(deadline, ticket.clone());
        self.timers.push((id, ticket));
    }

    fn cancel_timer(&mut self) {
        if self.timers.is_empty() {
            return;
        }
        let index = self.below(self.timers.len());
        let (id, ticket) = self.timers.swap_remove(index);
        if self.world.iomgr().timer_cancel(id) {
            ticket.cancel();
        } else {
            self.due.push(ticket);
        }
    }

    pub(super) fn submit(&mut self) {
        let ticket = self.world.office.scheduled("closure from outside");
        self.world.iomgr().submit(ticket.clone());
        self.due.push(ticket);
    }

    fn put_off(&mut self) {
        let _context = ExecCtx::enter();
        let tickets = [(); 2].map(|()| self.world.office.scheduled("closure from a context"));
        self.world.iomgr().submit(tickets[0].clone());
        self.world.iomgr().put_off(tickets[1].clone());
        self.due.extend(tickets);
    }

    fn shut_fd_down(&mut self) {
        let due = self.fd().shutdown();
        self.due.extend(due);
    }

    fn renew_fd(&mut self) {
        let slot = self.below(FDS);
        let old = self.world.fds[slot].lock().unwrap().clone();
        // If it has ended already, somebody is about to renew it.
        if let Some(due) = old.end(self.once_in(2)) {
            self.due.extend(due);
            let new = Socket::new(self.world.iomgr(), self.world.next_id());
            *self.world.fds[slot].lock().unwrap() = new;
        }
    }

    fn renew_pollset(&mut self) {
        let slot = self.below(POLLSETS);
        if self.once_in(4) {
            self.replace_pollset(slot);
        } else {
            self.shut_pollset_down(slot);
        }
    }

    pub(super) fn shut_pollset_down(&mut self, slot: usize) {
        let old = self.replace_pollset(slot);
        let ticket = self.world.office.armed("the end of a pollset");
        old.pollset.shutdown(&ticket.waker());
        self.due.push(ticket);
    }

    fn replace_pollset(&self, slot: usize) -> Arc<NamedPollset> {
        let new = NamedPollset::new(self.world.next_id());
        mem::replace(&mut *self.world.pollsets[slot].lock().unwrap(), new)
    }
}

/// Whether the pollset of a slot is added to sets. Others are added fds, and keep them.
fn goes_to_sets(slot: usize) -> bool {
    slot % 2 == 1
}
