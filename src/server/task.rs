//! A call's handler on its way: a future that is polled whenever it is woken, by any thread in
//! `run`.

use super::run_queue::{Job, Live, RunQueue};
use crate::call::{CallCore, Over, Owner, Reply};
use crate::iomgr::Turn;
use crate::panics::{Panic, catch};
use crate::service::HandlerFuture;
use crate::status::Status;
use crate::sync::Mutex;
use std::pin::Pin;
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
    future: HandlerFuture,
    /// What wakes this task when the call is over, once it had to wait.
    over: Option<Over>,
    /// Ends with the future, which may be long before the last waker of the task is dropped.
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
        let running = Mutex::new(Some(Running { future, over: None, _live: live }));
        Arc::new(Self { turn: Turn::new(), running, owner, queue, span })
    }

    /// Polls the future, and ends the call if it is ready.
    pub(super) fn run(self: Arc<Self>) {
        if !self.turn.begin() {
            return;
        }
        let running = self.running.lock().take();
        let Some(mut running) = running else { return self.turn.close() };
        let waker = Waker::from(self.clone());
        match self.poll(&mut running, &mut Context::from_waker(&waker)) {
            Progress::Waiting => self.park(running),
            Progress::Ended(reply) => {
                let call = self.owner.core();
                if let Some(reply) = reply {
                    call.finish(reply);
                }
                self.turn.close();
                self.span.in_scope(|| drop_caught(running.future, call));
            }
        }
    }

    fn poll(&self, running: &mut Running, context: &mut Context<'_>) -> Progress {
        let call = self.owner.core();
        let mut poll_handler = |context: &mut Context<'_>| {
            self.span.in_scope(|| poll_caught(&mut running.future, call, context))
        };
        if let Poll::Ready(reply) = poll_handler(context) {
            return Progress::Ended(Some(reply));
        }
        // Most handlers are ready at once, and need not look out for their call's end.
        let is_over = match running.over {
            Some(_) => call.is_over(),
            None => Pin::new(running.over.insert(call.over())).poll(context).is_ready(),
        };
        if !is_over {
            return Progress::Waiting;
        }
        // The handler can see the end now, and has this one chance to do something about it.
        match poll_handler(context) {
            Poll::Ready(reply) => Progress::Ended(Some(reply)),
            Poll::Pending => Progress::Ended(None),
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

/// How a poll ended.
enum Progress {
    Waiting,
    /// With a reply, unless the call was over before there was one.
    Ended(Option<Reply>),
}

/// Polls a handler's future. A panic is an answer too.
pub(super) fn poll_caught(
    future: &mut HandlerFuture,
    call: &CallCore,
    context: &mut Context<'_>,
) -> Poll<Reply> {
    catch(|| future.as_mut().poll(context))
        .unwrap_or_else(|panic| Poll::Ready(panicked(call, &panic)))
}

/// What a call's handler runs in: nothing, unless somebody wants it.
pub(super) fn span_of(call: &CallCore) -> Span {
    let head = call.head();
    tracing::debug_span!(
        target: "turnstile::call",
        parent: None,
        "call",
        method = head.method(),
        peer = %head.peer,
    )
}

/// Drops what a handler leaves, which may panic as well.
pub(super) fn drop_caught<T>(leftover: T, call: &CallCore) {
    if let Err(panic) = catch(|| drop(leftover)) {
        panicked(call, &panic);
    }
}

/// Says that a handler panicked: to the log in full, and to the client that it did.
pub(super) fn panicked(call: &CallCore, panic: &Panic) -> Reply {
    let method = call.head().method();
    tracing::error!(target: "turnstile::call", method, %panic, "a handler panicked");
    Reply::from(Status::internal("the handler panicked; the server's log says more"))
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
