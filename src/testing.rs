//! What the crate's own unit tests share.

#[cfg(not(turnstile_loom))]
pub(crate) mod http2;
#[cfg(not(turnstile_loom))]
pub(crate) mod log;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
#[cfg(not(turnstile_loom))]
use std::sync::mpsc;
use std::task::{Wake, Waker};
#[cfg(not(turnstile_loom))]
use std::{panic, thread, time::Duration};

/// Long enough that only a hang reaches it.
#[cfg(not(turnstile_loom))]
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Does `work` on a thread of its own, so that a deadlock fails the test instead of hanging it.
#[cfg(not(turnstile_loom))]
#[track_caller]
pub(crate) fn without_deadlock(work: impl FnOnce() + Send + 'static) {
    let (sender, done) = mpsc::channel::<()>();
    let worker = thread::spawn(move || {
        let _told_also_by_a_panic = sender;
        work();
    });
    let result = done.recv_timeout(PATIENCE);
    assert_ne!(result, Err(mpsc::RecvTimeoutError::Timeout), "a deadlock");
    if let Err(cause) = worker.join() {
        panic::resume_unwind(cause);
    }
}

/// A waker that counts how often it was fired.
#[derive(Clone, Default)]
pub(crate) struct CountingWaker(Arc<Count>);

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl CountingWaker {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn waker(&self) -> Waker {
        Waker::from(self.0.clone())
    }

    pub(crate) fn count(&self) -> usize {
        self.0.0.load(Ordering::SeqCst)
    }

    /// Whether nobody has one of its wakers any more.
    #[cfg(not(turnstile_loom))]
    pub(crate) fn is_unused(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}
