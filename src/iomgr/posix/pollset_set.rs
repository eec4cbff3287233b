//! Pollset sets: which pollsets wait for which fds, when both come and go.
//!
//! ```text
//!   set A: fd 7            fds of a set are waited for by its pollsets,
//!    ├── pollset p         and by those of the sets in it:
//!    └── set B: fd 8         p waits for 7
//!         └── pollset q      q waits for 7 and 8
//! ```
//!
//! A server has a set with its listeners and connections, to which the queues come that want its
//! calls. The sets of a process are one graph under one lock, as it changes rarely: with a
//! connection, a queue or a server, and never with a call. Engines in which every thread waits for
//! every fd have no use for it, and it stays empty.
//!
//! Lock order: the graph, then a pollset, then what an fd was added to.

use super::engine::PollingEngine;
use super::key::Key;
use super::manager::Iomgr;
use super::pollee::Pollee;
use super::pollset::Pollset;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Weak};

/// A set of fds, of pollsets, and of other sets.
pub(crate) struct PollsetSet {
    iomgr: Arc<Iomgr>,
    id: Id,
}

/// Names a set. Never used twice.
type Id = u64;

/// The one set that is always there.
const EVERYBODY: Id = 0;

/// All sets of an I/O manager.
#[derive(Default)]
pub(super) struct Graph {
    sets: BTreeMap<Id, Node>,
    /// The last one that was given.
    last_id: Id,
}

#[derive(Default)]
struct Node {
    fds: BTreeMap<Key, Weak<Pollee>>,
    pollsets: Vec<Weak<Pollset>>,
    /// The sets in it, and those that it is in.
    items: BTreeSet<Id>,
    bags: BTreeSet<Id>,
}

impl PollsetSet {
    /// An empty set, which costs no system call.
    pub(crate) fn new(iomgr: &Arc<Iomgr>) -> Self {
        let mut graph = iomgr.graph().lock();
        graph.last_id += 1;
        let id = graph.last_id;
        graph.sets.insert(id, Node::default());
        drop(graph);
        Self { iomgr: iomgr.clone(), id }
    }

    /// The set of pollsets whose threads wait for the fds of all servers.
    pub(crate) fn everybody(iomgr: &Arc<Iomgr>) -> Self {
        Self { iomgr: iomgr.clone(), id: EVERYBODY }
    }

    /// The threads of `pollset` wait for the fds of this set, and of the sets that it is in, until
    /// it is removed. Adding twice is adding once.
    ///
    /// # Errors
    /// The engine's: too many open files, or too many watches.
    pub(crate) fn add_pollset(&self, pollset: &Arc<Pollset>) -> io::Result<()> {
        if !self.engine().keeps_pollsets_apart() || pollset.is_in(self.id) {
            return Ok(());
        }
        let mut graph = self.iomgr.graph().lock();
        if !pollset.note_set(self.id) {
            return Ok(());
        }
        let fds = graph.fds_above(self.id);
        let connected = self.connect(std::slice::from_ref(pollset), &fds);
        if connected.is_err() {
            // What could not be had may be had the next time.
            pollset.forget_set(self.id);
            self.disconnect(&graph, std::slice::from_ref(pollset), &fds);
            return connected;
        }
        let node = graph.node(self.id);
        node.pollsets.retain(|it| it.strong_count() > 0);
        node.pollsets.push(Arc::downgrade(pollset));
        Ok(())
    }

