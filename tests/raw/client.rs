//! A client that sends whatever it is told to.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;

use loona_hpack::Decoder;

use super::PATIENCE;
use super::frame::{self, Frame};
use super::request::{Request, read_reply};

/// A connected socket, whose reads and writes give up after [`PATIENCE`].
pub(crate) trait Socket: Read + Write + Send {
    fn end_writing(&self) -> io::Result<()>;
}

impl Socket for TcpStream {
    fn end_writing(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Socket for UnixStream {
    fn end_writing(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

/// One connection.
pub(crate) struct Client {
    socket: Box<dyn Socket>,
    buffer: Vec<u8>,
    decoder: Decoder<'static>,
    next_stream: u32,
}

/// What a stream, or the connection under it, ended with.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// The first header block.
    pub(crate) head: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The second one.
    pub(crate) trailers: Vec<(String, String)>,
    /// The code of its RST_STREAM.
    pub(crate) reset: Option<u32>,
    /// The code and the text of a GOAWAY with an error.
    pub(crate) goaway: Option<(u32, String)>,
    /// The connection was closed before the stream had ended.
    pub(crate) is_closed: bool,
}

impl Answer {
    pub(crate) fn http(&self) -> &str {
        find(&self.head, ":status").unwrap_or_default()
    }

    /// A header of the head, or a trailer.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        find(&self.head, name).or_else(|| find(&self.trailers, name))
    }

    /// `grpc-status`; there must be one, and only one.
    #[track_caller]
    pub(crate) fn code(&self) -> u32 {
        let all: Vec<_> = [&self.head, &self.trailers]
            .into_iter()
            .flatten()
            .filter(|(name, _)| name == "grpc-status")
            .collect();
        assert_eq!(all.len(), 1, "{self:?}");
        all[0].1.parse().expect("grpc-status is a number")
    }

    pub(crate) fn message(&self) -> &str {
        self.header("grpc-message").unwrap_or_default()
    }

    /// The whole answer is one block of headers.
    pub(crate) fn is_trailers_only(&self) -> bool {
        !self.head.is_empty() && self.trailers.is_empty() && self.body.is_empty()
    }

    /// The text of the reply of a call that went well.
    #[track_caller]
    pub(crate) fn reply(&self) -> String {
        assert_eq!((self.http(), self.code()), ("200", 0), "{self:?}");
        assert_eq!(find(&self.head, "content-type"), Some("application/grpc"), "{self:?}");
        assert!(find(&self.trailers, "grpc-status").is_some(), "{self:?}");
        read_reply(&self.body)
    }
}

fn find<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

impl Client {
    /// Connects over TCP, and sends nothing.
    pub(crate) fn silent(address: SocketAddr) -> Self {
        let socket = TcpStream::connect_timeout(&address, PATIENCE).expect("the server listens");
        socket.set_nodelay(true).expect("a TCP socket has Nagle's algorithm");
        socket.set_read_timeout(Some(PATIENCE)).expect("the timeout is not zero");
        socket.set_write_timeout(Some(PATIENCE)).expect("the timeout is not zero");
        Self::on(socket)
    }

    /// On a UNIX socket, with nothing sent.
    pub(crate) fn on_unix(socket: UnixStream) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).expect("the timeout is not zero");
        socket.set_write_timeout(Some(PATIENCE)).expect("the timeout is not zero");
        Self::on(socket)
    }

    fn on(socket: impl Socket + 'static) -> Self {
        let socket = Box::new(socket);
        Self { socket, buffer: Vec::new(), decoder: Decoder::new(), next_stream: 1 }
    }

