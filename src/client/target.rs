//! What a channel connects to: the text that names it, and who finds its addresses.

use crate::iomgr::{Host, ListenAddress, Purpose};
use crate::status::Status;
use http::uri::Authority;
use std::net::SocketAddr;

/// A server by its name, as gRPC's naming document has it.
pub(super) struct Target {
    /// What calls ask for, unless the channel or the call says otherwise.
    pub(super) authority: Authority,
    pub(super) resolver: Box<dyn Resolver>,
}

/// Finds a server's addresses. A seam: of what is to come, one that asks without blocking.
pub(super) trait Resolver: Send {
    /// The addresses, in the order in which they are to be tried. Asked before each attempt to connect,
    /// by the thread that makes it; may block.
    ///
    /// # Errors
    /// UNAVAILABLE with the cause, which may be another the next time.
    fn resolve(&mut self) -> Result<Vec<ListenAddress>, Status>;
}

/// Addresses that are known.
pub(super) struct Known(Vec<ListenAddress>);

impl Known {
    /// For what needs no address.
    pub(super) fn nothing() -> Self {
        Self(Vec::new())
    }
}

impl Resolver for Known {
    fn resolve(&mut self) -> Result<Vec<ListenAddress>, Status> {
        Ok(self.0.clone())
    }
}

/// A name that the system knows (getaddrinfo(3)), which is asked while the thread waits.
struct System(Host);

impl Resolver for System {
    fn resolve(&mut self) -> Result<Vec<ListenAddress>, Status> {
        self.0.look_up().map_err(Status::unavailable)
    }
}

/// For a server whose address is no name (RFC 7540's `:authority` cannot be a path); other languages
/// have the same.
const LOCALHOST: Authority = Authority::from_static("localhost");

impl Target {
    /// Reads `host:port`, `dns:host:port`, `dns:///host:port`, `ipv4:address:port`, `ipv6:[address]:port`
    /// (with several addresses, separated by commas), `unix:path`, `unix:///path` or
    /// `unix-abstract:name`. No name is looked up.
    ///
    /// # Errors
    /// What is wrong, and what to write instead.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        if let Some(address) = ListenAddress::read_unix(text) {
            return Ok(Self::known(LOCALHOST, vec![address?]));
        }
        for (scheme, wants_ipv4) in [("ipv4:", true), ("ipv6:", false)] {
            if let Some(list) = text.strip_prefix(scheme) {
                return Self::of_ip_addresses(list, scheme, wants_ipv4);
            }
        }
        let name = match text.strip_prefix("dns:") {
            Some(rest) => without_dns_server(rest)?,
            None => text,
        };
        let authority = Authority::try_from(name);
        let host = Host::read(name, Purpose::Connect)?;
        let authority = authority.map_err(|_| format!("{name:?} is no name of a server"))?;
        Ok(Self { authority, resolver: Box::new(System(host)) })
    }

    fn of_ip_addresses(list: &str, scheme: &str, wants_ipv4: bool) -> Result<Self, String> {
        let example = if wants_ipv4 { "127.0.0.1:50051" } else { "[::1]:50051" };
        let read = |text: &str| match text.parse::<SocketAddr>() {
            Ok(address) if address.is_ipv4() == wants_ipv4 => Ok(address),
            _ => Err(format!("{text:?} is no such address; write \"{scheme}{example}\"")),
        };
        let addresses = list.split(',').map(read).collect::<Result<Vec<_>, _>>()?;
        let first = addresses.first().map(ToString::to_string).unwrap_or_default();
        let authority = Authority::try_from(first).unwrap_or(LOCALHOST);
        Ok(Self::known(authority, addresses.into_iter().map(ListenAddress::Tcp).collect()))
    }

    fn known(authority: Authority, addresses: Vec<ListenAddress>) -> Self {
        Self { authority, resolver: Box::new(Known(addresses)) }
    }
}

