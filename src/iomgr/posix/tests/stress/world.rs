//! All that the threads act on, and what they believe of it.
//!
//! A slot always has something in it: what ends is replaced. Threads may still have what was there
//! before, and go on with it.

use super::socket::Socket;
use super::ticket::{Figures, Office};
use super::{FDS, PATIENCE, POLLSETS, SETS, THREADS};
use crate::iomgr::deadline::Deadline;
use crate::iomgr::exec_ctx::ExecCtx;
use crate::iomgr::posix::manager::Iomgr;
use crate::iomgr::posix::pollset::Pollset;
use crate::iomgr::posix::pollset_set::PollsetSet;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Names an fd, a pollset or a set. Never used twice.
pub(super) type Id = u64;

/// Something that was added to something, by the ids of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Edge {
    /// A pollset has an fd.
    Fd {
        pollset: Id,
        fd: Id,
    },
    SetFd {
        set: Id,
        fd: Id,
    },
    SetPollset {
        set: Id,
        pollset: Id,
    },
    SetSet {
        outer: Id,
        inner: Id,
    },
}

/// A pollset with its name. Those of even slots are added fds, and those of odd slots are added to sets,
/// and fds too, but nothing follows from that: what leaves a set waits for its fds no more, however it
/// came to them.
pub(super) struct NamedPollset {
    pub(super) id: Id,
    pub(super) pollset: Arc<Pollset>,
}

pub(super) struct NamedSet {
    pub(super) id: Id,
    pub(super) set: PollsetSet,
}

pub(super) type Slot<T> = Mutex<Arc<T>>;

pub(super) struct World {
    iomgr: Arc<Iomgr>,
    pub(super) office: Arc<Office>,
    pub(super) pollsets: Vec<Slot<NamedPollset>>,
    pub(super) fds: Vec<Slot<Socket>>,
    pub(super) sets: Vec<Slot<NamedSet>>,
    last_id: AtomicU64,
    /// What each thread has added and not removed. An edge is one thread's business (`Actor::pair`), so
    /// that its order of adding and removing is known.
    pub(super) beliefs: [Mutex<HashSet<Edge>>; THREADS],
    /// What follows from the beliefs, at rest.
    reach: Mutex<Arc<Reach>>,
    /// The slots of the pollsets that threads may sleep in.
    pub(super) first_bed: AtomicUsize,
    /// The one that each thread sleeps in.
    pub(super) beds: [Mutex<Option<usize>>; THREADS],
    /// How many threads have not finished to wake the sleepers.
    pub(super) awake: AtomicUsize,
    /// For whoever is told that a thread is stuck.
    pub(super) doing: [Mutex<&'static str>; THREADS],
    is_over: AtomicBool,
}

/// Which pollsets wait for which fds.
pub(super) enum Reach {
    /// All for all.
    Everything(Vec<Arc<NamedPollset>>),
    /// By the fds.
    Apart(HashMap<Id, Vec<Arc<NamedPollset>>>),
}

impl Reach {
    /// The pollsets that wait for an fd.
    pub(super) fn of(&self, fd: Id) -> &[Arc<NamedPollset>] {
        match self {
            Self::Everything(pollsets) => pollsets,
            Self::Apart(places) => places.get(&fd).map_or(&[], Vec::as_slice),
        }
    }
}

impl World {
    pub(super) fn new() -> Arc<Self> {
        let iomgr = super::super::iomgr();
        let last_id = AtomicU64::new(0);
        let ids = || last_id.fetch_add(1, SeqCst);
        let sockets = (0..FDS).map(|_| Mutex::new(Socket::new(&iomgr, ids()))).collect();
        let pollsets = (0..POLLSETS).map(|_| Mutex::new(NamedPollset::new(ids()))).collect();
        let sets = (0..SETS).map(|_| Mutex::new(NamedSet::new(&iomgr, ids()))).collect();
        Arc::new(Self {
            office: Office::new(&iomgr),
            iomgr,
            pollsets,
            fds: sockets,
            sets,
            last_id,
            beliefs: Default::default(),
            reach: Mutex::new(Arc::new(Reach::Everything(Vec::new()))),
            beds: Default::default(),
            first_bed: AtomicUsize::new(0),
            awake: AtomicUsize::new(0),
            doing: Default::default(),
            is_over: AtomicBool::new(false),
        })
    }

    pub(super) fn iomgr(&self) -> &Arc<Iomgr> {
        &self.iomgr
    }

    pub(super) fn next_id(&self) -> Id {
        self.last_id.fetch_add(1, SeqCst)
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(SeqCst)
    }

    pub(super) fn end_after(&self, start: Instant, length: Duration) {
        self.is_over.store(start.elapsed() >= length, SeqCst);
    }

    /// One look, or a short wait, of this thread in a pollset.
    pub(super) fn work(&self, pollset: &Arc<Pollset>, deadline: Deadline) {
        let context = ExecCtx::enter();
        self.iomgr.work(pollset, deadline, || true);
        context.flush();
    }

