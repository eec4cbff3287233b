//! The readiness of one fd: what events reach, while the fd itself is its owner's.
//!
//! Cells are used again for another fd when theirs has gone, so that an event finds them without a lock
//! but their own (`super::fd_table`). Everybody says by its key which fd it means: who comes too late, be it
//! an event or somebody who has not heard that its fd is gone, changes nothing.

use super::fired::Fired;
use super::key::Key;
use super::sys::Readiness;
use super::watch::Interest;
use crate::iomgr::readiness::{ReadinessCell, Reason};
use crate::sync::{AtomicBool, Mutex, MutexGuard, Ordering};
use std::io;
use std::mem;
use std::task::{Poll, Waker};

#[derive(Debug, Default)]
pub(super) struct Cells {
    /// A leaf lock.
    state: Mutex<State>,
    /// The peer has closed its side. Set once for an fd, under the lock, before its read cell becomes ready.
    hung_up: AtomicBool,
}

#[derive(Debug)]
struct State {
    /// Whose they are.
    key: Key,
    read: ReadinessCell,
    write: ReadinessCell,
    error: ReadinessCell,
}

impl Default for State {
    fn default() -> Self {
        let (read, write, error) = Default::default();
        Self { key: Key::NONE, read, write, error }
    }
}

impl State {
    fn cell(&mut self, direction: Interest) -> &mut ReadinessCell {
        match direction {
            Interest::READ => &mut self.read,
            Interest::WRITE => &mut self.write,
            _ => &mut self.error,
        }
    }
}

impl Cells {
    /// They are this fd's from now on.
    pub(super) fn begin(&self, key: Key) {
        let mut state = self.state.lock();
        self.hung_up.store(false, Ordering::Release);
        state.key = key;
    }

    /// They are nobody's any more.
    pub(super) fn end(&self, key: Key) {
        let ended = self.of(key).map(|mut state| mem::take(&mut *state));
        drop(ended);
    }

    fn of(&self, key: Key) -> Option<MutexGuard<'_, State>> {
        Some(self.state.lock()).filter(|state| state.key == key)
    }

    /// Takes the wakers that an event fires.
    pub(super) fn on_event(&self, key: Key, readiness: Readiness, fired: &mut Fired) {
        let Some(mut state) = self.of(key) else { return };
        if readiness.hang_up {
            self.hung_up.store(true, Ordering::Release);
        }
        if readiness.read {
            fired.add(state.read.set_ready());
        }
        if readiness.write {
            fired.add(state.write.set_ready());
        }
        if readiness.error {
            fired.add(state.error.set_ready());
        }
    }

    /// See [`ReadinessCell::arm`].
    pub(super) fn arm(&self, key: Key, direction: Interest, waker: &Waker) -> Poll<io::Result<()>> {
        let Some(mut state) = self.of(key) else { return gone() };
        let (armed, replaced) = state.cell(direction).arm(waker);
        drop(state);
        drop(replaced);
        armed
    }

    /// See [`ReadinessCell::arm_once`].
    pub(super) fn arm_once(
        &self,
        key: Key,
        direction: Interest,
        waker: Waker,
    ) -> Poll<io::Result<()>> {
        let Some(mut state) = self.of(key) else { return gone() };
        let (armed, unused) = state.cell(direction).arm_once(waker);
        drop(state);
        drop(unused);
        armed
    }

    /// The directions that somebody waits for.
    pub(super) fn armed(&self, key: Key) -> Interest {
        let Some(state) = self.of(key) else { return Interest::default() };
        Interest::READ
            .when(state.read.is_armed())
            .and(Interest::WRITE.when(state.write.is_armed()))
            .and(Interest::ERROR.when(state.error.is_armed()))
    }

    /// Whether the peer has closed its side.
    pub(super) fn is_hung_up(&self) -> bool {
        self.hung_up.load(Ordering::Acquire)
    }

    /// Fires all that is armed, and fails what is armed later.
    pub(super) fn shutdown(&self, key: Key, reason: &Reason) {
        let fired = self.of(key).map(|mut state| {
            [Interest::READ, Interest::WRITE, Interest::ERROR]
                .map(|direction| state.cell(direction).shutdown(reason.clone()))
        });
        fired.into_iter().flatten().flatten().for_each(Waker::wake);
    }
}

#[cold]
fn gone() -> Poll<io::Result<()>> {
    Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
}
