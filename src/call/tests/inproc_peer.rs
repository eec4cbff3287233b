//! A client in the same process.

use super::rpc::{End, Options, Peer, TestServer};
use crate::iomgr::Peer as Address;
use crate::metadata::Metadata;
use crate::status::Status;
use crate::transport::inproc::{Channel, ClientStream, Config};
use crate::transport::{Head, Message, Transport as _};
use bytes::Bytes;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

pub(super) struct InprocPeer {
    channel: Arc<Channel>,
    call: Option<ClientStream>,
}

impl InprocPeer {
    fn call(&mut self) -> &mut ClientStream {
        self.call.as_mut().expect("the call has begun")
    }
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

impl Peer for InprocPeer {
    fn connect(server: &Arc<TestServer>, options: &Options) -> Self {
        let config = Config { window: options.window, max_message_size: options.max_message_size };
        let channel = Channel::new(7, config, server.clone(), server.iomgr.clone());
        Self { channel, call: None }
    }

    fn work(&mut self) {}

    fn activity(&self) -> usize {
        0
    }

    fn start(&mut self, timeout: Option<Duration>) {
        let mut metadata = Metadata::new();
        metadata.insert("who", "a test").unwrap();
        self.call = Some(self.channel.start(Head {
            path: http::uri::PathAndQuery::from_static("/test.Test/Test"),
            authority: None,
            metadata,
            subtype: None,
            timeout,
            encoding: None,
            peer: Arc::new(Address::in_process()),
        }));
    }

    fn begin_message(&mut self, data: Bytes) {
        self.call().begin_message(Message { compressed: false, data });
    }

    fn poll_send(&mut self) -> Poll<bool> {
        self.call().poll_send_message(&mut context()).map(|result| result.is_ok())
    }

    fn half_close(&mut self) {
        self.call().half_close();
    }

    fn cancel(&mut self) {
        self.call().cancel(Status::cancelled("the test is tired of it"));
    }

    fn poll_message(&mut self) -> Poll<Option<Bytes>> {
        let Some(call) = &mut self.call else { return Poll::Ready(None) };
        call.poll_message(&mut context()).map(|message| message.map(|message| message.data))
    }

    fn end(&mut self) -> Option<End> {
        let Some(call) = &mut self.call else { return Some(End::Broken) };
        match call.poll_status(&mut context()) {
            Poll::Ready(status) => Some(End::Status(status)),
            Poll::Pending => None,
        }
    }

    fn initial_metadata(&mut self) -> Option<Metadata> {
        match self.call().poll_initial_metadata(&mut context()) {
            Poll::Ready(metadata) => metadata,
            Poll::Pending => None,
        }
    }

    fn abort(&mut self) {
        self.channel.clone().abort();
    }

    fn vanish(&mut self) {
        self.call = None;
        self.channel.clone().go_away();
    }
}
