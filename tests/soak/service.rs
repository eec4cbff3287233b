//! The server under load: four methods, written on completion queues.
//!
//! The calls complete on queues of three kinds: half of them on the queue that all share, a
//! quarter each on a completion queue and on a callback queue of their own, which are made with
//! the request and end with the call.

use super::ledger::Ledger;
use super::tags::{Tags, Token};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use turnstile::{
    Batch, Bytes, Call, CallbackQueue, CompletionQueue, Deadline, Event, Method, Server, Status,
};

/// The methods. Each call also says in its metadata what it wants: see [`Plan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Unary,
    ServerStream,
    ClientStream,
    Bidi,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] =
        [Self::Unary, Self::ServerStream, Self::ClientStream, Self::Bidi];

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Unary => "/soak.Soak/Unary",
            Self::ServerStream => "/soak.Soak/ServerStream",
            Self::ClientStream => "/soak.Soak/ClientStream",
            Self::Bidi => "/soak.Soak/Bidi",
        }
    }
}

/// How many calls of each method are asked for at once.
const REQUESTS: usize = 64;

/// How long a thread with calls on queues of their own waits at the shared one before it looks at
/// them again.
const LOOK_AROUND: Duration = Duration::from_millis(1);

pub(crate) struct Tag {
    what: What,
    _token: Token,
}

enum What {
    Incoming { kind: Kind, queue: CallQueue },
    Operation(Arc<Served>, Operation),
    ShutDown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Close,
    Receive,
    Send,
    Finish,
}

/// Where a call's batches complete.
#[derive(Clone)]
enum CallQueue {
    Shared,
    Own(Arc<CompletionQueue<Tag>>),
    Callback(Arc<CallbackQueue<Tag>>),
}

/// What a client wants of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) id: u64,
    /// The server sends everything but the status, and waits for the call's close.
    pub(crate) holds: bool,
    /// How many messages a ServerStream sends.
    pub(crate) replies: u64,
}

impl Plan {
    fn of(call: &Call<Tag>) -> Option<Self> {
        let number = |key| call.metadata().get(key).and_then(|value| value.parse::<u64>().ok());
        Some(Self {
            id: number("x-id")?,
            holds: number("x-holds")? == 1,
            replies: number("x-replies")?,
        })
    }
}

/// A call that the server has taken.
struct Served {
    call: Call<Tag>,
    queue: CallQueue,
    kind: Kind,
    plan: Plan,
    state: Mutex<State>,
    service: Arc<Service>,
}

#[derive(Default)]
struct State {
    pending: usize,
    messages: u64,
    last: Bytes,
    has_failed: bool,
    finish: Option<bool>,
    close: Option<bool>,
}

pub(crate) struct Service {
    server: Server,
    methods: Vec<Method>,
    shared: CompletionQueue<Tag>,
    requested: AtomicU64,
    pub(crate) tags: Arc<Tags>,
    pub(crate) ledger: Arc<Ledger>,
    live: Mutex<u64>,
    none_live: Condvar,
    pub(crate) counts: Counts,
}

/// What the server has seen.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) taken: AtomicU64,
    pub(crate) cancelled: AtomicU64,
    pub(crate) own_queue: AtomicU64,
    pub(crate) callback_queue: AtomicU64,
    pub(crate) most_at_once: AtomicU64,
}

impl Service {
    pub(crate) fn start(ledger: Arc<Ledger>) -> Arc<Self> {
        let mut builder = Server::builder();
        let methods = Kind::ALL
            .map(|kind| match kind {
                Kind::Unary => builder.register_unary(kind.path()),
                _ => builder.register_method(kind.path()),
            })
            .to_vec();
        let service = Arc::new(Self {
            server: builder.bind("127.0.0.1:0").expect("a free port"),
            methods,
            shared: CompletionQueue::new(),
            requested: AtomicU64::new(0),
            tags: Arc::default(),
            ledger,
            live: Mutex::new(0),
            none_live: Condvar::new(),
            counts: Counts::default(),
        });
        for _ in 0..REQUESTS {
            Kind::ALL.into_iter().for_each(|kind| service.request(kind));
        }
        service
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.server.local_addr().expect("it listens on TCP")
    }

    fn tag(&self, what: What) -> Tag {
        Tag { what, _token: self.tags.token() }
    }

    fn request(self: &Arc<Self>, kind: Kind) {
        let queue = match self.requested.fetch_add(1, SeqCst) / 4 % 4 {
            0 | 1 => CallQueue::Shared,
            2 => CallQueue::Own(Arc::new(CompletionQueue::new())),
            _ => {
                let service = self.clone();
                CallQueue::Callback(Arc::new(CallbackQueue::new(move |event: Event<Tag>| {
                    service.handle(event, &mut Vec::new());
                })))
            }
        };
        let tag = self.tag(What::Incoming { kind, queue: queue.clone() });
        let (server, method, shared) = (&self.server, &self.methods[kind as usize], &self.shared);
        let result = match &queue {
            CallQueue::Shared => server.request_registered_call(method, shared, shared, tag),
            CallQueue::Own(own) => server.request_registered_call(method, &**own, shared, tag),
            CallQueue::Callback(own) => server.request_registered_call(method, &**own, shared, tag),
        };
        match result {
            Ok(()) => self.tags.enter(),
            Err(_) => self.ledger.fault("a call was requested on a queue that is shut down".into()),
        }
    }

