//! A handler on its way, in whatever style, until it has ended or its call is over.

use crate::call::{CallCore, Over, Reply};
use crate::panics::{Panic, catch};
use crate::service::HandlerFuture;
use crate::status::Status;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tracing::Span;

/// A handler's future, with its interceptors', and the wait for its call's end.
pub(super) struct Handling {
    future: HandlerFuture,
    /// What wakes the poller when the call is over, once it had to wait.
    over: Option<Over>,
}

impl Handling {
    pub(super) fn new(future: HandlerFuture) -> Self {
        Self { future, over: None }
    }

    /// Ready with a reply, or without one if the call was over before there was one.
    pub(super) fn poll(
        &mut self,
        call: &Arc<CallCore>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Reply>> {
        if let Poll::Ready(reply) = self.poll_handler(call, context) {
            return Poll::Ready(Some(reply));
        }
        // Most handlers are ready at once, and need not look out for their call's end.
        match self.over {
            Some(_) if call.is_over() => {}
            Some(_) => return Poll::Pending,
            None => ready!(Pin::new(self.over.insert(call.over())).poll(context)),
        }
        // The handler can see the end now, and has this one chance to do something about it.
        match self.poll_handler(call, context) {
            Poll::Ready(reply) => Poll::Ready(Some(reply)),
            Poll::Pending => Poll::Ready(None),
        }
    }

    /// A panic is an answer too.
    fn poll_handler(&mut self, call: &CallCore, context: &mut Context<'_>) -> Poll<Reply> {
        catch(|| self.future.as_mut().poll(context))
            .unwrap_or_else(|panic| Poll::Ready(panicked(call, &panic)))
    }
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
