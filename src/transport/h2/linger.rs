//! The last moment of a connection that has ended in good order: everything is sent, and the client
//! has yet to close.
//!
//! A socket that is closed while its client still sends answers with a reset, and what the client
//! has not read then is lost (RFC 9112, section 9.6, has the same for HTTP/1.1). A client that reads
//! a large reply does send: it gives window back. So what comes is read, and forgotten.

use super::traffic::Traffic;
use crate::iomgr::Endpoint;
use std::task::{Context, Poll};

/// An endpoint whose own direction has ended.
pub(super) struct Lingering(Box<dyn Endpoint>);

impl Lingering {
    pub(super) fn new(endpoint: Box<dyn Endpoint>) -> Self {
        Self(endpoint)
    }

    /// Ready when the client has closed, or is gone. Pending, with nothing armed, if the turn's bytes
    /// are used up.
    pub(super) fn poll(&mut self, context: &mut Context<'_>, traffic: &Traffic) -> Poll<()> {
        while !traffic.is_turn_used_up() {
            match self.0.poll_fill(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok([]) | Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(bytes)) => {
                    let count = bytes.len();
                    traffic.take_of_turn(count);
                    self.0.consume(count);
                }
            }
        }
        Poll::Pending
    }
}
