//! Where a server is, as text and as it is.

mod tcp;

pub(crate) use tcp::Purpose;

use super::sys::{self, RawAddress};
use crate::iomgr::endpoint::{PeerAddress, UnixCredentials, UnixPeer};
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// An address that a server listens on: see [`Builder::listen`](crate::Builder::listen).
///
/// ```
/// use turnstile::{ListenAddress, Server};
///
/// let mut builder = Server::builder();
/// let name = format!("unix-abstract:greeter-{}", std::process::id());
/// let server = builder.listen("127.0.0.1:0").listen(&name).build()?;
/// for address in server.addresses() {
///     match address {
///         ListenAddress::Tcp(address) => println!("port {}", address.port()), // not 0
///         other => println!("{other}"), // unix-abstract:greeter-4711
///     }
/// }
/// # Ok::<(), turnstile::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListenAddress {
    /// A TCP address; port 0 asks for a free port.
    Tcp(SocketAddr),
    /// A UNIX socket in the file system.
    Unix(PathBuf),
    /// A UNIX socket in Linux's abstract namespace (unix(7)): it has no file.
    Abstract(Vec<u8>),
}

impl ListenAddress {
    /// Reads where a server is to listen: `host:port`, `ipv4:host:port`, `ipv6:[host]:port`, `unix:path`,
    /// `unix:///path` or `unix-abstract:name`, as gRPC's naming document has them. A host name may stand
    /// for several addresses; asking the system for them blocks.
    ///
    /// # Errors
    /// `InvalidInput` for what cannot be read, with what to write instead, and for a name that the
    /// system does not know.
    pub(crate) fn resolve(text: &str) -> io::Result<Vec<Self>> {
        let found = match Self::read_unix(text) {
            Some(unix) => unix.map(|address| vec![address]),
            None => {
                let host = text.strip_prefix("ipv4:").or_else(|| text.strip_prefix("ipv6:"));
                Host::read(host.unwrap_or(text), Purpose::Listen).and_then(|host| host.look_up())
            }
        };
        found.map_err(|cause| {
            let text = format!("cannot listen on {text:?}: {cause}");
            io::Error::new(io::ErrorKind::InvalidInput, text)
        })
    }

    /// Reads the address of a UNIX socket; `None` if it is another's.
    ///
    /// # Errors
    /// What is wrong, and what to write instead.
    pub(crate) fn read_unix(text: &str) -> Option<Result<Self, String>> {
        if let Some(name) = text.strip_prefix("unix-abstract:") {
            return Some(Ok(Self::Abstract(name.as_bytes().to_vec())));
        }
        let path = text.strip_prefix("unix:")?;
        let path = path.strip_prefix("//").unwrap_or(path);
        Some(match path {
            "" => Err("the path is missing; write unix:/path".to_owned()),
            _ => Ok(Self::Unix(PathBuf::from(OsStr::from_bytes(path.as_bytes())))),
        })
    }

    /// The peer of a connection that came in here, or leads here, and whose IP address is known
    /// otherwise if it is not this one.
    pub(super) fn peer(&self, ip: Option<SocketAddr>, connection: BorrowedFd<'_>) -> PeerAddress {
        match (self, ip) {
            (_, Some(address)) => PeerAddress::Tcp(address),
            (Self::Unix(path), None) => unix_peer(path.clone(), connection),
            (Self::Abstract(name), None) => {
                let path = PathBuf::from(format!("@{}", String::from_utf8_lossy(name)));
                unix_peer(path, connection)
            }
            (Self::Tcp(address), None) => PeerAddress::Tcp(*address),
        }
    }

    /// As the system has it.
    ///
    /// # Errors
    /// `InvalidInput` for a path or name that no socket can have.
    pub(super) fn raw(&self) -> io::Result<RawAddress> {
        match self {
            Self::Tcp(address) => Ok(RawAddress::of_ip(*address)),
            Self::Unix(path) => RawAddress::of_path(path),
            Self::Abstract(name) => RawAddress::of_abstract(name),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Abstract(name) => {
                write!(f, "unix-abstract:{}", String::from_utf8_lossy(name))
            }
        }
    }
}

