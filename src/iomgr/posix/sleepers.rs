//! Those who sleep where several do at once: whether there are any, and one of them was called.
//!
//! Where one thread polls at a time, its pollable's role knows that.

use crate::sync::{AtomicBool, AtomicUsize, LoadInOrder, Ordering::SeqCst};

pub(super) struct Sleepers {
    /// How many pollers sleep, or are about to look for the last time whether they must not.
    count: AtomicUsize,
    /// One of them has been woken, and has not looked yet.
    is_called: AtomicBool,
}

impl Sleepers {
    pub(super) fn new() -> Self {
        let (count, is_called) = (AtomicUsize::new(0), AtomicBool::new(false));
        // As in `Role::new`.
        #[cfg(turnstile_loom)]
        count.store(0, SeqCst);
        Self { count, is_called }
    }

    /// A poller is about to sleep.
    #[inline]
    pub(super) fn add(&self) {
        self.count.fetch_add(1, SeqCst);
        // One who was called and found no sleeper must not keep others from calling this one.
        self.look();
    }

    /// It is awake, and about to look: who calls after this calls another.
    #[inline]
    pub(super) fn remove(&self) {
        self.count.fetch_sub(1, SeqCst);
        self.look();
    }

    /// Who called is heard.
    #[inline]
    pub(super) fn look(&self) {
        if self.is_called.load_in_order() {
            self.is_called.swap(false, SeqCst);
        }
    }

    /// Whether there are any.
    pub(super) fn any(&self) -> bool {
        self.count.load_in_order() > 0
    }

    /// Whether one of them is to be woken, by the caller.
    pub(super) fn call(&self) -> bool {
        self.any() && !self.is_called.swap(true, SeqCst)
    }

    /// How many there are.
    #[cfg(all(test, not(turnstile_loom)))]
    pub(super) fn count(&self) -> usize {
        self.count.load(SeqCst)
    }
}