    /// What a thread of the server does. `by_turns` says which way it takes its events.
    pub(crate) fn serve(self: &Arc<Self>, by_turns: bool) {
        // The queues of calls that this thread looks after.
        let mut own = Vec::new();
        while !(self.shared.is_drained() && own.is_empty()) {
            let wait = if own.is_empty() { Deadline::NONE } else { Deadline::after(LOOK_AROUND) };
            if by_turns {
                for event in self.shared.turn(wait).into_iter().flatten() {
                    self.handle(event, &mut own);
                }
            } else if let Some(event) = self.shared.next(wait) {
                self.handle(event, &mut own);
                while let Some(event) = self.shared.next(Deadline::NOW) {
                    self.handle(event, &mut own);
                }
            }
            own.retain(|queue| {
                while let Some(event) = queue.next(Deadline::NOW) {
                    self.handle(event, &mut Vec::new());
                }
                !queue.is_drained()
            });
        }
    }

    fn handle(self: &Arc<Self>, mut event: Event<Tag>, own: &mut Vec<Arc<CompletionQueue<Tag>>>) {
        self.tags.come_out();
        match &event.tag.what {
            What::Incoming { kind, queue } => {
                let (kind, queue) = (*kind, queue.clone());
                // No call comes when the server is shut down.
                let Some(call) = event.take_call() else { return };
                self.request(kind);
                if let CallQueue::Own(queue) = &queue {
                    own.push(queue.clone());
                }
                self.take(call, kind, queue, event.take_message());
            }
            What::Operation(call, operation) => {
                let (call, operation) = (call.clone(), *operation);
                call.on(operation, event);
            }
            What::ShutDown => self.shared.shutdown(),
        }
    }

    fn take(
        self: &Arc<Self>,
        call: Call<Tag>,
        kind: Kind,
        queue: CallQueue,
        message: Option<Bytes>,
    ) {
        let Some(plan) = Plan::of(&call) else {
            return self.ledger.fault(format!("{call:?} has lost its metadata"));
        };
        self.counts.taken.fetch_add(1, SeqCst);
        match queue {
            CallQueue::Shared => {}
            CallQueue::Own(_) => _ = self.counts.own_queue.fetch_add(1, SeqCst),
            CallQueue::Callback(_) => _ = self.counts.callback_queue.fetch_add(1, SeqCst),
        }
        {
            let mut live = self.live.lock().unwrap();
            *live += 1;
            self.counts.most_at_once.fetch_max(*live, SeqCst);
        }
        let state = Mutex::default();
        let call = Arc::new(Served { call, queue, kind, plan, state, service: self.clone() });
        // The second operation is counted in before the first can end the call.
        call.state.lock().unwrap().pending = 1;
        call.start(Batch::new().receive_close(), Operation::Close);
        match kind {
            Kind::Unary => call.finish(message),
            _ => call.start(Batch::new().receive_message(), Operation::Receive),
        }
        call.settle();
    }

    /// Waits until the server has no calls; false if that takes too long.
    pub(crate) fn wait_for_no_calls(&self, within: Duration) -> bool {
        let live = self.live.lock().unwrap();
        let (live, _) = self.none_live.wait_timeout_while(live, within, |live| *live > 0).unwrap();
        *live == 0
    }

    /// Ends the server gracefully, and with it its threads.
    pub(crate) fn shut_down(&self) {
        let tag = self.tag(What::ShutDown);
        self.server.shutdown_and_notify(&self.shared, tag).expect("the queue is open");
        self.tags.enter();
    }
}

impl Served {
    fn start(self: &Arc<Self>, batch: Batch, operation: Operation) {
        self.state.lock().unwrap().pending += 1;
        let tag = self.service.tag(What::Operation(self.clone(), operation));
        match self.call.start(batch, tag) {
            Ok(()) => self.service.tags.enter(),
            Err(error) => {
                self.service.ledger.fault(format!("{self:?}: {operation:?}: {error}"));
                self.state.lock().unwrap().pending -= 1;
            }
        }
    }

    /// Everything but the status has been sent, and perhaps a last message.
    fn finish(self: &Arc<Self>, message: Option<Bytes>) {
        if self.plan.holds {
            return;
        }
        let batch = Batch::new().send_status(Status::ok());
        let batch = match message {
            Some(message) => batch.send_message(message),
            None => batch,
        };
        self.start(batch, Operation::Finish);
    }