    /// Works in a pollset until `is_done`, which it must be soon.
    pub(super) fn work_until(
        &self,
        pollset: &Arc<Pollset>,
        is_done: impl Fn() -> bool,
        what: &str,
    ) {
        let start = Instant::now();
        while !is_done() {
            assert!(start.elapsed() < PATIENCE, "lost: {what}");
            self.work(pollset, Deadline::after(Duration::from_millis(1)));
        }
    }

    /// What is in a pollset's slot.
    pub(super) fn pollset(&self, slot: usize) -> Arc<NamedPollset> {
        self.pollsets[slot].lock().unwrap().clone()
    }

    /// At rest: sees what the beliefs come to.
    pub(super) fn think(&self) {
        *self.reach.lock().unwrap() = Arc::new(self.reach_now());
    }

    /// What [`think`](Self::think) has found.
    pub(super) fn reach(&self) -> Arc<Reach> {
        self.reach.lock().unwrap().clone()
    }

    fn reach_now(&self) -> Reach {
        let pollsets = contents(&self.pollsets);
        if !self.iomgr.keeps_pollsets_apart() {
            return Reach::Everything(pollsets);
        }
        let (mut fds, mut bags) = (Lists::new(), Lists::new());
        for edge in self.live_beliefs() {
            match edge {
                Edge::Fd { pollset: it, fd } | Edge::SetFd { set: it, fd } => fds.add(it, fd),
                Edge::SetPollset { set, pollset } => bags.add(pollset, set),
                Edge::SetSet { outer, inner } => bags.add(inner, outer),
            }
        }
        let mut places: HashMap<Id, Vec<Arc<NamedPollset>>> = HashMap::new();
        for it in pollsets {
            let above = bags.from(it.id);
            let has: BTreeSet<Id> = above.iter().flat_map(|it| fds.of(*it)).copied().collect();
            for fd in has {
                places.entry(fd).or_default().push(it.clone());
            }
        }
        Reach::Apart(places)
    }

    /// All beliefs of things that have not ended; the others are forgotten.
    fn live_beliefs(&self) -> BTreeSet<Edge> {
        let pollsets = contents(&self.pollsets).into_iter().map(|it| it.id);
        let fds = contents(&self.fds).into_iter().map(|it| it.id);
        let sets = contents(&self.sets).into_iter().map(|it| it.id);
        let alive: HashSet<Id> = pollsets.chain(fds).chain(sets).collect();
        let mut all = BTreeSet::new();
        for beliefs in &self.beliefs {
            let mut beliefs = beliefs.lock().unwrap();
            beliefs.retain(|edge| edge.ends().iter().all(|id| alive.contains(id)));
            all.extend(beliefs.iter());
        }
        all
    }

    /// Ends everything, runs what is armed still, and counts.
    pub(super) fn end(self: Arc<Self>) -> Figures {
        let world = Arc::into_inner(self).expect("the threads have ended");
        let mut due = Vec::new();
        for fd in contents(&world.fds) {
            due.extend(fd.end(false).expect("it is in its slot, and so open"));
        }
        for it in contents(&world.pollsets) {
            let ticket = world.office.armed("the end of a pollset");
            it.pollset.shutdown(&ticket.waker());
            due.push(ticket);
        }
        // Closures from outside run wherever somebody works.
        let pollset = Pollset::new();
        for ticket in due {
            world.work_until(&pollset, || ticket.has_run(), ticket.kind());
        }
        let (office, iomgr) = (world.office.clone(), Arc::downgrade(&world.iomgr));
        drop((world, pollset));
        let figures = office.close();
        drop(office);
        assert_eq!(iomgr.strong_count(), 0, "somebody keeps the I/O manager");
        figures
    }
}

impl Edge {
    fn ends(self) -> [Id; 2] {
        match self {
            Self::Fd { pollset, fd } => [pollset, fd],
            Self::SetFd { set, fd } => [set, fd],
            Self::SetPollset { set, pollset } => [set, pollset],
            Self::SetSet { outer, inner } => [outer, inner],
        }
    }
}

impl NamedPollset {
    pub(super) fn new(id: Id) -> Arc<Self> {
        Arc::new(Self { id, pollset: Pollset::new() })
    }
}

impl NamedSet {
    pub(super) fn new(iomgr: &Arc<Iomgr>, id: Id) -> Arc<Self> {
        Arc::new(Self { id, set: PollsetSet::new(iomgr) })
    }
}

/// What is in the slots now.
pub(super) fn contents<T>(slots: &[Slot<T>]) -> Vec<Arc<T>> {
    slots.iter().map(|slot| slot.lock().unwrap().clone()).collect()
}

/// Ids by id.
struct Lists(HashMap<Id, Vec<Id>>);

impl Lists {
    fn new() -> Self {
        Self(HashMap::new())
    }

    fn add(&mut self, key: Id, item: Id) {
        self.0.entry(key).or_default().push(item);
    }

    fn of(&self, key: Id) -> &[Id] {
        self.0.get(&key).map_or(&[], Vec::as_slice)
    }

    /// This one and all that can be reached from it.
    fn from(&self, first: Id) -> BTreeSet<Id> {
        let mut found = BTreeSet::new();
        let mut left = vec![first];
        while let Some(id) = left.pop() {
            if found.insert(id) {
                left.extend(self.of(id));
            }
        }
        found
    }
}
