//! Calls with typed messages that block: the same as in [`client`](super), without `async`.
//!
//! **Each call has a completion queue of its own**, which costs no system call. A thread that waits for
//! its call waits on that queue, and does the I/O of the call's connection meanwhile; so calls may be made
//! by any thread, in a blocking handler too. It waits until the call is over, which is at its deadline
//! at the latest: set one.
//!
//! An `async` handler must not call what blocks.

mod streams;
mod stub;
mod wait;

pub use streams::{Reader, Upload, Writer};
pub use stub::Stub;
