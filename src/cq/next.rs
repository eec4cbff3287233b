//! The queue of which any thread takes the next event.

use super::core::Core;
use super::{Event, iomgr, sealed};
use crate::forked;
use crate::iomgr::{Deadline, ExecCtx, Iomgr};
use std::fmt;
use std::sync::Arc;

/// A queue of which any thread takes the next event.
///
/// Making one costs no system call, so that each call may have its own. Any number of threads may
/// wait on one queue, and one thread may wait on many in turn; each event goes to exactly one
/// thread.
///
/// **What a waiting thread does.** It polls, reads, runs HTTP/2, and writes. For which connections
/// depends on the polling engine ([`engine_name`](crate::engine_name)): with epoll1 for all of the
/// process; with the others for those of the servers whose calls were requested with this queue, and
/// of the calls that it is the queue of. Timers are any thread's. A thread that shall help with
/// everything in any case waits in [`block_on`](crate::block_on).
///
/// **Shutdown.** After [`shutdown`](Self::shutdown) no operation begins; those that have begun
/// come out as they end, and then every `next` gives `None`. Dropping a queue instead drops the
/// events in it and those still to come, tags included.
///
/// ```
/// use std::time::Duration;
/// use turnstile::{Alarm, CompletionQueue, Deadline};
///
/// let cq = CompletionQueue::<&str>::new();
/// let _alarm = Alarm::set(&cq, Deadline::after(Duration::from_millis(1)), "wake up").unwrap();
/// let event = cq.next(Deadline::NONE).unwrap();
/// assert_eq!((event.tag, event.is_ok()), ("wake up", true));
///
/// cq.shutdown();
/// assert!(cq.next(Deadline::NONE).is_none());
/// ```
pub struct CompletionQueue<T: Send + 'static, O: Default + Send + 'static> {
    core: Arc<Core<T, O>>,
}

impl<T: Send + 'static, O: Default + Send + 'static> CompletionQueue<T, O> {
    /// A queue on the process's polling engine.
    ///
    /// # Panics
    /// If the polling engine does not start, which only the first queue of a process can find; and in
    /// a [child that was forked](crate#fork) after that. Ask [`engine_name`](crate::engine_name) before to get the error.
    #[expect(clippy::new_without_default, reason = "making one can panic")]
    pub fn new() -> Self {
        Self::on(iomgr())
    }

    pub(crate) fn on(iomgr: Arc<Iomgr>) -> Self {
        Self { core: Core::for_threads(iomgr) }
    }

    /// Waits for an event and takes it. Meanwhile this thread does the I/O that there is to do.
    ///
    /// `None` when `deadline` passed, or when the queue is shut down and everything has come out
    /// ([`is_drained`](Self::is_drained) tells the two apart). An operation that this thread
    /// starts sends what it has to send at once; see [`turn`](Self::turn) to send less often.
    ///
    /// Callable from any thread; blocks until `deadline`.
    ///
    /// ```
    /// use turnstile::{Alarm, CompletionQueue, Deadline};
    ///
    /// let cq = CompletionQueue::<&str>::new();
    /// assert!(cq.next(Deadline::NOW).is_none()); // takes what is there, and does not wait
    /// let alarm = Alarm::set(&cq, Deadline::NONE, "never").unwrap();
    /// drop(alarm);
    /// assert_eq!(cq.next(Deadline::NOW).unwrap().tag, "never");
    /// ```
    pub fn next(&self, deadline: Deadline) -> Option<Event<T, O>> {
        if self.core.is_poll_due() {
            self.work(Deadline::NOW, || true);
        }
        loop {
            if let Some(event) = self.core.pop() {
                return Some(event);
            }
            // Another thread may be faster to take what this one has waited for.
            if !self.wait(deadline) {
                return None;
            }
        }
    }

