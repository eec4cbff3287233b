//! What one wait of a source tells of.

use super::fd_table::FdTable;
use super::fired::Fired;
use super::key::Key;
use super::sys::Readiness;

/// Takes the events of a wait to their fds, and keeps the wakers that they fire until the source's locks
/// are gone.
pub(super) struct Events<'a> {
    fds: &'a FdTable,
    fired: Fired,
    #[cfg(all(test, not(turnstile_loom)))]
    told: usize,
}

impl<'a> Events<'a> {
    /// None yet, for these fds.
    #[inline]
    pub(super) fn of(fds: &'a FdTable) -> Self {
        Self {
            fds,
            fired: Fired::default(),
            #[cfg(all(test, not(turnstile_loom)))]
            told: 0,
        }
    }

    /// One more.
    pub(super) fn add(&mut self, key: Key, readiness: Readiness) {
        #[cfg(all(test, not(turnstile_loom)))]
        {
            self.told += 1;
        }
        self.fds.on_event(key, readiness, &mut self.fired);
    }

    /// Fires what they fire. True if that is anything.
    #[inline]
    pub(super) fn fire(&mut self) -> bool {
        self.fired.fire()
    }

    /// How many there were.
    #[cfg(all(test, not(turnstile_loom)))]
    pub(super) fn told(&self) -> usize {
        self.told
    }
}
