//! Messages for one who polls, as handlers and the stubs of clients do, instead of starting batches.

use super::pending::NO_BATCH;
use super::{Core, Outgoing, Side, State};
use crate::iomgr::ExecCtx;
use crate::status::Status;
use bytes::Bytes;
use std::sync::Arc;
use std::task::{Context, Poll};

impl<S: Side> Core<S> {
    /// The next message, or `None` when the other end has sent its last. One reader at a time.
    pub(crate) fn poll_message(
        self: &Arc<Self>,
        poller: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, Status>> {
        let _context = ExecCtx::enter();
        self.poll_state(poller, |state, context, done, poller| {
            let next = S::poll_next(state, context, done);
            if next.is_pending() {
                poller.wait_in(&mut state.pollers.read, done);
            }
            next
        })
    }

    /// Ready when the transport has taken the message, as far as flow control lets it. `message` is
    /// taken out when it is this one's turn. One writer at a time.
    pub(crate) fn poll_send_message(
        self: &Arc<Self>,
        message: &mut Option<Outgoing>,
        poller: &mut Context<'_>,
    ) -> Poll<Result<(), Status>> {
        let _context = ExecCtx::enter();
        self.poll_state(poller, |state, context, done, poller| {
            loop {
                state.advance(context, done);
                if state.stream.is_none() {
                    return Poll::Ready(Err(state.cause_of_end()));
                }
                if let Some(status) = &state.broken {
                    return Poll::Ready(Err(status.clone()));
                }
                if state.pending.message.is_some() {
                    poller.wait_in(&mut state.pollers.write, done);
                    return Poll::Pending;
                }
                let Some(message) = message.take() else { return Poll::Ready(Ok(())) };
                state.file_message(message);
            }
        })
    }
}

impl<S: Side> State<S> {
    pub(super) fn file_message(&mut self, message: Outgoing) {
        S::on_message(self);
        self.pending.message = Some((NO_BATCH, Some(message)));
    }
}
