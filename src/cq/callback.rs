//! The queue that calls a function with each event.

use super::core::Core;
use super::{Event, iomgr, sealed};
use crate::forked;
use crate::iomgr::{Deadline, ExecCtx, Iomgr};
use std::fmt;
use std::sync::Arc;

/// A queue that calls a function with each event.
///
/// The function runs on the thread that finds the event: any thread that waits on any queue of the
/// process, or that starts, cancels or drops something of this crate's and so ends an operation.
/// None of the crate's locks is held, but the application's may be: do not take one that is held
/// while calling the crate. Nor may it block: it would keep that thread from everything else it
/// finds. A panic in it is caught and logged; the event counts as handled.
///
/// Threads are needed here as everywhere: [`work`](Self::work) lends it one.
///
/// ```
/// use std::sync::mpsc;
/// use turnstile::{Alarm, CallbackQueue, Deadline};
///
/// let (sender, receiver) = mpsc::channel();
/// let cq = CallbackQueue::new(move |event: turnstile::Event<&str>| {
///     sender.send(event.tag).unwrap();
/// });
/// let _alarm = Alarm::set(&cq, Deadline::NOW, "rang").unwrap();
/// cq.shutdown();
/// cq.work(Deadline::NONE);
/// assert_eq!(receiver.recv().unwrap(), "rang");
/// ```
pub struct CallbackQueue<T: Send + 'static, O: Default + Send + 'static> {
    core: Arc<Core<T, O>>,
}

impl<T: Send + 'static, O: Default + Send + 'static> CallbackQueue<T, O> {
    /// A queue on the process's polling engine that calls `callback`, possibly from several
    /// threads at once.
    ///
    /// # Panics
    /// As [`CompletionQueue::new`](super::CompletionQueue::new).
    pub fn new(callback: impl Fn(Event<T, O>) + Send + Sync + 'static) -> Self {
        Self::on(iomgr(), callback)
    }

    pub(super) fn on(
        iomgr: Arc<Iomgr>,
        callback: impl Fn(Event<T, O>) + Send + Sync + 'static,
    ) -> Self {
        Self { core: Core::for_callback(iomgr, Box::new(callback)) }
    }

    /// Does the I/O that a thread of a queue does (see
    /// [`CompletionQueue`](super::CompletionQueue)), and calls the function, until `deadline` passes or the
    /// queue is shut down and everything has come out.
    ///
    /// Callable from any number of threads; blocks until `deadline`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use turnstile::{CallbackQueue, Deadline, Event};
    ///
    /// let cq = CallbackQueue::new(|event: Event<u32>| println!("{} has ended", event.tag));
    /// cq.work(Deadline::after(Duration::from_millis(1))); // nothing has
    /// ```
    pub fn work(&self, deadline: Deadline) {
        let context = ExecCtx::enter();
        loop {
            context.flush();
            if self.core.is_drained() {
                return;
            }
            self.core.iomgr().work(self.core.pollset(), deadline, || !self.core.is_drained());
            context.flush();
            if deadline.has_passed() {
                return;
            }
        }
    }

    /// Lets no operation begin any more; see [`CompletionQueue`](super::CompletionQueue).
    ///
    /// Callable from any thread; never blocks.
    ///
    /// ```
    /// use turnstile::{CallbackQueue, Deadline, Event};
    ///
    /// let cq = CallbackQueue::new(|_: Event<u32>| {});
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| cq.work(Deadline::NONE));
    ///     cq.shutdown(); // lets it return
    /// });
    /// assert!(cq.is_drained());
    /// ```
    pub fn shutdown(&self) {
        let _context = ExecCtx::enter();
        self.core.shutdown();
    }

    /// Whether the queue was shut down and everything has come out.
    pub fn is_drained(&self) -> bool {
        self.core.is_drained()
    }
}

impl<T: Send + 'static, O: Default + Send + 'static> sealed::Queue<T, O> for CallbackQueue<T, O> {
    fn core(&self) -> &Arc<Core<T, O>> {
        &self.core
    }
}

impl<T: Send + 'static, O: Default + Send + 'static> Drop for CallbackQueue<T, O> {
    fn drop(&mut self) {
        if forked::leaks(&self.core) {
            return;
        }
        let _context = ExecCtx::enter();
        self.core.abandon();
    }
}

impl<T: Send + 'static, O: Default + Send + 'static> fmt::Debug for CallbackQueue<T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallbackQueue").finish_non_exhaustive()
    }
}
