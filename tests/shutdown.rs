//! The ends of a server: graceful, hastened and abrupt. What runs is served to its end or told of
//! it, and everything that was begun comes out.

mod raw;
mod support;

use std::env;
use std::io;
use std::net::TcpStream;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process;
use std::thread;
use std::time::Duration;

use raw::PATIENCE;
use raw::client::{Answer, Client};
use raw::frame::{self, Frame};
use raw::request::{HOLD, Request, SAY_HELLO, message};
use raw::server::TestServer;
use support::poll_until;
use turnstile::{CompletionQueue, Deadline, PluckQueue, Server};

const UNAVAILABLE: u32 = 14;

/// Far longer than a test may take: what has this timeout must not wait for it.
const NEVER: Duration = Duration::from_secs(3600);

/// How many calls a [`TestServer`] asks for at any time.
const REQUESTED: usize = 12;

/// A server whose timeouts cannot be what ends a connection.
fn patient_server() -> TestServer {
    TestServer::with(|builder| {
        builder.goaway_timeout(NEVER).handshake_timeout(NEVER);
    })
}

/// A client with a running call, which is stream 1.
fn client_with_held_call(server: &TestServer) -> Client {
    let mut client = Client::connect(server.address());
    assert_eq!(client.request(&Request::of(HOLD)), 1);
    server.wait_for_held_call();
    client
}

/// Reads the GOAWAY that begins a graceful shutdown, and gives the PING behind it.
#[track_caller]
fn first_goaway(client: &mut Client) -> Frame {
    let goaway = client.expect(frame::GOAWAY);
    assert_eq!((goaway.number(0), goaway.number(4)), (frame::ALL_STREAMS, frame::NO_ERROR));
    let ping = client.expect(frame::PING);
    assert!(!ping.has(frame::ACK), "{ping:?}");
    ping
}

/// Asserts that the held call was answered, with this many bytes.
#[track_caller]
fn assert_served(answer: &Answer, length: usize) {
    assert_eq!((answer.http(), answer.code()), ("200", 0), "{answer:?}");
    assert_eq!(answer.body, message(&vec![7; length]));
}

/// Asserts that what comes before the end of the connection says that there was no error.
#[track_caller]
fn assert_closes_well(client: &mut Client) {
    let rest = client.rest();
    let is_good = |it: &Frame| match it.kind {
        frame::GOAWAY => it.number(4) == frame::NO_ERROR,
        kind => kind == frame::WINDOW_UPDATE,
    };
    assert!(rest.iter().all(is_good), "{rest:?}");
}

#[track_caller]
fn wait_for_shutdowns(server: &TestServer, count: usize) {
    server.wait_for("the shutdown", |state| state.shutdowns == count);
}

#[test]
fn a_graceful_shutdown_sends_two_goaways_and_serves_the_running_call_to_its_end() {
    let server = patient_server();
    let mut client = client_with_held_call(&server);
    server.shut_down();
    let ping = first_goaway(&mut client);
    // Calls that crossed the first GOAWAY are answered, and the second waits for the PONG.
    let crossing = client.call(&Request::hello("you"));
    assert_eq!((crossing.http(), crossing.code()), ("200", UNAVAILABLE), "{crossing:?}");
    let meanwhile = client.ping();
    assert!(meanwhile.iter().all(|it| it.kind != frame::GOAWAY), "{meanwhile:?}");

    client.pong(&ping);
    let last = client.expect(frame::GOAWAY);
    assert_eq!((last.number(0), last.number(4)), (3, frame::NO_ERROR));
    assert_eq!(server.state(|state| (state.shutdowns, state.cancelled)), (0, 0));
    server.answer_held_call(50_000);
    assert_served(&client.answer(1), 50_000);
    assert_closes_well(&mut client);
    drop(client);
    wait_for_shutdowns(&server, 1);
    server.wait_for("the call's close", |state| state.closed == 1);
    assert_eq!(server.state(|state| (state.failed_sends, state.cancelled)), (0, 0));
    server.stop();
}

