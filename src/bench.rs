//! What `bench/engines` measures: polling engines, and queues on them. No part of the public interface,
//! and only there under `--cfg turnstile_bench`.

pub use crate::iomgr::bench::{Manager, Place, Watch, engines};

/// A queue on a manager of its own.
pub fn queue(manager: &Manager) -> crate::CompletionQueue<u32> {
    crate::CompletionQueue::on(manager.iomgr().clone())
}
