//! Who is measured, behind one face. The calls through it cost each of them the same.

mod mio;
mod polling;
mod turnstile;

use std::io;
use std::os::fd::OwnedFd;

/// What happens when a byte was read.
pub(crate) type Then = Box<dyn Fn() + Send + Sync>;

/// Makes a thread leave the place that it waits at.
pub(crate) type Kick = Box<dyn Fn() + Send + Sync>;

/// A way to wait.
pub(crate) trait Contender {
    fn name(&self) -> &str;

    /// Makes a place to wait at, which can be kicked, and drops it.
    fn create_and_drop(&self) -> io::Result<()>;

    /// A place for each of so many threads, of the kind that they should have.
    fn places(&self, count: usize) -> io::Result<Vec<Box<dyn Place>>>;
}

/// Where a thread waits.
pub(crate) trait Place: Send {
    /// Waits for an fd too, which does not block. Each time that it is readable it is read as the
    /// library's documentation wants it, and `then` is called if there was something.
    fn watch(&mut self, fd: OwnedFd, then: Then) -> io::Result<()>;

    /// Waits, and does what there is to do.
    fn turn(&mut self) -> io::Result<()>;

    /// What kicks a thread that is here, or the next one.
    fn kick(&self) -> Kick;
}

/// Everybody, the engines in the library's order.
pub(crate) fn all() -> io::Result<Vec<Box<dyn Contender>>> {
    let mut all: Vec<Box<dyn Contender>> = Vec::new();
    for engine in ::turnstile::bench::engines() {
        all.push(Box::new(turnstile::Engine::new(engine)?));
    }
    all.push(Box::new(mio::Mio { trusts_short_reads: false }));
    all.push(Box::new(mio::Mio { trusts_short_reads: true }));
    all.push(Box::new(polling::Polling));
    Ok(all)
}
