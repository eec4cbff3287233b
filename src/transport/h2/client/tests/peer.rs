//! A connection whose server is frames, written and read by the test.

use crate::iomgr::{
    Deadline, ExecCtx, Iomgr, Pollset, endpoint_for_tests, iomgr_for_tests, pollset_for_tests,
};
use crate::status::Status;
use crate::sync::Mutex;
use crate::testing::http2::{
    ACK, DATA, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, frame, headers,
};
use crate::testing::{CountingWaker, PATIENCE};
use crate::transport::h2::{ClientConfig, ClientTransport};
use crate::transport::{
    Answer, ClientStream, ClientTransport as _, Connected, Ended, GoAway, Message, Request,
};
use bytes::{BufMut as _, Bytes};
use loona_hpack::Decoder;
use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::task::{Context, Poll};

/// What a client has been told.
#[derive(Default)]
pub(super) struct Seen(Mutex<Told>);

#[derive(Default, Clone)]
pub(super) struct Told {
    pub(super) is_ready: bool,
    pub(super) goaways: Vec<GoAway>,
    pub(super) closed: Vec<Status>,
    panics: bool,
}

impl Seen {
    /// The next GOAWAY is told to a client with a fault.
    pub(super) fn panic_on_goaway(&self) {
        self.0.lock().panics = true;
    }

    pub(super) fn told(&self) -> Told {
        self.0.lock().clone()
    }
}

impl Connected for Seen {
    fn on_ready(&self) {
        let told = &mut *self.0.lock();
        assert!(!told.is_ready && told.closed.is_empty(), "told too late or twice");
        told.is_ready = true;
    }

    fn on_go_away(&self, why: GoAway) {
        let panics = self.0.lock().panics;
        assert!(!panics, "on purpose");
        self.0.lock().goaways.push(why);
    }

    fn on_closed(&self, why: Status) {
        self.0.lock().closed.push(why);
    }
}

/// One frame that the client has sent.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
    /// Of HEADERS.
    pub(super) fields: Vec<(String, String)>,
}

impl Received {
    pub(super) fn ends_stream(&self) -> bool {
        matches!(self.kind, HEADERS | DATA) && self.flags & END_STREAM != 0
    }

    /// The code of a RST_STREAM.
    pub(super) fn code(&self) -> u32 {
        assert_eq!(self.kind, RST_STREAM);
        u32::from_be_bytes(self.payload[..].try_into().unwrap())
    }
}

/// A client's connection and its server.
pub(super) struct World {
    pub(super) iomgr: Arc<Iomgr>,
    pub(super) pollset: Arc<Pollset>,
    pub(super) seen: Arc<Seen>,
    pub(super) transport: Arc<ClientTransport>,
    /// `None` once it has gone.
    server: Option<UnixStream>,
    /// The client's SETTINGS are acknowledged, which puts a frame between what the test sends.
    acknowledges: bool,
    bytes: Vec<u8>,
    has_preface: bool,
    frames: VecDeque<Received>,
    decoder: Decoder<'static>,
}

impl World {
    /// The server has said nothing.
    pub(super) fn silent(config: ClientConfig, deadline: Deadline) -> Self {
        let (ours, server) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        server.set_nonblocking(true).unwrap();
        let (iomgr, seen) = (iomgr_for_tests(), Arc::<Seen>::default());
        let endpoint = endpoint_for_tests(&iomgr, ours.into());
        let config = Arc::new(config);
        let transport = ClientTransport::new(endpoint, config, seen.clone(), iomgr.clone());
        transport.begin(deadline);
        let pollset = pollset_for_tests(&iomgr);
        Self {
            iomgr,
            pollset,
            seen,
            transport,
            server: Some(server),
            acknowledges: false,
            bytes: Vec::new(),
            has_preface: false,
            frames: VecDeque::new(),
            decoder: Decoder::new(),
        }
    }

    /// The server has sent its SETTINGS, with these values.
    pub(super) fn with(config: ClientConfig, settings: &[(u16, u32)]) -> Self {
        let mut world = Self::silent(config, Deadline::NONE);
        world.acknowledges = true;
        world.set(settings);
        world.work_until(|world| world.seen.told().is_ready);
        world
    }

