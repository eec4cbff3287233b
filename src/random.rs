//! Chance, where it is only to keep many from doing the same at once.

use std::hash::{BuildHasher as _, RandomState};

/// A number from 0 to 1, by chance: the hash of nothing, under keys that std takes from the system.
pub(crate) fn fraction() -> f64 {
    let hash = RandomState::new().hash_one(());
    (hash >> 32) as f64 / f64::from(u32::MAX)
}
