//! A service, and calls of it on queues.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Poll, Waker};
use std::time::Duration;

use turnstile::client::Call;
use turnstile::{
    Batch, CallOptions, Channel, CompletionQueue, Deadline, MethodDescriptor, Response, Server,
    Service, Status, block_on, codec, service, sleep,
};

/// Where a test that would hang ends instead.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const GREET: MethodDescriptor<String, String> =
    MethodDescriptor::unary("/test.Greeter/Greet");

pub(crate) fn greeter() -> Service {
    service::Builder::new("test.Greeter", ())
        .unary(GREET, |_, name| async move { Ok(Response::new(format!("Hello {}", *name))) })
        .build()
}

/// A server, without threads.
pub(crate) fn bind(address: &str) -> Server {
    Server::builder().add_service(greeter()).bind(address).unwrap()
}

/// How a unary call ended.
pub(crate) type Reply = Result<String, Status>;

/// Calls on one queue.
pub(crate) struct Caller {
    pub(crate) channel: Channel,
    pub(crate) cq: CompletionQueue<u32>,
}

impl Caller {
    pub(crate) fn new(channel: Channel) -> Self {
        Self { channel, cq: CompletionQueue::new() }
    }

    pub(crate) fn to(target: &str) -> Self {
        Self::new(Channel::connect(target).unwrap())
    }

    /// Begins a unary call.
    pub(crate) fn begin(&self, name: &str, options: CallOptions, tag: u32) -> Call<u32> {
        let call = self.channel.call(GREET.path(), options, &self.cq);
        let batch = Batch::new()
            .send_message(codec::encode(&name.to_owned()))
            .send_close()
            .receive_initial_metadata()
            .receive_message()
            .receive_status();
        call.start(batch, tag).unwrap();
        call
    }

    /// The next call that has ended.
    pub(crate) fn next(&self) -> (u32, Reply) {
        let mut event = self.cq.next(Deadline::after(PATIENCE)).expect("a call ends");
        let status = event.take_status().expect("a call ends with a status");
        let message = event.take_message();
        let reply = match message {
            Some(message) if status.is_ok() => Ok(codec::decode(message).unwrap()),
            _ => Err(status),
        };
        (event.tag, reply)
    }

    pub(crate) fn call(&self, name: &str, options: CallOptions) -> Reply {
        let _call = self.begin(name, options, 7);
        let (tag, reply) = self.next();
        assert_eq!(tag, 7);
        reply
    }
}

/// A port on which nobody listens: one that was free a moment ago.
pub(crate) fn unused_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Something that a server's thread does, and the thread of the client waits for. The one who waits does
/// the process's I/O.
#[derive(Default)]
pub(crate) struct Signal(Mutex<(bool, Option<Waker>)>);

impl Signal {
    pub(crate) fn set(&self) {
        let waker = {
            let mut state = self.0.lock().unwrap();
            state.0 = true;
            state.1.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn wait(&self) {
        let mut patience = pin!(sleep(PATIENCE));
        block_on(poll_fn(|context| {
            let is_set = {
                let mut state = self.0.lock().unwrap();
                state.1 = Some(context.waker().clone());
                state.0
            };
            if is_set {
                return Poll::Ready(());
            }
            assert!(patience.as_mut().poll(context).is_pending(), "the other thread has failed");
            Poll::Pending
        }));
    }
}
