//! A server on the public API. It counts its tags: what went in must come out, once.

use std::collections::HashSet;
use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use prost::Message;
use turnstile::{Batch, Builder, Call, CompletionQueue, Deadline, Event, Method, Server, Status};
use turnstile::{Bytes, codec};
use turnstile_protos::helloworld::{HelloReply, HelloRequest};

use super::PATIENCE;
use super::request::{COUNT, HOLD, SAY_HELLO};

/// One server at a time, since sockets are counted in the whole process.
static SERIAL: Mutex<()> = Mutex::new(());

/// Waits until no other test has a server.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    SERIAL.lock().unwrap_or_else(PoisonError::into_inner)
}

const THREADS: usize = 2;
const REQUESTS: usize = 4;

pub(crate) struct TestServer {
    shared: Arc<Shared>,
    address: SocketAddr,
    workers: Vec<JoinHandle<()>>,
    sockets_before: usize,
    _serial: MutexGuard<'static, ()>,
}

struct Shared {
    cq: CompletionQueue<Tag>,
    server: Mutex<Option<Server>>,
    methods: [Method; 3],
    state: Mutex<State>,
    changed: Condvar,
}

/// What has happened.
#[derive(Default)]
pub(crate) struct State {
    last_id: u64,
    /// The tags that are in the queue.
    inside: HashSet<u64>,
    held: Vec<Arc<Call<Tag>>>,
    /// Calls of Hold that are over, and how many of these were cancelled.
    pub(crate) closed: usize,
    pub(crate) cancelled: usize,
    /// Requests for calls that came out without one.
    pub(crate) failed_requests: usize,
    pub(crate) failed_sends: usize,
    pub(crate) shutdowns: usize,
}

struct Tag {
    id: u64,
    kind: Kind,
}

enum Kind {
    Requested(usize),
    Counted(Arc<Counting>),
    Closed,
    Sent,
    ShutDown,
}

struct Counting {
    call: Call<Tag>,
    messages: usize,
    bytes: usize,
}

impl TestServer {
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    /// With settings, and on addresses besides 127.0.0.1.
    pub(crate) fn with(configure: impl FnOnce(&mut Builder)) -> Self {
        let serial = alone();
        let sockets_before = open_sockets();
        let mut builder = Server::builder();
        let methods = [
            builder.register_unary(SAY_HELLO),
            builder.register_method(COUNT),
            builder.register_method(HOLD),
        ];
        configure(&mut builder);
        let server = builder.bind("127.0.0.1:0").expect("there is a free port");
        let address = server.local_addr().expect("it listens on TCP");
        let shared = Arc::new(Shared {
            cq: CompletionQueue::new(),
            server: Mutex::new(Some(server)),
            methods,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        for _ in 0..REQUESTS {
            (0..3).for_each(|method| shared.request(method));
        }
        let work = |_| {
            let shared = shared.clone();
            thread::spawn(move || {
                while let Some(turn) = shared.cq.turn(Deadline::NONE) {
                    turn.for_each(|event| shared.handle(event));
                }
            })
        };
        let workers = (0..THREADS).map(work).collect();
        Self { shared, address, workers, sockets_before, _serial: serial }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn server(&self) -> MutexGuard<'_, Option<Server>> {
        self.shared.server.lock().expect("no worker panicked")
    }

    /// Begins a graceful shutdown.
    pub(crate) fn shut_down(&self) {
        let tag = self.shared.tag(Kind::ShutDown);
        let server = self.server();
        server
            .as_ref()
            .expect("it was not dropped")
            .shutdown_and_notify(&self.shared.cq, tag)
            .unwrap();
    }

    pub(crate) fn cancel_all_calls(&self) {
        self.server().as_ref().expect("it was not dropped").cancel_all_calls();
    }

    /// Drops the server itself; its queue goes on.
    pub(crate) fn drop_server(&self) {
        let server = self.server().take();
        assert!(server.is_some(), "it was dropped before");
    }

    /// Lets no operation begin on the queue.
    pub(crate) fn shut_queue_down(&self) {
        self.shared.cq.shutdown();
    }

    /// Waits until this has happened.
    #[track_caller]
    pub(crate) fn wait_for(&self, what: &str, mut has: impl FnMut(&State) -> bool) {
        let state = self.shared.state.lock().expect("no worker panicked");
        let waiting = self.shared.changed.wait_timeout_while(state, PATIENCE, |it| !has(it));
        let (state, result) = waiting.expect("no worker panicked");
        drop(state);
        assert!(!result.timed_out(), "{what} has not happened");
    }

    /// Looks at what has happened.
    pub(crate) fn state<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        look(&self.shared.state.lock().expect("no worker panicked"))
    }

    /// Waits for a call of Hold.
    #[track_caller]
    pub(crate) fn wait_for_held_call(&self) {
        self.wait_for("a call of Hold", |state| !state.held.is_empty());
    }

    /// Answers a call of Hold, with a message of this length.
    #[track_caller]
    pub(crate) fn answer_held_call(&self, length: usize) {
        self.wait_for_held_call();
        let call = self.shared.state.lock().expect("no worker panicked").held.remove(0);
        let batch = Batch::new().send_message(vec![7; length]).send_status(Status::ok());
        call.start(batch, self.shared.tag(Kind::Sent)).unwrap();
    }

    /// Waits until the process has this many sockets more than before the server.
    #[track_caller]
    pub(crate) fn wait_for_sockets(&self, expected: usize) {
        let expected = self.sockets_before + expected;
        let came = crate::support::poll_until(PATIENCE, || open_sockets() == expected);
        assert!(came, "{} sockets are open, not {expected}", open_sockets());
    }

    /// Ends everything, and asserts that no tag and no socket was lost. Clients must be gone.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        if self.server().is_some() {
            let before = self.state(|state| state.shutdowns);
            self.shut_down();
            self.cancel_all_calls();
            self.wait_for("the shutdown", |state| state.shutdowns == before + 1);
        }
        self.shared.state.lock().expect("no worker panicked").held.clear();
        self.shared.cq.shutdown();
        for worker in self.workers.drain(..) {
            worker.join().expect("no worker panicked");
        }
        assert!(self.shared.cq.is_drained());
        assert_eq!(self.state(|state| state.inside.len()), 0, "tags that did not come out");
        self.server().take();
        self.wait_for_sockets(0);
    }
}