    pub(super) fn new() -> Self {
        Self::with(ClientConfig::default(), &[])
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        let mut left = bytes;
        while !left.is_empty() {
            match self.server.as_mut().expect("the server is there").write(left) {
                Ok(count) => left = &left[count..],
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    self.work();
                }
            }
        }
    }

    pub(super) fn set(&mut self, settings: &[(u16, u32)]) {
        self.send(&settings_frame(settings));
    }

    /// The same to a client that may have closed.
    pub(super) fn try_set(&mut self, settings: &[(u16, u32)]) {
        self.try_send(&settings_frame(settings));
    }

    /// Sends what a client takes that may have closed.
    pub(super) fn try_send(&mut self, bytes: &[u8]) {
        let mut left = bytes;
        while let Some(server) = &mut self.server
            && !left.is_empty()
        {
            match server.write(left) {
                Ok(count) => left = &left[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.work(),
                Err(_) => return,
            }
        }
    }

    /// The head of an answer.
    pub(super) fn answer(&mut self, stream: u32) {
        let fields = [(":status", "200"), ("content-type", "application/grpc")];
        self.send(&headers(stream, 0, &fields));
    }

    pub(super) fn trailers(&mut self, stream: u32, fields: &[(&str, &str)]) {
        self.send(&headers(stream, END_STREAM, fields));
    }

    /// A whole answer: a message and OK.
    pub(super) fn answer_ok(&mut self, stream: u32) {
        self.answer(stream);
        self.send(&frame(DATA, 0, stream, &framed(b"reply")));
        self.trailers(stream, &[("grpc-status", "0")]);
    }

    pub(super) fn reset(&mut self, stream: u32, code: u32) {
        self.send(&frame(RST_STREAM, 0, stream, &code.to_be_bytes()));
    }

    pub(super) fn goaway(&mut self, last: u32, code: u32, text: &str) {
        let payload = [&last.to_be_bytes()[..], &code.to_be_bytes(), text.as_bytes()].concat();
        self.send(&frame(GOAWAY, 0, 0, &payload));
    }

    /// The server closes its socket.
    pub(super) fn hang_up(&mut self) {
        self.server = None;
    }

    /// The server's socket takes no more bytes.
    pub(super) fn stop_reading(&mut self) {
        let server = self.server.as_ref().expect("the server is there");
        server.shutdown(std::net::Shutdown::Read).unwrap();
    }

    /// Works until the system has nothing more to tell, and reads what has come to the server.
    pub(super) fn work(&mut self) {
        let context = ExecCtx::enter();
        context.flush();
        self.iomgr.work(&self.pollset, Deadline::NOW, || true);
        context.flush();
        self.read();
    }

    /// Works until something is as it should be.
    #[track_caller]
    pub(super) fn work_until(&mut self, mut is_done: impl FnMut(&mut Self) -> bool) {
        let patience = Deadline::after(PATIENCE);
        while !is_done(self) {
            assert!(!patience.has_passed(), "nothing happened");
            self.work();
        }
    }

    /// Works until everything that was sent has had its effect: a PING comes back behind it.
    pub(super) fn settle(&mut self) {
        const TOKEN: &[u8] = b"a token!";
        self.send(&frame(PING, 0, 0, TOKEN));
        let is_answer = |it: &Received| it.kind == PING && it.payload == TOKEN;
        self.work_until(|world| {
            let at = world.frames.iter().position(is_answer);
            at.and_then(|at| world.frames.remove(at)).is_some()
        });
        self.work();
    }

    fn read(&mut self) {
        let Some(server) = &mut self.server else { return };
        let mut chunk = [0; 64 * 1024];
        while let Ok(count @ 1..) = server.read(&mut chunk) {
            self.bytes.extend_from_slice(&chunk[..count]);
        }
        if !self.has_preface && self.bytes.len() >= PREFACE.len() {
            assert_eq!(&self.bytes[..PREFACE.len()], PREFACE);
            self.bytes.drain(..PREFACE.len());
            self.has_preface = true;
        }
        while self.has_preface && self.bytes.len() >= 9 {
            let [a, b, c, kind, flags, stream @ ..] = *self.bytes.first_chunk::<9>().unwrap();
            let end = 9 + u32::from_be_bytes([0, a, b, c]) as usize;
            if self.bytes.len() < end {
                break;
            }
            let payload = self.bytes[9..end].to_vec();
            self.bytes.drain(..end);
            let stream = u32::from_be_bytes(stream);
            if kind == SETTINGS && flags & ACK == 0 && self.acknowledges {
                // A client that closes at once does not wait for it.
                let _ = server.write_all(&frame(SETTINGS, ACK, 0, &[]));
            }
            let fields = match kind {
                HEADERS => self.decoder.decode(&payload).expect("a whole block"),
                _ => Vec::new(),
            };
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
            let fields =
                fields.into_iter().map(|(name, value)| (text(name), text(value))).collect();
            self.frames.push_back(Received { kind, flags, stream, payload, fields });
        }
    }

    /// The next frame that is wanted; those before it are dropped.
    #[track_caller]
    pub(super) fn frame(&mut self, is_wanted: impl Fn(&Received) -> bool) -> Received {
        let mut found = None;
        self.work_until(|world| {
            while let Some(frame) = world.frames.pop_front() {
                if is_wanted(&frame) {
                    found = Some(frame);
                    return true;
                }
            }
            false
        });
        found.unwrap()
    }

    /// What has come and was not looked at.
    pub(super) fn take_frames(&mut self) -> Vec<Received> {
        self.work();
        self.frames.drain(..).collect()
    }

    /// Whether the client has closed the connection.
    pub(super) fn is_closed(&mut self) -> bool {
        let server = self.server.as_mut().expect("the server is there");
        matches!(server.read(&mut [0; 1024]), Ok(0))
            || server.take_error().is_ok_and(|error| error.is_some())
    }

    /// The call's request is at the server, whole.
    #[track_caller]
    pub(super) fn request(&mut self) -> u32 {
        self.frame(Received::ends_stream).stream
    }

    pub(super) fn begin(&self) -> Call {
        self.begin_with(request())
    }

    pub(super) fn begin_with(&self, request: Request) -> Call {
        Call {
            stream: self.transport.clone().start(request),
            waker: CountingWaker::new(),
            owes_half_close: false,
        }
    }

    /// A call with one message, which is not all sent if the call has to wait for a place.
    #[track_caller]
    pub(super) fn unary(&mut self) -> Call {
        let mut call = self.begin();
        call.owes_half_close = call.send(b"request").is_pending();
        if !call.owes_half_close {
            call.stream.half_close().unwrap();
        }
        call
    }

    /// The same, of a call that has waited for its place.
    #[track_caller]
    pub(super) fn request_of(&mut self, call: &mut Call) -> u32 {
        call.wait(self, |stream, context| stream.poll_send_message(context)).unwrap();
        if call.owes_half_close {
            call.stream.half_close().unwrap();
        }
        self.request()
    }

    /// Why the connection is closed, which it must be once.
    #[track_caller]
    pub(super) fn closed(&mut self) -> Status {
        self.work_until(|world| !world.seen.told().closed.is_empty());
        self.work();
        let told = self.seen.told();
        assert_eq!(told.closed.len(), 1);
        told.closed[0].clone()
    }
}

