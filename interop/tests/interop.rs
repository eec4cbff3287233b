//! The cases of gRPC's interoperability tests: every client there is against our server, our client
//! against every server there is, and what no case asks of them.
//!
//! The others are grpc-go's own, those on Python's grpcio, and raw frames for what neither can do.

#[path = "../../tests/raw/mod.rs"]
mod raw;
#[path = "../../tests/support/mod.rs"]
mod support;

mod interop {
    pub(crate) mod cases;
    pub(crate) mod clients;
    pub(crate) mod frames;
    pub(crate) mod negative;
    pub(crate) mod servers;
    pub(crate) mod table;
    mod wrong;
}

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use interop::cases::{self, CASES};
use interop::clients;
use interop::frames::{self, Peer};
use interop::servers::{self, Gaps};
use interop::table::Table;
use raw::frame::{self, Frame};
use support::PATIENCE;
use support::peers::{self, peer};
use support::process::Process;
use support::server::Server;
use turnstile_interop::client::Style;
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
    let mut table = Table::new("against our server", &CASES);
    if let Some(program) = peers::find(peers::Peer::GoInteropClient) {
        table.add("grpc-go", clients::grpc_go(&program, server.address(), servers::OURS));
    }
    if let Some(python) = peers::find(peers::Peer::Python) {
        table.add("grpcio", clients::grpcio(&python, server.address(), servers::OURS));
    }
    table.add("frames", cases::over_frames(server.address(), servers::OURS));
    server.stop();
    table.finish();
}

/// In each of its styles.
fn our_client_passes(title: &'static str, server: &Server, gaps: Gaps) {
    let mut table = Table::new(title, &CASES);
    for style in Style::ALL {
        table.add(style.name(), clients::ours(style, server.address(), gaps));
    }
    table.finish();
}

#[test]
fn our_client_passes_every_case_against_our_server() {
    let server = server(&[]);
    our_client_passes("our client, our server", &server, servers::OURS);
    server.stop();
}

#[test]
fn our_client_passes_its_cases_against_grpc_gos_server() {
    let server = servers::grpc_go(&peer!(GoInteropServer));
    our_client_passes("our client, grpc-go's server", &server, servers::GRPC_GO);
}

#[test]
fn our_client_passes_its_cases_against_the_server_on_grpcio() {
    let server = servers::grpcio(&peer!(Python));
    our_client_passes("our client, grpcio's server", &server, servers::GRPCIO);
}

/// So that a case that fails between one of these servers and our client is our client's fault.
#[test]
fn the_servers_of_others_pass_with_the_clients_of_others() {
    let [client, server, python] = [
        peers::find(peers::Peer::GoInteropClient),
        peers::find(peers::Peer::GoInteropServer),
        peers::find(peers::Peer::Python),
    ];
    let (Some(client), Some(server), Some(python)) = (client, server, python) else { return };
    let mut table = Table::new("among others", &CASES);
    let to = servers::grpc_go(&server);
    table.add("grpc-go-grpc-go", clients::grpc_go(&client, to.address(), servers::GRPC_GO));
    table
        .add("grpcio-grpc-go", clients::grpcio(&python, to.address(), &clients::GRPCIO_TO_GRPC_GO));
    table.add("frames-grpc-go", cases::over_frames(to.address(), servers::GRPC_GO));
    let to = servers::grpcio(&python);
    table.add("grpc-go-grpcio", clients::grpc_go(&client, to.address(), servers::GRPCIO));
    table.add("grpcio-grpcio", clients::grpcio(&python, to.address(), servers::GRPCIO));
    table.add("frames-grpcio", cases::over_frames(to.address(), servers::GRPCIO));
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
fn our_client_says_what_it_could_not_reach() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = listener.local_addr().expect("it listens").to_string();
    drop(listener);
    for style in Style::ALL {
        let ended = clients::start_ours(style, &address, "large_unary").join(PATIENCE);
        assert_eq!(ended.exit_code, Some(1), "{ended:?}");
        let said = format!("large_unary, {style}: a call failed: UNAVAILABLE: ");
        let has_cause = ended.stderr.contains(&address) && ended.stderr.contains("refused");
        assert!(ended.stderr.starts_with(&said) && has_cause, "{ended:?}");
    }
}

#[test]
fn flags_that_cannot_be_are_refused_with_what_to_do() {
    let refused = [
        (SERVER, &["--use_tls=true"][..], "--use_tls=true: this server has no TLS yet"),
        (SERVER, &["--use_tls"], "--use_tls=true: this server has no TLS yet"),
        (SERVER, &["--port", "x"], "--port cannot be \"x\""),
        (SERVER, &["--threads=0"], "--threads cannot be 0"),
        (SERVER, &["--prot=1"], "there is no flag --prot"),
        (SERVER, &["1"], "\"1\" belongs to no flag"),
        (clients::OURS, &["--use_tls"], "--use_tls=true: this client has no TLS yet"),
        (clients::OURS, &["--test_case=huge_unary"], "there is no case \"huge_unary\""),
    ];
    for (program, args, message) in refused {
        let mut command = Command::new(program);
        let ended = Process::spawn(command.args(args).stderr(Stdio::piped())).join(PATIENCE);
        assert_eq!(ended.exit_code, Some(2), "{args:?}: {ended:?}");
        assert!(ended.stderr.contains(message), "{args:?}: {ended:?}");
        let name = if program == SERVER { "interop_server" } else { "interop_client" };
        assert!(ended.stderr.contains(&format!("usage: {name} ")), "{args:?}: {ended:?}");
    }
}
