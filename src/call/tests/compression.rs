//! Compression: what a call's messages are to both ends, and what they are on the wire.

use super::h2_peer::H2Peer;
use super::{Ends, Link, Options, Peer, Rpc};
use crate::call::{Batch, MessageRules, Reply};
use crate::compression::Encoding;
use crate::metadata::Metadata;
use crate::stats::{CallInfo, MessageSize, Stats};
use crate::status::{Code, Status};
use bytes::{BufMut, Bytes, BytesMut};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

on_both_links! {
    what_the_server_does_not_read_is_refused_with_what_it_does,
    both_ends_compress_what_the_other_reads,
}

on_both_transports! {
    requests_of_every_encoding_are_received_as_they_were,
    replies_of_every_encoding_arrive_as_they_were,
    long_and_short_messages_keep_their_order,
    the_encoding_is_fixed_by_initial_metadata,
    a_limit_is_for_what_the_application_sees,
}

/// What the window of a call has room for, compressed or not.
const LONG: usize = 40_000;

const ALL: &str = "identity, deflate,gzip ,zstd";

fn long(number: u8) -> Bytes {
    vec![number; LONG].into()
}

/// A batch of which nothing can fail.
fn run<P: Peer>(rpc: &mut Rpc<P>, batch: Batch) -> Option<Bytes> {
    rpc.start(batch, 1);
    let mut event = rpc.event();
    assert!(event.is_ok());
    event.take_message()
}

fn requests_of_every_encoding_are_received_as_they_were<P: Peer>() {
    for &encoding in Encoding::ALL {
        let mut rpc = Rpc::<P>::with(Options { requests: Some(encoding), ..Options::default() });
        for message in [long(1), Bytes::new(), Bytes::from_static(b"short"), long(2)] {
            rpc.send(message.clone());
            assert_eq!(run(&mut rpc, Batch::new().receive_message()), Some(message), "{encoding}");
        }
    }
}

fn replies_of_every_encoding_arrive_as_they_were<P: Peer>() {
    for &encoding in Encoding::ALL {
        let mut rpc = Rpc::<P>::with(Options { accepts: ALL, ..Options::default() });
        assert_eq!(rpc.call().compression(), None);
        rpc.call().set_compression(Some(encoding)).unwrap();
        for message in [long(1), Bytes::new(), Bytes::from_static(b"short"), long(2)] {
            run(&mut rpc, Batch::new().send_message(message.clone()));
            assert_eq!(rpc.receive(), message, "{encoding}");
        }
        run(&mut rpc, Batch::new().send_status(Status::ok()));
        assert!(rpc.end().status().is_ok());
    }
}

fn long_and_short_messages_keep_their_order<P: Peer>() {
    let encoding = Encoding::ALL[0];
    let options = Options {
        requests: Some(encoding),
        replies: Some(encoding),
        accepts: ALL,
        ..Options::default()
    };
    let mut rpc = Rpc::<P>::with(options);
    for number in 0..30_u8 {
        let message = if number % 3 == 0 { long(number) } else { vec![number].into() };
        rpc.send(message.clone());
        let received = run(&mut rpc, Batch::new().receive_message()).unwrap();
        assert_eq!(received, message);
        let batch = match number % 2 {
            0 => Batch::new().send_message(received),
            _ => Batch::new().send_message_uncompressed(received),
        };
        run(&mut rpc, batch);
        assert_eq!(rpc.receive(), message);
    }
}

fn the_encoding_is_fixed_by_initial_metadata<P: Peer>() {
    let encoding = Some(Encoding::ALL[0]);
    let mut rpc = Rpc::<P>::with(Options { accepts: ALL, ..Options::default() });
    run(&mut rpc, Batch::new().send_initial_metadata(Metadata::new()));
    let late = rpc.call().set_compression(encoding).unwrap_err();
    assert_eq!(late.code(), Code::Internal);
    assert!(late.message().contains("before"), "{late}");
    run(&mut rpc, Batch::new().send_message(long(1)));
    assert_eq!(rpc.receive(), long(1));
    rpc.client.cancel();
    rpc.settle();
    rpc.start(Batch::new().receive_close(), 1);
    assert!(rpc.event().is_cancelled());
    let over = rpc.call().set_compression(encoding).unwrap_err();
    assert_eq!(over.code(), Code::Cancelled);
}

fn a_limit_is_for_what_the_application_sees<P: Peer>() {
    let encoding = Encoding::ALL[0];
    let options = || Options {
        requests: Some(encoding),
        replies: Some(encoding),
        accepts: ALL,
        max_message_size: 1000,
        max_send_size: 1000,
        ..Options::default()
    };
    let (fits, is_too_long) = (Bytes::from(vec![7; 1000]), Bytes::from(vec![7; 1001]));
    let mut rpc = Rpc::<P>::with(options());
    rpc.send(fits.clone());
    assert_eq!(run(&mut rpc, Batch::new().receive_message()), Some(fits.clone()));
    run(&mut rpc, Batch::new().send_message(fits.clone()));
    assert_eq!(rpc.receive(), fits);
    rpc.send(is_too_long.clone());
    rpc.start(Batch::new().receive_message(), 1);
    assert!(!rpc.event().is_ok());
    assert_eq!(rpc.end().status().code(), Code::ResourceExhausted);

    let mut rpc = Rpc::<P>::with(options());
    rpc.start(Batch::new().send_message(is_too_long), 1);
    assert!(!rpc.event().is_ok());
    let status = rpc.end().status();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.message(), "sent message larger than max (1001 vs. 1000)");
}

