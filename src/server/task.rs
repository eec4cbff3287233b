//! A call's handler on its way: a future that is polled whenever it is woken, by any thread in
//! `run`.

use super::handling::{Handling, drop_caught};
use super::run_queue::{Job, Live, RunQueue};
use crate::call::Owner;
use crate::iomgr::Turn;
use crate::service::HandlerFuture;
use crate::sync::Mutex;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use tracing::Span;

/// An async handler's future, and the call that it is for.
pub(super) struct Task {
    /// One thread at a time polls.
    turn: Turn,
    /// Locked by the thread that has the turn, to take it out and put it back: the future is polled
    /// with no lock held. `None` while that lasts, and at the end.
    running: Mutex<Option<Running>>,
    owner: Owner,
    queue: Arc<RunQueue>,
    span: Span,
}

struct Running {
    handling: Handling,
    /// Ends with the handling, which may be long before the last waker of the task is dropped.
    _live: Live,
}

impl Task {
    /// The future is polled, and dropped, in the span.
    pub(super) fn new(
        future: HandlerFuture,
        owner: Owner,
        queue: Arc<RunQueue>,
        live: Live,
        span: Span,
    ) -> Arc<Self> {
        let running = Mutex::new(Some(Running { handling: Handling::new(future), _live: live }));
        Arc::new(Self { turn: Turn::new(), running, owner, queue, span })
    }

    /// Polls the future, and ends the call if it is ready.
    pub(super) fn run(self: Arc<Self>) {
        if !self.turn.begin() {
            return;
        }
        let running = self.running.lock().take();
        let Some(mut running) = running else { return self.turn.close() };
        let (waker, call) = (Waker::from(self.clone()), self.owner.core());
        let context = &mut Context::from_waker(&waker);
        match self.span.in_scope(|| running.handling.poll(call, context)) {
            Poll::Pending => self.park(running),
            Poll::Ready(reply) => {
                if let Some(reply) = reply {
                    call.finish(reply);
                }
                self.turn.close();
                self.span.in_scope(|| drop_caught(running.handling, call));
            }
        }
    }

    fn park(self: &Arc<Self>, running: Running) {
        *self.running.lock() = Some(running);
        if !self.turn.end() {
            // It was woken meanwhile; others come first.
            self.turn.end_notified();
            self.queue.push(Job::Poll(self.clone()));
        }
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if self.turn.notify_once() {
            let queue = self.queue.clone();
            queue.push(Job::Poll(self));
        }
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.clone().wake();
    }
}
