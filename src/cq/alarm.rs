//! A deadline that is posted to a queue.

use super::core::PendingOp;
use super::{Queue, ShutDown};
use crate::forked;
use crate::iomgr::{Deadline, ExecCtx, Iomgr, Run, TimerId};
use crate::sync::Mutex;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// A tag that comes out of a queue at a deadline, or when the alarm is cancelled.
///
/// The event's [`is_ok`](super::Event::is_ok) is true if the deadline passed, and false if the
/// alarm was cancelled, by [`cancel`](Self::cancel) or by dropping it. It rings while threads wait,
/// and never early.
///
/// ```
/// use std::time::{Duration, Instant};
/// use turnstile::{Alarm, CompletionQueue, Deadline};
///
/// // Something to do every 5 ms, three times.
/// let cq = CompletionQueue::<u32>::new();
/// let start = Instant::now();
/// let period = Duration::from_millis(5);
/// let mut alarm = Alarm::set(&cq, Deadline::at(start + period), 1)?;
/// while let Some(event) = cq.next(Deadline::NONE) {
///     if event.tag == 3 {
///         break;
///     }
///     alarm = Alarm::set(&cq, Deadline::at(start + period * (event.tag + 1)), event.tag + 1)?;
/// }
/// assert!(start.elapsed() >= period * 3);
/// # drop(alarm);
/// # Ok::<(), turnstile::ShutDown<u32>>(())
/// ```
pub struct Alarm<O: Default + Send + 'static> {
    inner: Arc<Inner<O>>,
}

struct Inner<O: Default> {
    iomgr: Arc<Iomgr>,
    /// Locked before the timers. The operation completes without it.
    state: Mutex<State<O>>,
}

struct State<O: Default> {
    /// Taken by whoever ends the alarm: the timer or the cancel.
    op: Option<PendingOp<O>>,
    timer: Option<TimerId>,
}

impl<O: Default + Send + 'static> Alarm<O> {
    /// Sets an alarm: `tag` comes out of `queue` at `deadline`.
    ///
    /// Callable from any thread; never blocks.
    ///
    /// # Errors
    /// If the queue is shut down; the error holds the tag.
    ///
    /// ```
    /// use turnstile::{Alarm, CompletionQueue, Deadline};
    ///
    /// // A way to wake one thread that waits in `next`, from any other.
    /// let cq = CompletionQueue::<&str>::new();
    /// std::thread::scope(|scope| {
    ///     let waiting = scope.spawn(|| cq.next(Deadline::NONE).unwrap().tag);
    ///     let _alarm = Alarm::set(&cq, Deadline::NOW, "go on").unwrap();
    ///     assert_eq!(waiting.join().unwrap(), "go on");
    /// });
    /// ```
    pub fn set<T: Send + 'static>(
        queue: &impl Queue<T, O>,
        deadline: Deadline,
        tag: T,
    ) -> Result<Self, ShutDown<T>> {
        let _context = ExecCtx::enter();
        let core = queue.core();
        let op = core.begin_op(tag, None).map_err(ShutDown)?;
        let iomgr = core.iomgr().clone();
        let inner =
            Arc::new(Inner { iomgr, state: Mutex::new(State { op: Some(op), timer: None }) });
        let due = if deadline == Deadline::NOW { Some(Instant::now()) } else { deadline.instant() };
        if let Some(due) = due {
            let mut state = inner.state.lock();
            state.timer = Some(inner.iomgr.timer_init(due, inner.clone()));
        }
        Ok(Self { inner })
    }

    /// Ends the alarm early, unless it has rung.
    ///
    /// Callable from any thread; never blocks.
    ///
    /// ```
    /// use turnstile::{Alarm, Deadline, PluckQueue};
    ///
    /// let cq = PluckQueue::<u32>::new();
    /// let timeout = Alarm::set(&cq, Deadline::NONE, 1).unwrap();
    /// timeout.cancel();
    /// timeout.cancel(); // does nothing
    /// assert!(!cq.pluck(&1, Deadline::NONE).unwrap().is_ok());
    /// ```
    pub fn cancel(&self) {
        if forked::is_forked() {
            return;
        }
        let _context = ExecCtx::enter();
        let (op, timer) = {
            let mut state = self.inner.state.lock();
            (state.op.take(), state.timer.take())
        };
        if let Some(timer) = timer {
            self.inner.iomgr.timer_cancel(timer);
        }
        if let Some(op) = op {
            op.complete(false, O::default());
        }
    }
}

impl<O: Default + Send + 'static> Run for Inner<O> {
    fn run(self: Arc<Self>) {
        let op = self.state.lock().op.take();
        if let Some(op) = op {
            op.complete(true, O::default());
        }
    }
}

impl<O: Default + Send + 'static> Drop for Alarm<O> {
    fn drop(&mut self) {
        if forked::leaks(&self.inner) {
            return;
        }
        self.cancel();
    }
}

impl<O: Default + Send + 'static> fmt::Debug for Alarm<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alarm").finish_non_exhaustive()
    }
}
