//! Tests of calls, each over both transports: what a client and an application see of a call.
//!
//! Most are about the server's end, and have three clients, all with one face ([`Peer`]): h2's own, and
//! ours ([`ends`]) over HTTP/2 and within the process. Those of [`both_ends`] are about ours.
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
            use crate::call::tests::ends::{Ends, H2Link};
            $(
                #[test]
                fn $test() {
                    super::$test::<Ends<H2Link>>();
                }
            )+
        }

        mod inproc {
            use crate::call::tests::ends::{Ends, InprocLink};
            $(
                #[test]
                fn $test() {
                    super::$test::<Ends<InprocLink>>();
                }
            )+
        }
    };
}

/// The same of functions about both ends of a call, which are generic over the link between them.
macro_rules! on_both_links {
    ($($test:ident),+ $(,)?) => {
        mod over_h2 {
            $(
                #[test]
                fn $test() {
                    super::$test::<crate::call::tests::ends::H2Link>();
                }
            )+
        }

        mod in_process {
            $(
                #[test]
                fn $test() {
                    super::$test::<crate::call::tests::ends::InprocLink>();
                }
            )+
        }
    };
}

mod duplex;
mod ends;
mod h2_peer;
mod rpc;

mod batches;
mod both_ends;
mod both_schedules;
#[cfg(any(feature = "gzip", feature = "deflate", feature = "zstd"))]
mod compression;
mod endings;
mod flow_control;
mod kinds;
mod messages;
mod polled;
mod schedules;
mod stats;

use ends::{Ends, Link};
use rpc::{End, Options, Peer, Rpc};
