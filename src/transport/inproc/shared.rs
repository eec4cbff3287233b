//! One call's state, between its two ends.

use super::Config;
use super::channel::Membership;
use super::flow::Flow;
use crate::iomgr::drop_later;
use crate::metadata::Metadata;
use crate::status::Status;
use crate::sync::Mutex;
use crate::transport::Message;
use std::collections::VecDeque;
use std::mem;
use std::task::{Context, Waker};

/// What the two ends of a call hold together.
pub(super) struct Shared {
    /// A leaf lock.
    state: Mutex<State>,
    /// Keeps the call counted among its channel's.
    _membership: Membership,
}

/// Guarded by the stream's lock.
pub(super) struct State {
    pub(super) requests: Flow,
    pub(super) responses: Flow,
    pub(super) initial_metadata: InitialMetadata,
    /// How the call ended for the client.
    pub(super) status: Option<Status>,
    /// Why the server can send nothing more, its status least of all.
    pub(super) broken: Option<Status>,
    /// Of the server's last poll, until it is fired.
    server: Option<Waker>,
    /// Of the client's last poll, until it is fired.
    client: Option<Waker>,
    after: After,
}

pub(super) enum InitialMetadata {
    NotSent,
    Sent(Metadata),
    Received,
}

/// What is to be done once the lock is gone.
#[derive(Default)]
struct After {
    server: Option<Waker>,
    client: Option<Waker>,
    requests: VecDeque<Message>,
    responses: VecDeque<Message>,
    unused: [Option<Waker>; 2],
}

impl Shared {
    pub(super) fn new(config: &Config, membership: Membership) -> Self {
        let flow = || Flow::new(config.window, config.max_message_size);
        let state = State {
            requests: flow(),
            responses: flow(),
            initial_metadata: InitialMetadata::NotSent,
            status: None,
            broken: None,
            server: None,
            client: None,
            after: After::default(),
        };
        Self { state: Mutex::new(state), _membership: membership }
    }

    /// Works on the state under the lock, and fires wakers and drops messages without it.
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut State) -> R) -> R {
        let (result, after) = {
            let state = &mut *self.state.lock();
            let result = work(state);
            (result, mem::take(&mut state.after))
        };
        let After { server, client, requests, responses, unused } = after;
        for waker in [server, client].into_iter().flatten() {
            waker.wake();
        }
        drop(unused);
        // The lock of the server's call may be held.
        requests.into_iter().chain(responses).for_each(|message| drop_later(message.data));
        result
    }
}

impl State {
    /// The server waits for whatever happens next.
    pub(super) fn register_server(&mut self, context: &Context<'_>) {
        self.after.unused[0] = register(&mut self.server, context);
    }

    /// The client waits for whatever happens next.
    pub(super) fn register_client(&mut self, context: &Context<'_>) {
        self.after.unused[1] = register(&mut self.client, context);
    }

    /// The server's end is gone: its waker must not keep the call alive.
    pub(super) fn forget_server(&mut self) {
        self.after.unused[0] = self.server.take();
    }

    /// The client's end is gone.
    pub(super) fn forget_client(&mut self) {
        self.after.unused[1] = self.client.take();
    }

    /// Something has happened that the server may wait for.
    pub(super) fn wake_server(&mut self) {
        if self.server.is_some() {
            self.after.server = self.server.take();
        }
    }

    /// Something has happened that the client may wait for.
    pub(super) fn wake_client(&mut self) {
        if self.client.is_some() {
            self.after.client = self.client.take();
        }
    }

    /// The server ends the call in good order: what it has sent is still to be received.
    pub(super) fn finish(&mut self, status: Status) {
        self.status = Some(status);
        self.responses.close();
        self.after.requests = self.requests.discard();
        self.wake_client();
    }

    /// The call ends without its server's status; nothing that is on its way arrives. Does nothing
    /// to a call that has ended.
    pub(super) fn break_off(&mut self, for_client: Status, for_server: Status) {
        if self.broken.is_some() {
            return;
        }
        // The server is done with a call that has a status, and the client now too.
        if self.status.is_none() {
            self.status = Some(for_client);
            self.broken = Some(for_server);
        }
        self.requests.close();
        self.responses.close();
        self.after.requests = self.requests.discard();
        self.after.responses = self.responses.discard();
        self.wake_server();
        self.wake_client();
    }

    /// Why the server's end is of no use any more.
    pub(super) fn check_server(&self) -> Result<(), Status> {
        match (&self.broken, &self.status) {
            (Some(cause), _) => Err(cause.clone()),
            (None, Some(_)) => Err(Status::internal("the status has been sent")),
            (None, None) => Ok(()),
        }
    }
}

/// Registers a waker, and gives back the one that it replaces, to be dropped without the lock.
fn register(place: &mut Option<Waker>, context: &Context<'_>) -> Option<Waker> {
    match place {
        Some(waker) if waker.will_wake(context.waker()) => None,
        _ => place.replace(context.waker().clone()),
    }
}
