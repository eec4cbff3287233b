//! Connections that are made: a connect that does not wait, finished when its socket is writable.

use super::address::ListenAddress;
use super::fd::Fd;
use super::manager::Iomgr;
use super::pollset_set::PollsetSet;
use super::sys;
use super::tcp_endpoint::TcpEndpoint;
use crate::iomgr::deadline::Deadline;
use crate::iomgr::endpoint::Endpoint;
use crate::iomgr::sleep::Sleep;
use std::error::Error;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use std::{fmt, io, mem, vec};

/// How long one waits for room in the queue of a UNIX socket, of which the kernel does not tell: twice
/// as long each time, up to the second.
const FIRST_WAIT: Duration = Duration::from_millis(1);
const LAST_WAIT: Duration = Duration::from_millis(64);

/// A way to a server that is being opened: to the first of its addresses that answers.
///
/// A future. Dropping it is the cancellation: the socket is closed, and its timer taken back.
///
/// # Errors
/// [`Unreachable`], with what failed at each address, in order; of the kind of the last failure, which
/// is `TimedOut` if the deadline passed.
pub(crate) struct Connect {
    iomgr: Arc<Iomgr>,
    set: Option<Arc<PollsetSet>>,
    left: vec::IntoIter<ListenAddress>,
    user_timeout: Option<Duration>,
    attempt: Option<Attempt>,
    /// `None` without a deadline.
    time: Option<Sleep>,
    failures: Vec<Failure>,
}

impl Connect {
    /// To the first of `addresses` that answers before `deadline`. The pollsets of `set` wait for it,
    /// and for the connection that it becomes.
    pub(crate) fn new(
        iomgr: &Arc<Iomgr>,
        set: Option<&Arc<PollsetSet>>,
        addresses: Vec<ListenAddress>,
        deadline: Deadline,
    ) -> Self {
        let until =
            if deadline == Deadline::NOW { Some(Instant::now()) } else { deadline.instant() };
        Self {
            iomgr: iomgr.clone(),
            set: set.cloned(),
            left: addresses.into_iter(),
            user_timeout: None,
            attempt: None,
            time: until.map(|instant| Sleep::until(iomgr, instant)),
            failures: Vec::new(),
        }
    }

    /// A TCP connection ends when what it sends is not acknowledged for so long: see
    /// [`sys::set_user_timeout`].
    pub(crate) fn with_user_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.user_timeout = timeout;
        self
    }

    fn fail(&mut self, error: io::Error) {
        let attempt = self.attempt.take();
        self.failures.extend(attempt.map(|attempt| Failure { at: attempt.address, error }));
    }

    fn give_up(&mut self) -> io::Error {
        let failures = mem::take(&mut self.failures);
        let kind = failures.last().map_or(io::ErrorKind::InvalidInput, |last| last.error.kind());
        io::Error::new(kind, Unreachable { failures })
    }
}

impl Future for Connect {
    type Output = io::Result<Box<dyn Endpoint>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            let Some(attempt) = &mut this.attempt else {
                let Some(address) = this.left.next() else {
                    return Poll::Ready(Err(this.give_up()));
                };
                this.attempt = Some(Attempt::new(address, this.user_timeout));
                continue;
            };
            match attempt.poll(&this.iomgr, this.set.as_deref(), context) {
                Poll::Ready(Ok(endpoint)) => return Poll::Ready(Ok(endpoint)),
                Poll::Ready(Err(error)) => this.fail(error),
                Poll::Pending => {
                    let Some(time) = &mut this.time else { return Poll::Pending };
                    ready!(time.poll(context));
                    this.fail(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"));
                    return Poll::Ready(Err(this.give_up()));
                }
            }
        }
    }
}

/// One address.
pub(super) struct Attempt {
    address: ListenAddress,
    user_timeout: Option<Duration>,
    progress: Progress,
    next_wait: Duration,
}

enum Progress {
    New,
    /// The kernel is at it; the socket becomes writable when that has an end.
    UnderWay(Fd),
    /// Too many clients wait at the UNIX socket.
    Queueing(Sleep),
}

impl Attempt {
    pub(super) fn new(address: ListenAddress, user_timeout: Option<Duration>) -> Self {
        Self { address, user_timeout, progress: Progress::New, next_wait: FIRST_WAIT }
    }

    fn poll(
        &mut self,
        iomgr: &Arc<Iomgr>,
        set: Option<&PollsetSet>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Box<dyn Endpoint>>> {
        loop {
            match mem::replace(&mut self.progress, Progress::New) {
                Progress::New => self.progress = self.begin(iomgr, set)?,
                Progress::Queueing(mut sleep) => {
                    if sleep.poll(context).is_pending() {
                        self.progress = Progress::Queueing(sleep);
                        return Poll::Pending;
                    }
                }
                Progress::UnderWay(fd) => {
                    if sys::connected(fd.as_fd())? {
                        return Poll::Ready(self.finish(fd));
                    }
                    let armed = fd.notify_on_write(context.waker());
                    self.progress = Progress::UnderWay(fd);
                    ready!(armed)?;
                }
            }
        }
    }

    fn begin(&mut self, iomgr: &Arc<Iomgr>, set: Option<&PollsetSet>) -> io::Result<Progress> {
        match sys::connect(&self.address.raw()?) {
            Ok(socket) => {
                if let ListenAddress::Tcp(_) = self.address {
                    sys::set_user_timeout(&socket, self.user_timeout)?;
                }
                let fd = Fd::new(iomgr, socket)?;
                set.map_or(Ok(()), |set| set.add_fd(fd.pollee()))?;
                Ok(Progress::UnderWay(fd))
            }
            // Only for UNIX sockets (connect(2), EAGAIN).
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let sleep = Sleep::until(iomgr, Instant::now() + self.next_wait);
                self.next_wait = (self.next_wait * 2).min(LAST_WAIT);
                Ok(Progress::Queueing(sleep))
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn finish(&self, fd: Fd) -> io::Result<Box<dyn Endpoint>> {
        // Not by the address that was asked for, which may be 0.0.0.0.
        if sys::is_own_peer(fd.as_fd()) {
            // The kernel gave this end the very port that nobody listens on (RFC 9293, 3.5: both ends
            // open at once).
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let peer = self.address.peer(None, fd.as_fd());
        Ok(Box::new(TcpEndpoint::of(fd, peer)?))
    }
}

/// What failed at one address.
#[derive(Debug)]
struct Failure {
    at: ListenAddress,
    error: io::Error,
}

/// That no address answered, and why each did not.
#[derive(Debug)]
pub(crate) struct Unreachable {
    failures: Vec<Failure>,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.failures.is_empty() {
            return f.write_str("there is no address to connect to");
        }
        for (index, Failure { at, error }) in self.failures.iter().enumerate() {
            let lead = if index == 0 { "cannot connect to" } else { ";" };
            write!(f, "{lead} {at}: {error}")?;
        }
        Ok(())
    }
}

impl Error for Unreachable {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.failures.last().map(|last| &last.error as _)
    }
}
