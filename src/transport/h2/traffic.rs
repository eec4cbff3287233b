//! What passes between h2 and its endpoint, counted on the way.
//!
//! h2 owns its end and does not lend it, so both ends share a [`Traffic`]. Only the thread that has
//! the connection's turn uses it: the counters are atomics because the compiler cannot know that,
//! and are never waited for.

use super::frames::{ACK, DATA, GOAWAY, HEADERS, PING, Passed, SETTINGS, WINDOW_UPDATE, Walker};
use crate::iomgr::Endpoint;
use crate::sync::{AtomicBool, AtomicU64, AtomicUsize, Mutex, Ordering::Relaxed};
use bytes::Bytes;
use h2::Reason;
use std::sync::Arc;
use std::{fmt, io};

/// How many bytes h2 gets in one turn of a connection, so that a busy one neither keeps a thread
/// from all others nor piles up DATA frames in h2 that the calls have not taken.
pub(super) const BYTES_PER_TURN: usize = 256 * 1024;

/// The text that tells a client to send PINGs less often: clients of gRPC double their keepalive
/// time when they read it (gRFC A8).
const TOO_MANY_PINGS: &[u8] = b"too_many_pings";

/// How many of the first bytes of a connection are kept, to be shown if they are not HTTP/2.
const BEGINNING: usize = 64;

/// What has passed on a connection.
#[derive(Default)]
pub(crate) struct Traffic {
    /// What is left of the turn's bytes.
    left_of_turn: AtomicUsize,
    /// Bytes that have come since the beginning, and that have left.
    received: AtomicU64,
    written: AtomicU64,
    /// Whether the peer's SETTINGS have come, and first.
    is_greeted: AtomicBool,
    /// A GOAWAY has come, and has not been told of.
    has_news: AtomicBool,
    /// What has come may not be known.
    looks_again: AtomicBool,
    /// Nothing can be written any more.
    is_broken: AtomicBool,
    /// What only a few connections ever hear. A leaf lock.
    heard: Mutex<Heard>,
    /// PINGs that have come, and not been taken.
    pings: AtomicU64,
    /// HEADERS, DATA and WINDOW_UPDATEs, and DATA alone, that have left since PINGs were taken.
    forgiving: AtomicU64,
    data: AtomicU64,
    /// A GOAWAY with a text is to leave.
    complains: AtomicBool,
    /// What h2 was lent, once it has shut it down. Locked at the connection's end, and nothing else
    /// under it.
    given_back: Mutex<Option<Box<dyn Endpoint>>>,
}

/// What is kept of what the peer has sent.
#[derive(Default)]
struct Heard {
    /// The first bytes, until they are known to be HTTP/2.
    beginning: Vec<u8>,
    goaway: Option<GoAway>,
    /// Why nothing can be written any more.
    broken: Option<String>,
}

/// A GOAWAY that has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GoAway {
    reason: Reason,
    text: Vec<u8>,
}

impl GoAway {
    /// What the beginning of a payload says. What is missing is not said.
    fn read(payload: &[u8]) -> Self {
        let code = payload.get(4..).and_then(|rest| rest.first_chunk()).copied();
        let text = payload.get(8..).unwrap_or_default();
        let reason = Reason::from(u32::from_be_bytes(code.unwrap_or_default()));
        Self { reason, text: text.to_vec() }
    }

    /// Whether its sender wants fewer PINGs (gRFC A8).
    pub(super) fn is_of_pings(&self) -> bool {
        self.reason == Reason::ENHANCE_YOUR_CALM && self.text == TOO_MANY_PINGS
    }
}

impl fmt::Display for GoAway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GOAWAY {:?}", self.reason)?;
        if self.text.is_empty() { Ok(()) } else { write!(f, " \"{}\"", self.text.escape_ascii()) }
    }
}

/// What was sent since the last PING came.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    /// Frames that forget strikes: with headers, trailers, data, or room for the client's data.
    pub(super) forgiving: u64,
    /// Those with data.
    pub(super) data: u64,
}

