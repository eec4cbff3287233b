//! An engine: a manager, and a pollset for each thread with its own fds. An fd is read as the library's
//! endpoint reads it, until that brings less than was asked for where the engine says that this will do,
//! and armed again.

use super::{Contender, Kick, Place, Then};
use crate::pair;
use std::hint::black_box;
use std::io;
use std::os::fd::OwnedFd;
use turnstile::bench::{self, Manager, Watch};

pub(super) struct Engine {
    name: &'static str,
    /// Of the queues that come and go.
    manager: Manager,
}

impl Engine {
    pub(super) fn new(name: &'static str) -> io::Result<Self> {
        Ok(Self { name, manager: Manager::new(name)? })
    }
}

impl Contender for Engine {
    fn name(&self) -> &str {
        self.name
    }

    fn create_and_drop(&self) -> io::Result<()> {
        drop(black_box(bench::queue(&self.manager)));
        Ok(())
    }

    fn places(&self, count: usize) -> io::Result<Vec<Box<dyn Place>>> {
        let manager = Manager::new(self.name)?;
        let place = |_| -> Box<dyn Place> {
            Box::new(Pollset { place: bench::Place::new(&manager), watches: Vec::new() })
        };
        Ok((0..count).map(place).collect())
    }
}

struct Pollset {
    place: bench::Place,
    /// Held for as long as their fds are to be waited for.
    watches: Vec<Box<dyn Send>>,
}

impl Place for Pollset {
    fn watch(&mut self, fd: OwnedFd, then: Then) -> io::Result<()> {
        self.watches.push(Box::new(Watch::new(&self.place, fd, pair::read_once, then)?));
        Ok(())
    }

    fn turn(&mut self) -> io::Result<()> {
        self.place.work();
        Ok(())
    }

    fn kick(&self) -> Kick {
        let place = self.place.clone();
        Box::new(move || place.kick())
    }
}
