//! Finds the frames in the bytes of a connection (RFC 9113, section 4.1). Pure.
//!
//! h2 says nothing of SETTINGS and PINGs that have come, nor when it has sent something. So the
//! bytes are looked at on their way: headers are read, and payloads skipped. h2 checks what they
//! say; what is wrong here is wrong there too, and ends the connection.

/// The length of the preface, which comes before a client's frames (section 3.4).
pub(crate) const PREFACE: usize = 24;

const HEADER: usize = 9;

/// Types of frames (section 6).
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;

/// The flag of a PING or SETTINGS that answers another.
pub(crate) const ACK: u8 = 0x1;

/// How much of a GOAWAY's payload is kept: the fields that it begins with, and some text.
const KEPT: usize = 8 + 256;

/// A frame whose last byte has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Passed {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
}

/// A place in a stream of frames.
pub(crate) struct Walker {
    /// What is left of the frame's payload, or of what comes before the first frame.
    left: usize,
    /// The frame whose payload is passing.
    current: Option<Passed>,
    /// A header that has come in parts, as far as it has.
    header: [u8; HEADER],
    header_len: usize,
    /// The beginning of the payload of a GOAWAY; that of all others is skipped.
    kept: Vec<u8>,
}

impl Walker {
    /// At the beginning of a connection, where this many bytes come before the first frame.
    pub(crate) fn new(before: usize) -> Self {
        Self { left: before, current: None, header: [0; HEADER], header_len: 0, kept: Vec::new() }
    }

    /// Goes on by `bytes`, and tells of each frame that ends in them, with the beginning of its payload
    /// if it is a GOAWAY.
    pub(crate) fn walk(&mut self, mut bytes: &[u8], mut on_frame: impl FnMut(Passed, &[u8])) {
        loop {
            let (skipped, rest) = bytes.split_at(self.left.min(bytes.len()));
            self.left -= skipped.len();
            bytes = rest;
            if self.current.is_some_and(|frame| frame.kind == GOAWAY) {
                let room = KEPT - self.kept.len();
                self.kept.extend_from_slice(&skipped[..skipped.len().min(room)]);
            }
            if self.left > 0 {
                return;
            }
            if let Some(frame) = self.current.take() {
                on_frame(frame, &self.kept);
                self.kept.clear();
            }
            if bytes.is_empty() {
                return;
            }
            match bytes.split_first_chunk() {
                Some((header, rest)) if self.header_len == 0 => {
                    self.begin(*header);
                    bytes = rest;
                }
                _ => bytes = self.gather(bytes),
            }
        }
    }

    /// Whether no frame has begun that has not ended.
    pub(crate) fn is_between_frames(&self) -> bool {
        self.left == 0 && self.header_len == 0
    }

    fn begin(&mut self, header: [u8; HEADER]) {
        let [a, b, c, kind, flags, ..] = header;
        self.left = u32::from_be_bytes([0, a, b, c]) as usize;
        self.current = Some(Passed { kind, flags });
    }

    /// Takes a part of a header, and gives the bytes behind it.
    fn gather<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (part, rest) = bytes.split_at(bytes.len().min(HEADER - self.header_len));
        let end = self.header_len + part.len();
        self.header[self.header_len..end].copy_from_slice(part);
        self.header_len = end;
        if end == HEADER {
            self.header_len = 0;
            self.begin(self.header);
        }
        rest
    }
}

#[cfg(all(test, not(turnstile_loom)))]
mod tests {
    use super::{ACK, DATA, GOAWAY, HEADERS, PING, PREFACE, Passed, SETTINGS, Walker};
    use crate::testing::http2::{self, frame};
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// What a walker tells of bytes that come in these parts.
    fn walked<'a>(before: usize, parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<Passed> {
        let mut walker = Walker::new(before);
        let mut found = Vec::new();
        for part in parts {
            walker.walk(part, |frame, _| found.push(frame));
        }
        found
    }

    #[test]
    fn a_frame_is_told_of_with_its_last_byte() {
        let preface = http2::PREFACE;
        let bytes = [preface, &frame(SETTINGS, 0, 0, b"123456"), &frame(PING, ACK, 0, b"12345678")];
        let bytes = bytes.concat();
        let mut walker = Walker::new(PREFACE);
        for (at, byte) in bytes.iter().enumerate() {
            let mut found = None;
            walker.walk(&[*byte], |frame, _| found = Some(frame));
            let expected = match at + 1 {
                39 => Some(Passed { kind: SETTINGS, flags: 0 }),
                56 => Some(Passed { kind: PING, flags: ACK }),
                _ => None,
            };
            assert_eq!(found, expected, "{at}");
            assert_eq!(walker.is_between_frames(), matches!(at + 1, 24 | 39 | 56), "{at}");
        }
    }

    #[test]
    fn frames_without_a_payload_are_told_of() {
        let bytes = [frame(DATA, 1, 1, b""), frame(HEADERS, 4, 3, b"")].concat();
        let expected = [Passed { kind: DATA, flags: 1 }, Passed { kind: HEADERS, flags: 4 }];
        assert_eq!(walked(0, [&bytes[..]]), expected);
    }

    #[test]
    fn the_longest_payload_is_skipped() {
        // Its bytes look like headers.
        let long = frame(DATA, 0, 1, &vec![PING; (1 << 24) - 1]);
        let bytes = [long, frame(PING, 0, 0, &[0; 8])].concat();
        let expected = [Passed { kind: DATA, flags: 0 }, Passed { kind: PING, flags: 0 }];
        assert_eq!(walked(0, bytes.chunks(10_000)), expected);
    }

    #[test]
    fn of_a_goaway_the_beginning_is_kept_and_of_nothing_else() {
        let long = [7; 1000];
        let bytes = [
            frame(GOAWAY, 0, 0, b"last-id!code"),
            frame(PING, 0, 0, &[0; 8]),
            frame(GOAWAY, 0, 0, &long),
        ];
        for parts in [1, 5, 5000] {
            let mut walker = Walker::new(0);
            let mut kept = Vec::new();
            for part in bytes.concat().chunks(parts) {
                walker.walk(part, |_, payload| kept.push(payload.to_vec()));
            }
            assert_eq!(kept, [b"last-id!code".to_vec(), vec![], vec![7; 8 + 256]]);
        }
    }

    proptest! {
        #[test]
        fn where_the_bytes_are_split_makes_no_difference(
            frames in vec((any::<u8>(), any::<u8>(), 0..40_usize), 0..12),
            before in 0..30_usize,
            cuts in vec(any::<prop::sample::Index>(), 0..30),
        ) {
            let mut bytes = vec![PING; before];
            let mut expected = Vec::new();
            for &(kind, flags, length) in &frames {
                bytes.extend(frame(kind, flags, 1, &vec![PING; length]));
                expected.push(Passed { kind, flags });
            }
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let parts = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
            prop_assert_eq!(walked(before, parts), expected);
        }

        #[test]
        fn bytes_that_are_no_frames_are_walked_without_a_panic(
            parts in vec(vec(any::<u8>(), 0..60), 0..10),
        ) {
            walked(PREFACE, parts.iter().map(|part| &part[..]));
        }
    }
}
