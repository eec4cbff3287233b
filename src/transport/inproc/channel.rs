//! What a client begins calls on, and a server knows as one of its transports.

use super::Config;
use super::client::ClientStream;
use super::server::ServerStream;
use super::shared::Shared;
use crate::iomgr::{Iomgr, Run};
use crate::status::Status;
use crate::sync::Mutex;
use crate::transport::{Acceptor, Head, Transport};
use slab::Slab;
use std::sync::{Arc, Weak};

/// A way to a server in the same process. Usable from any thread.
///
/// Its calls keep it alive, and so does the server, until it is closed: by
/// [`go_away`](Transport::go_away) with its last call, or by [`abort`](Transport::abort).
pub(crate) struct Channel {
    id: usize,
    config: Config,
    acceptor: Arc<dyn Acceptor>,
    iomgr: Arc<Iomgr>,
    /// A leaf lock: no stream is used or dropped under it.
    state: Mutex<State>,
}

struct State {
    /// The calls whose ends are not both dropped. One that is being made is `None`.
    streams: Slab<Option<Weak<Shared>>>,
    /// How many calls are between being counted and having reached the acceptor.
    starting: usize,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// No new calls.
    Draining,
    /// No calls.
    Aborted,
    /// The acceptor has been told, or is about to be.
    Closed,
}

/// A call's place among its channel's. Dropping it gives the place back.
pub(super) struct Membership {
    /// `None` for a call that never reached the server.
    channel: Option<Arc<Channel>>,
    key: usize,
}

impl Channel {
    /// A channel that `acceptor` knows as `id`.
    pub(crate) fn new(
        id: usize,
        config: Config,
        acceptor: Arc<dyn Acceptor>,
        iomgr: Arc<Iomgr>,
    ) -> Arc<Self> {
        let state = State { streams: Slab::new(), starting: 0, phase: Phase::Open };
        Arc::new(Self { id, config, acceptor, iomgr, state: Mutex::new(state) })
    }

    /// Begins a call: hands its server's end to the acceptor, on this thread, and gives the
    /// client's. On a channel that takes no calls it has ended with UNAVAILABLE.
    ///
    /// Must be called with no lock held.
    pub(crate) fn start(self: &Arc<Self>, head: Head) -> ClientStream {
        let Some(key) = self.enter() else {
            let nowhere = Membership { channel: None, key: 0 };
            let shared = Shared::new(&self.config, nowhere);
            shared.with(|state| state.break_off(going_away(), going_away()));
            return ClientStream::new(Arc::new(shared));
        };
        let membership = Membership { channel: Some(self.clone()), key };
        let shared = Arc::new(Shared::new(&self.config, membership));
        let is_aborted = {
            let mut state = self.state.lock();
            state.streams[key] = Some(Arc::downgrade(&shared));
            state.phase == Phase::Aborted
        };
        if is_aborted {
            shared.with(|state| state.break_off(aborted(), aborted()));
        } else {
            let stream = ServerStream::new(shared.clone());
            self.acceptor.clone().on_stream(head, Box::new(stream));
        }
        self.update(|state| state.starting -= 1);
        ClientStream::new(shared)
    }

    /// Makes room for a call, if the channel takes any.
    fn enter(&self) -> Option<usize> {
        let mut state = self.state.lock();
        if state.phase != Phase::Open {
            return None;
        }
        state.starting += 1;
        Some(state.streams.insert(None))
    }

    /// Changes the state, and sees to it that the acceptor is told when nothing comes any more.
    fn update<R>(self: &Arc<Self>, work: impl FnOnce(&mut State) -> R) -> R {
        let (result, is_closed) = {
            let state = &mut *self.state.lock();
            let result = work(state);
            let is_closed = match state.phase {
                Phase::Open | Phase::Closed => false,
                Phase::Draining => state.streams.is_empty() && state.starting == 0,
                Phase::Aborted => state.starting == 0,
            };
            if is_closed {
                state.phase = Phase::Closed;
            }
            (result, is_closed)
        };
        if is_closed {
            // In a closure: a call's lock may be held here, which comes after those of a server.
            self.iomgr.submit(self.clone());
        }
        result
    }
}

fn going_away() -> Status {
    Status::unavailable("the server is shutting down")
}

fn aborted() -> Status {
    Status::unavailable("the server ended all calls")
}

/// Tells the acceptor that the channel is closed. Scheduled once.
impl Run for Channel {
    fn run(self: Arc<Self>) {
        self.acceptor.on_closed(self.id);
    }
}

impl Transport for Channel {
    fn go_away(self: Arc<Self>) {
        self.update(|state| {
            if state.phase == Phase::Open {
                state.phase = Phase::Draining;
            }
        });
    }

    fn abort(self: Arc<Self>) {
        let streams: Vec<Arc<Shared>> = self.update(|state| {
            if matches!(state.phase, Phase::Open | Phase::Draining) {
                state.phase = Phase::Aborted;
            }
            state.streams.iter().filter_map(|(_, stream)| stream.as_ref()?.upgrade()).collect()
        });
        for stream in streams {
            stream.with(|state| state.break_off(aborted(), aborted()));
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        if let Some(channel) = self.channel.take() {
            channel.update(|state| state.streams.remove(self.key));
        }
    }
}