    /// Connects, and exchanges SETTINGS.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::connect_with(address, &[])
    }

    /// Connects with settings of its own.
    pub(crate) fn connect_with(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut client = Self::silent(address);
        client.shake_hands(settings);
        client
    }

    /// Sends the preface and SETTINGS, and waits until each side has acknowledged the other's.
    pub(crate) fn shake_hands(&mut self, settings: &[(u16, u32)]) {
        self.send_bytes(frame::PREFACE);
        self.send(&Frame::settings(settings));
        let theirs = self.expect(frame::SETTINGS);
        assert!(!theirs.has(frame::ACK), "a server's first frame is its SETTINGS: {theirs:?}");
        self.send(&Frame::new(frame::SETTINGS, frame::ACK, 0, []));
        let ack = self.expect(frame::SETTINGS);
        assert!(ack.has(frame::ACK), "{ack:?}");
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).expect("the server reads");
    }

    /// Sends what the server may refuse to read, because it has closed the connection.
    pub(crate) fn try_send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// Nothing more comes from this side.
    pub(crate) fn end_writing(&self) {
        self.socket.end_writing().expect("the connection is open");
    }

    pub(crate) fn send(&mut self, frame: &Frame) {
        self.send_bytes(&frame.to_bytes());
    }

    /// An id for a stream of this client.
    pub(crate) fn new_stream(&mut self) -> u32 {
        self.next_stream += 2;
        self.next_stream - 2
    }

    /// Sends a request, and gives its stream.
    pub(crate) fn request(&mut self, request: &Request) -> u32 {
        let stream = self.new_stream();
        self.send_bytes(&frame::to_bytes(&request.to_frames(stream)));
        stream
    }

    /// Sends a request and reads its answer.
    pub(crate) fn call(&mut self, request: &Request) -> Answer {
        let stream = self.request(request);
        self.answer(stream)
    }

    /// A call that must succeed.
    #[track_caller]
    pub(crate) fn greet(&mut self) {
        let answer = self.call(&Request::hello("you"));
        assert_eq!(answer.reply(), "Hello you");
    }

    /// The next frame; `None` at the end of the connection.
    #[track_caller]
    pub(crate) fn next_frame(&mut self) -> Option<Frame> {
        let mut chunk = [0; 16_384];
        loop {
            if let Some(frame) = Frame::take(&mut self.buffer) {
                return Some(frame);
            }
            match self.socket.read(&mut chunk) {
                Ok(0) => return None,
                Ok(count) => self.buffer.extend(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("nothing comes from the server: {error}"),
            }
        }
    }

    /// The next frame of this kind; those before it are skipped.
    #[track_caller]
    pub(crate) fn expect(&mut self, kind: u8) -> Frame {
        self.skip_to(kind).unwrap_or_else(|| panic!("closed before a frame of kind {kind}"))
    }

    /// The same, or `None` if the connection ends before.
    #[track_caller]
    pub(crate) fn skip_to(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.next_frame()?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    /// Reads to the end of the connection, and gives all the frames before it.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<Frame> {
        std::iter::from_fn(|| self.next_frame()).collect()
    }

    /// The head of a stream's answer. Frames before it are dropped, and what follows is for
    /// [`answer`](Self::answer).
    #[track_caller]
    pub(crate) fn head(&mut self, stream: u32) -> Vec<(String, String)> {
        loop {
            let frame = self.expect(frame::HEADERS);
            let fields = self.decode(&frame.payload);
            if frame.stream == stream {
                return fields;
            }
        }
    }

    /// What comes for a stream, up to its end. Frames of other streams are dropped.
    #[track_caller]
    pub(crate) fn answer(&mut self, stream: u32) -> Answer {
        let mut answer = Answer::default();
        loop {
            let Some(frame) = self.next_frame() else {
                answer.is_closed = true;
                return answer;
            };
            match frame.kind {
                frame::HEADERS => {
                    assert!(frame.has(frame::END_HEADERS), "answers are short: {frame:?}");
                    let fields = self.decode(&frame.payload);
                    if frame.stream == stream {
                        let is_head = answer.head.is_empty();
                        *(if is_head { &mut answer.head } else { &mut answer.trailers }) = fields;
                    }
                }
                frame::DATA if frame.stream == stream => answer.body.extend(&frame.payload),
                frame::RST_STREAM if frame.stream == stream => {
                    answer.reset = Some(frame.number(0));
                    return answer;
                }
                frame::GOAWAY if frame.number(4) != frame::NO_ERROR => {
                    let text = String::from_utf8_lossy(&frame.payload[8..]).into_owned();
                    answer.goaway = Some((frame.number(4), text));
                    return answer;
                }
                _ => {}
            }
            let can_end = matches!(frame.kind, frame::HEADERS | frame::DATA);
            if can_end && frame.stream == stream && frame.has(frame::END_STREAM) {
                return answer;
            }
        }
    }

    /// Headers must be decoded in the order in which they come, those that nobody wants too.
    #[track_caller]
    pub(crate) fn decode(&mut self, block: &[u8]) -> Vec<(String, String)> {
        let fields = self.decoder.decode(block).expect("the server writes HPACK");
        let text = |bytes| String::from_utf8(bytes).expect("the server's headers are ASCII");
        fields.into_iter().map(|(name, value)| (text(name), text(value))).collect()
    }

    /// Sends a PING and reads up to its answer: what the server had to send before has come then.
    /// Gives the frames in between.
    #[track_caller]
    pub(crate) fn ping(&mut self) -> Vec<Frame> {
        let payload = *b"pingpong";
        self.send(&Frame::ping(payload));
        let mut before = Vec::new();
        loop {
            let frame = self.next_frame().expect("the server answers a PING");
            if frame.kind == frame::PING && frame.has(frame::ACK) {
                assert_eq!(frame.payload, payload);
                return before;
            }
            before.push(frame);
        }
    }

    /// Answers a PING of the server.
    pub(crate) fn pong(&mut self, ping: &Frame) {
        self.send(&Frame::new(frame::PING, frame::ACK, 0, ping.payload.clone()));
    }
}
