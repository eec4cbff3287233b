//! A list of fds as a source of events, by poll(2).
//!
//! poll(2) is level triggered: it tells of an fd that is ready each time that it is asked. So a wait
//! asks only for what is armed and no other list's wait asks for ([`super::watch`]): it ends with the
//! event, since what has fired is armed no more, and one event wakes one thread.
//!
//! **Why nothing that is armed stays unwatched.** Who falls asleep says so *before* it looks what is
//! armed; who arms looks for sleepers *after* it. Either the sleeper sees what was armed, or the other
//! one sees it asleep, and calls it to look again. Who leaves for good looks whether what it watched is
//! armed still, and calls another. One that was called and has not looked yet takes whatever there is,
//! so that many fds at once wake one thread.

use super::events::Events;
use super::key::Key;
use super::pollable::Source;
use super::pollee::Pollee;
use super::sys::{self, EventFd, PollFds};
use super::watch::Interest;
use crate::sync::{AtomicUsize, Condvar, LoadInOrder, Mutex, Ordering::SeqCst};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Weak};
use std::time::Duration;

pub(super) struct PollList {
    /// The fds are their owners', also while another thread drops the list. Locked before the cells.
    members: Mutex<Vec<(Arc<Pollee>, Weak<OwnedFd>)>>,
    wakeup: EventFd,
    /// How many waits are under way, of all lists of the engine.
    sleepers: Arc<AtomicUsize>,
    /// Locked by the one thread that waits, for as long as it does.
    buffers: Mutex<Buffers>,
    /// The wait that is under way holds on to fds. A leaf lock.
    round: Mutex<Round>,
    round_ended: Condvar,
}

#[derive(Default)]
struct Round {
    number: u64,
    is_under_way: bool,
    /// How many threads wait for its end.
    awaited_by: usize,
}

#[derive(Default)]
struct Buffers {
    watched: Vec<Watched>,
    fds: Vec<Arc<OwnedFd>>,
    polled: PollFds,
}

struct Watched {
    pollee: Arc<Pollee>,
    interest: Interest,
}

impl PollList {
    /// An empty list. `sleepers` is counted up for the time of a wait.
    pub(super) fn new(sleepers: &Arc<AtomicUsize>) -> io::Result<Self> {
        Ok(Self {
            members: Mutex::default(),
            wakeup: EventFd::new()?,
            sleepers: sleepers.clone(),
            buffers: Mutex::default(),
            round: Mutex::default(),
            round_ended: Condvar::new(),
        })
    }

    fn begin_round(&self) {
        self.sleepers.fetch_add(1, SeqCst);
        self.round.lock().is_under_way = true;
    }

    fn end_round(&self) {
        let mut round = self.round.lock();
        round.number += 1;
        round.is_under_way = false;
        let is_awaited = round.awaited_by > 0;
        drop(round);
        if is_awaited {
            self.round_ended.notify_all();
        }
        self.sleepers.fetch_sub(1, SeqCst);
    }

    /// Claims what this wait is to watch.
    fn watch(&self, buffers: &mut Buffers) {
        for (pollee, fd) in self.members.lock().iter() {
            let interest = pollee.watch();
            if interest.is_empty() {
                continue;
            }
            match fd.upgrade() {
                Some(fd) => {
                    buffers.watched.push(Watched { pollee: pollee.clone(), interest });
                    buffers.fds.push(fd);
                }
                None => pollee.unwatch(interest),
            }
        }
    }
}

impl Buffers {
    fn poll(&mut self, wakeup: &EventFd, timeout: Option<Duration>) -> io::Result<()> {
        let watched = self.watched.iter().zip(&self.fds).map(|(watched, fd)| {
            let interest = watched.interest;
            (fd.as_fd(), interest.has(Interest::READ), interest.has(Interest::WRITE))
        });
        self.polled.wait(watched, wakeup, timeout)
    }

    /// Hands on what the last poll has found.
    fn report(&self, wakeup: &EventFd, events: &mut Events<'_>) -> io::Result<()> {
        let mut found = self.polled.found();
        for ((watched, fd), readiness) in self.watched.iter().zip(&self.fds).zip(&mut found) {
            let Some(readiness) = readiness else { continue };
            if watched.pollee.key() == Key::WAKEUP {
                sys::drain(fd.as_fd())?;
                continue;
            }
            watched.pollee.note(watched.interest, readiness);
            events.add(watched.pollee.key(), readiness);
        }
        if found.next().flatten().is_some() { wakeup.drain() } else { Ok(()) }
    }
}

