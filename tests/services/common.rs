//! What these tests share: a server for the length of a test, calls, and things to wait for.

use std::fmt::Debug;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use turnstile::codec::Raw;
use turnstile::service::Builder as ServiceBuilder;
use turnstile::test_server::TestServer;
use turnstile::{Bytes, MethodDescriptor, Server, Service, block_on};

use crate::raw::PATIENCE;
use crate::raw::client::{Answer, Client};
use crate::raw::request::{Request, message};

pub(crate) const CANCELLED: u32 = 1;
pub(crate) const INVALID_ARGUMENT: u32 = 3;
pub(crate) const DEADLINE_EXCEEDED: u32 = 4;
pub(crate) const NOT_FOUND: u32 = 5;
pub(crate) const RESOURCE_EXHAUSTED: u32 = 8;
pub(crate) const UNIMPLEMENTED: u32 = 12;
pub(crate) const INTERNAL: u32 = 13;
pub(crate) const UNAVAILABLE: u32 = 14;
pub(crate) const UNAUTHENTICATED: u32 = 16;

/// A method whose messages are bytes.
pub(crate) type Plain = MethodDescriptor<Bytes, Bytes, Raw>;

pub(crate) const UNARY: Plain = Plain::unary("/test.Demo/Unary");
pub(crate) const CLIENT: Plain = Plain::client_streaming("/test.Demo/Client");
pub(crate) const SERVER: Plain = Plain::server_streaming("/test.Demo/Server");
pub(crate) const BIDI: Plain = Plain::bidi_streaming("/test.Demo/Bidi");
/// For blocking handlers beside async ones.
pub(crate) const BLOCKING: Plain = Plain::unary("/test.Demo/Blocking");
pub(crate) const BLOCKING_BIDI: Plain = Plain::bidi_streaming("/test.Demo/BlockingBidi");

/// The service of most tests, without methods.
pub(crate) fn demo() -> ServiceBuilder<()> {
    ServiceBuilder::new("test.Demo", ())
}

/// Runs a test against a service on this many threads.
pub(crate) fn serve(threads: usize, service: Service, test: impl FnOnce(&TestServer, SocketAddr)) {
    let mut builder = Server::builder();
    builder.add_service(service);
    serve_with(threads, &mut builder, test);
}

/// The same with any server.
pub(crate) fn serve_with(
    threads: usize,
    builder: &mut turnstile::Builder,
    test: impl FnOnce(&TestServer, SocketAddr),
) {
    // The raw client tells by PINGs how far the server has come.
    builder.min_ping_interval(Duration::ZERO).permit_pings_without_calls(true);
    thread::scope(|scope| {
        let server = TestServer::start(scope, threads, builder).expect("there is a free port");
        let server = server.grace(Duration::ZERO);
        let address = server.local_addr().expect("it listens on TCP");
        test(&server, address);
    });
}

/// A thread of no server, which does I/O for all of them as long as this lives.
pub(crate) struct Helper(Arc<Mutex<Stop>>);

#[derive(Default)]
struct Stop {
    is_wanted: bool,
    waker: Option<Waker>,
}

impl Helper {
    pub(crate) fn start<'scope>(scope: &'scope thread::Scope<'scope, '_>) -> Self {
        let stop = Arc::new(Mutex::new(Stop::default()));
        let stopped = stop.clone();
        scope.spawn(move || {
            block_on(poll_fn(|context| {
                let mut stop = stopped.lock().unwrap();
                stop.waker = Some(context.waker().clone());
                if stop.is_wanted { Poll::Ready(()) } else { Poll::Pending }
            }));
        });
        Self(stop)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let mut stop = self.0.lock().unwrap();
        stop.is_wanted = true;
        stop.waker.take().into_iter().for_each(Waker::wake);
    }
}

/// A request with these messages, and no more.
pub(crate) fn request(method: Plain, messages: &[&str]) -> Request {
    let body: Vec<u8> = messages.iter().flat_map(|text| message(text.as_bytes())).collect();
    Request::of(method.path()).body(body)
}

/// Calls a method on a connection of its own.
pub(crate) fn call(address: SocketAddr, method: Plain, messages: &[&str]) -> Answer {
    Client::connect(address).call(&request(method, messages))
}

/// The messages of a body.
#[track_caller]
pub(crate) fn texts(mut body: &[u8]) -> Vec<String> {
    let mut texts = Vec::new();
    while !body.is_empty() {
        let (prefix, rest) = body.split_first_chunk::<5>().expect("a whole prefix");
        let length = u32::from_be_bytes(prefix[1..].try_into().expect("four bytes")) as usize;
        assert!(prefix[0] == 0 && rest.len() >= length, "no whole message in {body:?}");
        let (text, rest) = rest.split_at(length);
        texts.push(String::from_utf8(text.to_vec()).expect("these tests send text"));
        body = rest;
    }
    texts
}

/// The messages of a call that went well.
#[track_caller]
pub(crate) fn ok(answer: &Answer) -> Vec<String> {
    assert_eq!((answer.http(), answer.code()), ("200", 0), "{answer:?}");
    texts(&answer.body)
}

pub(crate) fn text(bytes: &Bytes) -> String {
    String::from_utf8(bytes.to_vec()).expect("these tests send text")
}

/// Waits for what another thread reports.
#[track_caller]
pub(crate) fn next<T>(receiver: &Receiver<T>) -> T {
    receiver.recv_timeout(PATIENCE).expect("it is reported")
}

/// How many guards there are, or were.
#[derive(Clone, Default)]
pub(crate) struct Guards {
    made: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
}

/// Something that counts its drop.
pub(crate) struct Guard(Guards);

impl Guards {
    pub(crate) fn guard(&self) -> Guard {
        self.made.fetch_add(1, SeqCst);
        Guard(self.clone())
    }

    pub(crate) fn made(&self) -> usize {
        self.made.load(SeqCst)
    }

    pub(crate) fn dropped(&self) -> usize {
        self.dropped.load(SeqCst)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, SeqCst);
    }
}

/// Waits until a question, which nobody reports the answer of, has this answer.
#[track_caller]
pub(crate) fn until<T: PartialEq + Debug>(wanted: T, mut question: impl FnMut() -> T) {
    let came = crate::support::poll_until(PATIENCE, || question() == wanted);
    assert!(came, "it is {:?}, not {wanted:?}", question());
}
