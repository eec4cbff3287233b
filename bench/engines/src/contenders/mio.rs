//! mio: a `Poll` for each thread with its own fds. It is edge triggered, and its documentation wants an fd
//! to be read until it would block ("Draining readiness"). Who knows epoll(7) lets a short read be the last
//! one, as tokio does above mio.

use super::{Contender, Kick, Place, Then};
use crate::pair;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use std::hint::black_box;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;

/// How many events a wait takes at most: as many as the engines take.
pub(super) const EVENTS: usize = 128;

const KICK: Token = Token(usize::MAX);

pub(super) struct Mio {
    /// A read that brings less than was asked for is the last one, unless the peer has closed.
    pub(super) trusts_short_reads: bool,
}

impl Contender for Mio {
    fn name(&self) -> &str {
        if self.trusts_short_reads { "mio, short reads" } else { "mio" }
    }

    fn create_and_drop(&self) -> io::Result<()> {
        drop(black_box(new_poll()?));
        Ok(())
    }

    fn places(&self, count: usize) -> io::Result<Vec<Box<dyn Place>>> {
        let trusts_short_reads = self.trusts_short_reads;
        let place = |_| -> io::Result<Box<dyn Place>> {
            let (poll, waker) = new_poll()?;
            let events = Events::with_capacity(EVENTS);
            Ok(Box::new(Loop { poll, waker, events, trusts_short_reads, watched: Vec::new() }))
        };
        (0..count).map(place).collect()
    }
}

fn new_poll() -> io::Result<(Poll, Arc<Waker>)> {
    let poll = Poll::new()?;
    let waker = Arc::new(Waker::new(poll.registry(), KICK)?);
    Ok((poll, waker))
}

struct Loop {
    poll: Poll,
    waker: Arc<Waker>,
    events: Events,
    trusts_short_reads: bool,
    /// By token.
    watched: Vec<(OwnedFd, Then)>,
}

impl Place for Loop {
    fn watch(&mut self, fd: OwnedFd, then: Then) -> io::Result<()> {
        let token = Token(self.watched.len());
        self.poll.registry().register(&mut SourceFd(&fd.as_raw_fd()), token, Interest::READABLE)?;
        self.watched.push((fd, then));
        Ok(())
    }

    fn turn(&mut self) -> io::Result<()> {
        self.poll.poll(&mut self.events, None)?;
        for event in self.events.iter().filter(|event| event.token() != KICK) {
            let (fd, then) = &self.watched[event.token().0];
            if !event.is_readable() {
                continue;
            }
            let has_read = if self.trusts_short_reads && !event.is_read_closed() {
                pair::read_once(fd.as_fd())
            } else {
                pair::read_until_blocked(fd.as_fd())
            };
            if has_read {
                then();
            }
        }
        Ok(())
    }

    fn kick(&self) -> Kick {
        let waker = self.waker.clone();
        Box::new(move || waker.wake().expect("an eventfd takes a count"))
    }
}
