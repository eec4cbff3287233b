//! A listening socket that accepts while threads poll.

use super::address::ListenAddress;
use super::bound::Bound;
use super::manager::Iomgr;
use super::pollset_set::PollsetSet;
use super::sys::{self, Accepted, errno};
use super::tcp_endpoint::TcpEndpoint;
use crate::iomgr::endpoint::Endpoint;
use crate::iomgr::exec_ctx::{Run, Scheduled};
use crate::iomgr::timers::TimerId;
use crate::sync::Mutex;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::task::{Poll, Wake};
use std::time::Duration;

/// How many connections one run takes before others get the thread.
const ACCEPTS_PER_RUN: usize = 64;

/// How many connections may fail while they are accepted before accepting rests.
const FAILURES_PER_RUN: usize = 64;

/// How long accepting rests when the process or the system has no fd or memory left. The kernel
/// keeps the connections; trying again at once would only spin.
const REST: Duration = Duration::from_millis(100);

/// Where accepted connections go.
pub(crate) trait AcceptHandler: Send + Sync {
    /// A connection came in. Called with no lock held.
    fn on_connection(self: Arc<Self>, endpoint: Box<dyn Endpoint>);
}

/// A listener. It accepts from [`start`](Self::start) until [`close`](Self::close).
pub(crate) struct TcpListener {
    iomgr: Arc<Iomgr>,
    set: Arc<PollsetSet>,
    address: ListenAddress,
    handler: Arc<dyn AcceptHandler>,
    scheduled: Scheduled,
    /// Held for a run's accept calls; nothing else is locked under it but engine leaves.
    state: Mutex<State>,
}

struct State {
    /// `None` once closed.
    socket: Option<Bound>,
    resting: Option<TimerId>,
}

/// What an accept loop ended with.
enum Pause {
    /// Armed: an event runs it again.
    Armed,
    /// There may be more, but others want the thread.
    More,
    /// Out of resources.
    Rest,
    /// Closed, or broken beyond use.
    End,
}

impl TcpListener {
    /// Nothing is accepted before `start`. The pollsets of `set` wait for every connection that it
    /// accepts.
    pub(crate) fn new(
        iomgr: &Arc<Iomgr>,
        set: &Arc<PollsetSet>,
        socket: Bound,
        handler: Arc<dyn AcceptHandler>,
    ) -> Arc<Self> {
        Arc::new(Self {
            iomgr: iomgr.clone(),
            set: set.clone(),
            address: socket.address().clone(),
            handler,
            scheduled: Scheduled::default(),
            state: Mutex::new(State { socket: Some(socket), resting: None }),
        })
    }

    /// Where it listens, with the port that the system chose.
    pub(crate) fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// Begins to accept, on whichever thread polls.
    pub(crate) fn start(self: &Arc<Self>) {
        self.wake_by_ref();
    }

    /// Stops to accept and closes the socket; connections in its queue are refused by the kernel.
    pub(crate) fn close(&self) {
        let (socket, resting) = {
            let mut state = self.state.lock();
            (state.socket.take(), state.resting.take())
        };
        if let Some(timer) = resting {
            self.iomgr.timer_cancel(timer);
        }
        drop(socket);
    }

    /// Takes what waits, up to a bound, into `accepted`.
    fn accept_some(self: &Arc<Self>, accepted: &mut Vec<Accepted>) -> Pause {
        let state = self.state.lock();
        let Some(socket) = &state.socket else { return Pause::End };
        let mut failures = 0;
        while accepted.len() < ACCEPTS_PER_RUN {
            match sys::accept(socket.as_fd()) {
                Ok(connection) => accepted.push(connection),
                Err(error) => match Failure::of(&error) {
                    Failure::Empty => match socket.notify_once(self.clone().into()) {
                        Poll::Pending => return Pause::Armed,
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(_)) => return Pause::End,
                    },
                    Failure::OfOneConnection => {
                        tracing::debug!(%error, address = %self.address, "a client gave up");
                        failures += 1;
                        // An error that stays is not a client's.
                        if failures == FAILURES_PER_RUN {
                            return Pause::Rest;
                        }
                    }
                    Failure::OutOfResources => {
                        tracing::warn!(
                            %error, address = %self.address, rest = ?REST,
                            "cannot accept; raise the limit of open files (ulimit -n)",
                        );
                        return Pause::Rest;
                    }
                    Failure::OfListener => {
                        tracing::error!(%error, address = %self.address, "cannot accept any more");
                        return Pause::End;
                    }
                },
            }
        }
        Pause::More
    }

    fn serve(self: &Arc<Self>, connection: Accepted) {
        let peer = self.address.peer(connection.peer, connection.socket.as_fd());
        let endpoint = TcpEndpoint::new(&self.iomgr, connection.socket, peer);
        let endpoint = endpoint.and_then(|endpoint| {
            self.set.add_fd(endpoint.fd().pollee())?;
            Ok(endpoint)
        });
        match endpoint {
            Ok(endpoint) => self.handler.clone().on_connection(Box::new(endpoint)),
            Err(error) => tracing::warn!(%error, "a new connection cannot be served"),
        }
    }

    fn rest(self: &Arc<Self>) {
        let mut state = self.state.lock();
        if state.socket.is_some() {
            let timer = self.iomgr.timer_init(self.iomgr.now() + REST, self.clone());
            state.resting = Some(timer);
        }
    }
}

