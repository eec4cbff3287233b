//! What becomes of messages between the application and the transport: limits and compression.
//!
//! A message is compressed by the thread that sends it, before it takes the call's lock. One that
//! comes is decompressed under that lock, so that messages keep their order; the transport, with
//! its other calls, does not wait for it.

use super::server::Sent;
use super::{CallCore, ClientCore, Core, Side};
use crate::compression::Encoding;
use crate::iomgr::drop_later;
use crate::stats::MessageSize;
use crate::status::Status;
use crate::sync::Ordering;
use crate::transport::Message;
use bytes::Bytes;

/// What the messages of a call may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MessageRules {
    /// The limit of a message that is received, in bytes: as it comes, and when decompressed.
    pub(crate) max_receive_size: usize,
    /// The limit of one that is sent, before compression.
    pub(crate) max_send_size: usize,
    /// What replies are compressed with, if the client can read it.
    pub(crate) compression: Option<Encoding>,
}

impl Default for MessageRules {
    fn default() -> Self {
        Self { max_receive_size: 4 * 1024 * 1024, max_send_size: usize::MAX, compression: None }
    }
}

/// The rules of one call, and its encodings. Guarded by the call's lock.
#[derive(Clone, Copy)]
pub(super) struct Messages {
    rules: MessageRules,
    /// What the compressed ones that come are compressed with.
    pub(super) receives: Option<Encoding>,
    /// Whether the last one was.
    pub(super) was_compressed: bool,
    /// The same for what is sent, which is this end's to choose until it sends initial metadata.
    pub(super) sends: Option<Encoding>,
}

/// A message that the application sends.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(in crate::call) data: Bytes,
    /// The same compressed, which is sent if that still is the call's encoding.
    pub(super) compressed: Option<Compressed>,
}

/// A message, and what it was compressed with.
pub(super) type Compressed = (Encoding, Bytes);

impl From<Bytes> for Outgoing {
    fn from(data: Bytes) -> Self {
        Self { data, compressed: None }
    }
}

impl Messages {
    pub(super) fn new(
        rules: MessageRules,
        receives: Option<Encoding>,
        sends: Option<Encoding>,
    ) -> Self {
        Self { rules, receives, was_compressed: false, sends }
    }

    /// Makes the transport's message of the application's.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED if it is over the limit.
    pub(super) fn seal(&self, message: Outgoing) -> Result<(Message, MessageSize), Status> {
        let Outgoing { data, compressed } = message;
        let (uncompressed, limit) = (data.len(), self.rules.max_send_size);
        if uncompressed > limit {
            // The call's lock is held.
            drop_later(data);
            let text = format!("sent message larger than max ({uncompressed} vs. {limit})");
            return Err(Status::resource_exhausted(text));
        }
        let chosen = compressed.filter(|(encoding, _)| Some(*encoding) == self.sends);
        let message = match chosen {
            None => Message { compressed: false, data },
            Some((_, compressed)) => {
                drop_later(data);
                Message { compressed: true, data: compressed }
            }
        };
        let size = MessageSize { compressed: message.data.len(), uncompressed };
        Ok((message, size))
    }

    /// Makes the application's message of the transport's.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED if it is over the limit, and INTERNAL if it cannot be decompressed, or has
    /// no reason to be compressed.
    pub(super) fn open(&mut self, message: Message) -> Result<(Bytes, MessageSize), Status> {
        let Message { compressed: is_compressed, data } = message;
        self.was_compressed = is_compressed;
        let compressed = data.len();
        let data = match self.receives {
            _ if !is_compressed => data,
            Some(encoding) => encoding.decompress(&data, self.rules.max_receive_size)?,
            None => {
                let text = "a message has the compressed flag, and no grpc-encoding says what with";
                return Err(Status::internal(text));
            }
        };
        let size = MessageSize { compressed, uncompressed: data.len() };
        Ok((data, size))
    }
}

impl<S: Side> Core<S> {
    /// What is sent is compressed with.
    pub(crate) fn compression(&self) -> Option<Encoding> {
        // Most calls never have any, and are spared the lock.
        let may_compress = self.may_compress.load(Ordering::Relaxed);
        if may_compress { self.state.lock().messages.sends } else { None }
    }

    /// Compresses a message, if the call has an encoding and it gets smaller. To be called without
    /// a lock: it may take long.
    pub(super) fn compress(&self, message: &Bytes) -> Option<Compressed> {
        // What is over the limit is not sent at all.
        let encoding = self.compression().filter(|_| message.len() <= self.max_send_size)?;
        Some((encoding, encoding.compress(message)?))
    }

    /// Makes a message ready to be sent. To be called without a lock: it may take long.
    pub(crate) fn pack(&self, data: Bytes) -> Outgoing {
        Outgoing { compressed: self.compress(&data), data }
    }
}

impl CallCore {
    /// Chooses what replies are compressed with, if the client can read it.
    ///
    /// # Errors
    /// If initial metadata has been sent, or the call is over.
    pub(crate) fn set_compression(&self, encoding: Option<Encoding>) -> Result<(), Status> {
        let encoding = encoding.filter(|encoding| self.head().accepts(*encoding));
        let mut state = self.state.lock();
        if state.stream.is_none() {
            return Err(state.cause_of_end());
        }
        if state.own.progress >= Sent::InitialMetadata {
            return Err(Status::internal(
                "initial metadata has been sent, and with it the encoding: choose it before",
            ));
        }
        state.messages.sends = encoding;
        if encoding.is_some() {
            self.may_compress.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether the request message that was received last was compressed.
    pub(crate) fn was_compressed(&self) -> bool {
        self.head().encoding.is_some() && self.state.lock().messages.was_compressed
    }
}

impl ClientCore {
    /// Whether the reply that was received last was compressed. One that is kept for who waits for the
    /// status counts as received.
    pub(crate) fn was_compressed(&self) -> bool {
        self.state.lock().messages.was_compressed
    }
}