/// Reads a stream's answer, and gives window back for each piece that it has read. Gives its body
/// and its trailers.
#[track_caller]
fn read_with_a_small_window(client: &mut Client, stream: u32) -> (Vec<u8>, Vec<(String, String)>) {
    let mut body = Vec::new();
    client.head(stream);
    loop {
        let frame = client.next_frame().unwrap_or_else(|| panic!("lost after {}", body.len()));
        match frame.kind {
            frame::DATA => {
                let size = frame.payload.len() as u32;
                body.extend(frame.payload);
                client.send(&Frame::window_update(stream, size));
                client.send(&Frame::window_update(0, size));
            }
            frame::HEADERS => return (body, client.decode(&frame.payload)),
            _ => {}
        }
    }
}

fn assert_reads_all_with_a_small_window(server: &TestServer, mut client: Client) {
    const LENGTH: usize = 5 << 20;
    client.request(&Request::of(HOLD));
    server.wait_for_held_call();
    server.shut_down();
    let ping = first_goaway(&mut client);
    client.pong(&ping);
    server.answer_held_call(LENGTH);
    let (body, trailers) = read_with_a_small_window(&mut client, 1);
    assert_eq!(body.len(), 5 + LENGTH);
    assert!(trailers.contains(&("grpc-status".into(), "0".into())), "{trailers:?}");
    assert_closes_well(&mut client);
    // It does not wait for a client that has closed.
    drop(client);
    wait_for_shutdowns(server, 1);
    assert_eq!(server.state(|state| (state.failed_sends, state.cancelled)), (0, 0));
}

/// What the client sends then finds no closed socket, which would cost it the rest of its reply.
#[test]
fn a_client_may_send_while_it_reads_the_last_reply() {
    let server = patient_server();
    let window = [(frame::INITIAL_WINDOW_SIZE, 1 << 20)];
    let mut client = Client::connect_with(server.address(), &window);
    client.send(&Frame::window_update(0, 1 << 20));
    assert_reads_all_with_a_small_window(&server, client);
    server.stop();
}

#[test]
fn a_client_of_a_unix_socket_may_send_while_it_reads_the_last_reply() {
    let path = socket_path("lingers");
    let server = server_on(&path);
    assert_reads_all_with_a_small_window(&server, connect_unix(&path));
    server.stop();
}

/// The end of the old connection is no shutdown, so nobody waits for it.
#[test]
fn a_client_may_send_while_it_reads_the_last_reply_of_an_old_connection() {
    let server = TestServer::with(|builder| {
        builder.max_connection_age(Duration::from_millis(100));
    });
    let mut client = client_with_held_call(&server);
    let ping = first_goaway(&mut client);
    client.pong(&ping);
    server.answer_held_call(5 << 20);
    let (body, _) = read_with_a_small_window(&mut client, 1);
    assert_eq!(body.len(), 5 + (5 << 20));
    drop(client);
    server.wait_for_sockets(1);
    server.stop();
}

/// The client has its reply and the connection's end, and keeps its socket.
#[test]
fn a_client_that_does_not_close_holds_a_shutdown_up_for_a_moment_only() {
    let server = patient_server();
    let mut client = client_with_held_call(&server);
    server.shut_down();
    let ping = first_goaway(&mut client);
    client.pong(&ping);
    server.answer_held_call(1000);
    assert_served(&client.answer(1), 1000);
    assert_closes_well(&mut client);
    // Whatever it sends changes nothing.
    client.send(&Frame::ping(*b"pingpong"));
    wait_for_shutdowns(&server, 1);
    drop(client);
    server.stop();
}

/// The same, of a client that sends and sends.
#[test]
fn a_client_that_does_not_stop_to_send_is_closed_after_a_moment() {
    let server = patient_server();
    let mut client = Client::connect(server.address());
    client.greet();
    server.shut_down();
    let ping = first_goaway(&mut client);
    client.pong(&ping);
    assert_closes_well(&mut client);
    let noise = vec![0; 1 << 20];
    let is_closed = || client.try_send_bytes(&noise).is_err();
    assert!(poll_until(PATIENCE, is_closed), "the server reads for ever");
    wait_for_shutdowns(&server, 1);
    drop(client);
    server.stop();
}

