//! One connection of the server: HTTP/2 as far as the cases need it, in one thread.
//!
//! What a stream still has to send is a queue, which waits for the client's window, for its
//! acknowledgements of PINGs, or of SETTINGS.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::TcpStream;

use prost::Message;
use turnstile_protos::testing::{Payload, SimpleRequest, SimpleResponse};

use super::record::{Log, Step};
use super::server::Case;
use crate::raw::frame::{self, Frame};
use crate::raw::request::message;
use crate::support::PATIENCE;

/// More than all that a test's client sends.
const WINDOW: u32 = 1 << 24;

/// What the client's windows are before it says so (RFC 9113, section 6.9.2).
const FIRST_WINDOW: i64 = 65_535;

const MAX_CONCURRENT_STREAMS: u16 = 3;

pub(super) struct Connection {
    number: usize,
    socket: TcpStream,
    case: Case,
    log: Log,
    has_preface: bool,
    buffer: Vec<u8>,
    output: Vec<u8>,
    streams: BTreeMap<u32, Stream>,
    /// The window of the connection, and that of new streams.
    window: i64,
    initial_window: i64,
    pings_sent: u64,
    pings_open: usize,
    settings_open: usize,
    /// How many requests have come.
    requests: usize,
}

/// A call, until it is answered.
struct Stream {
    window: i64,
    body: Vec<u8>,
    queue: VecDeque<Next>,
}

/// What a stream does next.
enum Next {
    Send(Frame),
    Ping,
    SetLimit,
    WaitForPongs,
    WaitForSettings,
    Forget,
}

impl Connection {
    pub(super) fn new(number: usize, socket: TcpStream, case: Case, log: &Log) -> Self {
        Self {
            number,
            socket,
            case,
            log: log.clone(),
            has_preface: false,
            buffer: Vec::new(),
            output: Vec::new(),
            streams: BTreeMap::new(),
            window: FIRST_WINDOW,
            initial_window: FIRST_WINDOW,
            pings_sent: 0,
            pings_open: 0,
            settings_open: 0,
            requests: 0,
        }
    }

    /// Serves until the client closes the connection.
    pub(super) fn serve(mut self) {
        self.log.note(self.number, Step::Opened);
        self.socket.set_nodelay(true).expect("a TCP socket has Nagle's algorithm");
        self.socket.set_read_timeout(Some(PATIENCE)).expect("the timeout is not zero");
        self.socket.set_write_timeout(Some(PATIENCE)).expect("the timeout is not zero");
        self.begin();
        while self.flush().is_ok() {
            let Some(frame) = self.next_frame() else { break };
            self.log.note(self.number, Step::Received(frame.clone()));
            self.handle(&frame);
            self.pump();
        }
        self.log.note(self.number, Step::Closed);
    }

    fn begin(&mut self) {
        self.settings(&[(frame::INITIAL_WINDOW_SIZE, WINDOW)]);
        self.send(Frame::window_update(0, WINDOW));
        if self.case == Case::Ping {
            self.ping();
        }
    }

    fn handle(&mut self, frame: &Frame) {
        let is_ack = frame.has(frame::ACK);
        match frame.kind {
            frame::SETTINGS if is_ack => acknowledge(&mut self.settings_open),
            frame::SETTINGS => {
                self.apply(&frame.payload);
                self.send(Frame::new(frame::SETTINGS, frame::ACK, 0, []));
            }
            frame::PING if is_ack => acknowledge(&mut self.pings_open),
            frame::PING => {
                self.send(Frame::new(frame::PING, frame::ACK, 0, frame.payload.clone()));
            }
            frame::WINDOW_UPDATE if frame.stream == 0 => self.window += i64::from(frame.number(0)),
            frame::WINDOW_UPDATE => {
                if let Some(stream) = self.streams.get_mut(&frame.stream) {
                    stream.window += i64::from(frame.number(0));
                }
            }
            frame::RST_STREAM => drop(self.streams.remove(&frame.stream)),
            frame::HEADERS => {
                let (window, body, queue) = (self.initial_window, Vec::new(), VecDeque::new());
                self.streams.insert(frame.stream, Stream { window, body, queue });
            }
            frame::DATA => {
                assert!(!frame.has(frame::PADDED), "no client pads: {frame:?}");
                if let Some(stream) = self.streams.get_mut(&frame.stream) {
                    stream.body.extend(&frame.payload);
                }
            }
            _ => {}
        }
        let can_end = matches!(frame.kind, frame::HEADERS | frame::DATA);
        if can_end && frame.has(frame::END_STREAM) {
            self.answer(frame.stream);
        }
    }

