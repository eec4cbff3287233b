//! A way to a server, on which calls are made.

use super::builder::{Builder, Config};
use super::call::Call;
use super::connectivity::ConnectivityState;
use super::control::Control;
use super::options::CallOptions;
use super::picker::Ticket;
use super::stream::{ChannelStream, NewStream};
use crate::call::{ClientCore, ClientOwner, Outcome};
use crate::compression::{Encoding, Encodings};
use crate::cq::{Queue, ShutDown};
use crate::error::Result;
use crate::forked;
use crate::iomgr::{Deadline, ExecCtx, Iomgr, Pollset};
use crate::status::Status;
use crate::transport::{ClientTransport, Request};
use bytes::Bytes;
use http::uri::{Authority, PathAndQuery};
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

/// A way to a server, on which any number of calls are made at once, from any threads.
///
/// Stubs are made on it (the `Client` and the `BlockingClient` of a generated module), and calls on
/// completion queues ([`call`](Self::call)). It connects when the first call is made, and again when the
/// connection has ended; clones are the same channel, and use the same connection.
///
/// ```no_run
/// # use turnstile_protos::helloworld::{HelloRequest, greeter};
/// use turnstile::Channel;
///
/// let channel = Channel::connect("localhost:50051")?; // nothing is sent yet
/// let greeter = greeter::BlockingClient::new(channel);
/// let reply = greeter.say_hello(HelloRequest { name: "world".to_owned() })?;
/// println!("{}", reply.message);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Threads
///
/// A channel has none. Its connection is made, read and kept alive by threads of yours that wait: for one
/// of its calls, in a server's [`run`](crate::Server::run), in [`block_on`](crate::block_on). While no
/// thread waits nothing happens: nobody answers a server's PING, sends one, or notices that a server has
/// gone. The next one who waits does, and finds what has come meanwhile; and a call that comes after a
/// while looks before it leaves, and goes to a new connection if its server has closed the old one.
///
/// # The end of a channel
///
/// When the last clone and the last call have been dropped, its connection is closed. Calls that go on
/// when all clones have been dropped go on to their end.
#[derive(Clone)]
pub struct Channel {
    inner: Arc<Inner>,
}

/// What a channel's clones and calls have in common. Without them the connection is closed.
pub(super) struct Inner {
    pub(super) control: Arc<Control>,
    config: Config,
}

impl Channel {
    /// A channel to `target`, with defaults: see [`Builder`].
    ///
    /// Does not connect, and does not block.
    ///
    /// | target | is |
    /// |---|---|
    /// | `host:port`, `dns:host:port`, `dns:///host:port` | a name or an IP address. Names are looked up before each attempt to connect, by the system, which blocks the thread that does it |
    /// | `ipv4:address:port`, `ipv6:[address]:port` | IP addresses; several, separated by commas, are tried in this order |
    /// | `unix:path`, `unix:///path`, `unix-abstract:name` | a UNIX socket (unix(7)) |
    ///
    /// # Errors
    /// A target that cannot be read, with what to write instead; a polling engine that does not start:
    /// see [`Server`'s](crate::Builder::build).
    ///
    /// ```
    /// use turnstile::Channel;
    ///
    /// let channel = Channel::connect("unix:/run/greeter.sock")?;
    /// let error = Channel::connect("localhost").unwrap_err();
    /// assert!(error.to_string().ends_with("the port is missing; write \"localhost:50051\""));
    /// # drop(channel);
    /// # Ok::<(), turnstile::Error>(())
    /// ```
    pub fn connect(target: &str) -> Result<Self> {
        Builder::new(target).build()
    }

    /// Begins to describe a channel that is not like the others.
    ///
    /// For an example see [`Builder`].
    pub fn builder(target: &str) -> Builder {
        Builder::new(target)
    }

    pub(super) fn new(control: Arc<Control>, config: Config) -> Self {
        Self { inner: Arc::new(Inner { control, config }) }
    }

    /// A channel that has this connection and never another.
    pub(crate) fn fixed(
        name: String,
        options: CallOptions,
        iomgr: Arc<Iomgr>,
        transport: Arc<dyn ClientTransport>,
    ) -> Self {
        let authority = Authority::from_static("localhost");
        let accepts = Encodings::of(Encoding::ALL);
        Self::new(Control::fixed(name, iomgr, transport), Config { authority, options, accepts })
    }

    /// A channel whose connections a test makes.
    #[cfg(all(test, not(turnstile_loom)))]
    pub(super) fn on(control: Arc<Control>) -> Self {
        let authority = Authority::from_static("test");
        let options = CallOptions::new();
        Self::new(control, Config { authority, options, accepts: Encodings::default() })
    }

    #[cfg(all(test, not(turnstile_loom)))]
    pub(super) fn inner(&self) -> Arc<Inner> {
        self.inner.clone()
    }

    /// Whether there is a connection. With `try_to_connect`, one is asked for if there is none.
    ///
    /// Callable from any thread; never blocks, but for the look-up of a name: an attempt to connect begins
    /// on the thread that asks for it.
    ///
    /// ```
    /// use turnstile::{Channel, ConnectivityState};
    ///
    /// let channel = Channel::connect("127.0.0.1:50051")?;
    /// assert_eq!(channel.state(false), ConnectivityState::Idle);
    /// # Ok::<(), turnstile::Error>(())
    /// ```
    pub fn state(&self, try_to_connect: bool) -> ConnectivityState {
        if forked::refuses() {
            return ConnectivityState::Idle;
        }
        let control = &self.inner.control;
        let state = control.picker.connectivity();
        if try_to_connect {
            control.connect();
        }
        state
    }