pub(super) fn request() -> Request {
    Request {
        path: "/test.Test/Test".parse().unwrap(),
        authority: "server".parse().unwrap(),
        metadata: crate::metadata::Metadata::new(),
        subtype: None,
        timeout: None,
        encoding: None,
        accepts: crate::compression::Encodings::default(),
    }
}

fn settings_frame(settings: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (id, value) in settings {
        payload.put_u16(*id);
        payload.put_u32(*value);
    }
    frame(SETTINGS, 0, 0, &payload)
}

/// A message behind its prefix.
pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.put_u32(u32::try_from(message.len()).unwrap());
    bytes.extend_from_slice(message);
    bytes
}

/// A call in the test's hands.
pub(super) struct Call {
    pub(super) stream: Box<dyn ClientStream>,
    waker: CountingWaker,
    owes_half_close: bool,
}

/// What a client gets of a call.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) answer: Option<Answer>,
    pub(super) messages: Vec<Bytes>,
    pub(super) ended: Ended,
}

impl Whole {
    /// The status as text.
    pub(super) fn status(&self) -> String {
        self.ended.status.to_string()
    }
}

impl Call {
    /// How often it was woken.
    pub(super) fn wakes(&self) -> usize {
        self.waker.count()
    }

    /// Begins to send a message. Ready if it has left, or cannot.
    pub(super) fn send(&mut self, message: &[u8]) -> Poll<Result<(), Status>> {
        let data = Bytes::copy_from_slice(message);
        self.stream.begin_message(Message { compressed: false, data }).unwrap();
        self.poll(|stream, context| stream.poll_send_message(context))
    }

    pub(super) fn poll<R>(
        &mut self,
        poll: impl FnOnce(&mut dyn ClientStream, &mut Context<'_>) -> R,
    ) -> R {
        let waker = self.waker.waker();
        poll(&mut *self.stream, &mut Context::from_waker(&waker))
    }

    /// Polls until it is ready, and only when it was woken.
    #[track_caller]
    pub(super) fn wait<R>(
        &mut self,
        world: &mut World,
        mut poll: impl FnMut(&mut dyn ClientStream, &mut Context<'_>) -> Poll<R>,
    ) -> R {
        loop {
            let before = self.waker.count();
            let result = self.poll(|stream, context| {
                stream.take_in(context);
                poll(stream, context)
            });
            match result {
                Poll::Ready(result) => return result,
                Poll::Pending => world.work_until(|_| self.waker.count() > before),
            }
        }
    }

    #[track_caller]
    pub(super) fn answer(&mut self, world: &mut World) -> Option<Answer> {
        self.wait(world, |stream, context| stream.poll_answer(context))
    }

    #[track_caller]
    pub(super) fn message(&mut self, world: &mut World) -> Result<Option<Bytes>, Status> {
        let message = self.wait(world, |stream, context| stream.poll_message(context));
        message.map(|message| message.map(|message| message.data))
    }

    #[track_caller]
    pub(super) fn ended(&mut self, world: &mut World) -> Ended {
        self.wait(world, |stream, context| stream.poll_ended(context))
    }

    /// All that comes of the call.
    #[track_caller]
    pub(super) fn finish(mut self, world: &mut World) -> Whole {
        let answer = self.answer(world);
        let mut messages = Vec::new();
        while let Ok(Some(message)) = self.message(world) {
            messages.push(message);
        }
        let ended = self.ended(world);
        Whole { answer, messages, ended }
    }
}
