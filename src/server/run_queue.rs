//! What the threads in `run` have to do: calls to handle, and futures to poll.
//!
//! It is a completion queue like any other, so that a thread that waits for work is a thread that
//! polls. Async handlers are polled within a turn of the queue, and what they send leaves at its
//! end, in one write for each connection. A blocking handler is run after its turn, which others
//! finish: so it keeps nothing back but its thread.

use super::handled::{Handled, Waiting};
use super::handling::{Handling, drop_caught, panicked, span_of};
use super::task::Task;
use crate::call::{CallCore, NewCall, Outcome, Reply};
use crate::cq::sealed::Queue as _;
use crate::cq::{Complete, CompletionQueue, Turn, block_on};
use crate::iomgr::{Deadline, Iomgr, Pollset, TimerId};
use crate::panics::{catch, contained};
use crate::service::Method;
use crate::sync::{AtomicBool, AtomicUsize, Mutex, Ordering::SeqCst};
use bytes::Bytes;
use std::future::poll_fn;
use std::mem;
use std::sync::Arc;

/// Something for a thread in `run` to do.
pub(super) enum Job {
    /// A call has come.
    Handle(Waiting),
    /// A handler's future has been woken.
    Poll(Arc<Task>),
}

/// The jobs of one server.
pub(super) struct RunQueue {
    queue: CompletionQueue<Job, Outcome>,
    iomgr: Arc<Iomgr>,
    /// Calls that have come and whose handlers have not ended, and one more until the last
    /// connection has been closed. At 0 all is done.
    live: AtomicUsize,
    /// The last connection has been closed.
    is_closing: AtomicBool,
    /// What ends a shutdown that takes too long. A leaf lock.
    timers: Mutex<Vec<TimerId>>,
}

impl RunQueue {
    pub(super) fn new(iomgr: Arc<Iomgr>) -> Arc<Self> {
        Arc::new(Self {
            queue: CompletionQueue::on(iomgr.clone()),
            iomgr,
            live: AtomicUsize::new(1),
            is_closing: AtomicBool::new(false),
            timers: Mutex::default(),
        })
    }

    /// Of the threads in `run`.
    pub(super) fn pollset(&self) -> &Arc<Pollset> {
        self.queue.core().pollset()
    }

    #[cfg(all(test, turnstile_loom))]
    pub(super) fn iomgr(&self) -> &Arc<Iomgr> {
        &self.iomgr
    }

    /// A call has come for a handler.
    pub(super) fn handle(self: &Arc<Self>, handled: &Arc<Handled>, call: NewCall) {
        if let Some(waiting) = Waiting::begin(handled, call, Live::begin(self)) {
            self.push(Job::Handle(waiting));
        }
    }

    /// If the server is gone, or has ended, a job is of use to nobody, and dropped.
    pub(super) fn push(&self, job: Job) {
        let late = self.queue.core().push(job);
        drop(late);
    }

    /// The server is gone, and with it all who could do a job.
    pub(super) fn abandon(&self) {
        self.cancel_timers();
        self.queue.core().abandon();
    }

    fn cancel_timers(&self) {
        for timer in mem::take(&mut *self.timers.lock()) {
            self.iomgr.timer_cancel(timer);
        }
    }

    /// A handler has ended, or its call was given up, or the last connection was closed.
    fn one_ended(&self) {
        if self.live.fetch_sub(1, SeqCst) == 1 {
            self.cancel_timers();
            self.queue.shutdown();
        }
    }

    /// Remembers a timer to be cancelled when all is done.
    pub(super) fn keep_timer(&self, timer: TimerId) {
        self.timers.lock().push(timer);
    }

    /// Does what there is to do, until the server is shut down.
    pub(super) fn run(self: &Arc<Self>) {
        while let Some(turn) = self.queue.turn(Deadline::NONE) {
            if let Some(blocking) = self.take_turn(turn) {
                contained(LEFTOVER, || run_blocking(blocking));
            }
        }
    }

    /// Does what must not block. Ends with the first that may, or with the turn.
    fn take_turn(self: &Arc<Self>, turn: Turn<'_, Job, Outcome>) -> Option<Waiting> {
        for event in turn {
            match event.tag {
                Job::Handle(call) if call.handled().is_blocking() => return Some(call),
                Job::Handle(call) => contained(LEFTOVER, || self.start(call)),
                Job::Poll(task) => contained(LEFTOVER, || task.run()),
            };
        }
        None
    }

    /// Makes a task of a call and polls it for the first time.
    fn start(self: &Arc<Self>, mut waiting: Waiting) {
        let Some((live, NewCall { owner, message })) = waiting.end() else { return };
        let core = owner.core().clone();
        // It may have waited for a thread until its deadline.
        if core.expire() {
            return;
        }
        // Making the future runs the handler's own code already, for some handlers.
        let span = span_of(&core);
        let handle = || span.in_scope(|| waiting.handled().method().handle(core.clone(), message));
        match catch(handle) {
            Ok(future) => Task::new(future, owner, self.clone(), live, span).run(),
            Err(panic) => core.finish(panicked(&core, &panic)),
        }
    }
}

/// What may panic beside handlers, which are answered for.
const LEFTOVER: &str = "the drop of what a handler leaves";

/// Handles a call on this thread, for as long as that takes.
fn run_blocking(mut waiting: Waiting) {
    // What is named last is dropped first: the call ends, and then no longer counts.
    let Some((_live, NewCall { owner, message })) = waiting.end() else { return };
    let call = owner.core();
    if call.expire() || call.is_over() {
        return;
    }
    if let Some(reply) = handle_blocking(waiting.handled().method(), call, message) {
        call.finish(reply);
    }
}

/// The handler itself runs in a poll, and cannot be interrupted. Interceptors around it may wait, and
/// are given up when the call is over, as async ones are.
fn handle_blocking(method: &Method, call: &Arc<CallCore>, message: Option<Bytes>) -> Option<Reply> {
    let _in_span = span_of(call).entered();
    let mut handling = match catch(|| method.handle(call.clone(), message)) {
        Ok(future) => Handling::new(future),
        Err(panic) => return Some(panicked(call, &panic)),
    };
    let reply = block_on(poll_fn(|context| handling.poll(call, context)));
    drop_caught(handling, call);
    reply
}

/// A call that has come for a handler, which has not ended: `run` returns when there is none.
pub(super) struct Live(Arc<RunQueue>);

impl Live {
    fn begin(queue: &Arc<RunQueue>) -> Self {
        queue.live.fetch_add(1, SeqCst);
        Self(queue.clone())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.one_ended();
    }
}

/// The server's last connection has been closed.
impl Complete<Outcome> for RunQueue {
    fn is_wanted(&self) -> bool {
        true
    }

    fn complete(&self, _slot: usize, _is_ok: bool, _outcome: Outcome) {
        if !self.is_closing.swap(true, SeqCst) {
            tracing::info!(target: "turnstile::server", "shut down");
            self.one_ended();
        } else if self.live.load(SeqCst) == 0 {
            // One more shutdown has set one more timer.
            self.cancel_timers();
        }
    }
}
