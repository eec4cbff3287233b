//! This library's own client, as a call that is polled, over either transport.

use super::duplex::{Wire, duplex};
use super::rpc::{End, Options, Peer, TestServer};
use crate::call::{ClientCore, ClientOwner, MessageRules, Outcome, Outgoing};
use crate::compression::{Encoding, Encodings};
use crate::cq::CompletionQueue;
use crate::iomgr::Deadline;
use crate::metadata::Metadata;
use crate::status::Status;
use crate::transport::h2::{self, ServerTransport};
use crate::transport::{
    ClientStream, ClientTransport, Connected, GoAway, Request, Transport as _, inproc,
};
use bytes::Bytes;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// A transport with both its ends.
pub(super) trait Link: Sized {
    fn connect(
        server: &Arc<TestServer>,
        server_config: h2::Config,
        config: h2::ClientConfig,
    ) -> Self;

    /// The client's end.
    fn transport(&self) -> Arc<dyn ClientTransport>;

    /// Changes with everything that moves between the two ends by work.
    fn activity(&self) -> usize;

    /// The server's end is told to go away when it can.
    fn go_away(&self);

    /// The server's end is aborted.
    fn abort(&self);

    /// The client's end is gone.
    fn cut(&self);
}

/// HTTP/2 on a stream of bytes in memory.
pub(super) struct H2Link {
    server: Arc<ServerTransport>,
    client: Arc<h2::ClientTransport>,
    wire: Wire,
}

/// A client that asks its call.
struct Nobody;

impl Connected for Nobody {
    fn on_ready(&self) {}

    fn on_go_away(&self, _why: GoAway) {}

    fn on_closed(&self, _why: Status) {}
}

impl Link for H2Link {
    fn connect(
        server: &Arc<TestServer>,
        server_config: h2::Config,
        config: h2::ClientConfig,
    ) -> Self {
        let (client_end, server_end, wire) = duplex();
        let (acceptor, iomgr) = (server.clone(), server.iomgr.clone());
        let server_config = Arc::new(server_config);
        let server_end = Box::new(server_end);
        let server =
            ServerTransport::new(server_end, 7, server_config, acceptor, iomgr.clone(), None);
        server.start();
        let (config, client_end) = (Arc::new(config), Box::new(client_end));
        let client = h2::ClientTransport::new(client_end, config, Arc::new(Nobody), iomgr);
        client.begin(Deadline::NONE);
        Self { server, client, wire }
    }

    fn transport(&self) -> Arc<dyn ClientTransport> {
        self.client.clone()
    }

    fn activity(&self) -> usize {
        self.wire.activity()
    }

    fn go_away(&self) {
        self.server.clone().go_away();
    }

    fn abort(&self) {
        self.server.clone().abort();
    }

    fn cut(&self) {
        self.wire.cut();
    }
}

/// Within the process.
pub(super) struct InprocLink(Arc<inproc::Channel>);

impl Link for InprocLink {
    fn connect(
        server: &Arc<TestServer>,
        server_config: h2::Config,
        config: h2::ClientConfig,
    ) -> Self {
        let config = inproc::Config { server: Arc::new(server_config), client: Arc::new(config) };
        Self(inproc::Channel::new(7, config, server.clone(), server.iomgr.clone(), None))
    }

    fn transport(&self) -> Arc<dyn ClientTransport> {
        self.0.clone()
    }

    fn activity(&self) -> usize {
        0
    }

    fn go_away(&self) {
        self.0.clone().go_away();
    }

    fn abort(&self) {
        self.0.clone().abort();
    }

    /// Nothing is lost within a process: a client that is gone has closed the channel.
    fn cut(&self) {
        self.0.clone().abort();
    }
}

/// A queue of the client's.
pub(super) type Queue<T = &'static str> = CompletionQueue<T, Outcome>;

/// A client with its call.
pub(super) struct Ends<L: Link> {
    pub(super) link: L,
    server: Arc<TestServer>,
    rules: MessageRules,
    accepts: Encodings,
    deadline: Option<Instant>,
    call: Option<ClientOwner>,
    message: Option<Outgoing>,
    metadata: Option<Metadata>,
    end: Option<End>,
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

impl<L: Link> Ends<L> {
    pub(super) fn call(&self) -> &Arc<ClientCore> {
        self.call.as_ref().expect("the call has begun").core()
    }

