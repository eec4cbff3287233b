//! A server that sends whatever it is told to.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use loona_hpack::Decoder;

use super::common::PATIENCE;
use super::frame::{self, Frame, PREFACE, header_block};

pub(crate) struct FrameServer {
    listener: TcpListener,
}

/// A client's connection.
pub(crate) struct Connection {
    socket: TcpStream,
    buffer: Vec<u8>,
    decoder: Decoder<'static>,
}

/// A call that has come in full.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) stream: u32,
    pub(crate) head: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// How many frames that came in.
    pub(crate) data_frames: usize,
}

impl Call {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.iter().find(|(it, _)| it == name).map(|(_, value)| &**value)
    }

    /// Its name, if it is one of `Greet`.
    pub(crate) fn name(&self) -> String {
        let message = self.body.get(5..).expect("there is a message");
        turnstile::codec::decode(message).expect("it is a name")
    }
}

impl FrameServer {
    pub(crate) fn new() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    pub(crate) fn address(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    /// The next connection, which says nothing.
    pub(crate) fn accept_silently(&self) -> TcpStream {
        // accept(2) has no time limit, and a test whose other thread has failed must end.
        let listener = self.listener.try_clone().unwrap();
        let (give, take) = mpsc::channel();
        thread::spawn(move || give.send(listener.accept().map(|(socket, _)| socket)));
        let socket = take.recv_timeout(PATIENCE).expect("the client connects").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    /// The next connection, with the server's SETTINGS.
    pub(crate) fn accept(&self) -> Connection {
        self.accept_with(&[])
    }

    pub(crate) fn accept_with(&self, settings: &[(u16, u32)]) -> Connection {
        let mut socket = self.accept_silently();
        let mut preface = [0; PREFACE.len()];
        socket.read_exact(&mut preface).unwrap();
        assert_eq!(preface, PREFACE);
        let mut connection = Connection { socket, buffer: Vec::new(), decoder: Decoder::new() };
        connection.send(&Frame::settings(settings));
        connection
    }
}

impl Connection {
    pub(crate) fn send(&mut self, frame: &Frame) {
        self.socket.write_all(&frame.to_bytes()).unwrap();
    }

    /// The next frame; `None` at the end of the connection.
    pub(crate) fn next_frame(&mut self) -> Option<Frame> {
        let mut chunk = [0; 16_384];
        loop {
            if let Some(frame) = Frame::take(&mut self.buffer) {
                return Some(frame);
            }
            match self.socket.read(&mut chunk) {
                Ok(0) => return None,
                Ok(count) => self.buffer.extend(&chunk[..count]),
                Err(error) => panic!("nothing comes from the client: {error}"),
            }
        }
    }

    /// The next frame of this kind.
    pub(crate) fn expect(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.next_frame().expect("the connection is open");
            if frame.kind == kind {
                return frame;
            }
            assert_ne!(frame.kind, frame::HEADERS, "headers must be decoded in order");
        }
    }

    /// The next call, once its client has half-closed. No other may come meanwhile.
    pub(crate) fn call(&mut self) -> Call {
        let begin = self.expect(frame::HEADERS);
        assert!(begin.has(frame::END_HEADERS));
        let fields = self.decoder.decode(&begin.payload).expect("the client writes HPACK");
        let text = |bytes| String::from_utf8(bytes).expect("headers are ASCII");
        let head = fields.into_iter().map(|(name, value)| (text(name), text(value))).collect();
        let mut call = Call { stream: begin.stream, head, body: Vec::new(), data_frames: 0 };
        let mut is_over = begin.has(frame::END_STREAM);
        while !is_over {
            let data = self.expect(frame::DATA);
            assert_eq!(data.stream, call.stream, "one call at a time");
            is_over = data.has(frame::END_STREAM);
            call.body.extend(data.payload);
            call.data_frames += 1;
        }
        call
    }

    /// Answers with a greeting.
    pub(crate) fn reply(&mut self, call: &Call) {
        self.head(call.stream);
        let message = turnstile::codec::encode(&format!("Hello {}", call.name()));
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        let body = [&[0][..], &length, &message].concat();
        self.send(&Frame::data(call.stream, body, false));
        self.headers(call.stream, &[("grpc-status", "0")], true);
    }

    /// Answers with a status only.
    pub(crate) fn end_with_ok(&mut self, call: &Call) {
        let content_type = ("content-type", "application/grpc");
        self.headers(call.stream, &[(":status", "200"), content_type, ("grpc-status", "0")], true);
    }

    /// The head of an answer.
    pub(crate) fn head(&mut self, stream: u32) {
        self.headers(stream, &[(":status", "200"), ("content-type", "application/grpc")], false);
    }

    pub(crate) fn headers(&mut self, stream: u32, fields: &[(&str, &str)], ends: bool) {
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
            .collect();
        for frame in Frame::headers(stream, &header_block(&fields), ends) {
            self.send(&frame);
        }
    }

    /// Takes no stream after `last`.
    pub(crate) fn go_away(&mut self, last: u32, code: u32, text: &str) {
        let mut payload = last.to_be_bytes().to_vec();
        payload.extend(code.to_be_bytes());
        payload.extend(text.as_bytes());
        self.send(&Frame::new(frame::GOAWAY, 0, 0, payload));
    }

    /// Waits until the client has read all that was sent.
    pub(crate) fn ping(&mut self) {
        self.send(&Frame::ping(*b"pingpong"));
        while !self.expect(frame::PING).has(frame::ACK) {}
    }

    /// Reads until the client closes the connection.
    pub(crate) fn wait_for_end(&mut self) {
        while self.next_frame().is_some() {}
    }
}
