//! How an fd comes to a second source, with sources that note what they are told, and refuse.

use super::super::events::Events;
use super::super::key::Key;
use super::super::pollable::{Pollable, Source};
use super::super::pollee::Pollee;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What sources were told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// The fd is here, where no other source has it.
    Alone(&'static str),
    /// It is here as one that others have.
    Shared(&'static str),
    Removed(&'static str),
    /// It could not be had.
    Refused(&'static str),
}

use Told::{Alone, Refused, Removed, Shared};

#[derive(Default)]
struct Log {
    told: Vec<Told>,
    /// How many adds succeed before one is refused, and how many are then.
    succeed: usize,
    refuse: usize,
}

struct Notes {
    name: &'static str,
    minds_sharing: bool,
    log: Arc<Mutex<Log>>,
}

impl Source for Notes {
    fn add(&self, pollee: &Arc<Pollee>, _fd: &Arc<OwnedFd>) -> io::Result<()> {
        let mut log = self.log.lock().unwrap();
        match (log.succeed.checked_sub(1), log.refuse.checked_sub(1)) {
            (None, Some(left)) => {
                log.refuse = left;
                log.told.push(Refused(self.name));
                return Err(io::ErrorKind::StorageFull.into());
            }
            (left, _) => log.succeed = left.unwrap_or_default(),
        }
        log.told.push(if pollee.is_shared() { Shared(self.name) } else { Alone(self.name) });
        Ok(())
    }

    fn remove(&self, _pollee: &Pollee, _fd: BorrowedFd<'_>) -> io::Result<()> {
        self.log.lock().unwrap().told.push(Removed(self.name));
        Ok(())
    }

    fn minds_sharing(&self) -> bool {
        self.minds_sharing
    }

    fn wait(&self, _timeout: Option<Duration>, _events: &mut Events<'_>) -> io::Result<()> {
        unreachable!("nobody waits")
    }

    fn wake(&self) -> io::Result<()> {
        Ok(())
    }
}

/// An fd, and what it can come to.
struct Scene {
    pollee: Arc<Pollee>,
    pollables: [Arc<Pollable>; 3],
    log: Arc<Mutex<Log>>,
}

impl Scene {
    fn new(minds_sharing: bool) -> Self {
        let log = Arc::<Mutex<Log>>::default();
        let pollables = ["one", "two", "three"].map(|name| {
            let notes = Notes { name, minds_sharing, log: log.clone() };
            Pollable::apart(Box::new(notes), None)
        });
        let fd: Arc<OwnedFd> = Arc::new(UnixStream::pair().unwrap().0.into());
        Self { pollee: Pollee::alone(Key(0), fd), pollables, log }
    }

    fn join(&self, index: usize) -> io::Result<()> {
        self.pollee.join(&self.pollables[index])
    }

    fn refuse_after(&self, succeed: usize, refuse: usize) {
        let mut log = self.log.lock().unwrap();
        (log.succeed, log.refuse) = (succeed, refuse);
    }

    /// What sources were told since the last time.
    fn told(&self) -> Vec<Told> {
        std::mem::take(&mut self.log.lock().unwrap().told)
    }
}

#[test]
fn the_second_source_has_it_as_a_shared_one_and_the_first_gets_it_anew() {
    let scene = Scene::new(true);
    scene.join(0).unwrap();
    assert_eq!(scene.told(), [Alone("one")]);
    scene.join(0).unwrap();
    assert!(scene.told().is_empty() && !scene.pollee.is_shared());
    scene.join(1).unwrap();
    assert_eq!(scene.told(), [Shared("two"), Removed("one"), Shared("one")]);
    // Those that come later find it so.
    scene.join(2).unwrap();
    assert_eq!(scene.told(), [Shared("three")]);
}

#[test]
fn it_stays_shared_when_others_have_it_no_more() {
    let scene = Scene::new(true);
    (0..2).for_each(|index| scene.join(index).unwrap());
    (0..2).for_each(|index| scene.pollee.part(&scene.pollables[index]));
    scene.told();
    scene.join(2).unwrap();
    assert_eq!(scene.told(), [Shared("three")]);
}

#[test]
fn one_after_the_other_it_is_shared_by_nobody() {
    let mut scene = Scene::new(true);
    scene.join(0).unwrap();
    scene.pollee.part(&scene.pollables[0]);
    scene.join(1).unwrap();
    // That one goes without a word.
    scene.pollables[1] = scene.pollables[2].clone();
    scene.join(2).unwrap();
    assert_eq!(scene.told(), [Alone("one"), Removed("one"), Alone("two"), Alone("three")]);
}

#[test]
fn a_pollable_of_its_own_shares_it_too() {
    let scene = Scene::new(true);
    scene.join(0).unwrap();
    let own = || Ok(scene.pollables[1].clone());
    assert!(scene.pollee.own_pollable(own).unwrap().is_some());
    assert_eq!(scene.told(), [Alone("one"), Shared("two"), Removed("one"), Shared("one")]);
}

#[test]
fn sources_that_do_not_mind_are_told_nothing_more() {
    let scene = Scene::new(false);
    (0..3).for_each(|index| scene.join(index).unwrap());
    assert_eq!(scene.told(), [Alone("one"), Alone("two"), Alone("three")]);
    assert!(!scene.pollee.is_shared());
}

#[test]
fn a_second_source_that_refuses_it_leaves_the_first_alone() {
    let scene = Scene::new(true);
    scene.join(0).unwrap();
    scene.refuse_after(0, 1);
    assert_eq!(scene.join(1).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(scene.told(), [Alone("one"), Refused("two")]);
    assert!(!scene.pollee.is_shared());
    scene.join(1).unwrap();
    assert_eq!(scene.told(), [Shared("two"), Removed("one"), Shared("one")]);
}

#[test]
fn a_first_source_that_refuses_it_anew_has_it_alone_again() {
    let scene = Scene::new(true);
    scene.join(0).unwrap();
    scene.refuse_after(1, 1);
    assert_eq!(scene.join(1).unwrap_err().kind(), io::ErrorKind::StorageFull);
    let back = [Removed("two"), Alone("one")];
    assert_eq!(
        scene.told()[1..],
        [&[Shared("two"), Removed("one"), Refused("one")], &back[..]].concat()
    );
    assert!(!scene.pollee.is_shared());
}

/// So that it is not lost for good.
#[test]
fn a_first_source_that_takes_it_back_in_no_way_is_asked_again_by_the_next() {
    let scene = Scene::new(true);
    scene.join(0).unwrap();
    scene.refuse_after(1, 2);
    assert_eq!(scene.join(1).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(scene.told().last(), Some(&Refused("one")));
    assert!(!scene.pollee.is_shared());
    scene.join(2).unwrap();
    assert_eq!(scene.told(), [Shared("three"), Removed("one"), Shared("one")]);
}
