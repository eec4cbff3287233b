//! Servers: where they listen, and how the calls that come find those who asked for them.
//!
//! [`Builder`] describes a server, and `start` makes it listen; [`methods`] pairs calls with their
//! handlers, or with requests for calls; `serve` has what threads do, and [`connections`] counts
//! what is open, and knows when a shutdown is complete.

mod builder;
mod connections;
mod handled;
mod handling;
mod lifetimes;
mod limits;
#[cfg(all(test, turnstile_loom))]
mod loom_models;
mod methods;
mod run_queue;
mod serve;
mod start;
mod stop;
mod task;
pub mod test_server;
#[cfg(all(test, not(turnstile_loom)))]
mod tests;

pub use builder::Builder;
pub use methods::Method;

use crate::call::{CallCore, MessageRules, NewCall, Observer, OnlyMessage, Outcome, Owner};
use crate::client::{CallOptions, Channel};
use crate::cq::{PendingOp, Queue, ShutDown};
use crate::forked;
use crate::iomgr::{
    AcceptHandler, Endpoint, ExecCtx, Iomgr, ListenAddress, PeerAddress, Pollset, PollsetSet,
};
use crate::monitor::ServerMonitor;
use crate::service::Attachment;
use crate::stats::Stats;
use crate::status::Status;
use crate::transport::h2::{ClientConfig, Config, ServerTransport};
use crate::transport::{Acceptor, Head, Stream, inproc, shown};
use bytes::Bytes;
use connections::Connections;
use methods::{Methods, Payload};
use run_queue::RunQueue;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;

/// A server: services, where it listens, and the threads that the application lends it.
///
/// [`Builder::bind`] makes one of services, and it listens from then on. It serves on each thread
/// that is in [`run`](Self::run), until [`shutdown`](Self::shutdown) is called on any other.
///
/// ```no_run
/// # use turnstile_protos::helloworld::{FILE_DESCRIPTOR_SET, HelloReply, HelloRequest, greeter};
/// # /*
/// turnstile::include_proto!("helloworld");
/// # */
/// use turnstile::{Request, Response, Server, Status, reflection};
///
/// struct MyGreeter;
///
/// impl greeter::Service for MyGreeter {
///     async fn say_hello(
///         &self,
///         request: Request<HelloRequest>,
///     ) -> Result<Response<HelloReply>, Status> {
///         Ok(Response::new(HelloReply { message: format!("Hello {}", request.name) }))
///     }
/// }
///
/// let server = Server::builder()
///     .add_service(greeter::server(MyGreeter))
///     .add_service(reflection::service(FILE_DESCRIPTOR_SET))
///     .bind("127.0.0.1:50051")?;
/// server.run(); // this thread serves
/// # Ok::<(), turnstile::Error>(())
/// ```
///
/// Dropping a server aborts what it serves; `shutdown` ends it gracefully.
///
/// # Without handlers
///
/// Calls can also come out of completion queues, to those who ask for them with
/// [`request_registered_call`](Self::request_registered_call) and
/// [`request_call`](Self::request_call). The threads that wait on queues then serve, and `run` is
/// not needed; services can be there besides. One request is one call, so ask for several at first,
/// and for one more with each call that comes.
pub struct Server {
    inner: Arc<Inner>,
    addresses: Vec<ListenAddress>,
}

struct Inner {
    iomgr: Arc<Iomgr>,
    /// The listeners and connections, and the pollsets of all threads that serve.
    set: Arc<PollsetSet>,
    config: Arc<Config>,
    methods: Methods,
    stats: Option<Arc<dyn Stats>>,
    monitor: Option<Arc<ServerMonitor>>,
    run_queue: Arc<RunQueue>,
    /// Told of the shutdown.
    attachments: Vec<Arc<dyn Attachment>>,
    connections: Connections,
}

