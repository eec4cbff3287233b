//! A model of an fd that comes to a second epoll set while its peer sends and closes: whoever waits for it is
//! told of the end, although shared sets do not say that it is one.

use crate::iomgr::posix::events::Events;
use crate::iomgr::posix::fired::Fired;
use crate::iomgr::posix::key::Key;
use crate::iomgr::posix::pollable::{Pollable, Source};
use crate::iomgr::posix::pollee::Pollee;
use crate::iomgr::posix::sys::{EventFd, Readiness};
use crate::iomgr::posix::watch::Interest;
use crate::sync::Mutex;
use crate::testing::CountingWaker;
use loom::thread;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// What the kernel has: a byte to read, the end behind it, and the fd in two epoll sets.
#[derive(Default)]
struct Kernel {
    has_byte: bool,
    has_end: bool,
    sets: [Option<Item>; 2],
    /// It has no room for the fd in the first set as one that is shared.
    is_full: bool,
}

/// The fd in an epoll set.
struct Item {
    hears_of_ends: bool,
    /// Something has happened since the last wait.
    is_queued: bool,
}

impl Kernel {
    fn happens(&mut self, what: fn(&mut Self) -> &mut bool) {
        *what(self) = true;
        self.sets.iter_mut().flatten().for_each(|item| item.is_queued = true);
    }
}

#[derive(Clone)]
struct Shared(Arc<Mutex<Kernel>>);

impl Shared {
    /// A wait of both sets.
    fn wait(&self, pollee: &Pollee) {
        for set in 0..2 {
            let mut kernel = self.0.lock();
            let (has_byte, has_end) = (kernel.has_byte, kernel.has_end);
            let queued = kernel.sets[set].as_mut().filter(|item| item.is_queued);
            let Some(item) = queued else { continue };
            item.is_queued = false;
            let hang_up = has_end && item.hears_of_ends;
            drop(kernel);
            let read = has_byte || has_end;
            let mut fired = Fired::default();
            pollee.on_event(Readiness { read, write: false, error: false, hang_up }, &mut fired);
            fired.fire();
        }
    }

    /// Reads as an endpoint does, until nothing is there. True if the end came.
    fn read(&self, pollee: &Pollee, waker: &CountingWaker) -> bool {
        let mut is_drained = true;
        loop {
            if is_drained && pollee.arm(Interest::READ, &waker.waker()).is_pending() {
                return false;
            }
            let mut kernel = self.0.lock();
            let had_byte = std::mem::take(&mut kernel.has_byte);
            if !had_byte && kernel.has_end {
                return true;
            }
            drop(kernel);
            // A byte is less than was asked for.
            is_drained = !had_byte || !(pollee.is_hung_up() || pollee.is_shared());
        }
    }
}

/// One of the sets.
struct Set(usize, Shared);

impl Source for Set {
    fn add(&self, pollee: &Arc<Pollee>, _fd: &Arc<OwnedFd>) -> io::Result<()> {
        let hears_of_ends = !pollee.is_shared();
        let mut kernel = self.1.0.lock();
        if kernel.is_full && self.0 == 0 && !hears_of_ends {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let is_queued = kernel.has_byte || kernel.has_end;
        kernel.sets[self.0] = Some(Item { hears_of_ends, is_queued });
        Ok(())
    }

    fn remove(&self, _pollee: &Pollee, _fd: BorrowedFd<'_>) -> io::Result<()> {
        self.1.0.lock().sets[self.0] = None;
        Ok(())
    }

    fn minds_sharing(&self) -> bool {
        true
    }

    fn wait(&self, _timeout: Option<Duration>, _events: &mut Events<'_>) -> io::Result<()> {
        unreachable!("the model waits for both")
    }

    fn wake(&self) -> io::Result<()> {
        Ok(())
    }
}

/// The peer sends and closes, somebody waits, and the fd comes to its second set, which `is_full` makes fail.
fn an_end_is_read(is_full: bool) {
    loom::model(move || {
        let fd = EventFd::new().unwrap().as_fd().try_clone_to_owned().unwrap();
        let pollee = Pollee::alone(Key(1), Arc::new(fd));
        let kernel = Shared(Arc::new(Mutex::new(Kernel { is_full, ..Kernel::default() })));
        let [first, second] =
            [0, 1].map(|set| Pollable::apart(Box::new(Set(set, kernel.clone())), None));
        pollee.join(&first).unwrap();
        let peer = thread::spawn({
            let kernel = kernel.clone();
            move || {
                kernel.0.lock().happens(|kernel| &mut kernel.has_byte);
                kernel.0.lock().happens(|kernel| &mut kernel.has_end);
            }
        });
        let sharer = thread::spawn({
            let (pollee, second) = (pollee.clone(), second.clone());
            move || assert_eq!(pollee.join(&second).is_err(), is_full)
        });
        let poller = thread::spawn({
            let (pollee, kernel) = (pollee.clone(), kernel.clone());
            move || kernel.wait(&pollee)
        });
        let waker = CountingWaker::new();
        let has_ended = kernel.read(&pollee, &waker);
        for thread in [peer, sharer, poller] {
            thread.join().unwrap();
        }
        // Who has armed is told by then, or by who waits next, comes again, and reads the end.
        kernel.wait(&pollee);
        let is_told = waker.count() > 0;
        assert!(has_ended || is_told && kernel.read(&pollee, &waker));
    });
}

#[test]
fn an_end_is_read_while_its_fd_comes_to_a_second_pollable() {
    an_end_is_read(false);
}

#[test]
fn an_end_is_read_while_its_fd_cannot_come_to_a_second_pollable() {
    an_end_is_read(true);
}
