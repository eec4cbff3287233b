//! A future that stops a server.
//!
//! It is a closure of the I/O manager's: when it is woken, the next thread that does I/O polls it,
//! whatever that thread waits for. So it is noticed also while every thread of its server is in a
//! blocking handler that waits for its client.

use super::Inner;
use crate::iomgr::{Iomgr, Run, Turn};
use crate::panics::{Panic, catch};
use crate::sync::Mutex;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

pub(super) struct Stop {
    /// One thread at a time polls.
    turn: Turn,
    iomgr: Arc<Iomgr>,
    grace: Duration,
    /// Locked to take the future out and put it back: it is polled and dropped with no lock held.
    state: Mutex<State>,
}

type Future = Pin<Box<dyn std::future::Future<Output = ()> + Send>>;

#[derive(Default)]
enum State {
    Waiting(Waiting),
    /// The thread that has the turn has the future.
    #[default]
    Polled,
    /// Nobody is interested any more; what the future has panicked with.
    Over(Option<Panic>),
}

/// Wakers may be kept for long, and this goes before them.
struct Waiting {
    future: Future,
    server: Arc<Inner>,
}

impl Stop {
    pub(super) fn new(server: Arc<Inner>, future: Future, grace: Duration) -> Arc<Self> {
        let iomgr = server.iomgr.clone();
        let state = Mutex::new(State::Waiting(Waiting { future, server }));
        Arc::new(Self { turn: Turn::new(), iomgr, grace, state })
    }

    /// Lets go of the future. Gives what it has panicked with.
    pub(super) fn end(&self) -> Option<Panic> {
        self.turn.close();
        let before = mem::replace(&mut *self.state.lock(), State::Over(None));
        match before {
            State::Over(panic) => panic,
            State::Waiting(_) | State::Polled => None,
        }
    }

    /// Polls the future, and drops it when it is ready.
    fn poll(self: &Arc<Self>, mut future: Future) -> Result<Option<Future>, Panic> {
        let waker = Waker::from(self.clone());
        catch(move || match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => Some(future),
            Poll::Ready(()) => None,
        })
    }

    fn park(self: Arc<Self>, waiting: Waiting) {
        let mut state = self.state.lock();
        if matches!(*state, State::Over(_)) {
            drop(state);
            return drop(waiting);
        }
        *state = State::Waiting(waiting);
        drop(state);
        if !self.turn.end() {
            // It was woken meanwhile; others come first.
            self.turn.end_notified();
            self.iomgr.clone().put_off(self);
        }
    }
}

impl Run for Stop {
    fn run(self: Arc<Self>) {
        if !self.turn.begin() {
            return;
        }
        let state = mem::take(&mut *self.state.lock());
        let State::Waiting(Waiting { future, server }) = state else { return };
        let panic = match self.poll(future) {
            Ok(Some(future)) => return self.park(Waiting { future, server }),
            Ok(None) => None,
            Err(panic) => Some(panic),
        };
        self.turn.close();
        // Before the shutdown, at the end of which somebody asks for it.
        *self.state.lock() = State::Over(panic);
        server.shut_down_within(self.grace);
    }
}

impl Wake for Stop {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    /// Only enqueues.
    fn wake_by_ref(self: &Arc<Self>) {
        if self.turn.notify_once() {
            self.iomgr.submit(self.clone());
        }
    }
}
