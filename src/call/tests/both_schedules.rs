//! Random schedules at both ends: no message is lost, comes twice or out of order, and each batch
//! completes once.

use super::ends::Queue;
use super::{Ends, Link, Peer as _, Rpc};
use crate::call::Batch;
use crate::cq::sealed::Queue as _;
use crate::iomgr::Deadline;
use crate::metadata::Metadata;
use crate::status::{Code, Status};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestRunner};
use std::collections::HashMap;
use std::iter;

on_both_links! {
    nothing_is_lost_or_told_twice,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Starts a batch with the kinds of these bits, and a message of this length.
    AtClient {
        kinds: u8,
        length: usize,
    },
    AtServer {
        kinds: u8,
        length: usize,
    },
    Settle,
    ClientCancels,
    ServerCancels,
    ClientLetsGo,
    ServerLetsGo,
    GoAway,
    Abort,
}

const SENDS: u8 = 1;
const RECEIVES: u8 = 2;
/// The half-close of a client, and the status of a server.
const CLOSES: u8 = 4;
const RECEIVES_STATUS: u8 = 16;

fn step() -> impl Strategy<Value = Step> {
    let length = || prop_oneof![4..10_usize, 30_000..90_000_usize];
    // Most have one kind, so that calls do not end at once.
    let kinds = || prop_oneof![1 => any::<u8>(), 6 => Just(SENDS), 6 => Just(RECEIVES), 2 => (0..5_u8).prop_map(|kind| 1 << kind)];
    prop_oneof![
        30 => (kinds(), length()).prop_map(|(kinds, length)| Step::AtClient { kinds, length }),
        30 => (kinds(), length()).prop_map(|(kinds, length)| Step::AtServer { kinds, length }),
        20 => Just(Step::Settle),
        1 => Just(Step::ClientCancels),
        1 => Just(Step::ServerCancels),
        1 => Just(Step::ClientLetsGo),
        1 => Just(Step::ServerLetsGo),
        1 => Just(Step::GoAway),
        1 => Just(Step::Abort),
    ]
}

/// What the two kinds of batches have in common.
fn batch(kinds: u8, message: Bytes) -> Batch {
    let mut batch = Batch::new();
    if kinds & SENDS != 0 {
        batch = batch.send_message(message);
    }
    if kinds & RECEIVES != 0 {
        batch = batch.receive_message();
    }
    batch
}

fn clients_batch(kinds: u8, message: Bytes) -> Batch {
    let mut batch = batch(kinds, message);
    if kinds & CLOSES != 0 {
        batch = batch.send_close();
    }
    if kinds & 8 != 0 {
        batch = batch.receive_initial_metadata();
    }
    if kinds & RECEIVES_STATUS != 0 {
        batch = batch.receive_status();
    }
    batch
}

fn servers_batch(kinds: u8, message: Bytes) -> Batch {
    let mut batch = batch(kinds, message);
    if kinds & CLOSES != 0 {
        batch = batch.send_status(Status::ok());
    }
    if kinds & 8 != 0 {
        batch = batch.send_initial_metadata(Metadata::new());
    }
    if kinds & 16 != 0 {
        batch = batch.receive_close();
    }
    batch
}

/// One end of a call.
#[derive(Default)]
struct End {
    /// The batches that have not completed.
    pending: HashMap<u32, Pending>,
    /// How many messages were started.
    sent: u32,
    /// It has started what goes behind its last message.
    has_closed: bool,
    /// What each receive has brought, in the order of their start. A batch may complete later than
    /// the next one, when it waits for something else as well.
    received: Vec<Option<u32>>,
    /// It knows that the other end sends no more.
    is_at_end: bool,
}

struct Pending {
    /// Which receive it is, if it is one.
    receive: Option<usize>,
}

impl End {
    /// A message that says which it is.
    fn message(&self, length: usize) -> Bytes {
        let mut message = vec![0; length];
        message[..4].copy_from_slice(&self.sent.to_be_bytes());
        message.into()
    }

    fn started(&mut self, tag: u32, kinds: u8) {
        let receive = (kinds & RECEIVES != 0).then_some(self.received.len());
        self.received.extend(receive.map(|_| None));
        assert!(self.pending.insert(tag, Pending { receive }).is_none());
        // What is started on a call that is over fails by its event.
        self.sent += u32::from(kinds & SENDS != 0 && !self.has_closed);
        self.has_closed |= kinds & CLOSES != 0;
    }

    /// A batch has completed.
    fn took(&mut self, tag: u32, is_ok: bool, message: Option<Bytes>) {
        let pending = self.pending.remove(&tag);
        let Pending { receive } = pending.unwrap_or_else(|| panic!("{tag} came out twice"));
        match (receive, message) {
            (Some(at), Some(message)) => {
                let number = message[..4].try_into().expect("each message has a number");
                self.received[at] = Some(u32::from_be_bytes(number));
            }
            (Some(_), None) => self.is_at_end |= is_ok,
            (None, message) => assert_eq!(message, None, "nobody has asked for it"),
        }
    }

