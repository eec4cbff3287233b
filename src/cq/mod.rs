//! Completion queues: operations go in with a tag, and come out when they have ended.
//!
//! A queue is where an application's threads wait, and while they wait they do the work: I/O,
//! HTTP/2, timers. The kind of a queue is its type, so that the ways of waiting cannot be mixed:
//!
//! - [`CompletionQueue`]: any thread takes the next event;
//! - [`PluckQueue`]: a thread waits for one tag;
//! - [`CallbackQueue`]: a function is called with each event.
//!
//! A tag is any value of yours. It goes in with an operation and comes out once, also when the
//! operation fails and when the queue is shut down. Making a queue costs no system call, so that
//! each call may have its own; there is no limit to how many tags are in one.
//!
//! The crate's root has the types with `O` filled in: [`turnstile::CompletionQueue<T>`](crate::CompletionQueue)
//! and so on. Use these.
//!
//! ```
//! use std::thread;
//! use turnstile::{Alarm, CompletionQueue, Deadline};
//!
//! let cq = CompletionQueue::<u32>::new();
//! let alarms: Result<Vec<_>, _> = (0..4).map(|n| Alarm::set(&cq, Deadline::NOW, n)).collect();
//! cq.shutdown(); // what has begun still comes out
//! thread::scope(|scope| {
//!     for _ in 0..2 {
//!         scope.spawn(|| {
//!             while let Some(event) = cq.next(Deadline::NONE) {
//!                 println!("{} on {:?}", event.tag, thread::current().id());
//!             }
//!         });
//!     }
//! });
//! assert!(cq.is_drained());
//! # drop(alarms);
//! ```
//!
//! This layer knows pollsets and tags, and nothing of HTTP or calls: what an operation ends with
//! is its type parameter `O`.

mod alarm;
mod block_on;
mod callback;
mod core;
mod next;
mod pluck;
mod sleep;

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
pub use sleep::{Sleep, sleep, sleep_until};

use crate::iomgr::Iomgr;
use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

/// An operation that has ended.
///
/// The crate's [`Event`](crate::Event) says what can be asked of it.
///
/// ```
/// use turnstile::{Alarm, CompletionQueue, Deadline};
///
/// // A tag may own what the operation is about.
/// struct Retry {
///     address: String,
///     attempt: u32,
/// }
///
/// let cq = CompletionQueue::<Retry>::new();
/// let again = Retry { address: "db:5432".to_owned(), attempt: 2 };
/// let _alarm = Alarm::set(&cq, Deadline::NOW, again).unwrap();
/// let Retry { address, attempt } = cq.next(Deadline::NONE).unwrap().tag;
/// assert_eq!((address.as_str(), attempt), ("db:5432", 2));
/// ```
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
    ///
    /// ```
    /// use turnstile::{CompletionQueue, Deadline, Server};
    ///
    /// let cq = CompletionQueue::<&str>::new();
    /// let server = Server::builder().bind("127.0.0.1:0")?;
    /// server.request_call(&cq, "a call")?;
    /// server.shutdown_and_notify(&cq, "shut down")?;
    /// while let Some(event) = cq.next(Deadline::NONE) {
    ///     match event.tag {
    ///         "a call" => assert!(!event.is_ok()), // none came before the shutdown
    ///         _ => cq.shutdown(),
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
///
/// ```
/// use std::time::Duration;
/// use turnstile::{Alarm, Deadline, Outcome, Queue, ShutDown};
///
/// /// Wakes whoever waits on a queue, of whatever kind it is.
/// fn remind(queue: &impl Queue<u32, Outcome>, tag: u32) -> Result<Alarm, ShutDown<u32>> {
///     Alarm::set(queue, Deadline::after(Duration::from_secs(30)), tag)
/// }
/// # let _ = remind(&turnstile::PluckQueue::new(), 1)?;
/// # Ok::<(), ShutDown<u32>>(())
/// ```
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
///
/// ```
/// use turnstile::{Alarm, CompletionQueue, Deadline, ShutDown};
///
/// let cq = CompletionQueue::<String>::new();
/// cq.shutdown();
/// let ShutDown(tag) = Alarm::set(&cq, Deadline::NOW, "mine".to_owned()).unwrap_err();
/// assert_eq!(tag, "mine");
/// ```
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

/// The name of the polling engine that this process's queues use: `epollex`, `epoll1` or `poll`.
///
/// - **epollex**, the default where the kernel can do it (Linux 4.5): an epoll set for each queue that
///   wants a server's calls, so that several threads poll at once, and a thread that waits in one queue
///   is not kept by what another queue's calls do.
/// - **epoll1**: one epoll set, for which one thread waits at a time. Any thread that waits for
///   anything helps with everything.
/// - **poll**: poll(2), which works everywhere and is told all fds with each call. Who waits for what is
///   as with epollex.
///
/// It is chosen when the first queue or server is made: by
/// [`polling_engine`](crate::Builder::polling_engine), or else by the environment variable
/// `GRPC_POLL_STRATEGY`, a list of names with commas between them, of which the first that works is
/// taken (`all` stands for the default order). This call starts it too. Callable from any thread; never
/// blocks.
///
/// # Errors
/// Why the engine does not start: an unknown name, or the system's error; that this process was [forked
/// off](crate#fork) one that has an engine.
///
/// ```
/// match turnstile::engine_name() {
///     Ok(name) => println!("polling by {name}"),
///     Err(error) => eprintln!("no queue can be made: {error}"),
/// }
/// ```
pub fn engine_name() -> io::Result<&'static str> {
    Ok(Iomgr::of_process()?.engine_name())
}
