//! pthread_atfork(3): how a child gets to know that it is one.

use crate::forked;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

static IS_WATCHED: AtomicBool = AtomicBool::new(false);

/// Lets the children that are forked from now on know. Those of vfork(2) and posix_spawn(3), which must
/// exec, and those of a bare clone(2) are not told.
///
/// # Errors
/// `OutOfMemory`.
pub(crate) fn watch_forks() -> io::Result<()> {
    // No lock, which a child might find locked. Who comes at the same time does it as well, which is
    // harmless.
    if IS_WATCHED.load(SeqCst) {
        return Ok(());
    }
    // SAFETY: the handler is there as long as this code is, and only stores to an atomic.
    match unsafe { libc::pthread_atfork(None, None, Some(in_child)) } {
        0 => {
            IS_WATCHED.store(true, SeqCst);
            Ok(())
        }
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

extern "C" fn in_child() {
    forked::mark();
}
