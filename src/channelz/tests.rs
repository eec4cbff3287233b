//! The answers of the service, without a connection.

use super::messages;
use super::proto::address::Address as Kind;
use super::{Channelz, PAGE, page_size};
use crate::iomgr::{ListenAddress, PeerAddress};
use crate::monitor::{ListenSocket, StreamMonitor};
use crate::status::Code;
use std::time::SystemTime;

#[test]
fn a_page_is_as_long_as_asked_up_to_a_limit() {
    assert_eq!(page_size(1).unwrap(), 1);
    assert_eq!(page_size(PAGE as i64).unwrap(), PAGE);
    for many in [0, PAGE as i64 + 1, i64::MAX] {
        assert_eq!(page_size(many).unwrap(), PAGE);
    }
    for negative in [-1, i64::MIN] {
        let status = page_size(negative).unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains("max_results"), "{status}");
    }
}

#[test]
fn a_server_is_told_with_its_calls_and_listeners() {
    let server = Channelz::new().monitor();
    server.enter(&[
        ListenAddress::Tcp("127.0.0.1:7".parse().unwrap()),
        ListenAddress::Unix("/run/a".into()),
    ]);
    let before = prost_types::Timestamp::from(SystemTime::now());
    let socket = server.connect(None, PeerAddress::InProcess);
    for code in [Code::Ok, Code::Ok, Code::Internal] {
        StreamMonitor::start(Some(&socket)).ended(code);
    }
    let told = messages::server(&server);
    let name = told.r#ref.map(|it| (it.server_id, it.name));
    assert_eq!(name, Some((server.id(), "127.0.0.1:7".to_owned())));
    let data = told.data.unwrap();
    assert_eq!((data.calls_started, data.calls_succeeded, data.calls_failed), (3, 2, 1));
    let last = data.last_call_started_timestamp.unwrap();
    assert!((last.seconds, last.nanos) >= (before.seconds, before.nanos), "{last:?}");
    let names: Vec<_> = told.listen_socket.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["127.0.0.1:7", "unix:/run/a"]);
}

#[test]
fn a_connection_is_told_with_its_streams_messages_and_addresses() {
    let server = Channelz::new().monitor();
    let remote = "[::1]:8".parse().unwrap();
    let local = PeerAddress::Tcp("127.0.0.1:7".parse().unwrap());
    let socket = server.connect(Some(local), PeerAddress::Tcp(remote));
    let data = server.sockets(0, 1).items.remove(0);
    let quiet = messages::socket(&data).data.unwrap();
    assert_eq!(quiet, Default::default(), "no time is told of what never was");

    let mut stream = StreamMonitor::start(Some(&socket));
    stream.message_received();
    stream.message_sent();
    stream.message_sent();
    stream.ended(Code::NotFound);
    socket.ping_sent();
    drop(StreamMonitor::start(Some(&socket)));
    let told = messages::socket(&data);
    let numbers = told.data.unwrap();
    assert_eq!(
        (numbers.streams_started, numbers.streams_succeeded, numbers.streams_failed),
        (2, 1, 1),
    );
    assert_eq!((numbers.messages_received, numbers.messages_sent), (1, 2));
    assert_eq!(numbers.keep_alives_sent, 1);
    assert!(numbers.last_remote_stream_created_timestamp.is_some());
    assert!(numbers.last_message_received_timestamp.is_some());
    assert!(numbers.last_message_sent_timestamp.is_some());
    assert!(numbers.last_local_stream_created_timestamp.is_none(), "the server began none");
    assert_eq!(told.r#ref.map(|it| it.name).as_deref(), Some("ipv6:[::1]:8"));
    let ips = [told.local, told.remote].map(|address| match address.and_then(|it| it.address) {
        Some(Kind::TcpipAddress(address)) => (address.ip_address.to_vec(), address.port),
        other => panic!("{other:?}"),
    });
    let mut loopback = vec![0; 16];
    loopback[15] = 1;
    assert_eq!(ips, [(vec![127, 0, 0, 1], 7), (loopback, 8)]);
}

#[test]
fn a_listener_is_told_with_its_address_alone() {
    for (address, filename) in [
        (ListenAddress::Unix("/run/a".into()), "/run/a"),
        (ListenAddress::Abstract(b"name".to_vec()), "@name"),
    ] {
        let told = messages::listen_socket(&ListenSocket { id: 5, address });
        assert_eq!(told.r#ref.map(|it| it.socket_id), Some(5));
        assert_eq!(told.remote, None);
        match told.local.and_then(|it| it.address) {
            Some(Kind::UdsAddress(address)) => assert_eq!(address.filename, filename),
            other => panic!("{other:?}"),
        }
    }
}
