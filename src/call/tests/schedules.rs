//! Random schedules: whatever happens in whatever order, each batch completes once.

use super::{End, Peer, Rpc};
use crate::call::Batch;
use crate::metadata::Metadata;
use crate::status::Status;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestRunner};
use std::collections::BTreeSet;
use std::task::Poll;

on_both_transports! {
    every_tag_comes_out_once_and_the_client_gets_one_end,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Starts a batch with the kinds of these bits, and a message of this length.
    Start {
        kinds: u8,
        length: usize,
    },
    Cancel,
    DropCall,
    Settle,
    ClientSends(usize),
    ClientReceives,
    ClientHalfCloses,
    ClientCancels,
    Abort,
}

fn step() -> impl Strategy<Value = Step> {
    let length = || prop_oneof![0..10_usize, 30_000..90_000_usize];
    prop_oneof![
        12 => (any::<u8>(), length()).prop_map(|(kinds, length)| Step::Start { kinds, length }),
        // Alone, so that calls do not end at once.
        8 => (0..5_u8, length()).prop_map(|(kind, length)| Step::Start { kinds: 1 << kind, length }),
        1 => Just(Step::Cancel),
        1 => Just(Step::DropCall),
        8 => Just(Step::Settle),
        8 => length().prop_map(Step::ClientSends),
        6 => Just(Step::ClientReceives),
        2 => Just(Step::ClientHalfCloses),
        1 => Just(Step::ClientCancels),
        1 => Just(Step::Abort),
    ]
}

fn batch(kinds: u8, length: usize) -> Batch {
    let mut batch = Batch::new();
    if kinds & 1 != 0 {
        batch = batch.send_initial_metadata(Metadata::new());
    }
    if kinds & 2 != 0 {
        batch = batch.send_message(vec![0; length]);
    }
    if kinds & 4 != 0 {
        batch = batch.receive_message();
    }
    if kinds & 8 != 0 {
        batch = batch.receive_close();
    }
    if kinds & 16 != 0 {
        batch = batch.send_status(Status::ok());
    }
    batch
}

fn every_tag_comes_out_once_and_the_client_gets_one_end<P: Peer>() {
    let config = Config { cases: 150, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(config);
    runner
        .run(&vec(step(), 1..40), |steps| {
            run::<P>(&steps);
            Ok(())
        })
        .unwrap();
}

fn run<P: Peer>(steps: &[Step]) {
    let mut rpc = Rpc::<P>::new();
    let mut pending = BTreeSet::new();
    let (mut is_dropped, mut is_sending, mut is_closed) = (false, false, false);
    for (tag, step) in (0..).zip(steps) {
        match *step {
            Step::Start { kinds, length } if !is_dropped => {
                match rpc.call().start(batch(kinds, length), tag) {
                    Ok(()) => assert!(pending.insert(tag)),
                    Err(error) => assert_eq!(error.into_parts().1, tag),
                }
            }
            Step::Cancel if !is_dropped => rpc.call().cancel(Status::aborted("a step")),
            Step::DropCall if !is_dropped => {
                is_dropped = true;
                rpc.drop_call();
            }
            Step::ClientSends(length) if !is_closed => {
                if !is_sending {
                    rpc.client.begin_message(vec![0; length].into());
                }
                is_sending = rpc.client.poll_send() != Poll::Ready(true);
            }
            Step::ClientReceives => drop(rpc.client.poll_message()),
            Step::ClientHalfCloses if !is_closed && !is_sending => {
                is_closed = true;
                rpc.client.half_close();
            }
            Step::ClientCancels => rpc.client.cancel(),
            Step::Abort => rpc.client.abort(),
            Step::Settle => take_events(&mut rpc, &mut pending),
            _ => {}
        }
    }
    if !is_dropped {
        rpc.drop_call();
    }
    while let Poll::Ready(Some(_)) = rpc.try_receive() {}
    let end = rpc.end();
    assert_eq!(rpc.try_receive(), Poll::Ready(None));
    let again = rpc.client.end().unwrap();
    match (end, again) {
        (End::Status(one), End::Status(other)) => assert_eq!(one.code(), other.code()),
        (End::Broken, End::Broken) => {}
        ends => panic!("the call ended twice: {ends:?}"),
    }
    take_events(&mut rpc, &mut pending);
    assert!(pending.is_empty(), "batches {pending:?} did not complete");
}

fn take_events<P: Peer>(rpc: &mut Rpc<P>, pending: &mut BTreeSet<u32>) {
    while let Some(event) = rpc.try_event() {
        assert!(pending.remove(&event.tag), "{} came out twice", event.tag);
    }
}
