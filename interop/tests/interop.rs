//! The cases of gRPC's interoperability tests: every client there is against our server, and what
//! no case asks of it.
//!
//! The clients are grpc-go's own, one on Python's grpcio, and raw frames for what neither can do.

#[path = "../../tests/raw/mod.rs"]
mod raw;
#[path = "../../tests/support/mod.rs"]
mod support;

mod interop {
    pub(crate) mod cases;
    pub(crate) mod clients;
    pub(crate) mod frames;
    pub(crate) mod table;
}

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use interop::cases::{self, CASES};
use interop::clients;
use interop::frames::{self, Peer};
use interop::table::Table;
use raw::frame::{self, Frame};
use support::PATIENCE;
use support::peers;
use support::process::Process;
use support::server::Server;
use turnstile_protos::testing::{
    Empty, ResponseParameters, StreamingOutputCallRequest, StreamingOutputCallResponse,
};

const SERVER: &str = env!("CARGO_BIN_EXE_interop_server");

/// Our server on a free port.
fn server(args: &[&str]) -> Server {
    let address = ["--port=0", "--address", "127.0.0.1", "--use_tls=false"];
    Server::run(Path::new(SERVER), &[&address, args].concat())
}

#[test]
fn every_client_passes_its_cases_against_our_server() {
    let server = server(&[]);
    let mut table = Table::new("interop_server", &CASES);
    if let Some(program) = peers::find(peers::Peer::GoInteropClient) {
        table.add("grpc-go", clients::grpc_go(&program, server.address()));
    }
    if let Some(python) = peers::find(peers::Peer::Python) {
        table.add("grpcio", clients::grpcio(&python, server.address()));
    }
    table.add("frames", cases::over_frames(server.address()));
    server.stop();
    table.finish();
}

#[test]
fn a_response_with_an_interval_waits_without_the_thread() {
    let server = server(&["--threads=1"]);
    let mut peer = Peer::connect(server.address());
    let after = |interval_us| ResponseParameters { size: 1, interval_us, ..Default::default() };
    let request = |response_parameters| StreamingOutputCallRequest {
        response_parameters,
        ..Default::default()
    };
    let long = peer.start("StreamingOutputCall", &request(vec![after(i32::MAX)]));
    // The only thread is there for others meanwhile.
    peer.call("EmptyCall", &Empty {}).one::<Empty>();
    let start = Instant::now();
    let reply = peer.call("FullDuplexCall", &request(vec![after(5_000), after(5_000)]));
    assert!(start.elapsed() >= Duration::from_millis(10), "each interval counts");
    assert_eq!(reply.all::<StreamingOutputCallResponse>().len(), 2);
    peer.client.send(&Frame::reset(long, frame::CANCEL));
    drop(peer);
    server.stop();
}

#[test]
fn half_duplex_answers_when_all_requests_have_come() {
    let server = server(&[]);
    let mut peer = Peer::connect(server.address());
    let request = |size| StreamingOutputCallRequest {
        response_parameters: vec![ResponseParameters { size, ..Default::default() }],
        ..Default::default()
    };
    let stream = peer.open("HalfDuplexCall", &[frames::plain(&request(3))]);
    let early = peer.client.ping();
    assert!(early.iter().all(|frame| frame.stream != stream), "{early:?}");
    let last = Frame::data(stream, frames::plain(&request(4)), true);
    peer.client.send(&last);
    let replies = peer.reply(stream).all::<StreamingOutputCallResponse>();
    let sizes = replies.iter().map(|it| it.1.payload.as_ref().map(|payload| payload.body.len()));
    assert_eq!(sizes.collect::<Vec<_>>(), [Some(3), Some(4)]);
    drop(peer);
    server.stop();
}

#[test]
fn payloads_that_nobody_can_have_are_refused() {
    let server = server(&[]);
    let mut peer = Peer::connect(server.address());
    for size in [-1, i32::MAX] {
        let wanted = ResponseParameters { size, ..Default::default() };
        let request =
            StreamingOutputCallRequest { response_parameters: vec![wanted], ..Default::default() };
        let reply = peer.call("StreamingOutputCall", &request);
        assert_eq!(reply.0.code(), cases::INVALID_ARGUMENT, "{}", reply.0.message());
    }
    drop(peer);
    server.stop();
}

#[test]
fn flags_that_cannot_be_are_refused_with_what_to_do() {
    let refused = [
        (&["--use_tls=true"][..], "--use_tls=true: this server has no TLS yet"),
        (&["--use_tls"], "--use_tls=true: this server has no TLS yet"),
        (&["--port", "x"], "--port cannot be \"x\""),
        (&["--threads=0"], "--threads cannot be 0"),
        (&["--prot=1"], "there is no flag --prot"),
        (&["1"], "\"1\" belongs to no flag"),
    ];
    for (args, message) in refused {
        let mut command = Command::new(SERVER);
        let ended = Process::spawn(command.args(args).stderr(Stdio::piped())).join(PATIENCE);
        assert_eq!(ended.exit_code, Some(2), "{args:?}: {ended:?}");
        assert!(ended.stderr.contains(message), "{args:?}: {ended:?}");
        assert!(ended.stderr.contains("usage: interop_server"), "{args:?}: {ended:?}");
    }
}
