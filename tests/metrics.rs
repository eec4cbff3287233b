//! The example that shows metrics, read as Prometheus would.

mod raw;
mod support;

use raw::client::Client;
use raw::request::Request;
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use support::server::Server;
use support::{PATIENCE, poll_until};

/// The example, and the address of its page.
fn start() -> (Server, SocketAddr) {
    let mut server = Server::start_with_env("metrics", "METRICS", "127.0.0.1:0");
    let line = server.wait_for_line("metrics on ");
    let url = line.strip_prefix("metrics on http://").and_then(|url| url.strip_suffix("/metrics"));
    let page = url.and_then(|address| address.parse().ok());
    (server, page.unwrap_or_else(|| panic!("no address in {line:?}")))
}

/// The status line, and the body.
fn get(address: SocketAddr, path: &str) -> (String, String) {
    let mut page = TcpStream::connect(address).unwrap();
    page.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(page, "GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    let mut answer = String::new();
    page.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
}

/// The value of each series.
fn series(address: SocketAddr) -> BTreeMap<String, f64> {
    let (status, body) = get(address, "/metrics");
    assert_eq!(status, "HTTP/1.1 200 OK");
    let lines = body.lines().filter(|line| !line.starts_with('#'));
    let parse = |line: &str| {
        let (name, value) = line.rsplit_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    lines.map(|line| parse(line).unwrap_or_else(|| panic!("no series: {line:?}"))).collect()
}

#[test]
fn the_metrics_example_shows_what_calls_took() {
    let (server, page) = start();
    assert_eq!(series(page), BTreeMap::new(), "nothing was called yet");
    let mut client = Client::connect(server.address().parse().unwrap());
    client.greet();
    client.greet();
    assert_eq!(client.call(&Request::hello("")).code(), 3);
    assert_eq!(client.call(&Request::of("/made.up.Service/Name")).code(), 12);

    let greeted = r#"grpc_method="helloworld.Greeter/SayHello",grpc_status="OK""#;
    // The client may see a reply before its call is counted.
    let is_count = |name: &str| name.starts_with("grpc_server_call_duration_seconds_count");
    let calls = || series(page).iter().filter(|(name, _)| is_count(name)).map(|it| it.1).sum();
    assert!(poll_until(PATIENCE, || f64::eq(&calls(), &4.0)), "{:#?}", series(page));
    let series = series(page);
    let started = r#"grpc_server_call_started_total{grpc_method="helloworld.Greeter/SayHello"}"#;
    assert_eq!(series[started], 3.0);
    assert_eq!(series[r#"grpc_server_call_started_total{grpc_method="other"}"#], 1.0);
    let duration = "grpc_server_call_duration_seconds";
    assert!(series[&format!("{duration}_sum{{{greeted}}}")] > 0.0);
    assert_eq!(series[&format!("{duration}_bucket{{{greeted},le=\"+Inf\"}}")], 2.0);
    for labels in [
        r#"grpc_method="helloworld.Greeter/SayHello",grpc_status="INVALID_ARGUMENT""#,
        r#"grpc_method="other",grpc_status="UNIMPLEMENTED""#,
    ] {
        assert_eq!(series[&format!("{duration}_count{{{labels}}}")], 1.0);
    }
    let received = "grpc_server_call_rcvd_total_compressed_message_size_bytes";
    let sent = "grpc_server_call_sent_total_compressed_message_size_bytes";
    for name in [received, sent] {
        assert_eq!(series[&format!("{name}_bucket{{{greeted},le=\"1024\"}}")], 2.0);
        assert!(series[&format!("{name}_sum{{{greeted}}}")] > 0.0);
    }
    drop(client);
    server.stop();
}

#[test]
fn the_metrics_example_has_no_other_page() {
    let (server, page) = start();
    let (status, body) = get(page, "/");
    assert_eq!(status, "HTTP/1.1 404 Not Found");
    assert!(body.contains("/metrics"), "{body}");
    server.stop();
}
