//! The messages that come in on a call, as far as they have come: for readers of both colours.

use super::exchange::Exchange;
use crate::metadata::Metadata;
use crate::status::Status;
use bytes::Bytes;
use std::fmt;

/// A call's replies.
pub(super) struct Inlet<T> {
    pub(super) exchange: Exchange,
    decode: fn(Bytes) -> Result<T, Status>,
    /// Once it was asked for.
    pub(super) metadata: Option<Metadata>,
    /// Once the end was read, or an error.
    pub(super) status: Option<Status>,
}

impl<T> Inlet<T> {
    pub(super) fn new(exchange: Exchange, decode: fn(Bytes) -> Result<T, Status>) -> Self {
        Self { exchange, decode, metadata: None, status: None }
    }

    /// Whether initial metadata is to be received before messages: who watches is told of it first.
    pub(super) fn wants_metadata(&self) -> bool {
        self.metadata.is_none() && self.exchange.watch().is_some()
    }

    pub(super) fn on_metadata(&mut self, metadata: Metadata) -> &Metadata {
        self.exchange.receive_metadata(&metadata);
        self.metadata.insert(metadata)
    }

    pub(super) fn on_message(&mut self, message: Bytes) -> Result<T, Status> {
        let decoded = self.exchange.receive(message, self.decode);
        decoded.inspect_err(|status| self.status = Some(status.clone()))
    }

    /// # Errors
    /// The status, unless it is OK.
    pub(super) fn on_end(&mut self, status: Status) -> Result<(), Status> {
        self.exchange.end(&status);
        let status = self.status.insert(status);
        if status.is_ok() { Ok(()) } else { Err(status.clone()) }
    }

    pub(super) fn trailers(&self) -> Option<&Metadata> {
        self.status.as_ref()?.metadata()
    }
}

impl<T> fmt::Debug for Inlet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inlet").field("status", &self.status).finish_non_exhaustive()
    }
}
