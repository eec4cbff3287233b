//! Tests of calls, each over both transports, and over HTTP/2 with h2's own client and with ours: what
//! a client and an application see of a call.
//!
//! There is no socket and no second thread, except where a test says so: a test does something at
//! one end, and [`Rpc::settle`] works both ends until nothing moves any more. So what has not
//! happened then does not happen.

/// Makes a `#[test]` for each transport of functions that are generic over the client.
macro_rules! on_both_transports {
    ($($test:ident),+ $(,)?) => {
        mod h2 {
            $(
                #[test]
                fn $test() {
                    super::$test::<crate::call::tests::h2_peer::H2Peer>();
                }
            )+
        }

        mod h2_ends {
            $(
                #[test]
                fn $test() {
                    super::$test::<crate::call::tests::h2_ends::H2Ends>();
                }
            )+
        }

        mod inproc {
            $(
                #[test]
                fn $test() {
                    super::$test::<crate::call::tests::inproc_peer::InprocPeer>();
                }
            )+
        }
    };
}

mod duplex;
mod h2_ends;
mod h2_peer;
mod inproc_peer;
mod rpc;

mod batches;
#[cfg(any(feature = "gzip", feature = "deflate", feature = "zstd"))]
mod compression;
mod endings;
mod flow_control;
mod kinds;
mod messages;
mod polled;
mod schedules;
mod stats;

use rpc::{End, Options, Peer, Rpc};
