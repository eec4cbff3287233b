//! What the measured clients share: the command line, the clock, and what is said to the driver.
//!
//! `CLIENT STYLE ADDR THREADS AT_ONCE WARM_UP CALLS` makes `WARM_UP` calls and says `warm`, waits for a
//! line, makes `CALLS` calls and says `done`, waits for a line, and says `took` with three numbers of
//! nanoseconds: the time of all calls, and the median and the 99th percentile of single ones (`-` where
//! several are under way at once). It waits between, so that the driver reads the kernel's account of it
//! when it is warm and when it is done. What it works with later it has from the start: threads that
//! ended would be missing in that account.

mod options;
mod phases;

pub use options::Options;
pub use phases::{Client, run};

/// The name in every request.
pub const NAME: &str = "world";

/// What goes wrong in a client.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The messages and the tonic client of `helloworld.proto`.
pub mod tonic_helloworld {
    #![allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all)]

    tonic::include_proto!("helloworld");
}

/// Whether this is the greeting that the server has to answer with.
///
/// # Errors
/// If it is not.
pub fn check(message: &str) -> Result<(), Failure> {
    match message {
        "Hello world" => Ok(()),
        other => Err(format!("the reply is {other:?}, not \"Hello world\"").into()),
    }
}