    /// Ends that.
    #[cfg_attr(
        any(not(test), turnstile_loom),
        expect(dead_code, reason = "channels, which come and go, need it")
    )]
    pub(crate) fn remove_pollset(&self, pollset: &Arc<Pollset>) {
        let mut graph = self.iomgr.graph().lock();
        if !pollset.forget_set(self.id) {
            return;
        }
        let fds = graph.fds_above(self.id);
        graph.node(self.id).pollsets.retain(|it| it.as_ptr() != Arc::as_ptr(pollset));
        self.disconnect(&graph, std::slice::from_ref(pollset), &fds);
    }

    /// The pollsets of this set, and of those in it, wait for this fd, until it goes.
    ///
    /// # Errors
    /// As [`add_pollset`](Self::add_pollset).
    pub(super) fn add_fd(&self, fd: &Arc<Pollee>) -> io::Result<()> {
        if !self.engine().keeps_pollsets_apart() {
            return Ok(());
        }
        let mut graph = self.iomgr.graph().lock();
        // One that goes is forgotten under the lock, after it has gone.
        if fd.has_gone() {
            return Ok(());
        }
        graph.node(self.id).fds.insert(fd.key(), Arc::downgrade(fd));
        let pollsets = graph.pollsets_below(self.id);
        self.connect(&pollsets, std::slice::from_ref(fd))
    }

    /// The fds of this set are waited for by the pollsets of `item` too, until it is removed. Sets
    /// may be in each other.
    ///
    /// # Errors
    /// As [`add_pollset`](Self::add_pollset).
    pub(crate) fn add_set(&self, item: &Self) -> io::Result<()> {
        if !self.engine().keeps_pollsets_apart() {
            return Ok(());
        }
        let mut graph = self.iomgr.graph().lock();
        graph.node(self.id).items.insert(item.id);
        graph.node(item.id).bags.insert(self.id);
        let (pollsets, fds) = (graph.pollsets_below(item.id), graph.fds_above(self.id));
        self.connect(&pollsets, &fds)
    }

    /// Ends that.
    #[cfg_attr(
        any(not(test), turnstile_loom),
        expect(dead_code, reason = "channels, which come and go, need it")
    )]
    pub(crate) fn remove_set(&self, item: &Self) {
        let mut graph = self.iomgr.graph().lock();
        let (pollsets, fds) = (graph.pollsets_below(item.id), graph.fds_above(self.id));
        graph.node(self.id).items.remove(&item.id);
        graph.node(item.id).bags.remove(&self.id);
        self.disconnect(&graph, &pollsets, &fds);
    }

    fn engine(&self) -> &dyn PollingEngine {
        self.iomgr.engine()
    }

    fn connect(&self, pollsets: &[Arc<Pollset>], fds: &[Arc<Pollee>]) -> io::Result<()> {
        for pollset in pollsets {
            for fd in fds {
                self.engine().add_to_pollset(pollset, fd)?;
            }
        }
        Ok(())
    }

    /// Lets pollsets go that reach an fd in no way any more.
    fn disconnect(&self, graph: &Graph, pollsets: &[Arc<Pollset>], fds: &[Arc<Pollee>]) {
        for pollset in pollsets {
            let still: BTreeSet<Key> = graph.fds_of(pollset).iter().map(|fd| fd.key()).collect();
            for fd in fds.iter().filter(|fd| !still.contains(&fd.key())) {
                self.engine().remove_from_pollset(pollset, fd);
                // An event may have gone there.
                self.iomgr.put_off(fd.clone());
            }
        }
    }
}

impl Drop for PollsetSet {
    fn drop(&mut self) {
        if self.id == EVERYBODY {
            return;
        }
        let mut graph = self.iomgr.graph().lock();
        let (pollsets, fds) = (graph.pollsets_below(self.id), graph.fds_above(self.id));
        graph.remove(self.id);
        self.disconnect(&graph, &pollsets, &fds);
    }
}

impl Graph {
    fn node(&mut self, id: Id) -> &mut Node {
        self.sets.entry(id).or_default()
    }

    fn remove(&mut self, id: Id) {
        let Some(node) = self.sets.remove(&id) else { return };
        for other in node.items.union(&node.bags) {
            let other = self.node(*other);
            other.bags.remove(&id);
            other.items.remove(&id);
        }
        for pollset in node.pollsets.iter().filter_map(Weak::upgrade) {
            pollset.forget_set(id);
        }
    }

    /// An fd has gone.
    pub(super) fn forget(&mut self, fd: Key) {
        for node in self.sets.values_mut() {
            node.fds.remove(&fd);
        }
    }

    /// The fds of a set and of those that it is in.
    fn fds_above(&self, id: Id) -> Vec<Arc<Pollee>> {
        let sets = self.reach([id], |node| &node.bags);
        sets.iter().flat_map(|node| node.fds.values().filter_map(Weak::upgrade)).collect()
    }

    /// The pollsets of a set and of those in it.
    fn pollsets_below(&self, id: Id) -> Vec<Arc<Pollset>> {
        let sets = self.reach([id], |node| &node.items);
        sets.iter().flat_map(|node| node.pollsets.iter().filter_map(Weak::upgrade)).collect()
    }

    /// All that a pollset waits for.
    fn fds_of(&self, pollset: &Pollset) -> Vec<Arc<Pollee>> {
        let sets = self.reach(pollset.sets(), |node| &node.bags);
        sets.iter().flat_map(|node| node.fds.values().filter_map(Weak::upgrade)).collect()
    }

    /// The sets that can be reached, each once, however they are in each other.
    fn reach(
        &self,
        from: impl IntoIterator<Item = Id>,
        next: impl Fn(&Node) -> &BTreeSet<Id>,
    ) -> Vec<&Node> {
        let mut seen = BTreeSet::new();
        let mut left: Vec<Id> = from.into_iter().collect();
        let mut found = Vec::new();
        while let Some(id) = left.pop() {
            if let Some(node) = self.sets.get(&id).filter(|_| seen.insert(id)) {
                left.extend(next(node));
                found.push(node);
            }
        }
        found
    }
}