impl Traffic {
    /// Starts a turn.
    pub(crate) fn begin_turn(&self) {
        self.left_of_turn.store(BYTES_PER_TURN, Relaxed);
    }

    /// Whether reading stopped because of the turn's bound, with nothing armed.
    pub(crate) fn is_turn_used_up(&self) -> bool {
        self.left_of_turn.load(Relaxed) == 0
    }

    /// So many bytes have come.
    pub(super) fn take_of_turn(&self, count: usize) {
        let left = self.left_of_turn.load(Relaxed);
        self.left_of_turn.store(left.saturating_sub(count), Relaxed);
    }

    /// How many bytes have ever come.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// What has come may not be known, as nobody may have waited.
    pub(super) fn look_again(&self) {
        self.looks_again.store(true, Relaxed);
    }

    pub(super) fn takes_another_look(&self) -> bool {
        let looks = self.looks_again.load(Relaxed);
        if looks {
            self.looks_again.store(false, Relaxed);
        }
        looks
    }

    /// How many bytes have ever left. Another thread may ask: what it begins after that is in none of
    /// these.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    pub(super) fn add_written(&self, count: usize) {
        add(&self.written, count as u64);
    }

    /// Whether the peer has sent what it must begin with: SETTINGS, and before them a client its
    /// preface.
    pub(super) fn is_greeted(&self) -> bool {
        self.is_greeted.load(Relaxed)
    }

    /// The first bytes that have come, if they are not SETTINGS.
    pub(super) fn beginning(&self) -> Vec<u8> {
        self.heard.lock().beginning.clone()
    }

    /// What the peer has said with GOAWAY: first that something is wrong, if it said that.
    pub(super) fn goaway(&self) -> Option<GoAway> {
        self.heard.lock().goaway.clone()
    }

    /// The same, once for all that have come.
    pub(super) fn take_news(&self) -> Option<GoAway> {
        if !self.has_news.load(Relaxed) {
            return None;
        }
        self.has_news.store(false, Relaxed);
        self.goaway()
    }

    /// Nothing can be written any more, because of this.
    #[cold]
    pub(super) fn break_off(&self, error: &io::Error) {
        self.heard.lock().broken = Some(error.to_string());
        self.is_broken.store(true, Relaxed);
    }

    pub(super) fn is_broken(&self) -> bool {
        self.is_broken.load(Relaxed)
    }

    /// Why nothing can be written any more, if that is so.
    pub(super) fn broken(&self) -> Option<String> {
        self.heard.lock().broken.clone()
    }

    #[cold]
    fn hear(&self, payload: &[u8]) {
        let said = GoAway::read(payload);
        let known = &mut self.heard.lock().goaway;
        // A server may repeat itself with less to say: h2's own GOAWAY has no text.
        if known.as_ref().is_none_or(|known| known.reason == Reason::NO_ERROR) {
            *known = Some(said);
        }
        self.has_news.store(true, Relaxed);
    }

    /// How many PINGs have come since they were taken last. Answers do not count.
    pub(super) fn take_pings(&self) -> u64 {
        take(&self.pings)
    }

    /// What has left since this was taken last.
    pub(super) fn take_sent(&self) -> Sent {
        Sent { forgiving: take(&self.forgiving), data: take(&self.data) }
    }

    /// Has a GOAWAY leave that says `too_many_pings`, which h2 cannot send. It names no last stream:
    /// h2's own does, which has no text and comes behind it.
    pub(super) fn complain_of_pings(&self) {
        self.complains.store(true, Relaxed);
    }

    pub(super) fn complains(&self) -> bool {
        self.complains.load(Relaxed)
    }

    /// h2 has sent everything, and needs its endpoint no more.
    pub(super) fn give_back(&self, endpoint: Box<dyn Endpoint>) {
        *self.given_back.lock() = Some(endpoint);
    }

    /// The endpoint, if h2 has shut it down, and nobody has taken it.
    pub(crate) fn take_endpoint(&self) -> Option<Box<dyn Endpoint>> {
        self.given_back.lock().take()
    }
}

fn add(counter: &AtomicU64, count: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(count), Relaxed);
}

