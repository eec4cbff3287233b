//! Whether this process was forked off one that uses this library.
//!
//! A child of fork(2) has one thread, the one that forked. It shares its parent's epoll sets,
//! connections and listeners: what it took out of a set would be gone in the parent, too, and what it
//! read the parent would never see. Locks that other threads held stay locked for ever. So whatever such
//! a child has inherited is dead there. It does no I/O and is not dropped: it is leaked, until the child
//! execs or ends. What waits behaves as after a shutdown, and what begins fails, with an error that says
//! what to do.
//!
//! The flag is set by a handler of pthread_atfork(3) (`iomgr/posix/sys/fork.rs`), which is there from the
//! first use on. So to look costs a load, and a fork before the first use concerns nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::{io, mem};

static IS_FORKED: AtomicBool = AtomicBool::new(false);
static IS_TOLD: AtomicBool = AtomicBool::new(false);

const MESSAGE: &str = "this process was forked off one that uses turnstile, and cannot use its \
                       parent's polling engine; fork before the first use of turnstile, or exec in the \
                       child";

/// This is such a process from now on. Only stores, since it runs inside of fork(2).
pub(crate) fn mark() {
    IS_FORKED.store(true, Relaxed);
}

/// Whether this is such a process.
#[inline]
pub(crate) fn is_forked() -> bool {
    IS_FORKED.load(Relaxed)
}

/// The same where somebody wants to use what was inherited, which is logged once.
#[inline]
pub(crate) fn refuses() -> bool {
    is_forked() && {
        tell();
        true
    }
}

#[cold]
fn tell() {
    if !IS_TOLD.swap(true, Relaxed) {
        tracing::error!("{MESSAGE}");
    }
}

/// Lets nothing pass in such a process.
///
/// # Errors
/// `Unsupported`, with the cause and what to do.
#[inline]
pub(crate) fn check() -> io::Result<()> {
    if is_forked() { Err(error()) } else { Ok(()) }
}

#[cold]
fn error() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, MESSAGE)
}

/// Called before a thread waits for another one of this process, which is not there after a fork.
///
/// # Panics
/// In such a process, instead of a hang.
#[cold]
pub(crate) fn before_waiting() {
    assert!(!is_forked(), "{MESSAGE}");
}

/// Called in the drop of what holds on to something shared. True in such a process, where that is then
/// never dropped, and the caller does nothing.
pub(crate) fn leaks<T: ?Sized>(shared: &Arc<T>) -> bool {
    if is_forked() {
        mem::forget(shared.clone());
    }
    is_forked()
}