#[test]
fn a_client_that_answers_no_ping_is_served_to_the_end_of_its_call_and_gets_no_new_one() {
    let server = TestServer::with(|builder| {
        builder.goaway_timeout(Duration::from_millis(100));
    });
    let mut client = client_with_held_call(&server);
    server.shut_down();
    first_goaway(&mut client);
    let is_refused = || {
        let answer = client.call(&Request::hello("you"));
        assert!(!answer.is_closed, "the connection has a running call: {answer:?}");
        answer.reset == Some(frame::REFUSED_STREAM)
    };
    assert!(poll_until(PATIENCE, is_refused), "new calls are taken after the goaway timeout");
    assert_eq!(server.state(|state| state.shutdowns), 0);
    server.answer_held_call(1000);
    assert_served(&client.answer(1), 1000);
    assert_closes_well(&mut client);
    drop(client);
    wait_for_shutdowns(&server, 1);
    server.wait_for("the call's close", |state| state.closed == 1);
    assert_eq!(server.state(|state| (state.failed_sends, state.cancelled)), (0, 0));
    server.stop();
}

#[test]
fn a_client_that_answers_no_ping_and_has_no_call_is_closed_after_the_goaway_timeout() {
    let server = TestServer::with(|builder| {
        builder.goaway_timeout(Duration::from_millis(100));
    });
    let mut client = Client::connect(server.address());
    client.greet();
    server.shut_down();
    first_goaway(&mut client);
    assert_closes_well(&mut client);
    drop(client);
    wait_for_shutdowns(&server, 1);
    server.stop();
}

/// As in a program whose other threads leave when the shutdown begins.
#[test]
fn a_thread_that_only_waits_for_the_end_brings_it_about() {
    let _alone = raw::server::alone();
    let mut builder = Server::builder();
    let server = builder.goaway_timeout(NEVER).bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let (calls, stopped) = (CompletionQueue::new(), PluckQueue::new());
    server.request_call(&calls, "a call").unwrap();
    thread::scope(|scope| {
        let serving = scope.spawn(|| calls.next(Deadline::NONE));
        let mut client = Client::connect(address);
        client.ping();
        server.shutdown_and_notify(&stopped, "stopped").unwrap();
        assert!(!serving.join().unwrap().unwrap().is_ok(), "no call has come");
        let client = scope.spawn(move || {
            let ping = first_goaway(&mut client);
            client.pong(&ping);
            assert_closes_well(&mut client);
        });
        let event = stopped.pluck(&"stopped", Deadline::after(PATIENCE));
        assert!(event.is_some_and(|event| event.is_ok()));
        client.join().unwrap();
    });
}

#[test]
fn idle_connections_and_those_without_a_preface_do_not_hold_a_shutdown_up() {
    let server = patient_server();
    let mut idle = Client::connect(server.address());
    let mut nothing = Client::silent(server.address());
    let mut half = Client::silent(server.address());
    half.send_bytes(&frame::PREFACE[..12]);
    // The server has accepted them when its SETTINGS come.
    nothing.expect(frame::SETTINGS);
    half.expect(frame::SETTINGS);
    server.shut_down();
    assert_eq!(nothing.rest(), []);
    assert_eq!(half.rest(), []);
    let ping = first_goaway(&mut idle);
    idle.pong(&ping);
    assert_closes_well(&mut idle);
    drop((idle, nothing, half));
    wait_for_shutdowns(&server, 1);
    server.stop();
}

