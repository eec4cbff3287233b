//! A connected stream socket: `recvmsg` when it is readable, `sendmsg` when it is writable.

use super::fd::Fd;
use super::manager::Iomgr;
use super::pollee::PollTarget;
use super::sys::{self, Received};
use crate::iomgr::endpoint::{Endpoint, PeerAddress};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// The read buffer's sizes: it doubles when a read fills it and halves after reads that use little
/// of it, so that an idle connection is small and a busy one takes few system calls.
const MIN_READ: usize = 4 * 1024;
const MAX_READ: usize = 256 * 1024;

/// How many reads that use less than a quarter of the buffer halve it.
const SMALL_READS_TO_SHRINK: u8 = 16;

/// How many bytes are gathered for one write. A larger write goes out at once.
const GATHER: usize = 64 * 1024;

/// A write of at least this much is not copied to be gathered.
const LARGE_WRITE: usize = 16 * 1024;

/// An endpoint over a TCP or UNIX stream socket.
pub(crate) struct TcpEndpoint {
    fd: Fd,
    peer: PeerAddress,
    input: Input,
    output: Output,
}

struct Input {
    buffer: Vec<u8>,
    /// The bytes of `buffer` that have been read and not consumed.
    filled: std::ops::Range<usize>,
    /// The socket was found empty: an event must come before the next read.
    is_drained: bool,
    /// The kernel says with a read whether the socket is empty then, if it is asked.
    tells_unread: bool,
    at_end: bool,
    small_reads: u8,
}

#[derive(Default)]
struct Output {
    gathered: Vec<u8>,
    /// How much of `gathered` the kernel has taken.
    sent: usize,
}

impl TcpEndpoint {
    /// Puts a connected, non-blocking socket into the engine.
    ///
    /// # Errors
    /// As [`Fd::new`].
    pub(crate) fn new(iomgr: &Arc<Iomgr>, socket: OwnedFd, peer: PeerAddress) -> io::Result<Self> {
        Self::of(Fd::new(iomgr, socket)?, peer)
    }