fn take(counter: &AtomicU64) -> u64 {
    let count = counter.load(Relaxed);
    if count > 0 {
        counter.store(0, Relaxed);
    }
    count
}

/// The way from the peer to h2.
pub(super) struct Inward {
    walker: Walker,
    is_first: bool,
    traffic: Arc<Traffic>,
}

impl Inward {
    /// This many bytes come before the first frame.
    pub(super) fn new(traffic: Arc<Traffic>, before: usize) -> Self {
        Self { walker: Walker::new(before), is_first: true, traffic }
    }

    pub(super) fn pass(&mut self, bytes: &[u8]) {
        let Self { walker, is_first, traffic } = self;
        traffic.take_of_turn(bytes.len());
        add(&traffic.received, bytes.len() as u64);
        if *is_first {
            let beginning = &mut traffic.heard.lock().beginning;
            let room = BEGINNING - beginning.len();
            beginning.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
        walker.walk(bytes, |Passed { kind, flags }, payload| {
            match kind {
                PING if flags & ACK == 0 => add(&traffic.pings, 1),
                GOAWAY => traffic.hear(payload),
                _ => {}
            }
            if *is_first {
                *is_first = false;
                // If the first frame is another one, the peer never has greeted.
                if kind == SETTINGS && flags & ACK == 0 {
                    traffic.is_greeted.store(true, Relaxed);
                    traffic.heard.lock().beginning = Vec::new();
                }
            }
        });
    }
}

/// The way from h2 to the peer.
pub(super) struct Outward {
    walker: Walker,
    traffic: Arc<Traffic>,
}

impl Outward {
    /// This many bytes come before the first frame.
    pub(super) fn new(traffic: Arc<Traffic>, before: usize) -> Self {
        Self { walker: Walker::new(before), traffic }
    }

    pub(super) fn pass(&mut self, bytes: &[u8]) {
        let Self { walker, traffic } = self;
        walker.walk(bytes, |Passed { kind, .. }, _| match kind {
            DATA => {
                add(&traffic.forgiving, 1);
                add(&traffic.data, 1);
            }
            HEADERS | WINDOW_UPDATE => add(&traffic.forgiving, 1),
            _ => {}
        });
    }

    /// The complaint's bytes, once, when no frame is on its way.
    pub(super) fn take_complaint(&self) -> Option<Bytes> {
        let is_time = self.traffic.complains() && self.walker.is_between_frames();
        is_time.then(|| {
            self.traffic.complains.store(false, Relaxed);
            goaway(Reason::ENHANCE_YOUR_CALM, TOO_MANY_PINGS)
        })
    }
}

/// The bytes of a GOAWAY that excludes no stream (RFC 9113, section 6.8). The text is short.
fn goaway(reason: Reason, text: &[u8]) -> Bytes {
    let mut bytes = vec![0, 0, 8 + text.len() as u8, GOAWAY, 0, 0, 0, 0, 0];
    bytes.extend([0x7f, 0xff, 0xff, 0xff]);
    bytes.extend(u32::from(reason).to_be_bytes());
    bytes.extend(text);
    bytes.into()
}

#[cfg(all(test, not(turnstile_loom)))]
mod tests {
    use super::{
        ACK, DATA, GOAWAY, HEADERS, Inward, Outward, PING, SETTINGS, Traffic, WINDOW_UPDATE,
    };
    use crate::testing::http2::{frame, greeting};
    use crate::transport::h2::frames::PREFACE;
    use std::sync::Arc;

    const RST_STREAM: u8 = 3;

    #[test]
    fn a_client_has_greeted_with_the_last_byte_of_its_settings() {
        let bytes = greeting();
        let (last, before) = bytes.split_last().unwrap();
        let traffic = Arc::<Traffic>::default();
        let mut inward = Inward::new(traffic.clone(), PREFACE);
        inward.pass(before);
        assert!(!traffic.is_greeted());
        inward.pass(&[*last]);
        assert!(traffic.is_greeted());
        inward.pass(&frame(PING, 0, 0, &[0; 8]));
        assert!(traffic.is_greeted());
    }

