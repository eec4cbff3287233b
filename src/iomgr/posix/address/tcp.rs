//! A TCP address as text, and what is wrong with what is none. Pure: no name is looked up.

use std::net::Ipv6Addr;

/// The port of examples, as everywhere in gRPC's documents.
const PORT: &str = "50051";

/// What an address is for, as far as an error says what to write instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A server listens there.
    Listen,
    /// A client connects to it.
    Connect,
}

/// Reads `host:port`, where an IPv6 address has brackets: gives the host without them.
///
/// # Errors
/// What is wrong, and what to write instead.
pub(super) fn read(text: &str, purpose: Purpose) -> Result<(&str, u16), String> {
    check_form(text, purpose)?;
    let (host, port) = split(text, purpose)?;
    match host {
        "" => return Err(no_host("the host is missing", port, purpose)),
        "*" => return Err(no_host("\"*\" is no host", port, purpose)),
        _ => {}
    }
    match port.parse() {
        Ok(number) if is_number(port) => Ok((host, number)),
        _ if port.is_empty() => Err(no_port(text.trim_end_matches(':'), purpose)),
        _ if is_number(port) => Err(format!("the port {port} is too large; the largest is 65535")),
        _ => Err(format!("the port {port:?} is not a number; write {:?}", example(text))),
    }
}

/// Finds what is an address of another kind.
fn check_form(text: &str, purpose: Purpose) -> Result<(), String> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err("there is no address; write host:port, [ipv6]:port, unix:/path or \
                    unix-abstract:name"
            .to_owned());
    }
    if trimmed != text {
        return Err(format!("there is space around the address; write {trimmed:?}"));
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        let instead = example(rest.trim_start_matches('/'));
        return Err(format!("{} has no \"{scheme}://\"; write {instead:?}", purpose.address()));
    }
    if let Some(rest) = text.strip_prefix("dns:") {
        let instead = example(rest.trim_start_matches('/'));
        return Err(match purpose {
            Purpose::Listen => {
                format!("\"dns:\" is for what clients connect to; write {instead:?}")
            }
            Purpose::Connect => format!("\"dns:\" is there already; write {instead:?}"),
        });
    }
    if text.starts_with(['/', '.']) {
        return Err(format!("this is a path; write \"unix:{text}\""));
    }
    if text.contains('/') {
        return Err(format!("no path follows a port; write {:?}", example(text)));
    }
    Ok(())
}

/// Host and port, both unread.
fn split(text: &str, purpose: Purpose) -> Result<(&str, &str), String> {
    if let Some(bracketed) = text.strip_prefix('[') {
        return split_bracketed(text, bracketed, purpose);
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        let only_port = is_number(text);
        return Err(match only_port {
            true => no_host("the host is missing", text, purpose),
            false => no_port(text, purpose),
        });
    };
    if !host.contains(':') {
        return Ok((host, port));
    }
    let is_ipv6 = |text: &str| text.parse::<Ipv6Addr>().is_ok();
    Err(if is_ipv6(host) {
        let port = port_or(PORT, port);
        format!("an IPv6 address is written in brackets; write \"[{host}]:{port}\"")
    } else if is_ipv6(text) {
        no_port(&format!("[{text}]"), purpose)
    } else {
        format!("there is a colon too many; write {:?}", example(text))
    })
}

/// The same behind a bracket.
fn split_bracketed<'a>(
    text: &str,
    bracketed: &'a str,
    purpose: Purpose,
) -> Result<(&'a str, &'a str), String> {
    let Some((host, rest)) = bracketed.split_once(']') else {
        return Err(format!("the ']' is missing behind the IPv6 address; write \"[::1]:{PORT}\""));
    };
    if !host.contains(':') {
        let without = format!("{host}{rest}");
        return Err(format!("brackets are for IPv6 addresses; write {:?}", example(&without)));
    }
    match rest.strip_prefix(':') {
        Some(port) => Ok((host, port)),
        None if rest.is_empty() => Err(no_port(text, purpose)),
        None => Err(format!("a colon and the port follow ']'; write \"[{host}]:{PORT}\"")),
    }
}

fn no_port(host: &str, purpose: Purpose) -> String {
    let instead = format!("the port is missing; write \"{host}:{PORT}\"");
    match purpose {
        Purpose::Listen => format!("{instead}, or \"{host}:0\" for any free port"),
        Purpose::Connect => instead,
    }
}

/// In other languages that may mean all interfaces, which is better said than guessed.
fn no_host(what: &str, port: &str, purpose: Purpose) -> String {
    let port = port_or(PORT, port);
    match purpose {
        Purpose::Listen => format!(
            "{what}; write \"[::]:{port}\" for all interfaces, \"0.0.0.0:{port}\" for those of IPv4, \
             or \"127.0.0.1:{port}\" for this machine alone",
        ),
        Purpose::Connect => format!("{what}; write \"localhost:{port}\" for this machine"),
    }
}

impl Purpose {
    fn address(self) -> &'static str {
        match self {
            Self::Listen => "a server's address",
            Self::Connect => "the address of a server",
        }
    }
}

/// `host:port`, as far as it can be guessed from what was written.
fn example(text: &str) -> String {
    let authority = text.split(['/', '?', '#']).next().unwrap_or_default();
    let is_bracketed = authority.starts_with('[') && authority.contains(']');
    let end = if is_bracketed { authority.find(']').map(|at| at + 1) } else { authority.find(':') };
    let (host, rest) = authority.split_at(end.unwrap_or(authority.len()));
    let host = if host.is_empty() || host == "[" { "127.0.0.1" } else { host };
    format!("{host}:{}", port_or(PORT, rest.rsplit(':').next().unwrap_or_default()))
}

