//! Tags that are counted: into the queues, out of them, and those that exist.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// The counts of a test's tags.
#[derive(Debug, Default)]
pub(crate) struct Tags {
    entered: AtomicU64,
    came_out: AtomicU64,
    made: AtomicU64,
    dropped: AtomicU64,
}

impl Tags {
    pub(crate) fn token(self: &Arc<Self>) -> Token {
        self.made.fetch_add(1, SeqCst);
        Token(self.clone())
    }

    /// A queue has accepted a tag.
    pub(crate) fn enter(&self) {
        self.entered.fetch_add(1, SeqCst);
    }

    /// A tag has come out of a queue.
    pub(crate) fn come_out(&self) {
        self.came_out.fetch_add(1, SeqCst);
    }

    /// How many queues have accepted.
    pub(crate) fn entered(&self) -> u64 {
        self.entered.load(SeqCst)
    }

    /// Panics unless each came out once and none is left.
    pub(crate) fn assert_none_lost(&self) {
        let (entered, came_out) = (self.entered(), self.came_out.load(SeqCst));
        assert_eq!(entered, came_out, "tags that entered queues, and those that came out");
        let (made, dropped) = (self.made.load(SeqCst), self.dropped.load(SeqCst));
        assert_eq!(made, dropped, "tags that were made, and those that were dropped");
        assert!(entered > 0);
    }
}

/// A part of a tag that counts its drop.
#[derive(Debug)]
pub(crate) struct Token(Arc<Tags>);

impl Drop for Token {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, SeqCst);
    }
}
