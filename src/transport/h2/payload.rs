//! A message on its way out: its prefix and its bytes, without copying them together.

use super::framing::{self, FramingError, PREFIX_LEN};
use crate::iomgr::drop_later;
use crate::transport::Message;
use bytes::{Buf, Bytes};
use std::io::IoSlice;
use std::mem;

/// Bytes of a DATA frame. h2 drops them under its locks, so they outlive it until the next flush.
#[derive(Debug)]
pub(super) struct Payload {
    prefix: [u8; PREFIX_LEN],
    /// How much of the prefix has been sent.
    at: usize,
    data: Bytes,
}

impl Payload {
    /// # Errors
    /// If the message is longer than a prefix can say.
    pub(super) fn new(message: Message) -> Result<Self, FramingError> {
        let mut payload = Self { prefix: [0; PREFIX_LEN], at: 0, data: message.data };
        payload.prefix = framing::prefix(message.compressed, payload.data.len())?;
        Ok(payload)
    }

    /// No bytes at all: for a frame that only ends the stream.
    pub(super) fn nothing() -> Self {
        Self { prefix: [0; PREFIX_LEN], at: PREFIX_LEN, data: Bytes::new() }
    }

    /// Takes the first `count` bytes off.
    pub(super) fn split_to(&mut self, count: usize) -> Self {
        let of_prefix = count.min(PREFIX_LEN - self.at);
        // The part has the prefix up to where this one's begins now.
        let mut part = Self { prefix: self.prefix, at: self.at, data: Bytes::new() };
        self.at += of_prefix;
        part.data = if of_prefix < PREFIX_LEN - part.at {
            // Only a piece of the prefix: it is sent as plain bytes.
            let piece = Bytes::copy_from_slice(&self.prefix[part.at..self.at]);
            part.at = PREFIX_LEN;
            piece
        } else {
            self.data.split_to(count - of_prefix)
        };
        part
    }
}

impl Buf for Payload {
    fn remaining(&self) -> usize {
        PREFIX_LEN - self.at + self.data.len()
    }

    fn chunk(&self) -> &[u8] {
        if self.at < PREFIX_LEN { &self.prefix[self.at..] } else { &self.data }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let chunks = [&self.prefix[self.at..], &self.data[..]];
        let mut count = 0;
        for (chunk, slice) in chunks.into_iter().filter(|chunk| !chunk.is_empty()).zip(slices) {
            *slice = IoSlice::new(chunk);
            count += 1;
        }
        count
    }

    fn advance(&mut self, count: usize) {
        let of_prefix = count.min(PREFIX_LEN - self.at);
        self.at += of_prefix;
        self.data.advance(count - of_prefix);
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        drop_later(mem::take(&mut self.data));
    }
}

#[cfg(test)]
mod tests {
    use super::Payload;
    use crate::transport::Message;
    use bytes::{Buf, Bytes};
    use std::io::IoSlice;

    fn payload() -> Payload {
        let data = Bytes::from_static(b"abcdef");
        Payload::new(Message { compressed: false, data }).unwrap()
    }

    const WIRE: &[u8] = b"\0\0\0\0\x06abcdef";

    #[test]
    fn a_payload_is_the_prefix_and_the_message() {
        assert_eq!(payload().copy_to_bytes(11), WIRE);
        let payload = payload();
        let mut slices = [IoSlice::new(&[]); 4];
        assert_eq!(payload.chunks_vectored(&mut slices), 2);
        assert_eq!([&*slices[0], &*slices[1]].concat(), WIRE);
    }

    #[test]
    fn nothing_has_no_bytes() {
        assert!(!Payload::nothing().has_remaining());
    }

    #[test]
    fn splitting_anywhere_loses_nothing() {
        for first in 0..=WIRE.len() {
            for second in 0..=WIRE.len() - first {
                let mut rest = payload();
                let mut whole = Vec::new();
                for mut part in [rest.split_to(first), rest.split_to(second)] {
                    while part.has_remaining() {
                        let chunk = part.chunk().to_vec();
                        part.advance(chunk.len());
                        whole.extend(chunk);
                    }
                }
                assert_eq!(whole.len(), first + second);
                whole.extend(rest.copy_to_bytes(rest.remaining()));
                assert_eq!(whole, WIRE, "split at {first} and {second} more");
            }
        }
    }
}
