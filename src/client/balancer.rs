//! Which connection a call gets.

use super::connectivity::ConnectivityState;
use super::subchannel::{Environment, Reach, Subchannel};
use crate::iomgr::ListenAddress;
use crate::status::Status;
use crate::transport::ClientTransport;
use std::sync::Arc;
use std::task::Context;

/// Chooses among the servers that a resolver finds. A seam: of what is to come, one that takes them in
/// turns.
///
/// Polled in the turns of a channel's [`Control`](super::control::Control).
pub(super) trait Balancer: Send {
    /// Connections are wanted: a call waits, or the application asks.
    fn connect(&mut self);

    /// Takes what the resolver has found, which it has asked for.
    fn on_addresses(&mut self, addresses: Result<Vec<ListenAddress>, Status>);

    /// Goes on as far as it can, and registers for more.
    fn poll(&mut self, context: &mut Context<'_>) -> Asks;

    /// What calls get from now on.
    fn picture(&self) -> Picture;
}

/// What a balancer needs to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    Nothing,
    /// The resolver is to be asked.
    Addresses,
}

/// What a channel is like at a moment.
#[derive(Clone)]
pub(super) struct Picture {
    pub(super) state: ConnectivityState,
    pub(super) pick: Pick,
}

impl Picture {
    /// Whether a call sees no difference, but for the text of a failure.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.state == other.state
            && match (&self.pick, &other.pick) {
                (Pick::Wait, Pick::Wait) => true,
                (Pick::Connection(one), Pick::Connection(other)) => Arc::ptr_eq(one, other),
                (Pick::Fail(one), Pick::Fail(other)) => one.message() == other.message(),
                _ => false,
            }
    }
}

/// What a call gets.
#[derive(Clone)]
pub(super) enum Pick {
    /// It waits for another picture.
    Wait,
    Connection(Arc<dyn ClientTransport>),
    /// This status, unless it waits until there is a connection.
    Fail(Status),
    /// This status: there will be no connection.
    Never(Status),
}

/// The first address that answers has all calls, until its connection ends (gRPC, `pick_first`).
///
/// Once it has failed, it goes on trying and the channel is in TRANSIENT_FAILURE until it succeeds
/// (gRFC A62).
pub(super) struct PickFirst {
    subchannel: Subchannel,
    /// Why the last attempt failed, until one succeeds.
    failure: Option<Status>,
    is_wanted: bool,
}

impl PickFirst {
    pub(super) fn new(environment: Environment) -> Self {
        Self { subchannel: Subchannel::new(environment), failure: None, is_wanted: false }
    }
}

impl Balancer for PickFirst {
    fn connect(&mut self) {
        self.is_wanted = true;
    }

    fn on_addresses(&mut self, addresses: Result<Vec<ListenAddress>, Status>) {
        self.subchannel.connect(addresses);
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Asks {
        self.subchannel.poll(context);
        match self.subchannel.reach() {
            Reach::Idle if self.is_wanted || self.failure.is_some() => {
                self.is_wanted = false;
                return Asks::Addresses;
            }
            Reach::Idle => {}
            Reach::Connecting => self.is_wanted = false,
            Reach::Resting(why) => {
                self.failure = Some(why.clone());
                self.is_wanted = false;
            }
            Reach::Ready(_) => {
                self.failure = None;
                self.is_wanted = false;
            }
        }
        Asks::Nothing
    }

    fn picture(&self) -> Picture {
        use ConnectivityState::{Connecting, Idle, Ready, TransientFailure};
        let (state, pick) = match (self.subchannel.reach(), &self.failure) {
            (Reach::Ready(transport), _) => (Ready, Pick::Connection(transport.clone())),
            (_, Some(why)) => (TransientFailure, Pick::Fail(why.clone())),
            (Reach::Resting(why), None) => (TransientFailure, Pick::Fail(why.clone())),
            (Reach::Idle, None) => (Idle, Pick::Wait),
            (Reach::Connecting, None) => (Connecting, Pick::Wait),
        };
        Picture { state, pick }
    }
}

/// The one connection that there is, and that no other comes after.
pub(super) struct Fixed(pub(super) Arc<dyn ClientTransport>);

impl Balancer for Fixed {
    fn connect(&mut self) {}

    fn on_addresses(&mut self, _addresses: Result<Vec<ListenAddress>, Status>) {}

    fn poll(&mut self, _context: &mut Context<'_>) -> Asks {
        Asks::Nothing
    }

    fn picture(&self) -> Picture {
        let (state, pick) = (ConnectivityState::Ready, Pick::Connection(self.0.clone()));
        Picture { state, pick }
    }
}

impl Drop for Fixed {
    fn drop(&mut self) {
        self.0.clone().go_away();
    }
}
