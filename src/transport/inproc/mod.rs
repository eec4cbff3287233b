//! Calls within a process: a client's end and a server's end around state that they share.
//!
//! [`channel`] is what a client begins calls on; [`shared`] one call's state, between its two ends;
//! [`flow`] one direction's messages, with their window; [`server`] and [`client`] the ends; [`wire`]
//! what they tell each other besides messages.
//!
//! Messages are handed over as they are, neither framed nor copied. Heads, answers and statuses are
//! written and read by the functions of [`super::h2`]: so a call is refused, cut short and told
//! of as it would be over HTTP/2, by the same limits and in the same words. What limits connections is
//! not there: a channel has any number of calls, and no age.
//!
//! # Threads
//!
//! There is no connection to drive: each operation takes effect on the thread that does it, and fires
//! the waker of the other end if that waits for it. What this brings, such as a server's call that has
//! got a message, is run by that same thread when its locks are gone (see
//! [`ExecCtx`](crate::iomgr::ExecCtx)), and so is the arrival of a new call at the server. Neither
//! needs a file descriptor, so it makes no difference which pollsets wait for what.
//!
//! But a handler is run by a thread that is in the server's `run`, and a requested call comes out of the
//! queue that it was requested with, as over any connection. A thread that waits in a client's queue
//! runs no handlers: if it is the only one, it waits for ever.
//!
//! The state of a stream is behind one leaf lock: nothing else is locked under it, and no waker is
//! fired, no message or metadata dropped. But an end is used under the lock of its call, so that a
//! waker may be fired, and [`channel::Channel`] reached, under that: as with h2, **a waker only
//! enqueues**. For the same reason a channel tells its acceptor of calls, and that it is closed, in
//! closures of their own.

mod channel;
mod client;
mod flow;
mod server;
mod shared;
mod wire;

#[cfg(all(test, not(turnstile_loom)))]
mod tests;

pub(crate) use channel::Channel;

use super::h2::{self, ClientConfig};
use std::sync::Arc;

/// What the calls of a channel have in common: what each end would have told h2, as far as it is not
/// about connections.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) server: Arc<h2::Config>,
    pub(crate) client: Arc<ClientConfig>,
}
