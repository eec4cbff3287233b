//! What engines share that keep pollsets apart: each pollset waits for its own fds.
//!
//! ```text
//!   pollset A      pollset B   pollset C      pollset D
//!   (no fd)        (fd 7)      (fd 7)         (fds 7, 8, 9)
//!      |               \          |              |
//!    EMPTY             FD pollable of 7        MULTI pollable of D
//!    one of the        one for each fd,        one for each pollset
//!    process           made when it is         with several fds
//!                      the only one of
//!                      some pollset
//! ```
//!
//! **How a thread becomes the poller.** Each pollable has a turnstile: one of the threads that wait at
//! it polls, so that several threads poll at once, each for other fds. The next one at a pollable is
//! chosen as everywhere (`super::turnstile`), among the pollsets that wait there.
//!
//! **How a call costs nothing.** The queue of a call has a pollset, to which the connection's fd is
//! added. It moves from EMPTY to the connection's FD pollable, which is there already. Only a pollset
//! that gets a second fd makes a pollable, once, and never goes back. Whoever waits in a pollset that
//! moves is kicked, and comes again at the other place (grpc#14217).

use super::pollable::Pollable;
use super::pollee::Pollee;
use super::pollset::Pollset;
use std::io;
use std::sync::{Arc, Weak};

/// An engine that makes pollables when they are wanted.
pub(crate) trait Apart {
    /// A pollable without fds: `only`'s, or some pollset's.
    fn pollable(&self, only: Option<Weak<Pollee>>) -> io::Result<Arc<Pollable>>;

    /// The fd has been added to a pollset, whose threads may be asleep.
    fn added(&self, _pollee: &Pollee) {}
}

/// See [`PollingEngine::add_to_pollset`](super::engine::PollingEngine::add_to_pollset).
pub(super) fn add(
    engine: &dyn Apart,
    pollset: &Arc<Pollset>,
    pollee: &Arc<Pollee>,
) -> io::Result<()> {
    let state = pollset.lock();
    if !state.is_open() {
        return Ok(());
    }
    let only = match state.pollable() {
        None => None,
        Some(pollable) => match pollable.only() {
            None => {
                pollee.join(pollable)?;
                drop(state);
                engine.added(pollee);
                return Ok(());
            }
            Some(only) => only.upgrade().filter(|only| !only.has_gone()),
        },
    };
    let next = match only {
        // FD; `None` if the fd has gone.
        None => pollee.own_pollable(|| engine.pollable(Some(Arc::downgrade(pollee))))?,
        Some(only) if Arc::ptr_eq(&only, pollee) => None,
        // MULTI.
        Some(only) => {
            let pollable = engine.pollable(None)?;
            only.join(&pollable)?;
            pollee.join(&pollable)?;
            Some(pollable)
        }
    };
    if let Some(next) = next {
        // Which wakes its threads.
        pollset.move_to(state, Some(next));
    }
    Ok(())
}

/// See [`PollingEngine::remove_from_pollset`](super::engine::PollingEngine::remove_from_pollset).
pub(super) fn remove(pollset: &Arc<Pollset>, pollee: &Arc<Pollee>) {
    let state = pollset.lock();
    let Some(pollable) = state.pollable() else { return };
    match pollable.only().map(Weak::upgrade) {
        None => pollee.part(pollable),
        Some(Some(only)) if Arc::ptr_eq(&only, pollee) => {
            pollset.move_to(state, None);
        }
        Some(_) => {}
    }
}
