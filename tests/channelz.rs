//! channelz, as tools see it: a server that is looked at, and one that tells of it.

mod raw;
mod support;

use prost::Message;
use raw::client::{Answer, Client};
use raw::frame;
use raw::request::{Request, message};
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;
use support::grpcurl::Grpcurl;
use support::peers::peer;
use support::python::Script;
use support::{PATIENCE, poll_until};
use turnstile::channelz::Channelz;
use turnstile::test_server::TestServer;
use turnstile::{Response, Server, Status, service};
use turnstile_protos::helloworld::{HelloReply, greeter};

const SERVICE: &str = "/grpc.channelz.v1.Channelz";
const INVALID_ARGUMENT: u32 = 3;
const NOT_FOUND: u32 = 5;

/// Parts of channelz's messages: fields that are not here are skipped.
#[derive(Clone, PartialEq, Message)]
struct Servers {
    #[prost(message, repeated, tag = "1")]
    server: Vec<SomeServer>,
    #[prost(bool, tag = "2")]
    end: bool,
}

#[derive(Clone, PartialEq, Message)]
struct SomeServer {
    #[prost(message, tag = "1")]
    reference: Option<ServerRef>,
    #[prost(message, tag = "2")]
    data: Option<ServerData>,
    #[prost(message, repeated, tag = "3")]
    listen_socket: Vec<SocketRef>,
}

#[derive(Clone, PartialEq, Message)]
struct ServerRef {
    #[prost(int64, tag = "5")]
    server_id: i64,
}

#[derive(Clone, PartialEq, Message)]
struct ServerData {
    #[prost(int64, tag = "2")]
    started: i64,
    #[prost(int64, tag = "3")]
    succeeded: i64,
    #[prost(int64, tag = "4")]
    failed: i64,
}

