//! An engine whose waits follow a script, and whose time passes only there: what pollers do, with no
//! fd, no sleep and no luck.
//!
//! Each wait notes the timeout that it was given, and takes steps until one of them ends it. A wait for
//! which there is no step fails the test.

mod events;
mod time;
mod trouble;

use crate::iomgr::deadline::Deadline;
use crate::iomgr::exec_ctx::{ExecCtx, Run};
use crate::iomgr::posix::engine::PollingEngine;
use crate::iomgr::posix::events::Events;
use crate::iomgr::posix::key::Key;
use crate::iomgr::posix::manager::Iomgr;
use crate::iomgr::posix::pollable::{Pollable, Source};
use crate::iomgr::posix::pollee::Pollee;
use crate::iomgr::posix::pollset::Pollset;
use crate::iomgr::posix::sys::Readiness;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// A step of a wait.
enum Step {
    /// So much time goes by, and the wait goes on.
    Passes(u64),
    /// Another thread does something. If that wakes the poller, the wait ends.
    Meanwhile(Action),
    /// Nothing comes before the timeout.
    Sleeps,
    /// The same, and the thread gets to run only so many milliseconds after it.
    Oversleeps(u64),
    /// The thread sleeps in earnest, until another one wakes it. The test is told that it does.
    UntilWoken(Sender<()>),
    /// A batch of events.
    Events(Vec<Part>),
    /// A signal.
    Signal,
    /// The system's error of this number.
    Fails(i32),
}

/// A part of a batch.
enum Part {
    Event(Key, Readiness),
    /// Another thread does something while the batch is handed on.
    Meanwhile(Action),
}

type Action = Box<dyn FnOnce() + Send>;

/// The clock that wakes one of several pollers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Clock {
    /// There is one poller, which minds the time.
    Unwanted,
    Missing,
    Works,
    Breaks,
}

/// What an engine's sources share.
struct World {
    start: Instant,
    clock: Clock,
    state: Mutex<WorldState>,
}

#[derive(Default)]
struct WorldState {
    /// Since the start.
    now: Duration,
    /// How often somebody asked.
    looks: usize,
    rests: Vec<Duration>,
    /// What the clock was set to.
    set_to: Vec<Duration>,
    /// In the order in which they are called.
    pollables: Vec<Arc<Pollable>>,
    /// What another thread does when somebody asks for the time, from this one on.
    at: Option<(Duration, Action)>,
}

/// Milliseconds.
const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

impl World {
    fn pass(&self, time: Duration) {
        self.state.lock().unwrap().now += time;
    }

    /// How much time has passed.
    fn elapsed(&self) -> Duration {
        self.state.lock().unwrap().now
    }

    /// A point in time.
    fn at(&self, millis: u64) -> Instant {
        self.start + ms(millis)
    }

    /// Has `action` done when somebody asks for the time, from this one on.
    fn act_at(&self, millis: u64, action: impl FnOnce() + Send + 'static) {
        self.state.lock().unwrap().at = Some((ms(millis), Box::new(action)));
    }

    fn deadline(&self, millis: u64) -> Deadline {
        self.at(millis).into()
    }

    /// How often the clock was read.
    fn looks(&self) -> usize {
        self.state.lock().unwrap().looks
    }

    fn rests(&self) -> Vec<Duration> {
        self.state.lock().unwrap().rests.clone()
    }
}

/// What comes in the waits at one pollable.
struct Script {
    world: Arc<World>,
    state: Mutex<ScriptState>,
    changed: Condvar,
}

#[derive(Default)]
struct ScriptState {
    steps: VecDeque<Step>,
    timeouts: Vec<Option<Duration>>,
    is_woken: bool,
}

impl Script {
    fn new(world: &Arc<World>) -> Arc<Self> {
        let (state, changed) = (Mutex::default(), Condvar::new());
        Arc::new(Self { world: world.clone(), state, changed })
    }

    /// More steps.
    fn add(&self, steps: impl IntoIterator<Item = Step>) {
        self.state.lock().unwrap().steps.extend(steps);
    }

    /// The timeouts of the waits since the last time. All steps must have been taken.
    #[track_caller]
    fn timeouts(&self) -> Vec<Option<Duration>> {
        let mut state = self.state.lock().unwrap();
        assert_eq!(state.steps.len(), 0, "steps that no wait has taken");
        std::mem::take(&mut state.timeouts)
    }

    /// Whether the poller was woken, which ends one wait.
    fn take_wake(&self) -> bool {
        std::mem::take(&mut self.state.lock().unwrap().is_woken)
    }

    fn next_step(&self, timeout: Option<Duration>) -> Step {
        let step = self.state.lock().unwrap().steps.pop_front();
        step.unwrap_or_else(|| panic!("the script ends before a wait of {timeout:?}"))
    }

    fn sleep_until_woken(&self) {
        let state = self.state.lock().unwrap();
        let patience = super::PATIENCE;
        let woken = self.changed.wait_timeout_while(state, patience, |state| !state.is_woken);
        assert!(!woken.unwrap().1.timed_out(), "nobody wakes the poller");
    }
}

/// A script as a source of events.
struct Plays(Arc<Script>);