#[test]
fn calls_whose_first_message_never_comes_do_not_hold_a_shutdown_up() {
    let server = patient_server();
    let mut client = Client::connect(server.address());
    assert_eq!(client.request(&Request::of(SAY_HELLO).open()), 1);
    // Calls are taken in in their order: the first waits for its message now.
    client.greet();
    server.shut_down();
    let ping = first_goaway(&mut client);
    let answer = client.answer(1);
    assert_eq!((answer.http(), answer.code()), ("200", UNAVAILABLE), "{answer:?}");
    // Nobody waits for the message any more.
    assert_eq!(client.expect(frame::RST_STREAM).number(0), frame::NO_ERROR);
    client.pong(&ping);
    assert_closes_well(&mut client);
    drop(client);
    wait_for_shutdowns(&server, 1);
    server.stop();
}

#[test]
fn nobody_can_connect_once_a_shutdown_has_begun() {
    let server = patient_server();
    let client = client_with_held_call(&server);
    server.shut_down();
    let error = TcpStream::connect_timeout(&server.address(), PATIENCE).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    drop(client);
    wait_for_shutdowns(&server, 1);
    server.stop();
}

#[test]
fn each_shutdown_has_its_tag_come_out_once() {
    let server = patient_server();
    let mut client = client_with_held_call(&server);
    server.shut_down();
    let ping = first_goaway(&mut client);
    server.shut_down();
    // The second changes nothing for the client.
    let meanwhile = client.ping();
    assert_eq!(meanwhile, []);
    client.pong(&ping);
    assert_eq!(client.expect(frame::GOAWAY).number(0), 1);
    assert_eq!(server.state(|state| state.shutdowns), 0);
    server.answer_held_call(1);
    assert_served(&client.answer(1), 1);
    drop(client);
    wait_for_shutdowns(&server, 2);
    // One after the end is complete at once.
    server.shut_down();
    wait_for_shutdowns(&server, 3);
    server.stop();
}

#[test]
fn cancelling_all_calls_ends_those_that_run_and_completes_the_shutdown() {
    let server = patient_server();
    let mut client = client_with_held_call(&server);
    server.shut_down();
    first_goaway(&mut client);
    assert_eq!(server.state(|state| (state.shutdowns, state.closed)), (0, 0));
    server.cancel_all_calls();
    server.wait_for("the call's close", |state| (state.closed, state.cancelled) == (1, 1));
    assert_closes_well(&mut client);
    wait_for_shutdowns(&server, 1);
    drop(client);
    server.stop();
}

#[test]
fn cancelling_all_calls_alone_leaves_the_server_listening() {
    let server = patient_server();
    let mut client = client_with_held_call(&server);
    server.cancel_all_calls();
    server.wait_for("the call's close", |state| (state.closed, state.cancelled) == (1, 1));
    assert_closes_well(&mut client);
    let mut next = Client::connect(server.address());
    next.greet();
    drop((client, next));
    server.stop();
}

/// Its sockets' buffers are full, so the last GOAWAY cannot leave.
#[test]
fn cancelling_all_calls_does_not_wait_for_a_client_that_reads_nothing() {
    const MORE_THAN_BUFFERS: u32 = 64 << 20;
    let server = patient_server();
    let window = [(frame::INITIAL_WINDOW_SIZE, MORE_THAN_BUFFERS)];
    let mut client = Client::connect_with(server.address(), &window);
    client.send(&Frame::window_update(0, MORE_THAN_BUFFERS));
    client.request(&Request::of(HOLD));
    server.answer_held_call(MORE_THAN_BUFFERS as usize - 5);
    client.expect(frame::DATA);
    server.shut_down();
    server.cancel_all_calls();
    server.wait_for("the call's close", |state| (state.closed, state.cancelled) == (1, 1));
    server.wait_for("the send's failure", |state| state.failed_sends == 1);
    wait_for_shutdowns(&server, 1);
    drop(client);
    server.stop();
}

#[test]
fn requested_calls_come_out_without_one_when_the_shutdown_begins() {
    let server = patient_server();
    let mut client = client_with_held_call(&server);
    assert_eq!(server.state(|state| state.failed_requests), 0);
    server.shut_down();
    server.wait_for("the requests' end", |state| state.failed_requests == REQUESTED);
    // They do not wait for the calls that run.
    assert_eq!(server.state(|state| (state.shutdowns, state.closed)), (0, 0));
    let ping = first_goaway(&mut client);
    client.pong(&ping);
    server.answer_held_call(1);
    assert_served(&client.answer(1), 1);
    drop(client);
    wait_for_shutdowns(&server, 1);
    server.stop();
}

