//! Who watches an fd, where an engine looks only for what is armed.
//!
//! A level-triggered engine would be told for ever of an fd that is ready and that nobody has asked
//! for, and each of several pollers would be told of the same event. So a poller watches those
//! directions that are armed, and that no other one watches.

use crate::sync::{AtomicBool, AtomicU8, Ordering::SeqCst};

/// Directions of an fd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interest(u8);

impl Interest {
    pub(super) const READ: Self = Self(1);
    pub(super) const WRITE: Self = Self(2);
    pub(super) const ERROR: Self = Self(4);

    /// This one if it is wanted, else none.
    pub(super) fn when(self, is_wanted: bool) -> Self {
        if is_wanted { self } else { Self::default() }
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The directions of one fd that some poller watches.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Bits of [`Interest`], each set by the poller that clears it.
    watched: AtomicU8,
    /// Both sides have closed. Of that poll(2) tells for ever, even who waits for errors only.
    is_over: AtomicBool,
}

impl Watch {
    /// Gives the caller those of the `armed` directions that nobody watches.
    pub(super) fn claim(&self, armed: Interest) -> Interest {
        let armed = self.worth_while(armed);
        // Nothing to claim is the usual case of an fd.
        if armed.is_empty() {
            return armed;
        }
        Interest(armed.0 & !self.watched.fetch_or(armed.0, SeqCst))
    }

    /// Ends what the caller has claimed.
    pub(super) fn release(&self, claimed: Interest) {
        self.watched.fetch_and(!claimed.0, SeqCst);
    }

    /// Whether one of the `armed` directions is watched by nobody.
    pub(super) fn lacks(&self, armed: Interest) -> bool {
        let armed = self.worth_while(armed);
        armed.0 & !self.watched.fetch_or(0, SeqCst) != 0
    }

    /// Whether somebody watches.
    pub(super) fn is_watched(&self) -> bool {
        self.watched.fetch_or(0, SeqCst) != 0
    }

    /// Whether both sides have closed, so that there will be no error that is not there yet.
    pub(super) fn set_over(&self, is_over: bool) {
        self.is_over.store(is_over, SeqCst);
    }

    fn worth_while(&self, armed: Interest) -> Interest {
        armed.when(armed != Interest::ERROR || !self.is_over.load(SeqCst))
    }
}

#[cfg(all(test, not(turnstile_loom)))]
mod tests {
    use super::{Interest, Watch};

    #[test]
    fn each_direction_has_one_watcher_at_a_time() {
        let (watch, both) = (Watch::default(), Interest::READ.and(Interest::WRITE));
        assert!(watch.lacks(Interest::READ) && !watch.is_watched());
        assert_eq!(watch.claim(Interest::READ), Interest::READ);
        assert_eq!(watch.claim(both), Interest::WRITE);
        assert!(watch.claim(both).is_empty() && !watch.lacks(both));
        watch.release(Interest::READ);
        assert!(watch.lacks(both) && watch.is_watched());
        assert_eq!(watch.claim(both), Interest::READ);
    }

    #[test]
    fn errors_alone_are_not_waited_for_when_both_sides_have_closed() {
        let watch = Watch::default();
        watch.set_over(true);
        assert!(watch.claim(Interest::ERROR).is_empty() && !watch.lacks(Interest::ERROR));
        let with_read = Interest::ERROR.and(Interest::READ);
        assert_eq!(watch.claim(with_read), with_read);
        watch.release(with_read);
        // A socket that was not connected yet looks the same.
        watch.set_over(false);
        assert_eq!(watch.claim(Interest::ERROR), Interest::ERROR);
    }
}