fn unix_peer(path: PathBuf, connection: BorrowedFd<'_>) -> PeerAddress {
    let credentials = match sys::peer_credentials(connection) {
        Ok(raw) => {
            let pid = u32::try_from(raw.pid).ok().filter(|pid| *pid > 0);
            Some(UnixCredentials { pid, uid: raw.uid, gid: raw.gid })
        }
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "the kernel does not tell who connects");
            None
        }
    };
    PeerAddress::Unix(UnixPeer::new(path, credentials))
}

/// A host, by its name or IP address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    name: String,
    port: u16,
}

impl Host {
    /// Reads `host:port`, where an IPv6 address has brackets.
    ///
    /// # Errors
    /// What is wrong, and what to write instead.
    pub(crate) fn read(text: &str, purpose: Purpose) -> Result<Self, String> {
        let (name, port) = tcp::read(text, purpose)?;
        Ok(Self { name: name.to_owned(), port })
    }

    /// Asks the system for the host's addresses, which blocks, but for an IP address.
    ///
    /// # Errors
    /// That it knows none.
    pub(crate) fn look_up(&self) -> Result<Vec<ListenAddress>, String> {
        let unknown = |cause: &str| {
            let what = format!("{:?} is no name that this machine knows ({cause})", self.name);
            format!("{what}; an IP address needs no name")
        };
        let addresses = (&*self.name, self.port).to_socket_addrs();
        let addresses = addresses.map_err(|error| unknown(&error.to_string()))?;
        let addresses: Vec<_> = addresses.map(ListenAddress::Tcp).collect();
        if addresses.is_empty() {
            return Err(unknown("it has no address"));
        }
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::ListenAddress;
    use std::path::PathBuf;

    fn one(text: &str) -> ListenAddress {
        ListenAddress::resolve(text).unwrap().remove(0)
    }

    #[test]
    fn every_form_of_the_naming_document_is_read() {
        assert_eq!(one("127.0.0.1:80"), ListenAddress::Tcp("127.0.0.1:80".parse().unwrap()));
        assert_eq!(one("ipv4:127.0.0.1:80"), one("127.0.0.1:80"));
        assert_eq!(one("[::1]:80"), ListenAddress::Tcp("[::1]:80".parse().unwrap()));
        assert_eq!(one("ipv6:[::1]:80"), one("[::1]:80"));
        assert_eq!(one("unix:/a/b"), ListenAddress::Unix(PathBuf::from("/a/b")));
        assert_eq!(one("unix:///a/b"), one("unix:/a/b"));
        assert_eq!(one("unix:a"), ListenAddress::Unix(PathBuf::from("a")));
        assert_eq!(one("unix-abstract:a"), ListenAddress::Abstract(b"a".to_vec()));
    }

    #[test]
    fn what_cannot_be_read_says_what_can() {
        for (text, cause) in [
            ("", "there is no address; write host:port, [ipv6]:port, unix:/path or "),
            ("127.0.0.1", "the port is missing; write \"127.0.0.1:50051\""),
            ("ipv4:127.0.0.1", "the port is missing; write \"127.0.0.1:50051\""),
            ("127.0.0.1:99999", "the port 99999 is too large"),
            ("unix:", "the path is missing; write unix:/path"),
            ("[::1:80", "the ']' is missing behind the IPv6 address; write \"[::1]:50051\""),
            (":50051", "the host is missing; write \"[::]:50051\" for all interfaces"),
            ("http://a:80", "a server's address has no \"http://\"; write \"a:80\""),
            ("a..b:80", "\"a..b\" is no name that this machine knows ("),
        ] {
            let error = ListenAddress::resolve(text).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
            let (error, start) = (error.to_string(), format!("cannot listen on {text:?}: {cause}"));
            assert!(error.starts_with(&start), "{error}");
        }
    }
}
