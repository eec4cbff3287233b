//! The one file that names tokio's I/O traits, which h2 is generic over. Nothing of tokio runs.

use crate::iomgr::Endpoint;
use crate::sync::{AtomicUsize, Ordering::Relaxed};
use crate::transport::h2::greeting::Greeting;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How many bytes h2 gets in one turn of a connection, so that a busy one neither keeps a thread
/// from all others nor piles up DATA frames in h2 that the calls have not taken.
pub(super) const BYTES_PER_TURN: usize = 256 * 1024;

/// What is left of a turn's bytes. Only the thread that has the turn uses it; h2 owns the other
/// end and does not lend it.
#[derive(Clone, Default)]
pub(super) struct TurnBytes(Arc<AtomicUsize>);

impl TurnBytes {
    /// Starts a turn.
    pub(super) fn refill(&self) {
        self.0.store(BYTES_PER_TURN, Relaxed);
    }

    /// Whether reading stopped because of the turn's bound, with nothing armed.
    pub(super) fn are_used_up(&self) -> bool {
        self.0.load(Relaxed) == 0
    }

    fn use_up(&self, count: usize) {
        self.0.store(self.0.load(Relaxed).saturating_sub(count), Relaxed);
    }
}

/// An endpoint as h2 wants it.
pub(super) struct Io {
    pub(super) endpoint: Box<dyn Endpoint>,
    pub(super) turn_bytes: TurnBytes,
    /// What a server waits for; `None` once it has come.
    pub(super) greeting: Option<Greeting>,
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.turn_bytes.are_used_up() {
            return Poll::Pending;
        }
        let this = &mut *self;
        let bytes = ready!(this.endpoint.poll_fill(context))?;
        let count = bytes.len().min(into.remaining());
        into.put_slice(&bytes[..count]);
        if this.greeting.as_mut().is_some_and(|greeting| greeting.push(&bytes[..count])) {
            this.greeting = None;
        }
        this.endpoint.consume(count);
        this.turn_bytes.use_up(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.endpoint.poll_write(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.endpoint.poll_write(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.endpoint.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.endpoint.poll_shutdown(context)
    }
}