impl Run for TcpListener {
    fn run(self: Arc<Self>) {
        self.scheduled.clear();
        let mut accepted = Vec::new();
        let pause = self.accept_some(&mut accepted);
        for connection in accepted {
            self.serve(connection);
        }
        match pause {
            Pause::Armed | Pause::End => {}
            Pause::More => self.iomgr.put_off(self.clone()),
            Pause::Rest => self.rest(),
        }
    }
}

impl Wake for TcpListener {
    /// Only enqueues.
    fn wake(self: Arc<Self>) {
        if self.scheduled.claim() {
            Iomgr::submit_own(self, |it| &it.iomgr);
        }
    }

    /// The same.
    fn wake_by_ref(self: &Arc<Self>) {
        if self.scheduled.claim() {
            self.iomgr.submit(self.clone());
        }
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        self.close();
    }
}

/// What an error of accept(2) is about.
enum Failure {
    Empty,
    OfOneConnection,
    OutOfResources,
    OfListener,
}

impl Failure {
    fn of(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(errno::EAGAIN) => Self::Empty,
            Some(errno::EMFILE | errno::ENFILE | errno::ENOBUFS | errno::ENOMEM) => {
                Self::OutOfResources
            }
            Some(errno::EBADF | errno::EINVAL | errno::ENOTSOCK) => Self::OfListener,
            // accept(2): errors that are already pending on the new connection, and EINTR.
            _ => Self::OfOneConnection,
        }
    }
}

#[cfg(all(test, not(turnstile_loom)))]
mod tests {
    use super::{AcceptHandler, Bound, TcpListener};
    use crate::iomgr::endpoint::Endpoint;
    use crate::iomgr::exec_ctx::ExecCtx;
    use crate::iomgr::posix::address::ListenAddress;
    use crate::iomgr::posix::pollset_set::PollsetSet;
    use crate::iomgr::posix::tests::iomgr;
    use crate::testing::without_deadlock;
    use std::net::TcpStream;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Waker;

    #[derive(Default)]
    struct Counts(AtomicUsize);

    impl AcceptHandler for Counts {
        fn on_connection(self: Arc<Self>, _endpoint: Box<dyn Endpoint>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_wake_under_its_own_lock_only_enqueues() {
        without_deadlock(|| {
            let (accepted, any_port) =
                (Arc::new(Counts::default()), "127.0.0.1:0".parse().unwrap());
            let address = ListenAddress::Tcp(any_port);
            let iomgr = iomgr();
            let socket = Bound::new(&iomgr, &address, Default::default()).unwrap();
            let set = Arc::new(PollsetSet::everybody(&iomgr));
            let listener = TcpListener::new(&iomgr, &set, socket, accepted.clone());
            let ListenAddress::Tcp(address) = *listener.address() else { panic!("it is TCP") };
            let _client = TcpStream::connect(address).unwrap();
            let context = ExecCtx::enter();
            let state = listener.state.lock();
            let waker = Waker::from(listener.clone());
            waker.wake_by_ref();
            waker.wake();
            drop(state);
            assert_eq!(accepted.0.load(Ordering::SeqCst), 0, "it ran inside of the wake");
            context.flush();
            assert_eq!(accepted.0.load(Ordering::SeqCst), 1);
        });
    }
}
