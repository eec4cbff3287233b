//! The names of fds.

/// What an engine names an fd by. Never a pointer, and never used twice, so that an event that
/// is still on its way when an fd goes cannot reach the fd that comes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key(pub(crate) u64);

impl Key {
    /// Nobody's.
    pub(crate) const NONE: Self = Self(0);
    /// The engine's own wakeup fd.
    pub(crate) const WAKEUP: Self = Self(u64::MAX);
}
