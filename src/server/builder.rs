//! How a server is described before it listens.

use super::methods::{Method, Payload, Registered};
use crate::call::MessageRules;
use crate::codec::{Codec, Raw};
use crate::compression::{Encoding, Encodings};
use crate::iomgr::Preferences;
use crate::monitor::Channelz;
use crate::service::{
    self, Chain, Interceptor, MethodConfig, MethodDescriptor, Service, Streaming, Writer,
};
use crate::stats::Stats;
use crate::status::Status;
use crate::transport::h2::Config;
use bytes::Bytes;
use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Describes a [`Server`](crate::Server). Made by [`Server::builder`](crate::Server::builder).
///
/// Services, then what differs from the defaults, then where to listen. Nothing happens before
/// [`bind`](Self::bind) or [`build`](Self::build), and no other method blocks.
///
/// ```
/// use std::time::Duration;
/// use turnstile::{Server, health};
/// # fn greeter() -> turnstile::Service {
/// #     turnstile::service::Builder::new("demo.Greeter", ()).build()
/// # }
///
/// let (_reporter, health) = health::service();
/// let server = Server::builder()
///     .add_service(greeter()) // such as greeter::server(MyGreeter), of generated code
///     .add_service(health)
///     .max_receive_message_size(1 << 20)
///     .max_connection_age(Duration::from_secs(3600))
///     .listen("127.0.0.1:0")
///     .listen("[::1]:0")
///     .build()?;
/// assert_eq!(server.addresses().len(), 2);
/// # Ok::<(), turnstile::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a server listens when it is built"]
pub struct Builder {
    pub(super) listeners: Vec<Listen>,
    pub(super) methods: Vec<Registered>,
    pub(super) services: Vec<Service>,
    pub(super) fallback: Option<Service>,
    /// The services and the fallback belong to a server already.
    pub(super) has_given_services: bool,
    pub(super) interceptors: Chain,
    pub(super) stats: StatsList,
    pub(super) channelz: Option<Channelz>,
    pub(super) config: Config,
    pub(super) rules: MessageRules,
    pub(super) reuse_port: bool,
    pub(super) engine: Option<Preferences>,
    pub(super) max_waiting_calls: usize,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            listeners: Vec::new(),
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
            engine: None,
            max_waiting_calls: 1000,
        }
    }

    /// Adds a service, whose calls the threads in [`Server::run`](crate::Server::run) handle.
    /// Services of all styles may be added side by side, and beside registered methods.
    ///
    /// Two services of one name, or one that could not be made, are errors of
    /// [`build`](Self::build).
    ///
    /// ```
    /// use turnstile::{MethodDescriptor, Response, Server, service};
    ///
    /// const GREET: MethodDescriptor<String, String> = MethodDescriptor::unary("/demo.Greeter/Greet");
    ///
    /// // By hand; with a .proto file it is `greeter::server(MyGreeter)`.
    /// let greeter = service::Builder::new("demo.Greeter", ())
    ///     .unary(GREET, |_, name| async move { Ok(Response::new(format!("Hello {}", *name))) })
    ///     .build();
    /// let server = Server::builder().add_service(greeter).bind("127.0.0.1:0")?;
    /// # drop(server);
    /// # Ok::<(), turnstile::Error>(())
    /// ```
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
        Fut: Future<Output = Result<(), Status>> + Send + 'static,
    {
        const ANY: MethodDescriptor<Bytes, Bytes, Raw> = MethodDescriptor::bidi_streaming("/*/*");
        let service = service::Builder::new("*", ())
            .bidi_streaming(ANY, move |_, requests, replies| handler(requests, replies));
        self.fallback = Some(service.build());
        self
    }

    /// Registers a method by its descriptor, as [`register_method`](Self::register_method) or
    /// [`register_unary`](Self::register_unary) would. These know no codec; here, a call whose
    /// content type says that its messages are not what the codec reads is answered with
    /// UNIMPLEMENTED.
    pub fn register<Req, Res, C>(&mut self, method: &MethodDescriptor<Req, Res, C>) -> Method
    where
        C: Codec<Req> + Codec<Res>,
    {
        let has_one = method.kind().has_one_request();
        let payload = if has_one { Payload::OnlyMessage } else { Payload::None };
        self.register_as(method.path(), payload, <C as Codec<Req>>::SUBTYPE)
    }

    /// Registers a method, whose calls can then be requested by themselves, for those who serve on
    /// completion queues ([`request_registered_call`](crate::Server::request_registered_call)). The
    /// name is the request's path: `/package.Service/Method`. It is no pattern: a `*` in it stands
    /// for itself. Registering a name twice gives the same method, as it was registered last.
    ///
    /// What its messages are encoded as, the client says
    /// ([`Call::content_subtype`](crate::Call::content_subtype)).
    ///
    /// A name that no request can have as its path is an error of [`build`](Self::build).
    pub fn register_method(&mut self, name: &str) -> Method {
        self.register_as(name, Payload::None, "")
    }

    /// Registers a method with one request message, which its calls come with
    /// ([`Event::take_message`](crate::Event::take_message)). A call comes when the client has sent
    /// its message and has said that it was the last; one with more or fewer is answered with
    /// UNIMPLEMENTED, as gRPC's status code document has it.
    pub fn register_unary(&mut self, name: &str) -> Method {
        self.register_as(name, Payload::OnlyMessage, "")
    }

    fn register_as(&mut self, name: &str, payload: Payload, subtype: &'static str) -> Method {
        if let Some(known) = self.methods.iter_mut().find(|it| it.method.name() == name) {
            (known.payload, known.subtype) = (payload, subtype);
            return known.method.clone();
        }
        let method = Method::new(1 + self.methods.len(), name);
        let config = MethodConfig::default();
        self.methods.push(Registered { method: method.clone(), payload, subtype, config });
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
    ///
    /// The file of a UNIX socket is removed when the server stops listening. One that a dead program
    /// has left is replaced.
    pub fn listen(&mut self, address: &str) -> &mut Self {
        self.listeners.push(Listen::At(address.to_owned()));
        self
    }

    /// Adds a socket that listens already: a [`TcpListener`](std::net::TcpListener) or
    /// [`UnixListener`](std::os::unix::net::UnixListener) of std, or what the service manager has
    /// opened (socket activation). Clients that have connected to it before are served too.
    ///
    /// The server closes the socket when it stops listening, and leaves the file of a UNIX socket
    /// where it is, since that belongs to whoever has bound it. Other copies of the socket, here or
    /// in another process, still listen then. All copies become non-blocking, and
    /// [`reuse_port`](Self::reuse_port) is not for this one.
    ///
    /// A socket that streams cannot be accepted from makes [`build`](Self::build) fail.
    ///
    /// ```
    /// use std::net::TcpListener;
    /// use turnstile::Server;
    ///
    /// let socket = TcpListener::bind("127.0.0.1:0")?;
    /// let address = socket.local_addr()?;
    /// // Whoever is told the address can connect from here on.
    /// let server = Server::builder().listen_on(socket).build()?;
    /// assert_eq!(server.local_addr(), Some(address));
    /// # Ok::<(), turnstile::Error>(())
    /// ```
    pub fn listen_on(&mut self, socket: impl Into<OwnedFd>) -> &mut Self {
        self.listeners.push(Listen::On(socket.into()));
        self
    }

    /// Whether it has been told where to listen.
    pub(super) fn listens_somewhere(&self) -> bool {
        !self.listeners.is_empty()
    }

    /// Lets other sockets listen on the same ports (SO_REUSEPORT). Off by default, so that a port
    /// in use is an error.
    pub fn reuse_port(&mut self, reuse: bool) -> &mut Self {
        self.reuse_port = reuse;
        self
    }

    /// Chooses the polling engine: names of engines with commas between them, of which the first that
    /// works is taken; `all` stands for the default order. It prevails over the environment variable
    /// `GRPC_POLL_STRATEGY`. See [`engine_name`](crate::engine_name) for the engines.
    ///
    /// A process has one engine, which starts with its first queue or server. Another one that runs
    /// already, or a name that is not known, is an error of [`build`](Self::build).
    ///
    /// ```
    /// use turnstile::Server;
    ///
    /// let server = Server::builder().polling_engine("epoll1, all").bind("127.0.0.1:0")?;
    /// assert_eq!(turnstile::engine_name()?, "epoll1");
    /// # Ok::<(), turnstile::Error>(())
    /// ```
    pub fn polling_engine(&mut self, preferences: &str) -> &mut Self {
        self.engine = Some(Preferences::of_program(preferences));
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
}

/// Where a server will listen.
#[derive(Debug)]
pub(super) enum Listen {
    At(String),
    /// A socket that listens already.
    On(OwnedFd),
}

/// What a server's calls are told to.
#[derive(Default)]
pub(super) struct StatsList(pub(super) Vec<Arc<dyn Stats>>);

impl fmt::Debug for StatsList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StatsList").field(&self.0.len()).finish()
    }
}
