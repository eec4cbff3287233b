//! What a client must begin with: the preface, and then SETTINGS (RFC 9113, section 3.4).
//!
//! h2's handshake ends with the preface, and it does not tell of the SETTINGS. So their bytes are
//! counted on their way to h2, which checks what they say. After them, nothing is counted.

use crate::sync::{AtomicBool, Ordering::Relaxed};
use std::sync::Arc;

/// The lengths of the preface and of a frame's header (RFC 9113, sections 3.4 and 4.1).
const PREFACE: usize = 24;
const FRAME_HEADER: usize = 9;

/// The type of SETTINGS (section 6.5).
const SETTINGS: u8 = 4;

/// Whether a client has sent what it must begin with. Only the thread that has the connection's
/// turn uses it; h2 owns the other end and does not lend it.
#[derive(Clone, Default)]
pub(super) struct Greeted(Arc<AtomicBool>);

impl Greeted {
    pub(super) fn has_come(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// How far a client has come with it.
pub(crate) struct Greeting {
    seen: usize,
    /// The header of the first frame.
    header: [u8; FRAME_HEADER],
    greeted: Greeted,
}

impl Greeting {
    /// Nothing has come. `greeted` says so until everything has.
    pub(super) fn new(greeted: Greeted) -> Self {
        Self { seen: 0, header: [0; FRAME_HEADER], greeted }
    }

    /// Whether everything has come with `bytes`, which are next. If the first frame is another
    /// one, that never is so.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> bool {
        for (byte, at) in bytes.iter().zip(self.seen..PREFACE + FRAME_HEADER) {
            if at >= PREFACE {
                self.header[at - PREFACE] = *byte;
            }
        }
        self.seen = self.seen.saturating_add(bytes.len());
        let [a, b, c, kind, ..] = self.header;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        let has_come = kind == SETTINGS && self.seen >= PREFACE + FRAME_HEADER + length;
        self.greeted.0.store(has_come, Relaxed);
        has_come
    }
}

#[cfg(all(test, not(turnstile_loom)))]
mod tests {
    use super::{Greeted, Greeting, SETTINGS};
    use crate::testing::http2::{PREFACE, frame};

    /// A preface and a frame of this type.
    fn beginning(kind: u8, payload: &[u8]) -> Vec<u8> {
        [PREFACE, &frame(kind, 0, 0, payload)].concat()
    }

    #[test]
    fn a_greeting_is_complete_with_the_last_byte_of_its_settings() {
        for bytes in [beginning(SETTINGS, b""), beginning(SETTINGS, b"\0\x04\0\0\xff\xff")] {
            let (last, before) = bytes.split_last().unwrap();
            for step in 1..=bytes.len() {
                let greeted = Greeted::default();
                let mut greeting = Greeting::new(greeted.clone());
                assert!(before.chunks(step).all(|part| !greeting.push(part)), "{step}");
                assert!(!greeted.has_come(), "{step}");
                assert!(greeting.push(&[*last]) && greeted.has_come(), "{step}");
            }
            let more = [&bytes[..], b"and more"].concat();
            assert!(Greeting::new(Greeted::default()).push(&more));
        }
    }

    #[test]
    fn another_frame_is_no_greeting() {
        const PING: u8 = 6;
        let mut greeting = Greeting::new(Greeted::default());
        assert!(!greeting.push(&beginning(PING, &[0; 8])));
        assert!(!greeting.push(&frame(SETTINGS, 0, 0, b"")), "SETTINGS come first");
    }
}
