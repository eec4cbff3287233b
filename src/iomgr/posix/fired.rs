//! The wakers that a wait's events fire, kept until the locks are gone under which they were found.

#[cfg(not(turnstile_loom))]
use std::cell::RefCell;
use std::task::Waker;

/// A list that allocates nothing: most waits find one event, and the list of the others is its thread's.
#[derive(Default)]
pub(super) struct Fired {
    first: Option<Waker>,
    more: Option<Vec<Waker>>,
}

#[cfg(not(turnstile_loom))]
thread_local! {
    static SPARE: RefCell<Vec<Waker>> = const { RefCell::new(Vec::new()) };
}

impl Fired {
    /// One more, if there is one.
    #[inline]
    pub(super) fn add(&mut self, waker: Option<Waker>) {
        let Some(waker) = waker else { return };
        match self.first {
            None => self.first = Some(waker),
            Some(_) => self.add_to_others(waker),
        }
    }

    #[inline(never)]
    fn add_to_others(&mut self, waker: Waker) {
        // A model's threads are one thread of the system.
        #[cfg(not(turnstile_loom))]
        let spare = || SPARE.try_with(RefCell::take).unwrap_or_default();
        #[cfg(turnstile_loom)]
        let spare = Vec::new;
        self.more.get_or_insert_with(spare).push(waker);
    }

    /// Wakes them in order. True if there were any.
    #[inline]
    pub(super) fn fire(&mut self) -> bool {
        let Some(first) = self.first.take() else { return false };
        first.wake();
        if let Some(more) = self.more.take() {
            Self::fire_others(more);
        }
        true
    }

    #[inline(never)]
    fn fire_others(mut more: Vec<Waker>) {
        more.drain(..).for_each(Waker::wake);
        #[cfg(not(turnstile_loom))]
        let _ = SPARE.try_with(|spare| spare.replace(more));
    }

    /// How many there are.
    #[cfg(all(test, not(turnstile_loom)))]
    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.as_ref().map_or(0, Vec::len)
    }
}
