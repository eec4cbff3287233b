//! One end against the other, over a socket and the real engine.

use super::peer::{Seen, request};
use crate::iomgr::{
    Deadline, ExecCtx, Iomgr, Pollset, endpoint_for_tests, iomgr_for_tests, pollset_for_tests,
};
use crate::status::Status;
use crate::sync::Mutex;
use crate::testing::PATIENCE;
use crate::transport::h2::{ClientConfig, ClientTransport, Config, ServerTransport};
use crate::transport::{
    Acceptor, ClientStream, ClientTransport as _, Head, Message, Stream, Transport as _,
};
use bytes::Bytes;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// A server that keeps its calls for the test.
#[derive(Default)]
struct Server {
    streams: Mutex<Vec<(Head, Box<dyn Stream>)>>,
    closed: Mutex<usize>,
}

impl Acceptor for Server {
    fn on_stream(self: Arc<Self>, head: Head, stream: Box<dyn Stream>) {
        self.streams.lock().push((head, stream));
    }

    fn on_closed(&self, _id: usize) {
        *self.closed.lock() += 1;
    }
}

struct Ends {
    iomgr: Arc<Iomgr>,
    pollset: Arc<Pollset>,
    server: Arc<Server>,
    served: Arc<ServerTransport>,
    seen: Arc<Seen>,
    client: Arc<ClientTransport>,
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

impl Ends {
    fn over((ours, theirs): (OwnedFd, OwnedFd), config: Config) -> Self {
        let iomgr = iomgr_for_tests();
        let (server, seen) = (Arc::<Server>::default(), Arc::<Seen>::default());
        let endpoint = endpoint_for_tests(&iomgr, theirs);
        let acceptor = server.clone();
        let config = Arc::new(config);
        let served = ServerTransport::new(endpoint, 1, config, acceptor, iomgr.clone(), None);
        served.start();
        let endpoint = endpoint_for_tests(&iomgr, ours);
        let config = Arc::new(ClientConfig::default());
        let client = ClientTransport::new(endpoint, config, seen.clone(), iomgr.clone());
        client.begin(Deadline::NONE);
        let pollset = pollset_for_tests(&iomgr);
        let ends = Self { iomgr, pollset, server, served, seen, client };
        ends.work_until(|| ends.seen.told().is_ready);
        ends
    }

    fn new(config: Config) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        Self::over((ours.into(), theirs.into()), config)
    }

    #[track_caller]
    fn work_until(&self, mut is_done: impl FnMut() -> bool) {
        let patience = Deadline::after(PATIENCE);
        let exec = ExecCtx::enter();
        while !is_done() {
            assert!(!patience.has_passed(), "nothing happened");
            exec.flush();
            self.iomgr.work(&self.pollset, Deadline::NOW, || true);
            exec.flush();
        }
    }

    #[track_caller]
    fn wait<R>(&self, mut poll: impl FnMut() -> Poll<R>) -> R {
        let mut result = None;
        self.work_until(|| match poll() {
            Poll::Ready(ready) => result.replace(ready).is_none(),
            Poll::Pending => false,
        });
        result.unwrap()
    }

    fn begin(&self) -> Box<dyn ClientStream> {
        self.client.clone().start(request())
    }

    /// The server's end of the next call.
    fn accept(&self) -> (Head, Box<dyn Stream>) {
        self.work_until(|| !self.server.streams.lock().is_empty());
        self.server.streams.lock().remove(0)
    }

    /// Receives at either end.
    fn receive(
        &self,
        stream: &mut (impl crate::transport::MessageStream + ?Sized),
    ) -> Option<Bytes> {
        let message = self.wait(|| {
            stream.take_in(&mut context());
            stream.poll_message(&mut context())
        });
        message.unwrap().map(|message| message.data)
    }

    fn send(&self, stream: &mut (impl crate::transport::MessageStream + ?Sized), data: Bytes) {
        stream.begin_message(Message { compressed: false, data }).unwrap();
        self.wait(|| stream.poll_send_message(&mut context())).unwrap();
    }

    fn status(&self, stream: &mut dyn ClientStream) -> (String, bool) {
        let ended = self.wait(|| stream.poll_ended(&mut context()));
        (ended.status.to_string(), ended.is_unprocessed())
    }
}

/// A call with a message each way, which the server may take in pieces.
fn echo(ends: &Ends, data: Bytes) {
    let mut call = ends.begin();
    let mut message = Some(data.clone());
    call.begin_message(Message { compressed: false, data: data.clone() }).unwrap();
    let mut served = None;
    let received = ends.wait(|| {
        if message.is_some() && call.poll_send_message(&mut context()).is_ready() {
            message = None;
            call.half_close().unwrap();
        }
        let next = ends.server.streams.lock().pop();
        served = next.or_else(|| served.take());
        let Some((_, stream)) = &mut served else { return Poll::Pending };
        stream.take_in(&mut context());
        stream.poll_message(&mut context())
    });
    let (head, mut served) = served.unwrap();
    assert_eq!(head.method(), "/test.Test/Test");
    assert_eq!(received.unwrap().unwrap().data, data);
    // The end behind it.
    assert_eq!(ends.receive(&mut *served), None);
    served.send_initial_metadata(head.metadata, None).unwrap();
    served.begin_message(Message { compressed: false, data: data.clone() }).unwrap();
    let mut is_ended = false;
    let back = ends.wait(|| {
        if !is_ended && served.poll_send_message(&mut context()).is_ready() {
            is_ended = true;
            served.send_status(Status::ok()).unwrap();
        }
        call.take_in(&mut context());
        call.poll_message(&mut context())
    });
    assert_eq!(back.unwrap().unwrap().data, data);
    assert!(ends.wait(|| call.poll_answer(&mut context())).is_some());
    assert_eq!(ends.receive(&mut *call), None);
    assert_eq!(ends.status(&mut *call), ("OK".to_owned(), false));
}

