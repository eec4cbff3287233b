//! A method with a handler, and those of its calls that wait for a thread in `run`.

use super::run_queue::Live;
use crate::call::NewCall;
use crate::service::{Method, Style};
use crate::status::Status;
use crate::sync::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;

pub(super) struct Handled {
    method: Method,
    /// How many calls wait for a thread of their own. Not counted for async handlers, whose calls
    /// begin with the next turn of any thread.
    waiting: AtomicUsize,
    max_waiting: usize,
}

impl Handled {
    /// Every call of a blocking handler waits, if only for a moment: so one always may.
    pub(super) fn new(method: Method, max_waiting: usize) -> Arc<Self> {
        Arc::new(Self { method, waiting: AtomicUsize::new(0), max_waiting: max_waiting.max(1) })
    }

    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    pub(super) fn is_blocking(&self) -> bool {
        self.method.style() == Style::Blocking
    }

    /// Whether there is room for one more call.
    fn take_place(&self) -> bool {
        let one_more = |waiting| (waiting < self.max_waiting).then_some(waiting + 1);
        self.waiting.fetch_update(SeqCst, SeqCst, one_more).is_ok()
    }
}

/// A call that waits for its handler. One that is dropped instead has come too late.
pub(super) struct Waiting {
    handled: Arc<Handled>,
    call: Option<(Live, NewCall)>,
}

impl Waiting {
    /// Lets a call wait. `None` if too many do: the call has ended then.
    pub(super) fn begin(handled: &Arc<Handled>, mut call: NewCall, live: Live) -> Option<Self> {
        if handled.is_blocking() {
            let core = call.owner.core();
            if !handled.take_place() {
                let text = "too many calls of this method wait for a thread";
                core.cancel(Status::resource_exhausted(text));
                return None;
            }
            // It may wait for long. If its client goes meanwhile, all but its head is dropped.
            core.park(call.message.take());
        }
        Some(Self { handled: handled.clone(), call: Some((live, call)) })
    }

    pub(super) fn handled(&self) -> &Handled {
        &self.handled
    }

    /// A thread has come. `None` the second time.
    pub(super) fn end(&mut self) -> Option<(Live, NewCall)> {
        let (live, mut call) = self.call.take()?;
        if self.handled.is_blocking() {
            self.handled.waiting.fetch_sub(1, SeqCst);
            call.message = call.owner.core().unpark();
        }
        Some((live, call))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some((_live, call)) = self.end() {
            call.owner.core().cancel(Status::unavailable("the server is shutting down"));
        }
    }
}