impl Server {
    /// Begins to describe a server. See [`Builder`].
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// The first TCP address that it listens on, with the port that the system chose for port 0.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.addresses.iter().find_map(|address| match address {
            ListenAddress::Tcp(address) => Some(*address),
            _ => None,
        })
    }

    /// Every address that it listens on, in the order in which they were given. They stay when it
    /// does not listen any more.
    ///
    /// ```
    /// use turnstile::Server;
    ///
    /// let server = Server::builder().listen("127.0.0.1:0").listen("[::1]:0").build()?;
    /// let addresses: Vec<_> = server.addresses().iter().map(ToString::to_string).collect();
    /// assert!(addresses[0].starts_with("127.0.0.1:") && addresses[1].starts_with("[::1]:"));
    /// # Ok::<(), turnstile::Error>(())
    /// ```
    pub fn addresses(&self) -> &[ListenAddress] {
        &self.addresses
    }

    /// Asks for the next call of any method that is not registered.
    ///
    /// `tag` comes out of `queue` with the call ([`Event::take_call`](crate::Event::take_call)),
    /// whose own batches complete on `queue` too; or with `is_ok` false, when the server was shut
    /// down before a call came. Until somebody has asked once, calls of methods that are not
    /// registered are answered with UNIMPLEMENTED, unless no method is registered at all. With a
    /// [fallback](Builder::fallback) these calls are its own, and the tag comes out at once, with
    /// `is_ok` false.
    ///
    /// Callable from any thread; never blocks.
    ///
    /// # Errors
    /// If the queue is shut down; the error holds the tag.
    ///
    /// ```no_run
    /// use turnstile::{Batch, CompletionQueue, Deadline, Server, Status};
    ///
    /// let cq = CompletionQueue::<&str>::new();
    /// let server = Server::builder().bind("127.0.0.1:50051")?;
    /// server.request_call(&cq, "a call")?;
    /// while let Some(mut event) = cq.next(Deadline::NONE) {
    ///     let Some(call) = event.take_call() else { continue }; // a status was sent
    ///     server.request_call(&cq, "a call")?; // ask for the next one
    ///     let status = Status::not_found(format!("there is no {}", call.method()));
    ///     call.start(Batch::new().send_status(status), "a status")?;
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn request_call<T: Send + 'static>(
        &self,
        queue: &impl Queue<T, Outcome>,
        tag: T,
    ) -> Result<(), ShutDown<T>> {
        self.request_call_on(queue, queue, tag)
    }

    /// The same with a queue of its own for the call: `tag` comes out of `notify_queue`, and the
    /// call's batches complete on `call_queue`.
    ///
    /// Callable from any thread; never blocks.
    ///
    /// # Errors
    /// If `notify_queue` is shut down; the error holds the tag.
    pub fn request_call_on<T: Send + 'static>(
        &self,
        call_queue: &impl Queue<T, Outcome>,
        notify_queue: &impl Queue<T, Outcome>,
        tag: T,
    ) -> Result<(), ShutDown<T>> {
        self.request(Methods::ANY, call_queue, notify_queue, tag)
    }

    /// Asks for the next call of a registered method: `tag` comes out of `notify_queue` with the
    /// call, whose batches complete on `call_queue`. Making a queue costs no system call, so each
    /// call may have its own; and both may be one.
    ///
    /// Callable from any thread; never blocks.
    ///
    /// # Errors
    /// If `notify_queue` is shut down; the error holds the tag.
    ///
    /// # Panics
    /// If `method` was registered with another server's builder.
    ///
    /// ```no_run
    /// use turnstile::{Batch, CompletionQueue, Deadline, Server, Status};
    ///
    /// let cq = CompletionQueue::<&str>::new();
    /// let mut builder = Server::builder();
    /// let echo = builder.register_unary("/demo.Echo/Echo");
    /// let server = builder.bind("127.0.0.1:50051")?;
    /// server.request_registered_call(&echo, &cq, &cq, "a call")?;
    /// while let Some(mut event) = cq.next(Deadline::NONE) {
    ///     let Some(call) = event.take_call() else { continue }; // a reply was sent
    ///     server.request_registered_call(&echo, &cq, &cq, "a call")?; // ask for the next one
    ///     let reply = event.take_message().unwrap_or_default();
    ///     call.start(Batch::new().send_message(reply).send_status(Status::ok()), "a reply")?;
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn request_registered_call<T: Send + 'static>(
        &self,
        method: &Method,
        call_queue: &impl Queue<T, Outcome>,
        notify_queue: &impl Queue<T, Outcome>,
        tag: T,
    ) -> Result<(), ShutDown<T>> {
        assert!(
            self.inner.methods.knows(method),
            "the method {method} was registered with the builder of another server",
        );
        self.request(method.index(), call_queue, notify_queue, tag)
    }

    fn request<T: Send + 'static>(
        &self,
        method: usize,
        call_queue: &impl Queue<T, Outcome>,
        notify_queue: &impl Queue<T, Outcome>,
        tag: T,
    ) -> Result<(), ShutDown<T>> {
        let _context = ExecCtx::enter();
        let companion = Some(call_queue.core().clone());
        let request = notify_queue.core().begin_op(tag, companion).map_err(ShutDown)?;
        self.inner.wait_with(notify_queue.core().pollset());
        self.inner.methods.request(method, request);
        Ok(())
    }

    /// Shuts down gracefully, with an event at the end. Listeners close; requested calls that have
    /// not come fail; calls that wait for a request end with UNAVAILABLE; clients are told to go
    /// elsewhere (GOAWAY) and may finish the calls they have. When all connections are closed, `tag`
    /// comes out of `queue`.
    ///
    /// That takes as long as the longest call: set a limit with an [`Alarm`](crate::Alarm) and
    /// [`cancel_all_calls`](Self::cancel_all_calls). May be called more than once: each tag comes
    /// out. Needs threads that wait on queues, as everything does.
    ///
    /// Callable from any thread; never blocks.
    ///
    /// # Errors
    /// If `queue` is shut down; the error holds the tag.
    ///
    /// ```
    /// use std::time::Duration;
    /// use turnstile::{Deadline, PluckQueue, Server};
    ///
    /// let server = Server::builder().bind("127.0.0.1:0")?;
    /// let stopped = PluckQueue::<()>::new();
    /// server.shutdown_and_notify(&stopped, ()).expect("the queue is open");
    /// // This thread does I/O meanwhile, and others may.
    /// if stopped.pluck(&(), Deadline::after(Duration::from_secs(10))).is_none() {
    ///     server.cancel_all_calls();
    ///     stopped.pluck(&(), Deadline::NONE);
    /// }
    /// # Ok::<(), turnstile::Error>(())
    /// ```
    pub fn shutdown_and_notify<T: Send + 'static>(
        &self,
        queue: &impl Queue<T, Outcome>,
        tag: T,
    ) -> Result<(), ShutDown<T>> {
        let _context = ExecCtx::enter();
        let done = queue.core().begin_op(tag, None).map_err(ShutDown)?;
        self.inner.wait_with(queue.core().pollset());
        tracing::info!(target: "turnstile::server", "shutting down");
        self.inner.shutdown(Some(done));
        Ok(())
    }

    /// Ends every call and closes every connection, at once. The server goes on listening unless
    /// it is shut down; most useful after [`shutdown_and_notify`](Self::shutdown_and_notify), when
    /// it has taken too long.
    ///
    /// Callable from any thread; never blocks.
    pub fn cancel_all_calls(&self) {
        if forked::refuses() {
            return;
        }
        let _context = ExecCtx::enter();
        self.inner.connections.abort_all();
    }
}

