//! One call's state, between its two ends.

use super::Config;
use super::channel::Arrival;
use super::flow::Flow;
use crate::compression::Encodings;
use crate::iomgr::{Run, drop_later};
use crate::status::Status;
use crate::sync::Mutex;
use crate::transport::{Answer, Ended, Message};
use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Waker};

/// What the two ends of a call hold together.
pub(super) struct Shared {
    pub(super) config: Config,
    /// What replies may be compressed with.
    pub(super) accepts: Encodings,
    /// A leaf lock.
    state: Mutex<State>,
}

/// Guarded by the stream's lock.
pub(super) struct State {
    /// The call, until the server is told of it.
    pub(super) arrival: Option<Arrival>,
    pub(super) requests: Flow,
    pub(super) responses: Flow,
    pub(super) answer: InitialMetadata,
    /// How the call ended for the client.
    pub(super) end: Option<End>,
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
    Sent(Answer),
    Received,
}

pub(super) struct End {
    pub(super) ended: Ended,
    /// The server has ended it with a status: every message before that is there to be received.
    pub(super) is_servers: bool,
}

/// What is to be done once the lock is gone.
#[derive(Default)]
struct After {
    server: Option<Waker>,
    client: Option<Waker>,
    requests: VecDeque<Message>,
    responses: VecDeque<Message>,
    refused: Option<Message>,
    unused: [Option<Waker>; 2],
    end: Option<End>,
}

impl Shared {
    pub(super) fn new(config: &Config, accepts: Encodings) -> Self {
        let (server, client) = (&config.server, &config.client);
        let flow = |window, max| Flow::new(usize::try_from(window).unwrap_or(usize::MAX), max);
        let state = State {
            arrival: None,
            requests: flow(server.stream_window, server.max_message_size),
            responses: flow(client.stream_window, client.max_message_size),
            answer: InitialMetadata::NotSent,
            end: None,
            broken: None,
            server: None,
            client: None,
            after: After::default(),
        };
        Self { config: config.clone(), accepts, state: Mutex::new(state) }
    }

    /// Works on the state under the lock, and fires wakers and drops messages without it.
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut State) -> R) -> R {
        let (result, after) = {
            let state = &mut *self.state.lock();
            let result = work(state);
            (result, mem::take(&mut state.after))
        };
        let After { server, client, requests, responses, refused, unused, end } = after;
        for waker in [server, client].into_iter().flatten() {
            waker.wake();
        }
        drop((unused, end));
        // The lock of a call may be held.
        let messages = requests.into_iter().chain(responses).chain(refused);
        messages.for_each(|message| drop_later(message.data));
        result
    }
}

/// Tells the server of the call. Scheduled once.
impl Run for Shared {
    fn run(self: Arc<Self>) {
        if let Some(arrival) = self.with(|state| state.arrival.take()) {
            arrival.tell(self);
        }
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

    /// The client's end is gone, and nobody receives what is left for it.
    pub(super) fn forget_client(&mut self) {
        self.after.unused[1] = self.client.take();
        self.discard_responses();
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

    /// A message is not received.
    pub(super) fn drop_message(&mut self, message: Message) {
        self.after.refused = Some(message);
    }

    /// The server ends the call in good order: what it has sent is still to be received.
    pub(super) fn finish(&mut self, status: Status) {
        let ended = Ended::processed(status);
        self.end = Some(End { ended, is_servers: true });
        self.responses.close();
        self.after.requests = self.requests.discard();
        self.wake_client();
    }

    /// The call ends without its server's status; nothing that is on its way arrives. Does nothing
    /// to a call that has ended.
    pub(super) fn break_off(&mut self, ended: Ended, for_server: Status) {
        if self.end.is_some() {
            return;
        }
        self.end = Some(End { ended, is_servers: false });
        self.broken = Some(for_server);
        self.requests.close();
        self.after.requests = self.requests.discard();
        self.discard_responses();
        self.wake_server();
        self.wake_client();
    }

    /// The client wants no more of the call, which ends with this status for it, whatever the server
    /// has sent.
    pub(super) fn give_up(&mut self, status: Status, for_server: Status) {
        let ended = Ended::processed(status);
        if let Some(end) = &mut self.end {
            // The server is done with it.
            let before = mem::replace(end, End { ended, is_servers: false });
            self.after.end = Some(before);
            return self.discard_responses();
        }
        self.break_off(ended, for_server);
    }

    fn discard_responses(&mut self) {
        self.responses.close();
        self.after.responses = self.responses.discard();
    }

    /// Why the server's end is of no use any more.
    pub(super) fn check_server(&self) -> Result<(), Status> {
        match (&self.broken, &self.end) {
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
