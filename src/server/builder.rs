//! How a server is described before it listens.

use super::connections::Connections;
use super::methods::{Method, Methods, Payload, Registered};
use super::run_queue::RunQueue;
use super::{Inner, Server};
use crate::call::MessageRules;
use crate::codec::{Codec, Raw};
use crate::compression::{Encoding, Encodings};
use crate::error::{Error, Result};
use crate::iomgr::{ExecCtx, Iomgr, ListenAddress, Listening, TcpListener};
use crate::monitor::Channelz;
use crate::service::{
    self, Attachment, Chain, Interceptor, MethodConfig, MethodDescriptor, Service, Streaming,
    Writer,
};
use crate::stats::{self, Stats};
use crate::status::Status;
use crate::transport::h2::Config;
use bytes::Bytes;
use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

/// Describes a [`Server`]. Made by [`Server::builder`].
///
/// ```
/// use turnstile::Server;
///
/// let mut builder = Server::builder();
/// let say_hello = builder.register_unary("/helloworld.Greeter/SayHello");
/// let server = builder.listen("127.0.0.1:0").listen("[::1]:0").build()?;
/// assert_eq!(server.addresses().len(), 2);
/// # Ok::<(), turnstile::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a server listens when it is built"]
pub struct Builder {
    addresses: Vec<String>,
    methods: Vec<Registered>,
    services: Vec<Service>,
    fallback: Option<Service>,
    /// The services and the fallback belong to a server already.
    has_given_services: bool,
    interceptors: Chain,
    stats: StatsList,
    channelz: Option<Channelz>,
    pub(super) config: Config,
    rules: MessageRules,
    reuse_port: bool,
    max_waiting_calls: usize,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            addresses: Vec::new(),
            methods: Vec::new(),
            services: Vec::new(),
            fallback: None,
            has_given_services: false,
            interceptors: Chain::default(),
            stats: StatsList::default(),
            channelz: None,
            config: Config::default(),
            rules: MessageRules::default(),
            reuse_port: false,
            max_waiting_calls: 1000,
        }
    }

    /// Adds a service, whose calls the threads in [`Server::run`] handle. Services of all styles may
    /// be added side by side, and beside registered methods.
    pub fn add_service(&mut self, service: Service) -> &mut Self {
        self.services.push(service);
        self
    }

    /// Adds an interceptor to all services and the fallback, behind those that are there.
    pub fn intercept(&mut self, interceptor: impl Interceptor) -> &mut Self {
        self.interceptors.push(interceptor);
        self
    }

    /// Adds a [`Stats`], which is told of every call from then on. Of several, each is told of
    /// every call, in the order in which they were added.
    pub fn stats(&mut self, stats: impl Stats) -> &mut Self {
        self.stats.0.push(Arc::new(stats));
        self
    }

    /// Lets this server be seen through a [`Channelz`], whose service
    /// this or another server has. It then counts its calls, and those of each connection.
    pub fn channelz(&mut self, channelz: &Channelz) -> &mut Self {
        self.channelz = Some(channelz.clone());
        self
    }

    /// Sets the handler for calls of methods that the server does not have, with messages as bytes:
    /// for proxies. [`Context::method`](crate::Context::method) says which it is. Without it they
    /// are answered with UNIMPLEMENTED.
    pub fn fallback<F, Fut>(&mut self, handler: F) -> &mut Self
    where
        F: Fn(Streaming<Bytes>, Writer<Bytes>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = std::result::Result<(), Status>> + Send + 'static,
    {
        const ANY: MethodDescriptor<Bytes, Bytes, Raw> = MethodDescriptor::bidi_streaming("/*");
        let service = service::Builder::new("*", ())
            .bidi_streaming(ANY, move |_, requests, replies| handler(requests, replies));
        self.fallback = Some(service.build());
        self
    }

    /// Registers a method by its descriptor, as [`register_method`](Self::register_method) or
    /// [`register_unary`](Self::register_unary) would.
    pub fn register<Req, Res, C>(&mut self, method: &MethodDescriptor<Req, Res, C>) -> Method
    where
        C: Codec<Req> + Codec<Res>,
    {
        let has_one = method.kind().has_one_request();
        let payload = if has_one { Payload::OnlyMessage } else { Payload::None };
        self.register_as(method.path(), payload)
    }

    /// Registers a method, whose calls can then be requested by themselves. The name is the
    /// request's path: `/package.Service/Method`. Registering a name twice gives the same method.
    pub fn register_method(&mut self, name: &str) -> Method {
        self.register_as(name, Payload::None)
    }

    /// Registers a method with one request message, which its calls come with
    /// ([`Event::take_message`](crate::Event::take_message)). A call comes when the client has sent
    /// its message and has said that it was the last; one with more or fewer is answered with
    /// UNIMPLEMENTED, as gRPC's status code document has it.
    pub fn register_unary(&mut self, name: &str) -> Method {
        self.register_as(name, Payload::OnlyMessage)
    }

    fn register_as(&mut self, name: &str, payload: Payload) -> Method {
        if let Some(known) = self.methods.iter_mut().find(|it| it.method.name() == name) {
            known.payload = payload;
            return known.method.clone();
        }
        let method = Method::new(1 + self.methods.len(), name);
        let config = MethodConfig::default();
        self.methods.push(Registered { method: method.clone(), payload, config });
        method
    }

    /// Configures a registered method: what its messages may be, where that is not as the server
    /// has it. For a method of a service, see [`Service::configure`].
    ///
    /// # Panics
    /// If the method was registered with another builder.
    pub fn configure(
        &mut self,
        method: &Method,
        configure: impl FnOnce(MethodConfig) -> MethodConfig,
    ) -> &mut Self {
        let known = self.methods.iter_mut().find(|it| it.method == *method);
        let Some(known) = known else {
            panic!("the method {method} was registered with another builder");
        };
        known.config = configure(known.config);
        self
    }

    /// Adds an address to listen on: `host:port`, `[ipv6]:port`, `unix:/path` or
    /// `unix-abstract:name`. Port 0 asks for a free one. A host name listens on every address it
    /// stands for.
    pub fn listen(&mut self, address: &str) -> &mut Self {
        self.addresses.push(address.to_owned());
        self
    }

    /// Adds an address unless there is one.
    pub(super) fn listen_by_default(&mut self, address: &str) {
        if self.addresses.is_empty() {
            self.listen(address);
        }
    }

    /// Lets other sockets listen on the same ports (SO_REUSEPORT). Off by default, so that a port
    /// in use is an error.
    pub fn reuse_port(&mut self, reuse: bool) -> &mut Self {
        self.reuse_port = reuse;
        self
    }

    /// The largest message that is received, in bytes without its prefix, both as it comes and when
    /// it is decompressed. Default 4 MiB; a larger one ends its call with RESOURCE_EXHAUSTED, and
    /// no more of it than this is ever held.
    pub fn max_receive_message_size(&mut self, bytes: usize) -> &mut Self {
        self.config.max_message_size = bytes;
        self.rules.max_receive_size = bytes;
        self
    }

    /// The largest message that is sent, in bytes before compression. Unlimited by default; a larger
    /// one ends its call with RESOURCE_EXHAUSTED, and with the two sizes in the message.
    pub fn max_send_message_size(&mut self, bytes: usize) -> &mut Self {
        self.rules.max_send_size = bytes;
        self
    }

    /// Takes requests that are compressed with these encodings, and tells clients so. None by
    /// default: a compressed request then ends with UNIMPLEMENTED, and the client hears what there
    /// is.
    ///
    /// ```
    /// use turnstile::{Encoding, Server};
    ///
    /// // All for which a cargo feature is on.
    /// let server = Server::builder().accept_compressed(Encoding::ALL).bind("127.0.0.1:0")?;
    /// # drop(server);
    /// # Ok::<(), turnstile::Error>(())
    /// ```
    pub fn accept_compressed(&mut self, encodings: &[Encoding]) -> &mut Self {
        self.config.accepts = Encodings::of(encodings);
        self
    }

    /// Compresses replies, for clients that say they can read it. They are not by default. A
    /// service ([`Service::compress_replies`]), a method ([`Service::configure`]) and a call
    /// ([`Context::set_compression`](crate::Context::set_compression)) can have it otherwise, and
    /// single messages can do without
    /// ([`Writer::write_uncompressed`](crate::Writer::write_uncompressed)). Those that would not
    /// become smaller are sent as they are.
    ///
    /// The thread that sends compresses. That takes some milliseconds for each 100 KiB with gzip or
    /// deflate, and less than one with zstd: worth it where the network is slower than that.
    pub fn compress_replies(&mut self, encoding: impl Into<Option<Encoding>>) -> &mut Self {
        self.rules.compression = encoding.into();
        self
    }

    /// The largest request metadata, in bytes as RFC 9113 section 6.5.2 counts them: names, values
    /// and 32 for each entry. Default 16 KiB; more ends the call with RESOURCE_EXHAUSTED. Beyond
    /// 64 KiB the answer is HTTP's 431.
    pub fn max_metadata_size(&mut self, bytes: usize) -> &mut Self {
        self.config.max_metadata_size = bytes;
        self
    }

    /// How many calls a client may have at once on one connection. Unlimited by default.
    pub fn max_concurrent_streams(&mut self, streams: u32) -> &mut Self {
        self.config.max_concurrent_streams = Some(streams);
        self
    }

    /// How many bytes of one call's messages a client may send before the application takes them.
    /// Default 1 MiB, at most 2^31 - 1 (RFC 9113 section 6.9.1).
    pub fn stream_window(&mut self, bytes: u32) -> &mut Self {
        self.config.stream_window = bytes.min(MAX_WINDOW);
        self
    }

    /// The same for all calls of a connection together. Default 16 MiB. Keep it a multiple of the
    /// stream's: calls whose messages nobody takes hold on to their part of it.
    pub fn connection_window(&mut self, bytes: u32) -> &mut Self {
        self.config.connection_window = bytes.min(MAX_WINDOW);
        self
    }

    /// How long a new connection may take to begin with HTTP/2: its preface and its SETTINGS.
    /// Default 120 seconds.
    pub fn handshake_timeout(&mut self, timeout: Duration) -> &mut Self {
        self.config.timeouts.handshake = timeout;
        self
    }

    /// How long a client may take to answer the PING of a graceful shutdown. Default 20 seconds.
    /// After that, new calls are refused, and the connection is closed with its last call.
    pub fn goaway_timeout(&mut self, timeout: Duration) -> &mut Self {
        self.config.timeouts.goaway = timeout;
        self
    }

    /// How many calls of each method may wait. Default 1000; more end with RESOURCE_EXHAUSTED.
    ///
    /// This is for methods whose calls are requested, while nobody has requested one; and for
    /// blocking handlers, while no thread in [`Server::run`] is free. Each call of a blocking
    /// handler waits at least for a moment, so 0 counts as 1 for them, and one whose client has
    /// gone counts until a thread comes. Calls of async handlers begin at once and do not wait.
    pub fn max_waiting_calls(&mut self, calls: usize) -> &mut Self {
        self.max_waiting_calls = calls;
        self
    }

    /// Listens on `address`, besides those of [`listen`](Self::listen), and gives the server.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn bind(&mut self, address: &str) -> Result<Server> {
        self.listen(address).build()
    }

    /// Listens, and gives the server. Looking up host names blocks.
    ///
    /// # Errors
    /// An address that cannot be read, or listened on (in use, not allowed), with the address and
    /// the cause; a polling engine that does not start; no address at all; two services with one
    /// name, or a service and a registered method with one path; services that went to a server
    /// before.
    pub fn build(&mut self) -> Result<Server> {
        if self.addresses.is_empty() {
            let message = "the server has no address; give it one with Builder::listen";
            return Err(Error::config(message));
        }
        if self.has_given_services {
            let message = "this builder's services went to the server that it built, or tried to; \
                           make another builder, with services of its own";
            return Err(Error::config(message));
        }
        self.check_services()?;
        let iomgr = Iomgr::of_process()?;
        let run_queue = RunQueue::new(iomgr.clone());
        let served = self.served();
        let (methods, attachments) = self.take_services();
        attachments.iter().for_each(|it| it.on_build(served.clone()));
        let inner = Arc::new(Inner {
            iomgr: iomgr.clone(),
            config: Arc::new(self.config.clone()),
            methods,
            stats: stats::combine(&self.stats.0),
            monitor: self.channelz.as_ref().map(Channelz::monitor),
            run_queue,
            attachments,
            connections: Connections::default(),
        });
        let options = Listening {
            reuse_port: self.reuse_port,
            user_timeout: self.config.timeouts.user_timeout(),
        };
        let mut listeners = Vec::new();
        for text in &self.addresses {
            for address in ListenAddress::resolve(text)? {
                listeners.push(TcpListener::bind(&iomgr, &address, options, inner.clone())?);
            }
        }
        let addresses: Vec<_> = listeners.iter().map(|it| it.address().clone()).collect();
        for address in &addresses {
            let engine = iomgr.engine_name();
            tracing::info!(target: "turnstile::server", %address, engine, "listening");
        }
        inner.monitor.iter().for_each(|monitor| monitor.enter(&addresses));
        let _context = ExecCtx::enter();
        inner.connections.listen(listeners);
        Ok(Server { inner, addresses })
    }

    /// Each service and each path is there once, and each service could be made.
    fn check_services(&mut self) -> Result<()> {
        if let Some(error) = self.services.iter_mut().find_map(Service::take_error) {
            return Err(error);
        }
        let mut names = HashSet::new();
        let mut paths: HashSet<&str> = self.methods.iter().map(|it| it.method.name()).collect();
        for service in &self.services {
            if let Some(name) = service.names().iter().find(|name| !names.insert(**name)) {
                return Err(Error::config(format!(
                    "the service {name} was added twice; add each service once",
                )));
            }
            if let Some(path) = service.paths().find(|path| !paths.insert(path)) {
                return Err(Error::config(format!(
                    "the method {path} has a handler in the service {} and was registered or added \
                     besides; do one of the two",
                    service.name(),
                )));
            }
        }
        Ok(())
    }

    /// The services that clients find here; `None` if calls of any are taken.
    fn served(&self) -> Option<BTreeSet<String>> {
        if self.fallback.is_some() {
            return None;
        }
        let services = self.services.iter().flat_map(Service::names).map(ToString::to_string);
        let service_of =
            |path: &str| path.trim_start_matches('/').split('/').next().map(str::to_owned);
        let registered = self.methods.iter().filter_map(|it| service_of(it.method.name()));
        Some(services.chain(registered).collect())
    }

    /// Takes the services: their methods, and what wants to know of the server.
    fn take_services(&mut self) -> (Methods, Vec<Arc<dyn Attachment>>) {
        self.has_given_services = !self.services.is_empty() || self.fallback.is_some();
        let chain = &self.interceptors;
        let (mut handled, mut attachments) = (Vec::new(), Vec::new());
        for service in mem::take(&mut self.services) {
            let (methods, attached) = service.into_parts();
            handled.extend(methods.into_iter().map(|method| method.intercepted_by(chain)));
            attachments.extend(attached);
        }
        let fallback = self.fallback.take().and_then(|service| service.into_parts().0.pop());
        let fallback = fallback.map(|method| method.intercepted_by(chain));
        let methods = Methods::new(
            self.methods.clone(),
            handled,
            fallback,
            self.rules,
            self.max_waiting_calls,
        );
        (methods, attachments)
    }
}

/// What a server's calls are told to.
#[derive(Default)]
struct StatsList(Vec<Arc<dyn Stats>>);

impl fmt::Debug for StatsList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StatsList").field(&self.0.len()).finish()
    }
}

/// RFC 9113 section 6.9.1.
const MAX_WINDOW: u32 = (1 << 31) - 1;