impl Server {
    /// A channel to this server within the process, without a socket: calls are handed over as they are,
    /// and end as they would over HTTP/2, by the same limits. `options` are what calls have unless they
    /// say otherwise.
    ///
    /// Who calls is [`PeerAddress::InProcess`]. Once the server is shut down calls end with UNAVAILABLE;
    /// the shutdown waits for those that go on, and not for the channel to be dropped.
    ///
    /// A thread that waits for a call runs no handler: threads in [`run`](Self::run) do that, or those
    /// that wait in the queues of the server's requested calls.
    ///
    /// Callable from any thread; never blocks.
    ///
    /// ```
    /// use std::thread;
    /// use std::time::Duration;
    /// use turnstile::client::blocking::Stub;
    /// use turnstile::{CallOptions, MethodDescriptor, Response, Server, service};
    ///
    /// const GREET: MethodDescriptor<String, String> = MethodDescriptor::unary("/demo.Greeter/Greet");
    ///
    /// let greeter = service::Builder::new("demo.Greeter", ())
    ///     .unary(GREET, |_, name| async move { Ok(Response::new(format!("Hello {}", *name))) })
    ///     .build();
    /// let server = Server::builder().add_service(greeter).build_in_process()?;
    /// thread::scope(|scope| {
    ///     scope.spawn(|| server.run());
    ///     let stub = Stub::new(server.in_process_channel(CallOptions::new()));
    ///     assert_eq!(*stub.unary(&GREET, "you".to_owned())?, "Hello you");
    ///     server.shutdown(Duration::from_secs(10));
    ///     Ok::<(), turnstile::Status>(())
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn in_process_channel(&self, options: CallOptions) -> Channel {
        let transport = self.connect_in_process(Arc::new(ClientConfig::default()));
        let iomgr = self.inner.iomgr.clone();
        Channel::fixed("a server in this process".to_owned(), options, iomgr, transport)
    }

