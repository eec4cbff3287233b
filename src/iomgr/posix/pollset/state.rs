//! What a pollset knows under its lock: who is here, where they wait, and what is to become of them.

use crate::iomgr::posix::pollable::Pollable;
use crate::iomgr::posix::worker::{Member, Worker};
use crate::iomgr::posix::workers::Workers;
use std::mem;
use std::sync::Arc;
use std::task::Waker;

/// In this order: what each wait and each kick touches lies together, and is fetched as one line of the
/// cache or two when they are on different cores.
#[derive(Default)]
#[repr(C)]
pub(in crate::iomgr::posix) struct State {
    /// A kick that came when no worker was here.
    kick_kept: bool,
    /// Those who wait on their condvars or are in a poller's seat.
    workers: Workers,
    /// One that has left, as the list and as its seat had it: the next one who comes to the same pollable
    /// takes it over.
    pub(super) spare: Option<[Arc<Worker>; 2]>,
    /// Where those who come in wait; `None` for where nobody has an fd.
    pub(super) pollable: Option<Arc<Pollable>>,
    /// The pollable whose turnstile lists this pollset, and in which neighbourhood: set under both
    /// locks.
    pub(in crate::iomgr::posix) listed: Option<(Arc<Pollable>, usize)>,
    /// The sets that it is in.
    pub(super) sets: Vec<u64>,
    phase: Phase,
}

#[derive(Default)]
enum Phase {
    #[default]
    Open,
    /// Nobody comes in; the waker is woken when the last worker leaves.
    Closing(Waker),
    Closed,
}

/// Who comes and goes.
impl State {
    /// Whether nobody comes in, or not this time.
    #[inline]
    pub(super) fn refuses(&mut self) -> bool {
        mem::take(&mut self.kick_kept) || !self.is_open()
    }

    /// Shows somebody who comes in, and waits at `home` if no fd decides where.
    #[inline]
    pub(super) fn admit(&mut self, home: &Arc<Pollable>) -> Arc<Worker> {
        let pollable = self.pollable.as_ref().unwrap_or(home);
        let [listed, worker] = match self.spare.take() {
            Some(spare) if Arc::ptr_eq(spare[0].pollable(), pollable) => spare,
            _ => {
                let new = Worker::at(pollable);
                [new.clone(), new]
            }
        };
        self.workers.push(Member::new(listed));
        worker
    }

    /// Takes out a poller that nobody in its pollset can inherit from, and which finds everything as it was
    /// when it comes again.
    #[inline]
    pub(super) fn take_lone_poller(&mut self) -> Option<Member> {
        if self.listed.is_some() {
            return None;
        }
        self.workers.take_only_if(Member::polls_here)
    }

    /// Takes out somebody who leaves, and lets another one here inherit its role.
    #[cold]
    pub(super) fn dismiss(&mut self, worker: Arc<Worker>) -> Left {
        let pollable = worker.pollable();
        let member = self.workers.remove(&worker);
        let polled = member.as_ref().is_some_and(Member::polls);
        let kept = member.filter(|it| !it.is_astray()).map(Member::into_worker);
        self.spare = kept.map(|listed| [listed, worker.clone()]);
        let role = pollable.turnstile().role();
        let heir = self.waiting_at(pollable);
        let has_heir = heir.is_some();
        match heir {
            Some(heir) if polled => {
                role.hand_over();
                heir.appoint_and_wake();
            }
            None if polled => role.vacate(),
            _ => {}
        }
        let is_deserted = !has_heir && self.is_listed_at(pollable);
        let listed = self.listed.as_ref().filter(|_| is_deserted).map(|(_, index)| *index);
        let is_vacant = polled && !has_heir;
        Left { listed, done: self.close_if_empty(), ..Left::of(worker, is_vacant) }
    }

    /// Ends a shutdown when the last worker has left.
    fn close_if_empty(&mut self) -> Option<Waker> {
        if !self.workers.is_empty() || !matches!(self.phase, Phase::Closing(_)) {
            return None;
        }
        match mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Closing(done) => Some(done),
            Phase::Open | Phase::Closed => None,
        }
    }

    /// Lets nobody in any more. `done` is for whoever leaves last; true if nobody is here.
    pub(super) fn close(&mut self, done: &Waker) -> bool {
        let is_empty = self.workers.is_empty();
        self.phase = if is_empty { Phase::Closed } else { Phase::Closing(done.clone()) };
        is_empty
    }

    /// Whether it is not shut down.
    #[inline]
    pub(in crate::iomgr::posix) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }
}

