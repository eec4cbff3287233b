//! The clients of other projects.

use std::path::Path;
use std::process::{Command, Stdio};

use super::table::Results;
use crate::support::PATIENCE;
use crate::support::process::Process;
use crate::support::python::Script;

/// The cases of grpc-go's client that need neither a cloud nor load reports.
const GRPC_GO: [&str; 15] = [
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "custom_metadata",
    "status_code_and_message",
    "special_status_message",
    "unimplemented_method",
    "unimplemented_service",
    "cancel_after_begin",
    "cancel_after_first_response",
    "timeout_on_sleeping_server",
    "pick_first_unary",
];

/// The cases of `tests/peers/interop_client.py`.
const GRPCIO: [&str; 16] = [
    "empty_unary",
    "cacheable_unary",
    "large_unary",
    "client_compressed_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "custom_metadata",
    "status_code_and_message",
    "special_status_message",
    "unimplemented_method",
    "unimplemented_service",
    "cancel_after_begin",
    "cancel_after_first_response",
    "timeout_on_sleeping_server",
];

/// Runs grpc-go's client, once for each case.
pub(crate) fn grpc_go(program: &Path, address: &str) -> Results {
    let (host, port) = address.rsplit_once(':').expect("an address has a port");
    let run = |case| {
        let mut command = Command::new(program);
        command.arg(format!("--server_host={host}")).arg(format!("--server_port={port}"));
        command.arg("--use_tls=false").arg(format!("--test_case={case}"));
        let ended = Process::spawn(command.stderr(Stdio::piped())).join(3 * PATIENCE);
        let is_ok = ended.exit_code == Some(0);
        (case, if is_ok { Ok(()) } else { Err(format!("{ended:#?}")) })
    };
    GRPC_GO.into_iter().map(run).collect()
}

/// Runs the client on grpcio, once for all cases.
pub(crate) fn grpcio(python: &Path, address: &str) -> Results {
    let ended = Script::new(python, "interop_client.py", address).report(&GRPCIO);
    let result = |case| {
        let is_ok = ended.stdout.lines().any(|line| line == format!("ok   {case}"));
        (case, if is_ok { Ok(()) } else { Err(format!("{}\n{}", ended.stdout, ended.stderr)) })
    };
    GRPCIO.into_iter().map(result).collect()
}