    /// A way to this server within the process, as a client configured so has it. See [`inproc`] for who
    /// runs what.
    pub(super) fn connect_in_process(&self, config: Arc<ClientConfig>) -> Arc<inproc::Channel> {
        let server = self.inner.clone();
        let iomgr = server.iomgr.clone();
        let config = inproc::Config { server: server.config.clone(), client: config };
        if forked::refuses() {
            return inproc::Channel::closed(config, server, iomgr);
        }
        let _context = ExecCtx::enter();
        let peer = PeerAddress::InProcess;
        tracing::debug!(target: "turnstile::connection", parent: None, %peer, "a client connects");
        let socket = server.monitor.as_ref().map(|monitor| monitor.connect(None, peer));
        let channel = self.inner.connections.insert(|id| {
            inproc::Channel::new(id, config.clone(), server.clone(), iomgr.clone(), socket)
        });
        channel.unwrap_or_else(|| inproc::Channel::closed(config, server, iomgr))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if forked::leaks(&self.inner) {
            return;
        }
        let _context = ExecCtx::enter();
        self.inner.connections.close();
        self.inner.methods.close();
        self.inner.run_queue.abandon();
        self.inner.monitor.iter().for_each(|monitor| monitor.leave());
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl AcceptHandler for Inner {
    fn on_connection(self: Arc<Self>, endpoint: Box<dyn Endpoint>) {
        let peer = endpoint.peer().clone();
        tracing::debug!(target: "turnstile::connection", parent: None, %peer, "a client connects");
        let monitor = self.monitor.as_ref();
        let socket = monitor.map(|monitor| monitor.connect(endpoint.local(), peer));
        let server = self.clone();
        let transport = self.connections.insert(|id| {
            let (config, iomgr) = (server.config.clone(), server.iomgr.clone());
            ServerTransport::new(endpoint, id, config, server, iomgr, socket)
        });
        if let Some(transport) = transport {
            transport.start();
        }
    }
}

impl Acceptor for Inner {
    fn on_stream(self: Arc<Self>, head: Head, stream: Box<dyn Stream>) {
        let method = self.methods.find(head.method());
        let is_registered = method.is_some_and(|method| method != Methods::ANY);
        let observer = Observer::new(self.stats.clone(), is_registered);
        let rules = method.map_or_else(MessageRules::default, |method| self.methods.rules(method));
        let call = CallCore::new(head, stream, self.iomgr.clone(), observer, rules);
        let owner = Owner::new(call.clone());
        let Some(method) = method else {
            let text = format!("the server has no method {}", shown(call.head().method()));
            return call.cancel(Status::unimplemented(text));
        };
        if let Some(refusal) = self.refusal(method, call.head()) {
            return call.cancel(refusal);
        }
        if call.expire() {
            return;
        }
        match self.methods.payload(method) {
            Payload::None => {
                call.begin();
                self.methods.deliver(method, NewCall { owner, message: None }, &self.run_queue);
            }
            Payload::OnlyMessage => self.deliver_with_message(method, owner),
        }
    }

    fn on_closed(&self, id: usize) {
        self.connections.remove(id);
    }
}

impl Inner {
    /// Does what there is to do, on this thread, until the server is shut down.
    fn serve(&self) {
        self.wait_with(self.run_queue.pollset());
        self.run_queue.run();
    }

    /// Threads that wait for something of this server do its I/O, and that of the channels which its
    /// handlers may wait for.
    fn wait_with(&self, pollset: &Arc<Pollset>) {
        let everybody = PollsetSet::everybody(&self.iomgr);
        let added = self.set.add_pollset(pollset).and_then(|()| everybody.add_pollset(pollset));
        if let Err(error) = added {
            tracing::error!(%error, "a queue cannot wait for a server's clients");
        }
    }

    /// Begins a graceful shutdown, after which threads in `run` go home and `done` completes.
    fn shutdown(&self, done: Option<PendingOp<Outcome>>) {
        self.attachments.iter().for_each(|it| it.on_shutdown());
        let run_queue = PendingOp::reporting_to(self.run_queue.clone());
        for done in [Some(run_queue), done].into_iter().flatten() {
            self.connections.shutdown(done);
        }
        self.methods.close();
    }

    /// Why a call of a method cannot be taken: the method's codec does not read its messages.
    fn refusal(&self, method: usize, head: &Head) -> Option<Status> {
        let subtype = head.subtype.as_deref()?;
        let known = self.methods.other_subtype(method, subtype)?;
        let (subtype, method) = (shown(subtype), shown(head.method()));
        Some(Status::unimplemented(format!(
            "the request's content-type is application/grpc+{subtype}, and {method} takes \
             application/grpc+{known}",
        )))
    }

    /// Hands a call on with its first message, now or when that has come.
    fn deliver_with_message(self: Arc<Self>, method: usize, owner: Owner) {
        let call = owner.core().clone();
        // A shutdown lets those that a handler takes come in full, or end with their connection.
        let is_handled = self.methods.is_handled(method);
        // Until the message has come, the call owns itself.
        let mut owner = Some(owner);
        let mut is_too_late = false;
        let later = || -> OnlyMessage {
            let (server, owner) = (self.clone(), owner.take());
            let arriving = (!is_handled).then(|| self.methods.insert_arriving(call.clone()));
            is_too_late = arriving == Some(None);
            let arriving = arriving.flatten();
            Box::new(move |message| {
                arriving.into_iter().for_each(|id| server.methods.remove_arriving(id));
                server.on_only_message(method, owner, message);
            })
        };
        match call.begin_with_message(later) {
            Poll::Ready(message) => self.on_only_message(method, owner, message),
            Poll::Pending if is_too_late => {
                call.cancel(Status::unavailable("the server is shutting down"));
            }
            Poll::Pending => {}
        }
    }

    fn on_only_message(&self, method: usize, owner: Option<Owner>, message: Option<Bytes>) {
        // A call that ended instead is nobody's business.
        if let Some(owner) = owner
            && (message.is_some() || !owner.core().is_over())
        {
            self.methods.deliver(method, NewCall { owner, message }, &self.run_queue);
        }
    }
}
