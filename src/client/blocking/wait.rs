//! The queue of one call, and a thread that waits for what it has started on it.

use crate::call::{Batch, ClientCore, Outcome};
use crate::cq::{self, Event, PluckQueue};
use crate::iomgr::{Deadline, Pollset};
use crate::status::Status;
use std::sync::Arc;

/// What a thread waits for. Of each there is one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// A message is sent.
    Send,
    /// Something is received, or everything.
    Receive,
}

/// The queue of one call.
pub(super) struct CallQueue(PluckQueue<Op, Outcome>);

impl CallQueue {
    /// # Panics
    /// If the polling engine does not start, which a channel has started already.
    pub(super) fn new() -> Self {
        Self(PluckQueue::new())
    }

    pub(super) fn pollset(&self) -> &Arc<Pollset> {
        core_of(&self.0).pollset()
    }

    /// Starts a batch, and waits for it. `None` in a process that was forked, where nothing comes.
    pub(super) fn run(
        &self,
        call: &Arc<ClientCore>,
        batch: Batch,
        op: Op,
    ) -> Option<Event<Op, Outcome>> {
        call.start(core_of(&self.0), batch, op).ok()?;
        self.0.pluck(&op, Deadline::NONE)
    }

    /// Waits for the status.
    pub(super) fn status(&self, call: &Arc<ClientCore>) -> Status {
        let event = self.run(call, Batch::new().receive_status(), Op::Receive);
        event.and_then(|mut event| event.take_status()).unwrap_or_else(|| lost(call))
    }
}

/// How a call ended that nobody can wait for.
pub(super) fn lost(call: &Arc<ClientCore>) -> Status {
    let otherwise = || Status::cancelled("the call cannot be waited for in this process");
    call.known_status().unwrap_or_else(otherwise)
}

fn core_of(queue: &impl cq::Queue<Op, Outcome>) -> &Arc<cq::Core<Op, Outcome>> {
    queue.core()
}
