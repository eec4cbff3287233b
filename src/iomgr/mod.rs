//! The I/O manager: everything between the operating system and the transports.
//!
//! This is the portable face. Nothing above it sees an fd, since on Windows there will be none.
//!
//! # Lock order
//!
//! Take left before right, and never the other way round:
//!
//! 1. server: `connections`, a method's `calls`
//! 2. call: `state`, then what a channel's `picker` shows, or the calls of a client's connection
//! 3. h2's own locks (wakers run under them, so a waker only enqueues)
//! 4. the graph of pollset sets
//! 5. turnstile: a neighbourhood, then a pollset's `state`
//! 6. where an fd was added (the system is called under it)
//! 7. the I/O manager's `clock` (before the timers)
//! 8. leaves, under which nothing else is locked and no foreign code runs: completion queue
//!    `state`, readiness cell, fd table, timers, inbox, what `monitor` keeps, the news of a channel's
//!    connections, the state of an in-process transport
//!
//! A transport's connection is not guarded by a lock but by its turn (IDLE / NOTIFIED / RUNNING):
//! the thread that has the turn may take any lock above. So it is with what keeps a channel's
//! connections, and in its turn it makes transports and gives them their first turn.

mod deadline;
mod endpoint;
mod exec_ctx;
mod readiness;
mod sleep;
mod timers;
mod turn;

mod posix;

pub use deadline::Deadline;
pub(crate) use endpoint::{Endpoint, Peer};
pub use endpoint::{PeerAddress, UnixCredentials, UnixPeer};
pub(crate) use exec_ctx::{ExecCtx, Run, Scheduled, attends, drop_later};
pub use posix::ListenAddress;
#[cfg(turnstile_bench)]
pub(crate) use posix::bench;
pub(crate) use posix::{
    AcceptHandler, Bound, Connect, Host, Iomgr, Listening, Pollset, PollsetSet, Preferences,
    Purpose, TcpListener,
};
pub(crate) use sleep::Sleep;
pub(crate) use timers::TimerId;
pub(crate) use turn::Turn;

/// A manager of its own for the tests and models of the layers above.
#[cfg(all(test, turnstile_loom))]
pub(crate) use posix::loom_models::iomgr as iomgr_for_tests;
#[cfg(all(test, not(turnstile_loom)))]
pub(crate) use posix::tests::{
    Sleepers, endpoint as endpoint_for_tests, iomgr as iomgr_for_tests, iomgr_on, on_every_engine,
    pollset as pollset_for_tests,
};

#[cfg(all(test, turnstile_loom))]
mod loom_models;