    /// The same for one that is there.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn of(fd: Fd, peer: PeerAddress) -> io::Result<Self> {
        if matches!(peer, PeerAddress::Tcp(_)) {
            sys::set_nodelay(fd.as_fd())?;
        }
        // Without it a short read that is not told of ends is followed by another one, which finds the
        // end or nothing.
        let tells_unread = matches!(peer, PeerAddress::Tcp(_))
            && !fd.always_hears_of_ends()
            && sys::tell_unread(fd.as_fd());
        let input = Input {
            buffer: Vec::new(),
            filled: 0..0,
            // The engine reports what is there already.
            is_drained: true,
            tells_unread,
            at_end: false,
            small_reads: 0,
        };
        Ok(Self { fd, peer, input, output: Output::default() })
    }

    pub(super) fn fd(&self) -> &Fd {
        &self.fd
    }

    /// One `recvmsg` into the empty buffer.
    fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let input = &mut self.input;
        if input.buffer.is_empty() {
            input.buffer.resize(MIN_READ, 0);
        }
        loop {
            if input.is_drained {
                ready!(self.fd.notify_on_read(context.waker()))?;
                input.is_drained = false;
            }
            let asks = input.tells_unread && !self.fd.hears_of_ends();
            match sys::recvmsg(self.fd.as_fd(), &mut input.buffer, asks) {
                Ok(Received { count, has_more }) => {
                    // An error comes behind what was read, too, and is not counted. Whether the fd hears
                    // of ends is asked after the read: by then it says so of the event that this is for.
                    let may_end = self.fd.is_hung_up()
                        || has_more.unwrap_or_else(|| !self.fd.hears_of_ends());
                    input.on_read(count, may_end);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => input.is_drained = true,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Hands `gathered` and `then` to the kernel until `gathered` is gone; gives how much of `then`
    /// went with it.
    fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        then: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let output = &mut self.output;
        loop {
            let unsent = &output.gathered[output.sent..];
            if unsent.is_empty() && then.is_empty() {
                return Poll::Ready(Ok(0));
            }
            let result = if then.is_empty() {
                sys::sendmsg(self.fd.as_fd(), &[IoSlice::new(unsent)])
            } else {
                let mut slices = Vec::with_capacity(then.len() + 1);
                slices.push(IoSlice::new(unsent));
                slices.extend_from_slice(then);
                sys::sendmsg(self.fd.as_fd(), &slices)
            };
            match result {
                Ok(count) => {
                    if let Some(beyond) = output.on_sent(count, !then.is_empty()) {
                        return Poll::Ready(Ok(beyond));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.fd.notify_on_write(context.waker()))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Input {
    /// Accounts for a read of `count` bytes into the whole buffer, behind which `may_end` says
    /// whether the stream's end may be without another event.
    fn on_read(&mut self, count: usize, may_end: bool) {
        self.filled = 0..count;
        self.at_end = count == 0;
        // A short read has emptied the socket (epoll(7), "edge-triggered"), which saves the read
        // that would say so; except that the end of the stream may hide behind the last bytes.
        self.is_drained = count < self.buffer.len() && !may_end;
        self.adapt(count);
    }

    /// Sizes the buffer for the next read. What it holds stays.
    fn adapt(&mut self, count: usize) {
        let size = self.buffer.len();
        if count == size && size < MAX_READ {
            self.small_reads = 0;
            self.buffer.resize(size * 2, 0);
        } else if count >= size / 4 || size == MIN_READ {
            self.small_reads = 0;
        } else {
            self.small_reads += 1;
            if self.small_reads == SMALL_READS_TO_SHRINK {
                self.small_reads = 0;
                self.buffer.truncate(size / 2);
                self.buffer.shrink_to_fit();
            }
        }
    }
}

impl Output {
    /// Accounts for a send of `count` bytes. Gives how many of these were not gathered, or `None`
    /// if the caller must send again.
    fn on_sent(&mut self, count: usize, has_more: bool) -> Option<usize> {
        let unsent = self.gathered.len() - self.sent;
        if count < unsent {
            self.sent += count;
            return None;
        }
        self.clear();
        let beyond = count - unsent;
        // To a writer, 0 of something would mean that nothing can be written.
        (beyond > 0 || !has_more).then_some(beyond)
    }

    fn clear(&mut self) {
        self.gathered.clear();
        self.sent = 0;
        if self.gathered.capacity() > GATHER {
            self.gathered.shrink_to(GATHER);
        }
    }

    fn room(&self) -> usize {
        GATHER.saturating_sub(self.gathered.len())
    }

    /// Copies what fits.
    fn gather(&mut self, buffers: &[IoSlice<'_>]) -> usize {
        let mut taken = 0;
        for buffer in buffers {
            let part = &buffer[..buffer.len().min(self.room())];
            self.gathered.extend_from_slice(part);
            taken += part.len();
        }
        taken
    }
}

impl Endpoint for TcpEndpoint {
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        if self.input.filled.is_empty() && !self.input.at_end {
            ready!(self.poll_recv(context))?;
        }
        Poll::Ready(Ok(&self.input.buffer[self.input.filled.clone()]))
    }

    fn look_again(&mut self) {
        self.input.is_drained = false;
    }

    fn consume(&mut self, count: usize) {
        self.input.filled.start = (self.input.filled.start + count).min(self.input.filled.end);
    }

    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let total: usize = buffers.iter().map(|buffer| buffer.len()).sum();
        if total >= LARGE_WRITE || self.output.room() == 0 {
            return self.poll_send(context, buffers);
        }
        Poll::Ready(Ok(self.output.gather(buffers)))
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(context, &[]).map_ok(drop)
    }

    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(context))?;
        match sys::shutdown_write(self.fd.as_fd()) {
            // The peer was faster.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            result => Poll::Ready(result),
        }
    }

    fn poll_target(&self) -> Option<PollTarget> {
        self.fd.poll_target()
    }

    fn peer(&self) -> &PeerAddress {
        &self.peer
    }

    fn local(&self) -> Option<PeerAddress> {
        match &self.peer {
            PeerAddress::Tcp(_) => sys::local_address(self.fd.as_fd()).map(PeerAddress::Tcp),
            // A client of a UNIX socket is known by the server's path.
            peer => Some(peer.clone()),
        }
    }
}

#[cfg(all(test, not(turnstile_loom)))]
mod tests {
    use super::Output;

    fn gathered(bytes: &[u8], sent: usize) -> Output {
        Output { gathered: bytes.to_vec(), sent }
    }

    #[test]
    fn a_send_that_ends_with_the_gathered_bytes_is_no_write_of_nothing() {
        let mut output = gathered(b"abc", 1);
        assert_eq!(output.on_sent(2, true), None, "0 would close the connection");
        assert!(output.gathered.is_empty());
        assert_eq!(output.on_sent(4, true), Some(4), "the next one is of the rest alone");
    }

    #[test]
    fn a_send_is_accounted_for_to_the_byte() {
        let mut output = gathered(b"abc", 0);
        assert_eq!(output.on_sent(1, false), None);
        assert_eq!(output.sent, 1);
        assert_eq!(output.on_sent(2, false), Some(0), "a flush is done");
        assert_eq!((output.gathered.len(), output.sent), (0, 0));
        assert_eq!(gathered(b"abc", 0).on_sent(5, true), Some(2));
    }
}
