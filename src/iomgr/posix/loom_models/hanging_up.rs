//! A model of the end of a stream: who reads less than it asked for reads again only if the peer has
//! closed, and so must know of that when it knows of the event.

use crate::iomgr::posix::fired::Fired;
use crate::iomgr::posix::key::Key;
use crate::iomgr::posix::pollee::Pollee;
use crate::iomgr::posix::sys::{EventFd, Readiness};
use crate::iomgr::posix::watch::Interest;
use crate::sync::{AtomicUsize, Ordering::SeqCst};
use crate::testing::CountingWaker;
use loom::thread;
use std::os::fd::AsFd;
use std::sync::Arc;

/// What the kernel has: a byte to read, the end behind it, or nothing.
const BYTE: usize = 1;
const END: usize = 2;

/// Reads as an endpoint does, until nothing is there. True if the end came.
fn read(pollee: &Pollee, kernel: &AtomicUsize, waker: &CountingWaker) -> bool {
    let mut is_drained = true;
    loop {
        if is_drained && pollee.arm(Interest::READ, &waker.waker()).is_pending() {
            return false;
        }
        match kernel.fetch_and(!BYTE, SeqCst) {
            END => return true,
            // No more than that was asked for when the peer has not closed.
            before if before & BYTE != 0 => is_drained = !pollee.is_hung_up(),
            _ => is_drained = true,
        }
    }
}

#[test]
fn an_end_that_comes_with_bytes_is_read() {
    loom::model(|| {
        let fd = EventFd::new().unwrap().as_fd().try_clone_to_owned().unwrap();
        let pollee = Pollee::alone(Key(1), Arc::new(fd));
        let kernel = Arc::new(AtomicUsize::new(0));
        let waker = CountingWaker::new();
        let peer = thread::spawn({
            let (pollee, kernel) = (pollee.clone(), kernel.clone());
            move || {
                let tell = |hang_up| {
                    let mut fired = Fired::default();
                    let (read, write, error) = (true, true, false);
                    pollee.on_event(Readiness { read, write, error, hang_up }, &mut fired);
                    fired.fire();
                };
                kernel.fetch_or(BYTE, SeqCst);
                tell(false);
                kernel.fetch_or(END, SeqCst);
                tell(true);
            }
        });
        let has_ended = read(&pollee, &kernel, &waker);
        peer.join().unwrap();
        // Who has armed and not read the end was told of it, comes again, and does.
        let is_told = waker.count() > 0;
        assert!(has_ended || is_told && read(&pollee, &kernel, &waker));
    });
}
