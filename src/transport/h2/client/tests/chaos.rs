//! A server that says anything at any time: every call ends, once, and nobody waits for what has come.

mod steps;

use super::peer::{Call, World, framed};
use crate::iomgr::Deadline;
use crate::status::{Code, Status};
use crate::testing::PATIENCE;
use crate::testing::http2::{DATA, END_STREAM, HEADERS, RST_STREAM, WINDOW_UPDATE, frame, headers};
use crate::transport::h2::ClientConfig;
use crate::transport::{ClientStream, Ended, Message, Transport as _, Unprocessed};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use std::task::{Context, Poll};
use steps::{Step, step};

/// A call as an application has it.
struct Running {
    call: Call,
    progress: Progress,
    looked: usize,
}

#[derive(Default)]
struct Progress {
    sends: bool,
    then_closes: bool,
    is_closed: bool,
    is_broken: bool,
    is_answered: bool,
    is_at_end: bool,
    ended: Option<Ended>,
}

impl Progress {
    fn go_on(&mut self, stream: &mut dyn ClientStream, context: &mut Context<'_>) -> Poll<Ended> {
        if let Some(ended) = &self.ended {
            return Poll::Ready(ended.clone());
        }
        stream.take_in(context);
        if self.sends
            && let Poll::Ready(sent) = stream.poll_send_message(context)
        {
            self.sends = false;
            self.is_broken = sent.is_err();
        }
        if !self.sends && self.then_closes && !self.is_closed && !self.is_broken {
            self.is_closed = true;
            self.is_broken = stream.half_close().is_err();
        }
        if !self.is_answered && stream.poll_answer(context).is_ready() {
            self.is_answered = true;
        }
        while self.is_answered && !self.is_at_end {
            match stream.poll_message(context) {
                Poll::Ready(Ok(Some(_))) => {}
                Poll::Ready(_) => self.is_at_end = true,
                Poll::Pending => break,
            }
        }
        if self.is_at_end
            && let Poll::Ready(ended) = stream.poll_ended(context)
        {
            self.ended = Some(ended);
        }
        self.ended.clone().map_or(Poll::Pending, Poll::Ready)
    }
}

impl Running {
    fn poll(&mut self) -> bool {
        self.looked = self.call.wakes();
        let progress = &mut self.progress;
        self.call.poll(|stream, context| progress.go_on(stream, context)).is_ready()
    }
}

/// What the server knows of a stream.
#[derive(Default, Clone, Copy)]
struct Known {
    stream: u32,
    is_answered: bool,
    is_over: bool,
}

struct Chaos {
    world: World,
    calls: Vec<Option<Running>>,
    streams: Vec<Known>,
}

impl Chaos {
    fn work(&mut self) {
        for frame in self.world.take_frames() {
            if frame.kind == HEADERS {
                self.streams.push(Known { stream: frame.stream, ..Known::default() });
            }
            if frame.kind == RST_STREAM {
                let over = self.streams.iter_mut().filter(|it| it.stream == frame.stream);
                over.for_each(|it| it.is_over = true);
            }
        }
    }

    fn call(&mut self, index: usize) -> Option<&mut Running> {
        let count = self.calls.len().max(1);
        self.calls.get_mut(index % count)?.as_mut()
    }

    fn known(&mut self, index: usize, is_answered: bool) -> Option<&mut Known> {
        let fit: Vec<_> = self
            .streams
            .iter_mut()
            .filter(|it| !it.is_over && it.is_answered == is_answered)
            .collect();
        let count = fit.len().max(1);
        fit.into_iter().nth(index % count)
    }

    fn send(&mut self, bytes: &[u8]) {
        self.world.try_send(bytes);
    }

