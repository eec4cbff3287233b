//! How the services are, and who wants to know when that changes.

use super::ServingStatus;
use crate::sync::{Mutex, MutexGuard};
use slab::Slab;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// Services by name, with those who watch them.
#[derive(Debug)]
pub(super) struct Registry {
    /// A leaf lock: wakers are put in and taken out under it. They are cloned before it, and fired
    /// and dropped after it, since that may run code of the application's.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    services: BTreeMap<String, ServingStatus>,
    phase: Phase,
    /// Whoever waits for a change, of whatever service: changes are rare.
    watchers: Slab<Option<Waker>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// Everything is NOT_SERVING, and stays so.
    Draining,
    /// So it is, and nobody is to watch any longer.
    Closed,
}

impl Default for Registry {
    fn default() -> Self {
        let services = BTreeMap::from([(String::new(), ServingStatus::Serving)]);
        let state = State { services, phase: Phase::Open, watchers: Slab::new() };
        Self { state: Mutex::new(state) }
    }
}

impl State {
    /// Whatever it is told to be, a service does not serve once the drain has begun.
    fn insert(&mut self, service: &str, status: ServingStatus) {
        let status = match self.phase {
            Phase::Open => status,
            Phase::Draining | Phase::Closed => ServingStatus::NotServing,
        };
        self.services.insert(service.to_owned(), status);
    }
}

impl Registry {
    pub(super) fn set(&self, service: &str, status: ServingStatus) {
        let mut state = self.state.lock();
        state.insert(service, status);
        tell(state);
    }

    pub(super) fn set_unless_known(&self, service: &str) {
        let mut state = self.state.lock();
        if !state.services.contains_key(service) {
            state.insert(service, ServingStatus::Serving);
            tell(state);
        }
    }

    pub(super) fn clear(&self, service: &str) {
        let mut state = self.state.lock();
        state.services.remove(service);
        tell(state);
    }

    pub(super) fn drain(&self) {
        self.end(Phase::Draining);
    }

    /// Drains, and sends those home who watch, when they have been told.
    pub(super) fn close(&self) {
        self.end(Phase::Closed);
    }

    fn end(&self, phase: Phase) {
        let mut state = self.state.lock();
        if state.phase != Phase::Closed {
            state.phase = phase;
        }
        for status in state.services.values_mut() {
            *status = ServingStatus::NotServing;
        }
        tell(state);
    }

    pub(super) fn get(&self, service: &str) -> Option<ServingStatus> {
        self.state.lock().services.get(service).copied()
    }

    pub(super) fn all(&self) -> BTreeMap<String, ServingStatus> {
        self.state.lock().services.clone()
    }

    /// Begins to watch a service.
    pub(super) fn watch(self: &Arc<Self>, service: &str) -> Watcher {
        let key = self.state.lock().watchers.insert(None);
        Watcher { registry: self.clone(), service: service.to_owned(), key, told: None }
    }
}

/// Wakes all who watch, when the lock is gone.
fn tell(mut state: MutexGuard<'_, State>) {
    let wakers: Vec<Waker> =
        state.watchers.iter_mut().filter_map(|(_, waker)| mem::take(waker)).collect();
    drop(state);
    wakers.into_iter().for_each(Waker::wake);
}

/// One who watches a service.
#[derive(Debug)]
pub(super) struct Watcher {
    registry: Arc<Registry>,
    service: String,
    /// Where the waker is among the registry's watchers.
    key: usize,
    /// What was told last, if anything was: `Some(None)` is that the service is not known.
    told: Option<Option<ServingStatus>>,
}

impl Watcher {
    /// How the service is, first at once and then whenever it has changed. The outer `None` is that
    /// there is nothing more to watch.
    pub(super) async fn changed(&mut self) -> Option<Option<ServingStatus>> {
        poll_fn(|context| self.poll_changed(context)).await
    }

    fn poll_changed(&mut self, context: &Context<'_>) -> Poll<Option<Option<ServingStatus>>> {
        let mut waker = Some(context.waker().clone());
        let polled = self.poll_under_lock(&mut waker);
        drop(waker);
        polled
    }

    /// Puts the waker in, and gives the one before it, if it is to wait.
    fn poll_under_lock(
        &mut self,
        waker: &mut Option<Waker>,
    ) -> Poll<Option<Option<ServingStatus>>> {
        let mut state = self.registry.state.lock();
        let now = state.services.get(&self.service).copied();
        if self.told != Some(now) {
            self.told = Some(now);
            return Poll::Ready(Some(now));
        }
        if state.phase == Phase::Closed {
            return Poll::Ready(None);
        }
        mem::swap(&mut state.watchers[self.key], waker);
        Poll::Pending
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let waker = self.registry.state.lock().watchers.try_remove(self.key);
        drop(waker);
    }
}
