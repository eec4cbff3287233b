//! polling: a `Poller` for each thread with its own fds, since of several threads at one only the first
//! waits, and the others come back at once. An event ends the interest in its fd, which is read once
//! and added again; that tells of what is left.

use super::mio::EVENTS;
use super::{Contender, Kick, Place, Then};
use crate::pair;
use polling::{Event, Events, Poller};
use std::hint::black_box;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

pub(super) struct Polling;

impl Contender for Polling {
    fn name(&self) -> &str {
        "polling"
    }

    fn create_and_drop(&self) -> io::Result<()> {
        drop(black_box(Poller::new()?));
        Ok(())
    }

    fn places(&self, count: usize) -> io::Result<Vec<Box<dyn Place>>> {
        let place = |_| -> io::Result<Box<dyn Place>> {
            let capacity = NonZeroUsize::new(EVENTS).expect("not zero");
            let (poller, events) = (Arc::new(Poller::new()?), Events::with_capacity(capacity));
            Ok(Box::new(Loop { poller, events, watched: Vec::new() }))
        };
        (0..count).map(place).collect()
    }
}

struct Loop {
    poller: Arc<Poller>,
    events: Events,
    /// By key.
    watched: Vec<(OwnedFd, Then)>,
}

impl Place for Loop {
    #[expect(unsafe_code, reason = "polling has no other way to add an fd")]
    fn watch(&mut self, fd: OwnedFd, then: Then) -> io::Result<()> {
        let key = self.watched.len();
        // SAFETY: the fd is taken out before it is closed, see `drop`.
        unsafe { self.poller.add(&fd, Event::readable(key))? };
        self.watched.push((fd, then));
        Ok(())
    }

    fn turn(&mut self) -> io::Result<()> {
        self.events.clear();
        self.poller.wait(&mut self.events, None)?;
        for event in self.events.iter() {
            let (fd, then) = &self.watched[event.key];
            let has_read = pair::read_once(fd.as_fd());
            self.poller.modify(fd, Event::readable(event.key))?;
            if has_read {
                then();
            }
        }
        Ok(())
    }

    fn kick(&self) -> Kick {
        let poller = self.poller.clone();
        Box::new(move || poller.notify().expect("an eventfd takes a count"))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        for (fd, _) in &self.watched {
            self.poller.delete(fd).expect("it was added");
        }
    }
}
