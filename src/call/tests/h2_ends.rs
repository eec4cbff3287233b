//! A client over HTTP/2: this library's own, whose stream the test uses, on a stream of bytes in
//! memory.

use super::duplex::{Wire, duplex};
use super::rpc::{End, Options, Peer, TestServer};
use crate::compression::{Encoding, Encodings};
use crate::iomgr::Deadline;
use crate::metadata::Metadata;
use crate::status::Status;
use crate::transport::h2::{ClientConfig, ClientTransport, Config, ServerTransport};
use crate::transport::{
    Answer, ClientStream, ClientTransport as _, Connected, GoAway, Message, Request, Transport as _,
};
use bytes::Bytes;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

pub(super) struct H2Ends {
    server: Arc<ServerTransport>,
    client: Arc<ClientTransport>,
    wire: Wire,
    encoding: Option<Encoding>,
    accepts: Encodings,
    call: Option<Box<dyn ClientStream>>,
    answer: Option<Answer>,
    end: Option<End>,
}

/// A client that asks its call.
struct Nobody;

impl Connected for Nobody {
    fn on_ready(&self) {}

    fn on_go_away(&self, _why: GoAway) {}

    fn on_closed(&self, _why: Status) {}
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

impl H2Ends {
    fn call(&mut self) -> &mut dyn ClientStream {
        &mut **self.call.as_mut().expect("the call has begun")
    }

    /// Takes in what has come, and keeps the answer.
    fn take_in(&mut self) {
        self.call().take_in(&mut context());
        if self.answer.is_none()
            && let Poll::Ready(answer) = self.call().poll_answer(&mut context())
        {
            self.answer = answer;
        }
    }
}

impl Peer for H2Ends {
    fn connect(server: &Arc<TestServer>, options: &Options) -> Self {
        let (client_end, server_end, wire) = duplex();
        let stream_window = u32::try_from(options.window).unwrap();
        let max_message_size = options.max_message_size;
        let accepts = Encodings::of(Encoding::ALL);
        let config = Config { stream_window, max_message_size, accepts, ..Config::default() };
        let (config, iomgr) = (Arc::new(config), server.iomgr.clone());
        let acceptor = server.clone();
        let end = ServerTransport::new(Box::new(server_end), 7, config, acceptor, iomgr, None);
        end.start();
        let config = Arc::new(ClientConfig { stream_window, ..ClientConfig::default() });
        let iomgr = server.iomgr.clone();
        let client = ClientTransport::new(Box::new(client_end), config, Arc::new(Nobody), iomgr);
        client.begin(Deadline::NONE);
        let known = |encoding: &&Encoding| {
            options.accepts.split(',').any(|name| name.trim() == encoding.name())
        };
        let accepts: Vec<_> = Encoding::ALL.iter().filter(known).copied().collect();
        Self {
            server: end,
            client,
            wire,
            encoding: options.requests,
            accepts: Encodings::of(&accepts),
            call: None,
            answer: None,
            end: None,
        }
    }

    /// The server does all I/O of the process.
    fn work(&mut self) {}

    fn activity(&self) -> usize {
        self.wire.activity()
    }

    fn start(&mut self, timeout: Option<Duration>) {
        let mut metadata = Metadata::new();
        metadata.insert("who", "a test").unwrap();
        self.call = Some(self.client.clone().start(Request {
            path: "/test.Test/Test".parse().unwrap(),
            authority: "test".parse().unwrap(),
            metadata,
            subtype: None,
            timeout,
            encoding: self.encoding,
            accepts: self.accepts,
        }));
    }

    fn begin_message(&mut self, message: Bytes) {
        let compressed = self.encoding.and_then(|encoding| encoding.compress(&message));
        let message =
            Message { compressed: compressed.is_some(), data: compressed.unwrap_or(message) };
        self.call().begin_message(message).unwrap();
    }

    fn poll_send(&mut self) -> Poll<bool> {
        self.take_in();
        self.call().poll_send_message(&mut context()).map(|result| result.is_ok())
    }

    fn half_close(&mut self) {
        // An error says that the call has ended.
        let _ = self.call().half_close();
    }

    fn cancel(&mut self) {
        self.call().cancel(Status::cancelled("the test is tired of it"));
    }

    fn poll_message(&mut self) -> Poll<Option<Bytes>> {
        self.take_in();
        match self.call().poll_message(&mut context()) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(Some(Message { compressed, data }))) => {
                let encoding = self.answer.as_ref().and_then(|answer| answer.encoding);
                let data = match (compressed, encoding) {
                    (false, _) => data,
                    (true, Some(encoding)) => encoding.decompress(&data, usize::MAX).unwrap(),
                    (true, None) => panic!("a message is compressed, and no encoding is named"),
                };
                Poll::Ready(Some(data))
            }
            Poll::Ready(Ok(None) | Err(_)) => self.call().poll_ended(&mut context()).map(|ended| {
                self.end = Some(End::Status(ended.status));
                None
            }),
        }
    }

    fn end(&mut self) -> Option<End> {
        self.end.clone()
    }

    fn initial_metadata(&mut self) -> Option<Metadata> {
        self.take_in();
        self.answer.as_ref().map(|answer| answer.metadata.clone())
    }

    fn abort(&mut self) {
        self.server.clone().abort();
    }

    fn vanish(&mut self) {
        self.wire.cut();
    }
}
