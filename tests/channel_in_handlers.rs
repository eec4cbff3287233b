//! Channels in handlers: the threads that serve are the client's, too.
//!
//! One test at a time, and in a process of their own, since any other wait does the channels' I/O too.

#[path = "channel/common.rs"]
#[allow(dead_code, reason = "the tests of channels use it all")]
mod common;
#[path = "raw/frame.rs"]
#[allow(dead_code, reason = "the tests of channels use it all")]
mod frame;
#[path = "channel/frames.rs"]
#[allow(dead_code, reason = "the tests of channels use it all")]
mod frames;

use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use turnstile::client::{Stub, blocking};
use turnstile::test_server::TestServer;
use turnstile::{
    CallOptions, Channel, ConnectivityState, Response, Server, Service, block_on, service,
};

use crate::common::{Caller, GREET};
use crate::frames::FrameServer;

async fn ready(channel: &Channel) {
    let mut state = channel.state(true);
    while state != ConnectivityState::Ready {
        state = channel.state_change(state).await;
    }
}

static ALONE: Mutex<()> = Mutex::new(());

/// Calls a server with one thread and this service, whose handler is the client of another.
fn ask(make: impl FnOnce(Channel) -> Service) {
    let _alone = ALONE.lock();
    let other = FrameServer::new();
    let service = make(Channel::connect(&other.address()).unwrap());
    thread::scope(|scope| {
        scope.spawn(|| other.accept().wait_for_end());
        let server = TestServer::start(scope, 1, Server::builder().add_service(service)).unwrap();
        let caller = Caller::to(&server.address());
        assert_eq!(caller.call("you", CallOptions::new()).unwrap(), "you");
    });
}

#[test]
fn a_thread_that_serves_async_handlers_does_the_io_of_their_channels() {
    ask(|channel| {
        service::Builder::new("test.Greeter", channel)
            .unary(GREET, |channel, name| async move {
                ready(&channel).await;
                Ok(Response::new(name.into_inner()))
            })
            .build()
    });
}

#[test]
fn a_blocking_handler_that_waits_does_the_io_of_its_channel() {
    ask(|channel| {
        service::Builder::new("test.Greeter", channel)
            .blocking_unary(GREET, |channel, name| {
                block_on(ready(channel));
                Ok(Response::new(name.into_inner()))
            })
            .build()
    });
}

/// Whoever calls waits for its own call alone.
#[test]
fn threads_that_serve_do_the_io_of_what_their_handlers_call_with_stubs() {
    let _alone = ALONE.lock();
    let inner = service::Builder::new("test.Greeter", ())
        .unary(GREET, |_, name| async move { Ok(Response::new(format!("Hello {}", *name))) })
        .build();
    thread::scope(|scope| {
        let inner = TestServer::start(scope, 1, Server::builder().add_service(inner)).unwrap();
        let stub = Stub::new(Channel::connect(&inner.address()).unwrap());
        let outer = service::Builder::new("test.Greeter", stub)
            .unary(GREET, |stub, name| async move { stub.unary(&GREET, name.into_inner()).await })
            .build();
        let outer = TestServer::start(scope, 1, Server::builder().add_service(outer)).unwrap();
        let channel = Channel::connect(&outer.address()).unwrap();
        let patience = CallOptions::new().timeout(Duration::from_secs(20));
        let stub = blocking::Stub::new(channel).with(patience);
        for _ in 0..20 {
            assert_eq!(*stub.unary(&GREET, "you".to_owned()).unwrap(), "Hello you");
        }
    });
}
