//! An epoll set as a source of events, and what interrupts who waits for it.

use super::events::Events;
use super::key::Key;
use super::pollable::Source;
use super::pollee::Pollee;
use super::sys::{Epoll, EpollRoom, EventFd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// How many events one call takes at most. More than that wait in the kernel for the next one, which does
/// not sleep.
const MOST_EVENTS: usize = 128;

pub(super) struct EpollSet {
    epoll: Epoll,
    wakeup: EventFd,
    /// There are other sets, which may have the same fds.
    is_one_of_many: bool,
}

impl EpollSet {
    /// A set that has all fds.
    pub(super) fn of_process() -> io::Result<Self> {
        Self::new(false)
    }

    /// One of several sets. `common` are what each of them has, beside its fds: who waits is woken
    /// by them, if nobody else is.
    pub(super) fn one_of_many(common: [BorrowedFd<'_>; 2]) -> io::Result<Self> {
        let set = Self::new(true)?;
        for fd in common {
            set.epoll.add_exclusive(fd, Key::WAKEUP.0, false)?;
        }
        Ok(set)
    }

    fn new(is_one_of_many: bool) -> io::Result<Self> {
        let (epoll, wakeup) = (Epoll::new()?, EventFd::new()?);
        epoll.add(wakeup.as_fd(), Key::WAKEUP.0, false)?;
        Ok(Self { epoll, wakeup, is_one_of_many })
    }
}

impl Source for EpollSet {
    fn add(&self, pollee: &Arc<Pollee>, fd: &Arc<OwnedFd>) -> io::Result<()> {
        let (fd, key) = (fd.as_fd(), pollee.key().0);
        match self.is_one_of_many {
            true if pollee.is_shared() => self.epoll.add_exclusive(fd, key, pollee.writes()),
            true => self.epoll.add(fd, key, pollee.writes()),
            false => self.epoll.add(fd, key, true),
        }
    }

    fn minds_sharing(&self) -> bool {
        self.is_one_of_many
    }

    fn remove(&self, _pollee: &Pollee, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.epoll.delete(fd)
    }

    fn wait(&self, timeout: Option<Duration>, events: &mut Events<'_>) -> io::Result<()> {
        let (mut room, mut timeout) = (EpollRoom::<MOST_EVENTS>::new(), timeout);
        loop {
            let came = self.epoll.wait(&mut room, timeout)?;
            for event in came {
                // What only wakes is edge triggered too: each signal is an event, and it need not be
                // drained.
                if event.key() != Key::WAKEUP.0 {
                    events.add(Key(event.key()), event.readiness());
                }
            }
            // What has come to this set alone, nobody else is told of: before Linux 5.7 that is all that
            // comes until a woken thread runs.
            if came.len() < MOST_EVENTS || !self.is_one_of_many {
                return Ok(());
            }
            timeout = Some(Duration::ZERO);
        }
    }

    fn wake(&self) -> io::Result<()> {
        self.wakeup.signal()
    }
}

#[cfg(all(test, not(turnstile_loom)))]
mod tests {
    use super::{EpollSet, MOST_EVENTS};
    use crate::iomgr::posix::events::Events;
    use crate::iomgr::posix::fd_table::FdTable;
    use crate::iomgr::posix::key::Key;
    use crate::iomgr::posix::pollable::Source;
    use crate::iomgr::posix::pollee::Pollee;
    use crate::iomgr::posix::sys::EventFd;
    use std::os::fd::{AsFd, OwnedFd};
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::time::Duration;

    /// How many of more fds than one call takes are told of by the first wait.
    fn told_at_once(set: &EpollSet) -> usize {
        let peers: Vec<_> = (0..=MOST_EVENTS as u64)
            .map(|number| {
                let (fd, peer) = UnixStream::pair().unwrap();
                let fd: Arc<OwnedFd> = Arc::new(fd.into());
                set.add(&Pollee::alone(Key(number), fd.clone()), &fd).unwrap();
                drop(peer);
                fd
            })
            .collect();
        let fds = FdTable::default();
        let mut events = Events::of(&fds);
        set.wait(Some(Duration::ZERO), &mut events).unwrap();
        drop(peers);
        events.told()
    }

    #[test]
    fn a_set_that_may_be_the_only_one_to_hear_of_something_takes_all() {
        let common = [(); 2].map(|()| EventFd::new().unwrap());
        let set = EpollSet::one_of_many([common[0].as_fd(), common[1].as_fd()]).unwrap();
        assert_eq!(told_at_once(&set), MOST_EVENTS + 1);
        assert_eq!(told_at_once(&EpollSet::of_process().unwrap()), MOST_EVENTS);
    }

    #[test]
    fn a_wake_before_a_wait_ends_one_and_a_new_set_has_none() {
        let (set, fds) = (EpollSet::of_process().unwrap(), FdTable::default());
        let wait = |millis| {
            let start = std::time::Instant::now();
            set.wait(Some(Duration::from_millis(millis)), &mut Events::of(&fds)).unwrap();
            start.elapsed() >= Duration::from_millis(millis)
        };
        assert!(wait(10), "nobody has woken it");
        for _ in 0..2 {
            set.wake().unwrap();
            set.wake().unwrap();
            assert!(!wait(20_000) && wait(10));
        }
    }
}
