//! A byte stream in memory with two ends, each of which takes only so much at a time.

use crate::iomgr::{Endpoint, PeerAddress};
use crate::sync::Mutex;
use bytes::{Buf, BytesMut};
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// How many bytes one end may write before the other reads.
const CAPACITY: usize = 8 * 1024;

/// One direction.
#[derive(Default)]
struct Pipe(Mutex<State>);

#[derive(Default)]
struct State {
    bytes: BytesMut,
    is_closed: bool,
    /// Changes whenever anything happens here.
    activity: usize,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn close(&self) {
        let wakers = {
            let mut state = self.0.lock();
            state.activity += usize::from(!state.is_closed);
            state.is_closed = true;
            [state.reader.take(), state.writer.take()]
        };
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

/// Sees from outside what goes through a duplex stream.
#[derive(Clone)]
pub(super) struct Wire([Arc<Pipe>; 2]);

impl Wire {
    pub(super) fn activity(&self) -> usize {
        self.0.iter().map(|pipe| pipe.0.lock().activity).sum()
    }

    /// The connection breaks.
    pub(super) fn cut(&self) {
        for pipe in &self.0 {
            pipe.0.lock().bytes.clear();
            pipe.close();
        }
    }
}

/// One end.
pub(super) struct DuplexEnd {
    reads: Arc<Pipe>,
    writes: Arc<Pipe>,
    filled: BytesMut,
}

pub(super) fn duplex() -> (DuplexEnd, DuplexEnd, Wire) {
    let (there, back) = (Arc::new(Pipe::default()), Arc::new(Pipe::default()));
    let end = |reads: &Arc<Pipe>, writes: &Arc<Pipe>| DuplexEnd {
        reads: reads.clone(),
        writes: writes.clone(),
        filled: BytesMut::new(),
    };
    (end(&back, &there), end(&there, &back), Wire([there, back]))
}

impl Endpoint for DuplexEnd {
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        if self.filled.is_empty() {
            let writer = {
                let mut state = self.reads.0.lock();
                if state.bytes.is_empty() && !state.is_closed {
                    state.reader = Some(context.waker().clone());
                    return Poll::Pending;
                }
                state.activity += usize::from(!state.bytes.is_empty());
                self.filled = state.bytes.split();
                state.writer.take()
            };
            writer.into_iter().for_each(Waker::wake);
        }
        Poll::Ready(Ok(&self.filled))
    }

    fn consume(&mut self, count: usize) {
        self.filled.advance(count);
    }

    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let (count, reader) = {
            let mut state = self.writes.0.lock();
            if state.is_closed {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let room = CAPACITY - state.bytes.len();
            if room == 0 {
                state.writer = Some(context.waker().clone());
                return Poll::Pending;
            }
            let before = state.bytes.len();
            for buffer in buffers {
                let part = buffer.len().min(CAPACITY - state.bytes.len());
                state.bytes.extend_from_slice(&buffer[..part]);
            }
            state.activity += 1;
            (state.bytes.len() - before, state.reader.take())
        };
        reader.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writes.close();
        Poll::Ready(Ok(()))
    }

    fn peer(&self) -> &PeerAddress {
        &PeerAddress::InProcess
    }
}

impl Drop for DuplexEnd {
    fn drop(&mut self) {
        self.writes.close();
        self.reads.close();
    }
}
