//! Completion queues: operations go in with a tag, and come out when they have ended.
//!
//! A queue is where an application's threads wait, and while they wait they do the work: I/O,
//! HTTP/2, timers. The kind of a queue is its type, so that the ways of waiting cannot be mixed:
//!
//! - [`CompletionQueue`]: any thread takes the next event;
//! - [`PluckQueue`]: a thread waits for one tag;
//! - [`CallbackQueue`]: a function is called with each event.
//!
//! This layer knows pollsets and tags, and nothing of HTTP or calls: what an operation ends with
//! is its type parameter `O`.

mod alarm;
mod block_on;
mod callback;
mod core;
mod next;
mod pluck;

#[cfg(all(test, turnstile_loom))]
mod loom_models;
#[cfg(all(test, not(turnstile_loom)))]
mod tests;

pub use alarm::Alarm;
pub use block_on::block_on;
pub use callback::CallbackQueue;
#[doc(hidden)]
pub use core::Core;
pub(crate) use core::{Complete, PendingOp};
pub use next::{CompletionQueue, Turn};
pub use pluck::PluckQueue;

use crate::iomgr::Iomgr;
use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

/// An operation that has ended.
///
/// The crate's [`Event`](crate::Event) says what can be asked of it.
pub struct Event<T, O> {
    /// The tag that the operation was begun with.
    pub tag: T,
    pub(crate) is_ok: bool,
    pub(crate) outcome: O,
    pub(crate) companion: Option<Arc<Core<T, O>>>,
}

impl<T, O> Event<T, O> {
    /// Whether the operation did what it was begun for. What "no" means is said where the
    /// operation is begun.
    pub fn is_ok(&self) -> bool {
        self.is_ok
    }
}

impl<T: fmt::Debug, O: fmt::Debug> fmt::Debug for Event<T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("tag", &self.tag)
            .field("is_ok", &self.is_ok)
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}

/// A queue of any kind, to begin operations on.
///
/// Implemented by [`CompletionQueue`], [`PluckQueue`] and [`CallbackQueue`]; it cannot be
/// implemented elsewhere.
pub trait Queue<T, O>: sealed::Queue<T, O> {}

impl<T, O, Q: sealed::Queue<T, O>> Queue<T, O> for Q {}

pub(crate) mod sealed {
    use super::{Arc, Core};

    /// What makes a queue a queue.
    pub trait Queue<T, O> {
        /// The part that operations hold on to.
        fn core(&self) -> &Arc<Core<T, O>>;
    }
}

/// The queue is shut down, so that no operation can begin on it. Holds the tag.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ShutDown<T>(pub T);

impl<T> fmt::Debug for ShutDown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShutDown")
    }
}

impl<T> fmt::Display for ShutDown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the completion queue is shut down; begin operations before its shutdown")
    }
}

impl<T> Error for ShutDown<T> {}

/// The process's I/O manager.
///
/// # Panics
/// If the polling engine does not start.
fn iomgr() -> Arc<Iomgr> {
    Iomgr::of_process().unwrap_or_else(|error| panic!("no completion queue can be made: {error}"))
}

/// The name of the polling engine that this process's queues use, such as `epoll1`.
///
/// It is chosen when the first queue is made: by the environment variable `GRPC_POLL_STRATEGY`,
/// or the best one that works here.
///
/// # Errors
/// Why the engine does not start: an unknown name, or the system's error.
pub fn engine_name() -> io::Result<&'static str> {
    Ok(Iomgr::of_process()?.engine_name())
}
