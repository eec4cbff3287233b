//! Closures that wait to be run, and the points at which they are.
//!
//! Code that finds work while it holds locks only *schedules* it; the work runs at a flush, when
//! the locks are gone. A thread collects closures while it is inside an [`ExecCtx`], which every
//! public entry point that can schedule one opens. The list is a thread-local, because
//! `Waker::wake` takes no parameter through which it could be passed.

use crate::forked;
use crate::panics::contained;
use crate::sync::{AtomicUsize, Ordering::SeqCst};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::mem;
use std::sync::Arc;

/// Something that can be run. Implementors: the listener, the transports and their timers, the call,
/// the alarm and the callback queue.
///
/// `run` is called with no lock held. Scheduling twice before a run may run it once or twice;
/// each implementor says what makes that right for it.
pub(crate) trait Run: Send + Sync {
    /// Does what there is to do, without blocking.
    fn run(self: Arc<Self>);
}

#[cfg(not(turnstile_loom))]
thread_local! {
    static THIS_THREAD: ThreadList = const { ThreadList::new() };
}

// loom runs all threads of a model on one thread of the system.
#[cfg(turnstile_loom)]
loom::thread_local! {
    static THIS_THREAD: ThreadList = ThreadList::new();
}

struct ThreadList {
    /// How many contexts are open on this thread.
    depth: Cell<usize>,
    /// The queue that this thread looks at when it comes back from its work; 0 for none.
    attends: Cell<usize>,
    /// What they have collected, in order.
    ready: RefCell<VecDeque<Arc<dyn Run>>>,
    /// Bytes that are not used any more, to be dropped when the closure that runs has returned.
    unused: RefCell<Vec<Bytes>>,
}

impl ThreadList {
    const fn new() -> Self {
        Self {
            depth: Cell::new(0),
            attends: Cell::new(0),
            ready: RefCell::new(VecDeque::new()),
            unused: RefCell::new(Vec::new()),
        }
    }

    /// Ends a context. False if that is the outermost one and has collected something, which is to be run
    /// first.
    #[inline]
    fn leave(&self) -> bool {
        let depth = self.depth.get();
        let is_done =
            depth != 1 || self.ready.borrow().is_empty() && self.unused.borrow().is_empty();
        if is_done {
            self.depth.set(depth.saturating_sub(1));
        }
        is_done
    }

    /// Drops what nobody uses any more, and what that adds.
    fn drop_unused(&self) {
        loop {
            let bytes = self.unused.borrow_mut().pop();
            let Some(bytes) = bytes else { return };
            contained("the owner of a message's bytes, in its drop,", || drop(bytes));
        }
    }
}

/// Puts a closure on this thread's list, or gives it back if no context is open here.
pub(crate) fn schedule(closure: Arc<dyn Run>) -> Result<(), Arc<dyn Run>> {
    offer(closure, |closure| closure)
}

/// The same for one that the caller still knows by its type when it comes back.
pub(crate) fn schedule_own<R: Run + 'static>(closure: Arc<R>) -> Result<(), Arc<R>> {
    offer(closure, |closure| closure)
}

fn offer<C>(closure: C, into: impl FnOnce(C) -> Arc<dyn Run>) -> Result<(), C> {
    // While the thread's locals are being destroyed there is no list either.
    let mut closure = Some(closure);
    let _ = THIS_THREAD.try_with(|list| {
        if list.depth.get() > 0
            && let Some(closure) = closure.take()
        {
            list.ready.borrow_mut().push_back(into(closure));
        }
    });
    closure.map_or(Ok(()), Err)
}

/// Drops bytes at this thread's next flush, if a context is open here, and at once if not.
///
/// The owner of a message's bytes can be the application's ([`Bytes::from_owner`]), and its drop
/// then runs code of the application, which must not meet a lock.
pub(crate) fn drop_later(bytes: Bytes) {
    let mut bytes = Some(bytes);
    let _ = THIS_THREAD.try_with(|list| {
        if list.depth.get() > 0 {
            list.unused.borrow_mut().extend(bytes.take());
        }
    });
}

/// Whether a closure is on a list already, and on whose.
///
/// A thread that has it on its list need not put it there again. Another thread must, since the
/// first may be away for long: in the application, in the middle of a turn. What remains on the
/// first one's list is a run too many, which every [`Run`] takes.
#[derive(Debug, Default)]
pub(crate) struct Scheduled(AtomicUsize);

impl Scheduled {
    /// Whether the caller must schedule the closure, which counts as scheduled from now on.
    #[must_use]
    pub(crate) fn claim(&self) -> bool {
        let this_thread = THIS_THREAD.try_with(|list| std::ptr::from_ref(list).addr());
        this_thread.map_or(true, |this_thread| self.0.swap(this_thread, SeqCst) != this_thread)
    }

    /// A run begins: what comes from now on wants another.
    pub(crate) fn clear(&self) {
        self.0.store(0, SeqCst);
    }
}

/// Whether this thread is in [`ExecCtx::attend`] for the queue `id`.
pub(crate) fn attends(id: usize) -> bool {
    THIS_THREAD.try_with(|list| list.attends.get() == id).unwrap_or(false)
}

/// A stretch of code on this thread that collects closures. The outermost one runs them when it
/// ends; inner ones leave them to it.
#[must_use]
pub(crate) struct ExecCtx {
    /// The list is this thread's.
    _not_send: PhantomData<*const ()>,
}

