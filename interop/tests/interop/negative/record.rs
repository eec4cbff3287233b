//! What a client and the server have sent each other, in the order in which the server saw it.

use std::collections::HashMap;
use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex};

use super::server::Case;
use crate::raw::frame::{self, Frame};

/// One thing that happened on a connection.
#[derive(Clone)]
pub(crate) enum Step {
    Opened,
    Received(Frame),
    Sent(Frame),
    Closed,
}

impl fmt::Debug for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (who, frame) = match self {
            Self::Opened => return formatter.write_str("opened"),
            Self::Closed => return formatter.write_str("closed"),
            Self::Received(frame) => ("client", frame),
            Self::Sent(frame) => ("server", frame),
        };
        let Frame { kind, flags, stream, payload } = frame;
        let length = payload.len();
        write!(formatter, "{who}: kind {kind}, flags {flags:#x}, stream {stream}, {length} bytes")
    }
}

/// Where the threads of the connections write.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Record>>);

impl Log {
    pub(super) fn note(&self, connection: usize, step: Step) {
        self.0.lock().expect("no thread panics here").0.push((connection, step));
    }

    pub(super) fn take(&self) -> Record {
        mem::take(&mut *self.0.lock().expect("no thread panics here"))
    }
}

/// All that happened, each with the number of its connection.
#[derive(Clone, Default)]
pub(crate) struct Record(Vec<(usize, Step)>);

impl Record {
    /// How many connections the client has opened.
    pub(crate) fn connections(&self) -> usize {
        self.0.iter().filter(|(_, step)| matches!(step, Step::Opened)).count()
    }

    /// The connection and the stream of each call, as they came.
    pub(crate) fn calls(&self) -> Vec<(usize, u32)> {
        let is_call = |frame: &&Frame| frame.kind == frame::HEADERS;
        self.received().filter(|(_, it)| is_call(it)).map(|(at, it)| (at, it.stream)).collect()
    }

    /// The payloads of the PINGs that were sent, and of those that came back.
    pub(crate) fn pings(&self) -> [Vec<&[u8]>; 2] {
        let payload = |frame: &'_ Frame| frame.kind == frame::PING && !frame.has(frame::ACK);
        let sent = self.sent().filter(|(_, it)| payload(it)).map(|(_, it)| &it.payload[..]);
        let acked = self.received().filter(|(_, it)| it.kind == frame::PING && it.has(frame::ACK));
        [sent.collect(), acked.map(|(_, it)| &it.payload[..]).collect()]
    }

    /// How many bytes of DATA the server sent, as flow control counts them.
    pub(crate) fn flow(&self) -> usize {
        let data = self.sent().filter(|(_, frame)| frame.kind == frame::DATA);
        data.map(|(_, frame)| frame.payload.len()).sum()
    }

    /// How many calls were open at once on a connection since the client acknowledged the limit
    /// of the case max_streams.
    pub(crate) fn most_open(&self) -> usize {
        let (mut acknowledged, mut most) = (HashMap::<usize, usize>::new(), 0);
        // The streams, with how many of their ends are closed.
        let mut open = HashMap::<(usize, u32), usize>::new();
        for (at, step) in &self.0 {
            let (Step::Received(frame) | Step::Sent(frame)) = step else { continue };
            let is_received = matches!(step, Step::Received(_));
            let stream = (*at, frame.stream);
            match frame.kind {
                frame::SETTINGS if is_received && frame.has(frame::ACK) => {
                    *acknowledged.entry(*at).or_default() += 1;
                }
                frame::RST_STREAM => drop(open.remove(&stream)),
                frame::HEADERS if is_received => drop(open.entry(stream).or_default()),
                _ => {}
            }
            // The limit is in the second SETTINGS.
            if acknowledged.get(at).is_some_and(|count| *count >= 2) {
                most = most.max(open.keys().filter(|(connection, _)| connection == at).count());
            }
            let ends = matches!(frame.kind, frame::HEADERS | frame::DATA);
            if ends && frame.has(frame::END_STREAM) {
                let ended = open.get_mut(&stream).map(|ends| mem::replace(ends, *ends + 1) + 1);
                if ended == Some(2) {
                    open.remove(&stream);
                }
            }
        }
        most
    }

    /// Asserts that the client did what is right in this case, by which it made so many calls.
    #[track_caller]
    pub(crate) fn check(&self, case: Case, calls: usize) {
        let (made, connections) = (self.calls(), self.connections());
        match case {
            // A stream behind the GOAWAY would be one more, on the first connection.
            Case::Goaway | Case::GoawayBeforeCall => {
                assert_eq!(made, [(0, 1), (1, 1)], "one call for each connection: {self:?}");
            }
            Case::RefusedStream => assert_eq!(made.len(), 2, "once more, and once only: {self:?}"),
            _ => assert_eq!(made.len(), calls, "calls are not made anew: {self:?}"),
        }
        match case {
            Case::Ping => {
                let [sent, acked] = self.pings();
                assert!(sent.len() > 40, "{self:?}");
                assert_eq!(acked, sent, "every PING is answered: {self:?}");
            }
            Case::MaxStreams => {
                assert_eq!(connections, 1, "the limit is no reason for another: {self:?}");
                assert_eq!(self.most_open(), 1, "no two calls at once: {self:?}");
            }
            Case::DataFramePadding => assert!(self.flow() > 16_000_000, "{}", self.flow()),
            _ => {}
        }
    }

    fn received(&self) -> impl Iterator<Item = (usize, &Frame)> {
        self.0.iter().filter_map(|(at, step)| match step {
            Step::Received(frame) => Some((*at, frame)),
            _ => None,
        })
    }

    fn sent(&self) -> impl Iterator<Item = (usize, &Frame)> {
        self.0.iter().filter_map(|(at, step)| match step {
            Step::Sent(frame) => Some((*at, frame)),
            _ => None,
        })
    }
}

/// All but DATA, of which there is too much to read.
impl fmt::Debug for Record {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_data = |step: &Step| matches!(step, Step::Received(frame) | Step::Sent(frame) if frame.kind == frame::DATA);
        let told = self.0.iter().filter(|(_, step)| !is_data(step));
        told.into_iter().try_for_each(|(at, step)| write!(formatter, "\nconnection {at}: {step:?}"))
    }
}
