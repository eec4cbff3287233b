//! From what is counted to channelz's messages.

use super::proto::address::{Address as Kind, OtherAddress, TcpIpAddress, UdsAddress};
use super::proto::{
    Address, Server, ServerData, ServerRef, Socket, SocketData as SocketNumbers, SocketRef,
};
use crate::iomgr::{ListenAddress, PeerAddress};
use crate::monitor::{ListenSocket, ServerMonitor, SocketData};
use bytes::Bytes;
use prost_types::Timestamp;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::SystemTime;

pub(super) fn server(server: &ServerMonitor) -> Server {
    let (listeners, calls) = (server.listeners(), server.calls());
    let name = listeners.first().map(|it| it.address.to_string()).unwrap_or_default();
    let data = ServerData {
        trace: None,
        calls_started: number(calls.started),
        calls_succeeded: number(calls.succeeded),
        calls_failed: number(calls.failed),
        last_call_started_timestamp: calls.last_started.map(timestamp),
    };
    Server {
        r#ref: Some(ServerRef { server_id: server.id(), name }),
        data: Some(data),
        listen_socket: listeners.iter().map(listen_socket_ref).collect(),
    }
}

pub(super) fn socket_ref(socket: &SocketData) -> SocketRef {
    SocketRef { socket_id: socket.id, name: socket.remote.to_string() }
}

fn listen_socket_ref(listener: &ListenSocket) -> SocketRef {
    SocketRef { socket_id: listener.id, name: listener.address.to_string() }
}

pub(super) fn socket(socket: &SocketData) -> Socket {
    let counts = socket.counts();
    let data = SocketNumbers {
        streams_started: number(counts.started),
        streams_succeeded: number(counts.ended_with_ok + counts.ended_with_error),
        streams_failed: number(counts.broken),
        messages_sent: number(counts.messages_sent),
        messages_received: number(counts.messages_received),
        keep_alives_sent: number(counts.pings_sent),
        last_remote_stream_created_timestamp: counts.last_started.map(timestamp),
        last_message_sent_timestamp: counts.last_sent.map(timestamp),
        last_message_received_timestamp: counts.last_received.map(timestamp),
        ..SocketNumbers::default()
    };
    Socket {
        r#ref: Some(socket_ref(socket)),
        data: Some(data),
        local: socket.local.as_ref().map(address),
        remote: Some(address(&socket.remote)),
        ..Socket::default()
    }
}

pub(super) fn listen_socket(listener: &ListenSocket) -> Socket {
    let address = match &listener.address {
        ListenAddress::Tcp(address) => tcp(*address),
        ListenAddress::Unix(path) => unix(path),
        // The kernel writes the 0 byte before such a name as an @ (unix(7)).
        ListenAddress::Abstract(name) => uds(format!("@{}", String::from_utf8_lossy(name))),
    };
    Socket {
        r#ref: Some(listen_socket_ref(listener)),
        data: Some(SocketNumbers::default()),
        local: Some(Address { address: Some(address) }),
        ..Socket::default()
    }
}

fn address(address: &PeerAddress) -> Address {
    let kind = match address {
        PeerAddress::Tcp(address) => tcp(*address),
        PeerAddress::Unix(peer) => unix(peer.path()),
        PeerAddress::InProcess => {
            Kind::OtherAddress(OtherAddress { name: address.to_string(), value: None })
        }
    };
    Address { address: Some(kind) }
}

fn tcp(address: SocketAddr) -> Kind {
    let ip_address = match address.ip() {
        IpAddr::V4(ip) => Bytes::copy_from_slice(&ip.octets()),
        IpAddr::V6(ip) => Bytes::copy_from_slice(&ip.octets()),
    };
    Kind::TcpipAddress(TcpIpAddress { ip_address, port: i32::from(address.port()) })
}

fn unix(path: &Path) -> Kind {
    uds(path.to_string_lossy().into_owned())
}

fn uds(filename: String) -> Kind {
    Kind::UdsAddress(UdsAddress { filename })
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn timestamp(time: SystemTime) -> Timestamp {
    time.into()
}
