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
//!
//! Who is armed *once* is told by a closure of its own, and need not ask: the event that fires it is used
//! up by that, and leads back to NotReady.

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

/// One direction of an fd. It is in a leaf lock of its user's, under which wakers are taken out, to be
/// fired and dropped after it: dropping a waker may drop what it wakes.
#[derive(Debug, Default)]
pub(crate) enum ReadinessCell {
    #[default]
    NotReady,
    Ready,
    Armed(Waker),
    ArmedOnce(Waker),
    Shutdown(Reason),
}

impl ReadinessCell {
    /// Uses up a remembered event (`Ready`), or arms `waker` for the next one (`Pending`). With it comes
    /// the waker that was armed before.
    ///
    /// After `Ready(Ok)` the caller reads or writes until it would block, and arms again. The
    /// event may have been for something already dealt with.
    ///
    /// # Errors
    /// The reason of the shutdown, at once and every time.
    #[inline]
    pub(crate) fn arm(&mut self, waker: &Waker) -> (Poll<io::Result<()>>, Option<Waker>) {
        match self {
            Self::Ready => {
                *self = Self::NotReady;
                (Poll::Ready(Ok(())), None)
            }
            Self::Armed(armed) if armed.will_wake(waker) => (Poll::Pending, None),
            Self::NotReady | Self::Armed(_) | Self::ArmedOnce(_) => {
                (Poll::Pending, mem::replace(self, Self::Armed(waker.clone())).into_waker())
            }
            Self::Shutdown(reason) => (Poll::Ready(Err(reason.to_error())), None),
        }
    }

    /// Arms `waker` for the next event, which that uses up: whoever is woken reads or writes until it
    /// would block, without asking, and arms again. `Ready` if an event has come since the last one that
    /// fired a waker: then it has to do so now. With it comes a waker that is not armed any more.
    ///
    /// # Errors
    /// The reason of the shutdown.
    #[inline]
    pub(crate) fn arm_once(&mut self, waker: Waker) -> (Poll<io::Result<()>>, Option<Waker>) {
        match self {
            Self::Ready => {
                *self = Self::NotReady;
                (Poll::Ready(Ok(())), Some(waker))
            }
            Self::NotReady | Self::Armed(_) | Self::ArmedOnce(_) => {
                (Poll::Pending, mem::replace(self, Self::ArmedOnce(waker)).into_waker())
            }
            Self::Shutdown(reason) => (Poll::Ready(Err(reason.to_error())), Some(waker)),
        }
    }

    /// Whether somebody waits for an event.
    pub(crate) fn is_armed(&self) -> bool {
        matches!(self, Self::Armed(_) | Self::ArmedOnce(_))
    }

    /// An event came. Gives the waker that is to be fired.
    #[must_use]
    #[inline]
    pub(crate) fn set_ready(&mut self) -> Option<Waker> {
        match self {
            Self::NotReady | Self::Armed(_) => mem::replace(self, Self::Ready).into_waker(),
            Self::ArmedOnce(_) => mem::take(self).into_waker(),
            Self::Ready | Self::Shutdown(_) => None,
        }
    }

    /// Ends the cell: the armed waker is given back to be fired, and every later arming fails
    /// with the reason. The first shutdown's reason stays.
    #[must_use]
    pub(crate) fn shutdown(&mut self, reason: Reason) -> Option<Waker> {
        match self {
            Self::Shutdown(_) => None,
            _ => mem::replace(self, Self::Shutdown(reason)).into_waker(),
        }
    }

    fn into_waker(self) -> Option<Waker> {
        match self {
            Self::Armed(waker) | Self::ArmedOnce(waker) => Some(waker),
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
        let (mut cell, waker) = (ReadinessCell::default(), CountingWaker::new());
        assert!(cell.set_ready().is_none());
        assert!(cell.set_ready().is_none());
        assert!(matches!(cell.arm(&waker.waker()).0, Poll::Ready(Ok(()))));
        assert!(cell.arm(&waker.waker()).0.is_pending());
    }

    #[test]
    fn an_armed_waker_fires_once_per_arming() {
        let (mut cell, waker) = (ReadinessCell::default(), CountingWaker::new());
        assert!(cell.arm(&waker.waker()).0.is_pending());
        cell.set_ready().expect("armed").wake();
        assert_eq!(waker.count(), 1);
        assert!(cell.set_ready().is_none(), "not armed again");
        assert!(matches!(cell.arm(&waker.waker()).0, Poll::Ready(Ok(()))));
        assert!(cell.arm(&waker.waker()).0.is_pending(), "both events were used up together");
    }

    #[test]
    fn arming_again_replaces_the_waker() {
        let (mut cell, old, new) =
            (ReadinessCell::default(), CountingWaker::new(), CountingWaker::new());
        assert!(cell.arm(&old.waker()).0.is_pending());
        let (armed, replaced) = cell.arm(&new.waker());
        assert!(armed.is_pending() && replaced.is_some());
        cell.set_ready().expect("armed").wake();
        assert_eq!((old.count(), new.count()), (0, 1));
    }

    #[test]
    fn an_event_that_fires_who_is_armed_once_is_used_up() {
        let (mut cell, waker) = (ReadinessCell::default(), CountingWaker::new());
        assert!(cell.arm_once(waker.waker()).0.is_pending());
        cell.set_ready().expect("armed").wake();
        assert!(cell.arm_once(waker.waker()).0.is_pending(), "it was told");
        cell.set_ready().expect("armed").wake();
        assert!(cell.set_ready().is_none(), "not armed");
        let (armed, unused) = cell.arm_once(waker.waker());
        assert!(matches!(armed, Poll::Ready(Ok(()))) && unused.is_some(), "that came since");
        assert!(cell.arm_once(waker.waker()).0.is_pending());
        assert_eq!(waker.count(), 2);
    }

    #[test]
    fn the_last_arming_says_of_which_kind_it_is() {
        let (mut cell, old, new) =
            (ReadinessCell::default(), CountingWaker::new(), CountingWaker::new());
        assert!(cell.arm_once(old.waker()).0.is_pending());
        let (armed, replaced) = cell.arm(&new.waker());
        assert!(armed.is_pending() && replaced.is_some());
        cell.set_ready().expect("armed").wake();
        assert!(matches!(cell.arm(&new.waker()).0, Poll::Ready(Ok(()))));
        assert!(cell.arm(&new.waker()).0.is_pending());
        let (armed, replaced) = cell.arm_once(old.waker());
        assert!(armed.is_pending() && replaced.is_some());
        cell.set_ready().expect("armed").wake();
        assert!(cell.arm_once(old.waker()).0.is_pending());
        assert_eq!((old.count(), new.count()), (1, 1));
        cell.shutdown(reason()).expect("armed").wake();
        assert!(matches!(cell.arm_once(old.waker()).0, Poll::Ready(Err(_))));
        assert_eq!(old.count(), 2);
    }

    #[test]
    fn shutdown_fires_what_is_armed_and_fails_what_comes_later() {
        let (mut cell, waker) = (ReadinessCell::default(), CountingWaker::new());
        assert!(cell.arm(&waker.waker()).0.is_pending());
        cell.shutdown(reason()).expect("armed").wake();
        assert_eq!(waker.count(), 1);
        assert!(cell.shutdown(reason()).is_none());
        assert!(cell.set_ready().is_none());
        for _ in 0..2 {
            let Poll::Ready(Err(error)) = cell.arm(&waker.waker()).0 else {
                panic!("a cell that is shut down must say so");
            };
            assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
            assert_eq!(error.to_string(), "the test says so");
        }
    }
}
