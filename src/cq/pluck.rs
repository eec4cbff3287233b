//! The queue on which a thread waits for one tag.

use super::core::Core;
use super::{Event, iomgr, sealed};
use crate::forked;
use crate::iomgr::{Deadline, ExecCtx, Iomgr};
use std::fmt;
use std::sync::Arc;

/// A queue on which a thread waits for the operation with one tag.
///
/// Made for a thread that begins an operation and has nothing to do until it ends; with a queue of
/// its own it wakes nobody and is woken by nobody else. Shutdown is as with
/// [`CompletionQueue`](super::CompletionQueue).
///
/// Tags are compared while the queue is locked: a `PartialEq` of yours must not use the queue, or a
/// call whose events come out of it. It would wait for itself.
///
/// ```
/// use std::time::Duration;
/// use turnstile::{Alarm, Deadline, PluckQueue};
///
/// let cq = PluckQueue::<&str>::new();
/// let soon = Alarm::set(&cq, Deadline::after(Duration::from_millis(1)), "soon").unwrap();
/// let later = Alarm::set(&cq, Deadline::after(Duration::from_secs(60)), "later").unwrap();
/// later.cancel();
/// assert!(cq.pluck(&"soon", Deadline::NONE).unwrap().is_ok());
/// assert!(!cq.pluck(&"later", Deadline::NONE).unwrap().is_ok());
/// ```
pub struct PluckQueue<T: Send + 'static, O: Default + Send + 'static> {
    core: Arc<Core<T, O>>,
}

impl<T: Send + PartialEq + 'static, O: Default + Send + 'static> PluckQueue<T, O> {
    /// Waits for the operation with the tag `tag` to end, and takes its event. If several have
    /// this tag, any of them. Meanwhile this thread does I/O: see
    /// [`CompletionQueue`](super::CompletionQueue).
    ///
    /// `None` when `deadline` passed, or when the queue is shut down and everything has come out.
    ///
    /// Callable from any thread; blocks until `deadline`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use turnstile::{Alarm, Deadline, PluckQueue};
    ///
    /// let cq = PluckQueue::<u32>::new();
    /// let _alarms = [1, 2].map(|tag| Alarm::set(&cq, Deadline::NOW, tag).unwrap());
    /// assert_eq!(cq.pluck(&2, Deadline::NONE).unwrap().tag, 2); // 1 may be ready, too
    /// assert!(cq.pluck(&3, Deadline::after(Duration::from_millis(1))).is_none());
    /// ```
    pub fn pluck(&self, tag: &T, deadline: Deadline) -> Option<Event<T, O>> {
        let context = ExecCtx::enter();
        loop {
            if let Some(event) = self.core.pluck(|other| other == tag) {
                return Some(event);
            }
            context.flush();
            self.core.iomgr().work(self.core.pollset(), deadline, || {
                !self.core.has(|other| other == tag) && !self.core.is_drained()
            });
            context.flush();
            if self.core.is_drained() || deadline.has_passed() {
                return self.core.pluck(|other| other == tag);
            }
        }
    }
}

impl<T: Send + 'static, O: Default + Send + 'static> PluckQueue<T, O> {
    /// A queue on the process's polling engine.
    ///
    /// # Panics
    /// As [`CompletionQueue::new`](super::CompletionQueue::new).
    #[expect(clippy::new_without_default, reason = "making one can panic")]
    pub fn new() -> Self {
        Self::on(iomgr())
    }

    pub(super) fn on(iomgr: Arc<Iomgr>) -> Self {
        Self { core: Core::for_pluckers(iomgr) }
    }

    /// Lets no operation begin any more; see [`CompletionQueue`](super::CompletionQueue).
    ///
    /// Callable from any thread; never blocks.
    ///
    /// ```
    /// use turnstile::{Alarm, Deadline, PluckQueue};
    ///
    /// let cq = PluckQueue::<u32>::new();
    /// let _alarm = Alarm::set(&cq, Deadline::NOW, 1).unwrap();
    /// cq.shutdown();
    /// assert!(cq.pluck(&1, Deadline::NONE).is_some());
    /// assert!(cq.pluck(&1, Deadline::NONE).is_none() && cq.is_drained());
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

impl<T: Send + 'static, O: Default + Send + 'static> sealed::Queue<T, O> for PluckQueue<T, O> {
    fn core(&self) -> &Arc<Core<T, O>> {
        &self.core
    }
}

impl<T: Send + 'static, O: Default + Send + 'static> Drop for PluckQueue<T, O> {
    fn drop(&mut self) {
        if forked::leaks(&self.core) {
            return;
        }
        let _context = ExecCtx::enter();
        self.core.abandon();
    }
}

impl<T: Send + 'static, O: Default + Send + 'static> fmt::Debug for PluckQueue<T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluckQueue").finish_non_exhaustive()
    }
}
