//! For how long a server keeps its connections, frame by frame: clients that are gone, that send
//! PINGs all the time, that have no calls, or that have been there for long.
//!
//! What must happen is waited for, and times are short; what must not happen in a time is asked of
//! one client when it has happened to another, which came later.

mod raw;
mod support;

use std::time::Duration;

use raw::client::Client;
use raw::frame::{self, Frame};
use raw::request::{COUNT, HOLD, Request, message};
use raw::server::TestServer;

/// Far longer than a test may take: what has this timeout must not wait for it.
const NEVER: Duration = Duration::from_secs(3600);

/// Long enough for a client's handshake on a machine that is busy.
const SOON: Duration = Duration::from_millis(400);

/// A client with a running call, which is stream 1.
fn client_with_held_call(server: &TestServer) -> Client {
    let mut client = Client::connect(server.address());
    assert_eq!(client.request(&Request::of(HOLD)), 1);
    server.wait_for_held_call();
    client
}

/// Reads the PING of a keepalive.
#[track_caller]
fn keepalive_ping(client: &mut Client) -> Frame {
    let ping = client.expect(frame::PING);
    assert!(!ping.has(frame::ACK), "{ping:?}");
    ping
}

/// Reads the GOAWAY that asks a client to go, and gives the PING behind it.
#[track_caller]
fn first_goaway(client: &mut Client) -> Frame {
    let goaway = client.expect(frame::GOAWAY);
    assert_eq!((goaway.number(0), goaway.number(4)), (frame::ALL_STREAMS, frame::NO_ERROR));
    keepalive_ping(client)
}

/// Asserts that the connection ends without an error.
#[track_caller]
fn assert_closes_well(client: &mut Client) {
    let rest = client.rest();
    let is_good = |it: &Frame| it.kind != frame::GOAWAY || it.number(4) == frame::NO_ERROR;
    assert!(rest.iter().all(is_good), "{rest:?}");
}

/// Asserts that a GOAWAY tells the client to send fewer PINGs, that h2's own tells it the last
/// stream, and that the connection ends.
#[track_caller]
fn assert_is_calmed(client: &mut Client, last_stream: u32) {
    let text = client.expect(frame::GOAWAY);
    assert_eq!((text.number(0), text.number(4)), (frame::ALL_STREAMS, frame::ENHANCE_YOUR_CALM));
    assert_eq!(&text.payload[8..], b"too_many_pings");
    let last = client.expect(frame::GOAWAY);
    assert_eq!((last.number(0), last.number(4)), (last_stream, frame::ENHANCE_YOUR_CALM));
    assert_eq!(client.rest(), []);
}

// Clients that are gone.

#[test]
fn a_silent_client_is_pinged_and_closed_and_its_call_is_cancelled() {
    let server = TestServer::with(|builder| {
        builder.keepalive(SOON, Duration::from_millis(50));
    });
    let mut client = client_with_held_call(&server);
    keepalive_ping(&mut client);
    assert_eq!(client.rest(), []);
    server.wait_for("the call's close", |state| (state.closed, state.cancelled) == (1, 1));
    drop(client);
    server.stop();
}

#[test]
fn a_client_that_answers_is_pinged_again_and_stays() {
    let server = TestServer::with(|builder| {
        builder.keepalive(Duration::from_millis(20), NEVER);
    });
    let mut client = client_with_held_call(&server);
    for _ in 0..5 {
        let ping = keepalive_ping(&mut client);
        client.pong(&ping);
    }
    client.greet();
    assert_eq!(server.state(|state| state.closed), 0);
    drop(client);
    server.stop();
}

#[test]
fn a_client_that_does_not_answer_the_shutdowns_ping_is_not_kept_for_its_call() {
    let server = TestServer::with(|builder| {
        builder.keepalive(SOON, SOON).goaway_timeout(NEVER);
    });
    let mut client = client_with_held_call(&server);
    server.shut_down();
    first_goaway(&mut client);
    assert_eq!(client.rest(), []);
    server.wait_for("the shutdown", |state| state.shutdowns == 1);
    server.wait_for("the call's close", |state| (state.closed, state.cancelled) == (1, 1));
    drop(client);
    server.stop();
}

// Clients that send PINGs all the time.

#[test]
fn the_third_early_ping_ends_the_connection_and_its_calls() {
    let server = TestServer::start();
    let mut client = client_with_held_call(&server);
    for _ in 0..3 {
        client.ping();
    }
    client.send(&Frame::ping([4; 8]));
    assert_is_calmed(&mut client, 1);
    server.wait_for("the call's close", |state| (state.closed, state.cancelled) == (1, 1));
    drop(client);
    server.stop();
}

#[test]
fn a_burst_of_pings_ends_the_connection() {
    let server = TestServer::start();
    let mut client = Client::connect(server.address());
    let pings: Vec<_> = (0..100).map(|n| Frame::ping([n; 8])).collect();
    client.send_bytes(&frame::to_bytes(&pings));
    assert_is_calmed(&mut client, 0);
    drop(client);
    server.stop();
}

/// As the clients of grpc-go and C-core do, to measure the bandwidth (BDP).
#[test]
fn a_ping_for_each_piece_of_data_is_no_abuse() {
    let server = TestServer::start();
    let mut client = Client::connect(server.address());
    for _ in 0..20 {
        client.greet();
        client.ping();
    }
    // Of one message, they may come when the server has sent it long ago.
    let stream = client.request(&Request::of(HOLD));
    server.answer_held_call(40_000);
    let answer = client.answer(stream);
    assert_eq!(answer.body, message(&[7; 40_000]));
    for _ in 0..answer.body.len().div_ceil(frame::MAX_PAYLOAD) {
        client.ping();
    }
    client.greet();
    drop(client);
    server.stop();
}