#[test]
fn messages_of_all_sizes_go_both_ways() {
    let ends = Ends::new(Config::default());
    for size in [0, 1, 100, 20_000, 271_828, 3_000_000] {
        echo(&ends, vec![7; size].into());
    }
}

#[test]
fn messages_go_both_ways_over_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (theirs, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    theirs.set_nonblocking(true).unwrap();
    let ends = Ends::over((ours.into(), theirs.into()), Config::default());
    echo(&ends, vec![7; 1_000_000].into());
}

#[test]
fn many_calls_share_the_places_of_a_server() {
    const CALLS: usize = 100;
    let config = Config { max_concurrent_streams: Some(3), ..Config::default() };
    let ends = Ends::new(config);
    let mut calls: Vec<_> = (0..CALLS).map(|_| ends.begin()).collect();
    for call in &mut calls {
        let (_, mut served) = ends.accept();
        assert!(ends.server.streams.lock().len() < 3);
        ends.send(&mut **call, "question".into());
        call.half_close().unwrap();
        assert_eq!(ends.receive(&mut *served).unwrap(), "question");
        served.send_status(Status::not_found("none")).unwrap();
        drop(served);
        let (status, is_unprocessed) = ends.status(&mut **call);
        assert_eq!((&*status, is_unprocessed), ("NOT_FOUND: none", false));
    }
}

/// Each call ends: with its status, or to begin again elsewhere.
#[test]
fn a_server_that_goes_away_ends_its_calls_first() {
    let ends = Ends::new(Config::default());
    let mut first = ends.begin();
    let (_, mut served) = ends.accept();
    ends.served.clone().go_away();
    ends.work_until(|| !ends.seen.told().goaways.is_empty());
    let mut late = ends.begin();
    assert!(ends.status(&mut *late).1, "it can begin elsewhere");
    served.send_status(Status::ok()).unwrap();
    drop(served);
    assert_eq!(ends.status(&mut *first), ("OK".to_owned(), false));
    ends.work_until(|| !ends.seen.told().closed.is_empty());
    ends.work_until(|| *ends.server.closed.lock() == 1);
}

#[test]
fn a_client_that_goes_away_ends_its_calls_first() {
    let ends = Ends::new(Config::default());
    let mut call = ends.begin();
    let (_, mut served) = ends.accept();
    ends.client.clone().go_away();
    served.send_status(Status::ok()).unwrap();
    drop(served);
    assert_eq!(ends.status(&mut *call), ("OK".to_owned(), false));
    ends.work_until(|| !ends.seen.told().closed.is_empty());
    ends.work_until(|| *ends.server.closed.lock() == 1);
}

#[test]
fn a_server_sees_that_a_call_is_cancelled() {
    let ends = Ends::new(Config::default());
    for is_dropped in [false, true] {
        let mut call = ends.begin();
        let (_, mut served) = ends.accept();
        if is_dropped {
            drop(call);
        } else {
            call.cancel(Status::cancelled("enough"));
        }
        let cause = ends.wait(|| served.poll_cancelled(&mut context()));
        assert!(cause.to_string().starts_with("CANCELLED"), "{cause}");
    }
}

/// 256 bytes and fewer are charged by h2 while they wait in it: see `DATA_FRAME_BUDGET`.
#[test]
fn a_burst_of_small_messages_arrives_whole_at_a_client_who_starts_late() {
    const MESSAGES: usize = 20_000;
    let ends = Ends::new(Config::default());
    let mut call = ends.begin();
    let (_, mut served) = ends.accept();
    served.send_initial_metadata(crate::metadata::Metadata::new(), None).unwrap();
    let (mut sent, mut is_begun) = (0, false);
    let mut received = 0;
    ends.work_until(|| {
        while sent < MESSAGES {
            if !is_begun {
                let data = Bytes::from_static(b"x");
                served.begin_message(Message { compressed: false, data }).unwrap();
            }
            is_begun = served.poll_send_message(&mut context()).is_pending();
            if is_begun {
                break;
            }
            sent += 1;
        }
        // Half of them wait.
        call.take_in(&mut context());
        while received < MESSAGES && (sent > MESSAGES / 2 || is_begun) {
            let Poll::Ready(message) = call.poll_message(&mut context()) else { break };
            assert_eq!(message.unwrap().unwrap().data, "x");
            received += 1;
        }
        received == MESSAGES
    });
    served.send_status(Status::ok()).unwrap();
    assert_eq!(ends.status(&mut *call), ("OK".to_owned(), false));
}
