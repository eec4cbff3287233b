//! The locks and atomics of this crate: std's, or loom's under `--cfg turnstile_loom`.
//!
//! All code takes them from here, so that the models in `loom_models` check the code that ships.
//! Three things differ from std. A lock is never poisoned: user code does not run under our locks,
//! and a panic of our own is caught at the closure that raised it. And nobody waits in a child of fork(2)
//! for a thread that is not there: see [`forked`]. `Arc` stays std's, since
//! loom's cannot hold a `dyn Trait`.

#[cfg(not(turnstile_loom))]
use std::sync as imp;

#[cfg(turnstile_loom)]
use loom::sync as imp;

pub(crate) use imp::MutexGuard;
pub(crate) use imp::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};

use crate::forked;
use std::sync::PoisonError;
#[cfg(not(turnstile_loom))]
use std::sync::TryLockError;
use std::time::Instant;

/// Loads that see what was stored before in the total order of sequential consistency. loom orders
/// only read-modify-writes so, and these cost much more than a load.
pub(crate) trait LoadInOrder {
    type Value;

    fn load_in_order(&self) -> Self::Value;
}

macro_rules! load_in_order {
    ($($atomic:ident: $value:ty, $operation:ident, $nothing:literal;)+) => {
        $(
            impl LoadInOrder for $atomic {
                type Value = $value;

                #[inline]
                fn load_in_order(&self) -> $value {
                    #[cfg(turnstile_loom)]
                    return self.$operation($nothing, Ordering::SeqCst);
                    #[cfg(not(turnstile_loom))]
                    self.load(Ordering::SeqCst)
                }
            }
        )+
    };
}

load_in_order! {
    AtomicBool: bool, fetch_or, false;
    AtomicU8: u8, fetch_or, 0;
    AtomicU64: u64, fetch_add, 0;
    AtomicUsize: usize, fetch_add, 0;
}

/// A mutex that ignores poisoning.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(imp::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(imp::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        // As fast as `lock` itself, which tries first, too.
        #[cfg(not(turnstile_loom))]
        match self.0.try_lock() {
            Ok(guard) => return guard,
            Err(TryLockError::Poisoned(guard)) => return guard.into_inner(),
            Err(TryLockError::WouldBlock) => forked::before_waiting(),
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A condition variable with deadlines instead of durations.
#[derive(Debug, Default)]
pub(crate) struct Condvar(imp::Condvar);

impl Condvar {
    pub(crate) fn new() -> Self {
        Self(imp::Condvar::new())
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }

    /// Waits for a notification, or until `deadline`. May return early for no reason.
    pub(crate) fn wait_until<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Option<Instant>,
    ) -> MutexGuard<'a, T> {
        forked::before_waiting();
        let Some(deadline) = deadline else {
            return self.0.wait(guard).unwrap_or_else(PoisonError::into_inner);
        };
        let left = deadline.saturating_duration_since(Instant::now());
        self.0.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0
    }
}