    /// A queue for its batches.
    pub(super) fn queue<T: Send + 'static>(&self) -> Queue<T> {
        Queue::on(self.server.iomgr.clone())
    }

    /// The client lets go of its call.
    pub(super) fn drop_call(&mut self) {
        self.call = None;
    }

    /// What the calls that begin from now on compress their messages with.
    #[cfg(any(feature = "gzip", feature = "deflate", feature = "zstd"))]
    pub(super) fn compress_with(&mut self, encoding: Encoding) {
        self.rules.compression = Some(encoding);
    }

    /// A stream besides that of the test.
    pub(super) fn stream(
        &self,
        metadata: Metadata,
        timeout: Option<Duration>,
    ) -> Box<dyn ClientStream> {
        self.link.transport().start(Request {
            path: "/test.Test/Test".parse().unwrap(),
            authority: "test".parse().unwrap(),
            metadata,
            subtype: None,
            timeout,
            encoding: self.rules.compression,
            accepts: self.accepts,
        })
    }

    /// A call besides that of the test, with this metadata.
    pub(super) fn call_with(&self, metadata: Metadata, timeout: Option<Duration>) -> ClientOwner {
        let stream = self.stream(metadata, timeout);
        let iomgr = self.server.iomgr.clone();
        let call = ClientCore::begun(stream, iomgr, self.deadline, self.rules);
        call.core().begin();
        call
    }
}

impl<L: Link> Peer for Ends<L> {
    fn connect(server: &Arc<TestServer>, options: &Options) -> Self {
        let stream_window = u32::try_from(options.window).unwrap();
        let server_config = h2::Config {
            stream_window,
            max_message_size: options.max_message_size,
            accepts: Encodings::of(options.server_accepts),
            ..h2::Config::default()
        };
        let config = h2::ClientConfig { stream_window, ..h2::ClientConfig::default() };
        let known = |encoding: &&Encoding| {
            options.accepts.split(',').any(|name| name.trim() == encoding.name())
        };
        let accepts: Vec<_> = Encoding::ALL.iter().filter(known).copied().collect();
        Self {
            link: L::connect(server, server_config, config),
            server: server.clone(),
            rules: MessageRules { compression: options.requests, ..options.client_rules },
            accepts: Encodings::of(&accepts),
            deadline: options.client_timeout.map(|timeout| Instant::now() + timeout),
            call: None,
            message: None,
            metadata: None,
            end: None,
        }
    }

    /// The server does all I/O of the process.
    fn work(&mut self) {}

    fn activity(&self) -> usize {
        self.link.activity()
    }

    fn start(&mut self, timeout: Option<Duration>) {
        let mut metadata = Metadata::new();
        metadata.insert("who", "a test").unwrap();
        self.call = Some(self.call_with(metadata, timeout));
    }

    fn begin_message(&mut self, message: Bytes) {
        self.message = Some(self.call().pack(message));
    }

    fn poll_send(&mut self) -> Poll<bool> {
        let call = self.call().clone();
        call.poll_send_message(&mut self.message, &mut context()).map(|result| result.is_ok())
    }

    fn half_close(&mut self) {
        self.call().half_close();
    }

    fn cancel(&mut self) {
        self.call().cancel(Status::cancelled("the test is tired of it"));
    }

    fn poll_message(&mut self) -> Poll<Option<Bytes>> {
        let Some(call) = self.call.as_ref().map(ClientOwner::core) else {
            return Poll::Ready(None);
        };
        match call.poll_message(&mut context()) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(Some(message))) => Poll::Ready(Some(message)),
            Poll::Ready(Ok(None)) => call.poll_status(&mut context()).map(|status| {
                self.end = Some(End::Status(status));
                None
            }),
            Poll::Ready(Err(status)) => {
                panic!("the status tells of errors, not a message: {status}")
            }
        }
    }

    fn end(&mut self) -> Option<End> {
        self.end.clone()
    }

    fn initial_metadata(&mut self) -> Option<Metadata> {
        if self.metadata.is_none()
            && let Poll::Ready(metadata) = self.call().poll_initial_metadata(&mut context())
        {
            // A call that ends without any has nothing of the protocol's in it either.
            let has_come = metadata.hidden("content-type").next().is_some();
            self.metadata = has_come.then_some(metadata);
        }
        self.metadata.clone()
    }

    fn abort(&mut self) {
        self.link.abort();
    }

    fn vanish(&mut self) {
        self.link.cut();
    }
}