    /// Waits for an event, and then gives all that became ready with it, one after the other.
    ///
    /// The difference to `next` is when bytes leave: what the operations started in a turn have to
    /// send leaves when the turn ends, in one write for each connection. So a turn should be
    /// short: what takes long belongs after it, or on another thread. Other threads may take
    /// events of the same queue meanwhile.
    ///
    /// `None` as with `next`. Callable from any thread; blocks until `deadline`.
    ///
    /// ```
    /// use turnstile::{Alarm, CompletionQueue, Deadline};
    ///
    /// let cq = CompletionQueue::<u32>::new();
    /// let _alarms = [1, 2].map(|tag| Alarm::set(&cq, Deadline::NOW, tag).unwrap());
    /// cq.shutdown();
    /// let mut tags = Vec::new();
    /// while let Some(turn) = cq.turn(Deadline::NONE) {
    ///     for event in turn {
    ///         tags.push(event.tag); // what is started here leaves together,
    ///     }
    ///     // here, where the turn ends.
    /// }
    /// assert_eq!(tags.len(), 2);
    /// ```
    pub fn turn(&self, deadline: Deadline) -> Option<Turn<'_, T, O>> {
        let context = ExecCtx::enter();
        if self.core.is_poll_due() {
            self.work(Deadline::NOW, || true);
        }
        let mut ready = self.core.ready_len();
        while ready == 0 {
            if !self.look(deadline) {
                return None;
            }
            ready = self.core.ready_len();
        }
        Some(Turn { queue: self, left: ready, _context: context })
    }

    /// Waits until an event is ready; false when there will be none.
    fn wait(&self, deadline: Deadline) -> bool {
        while self.look(deadline) {
            if self.core.ready_len() > 0 {
                return true;
            }
        }
        false
    }

    /// Works the pollset once and runs what that finds; false when the deadline passed or the
    /// queue is drained, with nothing ready.
    fn look(&self, deadline: Deadline) -> bool {
        let core = &self.core;
        self.work(deadline, || core.is_waiting_worthwhile());
        core.ready_len() > 0 || !(core.is_drained() || deadline.has_passed())
    }

    /// Works the pollset once and runs what that finds. The caller looks at the queue after it.
    fn work(&self, deadline: Deadline, is_idle: impl FnOnce() -> bool) {
        let context = ExecCtx::enter();
        context.attend(self.core.id(), || {
            // What this thread put off in a turn must not wait for an event.
            context.flush();
            self.core.iomgr().work(self.core.pollset(), deadline, is_idle);
            context.flush();
        });
        self.core.polled();
    }

    /// Lets no operation begin any more. What has begun still comes out; then `next` gives `None`
    /// to every thread. Calls are not cancelled by this.
    ///
    /// Callable from any thread; never blocks. A second call does nothing.
    ///
    /// ```
    /// use turnstile::{Alarm, CompletionQueue, Deadline};
    ///
    /// let cq = CompletionQueue::<u32>::new();
    /// let _alarm = Alarm::set(&cq, Deadline::NOW, 1).unwrap();
    /// cq.shutdown();
    /// assert!(Alarm::set(&cq, Deadline::NOW, 2).is_err());
    /// assert_eq!(cq.next(Deadline::NONE).unwrap().tag, 1);
    /// assert!(cq.next(Deadline::NONE).is_none());
    /// ```
    pub fn shutdown(&self) {
        let _context = ExecCtx::enter();
        self.core.shutdown();
    }

    /// Whether the queue was shut down and everything has come out.
    ///
    /// ```
    /// use turnstile::{CompletionQueue, Deadline};
    ///
    /// let cq = CompletionQueue::<u32>::new();
    /// assert!(cq.next(Deadline::NOW).is_none() && !cq.is_drained()); // it was the deadline
    /// cq.shutdown();
    /// assert!(cq.next(Deadline::NOW).is_none() && cq.is_drained()); // it was the shutdown
    /// ```
    pub fn is_drained(&self) -> bool {
        self.core.is_drained()
    }
}

impl<T: Send + 'static, O: Default + Send + 'static> sealed::Queue<T, O> for CompletionQueue<T, O> {
    fn core(&self) -> &Arc<Core<T, O>> {
        &self.core
    }
}

impl<T: Send + 'static, O: Default + Send + 'static> Drop for CompletionQueue<T, O> {
    fn drop(&mut self) {
        if forked::leaks(&self.core) {
            return;
        }
        let _context = ExecCtx::enter();
        self.core.abandon();
    }
}

impl<T: Send + 'static, O: Default + Send + 'static> fmt::Debug for CompletionQueue<T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompletionQueue").finish_non_exhaustive()
    }
}

/// The events of one turn. When it is dropped, what the turn's operations have to send leaves.
///
/// It stays on its thread. For an example see [`CompletionQueue::turn`].
#[must_use = "a turn is to be iterated over"]
pub struct Turn<'a, T: Send + 'static, O: Default + Send + 'static> {
    queue: &'a CompletionQueue<T, O>,
    /// How many events were ready at the start: a turn ends even if more keep coming.
    left: usize,
    /// Runs at its end what the turn has scheduled.
    _context: ExecCtx,
}

impl<T: Send + 'static, O: Default + Send + 'static> Iterator for Turn<'_, T, O> {
    type Item = Event<T, O>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        // Other threads may have been faster.
        let event = self.queue.core.pop();
        self.left = if event.is_some() { self.left } else { 0 };
        event
    }
}

impl<T: Send + 'static, O: Default + Send + 'static> Drop for Turn<'_, T, O> {
    fn drop(&mut self) {
        if self.left > 0 {
            self.queue.core.hand_on();
        }
    }
}

impl<T: Send + 'static, O: Default + Send + 'static> fmt::Debug for Turn<'_, T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").field("left", &self.left).finish_non_exhaustive()
    }
}
