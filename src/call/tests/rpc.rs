//! One call with both its ends in the test's hands.

use crate::call::{Batch, Call, CallCore, MessageRules, Observer, Outcome, Owner};
use crate::compression::Encoding;
use crate::cq::{CompletionQueue, sealed::Queue as _};
use crate::iomgr::{Deadline, ExecCtx, Iomgr, Pollset, iomgr_for_tests, pollset_for_tests};
use crate::metadata::Metadata;
use crate::stats::Stats;
use crate::status::Status;
use crate::transport::{Acceptor, Head, Stream};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, Weak};
use std::task::Poll;
use std::time::Duration;

/// Long enough that only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a call ended for its client.
#[derive(Clone, Debug)]
pub(super) enum End {
    Status(Status),
    /// Without a status: a reset, or the connection broke.
    Broken,
}

impl End {
    pub(super) fn status(self) -> Status {
        match self {
            Self::Status(status) => status,
            Self::Broken => panic!("the call ended without a status"),
        }
    }
}

pub(super) struct Options {
    /// What the client tells the server.
    pub(super) timeout: Option<Duration>,
    /// What it keeps to itself.
    pub(super) client_timeout: Option<Duration>,
    /// What its messages may be, but for the compression.
    pub(super) client_rules: MessageRules,
    pub(super) max_message_size: usize,
    /// The limit of a message that the server sends.
    pub(super) max_send_size: usize,
    /// Of each direction of a call.
    pub(super) window: usize,
    /// The longest piece of a message that the client sends at once, where it sends pieces.
    pub(super) piece: usize,
    pub(super) stats: Option<Arc<dyn Stats>>,
    /// What the server compresses replies with.
    pub(super) replies: Option<Encoding>,
    /// What the client compresses its messages with, where messages are compressed at all.
    pub(super) requests: Option<Encoding>,
    /// What the server can read, where a test may choose.
    pub(super) server_accepts: &'static [Encoding],
    /// What the client says that it can read, where it says that.
    pub(super) accepts: &'static str,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeout: None,
            client_timeout: None,
            client_rules: MessageRules::default(),
            max_message_size: 4 * 1024 * 1024,
            max_send_size: usize::MAX,
            window: 64 * 1024,
            piece: usize::MAX,
            stats: None,
            replies: None,
            requests: None,
            server_accepts: Encoding::ALL,
            accepts: "identity",
        }
    }
}

/// A client with one call, over some transport. Whatever is pending is polled again after
/// [`work`](Self::work).
pub(super) trait Peer: Sized {
    fn connect(server: &Arc<TestServer>, options: &Options) -> Self;

    /// Does what the client's end of the connection has to do.
    fn work(&mut self);

    /// Changes with everything that moves between the two ends by `work`.
    fn activity(&self) -> usize;

    /// Begins the call.
    fn start(&mut self, timeout: Option<Duration>);

    fn begin_message(&mut self, message: Bytes);

    /// Ready with whether the message has left; not if the call has ended.
    fn poll_send(&mut self) -> Poll<bool>;

    fn half_close(&mut self);

    fn cancel(&mut self);

    fn poll_message(&mut self) -> Poll<Option<Bytes>>;

    /// How the call ended, once `poll_message` has given `None`.
    fn end(&mut self) -> Option<End>;

    /// What came first, if it was not the status.
    fn initial_metadata(&mut self) -> Option<Metadata>;

    /// The server's end of the transport is aborted.
    fn abort(&mut self);

    /// The client goes away without a word.
    fn vanish(&mut self);
}

/// Takes the calls of a transport, and does a server's work when told.
pub(super) struct TestServer {
    pub(super) iomgr: Arc<Iomgr>,
    pollset: Arc<Pollset>,
    stats: Option<Arc<dyn Stats>>,
    rules: MessageRules,
    calls: Mutex<VecDeque<Owner>>,
    closed: Mutex<Vec<usize>>,
}

impl TestServer {
    fn new(options: &Options) -> Arc<Self> {
        let iomgr = iomgr_for_tests();
        Arc::new(Self {
            pollset: pollset_for_tests(&iomgr),
            iomgr,
            stats: options.stats.clone(),
            rules: MessageRules {
                max_receive_size: options.max_message_size,
                max_send_size: options.max_send_size,
                compression: options.replies,
            },
            calls: Mutex::default(),
            closed: Mutex::default(),
        })
    }

    /// Runs what is scheduled, after waiting for that until `deadline`.
    fn work(&self, deadline: Deadline) {
        let context = ExecCtx::enter();
        context.flush();
        self.iomgr.work(&self.pollset, deadline, || true);
        context.flush();
    }
}

impl Acceptor for TestServer {
    fn on_stream(self: Arc<Self>, head: Head, stream: Box<dyn Stream>) {
        let observer = Observer::new(self.stats.clone(), true);
        let call = CallCore::new(head, stream, self.iomgr.clone(), observer, self.rules);
        let owner = Owner::new(call.clone());
        call.begin();
        self.calls.lock().unwrap().push_back(owner);
    }

    fn on_closed(&self, id: usize) {
        self.closed.lock().unwrap().push(id);
    }
}

/// A call, its client and its server.
pub(super) struct Rpc<P: Peer, T: Send + 'static = u32> {
    pub(super) client: P,
    server: Arc<TestServer>,
    queue: Option<CompletionQueue<T, Outcome>>,
    call: Option<Call<T>>,
}

