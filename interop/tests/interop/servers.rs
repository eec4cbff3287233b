//! The servers of other projects, and what they leave out.
//!
//! Each listens on a free port, is ready when it has said so, and is killed when it is dropped.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::process::Process;
use crate::support::python;
use crate::support::server::Server;

/// A case that a server cannot do, and the reason.
pub(crate) type Gap = (&'static str, &'static str);

/// All cases that a server cannot do.
pub(crate) type Gaps = &'static [Gap];

const NO_GZIP: &str = "grpc-go's server has no gzip, and looks at no request's compression";

/// Of grpc-go's server.
pub(crate) const GRPC_GO: Gaps = &[
    ("cacheable_unary", "grpc-go's server does not implement CacheableUnaryCall"),
    ("client_compressed_unary", NO_GZIP),
    ("server_compressed_unary", NO_GZIP),
    ("client_compressed_streaming", NO_GZIP),
    ("server_compressed_streaming", NO_GZIP),
    ("pick_first_unary", "grpc-go's server does not fill in server_id"),
];

const UNTOLD: &str = "grpcio does not tell a handler whether a request was compressed";

/// Of `tests/peers/interop_server.py`.
pub(crate) const GRPCIO: Gaps =
    &[("client_compressed_unary", UNTOLD), ("client_compressed_streaming", UNTOLD)];

/// Of our own server.
pub(crate) const OURS: Gaps = &[];

/// Starts grpc-go's server.
pub(crate) fn grpc_go(program: &Path) -> Server {
    let mut command = Command::new(program);
    command.args(["--port=0", "--use_tls=false"]).stderr(Stdio::piped());
    // Its log is the only place where it says on which port it listens.
    command.env("GRPC_GO_LOG_SEVERITY_LEVEL", "info");
    command.env_remove("GRPC_GO_LOG_FORMATTER").env_remove("GRPC_GO_LOG_VERBOSITY_LEVEL");
    let mut process = Process::spawn(&mut command);
    let line = process.wait_for_stderr_line("interop server listening on ");
    let (_, port) = line.rsplit_once(':').expect("an address ends with its port");
    let port: u16 = port.parse().unwrap_or_else(|_| panic!("no port in {line:?}"));
    // It listens on all addresses of the machine.
    Server::of("grpc-go's server", process, format!("127.0.0.1:{port}"))
}

/// Starts the server on grpcio.
pub(crate) fn grpcio(python: &Path) -> Server {
    python::serve(python, "interop_server.py")
}
