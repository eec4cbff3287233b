//! How many bytes of the heap are in use: an allocator that counts them, and is the system's.
//!
//! What a process has resident says little in a short time, since an allocator keeps what it once
//! had. This number is exact: at rest it is the same each time, but for what leaks.

#![allow(unsafe_code, reason = "an allocator can be written in no other way; it only counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

#[global_allocator]
static HEAP: Counting = Counting;

/// Bytes that were allocated and not freed. More may be freed than is added here at a moment, by
/// another thread, so the number wraps; at rest it is true.
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// How many bytes of the heap are in use. Of use when no other thread allocates.
pub(crate) fn live() -> usize {
    LIVE.load(Relaxed)
}

struct Counting;

impl Counting {
    /// Counts an allocation, unless it has failed.
    fn count(allocated: *mut u8, size: usize) -> *mut u8 {
        if !allocated.is_null() {
            LIVE.fetch_add(size, Relaxed);
        }
        allocated
    }
}

// SAFETY: every method passes its arguments to the system's allocator and gives back what that
// gives; the counting beside it does not allocate, block or panic.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc`, which is the same here.
        Self::count(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc_zeroed`, which is the same here.
        Self::count(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller has the block from this allocator, which had it from the system's with
        // the same layout.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as for `dealloc`, and the caller keeps the contract for the new size.
        let moved = unsafe { System.realloc(block, layout, size) };
        if !moved.is_null() {
            LIVE.fetch_sub(layout.size(), Relaxed);
            LIVE.fetch_add(size, Relaxed);
        }
        moved
    }
}
