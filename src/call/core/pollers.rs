//! Who polls a call, and is woken when polling again is worth while.
//!
//! A waker may be the application's own, and its clone, its wake and its drop code of the
//! application's: none of them happens under the call's lock.

use super::pending::Done;
use super::{Core, Side, State};
use slab::Slab;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// The wakers that a call has.
#[derive(Default)]
pub(super) struct Pollers {
    pub(super) read: Option<Waker>,
    pub(super) write: Option<Waker>,
    /// Until the call is over, or they give up.
    pub(super) over: Slab<Waker>,
}

impl Pollers {
    /// Something has come, or there is room again.
    pub(super) fn wake_those_of_messages(&mut self, done: &mut Done) {
        let wakers = [self.read.take(), self.write.take()];
        wakers.into_iter().flatten().for_each(|waker| done.wakers.push(waker));
    }

    pub(super) fn wake_all(&mut self, done: &mut Done) {
        self.wake_those_of_messages(done);
        self.over.drain().for_each(|waker| done.wakers.push(waker));
    }
}

/// One who polls.
pub(super) struct Poller<'a> {
    waker: &'a Waker,
    clone: Option<Waker>,
    needs_clone: bool,
}

impl Poller<'_> {
    /// The waker to be put where `current` is. `None` if that is the same; or if there is no clone
    /// yet, and then the call will be looked at once more, with one.
    pub(super) fn waker_instead_of(&mut self, current: Option<&Waker>) -> Option<Waker> {
        if current.is_some_and(|waker| waker.will_wake(self.waker)) {
            return None;
        }
        self.needs_clone = self.clone.is_none();
        self.clone.take()
    }

    /// Puts the waker into its place, and what was there before where it is dropped without the lock.
    pub(super) fn wait_in(&mut self, place: &mut Option<Waker>, done: &mut Done) {
        if let Some(waker) = self.waker_instead_of(place.as_ref()) {
            done.replaced = place.replace(waker);
        }
    }
}

impl<S: Side> Core<S> {
    /// Works on the state for one who polls. Whoever is ready pays for no clone of a waker; who has
    /// to wait looks twice, as much may have happened while the waker was cloned.
    pub(super) fn poll_state<R>(
        self: &Arc<Self>,
        context: &Context<'_>,
        mut poll: impl FnMut(&mut State<S>, &mut Context<'_>, &mut Done, &mut Poller<'_>) -> Poll<R>,
    ) -> Poll<R> {
        let mut poller = Poller { waker: context.waker(), clone: None, needs_clone: false };
        loop {
            let result =
                self.with_state(|state, context, done| poll(state, context, done, &mut poller));
            if result.is_ready() || !std::mem::take(&mut poller.needs_clone) {
                return result;
            }
            poller.clone = Some(poller.waker.clone());
        }
    }
}