#[test]
fn what_the_server_sends_forgets_strikes() {
    let server = TestServer::start();
    let mut client = Client::connect(server.address());
    for _ in 0..5 {
        for _ in 0..3 {
            client.ping();
        }
        client.greet();
    }
    drop(client);
    server.stop();
}

#[test]
fn room_that_the_server_gives_forgets_strikes() {
    let server = TestServer::with(|builder| {
        builder.stream_window(64 * 1024);
    });
    let mut client = Client::connect(server.address());
    let stream = client.request(&Request::of(COUNT).open());
    let upload = message(&[7; 3 * frame::MAX_PAYLOAD - 5]);
    for _ in 0..5 {
        for _ in 0..3 {
            client.ping();
        }
        for part in upload.chunks(frame::MAX_PAYLOAD) {
            client.send(&Frame::data(stream, part, false));
        }
        client.expect(frame::WINDOW_UPDATE);
    }
    client.send(&Frame::data(stream, [], true));
    assert_eq!(client.answer(stream).code(), 0);
    drop(client);
    server.stop();
}

#[test]
fn clients_may_ping_as_often_as_the_server_permits() {
    let server = TestServer::with(|builder| {
        builder.min_ping_interval(Duration::ZERO).permit_pings_without_calls(true);
    });
    let mut client = Client::connect(server.address());
    for _ in 0..100 {
        client.ping();
    }
    drop(client);
    server.stop();
}

#[test]
fn without_calls_a_short_interval_is_permitted_only_if_the_server_says_so() {
    let server = TestServer::with(|builder| {
        builder.min_ping_interval(Duration::ZERO);
    });
    let mut with_call = client_with_held_call(&server);
    for _ in 0..10 {
        with_call.ping();
    }
    let mut without = Client::connect(server.address());
    for _ in 0..3 {
        without.ping();
    }
    without.send(&Frame::ping([4; 8]));
    assert_is_calmed(&mut without, 0);
    drop((with_call, without));
    server.stop();
}

// Clients without calls.

#[test]
fn an_idle_client_is_told_to_go_and_one_with_a_call_is_not() {
    let server = TestServer::with(|builder| {
        builder.max_connection_idle(SOON).goaway_timeout(NEVER);
    });
    let mut busy = client_with_held_call(&server);
    let mut idle = Client::connect(server.address());
    let ping = first_goaway(&mut idle);
    idle.pong(&ping);
    assert_closes_well(&mut idle);
    let meanwhile = busy.ping();
    assert!(meanwhile.iter().all(|it| it.kind != frame::GOAWAY), "{meanwhile:?}");
    // Its time begins with the end of the call.
    server.answer_held_call(1);
    assert_eq!(busy.answer(1).code(), 0);
    let ping = first_goaway(&mut busy);
    busy.pong(&ping);
    assert_closes_well(&mut busy);
    drop((busy, idle));
    server.stop();
}

#[test]
fn a_call_that_crosses_the_goaway_of_an_idle_connection_is_served() {
    let server = TestServer::with(|builder| {
        builder.max_connection_idle(SOON).goaway_timeout(NEVER);
    });
    let mut client = Client::connect(server.address());
    let ping = first_goaway(&mut client);
    client.greet();
    client.pong(&ping);
    assert_closes_well(&mut client);
    drop(client);
    server.stop();
}

// Clients that have been there for long.

#[test]
fn an_old_connection_goes_away_and_its_call_runs_to_its_end() {
    let server = TestServer::with(|builder| {
        builder.max_connection_age(SOON).goaway_timeout(NEVER);
    });
    let mut client = client_with_held_call(&server);
    let ping = first_goaway(&mut client);
    client.greet();
    client.pong(&ping);
    let last = client.expect(frame::GOAWAY);
    assert_eq!((last.number(0), last.number(4)), (3, frame::NO_ERROR));
    server.answer_held_call(50_000);
    let answer = client.answer(1);
    assert_eq!((answer.code(), answer.body), (0, message(&[7; 50_000])));
    assert_closes_well(&mut client);
    // The server goes on.
    Client::connect(server.address()).greet();
    drop(client);
    server.stop();
}

#[test]
fn a_call_that_outlives_the_grace_is_cancelled() {
    let server = TestServer::with(|builder| {
        builder.max_connection_age(SOON).max_connection_age_grace(Duration::from_millis(50));
    });
    let mut client = client_with_held_call(&server);
    let ping = first_goaway(&mut client);
    client.pong(&ping);
    assert_closes_well(&mut client);
    server.wait_for("the call's close", |state| (state.closed, state.cancelled) == (1, 1));
    drop(client);
    server.stop();
}

/// The limits of one connection share its timer, and the next one is found whichever was set first.
#[test]
fn all_limits_together_keep_a_client_that_behaves_until_it_is_old() {
    let server = TestServer::with(|builder| {
        builder
            .keepalive(Duration::from_millis(20), NEVER)
            .max_connection_idle(NEVER)
            .max_connection_age(SOON)
            .max_connection_age_grace(NEVER)
            .handshake_timeout(NEVER);
    });
    let mut client = Client::connect(server.address());
    let goaway = loop {
        let frame = client.next_frame().expect("it is told before it is closed");
        match frame.kind {
            frame::PING => client.pong(&frame),
            frame::GOAWAY => break frame,
            _ => {}
        }
    };
    assert_eq!((goaway.number(0), goaway.number(4)), (frame::ALL_STREAMS, frame::NO_ERROR));
    drop(client);
    server.stop();
}