    fn take(&mut self, step: Step) {
        const HEAD: [(&str, &str); 2] = [(":status", "200"), ("content-type", "application/grpc")];
        match step {
            Step::Begin => {
                let call = self.world.begin();
                self.calls.push(Some(Running { call, progress: Progress::default(), looked: 0 }));
            }
            Step::Send { call, length, is_last } => {
                let Some(Running { call, progress, .. }) = self.call(call) else { return };
                if progress.sends || progress.is_broken || progress.is_closed {
                    return;
                }
                let data = Bytes::from(vec![1; length]);
                call.stream.begin_message(Message { compressed: false, data }).unwrap();
                if is_last && !progress.then_closes {
                    progress.then_closes = true;
                    call.stream.begun_last();
                }
                progress.sends = true;
            }
            Step::HalfClose(call) => {
                let Some(Running { progress, .. }) = self.call(call) else { return };
                progress.then_closes = true;
            }
            Step::Poll(call) => {
                if let Some(running) = self.call(call) {
                    running.poll();
                }
            }
            Step::Cancel(call) => {
                let Some(running) = self.call(call) else { return };
                running.call.stream.cancel(Status::cancelled("on purpose"));
                let is_told = running.progress.ended.is_some();
                if !is_told {
                    running.progress.is_answered = true;
                    running.progress.is_at_end = true;
                    assert!(running.poll(), "a cancelled call is over");
                }
            }
            Step::Drop(call) => {
                let count = self.calls.len().max(1);
                self.calls.get_mut(call % count).into_iter().for_each(|it| *it = None);
            }
            Step::Leave => {
                self.world.transport.clone().go_away();
            }
            Step::Places(count) => self.world.try_set(&[(3, count)]),
            Step::Window(bytes) => self.world.try_set(&[(4, bytes)]),
            Step::Room(stream) => {
                let stream = self.known(stream, true).map_or(0, |it| it.stream);
                self.send(&frame(WINDOW_UPDATE, 0, stream, &20_000_u32.to_be_bytes()));
            }
            Step::Informational(stream) => {
                let Some(Known { stream, .. }) = self.known(stream, false).copied() else { return };
                self.send(&headers(stream, 0, &[(":status", "103"), ("x-early", "1")]));
            }
            Step::Answer(stream) => {
                let Some(known) = self.known(stream, false) else { return };
                known.is_answered = true;
                let stream = known.stream;
                self.send(&headers(stream, 0, &HEAD));
            }
            Step::Data { stream, length, part, ends } => {
                let Some(known) = self.known(stream, true) else { return };
                let ends = ends && part % 5 == 0;
                known.is_over |= ends;
                let stream = known.stream;
                let bytes = framed(&vec![2; length]);
                let bytes = &bytes[..part.min(bytes.len())];
                let mut chunks = bytes.chunks(16_000).peekable();
                while let Some(chunk) = chunks.next() {
                    let is_last = ends && chunks.peek().is_none();
                    self.send(&frame(DATA, u8::from(is_last) * END_STREAM, stream, chunk));
                }
            }
            Step::Trailers(stream) => {
                let Some(known) = self.known(stream, true) else { return };
                known.is_over = true;
                let stream = known.stream;
                self.send(&headers(stream, END_STREAM, &[("grpc-status", "0")]));
            }
            Step::Alone(stream) => {
                let Some(known) = self.known(stream, false) else { return };
                known.is_over = true;
                let fields = [HEAD[0], HEAD[1], ("grpc-status", "5")];
                let stream = known.stream;
                self.send(&headers(stream, END_STREAM, &fields));
            }
            Step::HttpError(stream) => {
                let Some(known) = self.known(stream, false) else { return };
                known.is_answered = true;
                let stream = known.stream;
                self.send(&headers(stream, 0, &[(":status", "503")]));
            }
            Step::Reset { stream, code } => {
                let count = self.streams.len().max(1);
                let Some(known) = self.streams.get_mut(stream % count) else { return };
                known.is_over = true;
                let stream = known.stream;
                self.send(&frame(RST_STREAM, 0, stream, &code.to_be_bytes()));
            }
            Step::GoAway { last, code } => {
                let payload = [last.to_be_bytes(), code.to_be_bytes()].concat();
                self.send(&frame(7, 0, 0, &payload));
            }
            Step::Frame { kind, flags, stream, length, fill } => {
                self.send(&frame(kind, flags, stream, &vec![fill; length]));
            }
            Step::Work => self.work(),
        }
    }

    /// The server resets every call that comes; so all must end, each woken for it.
    fn end_by_resets(&mut self) {
        self.world.try_set(&[(3, 100), (4, 65_535)]);
        for running in self.calls.iter_mut().flatten() {
            running.poll();
        }
        let patience = Deadline::after(PATIENCE);
        while self.calls.iter().flatten().any(|it| it.progress.ended.is_none()) {
            assert!(!patience.has_passed(), "a call does not end");
            self.work();
            for index in 0..self.streams.len() {
                if !std::mem::replace(&mut self.streams[index].is_over, true) {
                    let stream = self.streams[index].stream;
                    self.send(&frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
                }
            }
            for running in self.calls.iter_mut().flatten() {
                if running.call.wakes() > running.looked {
                    running.poll();
                }
            }
        }
    }

    /// The connection ends, and with it all calls.
    fn end_at_once(&mut self, is_aborted: bool) {
        for running in self.calls.iter_mut().flatten() {
            running.poll();
        }
        match is_aborted {
            true => self.world.transport.clone().abort(),
            false => self.world.hang_up(),
        }
        for running in self.calls.iter_mut().flatten() {
            let progress = &mut running.progress;
            running.call.wait(&mut self.world, |stream, context| progress.go_on(stream, context));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_call_ends_whatever_the_server_says(
        places in prop_oneof![Just(None), (0..3_u32).prop_map(Some)],
        steps in vec(step(), 1..120),
        end in 0..3_u8,
    ) {
        let settings: Vec<_> = places.into_iter().map(|places| (3, places)).collect();
        let world = World::with(ClientConfig::default(), &settings);
        let (calls, streams) = (Vec::new(), Vec::new());
        let mut chaos = Chaos { world, calls, streams };
        for step in steps {
            chaos.take(step);
        }
        match end {
            0 => chaos.end_by_resets(),
            end => chaos.end_at_once(end == 1),
        }
        chaos.world.hang_up();
        chaos.world.closed();
        let ended: Vec<_> = chaos.calls.iter().flatten().map(|it| it.progress.ended.clone()).collect();
        let unsent = ended.iter().flatten().filter(|it| it.unprocessed == Some(Unprocessed::NotSent));
        prop_assert!(chaos.streams.len() + unsent.count() <= chaos.calls.len());
        for ended in ended.iter().flatten().filter(|it| it.unprocessed.is_some()) {
            prop_assert_eq!(ended.status.code(), Code::Unavailable);
        }
    }
}
