//! Calls within a process: a client's end and a server's end around state that they share.
//!
//! [`channel`] is what a client begins calls on; [`shared`] one call's state, between its two ends;
//! [`flow`] one direction's messages, with their window; [`server`] and [`client`] the ends.
//!
//! Messages are handed over as they are, neither framed nor copied. There is no connection to
//! drive: each operation takes effect on the thread that does it, and fires the waker of the other
//! end if that waits for it.
//!
//! # Threads
//!
//! The state of a stream is behind one leaf lock: nothing else is locked under it, and no waker is
//! fired, no message or metadata dropped. But an end is used under the lock of its call, so that a
//! waker may be fired, and [`channel::Channel`] reached, under that: as with h2, **a waker only
//! enqueues**. For the same reason a channel tells its acceptor in a closure of its own that it is
//! closed.

mod channel;
mod client;
mod flow;
mod server;
mod shared;

#[cfg(all(test, not(turnstile_loom)))]
mod tests;

pub(crate) use channel::Channel;
pub(crate) use client::ClientStream;

/// What the calls of a channel have in common.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// How many bytes may wait in each direction of a call. One message always may, however long.
    pub(crate) window: usize,
    /// The limit of a received message, in bytes, at both ends.
    pub(crate) max_message_size: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { window: 64 * 1024, max_message_size: 4 * 1024 * 1024 }
    }
}
