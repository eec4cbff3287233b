//! The clients: ours, and those of other projects.

use std::path::Path;
use std::process::{Command, Stdio};

use turnstile_interop::client::Style;

use super::cases::CASES;
use super::servers::{self, Gap, Gaps};
use super::table::{Outcome, Results};
use crate::support::PATIENCE;
use crate::support::process::Process;
use crate::support::python::Script;

/// Our client.
pub(crate) const OURS: &str = env!("CARGO_BIN_EXE_interop_client");

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

/// What cannot be done by the client on grpcio with grpc-go's server.
pub(crate) const GRPCIO_TO_GRPC_GO: [Gap; servers::GRPC_GO.len() + 1] = {
    let race = "grpc-go's server resets a call at its deadline, and grpcio takes that for a CANCELLED \
                if it comes before grpcio's own timer";
    let mut gaps = [("timeout_on_sleeping_server", race); servers::GRPC_GO.len() + 1];
    gaps.split_at_mut(1).1.copy_from_slice(servers::GRPC_GO);
    gaps
};

/// Runs grpc-go's client.
pub(crate) fn grpc_go(program: &Path, address: &str, gaps: Gaps) -> Results {
    run(&GRPC_GO, gaps, |case| passed(start(program, address, case)))
}

/// Runs our client in one of its styles, once for each case that the server can do.
pub(crate) fn ours(style: Style, address: &str, gaps: Gaps) -> Results {
    run(&CASES, gaps, |case| passed(start_ours(style, address, case)))
}

/// Starts our client.
pub(crate) fn start_ours(style: Style, address: &str, case: &str) -> Process {
    start_with(Path::new(OURS), address, case, &[&format!("--style={style}")])
}

/// Waits for a client, and says what it said unless its case passed.
pub(crate) fn passed(client: Process) -> Result<(), String> {
    let ended = client.join(3 * PATIENCE);
    let is_ok = ended.exit_code == Some(0);
    if is_ok { Ok(()) } else { Err(format!("{ended:#?}")) }
}

/// Starts a client with the flags that all languages have.
pub(crate) fn start(program: &Path, address: &str, case: &str) -> Process {
    start_with(program, address, case, &[])
}

fn start_with(program: &Path, address: &str, case: &str, more: &[&str]) -> Process {
    let (host, port) = address.rsplit_once(':').expect("an address has a port");
    let mut command = Command::new(program);
    command.arg(format!("--server_host={host}")).arg(format!("--server_port={port}"));
    command.arg(format!("--test_case={case}")).args(more);
    Process::spawn(command.stderr(Stdio::piped()))
}

/// Runs the client on grpcio, once for all cases that the server can do.
pub(crate) fn grpcio(python: &Path, address: &str, gaps: Gaps) -> Results {
    let cases: Vec<_> = GRPCIO.into_iter().filter(|case| gap(gaps, case).is_none()).collect();
    let ended = Script::new(python, "interop_client.py", address).report(&cases);
    run(&GRPCIO, gaps, |case| {
        let is_ok = ended.stdout.lines().any(|line| line == format!("ok   {case}"));
        if is_ok { Ok(()) } else { Err(format!("{}\n{}", ended.stdout, ended.stderr)) }
    })
}

/// What becomes of the cases, but for those that the server cannot do.
pub(crate) fn run(
    cases: &[&'static str],
    gaps: Gaps,
    mut run: impl FnMut(&'static str) -> Result<(), String>,
) -> Results {
    let outcome = |case: &&'static str| match gap(gaps, case) {
        Some(why) => (*case, Outcome::Impossible(why)),
        None => (*case, run(case).into()),
    };
    cases.iter().map(outcome).collect()
}

/// Why a server cannot do this case, if it cannot.
fn gap(gaps: Gaps, case: &str) -> Option<&'static str> {
    gaps.iter().find(|(missing, _)| *missing == case).map(|(_, why)| *why)
}
