//! What a channel keeps alive, and what the application's code may do in its turns.

use super::{Channel, Config, ConnectivityState, Control};
use crate::client::backoff::BackoffRules;
use crate::client::blocking::Stub;
use crate::client::subchannel::Environment;
use crate::client::target::Resolver;
use crate::compression::Encodings;
use crate::iomgr::{Deadline, Iomgr, ListenAddress, PollsetSet, Sleep};
use crate::testing::CountingWaker;
use crate::{CallOptions, Code, CompletionQueue, MethodDescriptor, Server, Status, block_on};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

/// A server that is served by the waits of this thread.
fn server() -> Server {
    Server::builder().bind("127.0.0.1:0").unwrap()
}

fn channel_to(server: &Server) -> Channel {
    Channel::connect(&server.local_addr().unwrap().to_string()).unwrap()
}

async fn ready(channel: &Channel) {
    let mut state = channel.state(true);
    while state != ConnectivityState::Ready {
        state = channel.state_change(state).await;
        channel.state(true);
    }
}

fn until(channel: &Channel, is_so: impl Fn() -> bool) -> bool {
    let iomgr = channel.inner.control.iomgr().clone();
    wait_until(&iomgr, is_so)
}

fn wait_until(iomgr: &Arc<Iomgr>, is_so: impl Fn() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(5);
    while !is_so() && Instant::now() < end {
        let mut sleep = Sleep::until(iomgr, Instant::now() + Duration::from_millis(2));
        block_on(poll_fn(|context| sleep.poll(context)));
    }
    is_so()
}

#[test]
fn a_channel_that_is_dropped_leaves_nothing_behind() {
    let server = server();
    let channel = channel_to(&server);
    block_on(ready(&channel));
    let iomgr = channel.inner.control.iomgr().clone();
    let control = Arc::downgrade(&channel.inner.control);
    drop(channel);
    assert!(wait_until(&iomgr, || control.strong_count() == 0), "{}", control.strong_count());
}

#[test]
fn a_channel_that_is_dropped_while_it_tries_leaves_nothing_behind() {
    let channel = Channel::connect("ipv4:127.0.0.1:1").unwrap();
    channel.state(true);
    let failed = || channel.state(false) == ConnectivityState::TransientFailure;
    assert!(until(&channel, failed));
    let iomgr = channel.inner.control.iomgr().clone();
    let control = Arc::downgrade(&channel.inner.control);
    drop(channel);
    assert!(wait_until(&iomgr, || control.strong_count() == 0), "{}", control.strong_count());
}

#[test]
fn who_watches_a_channel_that_is_dropped_is_told() {
    let server = server();
    let channel = channel_to(&server);
    block_on(ready(&channel));
    let cq = CompletionQueue::<u32>::new();
    channel.watch_state(ConnectivityState::Ready, Deadline::NONE, &cq, 7).unwrap();
    drop(channel);
    let event = cq.next(Deadline::after(Duration::from_secs(5)));
    assert_eq!(event.map(|event| event.tag), Some(7));
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("a waker of the application's");
    }
}

#[test]
fn a_waker_that_panics_takes_no_other_and_not_its_channel_with_it() {
    let server = server();
    let channel = channel_to(&server);
    let (panics, counts) = (Waker::from(Arc::new(Panics)), CountingWaker::new());
    let mut first = pin!(channel.state_change(ConnectivityState::Idle));
    let mut second = pin!(channel.state_change(ConnectivityState::Idle));
    assert!(first.as_mut().poll(&mut Context::from_waker(&panics)).is_pending());
    assert!(second.as_mut().poll(&mut Context::from_waker(&counts.waker())).is_pending());
    channel.state(true);
    assert!(until(&channel, || counts.count() > 0));
    let ready = || channel.state(true) == ConnectivityState::Ready;
    assert!(until(&channel, ready), "{:?}", channel.state(false));
}

#[test]
fn a_backoff_for_ever_is_one() {
    for (initial, connect) in [(Duration::MAX, Duration::ZERO), (Duration::MAX, Duration::MAX)] {
        let builder = Channel::builder("ipv4:127.0.0.1:1");
        let channel = builder.backoff(initial, initial).connect_timeout(connect).build().unwrap();
        channel.state(true);
        let failed = || channel.state(false) == ConnectivityState::TransientFailure;
        assert!(until(&channel, failed));
        let why = channel.inner.control.picker.failure().unwrap();
        assert_eq!(why.code(), Code::Unavailable, "{why}");
    }
}

struct Broken;

impl Resolver for Broken {
    fn resolve(&mut self) -> Result<Vec<ListenAddress>, Status> {
        panic!("a resolver's");
    }
}

#[test]
fn a_call_that_waits_for_ready_ends_when_its_channel_has_panicked() {
    let (iomgr, config, backoff) =
        (Iomgr::of_process().unwrap(), Arc::default(), BackoffRules::default());
    let set = Arc::new(PollsetSet::new(&iomgr));
    let environment = Environment { iomgr, set, config, backoff };
    let control = Control::new("broken".to_owned(), Box::new(Broken), environment);
    let (authority, options) = ("broken".parse().unwrap(), CallOptions::new());
    let channel =
        Channel::new(control, Config { authority, options, accepts: Encodings::default() });
    const GREET: MethodDescriptor<String, String> = MethodDescriptor::unary("/test.Greeter/Greet");
    let options = CallOptions::new().wait_for_ready(true).timeout(Duration::from_secs(5));
    let stub = Stub::new(channel).with(options);
    for _ in 0..2 {
        let status = stub.unary(&GREET, "you".to_owned()).unwrap_err();
        assert_eq!(status.code(), Code::Internal, "{status}");
    }
}
