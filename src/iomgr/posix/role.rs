//! The poller's role at one pollable: whether somebody has it, and must be woken to look.
//!
//! ```text
//!             claim_asleep                call
//!   VACANT ------------------> ASLEEP -----------> CALLED       (the caller wakes the source)
//!     ^ \                       ^   ^                |
//!     |  \ claim_awake          |   +----------------+
//!     |   v       fall_asleep   |      fall_asleep
//!     |  AWAKE -----------------+
//!     |     ^
//!     +-----+---- vacate, hand_over: from ASLEEP or CALLED
//! ```
//!
//! Who is ASLEEP sleeps, or is about to look for the last time whether it must not, or has been woken. So a
//! call in vain is possible, which the next poller hears, and a lost one is not: whoever calls makes its
//! work visible first, and whoever takes the role, or falls asleep again, looks after that. All of it is
//! sequentially consistent.
//!
//! Kicks go past it ([`pollset`](super::pollset)): they are for one of a pollset, and wake the source anyway.

use crate::sync::{
    AtomicU8, LoadInOrder,
    Ordering::{Relaxed, SeqCst},
};

/// Nobody has it.
const VACANT: u8 = 0;
/// Who has it was chosen, and has not come to it yet: nobody need wake the source for it.
const AWAKE: u8 = 1;
const ASLEEP: u8 = 2;
/// Asleep, and called since, by one who wakes the source.
const CALLED: u8 = 3;

pub(super) struct Role(AtomicU8);

/// What has become of a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// The caller is to wake the source.
    First,
    /// Another one has done so.
    Again,
    /// Nobody is asleep.
    InVain,
}

impl Role {
    pub(super) fn new() -> Self {
        let role = AtomicU8::new(VACANT);
        // loom takes an initial value for older than sequential consistency, unlike C++ and Rust.
        #[cfg(turnstile_loom)]
        role.store(VACANT, SeqCst);
        Self(role)
    }

    /// Takes the role if nobody has it, to fall asleep at once.
    #[inline]
    pub(super) fn claim_asleep(&self) -> bool {
        self.0.compare_exchange(VACANT, ASLEEP, SeqCst, SeqCst).is_ok()
    }

    /// The same for somebody who is yet to come.
    pub(super) fn claim_awake(&self) -> bool {
        self.0.compare_exchange(VACANT, AWAKE, SeqCst, SeqCst).is_ok()
    }

    /// The poller is about to sleep. What it looks for after this, and does not find, it is woken for.
    #[inline]
    pub(super) fn fall_asleep(&self) {
        // Nobody but the poller makes it that. If a call has come that this does not see, its wake of the
        // source is still to come, too.
        if self.0.load(Relaxed) != ASLEEP {
            self.0.swap(ASLEEP, SeqCst);
        }
    }

    /// The poller leaves, and another one that was chosen is yet to come.
    pub(super) fn hand_over(&self) {
        self.0.swap(AWAKE, SeqCst);
    }

    /// The poller leaves.
    #[inline]
    pub(super) fn vacate(&self) {
        self.0.swap(VACANT, SeqCst);
    }

    /// Calls whoever is asleep.
    pub(super) fn call(&self) -> Call {
        let mut state = self.0.load_in_order();
        if state == ASLEEP {
            match self.0.compare_exchange(ASLEEP, CALLED, SeqCst, SeqCst) {
                Ok(_) => return Call::First,
                Err(now) => state = now,
            }
        }
        if state == CALLED { Call::Again } else { Call::InVain }
    }

    /// Whether the poller is going to look at what it waits for anyway: it was called, or it is yet to come.
    /// One that was called may leave instead. Then its heir looks, or its source does for others
    /// ([`vacated`](super::pollable::Source::vacated)), and the manager for what is not the source's.
    pub(super) fn will_look(&self) -> bool {
        matches!(self.0.load_in_order(), AWAKE | CALLED)
    }

    /// Whether somebody sleeps, or is about to.
    #[cfg(all(test, not(turnstile_loom)))]
    pub(super) fn is_asleep(&self) -> bool {
        matches!(self.0.load(SeqCst), ASLEEP | CALLED)
    }
}
