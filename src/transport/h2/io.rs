//! The one file that names tokio's I/O traits, which h2 is generic over. Nothing of tokio runs.

use super::frames::PREFACE;
use super::traffic::{Inward, Outward, Traffic};
use crate::iomgr::Endpoint;
use bytes::{Buf as _, Bytes};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// An endpoint as h2 wants it.
pub(crate) struct Io {
    /// `None` once it was shut down.
    endpoint: Option<Box<dyn Endpoint>>,
    traffic: Arc<Traffic>,
    inward: Inward,
    outward: Outward,
    /// What is left of a frame that is not h2's.
    own: Bytes,
    /// A write that fails does not end the connection before all is read that has come: a server may
    /// have said why it closes, and answered calls before that.
    reads_on: bool,
}

impl Io {
    /// A server's end; its peer begins with the preface.
    pub(super) fn server(endpoint: Box<dyn Endpoint>) -> (Self, Arc<Traffic>) {
        Self::new(endpoint, PREFACE, 0, false)
    }

    /// A client's end.
    pub(crate) fn client(endpoint: Box<dyn Endpoint>) -> (Self, Arc<Traffic>) {
        Self::new(endpoint, 0, PREFACE, true)
    }

    fn new(
        endpoint: Box<dyn Endpoint>,
        inward: usize,
        outward: usize,
        reads_on: bool,
    ) -> (Self, Arc<Traffic>) {
        let traffic = Arc::<Traffic>::default();
        let io = Self {
            endpoint: Some(endpoint),
            inward: Inward::new(traffic.clone(), inward),
            outward: Outward::new(traffic.clone(), outward),
            traffic: traffic.clone(),
            own: Bytes::new(),
            reads_on,
        };
        (io, traffic)
    }

    fn write(
        &mut self,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.has_own_frame() {
            ready!(self.write_own_frame(context))?;
        }
        let all = buffers.iter().map(|buffer| buffer.len()).sum();
        if self.traffic.is_broken() {
            return Poll::Ready(Ok(all));
        }
        let written = lent(&mut self.endpoint)?.poll_write(context, buffers);
        if let Poll::Ready(Ok(count)) = &written {
            self.traffic.add_written(*count);
        }
        let written = ready!(self.hold(written, all))?;
        let mut left = written;
        for buffer in buffers {
            let part = &buffer[..buffer.len().min(left)];
            self.outward.pass(part);
            left -= part.len();
        }
        Poll::Ready(Ok(written))
    }

    /// Notes an error that must wait; it is as if all had been written then.
    fn hold<T>(&self, result: Poll<io::Result<T>>, instead: T) -> Poll<io::Result<T>> {
        match result {
            Poll::Ready(Err(error)) if self.reads_on => {
                self.traffic.break_off(&error);
                Poll::Ready(Ok(instead))
            }
            result => result,
        }
    }

    fn has_own_frame(&self) -> bool {
        self.traffic.complains() || !self.own.is_empty()
    }

    /// Writes what h2 cannot, between two frames of h2's.
    #[cold]
    fn write_own_frame(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(complaint) = self.outward.take_complaint() {
            self.own = complaint;
        }
        while !self.own.is_empty() {
            let endpoint = lent(&mut self.endpoint)?;
            let written = ready!(endpoint.poll_write(context, &[IoSlice::new(&self.own)]))?;
            self.own.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

/// Fails after the shutdown.
fn lent(endpoint: &mut Option<Box<dyn Endpoint>>) -> io::Result<&mut dyn Endpoint> {
    match endpoint {
        Some(endpoint) => Ok(&mut **endpoint),
        None => Err(io::ErrorKind::NotConnected.into()),
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.traffic.is_turn_used_up() {
            return Poll::Pending;
        }
        let this = &mut *self;
        let endpoint = lent(&mut this.endpoint)?;
        if this.traffic.takes_another_look() {
            endpoint.look_again();
        }
        let bytes = ready!(endpoint.poll_fill(context))?;
        let count = bytes.len().min(into.remaining());
        into.put_slice(&bytes[..count]);
        this.inward.pass(&bytes[..count]);
        endpoint.consume(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_own_frame() {
            ready!(self.write_own_frame(context))?;
        }
        if self.traffic.is_broken() {
            return Poll::Ready(Ok(()));
        }
        let flushed = lent(&mut self.endpoint)?.poll_flush(context);
        self.hold(flushed, ())
    }

    /// Gives the endpoint back when it is shut down.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let can_write = !self.traffic.is_broken();
        if let Some(endpoint) = self.endpoint.as_mut().filter(|_| can_write) {
            ready!(endpoint.poll_shutdown(context))?;
        }
        if let Some(endpoint) = self.endpoint.take() {
            self.traffic.give_back(endpoint);
        }
        Poll::Ready(Ok(()))
    }
}