impl<P: Peer, T: Send + 'static> Rpc<P, T> {
    pub(super) fn new() -> Self {
        Self::with(Options::default())
    }

    pub(super) fn with(options: Options) -> Self {
        let server = TestServer::new(&options);
        let mut client = P::connect(&server, &options);
        client.start(options.timeout);
        let queue = CompletionQueue::new();
        let mut rpc = Self { client, server, queue: Some(queue), call: None };
        rpc.settle();
        let owner = rpc.server.calls.lock().unwrap().pop_front().expect("the call has come");
        let core = rpc.queue.as_ref().unwrap().core().clone();
        rpc.call = Some(Call::new(owner, core));
        rpc
    }

    /// Works both ends until nothing moves.
    pub(super) fn settle(&mut self) {
        loop {
            let before = self.client.activity();
            self.client.work();
            self.server.work(Deadline::NOW);
            if self.client.activity() == before {
                return;
            }
        }
    }

    pub(super) fn call(&self) -> &Call<T> {
        self.call.as_ref().expect("the call is not dropped")
    }

    pub(super) fn drop_call(&mut self) {
        self.call = None;
        self.settle();
    }

    pub(super) fn drop_queue(&mut self) {
        self.queue = None;
        self.settle();
    }

    pub(super) fn shut_down_queue(&mut self) {
        self.queue.as_ref().expect("the queue is not dropped").shutdown();
    }

    /// Lets the call's deadline pass while nobody does I/O, as on a thread that is busy: its timer
    /// does not fire before the next `settle`.
    pub(super) fn let_the_deadline_pass(&self) {
        let deadline = self.call().deadline();
        while !deadline.has_passed() {
            std::thread::sleep(deadline.remaining().expect("the call has a deadline"));
        }
    }

    /// The call as its handler has it.
    pub(super) fn handled(&self) -> Arc<CallCore> {
        self.call().owner.core().clone()
    }

    /// The call, without keeping it alive.
    pub(super) fn core(&self) -> Weak<CallCore> {
        Arc::downgrade(self.call().owner.core())
    }

    pub(super) fn start(&mut self, batch: Batch, tag: T) {
        self.call().start(batch, tag).unwrap();
        self.settle();
    }

    /// The next event, which must be there.
    pub(super) fn event(&mut self) -> crate::cq::Event<T, Outcome> {
        self.try_event().expect("an event is ready")
    }

    pub(super) fn try_event(&mut self) -> Option<crate::cq::Event<T, Outcome>> {
        self.settle();
        self.queue.as_ref().expect("the queue is not dropped").next(Deadline::NOW)
    }

    /// Waits for an event that needs a clock.
    pub(super) fn wait_event(&mut self) -> crate::cq::Event<T, Outcome> {
        self.wait_for(Self::try_event)
    }

    /// Works both ends until something is there that needs a clock.
    pub(super) fn wait_for<R>(&mut self, mut look: impl FnMut(&mut Self) -> Option<R>) -> R {
        let patience = Deadline::after(PATIENCE);
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(!patience.has_passed(), "nothing happened");
            self.server.work(patience);
        }
    }

    /// The client begins to send, and gets as far as it does: ready with whether it has sent all,
    /// and not if the call has ended.
    pub(super) fn begin_send(&mut self, message: impl Into<Bytes>) -> Poll<bool> {
        self.client.begin_message(message.into());
        self.go_on_sending()
    }

    pub(super) fn go_on_sending(&mut self) -> Poll<bool> {
        self.poll_until_stuck(P::poll_send)
    }

    /// The client sends a message, for which there is room.
    pub(super) fn send(&mut self, message: impl Into<Bytes>) {
        assert_eq!(self.begin_send(message), Poll::Ready(true), "there is no room to send");
    }

    pub(super) fn half_close(&mut self) {
        self.client.half_close();
        self.settle();
    }

    /// The client receives a message, or `None` at the end.
    pub(super) fn try_receive(&mut self) -> Poll<Option<Bytes>> {
        self.poll_until_stuck(P::poll_message)
    }

    /// The client receives a message that must be there.
    pub(super) fn receive(&mut self) -> Bytes {
        match self.try_receive() {
            Poll::Ready(Some(message)) => message,
            other => panic!("no message came: {other:?}"),
        }
    }

    /// How the call ended for its client, which has had its last message.
    pub(super) fn end(&mut self) -> End {
        assert_eq!(self.try_receive(), Poll::Ready(None), "the call has not ended");
        self.client.end().expect("no message comes, so how it ended is known")
    }

    /// How many calls have come besides that of the test.
    pub(super) fn others(&self) -> usize {
        self.server.calls.lock().unwrap().len()
    }

    /// Ends these.
    pub(super) fn finish_others(&mut self, status: &Status) {
        let others: Vec<_> = self.server.calls.lock().unwrap().drain(..).collect();
        others.iter().for_each(|other| other.core().finish(status.clone().into()));
        self.settle();
    }

    /// How many transports are closed.
    pub(super) fn closed(&self) -> usize {
        self.server.closed.lock().unwrap().len()
    }

    fn poll_until_stuck<R>(&mut self, mut poll: impl FnMut(&mut P) -> Poll<R>) -> Poll<R> {
        let mut idle = 0;
        while idle < 2 {
            // A poll may do all that there is to do.
            let before = self.client.activity();
            if let Poll::Ready(result) = poll(&mut self.client) {
                self.settle();
                return Poll::Ready(result);
            }
            self.settle();
            idle = if self.client.activity() == before { idle + 1 } else { 0 };
        }
        Poll::Pending
    }
}