/// The port, if it is one.
fn port_or<'a>(instead: &'a str, port: &'a str) -> &'a str {
    if is_number(port) && port.parse::<u16>().is_ok() { port } else { instead }
}

/// For `str::parse`, `+1` is one too.
fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(all(test, not(turnstile_loom)))]
mod tests {
    use super::{Purpose, read};
    use proptest::prelude::*;

    #[test]
    fn hosts_and_ports_are_read() {
        for (text, host, port) in [
            ("127.0.0.1:80", "127.0.0.1", 80),
            ("localhost:0", "localhost", 0),
            ("[::]:65535", "::", 65535),
            ("[fe80::1%eth0]:1", "fe80::1%eth0", 1),
        ] {
            assert_eq!(read(text, Purpose::Listen), Ok((host, port)), "{text:?}");
        }
    }

    #[test]
    fn each_common_mistake_is_named_with_what_to_write_instead() {
        for (text, expected) in [
            (
                "",
                "there is no address; write host:port, [ipv6]:port, unix:/path or unix-abstract:name",
            ),
            (" 0.0.0.0:1\n", "there is space around the address; write \"0.0.0.0:1\""),
            (
                "http://127.0.0.1:80/x",
                "a server's address has no \"http://\"; write \"127.0.0.1:80\"",
            ),
            ("grpc://[::1]:80", "a server's address has no \"grpc://\"; write \"[::1]:80\""),
            ("https://a.b", "a server's address has no \"https://\"; write \"a.b:50051\""),
            ("tcp://:80", "a server's address has no \"tcp://\"; write \"127.0.0.1:80\""),
            ("dns:///a:80", "a server's address has no \"dns://\"; write \"a:80\""),
            ("dns:a:80", "\"dns:\" is for what clients connect to; write \"a:80\""),
            ("/run/a.sock", "this is a path; write \"unix:/run/a.sock\""),
            ("./a.sock", "this is a path; write \"unix:./a.sock\""),
            ("a:80/", "no path follows a port; write \"a:80\""),
            (
                "localhost",
                "the port is missing; write \"localhost:50051\", or \"localhost:0\" for any free port",
            ),
            (
                "localhost:",
                "the port is missing; write \"localhost:50051\", or \"localhost:0\" for any free port",
            ),
            (
                "127.0.0.1",
                "the port is missing; write \"127.0.0.1:50051\", or \"127.0.0.1:0\" for any free port",
            ),
            (
                "[::1]",
                "the port is missing; write \"[::1]:50051\", or \"[::1]:0\" for any free port",
            ),
            (
                "[::1]:",
                "the port is missing; write \"[::1]:50051\", or \"[::1]:0\" for any free port",
            ),
            ("::1", "the port is missing; write \"[::1]:50051\", or \"[::1]:0\" for any free port"),
            ("::", "the port is missing; write \"[::]:50051\", or \"[::]:0\" for any free port"),
            ("::1:80", "an IPv6 address is written in brackets; write \"[::1]:80\""),
            ("::1:", "an IPv6 address is written in brackets; write \"[::1]:50051\""),
            (":::80", "an IPv6 address is written in brackets; write \"[::]:80\""),
            ("[::1:80", "the ']' is missing behind the IPv6 address; write \"[::1]:50051\""),
            ("[::1]80", "a colon and the port follow ']'; write \"[::1]:50051\""),
            ("[a]:80", "brackets are for IPv6 addresses; write \"a:80\""),
            ("a:b:80", "there is a colon too many; write \"a:80\""),
            ("a:99999", "the port 99999 is too large; the largest is 65535"),
            ("a:http", "the port \"http\" is not a number; write \"a:50051\""),
            ("a:+80", "the port \"+80\" is not a number; write \"a:50051\""),
        ] {
            assert_eq!(read(text, Purpose::Listen), Err(expected.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn a_port_without_a_host_is_refused_with_those_that_can_be_meant() {
        for (text, what, port) in [
            (":80", "the host is missing", "80"),
            ("80", "the host is missing", "80"),
            (":", "the host is missing", "50051"),
            (":http", "the host is missing", "50051"),
            ("*:80", "\"*\" is no host", "80"),
        ] {
            let expected = format!(
                "{what}; write \"[::]:{port}\" for all interfaces, \"0.0.0.0:{port}\" for those of \
                 IPv4, or \"127.0.0.1:{port}\" for this machine alone",
            );
            assert_eq!(read(text, Purpose::Listen), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn clients_are_told_what_to_connect_to() {
        for (text, expected) in [
            ("localhost", "the port is missing; write \"localhost:50051\""),
            (":80", "the host is missing; write \"localhost:80\" for this machine"),
            ("http://a:80/x", "the address of a server has no \"http://\"; write \"a:80\""),
        ] {
            assert_eq!(read(text, Purpose::Connect), Err(expected.to_owned()), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_hangs_or_panics(text in r"[\[\]:a0-9/.*\s]{0,12}|\PC{0,12}") {
            if let Ok((host, _)) = read(&text, Purpose::Connect) {
                prop_assert!(!host.is_empty() && text.contains(host), "{:?}", text);
            }
        }
    }
}