fn what_the_server_does_not_read_is_refused_with_what_it_does<L: Link>() {
    for &encoding in Encoding::ALL {
        let options = || Options { server_accepts: &[], ..Options::default() };
        let rpc = &mut Rpc::<Ends<L>>::with(options());
        rpc.client.compress_with(encoding);
        let call = rpc.client.call_with(Metadata::new(), None);
        rpc.settle();
        assert_eq!(rpc.others(), 0, "the server is told of no call");
        let refused = call.core().poll_status(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(status) = refused else { panic!("it is refused") };
        assert_eq!(status.code(), Code::Unimplemented);
        let expected = format!("messages are encoded as \"{encoding}\"");
        assert!(status.message().starts_with(&expected), "{status}");
        assert!(status.message().ends_with("it takes identity"), "{status}");
    }
}

fn both_ends_compress_what_the_other_reads<L: Link>() {
    let encoding = Encoding::ALL[0];
    for accepts in [ALL, "identity"] {
        let sizes = Arc::new(Sizes::default());
        let options = Options {
            requests: Some(encoding),
            replies: Some(encoding),
            accepts,
            stats: Some(sizes.clone()),
            client_rules: MessageRules { max_receive_size: LONG, ..MessageRules::default() },
            ..Options::default()
        };
        let mut rpc = Rpc::<Ends<L>>::with(options);
        assert_eq!(rpc.call().compression(), Some(encoding).filter(|_| accepts == ALL));
        rpc.send(long(1));
        assert_eq!(run(&mut rpc, Batch::new().receive_message()), Some(long(1)));
        run(&mut rpc, Batch::new().send_message(long(2)));
        assert_eq!(rpc.receive(), long(2));
        let short = encoding.compress(&long(1)).unwrap().len();
        let reply = if accepts == ALL { encoding.compress(&long(2)).unwrap().len() } else { LONG };
        let sizes: Vec<_> = sizes.0.lock().unwrap().iter().map(|it| it.compressed).collect();
        assert_eq!(sizes, [short, reply], "what travels");
    }
}

/// What the client's head says of the encoding, and of those that it may use itself.
fn encodings(rpc: &mut Rpc<H2Peer>) -> [Option<String>; 2] {
    let metadata = rpc.client.initial_metadata().expect("the head has come");
    ["grpc-encoding", "grpc-accept-encoding"].map(|name| {
        let value = metadata.hidden(name).next()?;
        Some(value.to_str().unwrap().to_owned())
    })
}

#[test]
fn h2_the_encoding_goes_with_initial_metadata_and_a_flag_with_each_message() {
    for &encoding in Encoding::ALL {
        let options = || Options { replies: Some(encoding), accepts: ALL, ..Options::default() };
        let mut rpc = Rpc::<H2Peer>::with(options());
        assert_eq!(rpc.call().compression(), Some(encoding));
        for batch in [
            Batch::new().send_message(long(1)),
            Batch::new().send_message_uncompressed(long(2)),
            Batch::new().send_message("too short to become shorter"),
            Batch::new().send_message(long(3)),
        ] {
            run(&mut rpc, batch);
            rpc.receive();
        }
        assert_eq!(rpc.client.flags(), [1, 0, 0, 1]);
        let [chosen, accepted] = encodings(&mut rpc);
        assert_eq!(chosen.as_deref(), Some(encoding.name()));
        let all: Vec<_> = accepted.as_deref().unwrap().split(',').collect();
        assert_eq!(all.len(), 1 + Encoding::ALL.len(), "{all:?}");
        assert!(all.contains(&encoding.name()), "{all:?}");

        // And of a handler's reply.
        for is_uncompressed in [false, true] {
            let mut rpc = Rpc::<H2Peer>::with(options());
            let message = Some(long(1));
            let reply = Reply { message, is_uncompressed, ..Reply::from(Status::ok()) };
            rpc.handled().finish(reply);
            rpc.settle();
            assert_eq!(rpc.receive(), long(1));
            assert_eq!(rpc.client.flags(), [u8::from(!is_uncompressed)]);
            assert!(rpc.end().status().is_ok());
        }
    }
}

#[test]
fn h2_an_encoding_that_the_client_does_not_list_is_not_used() {
    for &encoding in Encoding::ALL {
        for accepts in ["identity", "", "gz,gzipp, deflat,zst d, identity", "GZIP DEFLATE ZSTD"] {
            let replies = Some(encoding);
            let mut rpc = Rpc::<H2Peer>::with(Options { replies, accepts, ..Options::default() });
            assert_eq!(rpc.call().compression(), None, "{accepts:?}");
            rpc.call().set_compression(Some(encoding)).unwrap();
            assert_eq!(rpc.call().compression(), None, "{accepts:?}");
            run(&mut rpc, Batch::new().send_message(long(1)));
            assert_eq!(rpc.receive(), long(1));
            assert_eq!(rpc.client.flags(), [0]);
            assert_eq!(encodings(&mut rpc)[0], None);
        }
    }
}

#[test]
fn h2_a_call_may_do_without_its_servers_encoding() {
    let options = Options { replies: Some(Encoding::ALL[0]), accepts: ALL, ..Options::default() };
    let mut rpc = Rpc::<H2Peer>::with(options);
    rpc.call().set_compression(None).unwrap();
    run(&mut rpc, Batch::new().send_message(long(1)));
    assert_eq!(rpc.receive(), long(1));
    assert_eq!(rpc.client.flags(), [0]);
    assert_eq!(encodings(&mut rpc)[0], None);
}

/// The encoding is chosen anew while a message is being compressed: then that goes as it is.
#[test]
fn h2_a_message_in_an_encoding_that_is_the_calls_no_more_goes_uncompressed() {
    let options = Options { replies: Some(Encoding::ALL[0]), accepts: ALL, ..Options::default() };
    let mut rpc = Rpc::<H2Peer>::with(options);
    let mut message = Some(rpc.handled().pack(long(1)));
    rpc.call().set_compression(None).unwrap();
    let mut context = Context::from_waker(Waker::noop());
    while rpc.handled().poll_send_message(&mut message, &mut context).is_pending() {
        rpc.settle();
        let _ = rpc.try_receive();
    }
    let _ = rpc.try_receive();
    assert_eq!(rpc.client.flags(), [0]);
}

/// Sends one message with the compressed flag, and gives the status that this ends the call with.
fn status_of(encoding: Encoding, message: &[u8]) -> Status {
    let options =
        Options { requests: Some(encoding), max_message_size: 10_000, ..Options::default() };
    let mut rpc = Rpc::<H2Peer>::with(options);
    let mut frame = BytesMut::new();
    frame.put_u8(1);
    frame.put_u32(u32::try_from(message.len()).unwrap());
    frame.put_slice(message);
    rpc.client.send_raw(frame.freeze(), true);
    rpc.start(Batch::new().receive_message(), 1);
    assert!(!rpc.event().is_ok());
    rpc.end().status()
}

#[test]
fn h2_a_bomb_ends_the_call_with_resource_exhausted_and_garbage_with_internal() {
    for &encoding in Encoding::ALL {
        let bomb = encoding.compress(&vec![0; 8 << 20]).unwrap();
        assert!(bomb.len() < 10_000, "{encoding}");
        let status = status_of(encoding, &bomb);
        assert_eq!(status.code(), Code::ResourceExhausted, "{encoding}: {status}");
        assert!(status.message().contains("larger than max"), "{status}");
        let good = encoding.compress(&[0; 1000]).unwrap();
        let cases = [&b"garbage"[..], b"", &good[..good.len() - 1], &[&good[..], b"x"].concat()];
        for message in cases {
            let status = status_of(encoding, message);
            assert_eq!(status.code(), Code::Internal, "{encoding}: {status}");
            assert!(status.message().contains(encoding.name()), "{status}");
        }
    }
}

#[derive(Default)]
struct Sizes(Mutex<Vec<MessageSize>>);

impl Stats for Sizes {
    fn message_received(&self, _call: &CallInfo<'_>, size: MessageSize) {
        self.0.lock().unwrap().push(size);
    }

    fn message_sent(&self, _call: &CallInfo<'_>, size: MessageSize) {
        self.0.lock().unwrap().push(size);
    }
}

#[test]
fn h2_stats_are_told_both_sizes() {
    let encoding = Encoding::ALL[0];
    let sizes = Arc::new(Sizes::default());
    let options = Options {
        requests: Some(encoding),
        replies: Some(encoding),
        accepts: ALL,
        stats: Some(sizes.clone()),
        ..Options::default()
    };
    let mut rpc = Rpc::<H2Peer>::with(options);
    rpc.send(long(1));
    run(&mut rpc, Batch::new().receive_message());
    run(&mut rpc, Batch::new().send_message(long(1)));
    run(&mut rpc, Batch::new().send_message_uncompressed(long(1)));
    let sizes = sizes.0.lock().unwrap();
    let compressed = encoding.compress(&long(1)).unwrap().len();
    let expected = [compressed, compressed, LONG];
    assert_eq!(sizes.iter().map(|size| size.compressed).collect::<Vec<_>>(), expected);
    assert!(sizes.iter().all(|size| size.uncompressed == LONG), "{sizes:?}");
}
