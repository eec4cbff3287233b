//! The example `keepalive`, with a raw client. Apart from the other tests of keepalive, whose servers
//! count the sockets of their process.

mod raw;
mod support;

use raw::client::Client;
use raw::frame::{self, Frame};
use support::server::Server;

fn connect(server: &Server) -> Client {
    Client::connect(server.address().parse().expect("it listens on TCP"))
}

#[test]
fn a_client_that_answers_no_ping_is_closed() {
    let server = Server::start("keepalive", &[]);
    let mut client = connect(&server);
    client.greet();
    let ping = client.expect(frame::PING);
    assert!(!ping.has(frame::ACK), "{ping:?}");
    assert_eq!(client.rest(), []);
    server.stop();
}

#[test]
fn a_client_that_sends_too_many_pings_is_told_so_and_closed() {
    let server = Server::start("keepalive", &[]);
    let mut client = connect(&server);
    client.send_bytes(&frame::to_bytes(&vec![Frame::ping([7; 8]); 10]));
    let goaway = client.expect(frame::GOAWAY);
    assert_eq!(goaway.number(4), frame::ENHANCE_YOUR_CALM);
    assert_eq!(&goaway.payload[8..], b"too_many_pings");
    client.rest();
    server.stop();
}

#[test]
fn a_client_without_calls_is_told_to_go() {
    let server = Server::start("keepalive", &[]);
    let mut client = connect(&server);
    let goaway = loop {
        let frame = client.next_frame().expect("it is told before it is closed");
        match frame.kind {
            frame::PING => client.pong(&frame),
            frame::GOAWAY => break frame,
            _ => {}
        }
    };
    assert_eq!((goaway.number(0), goaway.number(4)), (frame::ALL_STREAMS, frame::NO_ERROR));
    server.stop();
}