/// What others ask of those who are here.
impl State {
    /// Gives the role to `worker`, which does not sleep.
    #[inline]
    pub(in crate::iomgr::posix) fn appoint(&mut self, worker: &Worker) {
        if let Some(member) = self.workers.get_mut(worker) {
            member.appoint();
        }
    }

    /// Makes one leave: one that waits, else one that polls. The next one to come, if nobody is here. Gives
    /// what is to be woken for it, without the lock.
    #[inline]
    pub(super) fn kick(&mut self) -> Option<Arc<Pollable>> {
        let has_waiting = self.workers.iter().any(Member::is_waiting);
        // Whoever is not kicked and does not wait polls.
        let leaves = |it: &&mut Member| !it.is_kicked() && it.is_waiting() == has_waiting;
        if let Some(member) = self.workers.iter_mut().find(leaves) {
            return member.kick();
        }
        self.kick_kept = self.workers.is_empty();
        None
    }

    /// Makes everybody leave.
    pub(super) fn kick_everybody(
        &mut self,
        kick: fn(&mut Member) -> Option<Arc<Pollable>>,
    ) -> Kicked {
        Kicked(self.workers.iter_mut().filter_map(kick).collect())
    }
}

/// Who is here, and where.
impl State {
    /// Whether `worker` has the poller's role.
    #[inline]
    pub(super) fn polls(&self, worker: &Worker) -> bool {
        self.workers.get(worker).is_some_and(Member::polls)
    }

    /// Whether it must leave.
    #[inline]
    pub(super) fn is_kicked(&self, worker: &Worker) -> bool {
        self.workers.get(worker).is_some_and(Member::is_kicked)
    }

    /// Whether it waits on its condvar for the role.
    pub(in crate::iomgr::posix) fn is_waiting(&self, worker: &Worker) -> bool {
        self.workers.get(worker).is_some_and(Member::is_waiting)
    }

    /// One that waits on its condvar for a seat at `pollable`.
    pub(in crate::iomgr::posix) fn waiting_at(
        &mut self,
        pollable: &Arc<Pollable>,
    ) -> Option<&mut Member> {
        self.workers.iter_mut().find(|it| it.is_waiting() && it.is_at(pollable))
    }

    /// Whether anybody is here for `pollable`.
    pub(in crate::iomgr::posix) fn has_any_at(&self, pollable: &Arc<Pollable>) -> bool {
        self.workers.iter().any(|it| it.is_at(pollable))
    }

    /// Where those who come in wait, if an fd decides that.
    pub(in crate::iomgr::posix) fn pollable(&self) -> Option<&Arc<Pollable>> {
        self.pollable.as_ref()
    }

    /// Whether the turnstile of `pollable` lists this pollset.
    pub(in crate::iomgr::posix) fn is_listed_at(&self, pollable: &Arc<Pollable>) -> bool {
        self.listed.as_ref().is_some_and(|(at, _)| Arc::ptr_eq(at, pollable))
    }

    /// The same for one neighbourhood of it.
    pub(in crate::iomgr::posix) fn is_listed_in(
        &self,
        pollable: &Arc<Pollable>,
        neighbourhood: usize,
    ) -> bool {
        let is_there =
            |(at, index): &(_, usize)| Arc::ptr_eq(at, pollable) && *index == neighbourhood;
        self.listed.as_ref().is_some_and(is_there)
    }
}

/// Where pollers sleep that were kicked.
#[must_use]
pub(super) struct Kicked(Vec<Arc<Pollable>>);

impl Kicked {
    /// Without the lock.
    pub(super) fn wake(self) {
        self.0.iter().for_each(|pollable| pollable.wake());
    }
}

/// What a worker that has left brings about, to be done without locks.
pub(in crate::iomgr::posix) struct Left {
    pub(in crate::iomgr::posix) worker: Arc<Worker>,
    /// The worker polled, and nobody in its pollset takes the role.
    pub(in crate::iomgr::posix) is_vacant: bool,
    /// Nobody waits at the pollable any more, whose turnstile lists the pollset here.
    pub(in crate::iomgr::posix) listed: Option<usize>,
    done: Option<Waker>,
}

impl Left {
    pub(super) fn of(worker: Arc<Worker>, is_vacant: bool) -> Self {
        Self { worker, is_vacant, listed: None, done: None }
    }

    /// Tells who waits for the last worker to leave.
    pub(in crate::iomgr::posix) fn tell(self) {
        self.done.into_iter().for_each(Waker::wake);
    }
}