    /// Takes the client's window for streams over, also for those that there are.
    fn apply(&mut self, settings: &[u8]) {
        let (settings, _) = settings.as_chunks::<6>();
        for [a, b, value @ ..] in settings {
            if u16::from_be_bytes([*a, *b]) == frame::INITIAL_WINDOW_SIZE {
                let window = i64::from(u32::from_be_bytes(*value));
                let more = window - self.initial_window;
                self.streams.values_mut().for_each(|stream| stream.window += more);
                self.initial_window = window;
            }
        }
    }

    /// The request is whole.
    fn answer(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let response = response(&stream.body);
        stream.queue = plan(self.case, self.number, self.requests, id, &response).into();
        self.requests += 1;
    }

    /// Sends what can be sent.
    fn pump(&mut self) {
        let ids: Vec<_> = self.streams.keys().copied().collect();
        for id in ids {
            while let Some(next) = self.next_of(id) {
                match next {
                    Next::Send(frame) => self.send(frame),
                    Next::Ping => self.ping(),
                    Next::SetLimit => self.settings(&[(MAX_CONCURRENT_STREAMS, 1)]),
                    Next::Forget => drop(self.streams.remove(&id)),
                    Next::WaitForPongs | Next::WaitForSettings => {}
                }
            }
        }
    }

    /// What a stream does now, if it can do anything.
    fn next_of(&mut self, id: u32) -> Option<Next> {
        let stream = self.streams.get_mut(&id)?;
        match stream.queue.front()? {
            Next::Send(frame) if frame.kind == frame::DATA => {
                let length = i64::try_from(frame.payload.len()).expect("a frame is short");
                if length > stream.window || length > self.window {
                    return None;
                }
                stream.window -= length;
                self.window -= length;
            }
            Next::WaitForPongs if self.pings_open > 0 => return None,
            Next::WaitForSettings if self.settings_open > 0 => return None,
            _ => {}
        }
        stream.queue.pop_front()
    }

    fn ping(&mut self) {
        self.pings_sent += 1;
        self.pings_open += 1;
        self.send(Frame::ping(self.pings_sent.to_be_bytes()));
    }

    fn settings(&mut self, settings: &[(u16, u32)]) {
        self.settings_open += 1;
        self.send(Frame::settings(settings));
    }

    fn send(&mut self, frame: Frame) {
        self.output.extend(frame.to_bytes());
        self.log.note(self.number, Step::Sent(frame));
    }

    /// An error says that the client is gone.
    fn flush(&mut self) -> io::Result<()> {
        self.socket.write_all(&self.output)?;
        self.output.clear();
        Ok(())
    }

