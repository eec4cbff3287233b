//! A thread that waits for one future, and does whatever I/O there is to do meanwhile.

use super::iomgr;
use crate::forked;
use crate::iomgr::{Deadline, ExecCtx, Iomgr, Pollset, PollsetSet};
use crate::sync::{AtomicBool, Ordering::SeqCst};
use std::cell::RefCell;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

/// Waits for a future on this thread, which meanwhile does whatever I/O there is to do, for every
/// queue and server of the process.
///
/// The future may be one of this crate's or any other that wakes its waker. This is what a blocking
/// handler waits with; it can be nested.
///
/// Callable from any thread; blocks until the future is ready.
///
/// # Panics
/// If the polling engine does not start: see [`CompletionQueue::new`](super::CompletionQueue::new). In a
/// process that was forked off one with queues: see [fork](crate#fork).
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use std::task::{Poll, Waker};
///
/// // What a thread waits for may be made by another.
/// let shared = Arc::new(Mutex::new((None, None::<Waker>)));
/// let answer = std::future::poll_fn(|context| {
///     let mut shared = shared.lock().unwrap();
///     shared.1 = Some(context.waker().clone());
///     shared.0.map_or(Poll::Pending, Poll::Ready)
/// });
/// std::thread::scope(|scope| {
///     scope.spawn(|| {
///         let mut shared = shared.lock().unwrap();
///         shared.0 = Some(42);
///         shared.1.take().into_iter().for_each(Waker::wake);
///     });
///     assert_eq!(turnstile::block_on(answer), 42);
/// });
/// ```
pub fn block_on<F: Future>(future: F) -> F::Output {
    let parked = Parked::of_this_thread();
    let output = parked.wait_for(future);
    // While the thread's locals are being destroyed there is nothing to keep it in.
    let _ = SPARE.try_with(|spare| spare.borrow_mut().push(parked));
    output
}

thread_local! {
    /// Where this thread waits, while it does not, so that a wait allocates nothing and has its
    /// epoll set already. As many as waits were nested.
    static SPARE: RefCell<Vec<Arc<Parked>>> = const { RefCell::new(Vec::new()) };
}

/// Where a thread waits for its future: a queue of one event, which is that somebody woke it.
struct Parked {
    iomgr: Arc<Iomgr>,
    pollset: Arc<Pollset>,
    is_woken: AtomicBool,
    /// It waits for all clients. It does so when it waits at all, which most futures need not.
    helps: AtomicBool,
}

impl Parked {
    fn of_this_thread() -> Arc<Self> {
        // That of a parent waits for nothing here.
        forked::before_waiting();
        let spare = SPARE.try_with(|spare| spare.borrow_mut().pop()).ok().flatten();
        spare.unwrap_or_else(|| Self::on(iomgr()))
    }

    fn on(iomgr: Arc<Iomgr>) -> Arc<Self> {
        let (is_woken, helps) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Self { iomgr, pollset: Pollset::new(), is_woken, helps })
    }

    /// Lets this thread do the I/O of all servers while it waits.
    fn help(&self) {
        if self.helps.swap(true, SeqCst) {
            return;
        }
        if let Err(error) = PollsetSet::everybody(&self.iomgr).add_pollset(&self.pollset) {
            tracing::error!(%error, "a thread that waits for a future cannot wait for all clients");
        }
    }

    fn wait_for<F: Future>(self: &Arc<Self>, future: F) -> F::Output {
        let mut future = pin!(future);
        let waker = Waker::from(self.clone());
        let mut context = Context::from_waker(&waker);
        loop {
            self.is_woken.store(false, SeqCst);
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return output;
            }
            // The future may have forked.
            forked::before_waiting();
            self.help();
            while !self.is_woken.load(SeqCst) {
                let closures = ExecCtx::enter();
                // A callback may wait in the middle of another queue's wait. What comes for that
                // queue meanwhile is another thread's, since this one is not back soon.
                closures.attend(0, || {
                    closures.flush();
                    // Read-modify-write, as is the waker's, since loom orders only these.
                    let is_idle = || !self.is_woken.fetch_or(false, SeqCst);
                    self.iomgr.work(&self.pollset, Deadline::NONE, is_idle);
                    closures.flush();
                });
            }
        }
    }
}

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_woken.swap(true, SeqCst);
        if self.pollset.is_occupied() {
            self.pollset.kick_all();
        }
    }
}

#[cfg(all(test, not(turnstile_loom)))]
mod tests {
    use super::{SPARE, block_on};
    use std::thread;

    #[test]
    fn waits_in_waits_keep_what_they_wait_with_for_the_next() {
        let waits = || {
            for _ in 0..3 {
                block_on(async { block_on(async {}) });
            }
            SPARE.with(|spare| spare.borrow().len())
        };
        assert_eq!(thread::spawn(waits).join().unwrap(), 2);
    }
}

#[cfg(all(test, turnstile_loom))]
mod loom_models {
    use super::Parked;
    use crate::iomgr::iomgr_for_tests;
    use crate::sync::{AtomicUsize, Mutex, Ordering::SeqCst};
    use loom::thread;
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::task::{Poll, Waker};

    /// Something that others do, and a thread waits for.
    #[derive(Default)]
    struct Promise {
        kept: AtomicUsize,
        waker: Mutex<Option<Waker>>,
    }

    impl Promise {
        fn keep(&self) {
            self.kept.fetch_add(1, SeqCst);
            let waker = self.waker.lock().clone();
            waker.into_iter().for_each(Waker::wake);
        }

        /// Ready when it was kept so often.
        fn kept(self: Arc<Self>, times: usize) -> impl Future<Output = ()> {
            poll_fn(move |context| {
                *self.waker.lock() = Some(context.waker().clone());
                let is_kept = self.kept.fetch_add(0, SeqCst) == times;
                if is_kept { Poll::Ready(()) } else { Poll::Pending }
            })
        }
    }

    fn check(model: impl Fn() + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(model);
    }

    #[test]
    fn a_wake_reaches_a_thread_before_it_sleeps_and_after() {
        loom::model(|| {
            let promise = Arc::new(Promise::default());
            let keeper = thread::spawn({
                let promise = promise.clone();
                move || promise.keep()
            });
            Parked::on(iomgr_for_tests()).wait_for(promise.kept(1));
            keeper.join().unwrap();
        });
    }

    #[test]
    fn the_second_of_two_wakes_is_not_lost_behind_the_first() {
        check(|| {
            let promise = Arc::new(Promise::default());
            let keepers = [(); 2].map(|()| {
                let promise = promise.clone();
                thread::spawn(move || promise.keep())
            });
            Parked::on(iomgr_for_tests()).wait_for(promise.kept(2));
            for keeper in keepers {
                keeper.join().unwrap();
            }
        });
    }

    /// One polls while the other waits behind it; each is woken.
    #[test]
    fn two_threads_that_wait_for_each_other_both_go_on() {
        check(|| {
            let iomgr = iomgr_for_tests();
            let promises = [(); 2].map(|()| Arc::new(Promise::default()));
            let [ours, theirs] = promises.clone();
            let other = thread::spawn({
                let iomgr = iomgr.clone();
                let [ours, theirs] = promises;
                move || {
                    Parked::on(iomgr).wait_for(theirs.kept(1));
                    ours.keep();
                }
            });
            theirs.keep();
            Parked::on(iomgr).wait_for(ours.kept(1));
            other.join().unwrap();
        });
    }
}
