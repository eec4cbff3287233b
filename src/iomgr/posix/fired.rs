//! The wakers that a wait's events fire, kept until the locks are gone under which they were found.

#[cfg(not(turnstile_loom))]
use std::cell::RefCell;
use std::task::Waker;

/// A list that allocates nothing: most waits find one event, and the list of the others is its thread's.
#[derive(Default)]
pub(super) struct Fired {
    first: Option<Waker>,
    more: Vec<Waker>,
}

#[cfg(not(turnstile_loom))]
thread_local! {
    static SPARE: RefCell<Vec<Waker>> = const { RefCell::new(Vec::new()) };
}

impl Fired {
    /// One more, if there is one.
    pub(super) fn add(&mut self, waker: Option<Waker>) {
        let Some(waker) = waker else { return };
        if self.first.is_none() {
            self.first = Some(waker);
            return;
        }
        // A model's threads are one thread of the system.
        #[cfg(not(turnstile_loom))]
        if self.more.capacity() == 0 {
            self.more = SPARE.try_with(RefCell::take).unwrap_or_default();
        }
        self.more.push(waker);
    }

    /// Wakes them in order. True if there were any.
    pub(super) fn fire(mut self) -> bool {
        let Some(first) = self.first.take() else { return false };
        first.wake();
        if !self.more.is_empty() {
            self.more.drain(..).for_each(Waker::wake);
            #[cfg(not(turnstile_loom))]
            let _ = SPARE.try_with(|spare| spare.replace(self.more));
        }
        true
    }

    /// How many there are.
    #[cfg(all(test, not(turnstile_loom)))]
    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.len()
    }
}
