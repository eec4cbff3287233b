//! Addresses as the system has them: sockaddr(3type).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::{mem, ptr};

/// An address of any family.
pub(crate) struct RawAddress {
    storage: libc::sockaddr_storage,
    length: libc::socklen_t,
}

impl RawAddress {
    /// Room for an address that the system writes.
    pub(super) fn empty() -> Self {
        // SAFETY: sockaddr_storage is plain data for which all zeroes is a valid value (AF_UNSPEC).
        let storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
        Self { storage, length: size_of_val(&storage) as libc::socklen_t }
    }

    /// A copy of one of the structs that an address can be, of which the first `length` bytes count.
    ///
    /// # Safety
    /// `T` is one of the sockaddr structs.
    unsafe fn of<T>(raw: &T, length: usize) -> Self {
        let mut address = Self::empty();
        assert!(length <= size_of::<T>() && size_of::<T>() <= size_of_val(&address.storage));
        address.length = length as libc::socklen_t;
        // SAFETY: sockaddr_storage is large and aligned enough for every kind of address (POSIX,
        // sys/socket.h), and all of them are plain data.
        unsafe { ptr::from_mut(&mut address.storage).cast::<T>().write(ptr::read(raw)) };
        address
    }

    /// An IP address with its port.
    pub(crate) fn of_ip(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(address) => {
                let raw = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: address.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
                    sin_zero: [0; 8],
                };
                // SAFETY: it is a sockaddr_in.
                unsafe { Self::of(&raw, size_of_val(&raw)) }
            }
            SocketAddr::V6(address) => {
                let raw = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: address.port().to_be(),
                    sin6_flowinfo: address.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                    sin6_scope_id: address.scope_id(),
                };
                // SAFETY: it is a sockaddr_in6.
                unsafe { Self::of(&raw, size_of_val(&raw)) }
            }
        }
    }

    /// A UNIX socket in the file system.
    ///
    /// # Errors
    /// `InvalidInput` for a path that is too long (107 bytes, unix(7)), empty, or has a NUL.
    pub(crate) fn of_path(path: &Path) -> io::Result<Self> {
        let bytes = path.as_os_str().as_bytes();
        if bytes.is_empty() || bytes.contains(&0) {
            return Err(unusable("the path is empty, or has a NUL in it"));
        }
        // Behind the path stays a 0, as unix(7) wants it.
        Self::of_unix(bytes, 0, bytes.len() + 1)
    }

    /// A UNIX socket in Linux's abstract namespace.
    ///
    /// # Errors
    /// `InvalidInput` for a name that is too long (107 bytes, unix(7)).
    pub(crate) fn of_abstract(name: &[u8]) -> io::Result<Self> {
        Self::of_unix(name, 1, 1 + name.len())
    }

    /// `bytes` from `at` on, of which `length` count.
    fn of_unix(bytes: &[u8], at: usize, length: usize) -> io::Result<Self> {
        let mut raw = libc::sockaddr_un { sun_family: libc::AF_UNIX as _, sun_path: [0; 108] };
        if length > raw.sun_path.len() {
            return Err(unusable("the path or name is too long; a UNIX socket has 107 bytes"));
        }
        for (to, from) in raw.sun_path[at..].iter_mut().zip(bytes) {
            *to = *from as libc::c_char;
        }
        let length = mem::offset_of!(libc::sockaddr_un, sun_path) + length;
        // SAFETY: it is a sockaddr_un.
        Ok(unsafe { Self::of(&raw, length) })
    }

    pub(super) fn family(&self) -> libc::c_int {
        libc::c_int::from(self.storage.ss_family)
    }

    /// What system calls that read an address take.
    pub(super) fn as_parts(&self) -> (*const libc::sockaddr, libc::socklen_t) {
        (ptr::from_ref(&self.storage).cast(), self.length)
    }

    /// What system calls that write one take.
    pub(super) fn as_parts_mut(&mut self) -> (*mut libc::sockaddr, *mut libc::socklen_t) {
        (ptr::from_mut(&mut self.storage).cast(), &raw mut self.length)
    }

    /// The IP address, if it is one.
    pub(super) fn ip(&self) -> Option<SocketAddr> {
        match self.family() {
            libc::AF_INET => {
                // SAFETY: the family says that a sockaddr_in is there, and sockaddr_storage is large
                // and aligned enough for every kind of address (POSIX, sys/socket.h).
                let raw = unsafe { &*ptr::from_ref(&self.storage).cast::<libc::sockaddr_in>() };
                let ip = Ipv4Addr::from(raw.sin_addr.s_addr.to_ne_bytes());
                Some(SocketAddrV4::new(ip, u16::from_be(raw.sin_port)).into())
            }
            libc::AF_INET6 => {
                // SAFETY: as above, for a sockaddr_in6.
                let raw = unsafe { &*ptr::from_ref(&self.storage).cast::<libc::sockaddr_in6>() };
                let ip = Ipv6Addr::from(raw.sin6_addr.s6_addr);
                let port = u16::from_be(raw.sin6_port);
                Some(SocketAddrV6::new(ip, port, raw.sin6_flowinfo, raw.sin6_scope_id).into())
            }
            _ => None,
        }
    }
}

fn unusable(cause: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, cause)
}

#[cfg(test)]
mod tests {
    use super::RawAddress;
    use std::path::Path;

    #[test]
    fn ip_addresses_come_back_as_they_were() {
        for text in ["192.0.2.1:80", "[2001:db8::7%3]:50051", "0.0.0.0:0"] {
            let address = text.parse().unwrap();
            assert_eq!(RawAddress::of_ip(address).ip(), Some(address));
        }
    }

    #[test]
    fn names_of_unix_sockets_have_107_bytes() {
        let (fits, long) = ("x".repeat(107), "x".repeat(108));
        assert!(RawAddress::of_path(Path::new(&fits)).is_ok());
        assert!(RawAddress::of_path(Path::new(&long)).is_err());
        assert!(RawAddress::of_abstract(fits.as_bytes()).is_ok());
        assert!(RawAddress::of_abstract(long.as_bytes()).is_err());
        assert!(RawAddress::of_path(Path::new("")).is_err());
    }
}
