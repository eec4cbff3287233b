//! Requests, right ones and wrong ones.

use prost::Message;
use turnstile_protos::helloworld::{HelloReply, HelloRequest};

use super::frame::{self, Frame};

/// Answers each message with a greeting; unary.
pub(crate) const SAY_HELLO: &str = "/helloworld.Greeter/SayHello";
/// Answers with how many messages and bytes the client has sent.
pub(crate) const COUNT: &str = "/test.Streams/Count";
/// Answers nothing by itself.
pub(crate) const HOLD: &str = "/test.Streams/Hold";

/// A request of gRPC, unless it is spoiled.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    ends: bool,
}

impl Request {
    /// Without a message.
    pub(crate) fn of(path: &str) -> Self {
        let fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "test"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.into()));
        Self { fields: fields.into(), body: Vec::new(), ends: true }
    }

    /// SayHello, with a message.
    pub(crate) fn hello(name: &str) -> Self {
        Self::of(SAY_HELLO).body(hello_message(name))
    }

    /// Sets a header, instead of what it was.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        match self.fields.iter_mut().find(|(known, _)| known == name) {
            Some(field) => field.1 = value.into(),
            None => self.fields.push((name.to_owned(), value.into())),
        }
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(known, _)| known != name);
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Leaves the stream open.
    pub(crate) fn open(mut self) -> Self {
        self.ends = false;
        self
    }

    pub(crate) fn to_frames(&self, stream: u32) -> Vec<Frame> {
        let block = frame::header_block(&self.fields);
        let has_body = !self.body.is_empty();
        let mut frames = Frame::headers(stream, &block, self.ends && !has_body);
        let parts = self.body.chunks(frame::MAX_PAYLOAD);
        let last = parts.len();
        frames.extend(
            parts
                .enumerate()
                .map(|(index, part)| Frame::data(stream, part, self.ends && index + 1 == last)),
        );
        frames
    }
}

/// A message with its prefix.
pub(crate) fn message(data: &[u8]) -> Vec<u8> {
    prefixed(0, data.len(), data)
}

/// What claims to be a message.
pub(crate) fn prefixed(flag: u8, length: usize, data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(length).expect("a prefix has four bytes for it");
    let mut bytes = vec![flag];
    bytes.extend(length.to_be_bytes());
    bytes.extend(data);
    bytes
}

pub(crate) fn hello_message(name: &str) -> Vec<u8> {
    message(&HelloRequest { name: name.to_owned() }.encode_to_vec())
}

/// The text of a HelloReply with its prefix.
#[track_caller]
pub(crate) fn read_reply(body: &[u8]) -> String {
    assert!(body.len() >= 5, "no message in {body:?}");
    let length = u32::from_be_bytes(body[1..5].try_into().expect("four bytes")) as usize;
    assert_eq!((body[0], length), (0, body.len() - 5), "one message and no more: {body:?}");
    HelloReply::decode(&body[5..]).expect("the server sends protobuf").message
}