#[derive(Clone, PartialEq, Message)]
struct SocketRef {
    #[prost(int64, tag = "3")]
    socket_id: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sockets {
    #[prost(message, repeated, tag = "1")]
    socket_ref: Vec<SocketRef>,
    #[prost(bool, tag = "2")]
    end: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Socket {
    #[prost(message, tag = "1")]
    socket: Option<SomeSocket>,
}

#[derive(Clone, PartialEq, Message)]
struct SomeSocket {
    #[prost(message, tag = "2")]
    data: Option<SocketData>,
}

#[derive(Clone, PartialEq, Message)]
struct SocketData {
    #[prost(int64, tag = "6")]
    keep_alives_sent: i64,
}

/// A request with an id in its first field, or of which page, and how long.
#[derive(Clone, PartialEq, Message)]
struct Ask {
    #[prost(int64, tag = "1")]
    first: i64,
    #[prost(int64, tag = "2")]
    second: i64,
    #[prost(int64, tag = "3")]
    third: i64,
}

fn ask(client: &mut Client, method: &str, [first, second, third]: [i64; 3]) -> Answer {
    let ask = Ask { first, second, third };
    client.call(&Request::of(&format!("{SERVICE}/{method}")).body(message(&ask.encode_to_vec())))
}

/// The reply of a call that went well.
#[track_caller]
fn reply<T: Message + Default>(answer: &Answer) -> T {
    assert_eq!(answer.code(), 0, "{answer:?}");
    T::decode(&answer.body[5..]).expect("the server sends protobuf")
}

/// A server that is looked at, and one that tells of it.
struct Pair {
    seen: TestServer,
    admin: TestServer,
}

impl Pair {
    fn start<'scope>(scope: &'scope thread::Scope<'scope, '_>) -> Self {
        let channelz = Channelz::new();
        let greeter = service::Builder::new(greeter::NAME, ())
            .unary(greeter::SAY_HELLO, |_, request| async move {
                match request.name.as_str() {
                    "" => Err(Status::invalid_argument("say your name")),
                    name => Ok(Response::new(HelloReply { message: format!("Hello {name}") })),
                }
            })
            .build();
        let seen =
            TestServer::start(scope, 1, Server::builder().add_service(greeter).channelz(&channelz));
        let admin = TestServer::start(scope, 1, Server::builder().add_service(channelz.service()));
        Self { seen: seen.unwrap(), admin: admin.unwrap() }
    }

    fn seen(&self) -> SocketAddr {
        self.seen.local_addr().unwrap()
    }

    fn admin(&self) -> SocketAddr {
        self.admin.local_addr().unwrap()
    }

    /// Two calls that go well and one that does not, of a client that stays.
    fn call(&self) -> Client {
        let mut client = Client::connect(self.seen());
        client.greet();
        client.greet();
        assert_eq!(client.call(&Request::hello("")).code(), INVALID_ARGUMENT);
        // The client may see an answer before it is counted.
        let mut admin = Client::connect(self.admin());
        let are_counted = || {
            let servers: Servers = reply(&ask(&mut admin, "GetServers", [0; 3]));
            let data = servers.server[0].data.as_ref().expect("a server has data");
            data.started == data.succeeded + data.failed
        };
        assert!(poll_until(PATIENCE, are_counted));
        client
    }
}

/// Runs `test` with servers that end with it.
fn with_servers(test: impl FnOnce(&Pair)) {
    thread::scope(|scope| {
        let pair = Pair::start(scope);
        test(&pair);
    });
}

#[test]
fn a_server_is_found_with_its_calls_and_its_connections() {
    with_servers(|pair| {
        let (clients, mut admin) = ([pair.call(), pair.call()], Client::connect(pair.admin()));
        let servers: Servers = reply(&ask(&mut admin, "GetServers", [0; 3]));
        assert!(servers.end && servers.server.len() == 1, "{servers:?}");
        let server = &servers.server[0];
        let id = server.reference.as_ref().unwrap().server_id;
        assert_eq!(server.data, Some(ServerData { started: 6, succeeded: 4, failed: 2 }));

        // Connections, by pages of one.
        let mut found = Vec::new();
        let first: Sockets = reply(&ask(&mut admin, "GetServerSockets", [id, 0, 1]));
        assert!(!first.end);
        found.push(first.socket_ref[0].socket_id);
        let second: Sockets = reply(&ask(&mut admin, "GetServerSockets", [id, found[0] + 1, 1]));
        assert!(second.end);
        found.push(second.socket_ref[0].socket_id);
        assert!(found[0] < found[1]);
        for socket in found.iter().chain([&server.listen_socket[0].socket_id]) {
            assert_eq!(ask(&mut admin, "GetSocket", [*socket, 0, 0]).code(), 0);
        }

        // Those that are gone are not listed, but their calls count.
        drop(clients);
        let are_gone = || {
            let sockets = ask(&mut admin, "GetServerSockets", [id, 0, 0]);
            reply::<Sockets>(&sockets).socket_ref.is_empty()
        };
        assert!(poll_until(PATIENCE, are_gone));
        assert_eq!(ask(&mut admin, "GetSocket", [found[0], 0, 0]).code(), NOT_FOUND);
        let servers: Servers = reply(&ask(&mut admin, "GetServers", [0; 3]));
        let data = ServerData { started: 6, succeeded: 4, failed: 2 };
        assert_eq!(servers.server[0].data, Some(data));
    });
}

#[test]
fn what_is_not_there_is_not_found() {
    with_servers(|pair| {
        let mut admin = Client::connect(pair.admin());
        for method in ["GetServer", "GetServerSockets", "GetChannel", "GetSubchannel", "GetSocket"]
        {
            let answer = ask(&mut admin, method, [4242, 0, 0]);
            assert_eq!(answer.code(), NOT_FOUND, "{method}");
            assert!(answer.message().contains("4242"), "{method}: {}", answer.message());
        }
        let channels: Servers = reply(&ask(&mut admin, "GetTopChannels", [0; 3]));
        assert_eq!((channels.server.len(), channels.end), (0, true));
    });
}

#[test]
fn a_page_of_a_negative_length_is_refused() {
    with_servers(|pair| {
        let mut admin = Client::connect(pair.admin());
        for method in ["GetServers", "GetTopChannels"] {
            assert_eq!(ask(&mut admin, method, [0, -1, 0]).code(), INVALID_ARGUMENT, "{method}");
        }
        assert_eq!(ask(&mut admin, "GetServerSockets", [1, 0, -1]).code(), INVALID_ARGUMENT);
    });
}

#[test]
fn a_server_that_was_dropped_is_not_found() {
    let channelz = Channelz::new();
    let one = Server::builder().channelz(&channelz).bind("127.0.0.1:0").unwrap();
    thread::scope(|scope| {
        let mut builder = Server::builder();
        let admin = builder.channelz(&channelz).add_service(channelz.service());
        let admin = TestServer::start(scope, 1, admin).unwrap();
        let mut client = Client::connect(admin.local_addr().unwrap());
        let servers: Servers = reply(&ask(&mut client, "GetServers", [0; 3]));
        let ids = servers.server.iter().map(|it| it.reference.as_ref().unwrap().server_id);
        let ids: Vec<_> = ids.collect();
        assert_eq!(ids.len(), 2);
        drop(one);
        assert_eq!(ask(&mut client, "GetServer", [ids[0], 0, 0]).code(), NOT_FOUND);
        assert_eq!(ask(&mut client, "GetServer", [ids[1], 0, 0]).code(), 0);
        let servers: Servers = reply(&ask(&mut client, "GetServers", [0; 3]));
        assert_eq!(servers.server.len(), 1);
    });
}

#[test]
fn a_connections_keepalives_are_counted() {
    let channelz = Channelz::new();
    thread::scope(|scope| {
        let mut builder = Server::builder();
        builder.keepalive(Duration::from_millis(400), PATIENCE).channelz(&channelz);
        let seen = TestServer::start(scope, 1, &mut builder).unwrap();
        let mut builder = Server::builder();
        let admin = TestServer::start(scope, 1, builder.add_service(channelz.service())).unwrap();
        let mut client = Client::connect(seen.local_addr().unwrap());
        client.expect(frame::PING);
        let mut admin = Client::connect(admin.local_addr().unwrap());
        let servers: Servers = reply(&ask(&mut admin, "GetServers", [0; 3]));
        let id = servers.server[0].reference.as_ref().unwrap().server_id;
        let sockets: Sockets = reply(&ask(&mut admin, "GetServerSockets", [id, 0, 0]));
        let id = sockets.socket_ref[0].socket_id;
        let socket: Socket = reply(&ask(&mut admin, "GetSocket", [id, 0, 0]));
        let sent = socket.socket.and_then(|it| it.data).unwrap().keep_alives_sent;
        assert_eq!(sent, 1);
        drop(client);
    });
}

#[test]
fn grpcurl_reads_every_kind_of_answer() {
    let grpcurl = peer!(Grpcurl);
    with_servers(|pair| {
        let client = pair.call();
        let call = |method: &str, data: &str| {
            let grpcurl = Grpcurl::new(&grpcurl, "grpc/channelz/v1/channelz.proto").data(data);
            let address = pair.admin().to_string();
            grpcurl.call(&address, &format!("grpc.channelz.v1.Channelz/{method}"))
        };
        let reply = call("GetServers", "{}");
        let servers = reply.ok();
        for part in [r#""callsStarted": "3""#, r#""callsSucceeded": "2""#, r#""callsFailed": "1""#]
        {
            assert!(servers.contains(part), "{servers}");
        }
        assert!(servers.contains("lastCallStartedTimestamp"), "{servers}");
        let id = id_in(servers, "serverId");
        let reply = call("GetServer", &format!(r#"{{"serverId": "{id}"}}"#));
        assert!(reply.ok().contains(&pair.seen().to_string()), "{}", reply.ok());
        let reply = call("GetServerSockets", &format!(r#"{{"serverId": "{id}"}}"#));
        let socket = id_in(reply.ok(), "socketId");
        let reply = call("GetSocket", &format!(r#"{{"socketId": "{socket}"}}"#));
        let told = reply.ok();
        for part in [
            r#""streamsStarted": "3""#,
            r#""streamsSucceeded": "3""#,
            r#""messagesSent": "2""#,
            r#""messagesReceived": "3""#,
            r#""ipAddress": "fwAAAQ==""#,
        ] {
            assert!(told.contains(part), "{told}");
        }
        call("GetSocket", r#"{"socketId": "4242"}"#).failed_with(NOT_FOUND.cast_signed());
        drop(client);
    });
}

#[test]
fn the_channelz_client_of_grpcio_sees_servers_sockets_and_pages() {
    let python = peer!(Python);
    with_servers(|pair| {
        let client = pair.call();
        let seen = pair.seen().port().to_string();
        let script = Script::new(python, "channelz_client.py", &pair.admin().to_string());
        script.env("SEEN_PORT", &seen).check(&["servers", "sockets", "pages", "errors"]);
        drop(client);
    });
}

/// The first number in a field of grpcurl's JSON.
#[track_caller]
fn id_in(json: &str, field: &str) -> u32 {
    let rest = json.split(&format!("\"{field}\": \"")).nth(1);
    let id = rest.and_then(|rest| rest.split('"').next()?.parse().ok());
    id.unwrap_or_else(|| panic!("no {field} in {json}"))
}