    /// `None` at the end of the connection.
    fn next_frame(&mut self) -> Option<Frame> {
        let mut chunk = [0; 16_384];
        loop {
            if !self.has_preface && self.buffer.len() >= frame::PREFACE.len() {
                let rest = self.buffer.split_off(frame::PREFACE.len());
                assert_eq!(self.buffer, frame::PREFACE);
                (self.buffer, self.has_preface) = (rest, true);
            }
            if self.has_preface
                && let Some(frame) = Frame::take(&mut self.buffer)
            {
                return Some(frame);
            }
            match self.socket.read(&mut chunk) {
                Ok(0) => return None,
                Ok(count) => self.buffer.extend(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("the client sends nothing, and does not hang up: {error}"),
            }
        }
    }
}

fn acknowledge(open: &mut usize) {
    *open = open.checked_sub(1).expect("the client acknowledges what was sent, once");
}

/// The response that a request asks for, with its prefix.
fn response(body: &[u8]) -> Vec<u8> {
    let (prefix, data) = body.split_at_checked(5).expect("a request has a message");
    assert_eq!(prefix[0], 0, "the request is not compressed");
    let request = SimpleRequest::decode(data).expect("the client sends one SimpleRequest");
    let size = usize::try_from(request.response_size).expect("a size is not negative");
    let payload = Some(Payload { body: vec![0; size].into(), ..Default::default() });
    message(&SimpleResponse { payload, ..Default::default() }.encode_to_vec())
}

/// What a call is answered with. `connection` and `request` count from 0, the latter on the
/// connection.
fn plan(case: Case, connection: usize, request: usize, id: u32, response: &[u8]) -> Vec<Next> {
    let head = || Next::Send(headers(id, &[(":status", "200"), CONTENT_TYPE], false));
    let data = |part: &[u8]| data(case, id, part);
    let trailers = || Next::Send(headers(id, &[("grpc-status", "0")], true));
    let reset = |code| Next::Send(Frame::reset(id, code));
    let is_first = connection == 0;
    let mut plan = match (case, request) {
        (Case::Goaway, 0) if is_first => vec![goaway(id)],
        (Case::GoawayBeforeCall, 0) if is_first => return vec![goaway(0), Next::Forget],
        // Nobody looks at what comes behind the GOAWAY.
        (Case::Goaway | Case::GoawayBeforeCall, _) if is_first => return vec![Next::Forget],
        (Case::RefusedStream, 0) if is_first => {
            return vec![reset(frame::REFUSED_STREAM), Next::Forget];
        }
        (Case::MaxStreams, 0) => vec![Next::SetLimit, Next::WaitForSettings],
        (Case::MaxStreams, _) => vec![Next::Ping, Next::WaitForPongs],
        (Case::Ping, _) => vec![Next::Ping],
        _ => Vec::new(),
    };
    plan.push(head());
    match case {
        Case::RstAfterHeader => plan.push(reset(frame::NO_ERROR)),
        Case::RstDuringData => {
            plan.extend(data(&response[..response.len() / 2]));
            plan.push(reset(frame::NO_ERROR));
        }
        Case::RstAfterData => {
            plan.extend(data(response));
            plan.push(reset(frame::NO_ERROR));
        }
        Case::Ping => {
            plan.push(Next::Ping);
            plan.extend(data(response).into_iter().flat_map(|frame| [frame, Next::Ping]));
            plan.extend([Next::WaitForPongs, trailers()]);
        }
        _ => {
            plan.extend(data(response));
            plan.push(trailers());
        }
    }
    plan.push(Next::Forget);
    plan
}

const CONTENT_TYPE: (&str, &str) = ("content-type", "application/grpc");

fn headers(id: u32, fields: &[(&str, &str)], ends: bool) -> Frame {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).into()));
    let block = frame::header_block(&fields.collect::<Vec<_>>());
    let mut frames = Frame::headers(id, &block, ends);
    assert_eq!(frames.len(), 1, "these are short");
    frames.remove(0)
}

/// Streams up to `last` are served, and no others.
fn goaway(last: u32) -> Next {
    let payload = [last.to_be_bytes(), frame::NO_ERROR.to_be_bytes()].concat();
    Next::Send(Frame::new(frame::GOAWAY, 0, 0, payload))
}

/// The frames of a part of a message. They are small enough for a window to have room for them
/// at some time.
fn data(case: Case, id: u32, part: &[u8]) -> Vec<Next> {
    const PADDING: u8 = 255;
    let length = match case {
        Case::DataFramePadding | Case::NoPadding => 5,
        Case::Ping => 8_192,
        _ => frame::MAX_PAYLOAD,
    };
    let frame = |part: &[u8]| {
        Next::Send(match case {
            Case::DataFramePadding => {
                let payload = [&[PADDING], part, &[0; PADDING as usize]].concat();
                Frame::new(frame::DATA, frame::PADDED, id, payload)
            }
            _ => Frame::data(id, part, false),
        })
    };
    part.chunks(length).map(frame).collect()
}
