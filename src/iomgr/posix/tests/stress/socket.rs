//! An fd with its peer, and what the test believes of its directions.
//!
//! Each user of an fd must use up what it is told: it reads until nothing is there, and only then arms
//! again. So the test knows what it may demand: if the last read found nothing, and there is something
//! now, then there was an event since, which no other arming has used up.

use super::ticket::{Office, Ticket};
use crate::iomgr::posix::fd::Fd;
use crate::iomgr::posix::manager::Iomgr;
use crate::iomgr::posix::pollee::Pollee;
use crate::iomgr::posix::sys::{recvmsg, sendmsg};
use std::io::{self, ErrorKind::WouldBlock, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, RwLock};
use std::task::Poll;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Read,
    Write,
    Error,
}

impl Direction {
    fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Error => "error",
        }
    }
}

/// One direction.
struct Side {
    /// The last arming, as long as no other was answered. Its ticket may have run meanwhile.
    ticket: Option<Arc<Ticket>>,
    /// The last read or write would have blocked, or there was none yet.
    is_used_up: bool,
}

/// One fd from its beginning to its end. Any thread may do anything to it at any time.
pub(super) struct Socket {
    pub(super) id: u64,
    pub(super) pollee: Arc<Pollee>,
    /// `None` when it was dropped or orphaned. Locked before a side.
    fd: RwLock<Option<Fd>>,
    /// By [`Direction`].
    sides: [Mutex<Side>; 3],
    peer: UnixStream,
    /// Bytes in both ways, as they were sent and as they arrived.
    to_fd: Way,
    from_fd: Way,
    /// The peer will send no more; and the fd has seen that.
    peer_ended: AtomicBool,
    saw_end: AtomicBool,
}

#[derive(Default)]
struct Way {
    sent: AtomicU64,
    arrived: AtomicU64,
}

impl Way {
    fn is_empty(&self) -> bool {
        self.sent.load(SeqCst) == self.arrived.load(SeqCst)
    }
}

impl Socket {
    pub(super) fn new(iomgr: &Arc<Iomgr>, id: u64) -> Arc<Self> {
        let (ours, peer) = UnixStream::pair().expect("fds are to be had");
        for socket in [&ours, &peer] {
            socket.set_nonblocking(true).expect("a socket may be non-blocking");
        }
        let fd = Fd::new(iomgr, ours.into()).expect("the engine takes a socket");
        Arc::new(Self {
            id,
            pollee: fd.pollee().clone(),
            fd: RwLock::new(Some(fd)),
            sides: [(); 3].map(|()| Mutex::new(Side { ticket: None, is_used_up: true })),
            peer,
            to_fd: Way::default(),
            from_fd: Way::default(),
            peer_ended: AtomicBool::new(false),
            saw_end: AtomicBool::new(false),
        })
    }

    /// Arms a direction, after using up what is there. `fills` says whether a write that is possible
    /// goes on until none is. Gives the tickets that must run, as they were armed before this.
    pub(super) fn arm(
        &self,
        direction: Direction,
        fills: bool,
        office: &Arc<Office>,
    ) -> Vec<Arc<Ticket>> {
        let mut due = Vec::new();
        let fd = self.fd.read().unwrap();
        let Some(fd) = &*fd else { return due };
        let mut side = self.sides[direction as usize].lock().unwrap();
        loop {
            let ticket = office.armed(direction.name());
            let waker = ticket.waker();
            let answer = match direction {
                Direction::Read => fd.notify_on_read(&waker),
                Direction::Write => fd.notify_on_write(&waker),
                Direction::Error => fd.notify_on_error(&waker),
            };
            if answer.is_pending() {
                // What has been called and not answered yet is answered with Ready.
                if let Some(replaced) = side.ticket.replace(ticket) {
                    replaced.take_back();
                }
                return due;
            }
            ticket.void();
            due.extend(side.ticket.take());
            if matches!(answer, Poll::Ready(Err(_))) {
                return due;
            }
            side.is_used_up = match direction {
                Direction::Read => self.read_all(fd),
                Direction::Write => self.write_all(fd, fills),
                Direction::Error => true,
            };
        }
    }

    /// At rest: a ticket that must run as soon as somebody works where this fd is waited for.
    pub(super) fn due(&self, direction: Direction) -> Option<Arc<Ticket>> {
        let side = self.sides[direction as usize].lock().unwrap();
        let is_ready = match direction {
            Direction::Read => {
                let is_over = self.peer_ended.load(SeqCst) && !self.saw_end.load(SeqCst);
                is_over || !self.to_fd.is_empty()
            }
            Direction::Write => self.from_fd.is_empty(),
            Direction::Error => false,
        };
        side.ticket.clone().filter(|_| is_ready && side.is_used_up)
    }

    /// Reads until there is nothing.
    fn read_all(&self, fd: &Fd) -> bool {
        let mut buffer = [0; 4096];
        loop {
            match recvmsg(fd.as_fd(), &mut buffer, false).map(|received| received.count) {
                Ok(0) => {
                    self.saw_end.store(true, SeqCst);
                    return true;
                }
                Ok(count) => self.to_fd.arrived.fetch_add(count as u64, SeqCst),
                Err(error) if error.kind() == WouldBlock => return true,
                Err(error) => panic!("a socket cannot be read: {error}"),
            };
        }
    }

    /// Writes, once or until there is no room. Says which.
    fn write_all(&self, fd: &Fd, fills: bool) -> bool {
        let some = [7; 32 * 1024];
        loop {
            let length = if fills { some.len() } else { 1 };
            match sendmsg(fd.as_fd(), &[IoSlice::new(&some[..length])]) {
                Ok(count) => self.from_fd.sent.fetch_add(count as u64, SeqCst),
                Err(error) if error.kind() == WouldBlock => return true,
                Err(error) => panic!("a socket cannot be written: {error}"),
            };
            if !fills {
                return false;
            }
        }
    }

    /// The peer sends a few bytes, if it can.
    pub(super) fn peer_writes(&self) {
        if let Ok(count) = (&self.peer).write(b"some") {
            self.to_fd.sent.fetch_add(count as u64, SeqCst);
        }
    }

    /// The peer takes all there is.
    pub(super) fn peer_reads(&self) {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = (&self.peer).read(&mut buffer) {
            self.from_fd.arrived.fetch_add(count as u64, SeqCst);
        }
    }

    /// The peer sends nothing any more.
    pub(super) fn peer_ends(&self) {
        self.peer.shutdown(Shutdown::Write).expect("the socket is connected");
        self.peer_ended.store(true, SeqCst);
    }

    /// Shuts the fd down. Gives the tickets that must run.
    pub(super) fn shutdown(&self) -> Vec<Arc<Ticket>> {
        let fd = self.fd.read().unwrap();
        if let Some(fd) = &*fd {
            fd.shutdown(io::Error::other("the stress says so"));
        }
        self.take_tickets()
    }

    /// Takes the fd away. `None` if another thread has done that.
    pub(super) fn end(&self, orphans: bool) -> Option<Vec<Arc<Ticket>>> {
        let fd = self.fd.write().unwrap().take()?;
        if orphans {
            let back = UnixStream::from(fd.orphan());
            assert!(back.local_addr().is_ok(), "it comes back open");
        } else {
            drop(fd);
        }
        Some(self.take_tickets())
    }

    fn take_tickets(&self) -> Vec<Arc<Ticket>> {
        self.sides.iter().filter_map(|side| side.lock().unwrap().ticket.take()).collect()
    }
}
