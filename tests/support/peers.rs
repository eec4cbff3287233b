//! Where the programs of other gRPC and HTTP/2 implementations are.
//!
//! `cargo xtask tools` installs them. A test whose peer is missing is skipped with a word about
//! it, or fails if `TURNSTILE_REQUIRE_PEERS` is 1, as in `cargo xtask test`.

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;

/// A program that the tests run against a server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Peer {
    /// The command-line client of grpc-go.
    Grpcurl,
    /// The client of Kubernetes for health checks.
    HealthProbe,
    /// A Python interpreter with grpcio, grpcio-reflection and grpcio-tools.
    Python,
    /// The load generator of nghttp2.
    H2load,
    /// The plain HTTP/2 client of nghttp2.
    Nghttp,
    /// What writes down system calls.
    Strace,
    /// The interoperability client of grpc-go.
    GoInteropClient,
    /// The interoperability server of grpc-go.
    GoInteropServer,
    /// The client of grpc-go for servers that break HTTP/2.
    GoNegativeClient,
}

/// The path of a peer, or a return from the test that cannot do without it.
#[allow(unused_macros, reason = "not every test file runs a peer")]
macro_rules! peer {
    ($peer:ident) => {
        match $crate::support::peers::find($crate::support::peers::Peer::$peer) {
            Some(path) => path,
            None => return,
        }
    };
}
#[allow(unused_imports, reason = "not every test file runs a peer")]
pub(crate) use peer;

/// The path of a peer. If it is missing, says so and returns `None`.
///
/// # Panics
/// If it is missing and the environment requires it.
pub(crate) fn find(peer: Peer) -> Option<PathBuf> {
    let found = peer.candidates().into_iter().find(|path| path.is_file());
    if found.is_none() {
        report_missing(peer);
    }
    found
}

fn report_missing(peer: Peer) {
    unavailable(&format!("{peer:?} is not installed: run `cargo xtask tools`"));
}

/// Says that the test at hand tests nothing, for want of a peer.
///
/// # Panics
/// If the environment requires peers.
pub(crate) fn unavailable(why: &str) {
    let required = env::var_os("TURNSTILE_REQUIRE_PEERS").is_some_and(|value| value == "1");
    assert!(!required, "{why}");
    skipped(why);
}

/// Says that the test at hand tests nothing, and why.
pub(crate) fn skipped(why: &str) {
    let current = thread::current();
    let test = current.name().unwrap_or("a test");
    // Not by eprintln!: libtest would keep that to itself, since the test is about to pass.
    let _ = writeln!(io::stderr(), "skipped {test}: {why}");
}

impl Peer {
    fn candidates(self) -> Vec<PathBuf> {
        let tools = workspace().join("target/tools");
        match self {
            Self::Grpcurl => vec![tools.join("bin/grpcurl")],
            Self::HealthProbe => vec![tools.join("bin/grpc-health-probe")],
            Self::Python => vec![tools.join("venv/bin/python")],
            Self::H2load => on_path_or(&tools, "h2load"),
            Self::Nghttp => on_path_or(&tools, "nghttp"),
            Self::Strace => on_path_or(&tools, "strace"),
            Self::GoInteropClient => vec![tools.join("go-interop/client")],
            Self::GoInteropServer => vec![tools.join("go-interop/server")],
            Self::GoNegativeClient => vec![tools.join("go-interop/http2")],
        }
    }
}

fn on_path_or(tools: &Path, program: &str) -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain([tools.join("bin")]);
    folders.map(|folder| folder.join(program)).collect()
}

/// The root of the workspace, in which the crate of the test is, or which it is itself.
pub(crate) fn workspace() -> &'static Path {
    let mut folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    folders.find(|it| it.join("Cargo.lock").is_file()).expect("the workspace has a Cargo.lock")
}

/// A folder under `target` for what tests write.
pub(crate) fn scratch() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}
