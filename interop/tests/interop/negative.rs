//! The cases in which a server breaks what a client may rely on, and the server for them.
//!
//! A server of frames does what a case says, and records what its client did: `Record::check` says
//! whether that was right. Whether the calls ended as they should is for the client to say.

pub(crate) mod connection;
pub(crate) mod record;
pub(crate) mod server;

use self::server::{Case, NegativeServer};
use super::cases::CASES;
use super::clients;
use super::frames::Peer;
use super::table::{Outcome, Table};
use crate::raw::frame::{self, Frame};
use crate::support::PATIENCE;
use crate::support::peers::peer;
use turnstile_interop::client::{self, Style, messages};

/// The names of the cases that other languages have too.
const NAMES: [&str; 8] = {
    let mut names = [""; 8];
    let mut at = 0;
    while at < names.len() {
        names[at] = Case::STANDARD[at].name();
        at += 1;
    }
    names
};

/// Runs a client against the server of a case, where it makes so many calls that are not made
/// anew, and asserts of a client that is content that it did what is right. It is given the address.
pub(crate) fn run(
    case: Case,
    calls: usize,
    client: impl FnOnce(&str) -> Outcome,
) -> (&'static str, Outcome) {
    let server = NegativeServer::start(case);
    let outcome = client(&server.address().to_string());
    let record = server.finish();
    if !matches!(outcome, Outcome::Failed(_)) {
        record.check(case, calls);
    }
    (case.name(), outcome)
}

/// These, and what only our client is asked: to make a call anew that a server has not looked at.
const OUR_NAMES: [&str; 10] = {
    let mut names = [""; 10];
    names.split_at_mut(8).0.copy_from_slice(&NAMES);
    [names[8], names[9]] = [Case::GoawayBeforeCall.name(), Case::RefusedStream.name()];
    names
};

/// How often our client calls in a case.
fn our_calls(case: Case) -> usize {
    match case {
        Case::Goaway => 2,
        Case::MaxStreams => 1 + messages::MAX_STREAMS_CALLS,
        _ => 1,
    }
}

#[test]
fn our_client_passes_the_negative_cases() {
    let mut table = Table::new("our client against frames", &OUR_NAMES);
    for style in Style::ALL {
        let run = |case: Case| {
            let name = match case {
                Case::GoawayBeforeCall | Case::RefusedStream => "large_unary",
                _ => case.name(),
            };
            let client = |address: &str| clients::start_ours(style, address, name);
            run(case, our_calls(case), |address| clients::passed(client(address)).into())
        };
        let more = [Case::GoawayBeforeCall, Case::RefusedStream];
        table.add(style.name(), Case::STANDARD.into_iter().chain(more).map(run).collect());
    }
    table.finish();
}

/// How often grpc-go's client calls in a case.
fn calls_of_grpc_go(case: Case) -> usize {
    match case {
        Case::Goaway => 2,
        Case::MaxStreams => 16,
        _ => 1,
    }
}

/// So that a case that fails with our client is our client's fault.
#[test]
fn grpc_go_passes_the_negative_cases() {
    let negative = peer!(GoNegativeClient);
    let positive = peer!(GoInteropClient);
    let client = |case: Case, address: &str| {
        // Its client for these cases has none with padding, which is made of a usual one.
        let (program, name) = match case {
            Case::DataFramePadding | Case::NoPadding => (&positive, "large_unary"),
            _ => (&negative, case.name()),
        };
        let ended = clients::start(program, address, name).join(3 * PATIENCE);
        let complaint = "UnaryCall() = _, Internal, want _, Unknown";
        match ended.exit_code {
            Some(0) => Outcome::Passed,
            Some(1) if case == Case::RstDuringData && ended.stderr.contains(complaint) => {
                Outcome::Impossible("grpc-go says INTERNAL, where its own client wants UNKNOWN")
            }
            _ => Outcome::Failed(format!("{ended:#?}")),
        }
    };
    let mut table = Table::new("against frames", &NAMES);
    let run = |case| run(case, calls_of_grpc_go(case), |address| client(case, address));
    table.add("grpc-go", Case::STANDARD.into_iter().map(run).collect());
    table.finish();
}

#[test]
fn our_client_has_the_names_of_all_cases() {
    let (negative, others): (Vec<_>, Vec<_>) = client::Case::all().partition(|it| it.is_negative());
    assert_eq!(negative.iter().map(|case| case.name()).collect::<Vec<_>>(), NAMES);
    assert_eq!(others.iter().map(|case| case.name()).collect::<Vec<_>>(), CASES);
}

#[test]
fn a_client_that_stays_behind_a_goaway_is_noticed() {
    let server = NegativeServer::start(Case::Goaway);
    let mut peer = Peer::connect(&server.address().to_string());
    let first = peer.start("UnaryCall", &messages::large_unary());
    let goaway = peer.client.expect(frame::GOAWAY);
    assert_eq!((goaway.number(0), goaway.number(4)), (first, frame::NO_ERROR));
    assert_eq!(peer.reply(first).0.code(), 0);
    peer.start("UnaryCall", &messages::large_unary());
    drop(peer);
    assert_eq!(server.finish().calls(), [(0, 1), (0, 3)]);
}

#[test]
fn a_client_that_does_not_answer_pings_is_noticed() {
    let server = NegativeServer::start(Case::Ping);
    let mut peer = Peer::connect(&server.address().to_string());
    let stream = peer.start("UnaryCall", &messages::large_unary());
    peer.client.head(stream);
    drop(peer);
    let record = server.finish();
    let [sent, acked] = record.pings();
    assert!(sent.len() > 40 && acked.is_empty(), "{record:?}");
}

#[test]
fn a_client_with_more_streams_than_it_may_have_is_noticed() {
    let server = NegativeServer::start(Case::MaxStreams);
    let mut peer = Peer::connect(&server.address().to_string());
    let request = messages::large_unary();
    let first = peer.start("UnaryCall", &request);
    peer.client.expect(frame::SETTINGS);
    peer.client.send(&Frame::new(frame::SETTINGS, frame::ACK, 0, []));
    assert_eq!(peer.reply(first).0.code(), 0);
    peer.start("UnaryCall", &request);
    let second = peer.start("UnaryCall", &request);
    peer.client.ping();
    peer.client.send(&Frame::reset(second, frame::CANCEL));
    drop(peer);
    let record = server.finish();
    assert_eq!(record.most_open(), 2, "{record:?}");
}

#[test]
fn a_refused_call_and_one_behind_a_goaway_were_not_looked_at() {
    let server = NegativeServer::start(Case::RefusedStream);
    let mut peer = Peer::connect(&server.address().to_string());
    let refused = peer.call("UnaryCall", &messages::large_unary());
    assert_eq!(refused.0.reset, Some(frame::REFUSED_STREAM));
    assert_eq!(peer.call("UnaryCall", &messages::large_unary()).0.code(), 0);
    drop(peer);
    server.finish().check(Case::RefusedStream, 1);

    let server = NegativeServer::start(Case::GoawayBeforeCall);
    let address = server.address().to_string();
    let mut peer = Peer::connect(&address);
    peer.start("UnaryCall", &messages::large_unary());
    assert_eq!(peer.client.expect(frame::GOAWAY).number(0), 0);
    let mut other = Peer::connect(&address);
    assert_eq!(other.call("UnaryCall", &messages::large_unary()).0.code(), 0);
    drop((peer, other));
    server.finish().check(Case::GoawayBeforeCall, 1);
}