#[test]
fn a_dropped_server_closes_its_connections_and_every_tag_comes_out() {
    let server = patient_server();
    let mut client = client_with_held_call(&server);
    let mut nothing = Client::silent(server.address());
    nothing.expect(frame::SETTINGS);
    server.drop_server();
    server.wait_for("the call's close", |state| (state.closed, state.cancelled) == (1, 1));
    server.wait_for("the requests' end", |state| state.failed_requests == REQUESTED);
    assert_closes_well(&mut client);
    assert_eq!(nothing.rest(), []);
    let error = TcpStream::connect_timeout(&server.address(), PATIENCE).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    drop((client, nothing));
    server.stop();
}

#[test]
fn a_server_dropped_during_its_shutdown_completes_it() {
    let server = patient_server();
    let mut client = client_with_held_call(&server);
    server.shut_down();
    first_goaway(&mut client);
    assert_eq!(server.state(|state| state.shutdowns), 0);
    server.drop_server();
    assert_closes_well(&mut client);
    wait_for_shutdowns(&server, 1);
    server.wait_for("the call's close", |state| (state.closed, state.cancelled) == (1, 1));
    drop(client);
    server.stop();
}

#[test]
fn a_queue_that_is_shut_down_still_gives_the_tags_that_are_in_it() {
    let server = patient_server();
    let mut client = client_with_held_call(&server);
    server.shut_down();
    let ping = first_goaway(&mut client);
    server.shut_queue_down();
    // No operation can begin, so nobody can answer the call: its client gives it up.
    client.send(&Frame::reset(1, frame::CANCEL));
    server.wait_for("the call's close", |state| (state.closed, state.cancelled) == (1, 1));
    client.pong(&ping);
    assert_closes_well(&mut client);
    drop(client);
    wait_for_shutdowns(&server, 1);
    server.drop_server();
    server.stop();
}

/// A path for a UNIX socket. It must be short (unix(7)), so it is not in the target folder.
fn socket_path(name: &str) -> PathBuf {
    env::temp_dir().join(format!("turnstile-{}-{name}", process::id()))
}

fn server_on(path: &Path) -> TestServer {
    TestServer::with(|builder| {
        builder.goaway_timeout(NEVER).listen(&format!("unix:{}", path.display()));
    })
}

fn connect_unix(path: &Path) -> Client {
    let mut client = Client::on_unix(UnixStream::connect(path).expect("the server listens"));
    client.shake_hands(&[]);
    client
}

#[test]
fn a_unix_socket_is_removed_by_the_shutdown_and_its_connections_end_gracefully() {
    let path = socket_path("removed");
    let server = server_on(&path);
    let mut client = connect_unix(&path);
    client.greet();
    assert!(path.exists());
    server.shut_down();
    let ping = first_goaway(&mut client);
    client.pong(&ping);
    assert_closes_well(&mut client);
    drop(client);
    wait_for_shutdowns(&server, 1);
    assert!(!path.exists());
    server.stop();
}

#[test]
fn a_unix_socket_is_removed_with_a_dropped_server() {
    let path = socket_path("dropped");
    let server = server_on(&path);
    assert!(path.exists());
    server.drop_server();
    assert!(!path.exists());
    server.stop();
}

#[test]
fn a_unix_socket_that_nobody_listens_on_any_more_is_replaced() {
    let path = socket_path("left-over");
    let server = TestServer::with(|builder| {
        // Made here, where no other test's server counts the sockets of this process.
        drop(UnixListener::bind(&path).expect("the path is free"));
        assert!(path.exists(), "std leaves the file");
        builder.listen(&format!("unix:{}", path.display()));
    });
    let mut client = connect_unix(&path);
    client.greet();
    drop(client);
    server.stop();
    assert!(!path.exists());
}
