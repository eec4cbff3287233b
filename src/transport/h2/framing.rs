//! Length-prefixed messages: where one gRPC message ends and the next begins in DATA frames.
//!
//! "Length-Prefixed-Message → Compressed-Flag Message-Length Message" (PROTOCOL-HTTP2): one byte
//! that is 0 or 1, four bytes of length in big-endian order, then that many bytes. "DATA frame
//! boundaries have no relation to Length-Prefixed-Message boundaries."
//!
//! No I/O and no clock: bytes in, messages out. A decoder belongs to one stream and is used by one
//! thread at a time. Invariants:
//!
//! - Memory follows what has arrived, never what a prefix announces.
//! - Bytes come out in the order in which they went in: `front`, then `queue`, then `tail`.
//! - `front` is empty only if nothing is buffered at all.

use std::collections::VecDeque;
use std::{fmt, mem};

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::status::Status;
use crate::transport::Message;

/// The flag and the length.
pub(crate) const PREFIX_LEN: usize = 5;

/// A chunk below this size that has to wait is copied. One kept as it is costs its bookkeeping, and
/// pins all of the read buffer that it is a slice of, which a client can make many times its size.
/// It is the largest DATA frame that there is by default (RFC 9113 section 6.5.2), so that large
/// messages of ordinary clients are not copied twice.
const COALESCE_BELOW: usize = 16 * 1024;

/// The five bytes that go before a message of `len` bytes.
///
/// # Errors
///
/// [`FramingError::TooLarge`] if `len` does not fit the four bytes it has.
pub(crate) fn prefix(compressed: bool, len: usize) -> Result<[u8; PREFIX_LEN], FramingError> {
    let Ok(length) = u32::try_from(len) else {
        return Err(FramingError::TooLarge { len, limit: u32::MAX as usize });
    };
    let [a, b, c, d] = length.to_be_bytes();
    Ok([u8::from(compressed), a, b, c, d])
}

/// Cuts DATA payloads into messages.
#[derive(Debug)]
pub(crate) struct Decoder {
    /// What is read next. Most streams never need the two fields below.
    front: Bytes,
    /// Large chunks, and former tails, after `front`.
    queue: VecDeque<Bytes>,
    /// Copies of small chunks, after `queue`.
    tail: BytesMut,
    /// The bytes in the three fields above.
    held: usize,
    /// The prefix of the message that is next, once it is read.
    next: Option<Prefix>,
    limit: usize,
    failed: Option<FramingError>,
}

#[derive(Clone, Copy, Debug)]
struct Prefix {
    compressed: bool,
    len: usize,
}