impl Source for PollList {
    fn add(&self, pollee: &Arc<Pollee>, fd: &Arc<OwnedFd>) -> io::Result<()> {
        self.members.lock().push((pollee.clone(), Arc::downgrade(fd)));
        Ok(())
    }

    /// Blocks until no wait holds on to the fd.
    fn remove(&self, pollee: &Pollee, _fd: BorrowedFd<'_>) -> io::Result<()> {
        let key = pollee.key();
        self.members.lock().retain(|(member, _)| member.key() != key);
        if !pollee.is_watched() {
            return Ok(());
        }
        let mut round = self.round.lock();
        if !round.is_under_way {
            return Ok(());
        }
        self.wakeup.signal()?;
        let number = round.number;
        round.awaited_by += 1;
        while round.number == number {
            round = self.round_ended.wait_until(round, None);
        }
        round.awaited_by -= 1;
        Ok(())
    }

    fn wait(&self, timeout: Option<Duration>, events: &mut Events<'_>) -> io::Result<()> {
        let buffers = &mut *self.buffers.lock();
        self.begin_round();
        self.watch(buffers);
        let found = buffers.poll(&self.wakeup, timeout);
        let told = found.and_then(|()| buffers.report(&self.wakeup, events));
        // Before they are watched no more: whoever removes an fd then does not wait for the round.
        buffers.fds.clear();
        for watched in &buffers.watched {
            watched.pollee.unwatch(watched.interest);
        }
        self.end_round();
        // Whoever removes an fd waits for the end of the round, and may be what dropping its cells
        // drops.
        buffers.watched.clear();
        told
    }

    fn wake(&self) -> io::Result<()> {
        self.wakeup.signal()
    }

    fn minds_vacating(&self) -> bool {
        true
    }

    fn vacated(&self) {
        // If nobody sleeps, whoever does next looks at all there is.
        if self.sleepers.load_in_order() == 0 {
            return;
        }
        let members = self.members.lock();
        let unwatched = members.iter().map(|(pollee, _)| pollee).filter(|it| it.lacks_watcher());
        let unwatched: Vec<_> = unwatched.cloned().collect();
        drop(members);
        unwatched.iter().for_each(|pollee| pollee.call_watcher());
    }
}

#[cfg(all(test, not(turnstile_loom)))]
mod tests {
    use super::PollList;
    use crate::iomgr::posix::events::Events;
    use crate::iomgr::posix::fd_table::FdTable;
    use crate::iomgr::posix::key::Key;
    use crate::iomgr::posix::pollable::{Pollable, Source};
    use crate::iomgr::posix::pollee::Pollee;
    use crate::iomgr::posix::watch::Interest;
    use crate::sync::AtomicUsize;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::task::Waker;
    use std::time::Duration;

    /// A call in vain leaves a mark, which is no sign of somebody who will look.
    #[test]
    fn nobody_is_relied_on_to_look_where_nobody_polls() {
        let list = PollList::new(&Arc::new(AtomicUsize::new(0))).unwrap();
        let pollable = Pollable::apart(Box::new(list), None);
        assert!(!pollable.will_look());
        assert!(!pollable.call() && !pollable.will_look());
    }

    /// Another thread may be about to drop the list when an fd is taken back, which cannot be told of
    /// that any more.
    #[test]
    fn a_list_does_not_keep_an_fd_that_its_owner_takes_back() {
        let list = PollList::new(&Arc::new(AtomicUsize::new(0))).unwrap();
        let fd: Arc<OwnedFd> = Arc::new(UnixStream::pair().unwrap().0.into());
        let pollee = Pollee::alone(Key(1), fd.clone());
        list.add(&pollee, &fd).unwrap();
        assert!(pollee.arm(Interest::READ, Waker::noop()).is_pending());
        let fds = FdTable::default();
        let mut events = Events::of(&fds);
        list.wait(Some(Duration::ZERO), &mut events).unwrap();
        assert_eq!(events.told(), 1);
        pollee.leave_all();
        assert!(Arc::into_inner(fd).is_some());
        list.wait(Some(Duration::ZERO), &mut events).unwrap();
        assert_eq!(events.told(), 1, "it has gone");
        assert!(!pollee.is_watched());
    }
}