impl ExecCtx {
    /// Opens a context.
    pub(crate) fn enter() -> Self {
        // While the thread's locals are being destroyed there is no list, and who schedules then
        // finds another thread's.
        let _ = THIS_THREAD.try_with(|list| list.depth.set(list.depth.get() + 1));
        Self { _not_send: PhantomData }
    }

    /// Does `work` while this thread is known to look at the queue `id` right after it, so that
    /// nobody else need be woken for what the work puts there. 0 is no queue's: what the work brings
    /// for any of them is others' too.
    pub(crate) fn attend<R>(&self, id: usize, work: impl FnOnce() -> R) -> R {
        /// Restored also when a panic passes.
        struct Restore(usize);
        impl Drop for Restore {
            fn drop(&mut self) {
                let _ = THIS_THREAD.try_with(|list| list.attends.set(self.0));
            }
        }
        let before = THIS_THREAD.try_with(|list| list.attends.replace(id));
        let _restore = Restore(before.unwrap_or_default());
        work()
    }

    /// Runs what this thread has collected, and what that schedules, until nothing is left.
    ///
    /// Must be called with no lock held.
    pub(crate) fn flush(&self) {
        while !forked::is_forked()
            && let Ok(Some(closure)) = THIS_THREAD.try_with(|list| {
                list.drop_unused();
                list.ready.borrow_mut().pop_front()
            })
        {
            contained("a closure", || closure.run());
        }
        if forked::is_forked() {
            let _ =
                THIS_THREAD.try_with(|list| mem::forget((list.ready.take(), list.unused.take())));
        }
    }
}

impl Drop for ExecCtx {
    #[inline]
    fn drop(&mut self) {
        while THIS_THREAD.try_with(|list| !list.leave()).unwrap_or(false) {
            self.flush();
        }
    }
}

#[cfg(all(test, not(turnstile_loom)))]
mod tests {
    use super::{ExecCtx, Run, drop_later, schedule};
    use bytes::Bytes;
    use std::sync::{Arc, Mutex};

    #[derive(Default)]
    struct Log(Mutex<Vec<&'static str>>);

    struct Step {
        name: &'static str,
        log: Arc<Log>,
        then: Mutex<Option<Arc<dyn Run>>>,
        panics: bool,
    }

    impl Run for Step {
        fn run(self: Arc<Self>) {
            self.log.0.lock().unwrap().push(self.name);
            if let Some(next) = self.then.lock().unwrap().take() {
                assert!(schedule(next).is_ok());
            }
            assert!(!self.panics, "on purpose");
        }
    }

    fn step(log: &Arc<Log>, name: &'static str) -> Step {
        Step { name, log: log.clone(), then: Mutex::new(None), panics: false }
    }

    #[test]
    fn closures_run_in_order_when_the_outermost_context_ends() {
        let log = Arc::new(Log::default());
        let outer = ExecCtx::enter();
        schedule(Arc::new(step(&log, "first"))).ok().unwrap();
        {
            let _inner = ExecCtx::enter();
            schedule(Arc::new(step(&log, "second"))).ok().unwrap();
        }
        assert!(log.0.lock().unwrap().is_empty(), "an inner context must not run anything");
        drop(outer);
        assert_eq!(*log.0.lock().unwrap(), ["first", "second"]);
    }

    #[test]
    fn what_a_closure_schedules_runs_in_the_same_flush() {
        let log = Arc::new(Log::default());
        let first = step(&log, "first");
        *first.then.lock().unwrap() = Some(Arc::new(step(&log, "second")));
        let context = ExecCtx::enter();
        schedule(Arc::new(first)).ok().unwrap();
        context.flush();
        assert_eq!(*log.0.lock().unwrap(), ["first", "second"]);
    }

    #[test]
    fn a_panic_does_not_take_the_next_closure_with_it() {
        let log = Arc::new(Log::default());
        let context = ExecCtx::enter();
        schedule(Arc::new(Step { panics: true, ..step(&log, "panics") })).ok().unwrap();
        schedule(Arc::new(step(&log, "next"))).ok().unwrap();
        context.flush();
        assert_eq!(*log.0.lock().unwrap(), ["panics", "next"]);
    }

    #[test]
    fn without_a_context_the_closure_comes_back() {
        let log = Arc::new(Log::default());
        let back = schedule(Arc::new(step(&log, "lost"))).expect_err("no context is open");
        back.run();
        assert_eq!(*log.0.lock().unwrap(), ["lost"]);
    }

    /// Bytes whose owner schedules a closure when it is dropped.
    struct Owner(Arc<Log>);

    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            &[]
        }
    }

    impl Drop for Owner {
        fn drop(&mut self) {
            self.0.0.lock().unwrap().push("dropped");
            schedule(Arc::new(step(&self.0, "scheduled"))).ok().unwrap();
        }
    }

    #[test]
    fn bytes_that_nobody_uses_go_when_the_outermost_context_ends() {
        let log = Arc::new(Log::default());
        let outer = ExecCtx::enter();
        drop_later(Bytes::from_owner(Owner(log.clone())));
        drop(ExecCtx::enter());
        assert!(log.0.lock().unwrap().is_empty());
        drop(outer);
        assert_eq!(*log.0.lock().unwrap(), ["dropped", "scheduled"]);
        assert!(schedule(Arc::new(step(&log, "late"))).is_err(), "no context is open");
    }
}