/// The name in `dns:[//server/]name`.
fn without_dns_server(text: &str) -> Result<&str, String> {
    let Some(rest) = text.strip_prefix("//") else { return Ok(text) };
    match rest.split_once('/') {
        Some(("", name)) => Ok(name),
        Some((server, name)) => Err(format!(
            "names are looked up by the system, and not by a server like {server:?}; write \
             \"dns:///{name}\"",
        )),
        None => Err(format!("three slashes come before the name; write \"dns:///{rest}\"")),
    }
}

#[cfg(all(test, not(turnstile_loom)))]
mod tests {
    use super::Target;

    fn read(text: &str) -> (String, Vec<String>) {
        let mut target = Target::read(text).unwrap();
        let addresses = target.resolver.resolve().unwrap();
        (target.authority.to_string(), addresses.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_form_of_the_naming_document_is_read() {
        let table = [
            ("127.0.0.1:80", "127.0.0.1:80", &["127.0.0.1:80"][..]),
            ("dns:127.0.0.1:80", "127.0.0.1:80", &["127.0.0.1:80"]),
            ("dns:///[::1]:80", "[::1]:80", &["[::1]:80"]),
            ("ipv4:127.0.0.1:80", "127.0.0.1:80", &["127.0.0.1:80"]),
            ("ipv4:127.0.0.1:80,127.0.0.2:81", "127.0.0.1:80", &["127.0.0.1:80", "127.0.0.2:81"]),
            ("ipv6:[::1]:80,[::2]:81", "[::1]:80", &["[::1]:80", "[::2]:81"]),
            ("unix:/a/b", "localhost", &["unix:/a/b"]),
            ("unix:///a/b", "localhost", &["unix:/a/b"]),
            ("unix:a", "localhost", &["unix:a"]),
            ("unix-abstract:a", "localhost", &["unix-abstract:a"]),
        ];
        for (text, authority, addresses) in table {
            let (found, at) = read(text);
            assert_eq!(
                (&*found, &at[..]),
                (authority, &addresses.iter().map(ToString::to_string).collect::<Vec<_>>()[..]),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_name_is_looked_up_when_it_is_needed() {
        let mut target = Target::read("dns:///a.invalid:80").unwrap();
        let status = target.resolver.resolve().unwrap_err();
        let start = "\"a.invalid\" is no name that this machine knows (";
        assert!(status.message().starts_with(start), "{status}");
        let (authority, addresses) = read("localhost:80");
        assert_eq!(authority, "localhost:80");
        assert!(addresses.iter().all(|it| it.ends_with(":80")), "{addresses:?}");
    }

    #[test]
    fn what_cannot_be_read_says_what_can() {
        for (text, expected) in [
            (
                "",
                "there is no address; write host:port, [ipv6]:port, unix:/path or unix-abstract:name",
            ),
            ("localhost", "the port is missing; write \"localhost:50051\""),
            ("dns:///localhost", "the port is missing; write \"localhost:50051\""),
            (
                "dns://localhost:80",
                "three slashes come before the name; write \"dns:///localhost:80\"",
            ),
            (
                "dns://8.8.8.8/a:80",
                "names are looked up by the system, and not by a server like \"8.8.8.8\"; write \
                 \"dns:///a:80\"",
            ),
            ("http://a:80", "the address of a server has no \"http://\"; write \"a:80\""),
            ("ipv4:a:80", "\"a:80\" is no such address; write \"ipv4:127.0.0.1:50051\""),
            ("ipv4:[::1]:80", "\"[::1]:80\" is no such address; write \"ipv4:127.0.0.1:50051\""),
            ("ipv6:[::1]:80,", "\"\" is no such address; write \"ipv6:[::1]:50051\""),
            ("unix:", "the path is missing; write unix:/path"),
            ("a b:80", "\"a b:80\" is no name of a server"),
        ] {
            assert_eq!(Target::read(text).map(|_| ()), Err(expected.to_owned()), "{text:?}");
        }
    }
}
