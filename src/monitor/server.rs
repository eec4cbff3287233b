//! A server's connections, and what its closed ones have left behind.

use super::channelz::{Page, Registry, page};
use super::socket::{Socket, SocketCounts, SocketData};
use crate::iomgr::{ListenAddress, PeerAddress};
use crate::sync::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

/// A server, as it and its connections count.
pub(crate) struct ServerMonitor {
    id: i64,
    registry: Arc<Registry>,
    /// A leaf lock: taken when a connection comes or is gone, and when somebody asks.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    listeners: Vec<ListenSocket>,
    sockets: BTreeMap<i64, Arc<SocketData>>,
    /// Of the connections that are gone.
    gone: CallCounts,
}

/// A socket that listens.
#[derive(Clone, Debug)]
pub(crate) struct ListenSocket {
    pub(crate) id: i64,
    pub(crate) address: ListenAddress,
}

/// The calls of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CallCounts {
    pub(crate) started: u64,
    /// Those that ended with OK, and with anything else.
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    pub(crate) last_started: Option<SystemTime>,
}

impl CallCounts {
    fn add(&mut self, socket: &SocketCounts) {
        self.started += socket.started;
        self.succeeded += socket.ended_with_ok;
        self.failed += socket.ended_with_error + socket.broken;
        self.last_started = self.last_started.max(socket.last_started);
    }
}

impl ServerMonitor {
    pub(super) fn new(registry: Arc<Registry>) -> Arc<Self> {
        Arc::new(Self { id: registry.next_id(), registry, state: Mutex::default() })
    }

    pub(crate) fn id(&self) -> i64 {
        self.id
    }

    /// The server listens, and can be found from now on.
    pub(crate) fn enter(self: &Arc<Self>, addresses: &[ListenAddress]) {
        let listener = |address: &ListenAddress| ListenSocket {
            id: self.registry.next_id(),
            address: address.clone(),
        };
        let listeners = addresses.iter().map(listener).collect();
        self.state.lock().listeners = listeners;
        self.registry.insert(self.clone());
    }

    /// The server is gone.
    pub(crate) fn leave(&self) {
        self.registry.remove(self.id);
    }

    /// A connection has come.
    pub(crate) fn connect(
        self: &Arc<Self>,
        local: Option<PeerAddress>,
        remote: PeerAddress,
    ) -> Arc<Socket> {
        let id = self.registry.next_id();
        let data = Arc::new(SocketData::new(id, local, remote));
        self.state.lock().sockets.insert(id, data.clone());
        Socket::new(data, self.clone())
    }

    /// A connection is gone, and so is every call that came over it.
    pub(super) fn forget(&self, socket: &SocketData) {
        let mut state = self.state.lock();
        let removed = state.sockets.remove(&socket.id);
        state.gone.add(&socket.counts());
        drop(state);
        drop(removed);
    }

    /// The calls of all connections, with those that are gone.
    pub(crate) fn calls(&self) -> CallCounts {
        let state = self.state.lock();
        let mut calls = state.gone;
        state.sockets.values().for_each(|socket| calls.add(&socket.counts()));
        calls
    }

    pub(crate) fn listeners(&self) -> Vec<ListenSocket> {
        self.state.lock().listeners.clone()
    }

    /// The open connections, in the order of their ids.
    pub(crate) fn sockets(&self, start: i64, max: usize) -> Page<Arc<SocketData>> {
        page(&self.state.lock().sockets, start, max, |socket| !socket.is_closed())
    }

    pub(crate) fn socket(&self, id: i64) -> Option<Arc<SocketData>> {
        self.state.lock().sockets.get(&id).filter(|socket| !socket.is_closed()).cloned()
    }
}
