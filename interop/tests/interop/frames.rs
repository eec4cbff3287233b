//! Calls of `grpc.testing.TestService` in raw frames, with a flag for each message that says whether
//! it is compressed.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use prost::Message;

use crate::raw::client::{Answer, Client};
use crate::raw::frame::{Frame, INITIAL_WINDOW_SIZE};
use crate::raw::request::{Request, message, prefixed};

/// More than all that a test receives.
const WINDOW: u32 = 1 << 24;

/// A connection to the server.
pub(crate) struct Peer {
    pub(crate) client: Client,
}

impl Peer {
    /// Connects, with windows that no test fills.
    pub(crate) fn connect(address: &str) -> Self {
        let address = address.parse().expect("the server prints an IP address and a port");
        let mut client = Client::connect_with(address, &[(INITIAL_WINDOW_SIZE, WINDOW)]);
        client.send(&Frame::window_update(0, WINDOW));
        Self { client }
    }

    /// Starts a call with these messages, and leaves it open.
    pub(crate) fn open(&mut self, method: &str, messages: &[Vec<u8>]) -> u32 {
        self.client.request(&request(method).body(messages.concat()).open())
    }

    /// Starts a call with one message.
    pub(crate) fn start(&mut self, method: &str, message: &impl Message) -> u32 {
        self.client.request(&request(method).body(plain(message)))
    }

    /// Makes a call with one message.
    pub(crate) fn call(&mut self, method: &str, message: &impl Message) -> Reply {
        self.call_with(method, &[plain(message)])
    }

    /// Makes a call with these messages.
    pub(crate) fn call_with(&mut self, method: &str, messages: &[Vec<u8>]) -> Reply {
        let stream = self.client.request(&request(method).body(messages.concat()));
        self.reply(stream)
    }

    /// The end of a call.
    pub(crate) fn reply(&mut self, stream: u32) -> Reply {
        Reply(self.client.answer(stream))
    }
}

fn request(method: &str) -> Request {
    Request::of(&format!("/grpc.testing.TestService/{method}"))
        .with("grpc-encoding", "gzip")
        .with("grpc-accept-encoding", "identity,gzip")
}

/// A message as it is, with its prefix.
pub(crate) fn plain(of: &impl Message) -> Vec<u8> {
    message(&of.encode_to_vec())
}

/// A compressed message, with its prefix.
pub(crate) fn compressed(of: &impl Message) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&of.encode_to_vec()).expect("memory can be written to");
    let bytes = encoder.finish().expect("memory can be written to");
    prefixed(1, bytes.len(), &bytes)
}

/// What a call ended with.
pub(crate) struct Reply(pub(crate) Answer);

impl Reply {
    /// The messages of a call that went well, and whether each was compressed.
    #[track_caller]
    pub(crate) fn all<M: Message + Default>(&self) -> Vec<(bool, M)> {
        assert_eq!(self.0.code(), 0, "{}", self.0.message());
        let (mut rest, mut messages) = (&self.0.body[..], Vec::new());
        while let Some((prefix, behind)) = rest.split_first_chunk::<5>() {
            let [flag, length @ ..] = *prefix;
            let (bytes, others) = behind.split_at(u32::from_be_bytes(length) as usize);
            let mut plain = Vec::new();
            match flag {
                0 => plain.extend(bytes),
                _ => drop(GzDecoder::new(bytes).read_to_end(&mut plain).expect("it is gzip")),
            }
            messages.push((flag == 1, M::decode(&plain[..]).expect("it is protobuf")));
            rest = others;
        }
        assert!(rest.is_empty(), "half a prefix: {rest:?}");
        messages
    }

    /// The only message.
    #[track_caller]
    pub(crate) fn one<M: Message + Default>(&self) -> (bool, M) {
        let mut all = self.all();
        assert_eq!(all.len(), 1, "one message is the answer");
        all.remove(0)
    }
}
