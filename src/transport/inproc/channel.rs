//! What a client begins calls on, and a server knows as one of its transports.

use super::Config;
use super::client::InprocClientStream;
use super::server::ServerStream;
use super::shared::Shared;
use super::wire::{Arrives, send_request};
use crate::iomgr::{Iomgr, Peer, Run};
use crate::monitor::{Socket, StreamMonitor};
use crate::status::Status;
use crate::sync::Mutex;
use crate::transport::{Acceptor, ClientStream, ClientTransport, Ended, Head, Request, Transport};
use slab::Slab;
use std::sync::{Arc, Weak};

/// A way to a server in the same process. Usable from any thread.
///
/// Its calls keep it alive, and so does the server, until it is closed: by
/// [`go_away`](Transport::go_away) with its last call, or by [`abort`](Transport::abort). Either end
/// may do that. A client that does not need it any more must, or the server keeps it as long as it
/// is there itself.
pub(crate) struct Channel {
    id: usize,
    config: Config,
    acceptor: Arc<dyn Acceptor>,
    peer: Arc<Peer>,
    iomgr: Arc<Iomgr>,
    /// Counts its calls, for channelz.
    socket: Option<Arc<Socket>>,
    /// A leaf lock: no stream is used or dropped under it.
    state: Mutex<State>,
}

struct State {
    /// The calls whose servers' ends are not dropped.
    streams: Slab<Weak<Shared>>,
    /// How many calls the acceptor has not been told of, or is being told of.
    arriving: usize,
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
    channel: Arc<Channel>,
    key: usize,
}

/// A call that the acceptor has not been told of.
pub(super) struct Arrival {
    head: Head,
    membership: Membership,
    arriving: Arriving,
}

/// Counts a call as arriving.
struct Arriving(Arc<Channel>);

impl Channel {
    /// A channel that `acceptor` knows as `id`.
    pub(crate) fn new(
        id: usize,
        config: Config,
        acceptor: Arc<dyn Acceptor>,
        iomgr: Arc<Iomgr>,
        socket: Option<Arc<Socket>>,
    ) -> Arc<Self> {
        Self::with_phase(id, config, acceptor, iomgr, socket, Phase::Open)
    }

    /// A channel that takes no calls, and that the acceptor does not know.
    pub(crate) fn closed(
        config: Config,
        acceptor: Arc<dyn Acceptor>,
        iomgr: Arc<Iomgr>,
    ) -> Arc<Self> {
        Self::with_phase(usize::MAX, config, acceptor, iomgr, None, Phase::Closed)
    }

    fn with_phase(
        id: usize,
        config: Config,
        acceptor: Arc<dyn Acceptor>,
        iomgr: Arc<Iomgr>,
        socket: Option<Arc<Socket>>,
        phase: Phase,
    ) -> Arc<Self> {
        let state = Mutex::new(State { streams: Slab::new(), arriving: 0, phase });
        let peer = Arc::new(Peer::in_process());
        Arc::new(Self { id, config, acceptor, peer, iomgr, socket, state })
    }

    /// Makes a place for a call, if the channel takes any.
    fn enter(self: &Arc<Self>, shared: &Arc<Shared>) -> Option<(Membership, Arriving)> {
        let mut state = self.state.lock();
        if state.phase != Phase::Open {
            return None;
        }
        state.arriving += 1;
        let key = state.streams.insert(Arc::downgrade(shared));
        Some((Membership { channel: self.clone(), key }, Arriving(self.clone())))
    }

    /// Begins a call on `shared`.
    ///
    /// # Errors
    /// How it ended, if it cannot begin.
    fn begin(self: &Arc<Self>, request: Request, shared: &Arc<Shared>) -> Result<(), Ended> {
        let arrives = send_request(request, &self.config, &self.peer).map_err(Ended::processed)?;
        let (membership, arriving) =
            self.enter(shared).ok_or_else(|| Ended::not_sent(going_away()))?;
        match arrives {
            Arrives::Refused(status) => Err(Ended::processed(status)),
            Arrives::Call(head) => {
                let arrival = Arrival { head, membership, arriving };
                shared.with(|state| state.arrival = Some(arrival));
                // In a closure: the lock of the client's call may be held here, and the server runs
                // code of its application.
                self.iomgr.submit(shared.clone());
                Ok(())
            }
        }
    }

    /// Changes the state, and sees to it that the acceptor is told when nothing comes any more.
    fn update<R>(self: &Arc<Self>, work: impl FnOnce(&mut State) -> R) -> R {
        let (result, is_closed) = {
            let state = &mut *self.state.lock();
            let result = work(state);
            let is_closed = match state.phase {
                Phase::Open | Phase::Closed => false,
                Phase::Draining => state.streams.is_empty() && state.arriving == 0,
                Phase::Aborted => state.arriving == 0,
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

impl Arrival {
    /// Hands the server's end of the call to the acceptor, unless the call is over.
    pub(super) fn tell(self, shared: Arc<Shared>) {
        let Self { head, membership, arriving } = self;
        if shared.with(|state| state.broken.is_some()) {
            return;
        }
        let Arriving(channel) = &arriving;
        let monitor = StreamMonitor::start(channel.socket.as_ref());
        let stream = ServerStream::new(shared, membership, monitor);
        channel.acceptor.clone().on_stream(head, Box::new(stream));
    }
}

fn going_away() -> Status {
    Status::unavailable(
        "the channel to the server in this process takes no more calls: the server is shut down, or the \
         channel was closed",
    )
}

fn aborted() -> Status {
    Status::unavailable("the channel to the server in this process was closed, with all its calls")
}

/// Tells the acceptor that the channel is closed. Scheduled once.
impl Run for Channel {
    fn run(self: Arc<Self>) {
        self.socket.iter().for_each(|socket| socket.close());
        tracing::debug!(
            target: "turnstile::connection",
            parent: None,
            peer = %self.peer,
            "a connection is closed",
        );
        self.acceptor.on_closed(self.id);
    }
}

impl ClientTransport for Channel {
    fn start(self: Arc<Self>, request: Request) -> Box<dyn ClientStream> {
        let shared = Arc::new(Shared::new(&self.config, request.accepts));
        if let Err(ended) = self.begin(request, &shared) {
            let for_server = ended.status.clone();
            shared.with(|state| state.break_off(ended, for_server));
        }
        Box::new(InprocClientStream::new(shared))
    }

    fn peer(&self) -> &Arc<Peer> {
        &self.peer
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
            state.streams.iter().filter_map(|(_, stream)| stream.upgrade()).collect()
        });
        for stream in streams {
            let ended = Ended::processed(aborted());
            let for_server = Status::cancelled(aborted().message().to_owned());
            stream.with(|state| state.break_off(ended, for_server));
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let key = self.key;
        let stream = self.channel.update(|state| state.streams.remove(key));
        drop(stream);
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.0.update(|state| state.arriving -= 1);
    }
}
