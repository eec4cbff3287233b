//! The readiness cell: one direction of one fd, armed once and fired once.
//!
//! ```text
//!                  arm
//!   NotReady --------------> Armed(waker)
//!     |  ^                     |       |
//!     |  | arm: "ready"        | event | shutdown      (both fire the waker)
//!     |  |                     |       |
//!     |  +------- Ready <------+       |
//!     |             ^  |               v
//!     +-------------+  +---------> Shutdown(why)       (arm: "failed", for ever)
//!          event         shutdown
//! ```
//!
//! An event is remembered, whether somebody was armed for it or not, until an arming uses it up:
//! a fired waker only says that it is worth while to come back. Arming again replaces the waker,
//! as Rust's poll contract has it.

use crate::sync::Mutex;
use std::io;
use std::mem;
use std::sync::Arc;
use std::task::{Poll, Waker};

/// Why an fd was shut down. Cheap to clone, since every direction and every later arming gets it.
#[derive(Clone, Debug)]
pub(crate) struct Reason(Arc<io::Error>);

impl Reason {
    pub(crate) fn new(error: io::Error) -> Self {
        Self(Arc::new(error))
    }

    /// The reason as an error of its own, with the same kind and message.
    pub(crate) fn to_error(&self) -> io::Error {
        io::Error::new(self.0.kind(), self.0.to_string())
    }
}

/// One direction of an fd.
#[derive(Debug, Default)]
pub(crate) struct ReadinessCell {
    /// A leaf lock: wakers are taken out under it and fired after it.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    NotReady,
    Ready,
    Armed(Waker),
    Shutdown(Reason),
}

impl ReadinessCell {
    /// Uses up a remembered event (`Ready`), or arms `waker` for the next one (`Pending`).
    ///
    /// After `Ready(Ok)` the caller reads or writes until it would block, and arms again. The
    /// event may have been for something already dealt with.
    ///
    /// # Errors
    /// The reason of the shutdown, at once and every time.
    pub(crate) fn arm(&self, waker: &Waker) -> Poll<io::Result<()>> {
        let mut state = self.state.lock();
        let replaced = match &*state {
            State::Ready => {
                *state = State::NotReady;
                return Poll::Ready(Ok(()));
            }
            State::Shutdown(reason) => return Poll::Ready(Err(reason.to_error())),
            State::Armed(armed) if armed.will_wake(waker) => return Poll::Pending,
            State::Armed(_) | State::NotReady => {
                mem::replace(&mut *state, State::Armed(waker.clone()))
            }
        };
        // Dropping a waker may drop what it wakes: not under the lock.
        drop(state);
        drop(replaced);
        Poll::Pending
    }

    /// Whether somebody waits for an event.
    pub(crate) fn is_armed(&self) -> bool {
        matches!(*self.state.lock(), State::Armed(_))
    }

    /// An event came. The caller fires the waker, if one is given back, after its locks are gone.
    #[must_use]
    pub(crate) fn set_ready(&self) -> Option<Waker> {
        let mut state = self.state.lock();
        match mem::replace(&mut *state, State::Ready) {
            State::NotReady | State::Ready => None,
            State::Armed(waker) => Some(waker),
            shutdown @ State::Shutdown(_) => {
                *state = shutdown;
                None
            }
        }
    }

    /// Ends the cell: the armed waker is given back to be fired, and every later arming fails
    /// with the reason. The first shutdown's reason stays.
    #[must_use]
    pub(crate) fn shutdown(&self, reason: Reason) -> Option<Waker> {
        let mut state = self.state.lock();
        if matches!(*state, State::Shutdown(_)) {
            return None;
        }
        match mem::replace(&mut *state, State::Shutdown(reason)) {
            State::Armed(waker) => Some(waker),
            _ => None,
        }
    }
}

#[cfg(all(test, not(turnstile_loom)))]
mod tests {
    use super::{ReadinessCell, Reason};
    use crate::testing::CountingWaker;
    use std::io;
    use std::task::Poll;

    fn reason() -> Reason {
        Reason::new(io::Error::new(io::ErrorKind::ConnectionAborted, "the test says so"))
    }

    #[test]
    fn an_event_before_arming_is_remembered_once() {
        let (cell, waker) = (ReadinessCell::default(), CountingWaker::new());
        assert!(cell.set_ready().is_none());
        assert!(cell.set_ready().is_none());
        assert!(matches!(cell.arm(&waker.waker()), Poll::Ready(Ok(()))));
        assert!(cell.arm(&waker.waker()).is_pending());
    }

    #[test]
    fn an_armed_waker_fires_once_per_arming() {
        let (cell, waker) = (ReadinessCell::default(), CountingWaker::new());
        assert!(cell.arm(&waker.waker()).is_pending());
        cell.set_ready().expect("armed").wake();
        assert_eq!(waker.count(), 1);
        assert!(cell.set_ready().is_none(), "not armed again");
        assert!(matches!(cell.arm(&waker.waker()), Poll::Ready(Ok(()))));
        assert!(cell.arm(&waker.waker()).is_pending(), "both events were used up together");
    }

    #[test]
    fn arming_again_replaces_the_waker() {
        let (cell, old, new) =
            (ReadinessCell::default(), CountingWaker::new(), CountingWaker::new());
        assert!(cell.arm(&old.waker()).is_pending());
        assert!(cell.arm(&new.waker()).is_pending());
        cell.set_ready().expect("armed").wake();
        assert_eq!((old.count(), new.count()), (0, 1));
    }

    #[test]
    fn shutdown_fires_what_is_armed_and_fails_what_comes_later() {
        let (cell, waker) = (ReadinessCell::default(), CountingWaker::new());
        assert!(cell.arm(&waker.waker()).is_pending());
        cell.shutdown(reason()).expect("armed").wake();
        assert_eq!(waker.count(), 1);
        assert!(cell.shutdown(reason()).is_none());
        assert!(cell.set_ready().is_none());
        for _ in 0..2 {
            let Poll::Ready(Err(error)) = cell.arm(&waker.waker()) else {
                panic!("a cell that is shut down must say so");
            };
            assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
            assert_eq!(error.to_string(), "the test says so");
        }
    }
}