impl Decoder {
    /// A decoder that refuses messages of more than `limit` bytes, without their prefix.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            front: Bytes::new(),
            queue: VecDeque::new(),
            tail: BytesMut::new(),
            held: 0,
            next: None,
            limit,
            failed: None,
        }
    }

    /// Sets the limit for the messages whose prefix has not been read.
    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Takes in the payload of a DATA frame, which may be empty. After an error it is dropped.
    pub(crate) fn push(&mut self, data: Bytes) {
        if data.is_empty() || self.failed.is_some() {
            return;
        }
        let was_empty = self.held == 0;
        self.held += data.len();
        if was_empty {
            self.front = data;
        } else if data.len() < COALESCE_BELOW {
            self.tail.extend_from_slice(&data);
        } else {
            if !self.tail.is_empty() {
                self.queue.push_back(mem::take(&mut self.tail).freeze());
            }
            self.queue.push_back(data);
        }
    }

    /// The next message, or `None` if it is not there in full. It is a slice of what was pushed if
    /// it lies in one chunk, and a copy in one piece if not.
    ///
    /// # Errors
    ///
    /// [`TooLarge`](FramingError::TooLarge) and [`BadFlag`](FramingError::BadFlag), as soon as the
    /// prefix is there. The decoder is useless from then on: it drops what it holds, and gives the
    /// same error for ever.
    pub(crate) fn next(&mut self) -> Result<Option<Message>, FramingError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let prefix = match self.next {
            Some(prefix) => prefix,
            None if self.held < PREFIX_LEN => return Ok(None),
            None => {
                let prefix = self.read_prefix().map_err(|error| self.fail(error))?;
                *self.next.insert(prefix)
            }
        };
        if self.held < prefix.len {
            return Ok(None);
        }
        self.next = None;
        Ok(Some(Message { compressed: prefix.compressed, data: self.take(prefix.len) }))
    }

    /// To be asked at the end of the stream, once [`next`](Self::next) gives no more: whether it
    /// ended between two messages, as it must.
    ///
    /// # Errors
    ///
    /// [`Truncated`](FramingError::Truncated), or the error that `next` had.
    pub(crate) fn finish(&self) -> Result<(), FramingError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        match (self.buffered(), self.next) {
            (0, None) => Ok(()),
            (have, None) => Err(FramingError::Truncated { have, want: PREFIX_LEN }),
            (have, Some(prefix)) => {
                Err(FramingError::Truncated { have, want: prefix.len.saturating_add(PREFIX_LEN) })
            }
        }
    }

    /// The bytes that were pushed and have not come out in a message, its prefix included. Zero
    /// after an error.
    pub(crate) fn buffered(&self) -> usize {
        self.held + if self.next.is_some() { PREFIX_LEN } else { 0 }
    }
    fn fail(&mut self, error: FramingError) -> FramingError {
        *self = Self { failed: Some(error), ..Self::new(self.limit) };
        error
    }

    /// Needs `PREFIX_LEN` bytes to be held.
    fn read_prefix(&mut self) -> Result<Prefix, FramingError> {
        let mut bytes = [0; PREFIX_LEN];
        self.copy_to(&mut &mut bytes[..], PREFIX_LEN);
        let [flag, length @ ..] = bytes;
        let compressed = match flag {
            0 => false,
            1 => true,
            _ => return Err(FramingError::BadFlag(flag)),
        };
        // Saturates only where a usize has 16 bits, and such a length is over any limit there.
        let len = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if len > self.limit {
            return Err(FramingError::TooLarge { len, limit: self.limit });
        }
        Ok(Prefix { compressed, len })
    }

    /// The next `len` bytes in one piece. They must be held.
    fn take(&mut self, len: usize) -> Bytes {
        if len <= self.front.len() {
            let data = self.front.split_to(len);
            self.held -= len;
            self.refill();
            return data;
        }
        // All of it has arrived, so this only doubles what the peer has sent.
        let mut data = BytesMut::with_capacity(len);
        self.copy_to(&mut data, len);
        data.freeze()
    }

    /// Moves the next `len` bytes to `target`. They must be held, and fit.
    fn copy_to(&mut self, target: &mut impl BufMut, len: usize) {
        let mut missing = len;
        // The second condition holds while the first does. If it ever did not, a short message
        // were better than a loop without end.
        while missing > 0 && !self.front.is_empty() {
            let part = missing.min(self.front.len());
            target.put_slice(&self.front[..part]);
            self.front.advance(part);
            self.held -= part;
            missing -= part;
            self.refill();
        }
    }

    /// Restores the invariant of `front`.
    fn refill(&mut self) {
        if self.front.is_empty() {
            // An empty Bytes may still pin its buffer, so it is replaced in any case. `tail` is
            // given away with its spare room, for the same reason.
            self.front = match self.queue.pop_front() {
                Some(chunk) => chunk,
                None if self.held == 0 => Bytes::new(),
                None => mem::take(&mut self.tail).freeze(),
            };
        }
    }
}

/// Why a stream of messages cannot be read on, or a message not be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FramingError {
    /// A message has more bytes than are allowed.
    TooLarge {
        /// The length in the prefix.
        len: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// The Compressed-Flag is neither 0 nor 1.
    BadFlag(u8),
    /// The stream ended inside a message. Both numbers include the prefix.
    Truncated {
        /// The bytes that arrived.
        have: usize,
        /// The bytes that were announced; those of the prefix if not even that is complete.
        want: usize,
    },
}

impl FramingError {
    /// The status an RPC ends with because of this.
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::TooLarge { .. } => Status::resource_exhausted(self.to_string()),
            Self::BadFlag(_) | Self::Truncated { .. } => Status::internal(self.to_string()),
        }
    }
}

impl fmt::Display for FramingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The words of C-core and grpc-go, which people search for.
            Self::TooLarge { len, limit } => {
                write!(f, "message larger than max ({len} vs. {limit})")
            }
            Self::BadFlag(flag) => {
                write!(f, "message prefix has the compressed flag {flag}, expected 0 or 1")
            }
            Self::Truncated { have, want } => {
                write!(f, "stream ended inside a message, after {have} of {want} bytes")
            }
        }
    }
}

impl std::error::Error for FramingError {}

#[cfg(test)]
mod tests;
