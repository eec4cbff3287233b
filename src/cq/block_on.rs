//! A thread that waits for one future, and does whatever I/O there is to do meanwhile.

use super::iomgr;
use crate::iomgr::{Deadline, ExecCtx, Iomgr, Pollset};
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
/// If the polling engine does not start: see [`CompletionQueue::new`](super::CompletionQueue::new).
///
/// ```
/// assert_eq!(turnstile::block_on(async { 7 }), 7);
/// ```
pub fn block_on<F: Future>(future: F) -> F::Output {
    let parked = Parked::of_this_thread();
    let output = parked.wait_for(future);
    // While the thread's locals are being destroyed there is nothing to keep it in.
    let _ = SPARE.try_with(|spare| spare.replace(Some(parked)));
    output
}

thread_local! {
    /// Where this thread waits, while it does not, so that a wait allocates nothing.
    static SPARE: RefCell<Option<Arc<Parked>>> = const { RefCell::new(None) };
}

/// Where a thread waits for its future: a queue of one event, which is that somebody woke it.
struct Parked {
    iomgr: Arc<Iomgr>,
    pollset: Arc<Pollset>,
    is_woken: AtomicBool,
}

impl Parked {
    fn of_this_thread() -> Arc<Self> {
        let spare = SPARE.try_with(RefCell::take).ok().flatten();
        spare.unwrap_or_else(|| {
            let (iomgr, pollset) = (iomgr(), Pollset::new());
            Arc::new(Self { iomgr, pollset, is_woken: AtomicBool::new(false) })
        })
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
            while !self.is_woken.load(SeqCst) {
                let closures = ExecCtx::enter();
                // A callback may wait in the middle of another queue's wait. What comes for that
                // queue meanwhile is another thread's, since this one is not back soon.
                closures.attend(0, || {
                    closures.flush();
                    let is_idle = || !self.is_woken.load(SeqCst);
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
        self.is_woken.store(true, SeqCst);
        if self.pollset.is_occupied() {
            self.iomgr.kick_all(&self.pollset);
        }
    }
}
