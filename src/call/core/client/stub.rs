//! What stubs do at once, of what others do step by step.

use super::{Client, ClientCore};
use crate::call::core::pending::{Done, NO_BATCH};
use crate::call::core::{Outgoing, Side as _, State};
use crate::iomgr::ExecCtx;
use crate::metadata::Metadata;
use crate::status::Status;
use bytes::Bytes;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// What has come so far for a call with one reply.
#[derive(Default)]
pub(crate) struct OnlyReply {
    /// The initial metadata.
    pub(crate) metadata: Option<Metadata>,
    pub(crate) message: Option<Bytes>,
    /// Whether it came compressed.
    pub(crate) was_compressed: bool,
}

impl ClientCore {
    /// Sends the beginning of a call, which has no message yet. Says whether its method has one reply.
    pub(crate) fn open(self: &Arc<Self>, has_one_reply: bool) {
        let _context = ExecCtx::enter();
        self.with_state(|state, context, _| {
            state.own.has_one_reply = has_one_reply;
            // The answer is kept for whoever asks.
            let _ = state.poll_answer(context);
        });
    }

    /// Sends the only message of a call, and nothing behind it.
    pub(crate) fn send_only(self: &Arc<Self>, message: Outgoing) {
        let _context = ExecCtx::enter();
        self.with_state(|state, context, done| {
            state.file_message(message);
            state.own.is_half_closed = true;
            state.pending.close = Some(NO_BATCH);
            state.advance(context, done);
        });
    }

    /// Ready with the status, when it and everything before it has been put into `reply`. With no
    /// message, or more than one, the call has ended with UNIMPLEMENTED.
    pub(crate) fn poll_only_reply(
        self: &Arc<Self>,
        reply: &mut OnlyReply,
        poller: &mut Context<'_>,
    ) -> Poll<Status> {
        let _context = ExecCtx::enter();
        self.poll_state(poller, |state, context, done, poller| {
            state.own.has_one_reply = true;
            state.advance(context, done);
            let status = state.poll_only_reply(reply, context, done);
            if status.is_pending() {
                poller.wait_in(&mut state.pollers.read, done);
            }
            status
        })
    }

    /// How the call has ended, if it has and every message before that has been received. Waits for
    /// nothing, and wakes nobody later.
    pub(crate) fn known_status(self: &Arc<Self>) -> Option<Status> {
        let _context = ExecCtx::enter();
        self.with_state(|state, context, done| {
            state.advance(context, done);
            match state.poll_status(context, done) {
                Poll::Ready(status) => Some(status),
                Poll::Pending => None,
            }
        })
    }
}

impl State<Client> {
    fn poll_only_reply(
        &mut self,
        reply: &mut OnlyReply,
        context: &mut Context<'_>,
        done: &mut Done,
    ) -> Poll<Status> {
        if reply.metadata.is_none() {
            reply.message = ready!(Client::poll_next(self, context, done)).unwrap_or_default();
            reply.was_compressed = self.messages.was_compressed;
            // It came before the message.
            reply.metadata = Some(self.take_metadata().unwrap_or_default());
        }
        self.poll_status(context, done)
    }
}