    /// How many messages have come from the other end, in whose order they must be.
    fn count(&self) -> u32 {
        assert!(self.pending.is_empty(), "{:?} did not complete", self.pending.keys());
        let messages = self.received.iter().take_while(|it| it.is_some()).count();
        let expected = (0..messages as u32).map(Some).chain(iter::repeat(None));
        let expected: Vec<_> = expected.take(self.received.len()).collect();
        assert_eq!(self.received, expected, "lost, out of order, or behind the end");
        messages as u32
    }
}

struct Both<L: Link> {
    rpc: Rpc<Ends<L>>,
    queue: Queue<u32>,
    client: End,
    server: End,
    /// What its status batches have said.
    status: Option<Code>,
}

impl<L: Link> Both<L> {
    fn take_events(&mut self) {
        while let Some(mut event) = self.rpc.try_event() {
            let message = event.take_message();
            self.server.took(event.tag, event.is_ok(), message);
        }
        while let Some(mut event) = self.queue.next(Deadline::NOW) {
            let (message, status) = (event.take_message(), event.take_status());
            self.client.took(event.tag, event.is_ok(), message);
            if let Some(status) = status {
                let code = *self.status.get_or_insert_with(|| status.code());
                assert_eq!(code, status.code(), "the call ended twice");
            }
        }
    }

    fn start_at_client(&mut self, tag: u32, kinds: u8, length: usize) {
        let batch = clients_batch(kinds, self.client.message(length));
        match self.rpc.client.call().start(self.queue.core(), batch, tag) {
            Ok(()) => self.client.started(tag, kinds),
            Err(error) => assert_eq!(error.into_parts().1, tag),
        }
    }

    fn start_at_server(&mut self, tag: u32, kinds: u8, length: usize) {
        match self.rpc.call().start(servers_batch(kinds, self.server.message(length)), tag) {
            Ok(()) => self.server.started(tag, kinds),
            Err(error) => assert_eq!(error.into_parts().1, tag),
        }
    }
}

fn run<L: Link>(steps: &[Step]) {
    let rpc: Rpc<Ends<L>> = Rpc::new();
    let queue = rpc.client.queue();
    let (client, server) = (End::default(), End::default());
    let mut both = Both { rpc, queue, client, server, status: None };
    let (mut has_client, mut has_server) = (true, true);
    for (tag, step) in (0..).zip(steps) {
        match *step {
            Step::AtClient { kinds, length } if has_client => {
                both.start_at_client(tag, kinds, length);
            }
            Step::AtServer { kinds, length } if has_server => {
                both.start_at_server(tag, kinds, length);
            }
            Step::Settle => both.take_events(),
            Step::ClientCancels if has_client => both.rpc.client.cancel(),
            Step::ServerCancels if has_server => both.rpc.call().cancel(Status::aborted("a step")),
            Step::ClientLetsGo => {
                has_client = false;
                both.rpc.client.drop_call();
            }
            Step::ServerLetsGo => {
                has_server = false;
                both.rpc.drop_call();
            }
            Step::GoAway => both.rpc.client.link.go_away(),
            Step::Abort => both.rpc.client.link.abort(),
            _ => {}
        }
    }
    if has_server {
        both.rpc.drop_call();
    }
    both.take_events();
    // The client reads what is left, and then hears how it went.
    let mut tag = 1_000;
    while has_client && !both.client.is_at_end {
        assert!(tag < 1_100, "the call does not end");
        both.start_at_client(tag, RECEIVES, 4);
        both.take_events();
        tag += 1;
    }
    if has_client {
        both.start_at_client(tag, RECEIVES_STATUS, 4);
    }
    both.take_events();
    both.rpc.client.link.abort();
    both.rpc.settle();
    assert_eq!(both.rpc.closed(), 1, "the transport is closed once");
    let (requests, replies) = (both.server.count(), both.client.count());
    if both.server.is_at_end {
        assert_eq!(requests, both.client.sent, "requests are lost");
    }
    match both.status {
        Some(Code::Ok) if has_client => assert_eq!(replies, both.server.sent, "replies are lost"),
        Some(Code::Ok | Code::Aborted | Code::Cancelled | Code::Internal | Code::Unavailable) => {}
        None if !has_client => {}
        status => panic!("nothing ends a call with {status:?}"),
    }
}

fn nothing_is_lost_or_told_twice<L: Link>() {
    let config = Config { cases: 150, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(config);
    runner
        .run(&vec(step(), 1..60), |steps| {
            run::<L>(&steps);
            Ok(())
        })
        .unwrap();
}
