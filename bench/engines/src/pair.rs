//! The sockets that everybody reads and writes, with the same calls.

use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// Two ends, neither of which blocks.
pub(crate) fn new() -> io::Result<(UnixStream, UnixStream)> {
    let (one, other) = UnixStream::pair()?;
    one.set_nonblocking(true)?;
    other.set_nonblocking(true)?;
    Ok((one, other))
}

/// Sends one byte.
///
/// # Panics
/// If there is no room, although the other end has read what was there.
pub(crate) fn write(to: &UnixStream) {
    assert_eq!(rustix::io::write(to.as_fd(), b"x"), Ok(1), "a socket takes one byte");
}

/// Reads until there is nothing more; whether there was something.
pub(crate) fn read_until_blocked(fd: BorrowedFd<'_>) -> bool {
    let mut has_read = false;
    while read_once(fd) {
        has_read = true;
    }
    has_read
}

/// Reads once; whether there was something.
///
/// # Panics
/// If the other end has closed.
pub(crate) fn read_once(fd: BorrowedFd<'_>) -> bool {
    match rustix::io::read(fd, &mut [0; 16]) {
        Ok(0) => panic!("the other end is open as long as somebody reads"),
        Ok(_) => true,
        Err(Errno::WOULDBLOCK) => false,
        Err(error) => panic!("a socket cannot be read: {error}"),
    }
}