    #[test]
    fn a_client_that_begins_with_another_frame_never_greets() {
        let traffic = Arc::<Traffic>::default();
        let mut inward = Inward::new(traffic.clone(), 0);
        inward.pass(&frame(PING, 0, 0, &[0; 8]));
        inward.pass(&frame(SETTINGS, 0, 0, b""));
        assert!(!traffic.is_greeted());
    }

    #[test]
    fn the_beginning_of_what_is_not_http_2_is_kept() {
        let traffic = Arc::<Traffic>::default();
        let mut inward = Inward::new(traffic.clone(), 0);
        for part in [&b"HTTP/1.1"[..], b" 400 Bad Request\r\n", &[b'x'; 100]] {
            inward.pass(part);
        }
        let beginning = traffic.beginning();
        assert!(beginning.starts_with(b"HTTP/1.1 400 Bad Request\r\nxxx"));
        assert_eq!(beginning.len(), super::BEGINNING);
        assert!(!traffic.is_greeted());
    }

    #[test]
    fn of_several_goaways_the_first_that_names_an_error_is_told() {
        let traffic = Arc::<Traffic>::default();
        let mut inward = Inward::new(traffic.clone(), 0);
        let mut hear = |code: u8, text: &[u8]| {
            let payload = [&[0, 0, 0, 1, 0, 0, 0, code], text].concat();
            inward.pass(&frame(GOAWAY, 0, 0, &payload));
            traffic.take_news().map(|goaway| (goaway.is_of_pings(), goaway.to_string()))
        };
        assert_eq!(hear(0, b"max_age").unwrap(), (false, "GOAWAY NO_ERROR \"max_age\"".into()));
        let calm = (true, "GOAWAY ENHANCE_YOUR_CALM \"too_many_pings\"".into());
        assert_eq!(hear(11, b"too_many_pings").unwrap(), calm);
        assert_eq!(hear(11, b"").unwrap(), calm);
        assert_eq!(traffic.take_news(), None);
        inward.pass(&frame(GOAWAY, 0, 0, b"short"));
        assert_eq!(traffic.goaway().unwrap().to_string(), calm.1);
    }

    #[test]
    fn pings_count_and_their_answers_do_not() {
        let traffic = Arc::<Traffic>::default();
        let mut inward = Inward::new(traffic.clone(), 0);
        inward.pass(&[frame(PING, 0, 0, &[0; 8]), frame(PING, ACK, 0, &[0; 8])].concat());
        inward.pass(&frame(PING, 0, 0, &[0; 8]));
        assert_eq!((traffic.take_pings(), traffic.take_pings()), (2, 0));
        assert_eq!(traffic.received(), 3 * 17);
    }

    #[test]
    fn headers_data_and_room_for_it_forget_strikes_and_nothing_else_does() {
        let traffic = Arc::<Traffic>::default();
        let mut outward = Outward::new(traffic.clone(), 0);
        for kind in [SETTINGS, HEADERS, DATA, DATA, PING, RST_STREAM, GOAWAY, WINDOW_UPDATE] {
            outward.pass(&frame(kind, 0, 1, &[0; 8]));
        }
        let sent = traffic.take_sent();
        assert_eq!((sent.forgiving, sent.data), (4, 2));
        assert_eq!(traffic.take_sent().forgiving, 0);
    }

    #[test]
    fn a_complaint_waits_for_the_end_of_a_frame_and_leaves_once() {
        let traffic = Arc::<Traffic>::default();
        let mut outward = Outward::new(traffic.clone(), 0);
        let data = frame(DATA, 0, 1, &[0; 8]);
        outward.pass(&data[..12]);
        assert_eq!(outward.take_complaint(), None);
        traffic.complain_of_pings();
        assert_eq!(outward.take_complaint(), None);
        outward.pass(&data[12..]);
        let complaint = outward.take_complaint().unwrap();
        let payload = [&[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 11][..], b"too_many_pings"].concat();
        assert_eq!(complaint, frame(GOAWAY, 0, 0, &payload));
        assert_eq!(outward.take_complaint(), None);
    }
}
