//! What a server does when the system gives it no more.

mod support;

use std::io::Read;
use std::net::TcpStream;
use support::server::Server;
use support::{PATIENCE, poll_until};

/// The type of a SETTINGS frame, with which a server begins (RFC 9113 sections 3.4 and 6.5).
const SETTINGS: u8 = 4;

/// Whether the server behind a connection has begun to speak.
fn is_served(connection: &mut TcpStream) -> bool {
    let mut head = [0; 9];
    connection.set_read_timeout(Some(PATIENCE)).expect("PATIENCE is not zero");
    connection.read_exact(&mut head).is_ok() && head[3] == SETTINGS
}

#[test]
fn a_server_without_descriptors_serves_again_when_it_has_some() {
    const LIMIT: usize = 32;
    let server = Server::start_with_descriptors(LIMIT, "greeter_server");
    let connect = || TcpStream::connect(server.address()).expect("the kernel's queue has room");
    let mut taken = Vec::new();
    let is_full = poll_until(PATIENCE, || {
        taken.push(connect());
        server.open_descriptors() >= LIMIT
    });
    assert!(is_full, "{} of {LIMIT} descriptors are open", server.open_descriptors());

    // These wait in the listener's queue: the server has nothing to accept them with.
    let mut waiting: Vec<_> = (0..LIMIT / 4).map(|_| connect()).collect();
    assert!(server.open_descriptors() >= LIMIT);
    drop(taken);
    for connection in &mut waiting {
        assert!(is_served(connection), "a connection that waited was lost");
    }
    assert!(is_served(&mut connect()), "the listener was lost");
    drop(waiting);
    server.stop();
}