impl Source for Plays {
    fn add(&self, _pollee: &Arc<Pollee>, _fd: &Arc<OwnedFd>) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, _pollee: &Pollee, _fd: BorrowedFd<'_>) -> io::Result<()> {
        Ok(())
    }

    fn wait(&self, timeout: Option<Duration>, events: &mut Events<'_>) -> io::Result<()> {
        let (script, world) = (&*self.0, &*self.0.world);
        script.state.lock().unwrap().timeouts.push(timeout);
        let ends = timeout.map(|timeout| world.elapsed() + timeout);
        let left = || ends.map(|ends| ends.saturating_sub(world.elapsed()));
        loop {
            // A wait of no time takes no step, unless there is something to find.
            let finds =
                |step: &Step| matches!(step, Step::Events(_) | Step::Signal | Step::Fails(_));
            let finds_some = script.state.lock().unwrap().steps.front().is_some_and(finds);
            if script.take_wake() || (left() == Some(Duration::ZERO) && !finds_some) {
                return Ok(());
            }
            match script.next_step(left()) {
                Step::Passes(millis) => {
                    assert!(
                        left().is_none_or(|left| ms(millis) < left),
                        "the wait has ended by then"
                    );
                    world.pass(ms(millis));
                }
                Step::Meanwhile(action) => action(),
                Step::Sleeps => world.pass(left().expect("the wait ends by itself")),
                Step::Oversleeps(millis) => {
                    world.pass(left().expect("the wait ends by itself") + ms(millis));
                }
                Step::UntilWoken(sleeps) => {
                    sleeps.send(()).unwrap();
                    script.sleep_until_woken();
                }
                Step::Events(parts) => {
                    for part in parts {
                        match part {
                            Part::Event(key, readiness) => events.add(key, readiness),
                            Part::Meanwhile(action) => action(),
                        }
                    }
                    return Ok(());
                }
                Step::Signal => return Err(io::ErrorKind::Interrupted.into()),
                Step::Fails(number) => return Err(io::Error::from_raw_os_error(number)),
            }
        }
    }

    fn wake(&self) -> io::Result<()> {
        self.0.state.lock().unwrap().is_woken = true;
        self.0.changed.notify_all();
        Ok(())
    }
}

struct Scripted {
    world: Arc<World>,
    home: Arc<Pollable>,
}

impl PollingEngine for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn home(&self) -> &Arc<Pollable> {
        &self.home
    }

    fn add(&self, pollee: &Arc<Pollee>) -> io::Result<()> {
        pollee.join(&self.home)
    }

    fn keeps_pollsets_apart(&self) -> bool {
        self.world.clock != Clock::Unwanted
    }

    fn wake_any(&self) {
        let pollables = self.world.state.lock().unwrap().pollables.clone();
        let _ = pollables.iter().any(|pollable| pollable.call());
    }

    fn set_clock(&self, delay: Duration) -> io::Result<()> {
        match self.world.clock {
            Clock::Works => {
                self.world.state.lock().unwrap().set_to.push(delay);
                Ok(())
            }
            Clock::Breaks => Err(io::ErrorKind::InvalidInput.into()),
            Clock::Missing | Clock::Unwanted => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn now(&self) -> Instant {
        let mut state = self.world.state.lock().unwrap();
        state.looks += 1;
        let now = state.now;
        let due = state.at.take_if(|(at, _)| *at <= now);
        drop(state);
        if let Some((_, action)) = due {
            action();
        }
        self.world.start + now
    }

    fn rest(&self, time: Duration) {
        let mut state = self.world.state.lock().unwrap();
        state.rests.push(time);
        state.now += time;
    }
}

/// A manager with one pollable, which is home to all, and with what comes there.
fn scripted(clock: Clock) -> (Arc<Iomgr>, Arc<Script>) {
    let world = World { start: Instant::now(), clock, state: Mutex::default() };
    let script = Script::new(&Arc::new(world));
    let world = script.world.clone();
    let home = pollable(&script);
    (Iomgr::new(Box::new(Scripted { world, home })), script)
}

fn pollable(script: &Arc<Script>) -> Arc<Pollable> {
    let pollable = Pollable::shared(Box::new(Plays(script.clone())), 1, || 0);
    script.world.state.lock().unwrap().pollables.push(pollable.clone());
    pollable
}

/// Another pollable, for a pollset of its own.
fn elsewhere(world: &Arc<World>) -> (Arc<Pollset>, Arc<Script>) {
    let (pollset, script) = (Pollset::new(), Script::new(world));
    pollset.move_to(pollset.lock(), Some(pollable(&script)));
    (pollset, script)
}

/// Works once, and runs what that finds.
fn work(iomgr: &Iomgr, pollset: &Arc<Pollset>, deadline: Deadline) {
    let context = ExecCtx::enter();
    iomgr.work(pollset, deadline, || true);
    context.flush();
}

/// What timers ran, and when.
#[derive(Clone, Default)]
struct Rung(Arc<Mutex<Vec<(&'static str, Duration)>>>);

impl Rung {
    /// What did since the last time.
    fn take(&self) -> Vec<(&'static str, Duration)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// A timer's closure.
struct Rings {
    name: &'static str,
    world: Arc<World>,
    rung: Rung,
}

impl Run for Rings {
    fn run(self: Arc<Self>) {
        self.rung.0.lock().unwrap().push((self.name, self.world.elapsed()));
    }
}

impl Rung {
    fn timer(&self, world: &Arc<World>, name: &'static str) -> Arc<Rings> {
        Arc::new(Rings { name, world: world.clone(), rung: self.clone() })
    }
}
