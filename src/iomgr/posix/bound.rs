//! Sockets that listen, and of which nobody accepts yet: bound here, or by somebody else.

use super::address::ListenAddress;
use super::fd::Fd;
use super::manager::Iomgr;
use super::pollset_set::PollsetSet;
use super::sys::{self, Family, Listening, RawAddress};
use crate::forked;
use std::fs::{self, Metadata};
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Poll, Waker};

/// A non-blocking socket that listens. Clients can connect, and wait until somebody accepts.
///
/// Dropping it closes the socket; the kernel refuses the connections in its queue, unless another
/// process has the socket too.
pub(crate) struct Bound {
    /// What binding has made in the file system. It goes before the socket is closed, since a
    /// closed path may be another server's the next moment.
    _file: Option<SocketFile>,
    fd: Fd,
    address: ListenAddress,
}

impl Bound {
    /// Binds and listens.
    ///
    /// # Errors
    /// The system's, with the address in the message.
    pub(crate) fn new(
        iomgr: &Arc<Iomgr>,
        address: &ListenAddress,
        options: Listening,
    ) -> io::Result<Self> {
        Self::bind(iomgr, address, options)
            .map_err(|error| with_context(&format!("cannot listen on {address}"), &error))
    }

    fn bind(iomgr: &Arc<Iomgr>, address: &ListenAddress, options: Listening) -> io::Result<Self> {
        let mut file = None;
        let (socket, address) = match address {
            ListenAddress::Tcp(address) => {
                let socket = TcpListener::from(options.tcp(*address)?);
                let address = ListenAddress::Tcp(socket.local_addr()?);
                (OwnedFd::from(socket), address)
            }
            ListenAddress::Unix(path) => {
                let listener = bind_path(path)?;
                file = SocketFile::at(path);
                listener.set_nonblocking(true)?;
                (listener.into(), address.clone())
            }
            ListenAddress::Abstract(name) => {
                let listener = UnixListener::bind_addr(&UnixAddress::from_abstract_name(name)?)?;
                listener.set_nonblocking(true)?;
                (listener.into(), address.clone())
            }
        };
        Ok(Self { _file: file, fd: Fd::new(iomgr, socket)?, address })
    }

    /// The pollsets of `set` wait for clients.
    ///
    /// # Errors
    /// The engine's.
    pub(crate) fn add_to(&self, set: &PollsetSet) -> io::Result<()> {
        set.add_fd(self.fd.pollee())
    }

    /// Takes a socket that listens already. Nothing in the file system is its own.
    ///
    /// # Errors
    /// `InvalidInput` if streams cannot be accepted from it, with the reason; otherwise the
    /// system's.
    pub(crate) fn adopt(
        iomgr: &Arc<Iomgr>,
        socket: OwnedFd,
        options: Listening,
    ) -> io::Result<Self> {
        let adopt = move || {
            let (socket, address) = match sys::family_of_listener(&socket)? {
                Family::Ip => {
                    sys::set_user_timeout(&socket, options.user_timeout)?;
                    let listener = TcpListener::from(socket);
                    listener.set_nonblocking(true)?;
                    let address = ListenAddress::Tcp(listener.local_addr()?);
                    (OwnedFd::from(listener), address)
                }
                Family::Unix => {
                    let listener = UnixListener::from(socket);
                    listener.set_nonblocking(true)?;
                    let address = unix_address(&listener.local_addr()?)?;
                    (listener.into(), address)
                }
            };
            Ok(Self { _file: None, fd: Fd::new(iomgr, socket)?, address })
        };
        adopt().map_err(|error| {
            with_context("cannot serve a socket that Builder::listen_on was given", &error)
        })
    }

    /// Where it listens, with the port that the system chose.
    pub(super) fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// Arms `waker` for the next connection's event, after which the caller accepts until it would block.
    pub(super) fn notify_once(&self, waker: Waker) -> Poll<io::Result<()>> {
        self.fd.notify_once_on_read(waker)
    }
}

impl AsFd for Bound {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn with_context(context: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{context}: {error}"))
}

fn unix_address(address: &UnixAddress) -> io::Result<ListenAddress> {
    if let Some(path) = address.as_pathname() {
        return Ok(ListenAddress::Unix(path.to_owned()));
    }
    let name = address.as_abstract_name();
    let nameless = || io::Error::new(io::ErrorKind::InvalidInput, "it has no name");
    Ok(ListenAddress::Abstract(name.ok_or_else(nameless)?.to_owned()))
}

/// Binds a path; a socket that a dead process left there is replaced, a live one is not.
fn bind_path(path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_left_over(path) => {
            fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        result => result,
    }
}

/// Whether there is a socket at which nobody listens. One whose queue is full is somebody's, so this
/// does not wait for room in it.
fn is_left_over(path: &Path) -> bool {
    let is_socket = fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    let refused = io::ErrorKind::ConnectionRefused;
    let connect = || sys::connect(&RawAddress::of_path(path)?);
    is_socket && connect().is_err_and(|error| error.kind() == refused)
}

/// The file of a UNIX socket. Dropping it removes the file, unless another has taken its place.
struct SocketFile {
    path: PathBuf,
    /// Device and inode, which is not used again while the socket is open.
    id: (u64, u64),
}

impl SocketFile {
    /// The file that binding has just made; `None` if somebody has removed it already.
    fn at(path: &Path) -> Option<Self> {
        let metadata = fs::symlink_metadata(path).ok()?;
        Some(Self { path: path.to_owned(), id: id_of(&metadata) })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = |it: &Metadata| id_of(it) == self.id;
        // A child's parent still listens there.
        if !forked::is_forked() && fs::symlink_metadata(&self.path).is_ok_and(|it| is_ours(&it)) {
            // Somebody may remove it this moment, which is as well.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn id_of(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}
