use super::registry::Registry;
use super::{ServingStatus, service};
use crate::service::Attachment as _;
use crate::testing::{CountingWaker, without_deadlock};
use ServingStatus::{NotServing, Serving};
use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

/// What a watcher says, with a waker that counts.
macro_rules! poll {
    ($watcher:expr, $waker:expr) => {
        pin!($watcher.changed()).poll(&mut Context::from_waker(&$waker.waker()))
    };
}

#[test]
fn the_server_and_its_services_serve_unless_somebody_says_otherwise() {
    let registry = Registry::default();
    registry.set("a.Sick", NotServing);
    let services = ["a.Sick", "a.Well"].map(str::to_owned);
    registry.on_build(Some(BTreeSet::from(services)));
    assert_eq!(registry.get(""), Some(Serving));
    assert_eq!(registry.get("a.Well"), Some(Serving));
    assert_eq!(registry.get("a.Sick"), Some(NotServing));
    assert_eq!(registry.get("a.Nobody"), None);
    assert_eq!(registry.all().len(), 3);
}

#[test]
fn a_watcher_is_told_at_once_and_then_of_each_change() {
    let (registry, waker) = (Arc::new(Registry::default()), CountingWaker::new());
    let mut watcher = registry.watch("a.B");
    assert_eq!(poll!(watcher, waker), Poll::Ready(Some(None)));
    assert!(poll!(watcher, waker).is_pending());
    registry.set("a.B", Serving);
    assert_eq!(waker.count(), 1);
    assert_eq!(poll!(watcher, waker), Poll::Ready(Some(Some(Serving))));
    // What changes nothing for it is not told.
    assert!(poll!(watcher, waker).is_pending());
    registry.set("a.C", Serving);
    registry.set("a.B", Serving);
    assert!(poll!(watcher, waker).is_pending());
    registry.clear("a.B");
    assert_eq!(poll!(watcher, waker), Poll::Ready(Some(None)));
}

#[test]
fn a_drain_is_told_and_cannot_be_undone() {
    let (registry, waker) = (Arc::new(Registry::default()), CountingWaker::new());
    let mut watcher = registry.watch("");
    assert_eq!(poll!(watcher, waker), Poll::Ready(Some(Some(Serving))));
    assert!(poll!(watcher, waker).is_pending());
    registry.drain();
    assert_eq!(waker.count(), 1);
    registry.set("", Serving);
    registry.set("a.New", Serving);
    assert_eq!((registry.get(""), registry.get("a.New")), (Some(NotServing), Some(NotServing)));
    assert_eq!(poll!(watcher, waker), Poll::Ready(Some(Some(NotServing))));
    assert!(poll!(watcher, waker).is_pending(), "a drain sends nobody home");
}

#[test]
fn services_that_become_known_in_a_drain_do_not_serve() {
    let (registry, waker) = (Arc::new(Registry::default()), CountingWaker::new());
    registry.drain();
    let mut watcher = registry.watch("a.B");
    assert_eq!(poll!(watcher, waker), Poll::Ready(Some(None)));
    assert!(poll!(watcher, waker).is_pending());
    registry.on_build(Some(BTreeSet::from(["a.B".to_owned()])));
    assert_eq!(registry.get("a.B"), Some(NotServing));
    assert_eq!(poll!(watcher, waker), Poll::Ready(Some(Some(NotServing))));
}

/// Like the waker of a task that has the registry.
struct UsesTheRegistry(Arc<Registry>);

impl Wake for UsesTheRegistry {
    fn wake(self: Arc<Self>) {
        assert_eq!(self.0.get(""), Some(Serving));
    }
}

impl Drop for UsesTheRegistry {
    fn drop(&mut self) {
        assert_eq!(self.0.get(""), Some(Serving));
    }
}

#[test]
fn a_waker_that_is_replaced_fired_or_dropped_may_use_the_registry() {
    without_deadlock(|| {
        let registry = Arc::new(Registry::default());
        let mut watcher = registry.watch("");
        let wakers = || Arc::strong_count(&registry) - 2;
        let waker = || Waker::from(Arc::new(UsesTheRegistry(registry.clone())));
        let mut poll = || pin!(watcher.changed()).poll(&mut Context::from_waker(&waker()));
        assert_eq!(poll(), Poll::Ready(Some(Some(Serving))));
        assert_eq!(wakers(), 0, "it is not kept");
        assert!(poll().is_pending());
        assert_eq!(wakers(), 1);
        assert!(poll().is_pending());
        assert_eq!(wakers(), 1, "the one before is dropped");
        registry.set("a.B", Serving);
        assert_eq!(wakers(), 0, "it is fired");
        assert!(poll().is_pending());
        drop(watcher);
        assert_eq!(Arc::strong_count(&registry), 1);
    });
}

#[test]
fn a_shutdown_tells_watchers_and_then_sends_them_home() {
    let (registry, waker) = (Arc::new(Registry::default()), CountingWaker::new());
    let mut watcher = registry.watch("");
    assert_eq!(poll!(watcher, waker), Poll::Ready(Some(Some(Serving))));
    assert!(poll!(watcher, waker).is_pending());
    registry.on_shutdown();
    registry.drain();
    assert_eq!(poll!(watcher, waker), Poll::Ready(Some(Some(NotServing))));
    assert_eq!(poll!(watcher, waker), Poll::Ready(None));
}

#[test]
fn a_watcher_that_goes_leaves_nothing() {
    let (registry, waker) = (Arc::new(Registry::default()), CountingWaker::new());
    let mut watcher = registry.watch("");
    let _ = poll!(watcher, waker);
    assert!(poll!(watcher, waker).is_pending());
    drop(watcher);
    registry.drain();
    assert_eq!(waker.count(), 0);
    assert!(waker.is_unused(), "the registry kept the waker");
}

#[test]
fn the_service_goes_by_its_standard_name() {
    assert_eq!(service().1.name(), "grpc.health.v1.Health");
}
