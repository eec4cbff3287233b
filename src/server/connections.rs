//! What a server has open: its listeners, and its clients' connections, also those within the process.

use crate::call::Outcome;
use crate::cq::PendingOp;
use crate::iomgr::TcpListener;
use crate::sync::Mutex;
use crate::transport::Transport;
use slab::Slab;
use std::mem;
use std::sync::Arc;

/// Everything that must be closed before a server is shut down.
#[derive(Default)]
pub(super) struct Connections {
    /// Nothing else is locked under it, and nothing is called.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    listeners: Vec<Arc<TcpListener>>,
    transports: Slab<Arc<dyn Transport>>,
    is_shutting_down: bool,
    /// Completed when the last transport is closed.
    shutdowns: Vec<PendingOp<Outcome>>,
}

impl Connections {
    /// Begins to accept.
    pub(super) fn listen(&self, listeners: Vec<Arc<TcpListener>>) {
        self.state.lock().listeners.clone_from(&listeners);
        for listener in listeners {
            listener.start();
        }
    }

    /// Adds a connection; `None` if the server is shutting down.
    pub(super) fn insert<T: Transport + 'static>(
        &self,
        make: impl FnOnce(usize) -> Arc<T>,
    ) -> Option<Arc<T>> {
        let mut state = self.state.lock();
        if state.is_shutting_down {
            return None;
        }
        let entry = state.transports.vacant_entry();
        let transport = make(entry.key());
        entry.insert(transport.clone());
        Some(transport)
    }

    /// A connection is closed.
    pub(super) fn remove(&self, id: usize) {
        let mut state = self.state.lock();
        let removed = state.transports.try_remove(id);
        let done = state.take_done();
        drop(state);
        drop(removed);
        complete(done);
    }

    /// Closes listeners, tells all clients to go, and completes `done` when they have.
    pub(super) fn shutdown(&self, done: PendingOp<Outcome>) {
        let mut state = self.state.lock();
        state.is_shutting_down = true;
        state.shutdowns.push(done);
        let transports: Vec<_> = state.transports.iter().map(|(_, it)| it.clone()).collect();
        let done = state.take_done();
        drop(state);
        self.close_listeners();
        for transport in transports {
            transport.go_away();
        }
        complete(done);
    }

    /// Ends everything now, and takes in no more.
    pub(super) fn close(&self) {
        self.state.lock().is_shutting_down = true;
        self.close_listeners();
        self.abort_all();
    }

    fn close_listeners(&self) {
        let listeners = mem::take(&mut self.state.lock().listeners);
        for listener in listeners {
            listener.close();
        }
    }

    /// Ends every connection now.
    pub(super) fn abort_all(&self) {
        let transports: Vec<_> =
            self.state.lock().transports.iter().map(|(_, it)| it.clone()).collect();
        for transport in transports {
            transport.abort();
        }
    }
}

impl State {
    /// The shutdowns that are complete.
    fn take_done(&mut self) -> Vec<PendingOp<Outcome>> {
        let is_done = self.is_shutting_down && self.transports.is_empty();
        if is_done { mem::take(&mut self.shutdowns) } else { Vec::new() }
    }
}

fn complete(shutdowns: Vec<PendingOp<Outcome>>) {
    for done in shutdowns {
        done.complete(true, Outcome::default());
    }
}