impl Shared {
    /// A new tag, which goes in.
    fn tag(&self, kind: Kind) -> Tag {
        let mut state = self.state.lock().unwrap();
        state.last_id += 1;
        let id = state.last_id;
        state.inside.insert(id);
        Tag { id, kind }
    }

    /// A tag is out, or was refused.
    fn note(&self, id: u64, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap();
        assert!(state.inside.remove(&id), "tag {id} came out twice");
        change(&mut state);
        drop(state);
        self.changed.notify_all();
    }

    fn request(&self, method: usize) {
        let tag = self.tag(Kind::Requested(method));
        let server = self.server.lock().unwrap();
        let refused = match &*server {
            Some(server) => server
                .request_registered_call(&self.methods[method], &self.cq, &self.cq, tag)
                .map_err(|refused| refused.0),
            None => Err(tag),
        };
        drop(server);
        if let Err(tag) = refused {
            self.note(tag.id, |_| {});
        }
    }

    fn start(&self, call: &Call<Tag>, batch: Batch, kind: Kind) {
        let tag = self.tag(kind);
        if let Err(refused) = call.start(batch, tag) {
            self.note(refused.into_parts().1.id, |_| {});
        }
    }

    fn handle(&self, mut event: Event<Tag>) {
        let (is_ok, is_cancelled) = (event.is_ok(), event.is_cancelled());
        let call = event.take_call();
        let message = event.take_message();
        let Tag { id, kind } = event.tag;
        match kind {
            Kind::Requested(method) => match call {
                Some(call) => {
                    self.request(method);
                    self.serve(method, call, message);
                    self.note(id, |_| {});
                }
                None => self.note(id, |state| state.failed_requests += usize::from(!is_ok)),
            },
            Kind::Counted(counting) => {
                self.note(id, |_| {});
                if is_ok {
                    self.count(counting, message);
                }
            }
            Kind::Closed => self.note(id, |state| {
                state.closed += 1;
                state.cancelled += usize::from(is_cancelled);
            }),
            Kind::Sent => self.note(id, |state| state.failed_sends += usize::from(!is_ok)),
            Kind::ShutDown => {
                assert!(is_ok);
                self.note(id, |state| state.shutdowns += 1);
            }
        }
    }

    fn serve(&self, method: usize, call: Call<Tag>, message: Option<Bytes>) {
        match method {
            0 => {
                let batch = match say(message) {
                    Ok(reply) => Batch::new().send_message(reply).send_status(Status::ok()),
                    Err(status) => Batch::new().send_status(status),
                };
                self.start(&call, batch, Kind::Sent);
            }
            1 => self.receive(Arc::new(Counting { call, messages: 0, bytes: 0 })),
            _ => {
                self.start(&call, Batch::new().receive_close(), Kind::Closed);
                self.state.lock().unwrap().held.push(Arc::new(call));
            }
        }
    }

    fn receive(&self, counting: Arc<Counting>) {
        let tag = self.tag(Kind::Counted(counting.clone()));
        if let Err(refused) = counting.call.start(Batch::new().receive_message(), tag) {
            self.note(refused.into_parts().1.id, |_| {});
        }
    }

    fn count(&self, counting: Arc<Counting>, message: Option<Bytes>) {
        // The thread that started the batch may not have let go of it yet.
        let mut counting = counting;
        let counted = loop {
            match Arc::try_unwrap(counting) {
                Ok(counted) => break counted,
                Err(shared) => counting = shared,
            }
            thread::yield_now();
        };
        let Counting { call, messages, bytes } = counted;
        match message {
            Some(message) => {
                let (messages, bytes) = (messages + 1, bytes + message.len());
                self.receive(Arc::new(Counting { call, messages, bytes }));
            }
            None => {
                let message = format!("{messages} messages, {bytes} bytes");
                let reply = codec::encode(&HelloReply { message });
                let batch = Batch::new().send_message(reply).send_status(Status::ok());
                self.start(&call, batch, Kind::Sent);
            }
        }
    }
}

fn say(message: Option<Bytes>) -> Result<Vec<u8>, Status> {
    let message =
        message.ok_or_else(|| Status::unimplemented("SayHello wants one message, and got none"))?;
    let HelloRequest { name } = codec::decode(message)?;
    Ok(HelloReply { message: format!("Hello {name}") }.encode_to_vec())
}

/// How many sockets this process has open.
fn open_sockets() -> usize {
    let entries = fs::read_dir("/proc/self/fd").expect("Linux has /proc");
    let links = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
}