    /// Puts `tag` into `queue` when the state is not `last`; or, with [`is_ok`](crate::cq::Event::is_ok)
    /// false, when `deadline` has passed, or the channel and its calls have been dropped. Who waits in the
    /// queue keeps the channel going meanwhile.
    ///
    /// Callable from any thread; never blocks.
    ///
    /// # Errors
    /// If the queue is shut down; the error holds the tag.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use turnstile::{Channel, CompletionQueue, ConnectivityState, Deadline};
    ///
    /// let (channel, cq) = (Channel::connect("localhost:50051")?, CompletionQueue::new());
    /// let patience = Deadline::after(Duration::from_secs(5));
    /// let mut state = channel.state(true);
    /// while state != ConnectivityState::Ready {
    ///     channel.watch_state(state, patience, &cq, ())?;
    ///     let Some(event) = cq.next(Deadline::NONE).filter(|event| event.is_ok()) else { break };
    ///     # let _ = event;
    ///     state = channel.state(true);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn watch_state<T: Send + 'static>(
        &self,
        last: ConnectivityState,
        deadline: Deadline,
        queue: &impl Queue<T, Outcome>,
        tag: T,
    ) -> Result<(), ShutDown<T>> {
        let _context = ExecCtx::enter();
        let core = queue.core();
        let op = core.begin_op(tag, None).map_err(ShutDown)?;
        self.inner.control.let_wait(core.pollset());
        self.inner.control.watch(last, deadline, op);
        Ok(())
    }

    /// Ready with the state when that is not `last`.
    ///
    /// ```no_run
    /// use turnstile::{Channel, ConnectivityState};
    ///
    /// /// Waits until the server is there.
    /// async fn is_ready(channel: &Channel) {
    ///     let mut state = channel.state(true);
    ///     while state != ConnectivityState::Ready {
    ///         state = channel.state_change(state).await;
    ///         channel.state(true);
    ///     }
    /// }
    /// ```
    pub async fn state_change(&self, last: ConnectivityState) -> ConnectivityState {
        struct Waiting<'a>(&'a Control, Ticket);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                if !forked::is_forked() {
                    self.0.picker.leave(&mut self.1);
                }
            }
        }
        let mut waiting = Waiting(&self.inner.control, Ticket::default());
        poll_fn(|context| match forked::refuses() {
            true => Poll::Pending,
            false => waiting.0.picker.poll_change(last, &mut waiting.1, context),
        })
        .await
    }

    /// Makes a call of which the application does everything itself, in batches that complete on
    /// `queue`. `path` is `/package.Service/Method`.
    ///
    /// Callable from any thread; never blocks. A call that cannot be is one that has ended: its status
    /// says why.
    ///
    /// For an example see [`Call`].
    pub fn call<T: Send + 'static>(
        &self,
        path: &str,
        options: CallOptions,
        queue: &impl Queue<T, Outcome>,
    ) -> Call<T> {
        let core = queue.core();
        let what = What { path: Bytes::copy_from_slice(path.as_bytes()), subtype: None };
        Call::new(self.begin(what, options, Some(core.pollset())), core.clone())
    }

    /// Begins a call. `pollset` is where threads wait for it; without one, those who wait must be among
    /// who waits for everybody.
    pub(crate) fn begin(
        &self,
        what: What,
        options: CallOptions,
        pollset: Option<&Arc<Pollset>>,
    ) -> ClientOwner {
        let _context = ExecCtx::enter();
        let Inner { control, config } = &*self.inner;
        let mut options = config.options.clone().merged_with(options);
        let (rules, limit) = (options.message_rules(), options.limit);
        let waits_for_ready = options.wait_for_ready.unwrap_or_default();
        let path = what.path();
        let error = options.error.take().or_else(|| path.clone().err());
        let request = Request {
            path: path.unwrap_or(PathAndQuery::from_static("/")),
            authority: options.authority.unwrap_or_else(|| config.authority.clone()),
            metadata: options.metadata,
            subtype: options.subtype.or(what.subtype),
            timeout: None,
            encoding: rules.compression,
            accepts: config.accepts,
        };
        // In a child its timer would be the parent's.
        let deadline = if forked::refuses() { Deadline::NONE } else { limit.deadline() };
        let pollset = pollset.cloned();
        let new = NewStream { request, deadline, waits_for_ready, pollset };
        let stream = Box::new(ChannelStream::new(self.inner.clone(), new));
        let call = ClientCore::begun(stream, control.iomgr().clone(), deadline.instant(), rules);
        // It has not been sent, and never will.
        error.into_iter().for_each(|status| call.core().cancel(status));
        call
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let control = &self.inner.control;
        f.debug_struct("Channel")
            .field("target", &control.name())
            .field("state", &control.picker.connectivity())
            .finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if !forked::is_forked() {
            self.control.close();
        }
    }
}

/// What is called.
pub(crate) struct What {
    /// `/package.Service/Method`.
    pub(crate) path: Bytes,
    /// What follows `application/grpc+` in the content type, if anything does.
    pub(crate) subtype: Option<Box<str>>,
}

impl What {
    /// # Errors
    /// INTERNAL, if there can be no such request.
    fn path(&self) -> Result<PathAndQuery, Status> {
        let path = PathAndQuery::from_maybe_shared(self.path.clone()).ok();
        let whole =
            path.filter(|it| it.as_str().starts_with('/') && it.as_str().as_bytes() == self.path);
        whole.ok_or_else(|| {
            let path = String::from_utf8_lossy(&self.path);
            Status::internal(format!(
                "no request can have the path {path:?}; a method's is like \"/package.Service/Method\"",
            ))
        })
    }
}

#[cfg(all(test, not(turnstile_loom)))]
mod tests;
