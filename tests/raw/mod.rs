//! A server in the test's own process, and a client that sends it raw HTTP/2 frames.

#![allow(dead_code, reason = "each test file uses a part of this")]

pub(crate) mod client;
pub(crate) mod frame;
pub(crate) mod request;
pub(crate) mod server;

use std::time::Duration;

/// How long anything may take that ought to be immediate; only a failure waits this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
