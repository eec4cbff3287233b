//! Where servers listen: a builder can try one address after the other, and takes sockets that
//! listen already.

use super::common::{UNARY, call, demo, ok, request};
use crate::raw::client::Client;
use std::env;
use std::fs;
use std::io::ErrorKind as IoErrorKind;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener, UnixStream};
use std::path::PathBuf;
use std::process;
use std::thread;
use std::time::Duration;
use turnstile::error::ErrorKind;
use turnstile::test_server::TestServer;
use turnstile::{Bytes, ListenAddress, PeerAddress, Response, Server, Service, reflection};

fn echo() -> Service {
    demo().unary(UNARY, |_, it| async move { Ok(Response::new(it.into_inner())) }).build()
}

/// A port that somebody else listens on.
fn port_in_use() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

/// A path for a UNIX socket. It must be short (unix(7)), so it is not in the target folder.
fn socket_path(name: &str) -> PathBuf {
    env::temp_dir().join(format!("turnstile-{}-{name}", process::id()))
}

#[track_caller]
fn assert_echoes(server: &Server) {
    let address = server.local_addr().expect("it listens on TCP");
    thread::scope(|scope| {
        scope.spawn(|| server.run());
        assert_eq!(ok(&call(address, UNARY, &["x"])), ["x"]);
        server.shutdown(Duration::ZERO);
    });
}

#[test]
fn a_program_may_try_another_port_when_one_is_in_use() {
    let (_taken, address) = port_in_use();
    let mut builder = Server::builder();
    builder.add_service(echo()).fallback(|_, _| async { Ok(()) });
    for _ in 0..2 {
        let error = builder.bind(&address).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::System);
        assert!(error.to_string().contains(&address), "{error}");
    }
    let server = builder.bind("127.0.0.1:0").expect("there is a free port");
    assert_eq!(server.addresses().len(), 1, "{:?}", server.addresses());
    assert_echoes(&server);
}

#[test]
fn a_service_that_could_not_be_made_is_an_error_each_time() {
    let mut builder = Server::builder();
    builder.add_service(reflection::service(b"no descriptors"));
    let errors = [(); 2].map(|()| builder.bind("127.0.0.1:0").unwrap_err());
    assert_eq!(errors[0].to_string(), errors[1].to_string());
}

#[test]
fn a_failed_build_leaves_nothing_that_listens() {
    let (_taken, address) = port_in_use();
    let path = socket_path("failed-build");
    let mut builder = Server::builder();
    builder.listen(&format!("unix:{}", path.display()));
    builder.bind(&address).unwrap_err();
    assert!(!path.exists());
    drop(builder.build().expect("the path is free"));
    assert!(!path.exists());
}

#[test]
fn a_file_that_has_taken_the_place_of_a_unix_socket_is_left_alone() {
    let path = socket_path("replaced");
    let server = Server::builder().bind(&format!("unix:{}", path.display())).unwrap();
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    server.shutdown(Duration::ZERO);
    drop(server);
    assert!(UnixStream::connect(&path).is_ok(), "it is another program's");
    fs::remove_file(&path).unwrap();
}

#[test]
fn a_server_serves_sockets_that_listen_already() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    // Its clients need not wait for the server.
    let early = Client::silent(address);
    let path = socket_path("listens");
    let unix = UnixListener::bind(&path).unwrap();
    let name = format!("turnstile-{}-listens", process::id());
    let abstract_address = UnixAddress::from_abstract_name(&name).unwrap();
    let without_file = UnixListener::bind_addr(&abstract_address).unwrap();
    let mut builder = Server::builder();
    builder.add_service(echo()).listen_on(tcp).listen_on(unix).listen_on(without_file);
    let server = builder.listen("127.0.0.1:0").build().unwrap();
    let given = [
        ListenAddress::Tcp(address),
        ListenAddress::Unix(path.clone()),
        ListenAddress::Abstract(name.into_bytes()),
    ];
    assert_eq!(server.addresses()[..3], given);
    thread::scope(|scope| {
        scope.spawn(|| server.run());
        let mut clients = vec![
            early,
            Client::silent(address),
            Client::on_unix(UnixStream::connect(&path).unwrap()),
            Client::on_unix(UnixStream::connect_addr(&abstract_address).unwrap()),
        ];
        for client in &mut clients {
            client.shake_hands(&[]);
            assert_eq!(ok(&client.call(&request(UNARY, &["x"]))), ["x"]);
        }
        server.shutdown(Duration::ZERO);
    });
    // The last copies of the sockets are closed, and the file is theirs who have made it.
    let refused = std::net::TcpStream::connect(address).unwrap_err();
    assert_eq!(refused.kind(), IoErrorKind::ConnectionRefused);
    assert!(path.exists());
    let refused = UnixStream::connect(&path).unwrap_err();
    assert_eq!(refused.kind(), IoErrorKind::ConnectionRefused);
    fs::remove_file(&path).unwrap();
}

#[test]
fn a_handler_knows_who_calls_through_a_socket_that_was_given() {
    let path = socket_path("who");
    let unix = UnixListener::bind(&path).unwrap();
    let service = demo().unary(UNARY, |_, request| async move {
        let PeerAddress::Unix(peer) = request.peer() else { panic!("{}", request.peer()) };
        let path = peer.path().to_str().expect("it is ASCII").to_owned();
        Ok(Response::new(Bytes::from(path)))
    });
    let mut builder = Server::builder();
    builder.add_service(service.build()).listen_on(unix);
    thread::scope(|scope| {
        let _server = TestServer::start(scope, 1, &mut builder).unwrap();
        let mut client = Client::on_unix(UnixStream::connect(&path).unwrap());
        client.shake_hands(&[]);
        assert_eq!(ok(&client.call(&request(UNARY, &["x"]))), [path.to_str().unwrap()]);
    });
    fs::remove_file(&path).unwrap();
}

#[test]
fn a_failed_build_keeps_the_sockets_that_it_was_given() {
    let (_taken, in_use) = port_in_use();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let mut builder = Server::builder();
    builder.add_service(echo()).listen_on(tcp).bind(&in_use).unwrap_err();
    let server = builder.build().unwrap();
    assert_eq!(server.local_addr(), Some(address));
    assert_echoes(&server);
}

#[track_caller]
fn assert_refused(socket: impl Into<OwnedFd>, cause: &str) {
    let error = Server::builder().listen_on(socket).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    let text = error.to_string();
    assert!(text.contains("listen_on") && text.contains(cause), "{text}");
}

#[test]
fn what_does_not_listen_is_refused_with_the_reason() {
    assert_refused(fs::File::open("/dev/null").unwrap(), "not a socket");
    assert_refused(UdpSocket::bind("127.0.0.1:0").unwrap(), "SOCK_STREAM");
    let (_listener, address) = port_in_use();
    let connected = std::net::TcpStream::connect(address.parse::<SocketAddr>().unwrap()).unwrap();
    assert_refused(connected, "does not listen");
    assert_refused(UnixStream::pair().unwrap().0, "does not listen");
}