    fn receive(self: &Arc<Self>) {
        self.start(Batch::new().receive_message(), Operation::Receive);
    }

    fn send(self: &Arc<Self>, message: Bytes) {
        self.start(Batch::new().send_message(message), Operation::Send);
    }

    fn on(self: &Arc<Self>, operation: Operation, mut event: Event<Tag>) {
        let is_ok = event.is_ok();
        let messages = {
            let mut state = self.state.lock().unwrap();
            match operation {
                Operation::Close => {
                    let is_cancelled = event.is_cancelled();
                    state.close = Some(is_cancelled);
                    self.service.ledger.server_closed(self.plan.id, is_cancelled);
                }
                Operation::Finish => state.finish = Some(is_ok),
                Operation::Receive | Operation::Send => state.messages += 1,
            }
            state.has_failed |= !is_ok;
            state.messages
        };
        match operation {
            _ if !is_ok => {}
            Operation::Close | Operation::Finish => {}
            Operation::Receive => self.on_message(event.take_message(), messages),
            // The request was the first.
            Operation::Send if self.kind == Kind::ServerStream => self.send_next(messages - 1),
            Operation::Send => self.receive(),
        }
        self.settle();
    }

    fn on_message(self: &Arc<Self>, message: Option<Bytes>, messages: u64) {
        match (self.kind, message) {
            (Kind::ServerStream, Some(message)) => {
                self.state.lock().unwrap().last = message;
                self.send_next(0);
            }
            (Kind::ClientStream, Some(_)) => self.receive(),
            (Kind::Bidi, Some(message)) => self.send(message),
            (Kind::ClientStream, None) => {
                let count = messages - 1;
                self.finish(Some(Bytes::copy_from_slice(&count.to_be_bytes())));
            }
            (_, _) => self.finish(None),
        }
    }

    fn send_next(self: &Arc<Self>, sent: u64) {
        if sent == self.plan.replies {
            return self.finish(None);
        }
        let message = self.state.lock().unwrap().last.clone();
        self.send(message);
    }

    /// An operation has been dealt with. Those that follow it have been started, so that with none
    /// pending the call is over.
    fn settle(self: &Arc<Self>) {
        let state = {
            let mut state = self.state.lock().unwrap();
            state.pending -= 1;
            if state.pending > 0 {
                return;
            }
            std::mem::take(&mut *state)
        };
        self.check(&state);
        let is_drained = match &self.queue {
            CallQueue::Shared => true,
            CallQueue::Own(queue) => {
                queue.shutdown();
                queue.is_drained()
            }
            CallQueue::Callback(queue) => {
                queue.shutdown();
                queue.is_drained()
            }
        };
        if !is_drained {
            self.service.ledger.fault(format!("{self:?}: its queue has more than it was given"));
        }
        let mut live = self.service.live.lock().unwrap();
        *live -= 1;
        if *live == 0 {
            self.service.none_live.notify_all();
        }
    }

    fn check(&self, state: &State) {
        let fault = |what: &str| self.service.ledger.fault(format!("{self:?}: {what}"));
        let Some(is_cancelled) = state.close else { return fault("it ended without its close") };
        if is_cancelled {
            self.service.counts.cancelled.fetch_add(1, SeqCst);
        } else if state.has_failed {
            fault("an operation failed, and the close says that the call was not cancelled");
        } else if self.plan.holds {
            fault("it had no status, and the close says that the call was not cancelled");
        }
        if is_cancelled && state.finish == Some(true) {
            fault("its status was sent, and the close says that the call was cancelled");
        }
        if !is_cancelled && state.finish != Some(true) {
            fault("its status was not sent, and the close says that the call was not cancelled");
        }
    }
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {:?}", self.kind, self.plan)
    }
}

/// A service with its threads.
pub(crate) struct Running {
    pub(crate) service: Arc<Service>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Running {
    pub(crate) fn start(threads: usize) -> Self {
        let service = Service::start(Arc::new(Ledger::new()));
        let spawn = |index: usize| {
            let service = service.clone();
            let name = format!("server-{index}");
            let thread = std::thread::Builder::new().name(name);
            thread.spawn(move || service.serve(index.is_multiple_of(2))).expect("a thread starts")
        };
        let threads = (0..threads).map(spawn).collect();
        Self { service, threads }
    }

    /// Waits for the end of the threads, which comes when the service is shut down and all
    /// connections are closed.
    pub(crate) fn join(self, within: Duration) {
        let deadline = Instant::now() + within;
        // A thread's end has no wait with a deadline; the one who waits is woken by another.
        let (sender, receiver) = std::sync::mpsc::channel();
        let waiter = std::thread::spawn(move || {
            for thread in self.threads {
                thread.join().expect("a server thread panicked");
            }
            let _ = sender.send(());
        });
        let ended = receiver.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        assert!(ended.is_ok(), "the server does not end: {:?}", self.service.counts);
        waiter.join().expect("the server's threads have ended");
    }
}
