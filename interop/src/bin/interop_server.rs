//! The server of gRPC's interoperability tests.
//!
//! ```text
//! cargo run --release -p turnstile-interop --bin interop_server -- --port=10000
//! ```

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "programs talk")]

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::env;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;
use turnstile::{Encoding, Server};
use turnstile_interop::{Flags, TestService};
use turnstile_protos::testing::test_service;

const USAGE: &str = "\
usage: interop_server [--port=PORT] [--address=ADDRESS] [--threads=N] [--use_tls=false]
  --port     the port to listen on, or 0 for a free one; 10000 if not given
  --address  the IP address to listen on, IPv6 in brackets; 0.0.0.0 if not given
  --threads  how many threads serve; 2 if not given
  --use_tls  false: there is no TLS yet";

/// How long running calls may take after a signal.
const GRACE: Duration = Duration::from_secs(10);

struct Options {
    listen: String,
    threads: usize,
}

impl Options {
    fn read(mut flags: Flags) -> Result<Self, String> {
        let port = flags.take::<u16>("port")?.unwrap_or(10_000);
        let address = flags.take("address")?.unwrap_or_else(|| "0.0.0.0".to_owned());
        let threads = flags.take("threads")?.unwrap_or(2);
        if flags.take("use_tls")? == Some(true) {
            return Err("--use_tls=true: this server has no TLS yet; use --use_tls=false".into());
        }
        flags.finish()?;
        match threads {
            0 => Err("--threads cannot be 0: nobody would serve".into()),
            _ => Ok(Self { listen: format!("{address}:{port}"), threads }),
        }
    }
}

fn main() -> ExitCode {
    let options = match Flags::parse(env::args().skip(1)).and_then(Options::read) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match serve(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until SIGINT or SIGTERM comes.
fn serve(options: &Options) -> turnstile::Result<()> {
    let server = Server::builder()
        .accept_compressed(&[Encoding::Gzip])
        .compress_replies(Encoding::Gzip)
        .add_service(test_service::server(TestService))
        .bind(&options.listen)?;
    // Before the address is printed, so that whoever reads it can stop this process cleanly.
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    for address in server.addresses() {
        println!("listening on {address}");
    }
    thread::scope(|scope| {
        for _ in 0..options.threads {
            scope.spawn(|| server.run());
        }
        signals.forever().next();
        server.shutdown(GRACE);
    });
    Ok(())
}
