//! The client of gRPC's interoperability tests, which does one case.
//!
//! ```text
//! cargo run --release -p turnstile-interop --bin interop_client -- --server_port=10000 --test_case=ping_pong
//! ```

#![expect(clippy::print_stderr, reason = "programs talk")]

use std::env;
use std::process::ExitCode;
use turnstile_interop::Flags;
use turnstile_interop::client::{self, Options};

/// 0 if the case passed, 1 if not, and 2 for flags that cannot be.
fn main() -> ExitCode {
    let options = match Flags::parse(env::args().skip(1)).and_then(Options::read) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}\n{}", Options::USAGE);
            return ExitCode::from(2);
        }
    };
    match client::run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{}, {}: {message}", options.case, options.style);
            ExitCode::FAILURE
        }
    }
}
