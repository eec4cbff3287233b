//! The workers that a pollset has.

use super::worker::{Member, Worker};
use std::mem;

/// A list whose first place is here and not in a buffer of its own: most pollsets have one worker at most,
/// and who kicks that, on another core, has less to fetch from where it runs.
#[derive(Default)]
pub(super) struct Workers {
    /// `None` only if there are none.
    first: Option<Member>,
    more: Vec<Member>,
}

impl Workers {
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Whoever came first is first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.first.iter().chain(&self.more)
    }

    /// The same, to change them.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.first.iter_mut().chain(&mut self.more)
    }

    /// One more.
    pub(super) fn push(&mut self, member: Member) {
        match self.first {
            None => self.first = Some(member),
            Some(_) => self.more.push(member),
        }
    }

    /// Takes out the only one, if there is no other and it is `meant`.
    pub(super) fn take_only_if(&mut self, meant: impl FnOnce(&Member) -> bool) -> Option<Member> {
        if self.more.is_empty() { self.first.take_if(|it| meant(it)) } else { None }
    }

    /// What `worker` is here.
    pub(super) fn get(&self, worker: &Worker) -> Option<&Member> {
        self.iter().find(|it| it.is(worker))
    }

    /// The same, to change it.
    pub(super) fn get_mut(&mut self, worker: &Worker) -> Option<&mut Member> {
        self.iter_mut().find(|it| it.is(worker))
    }

    /// Takes `worker` out, if it is here.
    pub(super) fn remove(&mut self, worker: &Worker) -> Option<Member> {
        if self.first.as_ref().is_some_and(|it| it.is(worker)) {
            let next = (!self.more.is_empty()).then(|| self.more.remove(0));
            return mem::replace(&mut self.first, next);
        }
        let index = self.more.iter().position(|it| it.is(worker))?;
        Some(self.more.remove(index))
    }
}
