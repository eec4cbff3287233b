//! iomgr on POSIX systems: readiness of fds, by one of several polling engines.

mod sys;

mod apart;
mod engine;
mod epoll1;
mod epoll_set;
mod epollex;
mod poll;
mod poll_list;

mod cells;
mod events;
mod fd;
mod fd_table;
mod fired;
mod key;
mod manager;
mod pollable;
mod pollee;
mod pollset;
mod pollset_set;
mod role;
mod sleepers;
mod timekeeping;
mod trouble;
mod turnstile;
mod watch;
mod worker;
mod workers;

mod address;
mod bound;
mod tcp_client;
mod tcp_endpoint;
mod tcp_listener;

/// For `bench/engines`.
#[cfg(turnstile_bench)]
pub(crate) mod bench;

pub use address::ListenAddress;
pub(crate) use address::{Host, Purpose};
pub(crate) use bound::Bound;
pub(crate) use engine::Preferences;
pub(crate) use manager::Iomgr;
pub(crate) use pollee::PollTarget;
pub(crate) use pollset::Pollset;
pub(crate) use pollset_set::PollsetSet;
pub(crate) use sys::Listening;
pub(crate) use tcp_client::Connect;
pub(crate) use tcp_listener::{AcceptHandler, TcpListener};

#[cfg(all(test, turnstile_loom))]
pub(crate) mod loom_models;
#[cfg(all(test, not(turnstile_loom)))]
pub(crate) mod tests;
