//! The fds of one I/O manager by key, where an event finds what it reaches.
//!
//! ```text
//!   key: | serial, never used twice | place |        chunk 0   64 places
//!                                      |             chunk 1  128
//!                                      +-----------> chunk 2  256   each made when it is first needed
//! ```
//!
//! A place and its cells stay where they are once they are there, for the next fd, so that events look
//! them up without a lock. There are as many as there were fds at a time.

use super::cells::Cells;
use super::fired::Fired;
use super::key::Key;
use super::sys::Readiness;
use crate::sync::Mutex;
use std::io;
use std::sync::{Arc, OnceLock};

/// How many bits of a key say at which place the fd is.
const PLACE_BITS: u32 = 24;

/// How many places the first chunk has; each of the others has twice those of the one before it.
const FIRST: usize = 64;

/// So many chunks have more places than there can be.
const CHUNKS: usize = 19;

#[derive(Default)]
pub(super) struct FdTable {
    chunks: [OnceLock<Chunk>; CHUNKS],
    /// A leaf lock.
    places: Mutex<Places>,
}

type Chunk = Box<[OnceLock<Arc<Cells>>]>;

#[derive(Default)]
struct Places {
    /// Those that were used and are free.
    free: Vec<usize>,
    /// How many were ever used.
    used: usize,
    /// What tells a key from all that were before it, so that a late event finds nobody.
    next_serial: u64,
}

impl FdTable {
    /// A new fd's key, and its cells.
    ///
    /// # Errors
    /// There are too many.
    pub(super) fn insert(&self) -> io::Result<(Key, Arc<Cells>)> {
        let (place, serial) = self.places.lock().take()?;
        let key = Key(serial << PLACE_BITS | place as u64);
        let (chunk, index) = locate(place);
        let chunk = self.chunks[chunk].get_or_init(|| new_chunk(chunk));
        let cells = chunk[index].get_or_init(Arc::default);
        cells.begin(key);
        Ok((key, cells.clone()))
    }

    /// Takes out an fd that was inserted, once.
    pub(super) fn remove(&self, key: Key) {
        if let Some(cells) = self.cells(key) {
            cells.end(key);
            self.places.lock().free.push(place_of(key));
        }
    }

    /// Passes an event to its fd, if that is still here.
    pub(super) fn on_event(&self, key: Key, readiness: Readiness, fired: &mut Fired) {
        if let Some(cells) = self.cells(key) {
            cells.on_event(key, readiness, fired);
        }
    }

    /// What is at this fd's place, if anything was there yet.
    fn cells(&self, key: Key) -> Option<&Arc<Cells>> {
        let (chunk, index) = locate(place_of(key));
        self.chunks.get(chunk)?.get()?[index].get()
    }

    /// How many there are.
    #[cfg(all(test, not(turnstile_loom)))]
    pub(super) fn len(&self) -> usize {
        let places = self.places.lock();
        places.used - places.free.len()
    }
}

impl Places {
    /// A free place, and a serial for who takes it.
    fn take(&mut self) -> io::Result<(usize, u64)> {
        let place = self.free.pop().unwrap_or(self.used);
        if place >> PLACE_BITS != 0 {
            return Err(io::Error::new(io::ErrorKind::OutOfMemory, "too many sockets"));
        }
        self.used = self.used.max(place + 1);
        self.next_serial += 1;
        Ok((place, self.next_serial))
    }
}

fn place_of(key: Key) -> usize {
    // It has so few bits.
    (key.0 & ((1 << PLACE_BITS) - 1)) as usize
}

/// The chunk that a place is in, and where.
fn locate(place: usize) -> (usize, usize) {
    let number = place + FIRST;
    let chunk = (number.ilog2() - FIRST.ilog2()) as usize;
    (chunk, number - (FIRST << chunk))
}

fn new_chunk(number: usize) -> Chunk {
    (0..FIRST << number).map(|_| OnceLock::new()).collect()
}

#[cfg(all(test, not(turnstile_loom)))]
mod tests {
    use super::{CHUNKS, FIRST, FdTable, Key, PLACE_BITS, locate};
    use crate::iomgr::posix::fired::Fired;
    use crate::iomgr::posix::sys::Readiness;
    use crate::iomgr::posix::watch::Interest;
    use crate::testing::CountingWaker;
    use std::io;
    use std::sync::Arc;
    use std::task::Poll;

    const READABLE: Readiness = Readiness { read: true, write: false, error: false, hang_up: true };

    #[test]
    fn places_follow_one_another_through_the_chunks() {
        assert_eq!(locate(0), (0, 0));
        assert_eq!(locate(FIRST - 1), (0, FIRST - 1));
        assert_eq!(locate(FIRST), (1, 0));
        assert_eq!(locate(3 * FIRST), (2, 0));
        assert_eq!(locate((1 << PLACE_BITS) - 1).0, CHUNKS - 1);
    }

    #[test]
    fn many_fds_have_keys_and_cells_of_their_own() {
        let table = FdTable::default();
        let all: Vec<_> = (0..1000).map(|_| table.insert().unwrap()).collect();
        assert_eq!(table.len(), all.len());
        for (index, (key, cells)) in all.iter().enumerate() {
            assert!(Arc::ptr_eq(table.cells(*key).unwrap(), cells));
            assert!(
                all[..index].iter().all(|(other, its)| other != key && !Arc::ptr_eq(its, cells))
            );
        }
        all.iter().for_each(|(key, _)| table.remove(*key));
        assert_eq!(table.len(), 0);
    }

    /// Its number may have been closed and opened again while the event was on its way.
    #[test]
    fn an_event_for_an_fd_that_has_gone_does_not_reach_the_one_that_has_its_place() {
        let (table, waker) = (FdTable::default(), CountingWaker::new());
        let (gone, old) = table.insert().unwrap();
        old.on_event(gone, READABLE, &mut Fired::default());
        assert!(old.is_hung_up());
        table.remove(gone);
        let (key, cells) = table.insert().unwrap();
        assert!(Arc::ptr_eq(&old, &cells) && key != gone);
        assert!(!cells.is_hung_up(), "that was the other one's peer");
        assert!(cells.arm(key, Interest::READ, &waker.waker()).is_pending(), "the event, too");
        let mut fired = Fired::default();
        table.on_event(gone, READABLE, &mut fired);
        assert!(fired.len() == 0 && !cells.is_hung_up());
        let late = old.arm(gone, Interest::WRITE, &waker.waker());
        let Poll::Ready(Err(error)) = late else { panic!("who is late arms another one's cell") };
        assert_eq!(error.kind(), io::ErrorKind::NotConnected);
        table.on_event(key, READABLE, &mut fired);
        assert_eq!(fired.len(), 1);
    }

    #[test]
    fn a_key_that_was_never_given_out_finds_nobody() {
        let table = FdTable::default();
        assert!(table.cells(Key::WAKEUP).is_none());
    }
}
