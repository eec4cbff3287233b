//! Closures that know how often they may run.
//!
//! ```text
//!   Armed ----wake---> Called ----run---> Ran
//!     |                  |
//!     +--- take back ----+---> TakenBack          (any other step is a panic)
//! ```
//!
//! **What counts as one arming**: a call of `notify_on_*` that answers `Pending`; a call of `timer_init`,
//! `submit` or `put_off`; a call of `shutdown` on a pollset. Each has a ticket of its own, which must run
//! once, unless it is taken back: replaced by a later arming of the same direction (as Rust's poll
//! contract has it), or by a `timer_cancel` that answers true. A `notify_on_*` that answers `Ready` has
//! armed nothing, and its ticket must never run.

use crate::iomgr::exec_ctx::Run;
use crate::iomgr::posix::manager::Iomgr;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::SeqCst};
use std::task::{Wake, Waker};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Step {
    Armed,
    Called,
    Ran,
    TakenBack,
}

/// A closure that runs once.
pub(super) struct Ticket {
    /// A [`Step`].
    step: AtomicU8,
    kind: &'static str,
    office: Arc<Office>,
}

impl Ticket {
    /// Schedules itself when it is woken, as a transport does.
    pub(super) fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(self.clone())
    }

    /// What it was armed for.
    pub(super) fn kind(&self) -> &'static str {
        self.kind
    }

    /// Whether it has run, and so is over.
    pub(super) fn has_run(&self) -> bool {
        self.step.load(SeqCst) == Step::Ran as u8
    }

    /// It was armed, and is no more. It must not have been called.
    pub(super) fn take_back(&self) {
        self.go(Step::Armed, Step::TakenBack);
        self.office.taken_back.fetch_add(1, SeqCst);
    }

    /// The same for one that is run without a call.
    pub(super) fn cancel(&self) {
        self.go(Step::Called, Step::TakenBack);
        self.office.taken_back.fetch_add(1, SeqCst);
    }

    /// The answer was that there is nothing to wait for: it does not count.
    pub(super) fn void(&self) {
        self.go(Step::Armed, Step::TakenBack);
        self.office.issued.fetch_sub(1, SeqCst);
    }

    fn go(&self, from: Step, to: Step) {
        let done = self.step.compare_exchange(from as u8, to as u8, SeqCst, SeqCst);
        if let Err(found) = done {
            let steps = [Step::Armed, Step::Called, Step::Ran, Step::TakenBack];
            let found = steps[usize::from(found)];
            panic!("a closure ({}) goes from {found:?} to {to:?}, not from {from:?}", self.kind);
        }
    }
}

impl Wake for Ticket {
    fn wake(self: Arc<Self>) {
        self.go(Step::Armed, Step::Called);
        self.office.iomgr.clone().submit(self);
    }
}

impl Run for Ticket {
    fn run(self: Arc<Self>) {
        self.go(Step::Called, Step::Ran);
        self.office.fired.fetch_add(1, SeqCst);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.office.alive.fetch_sub(1, SeqCst);
    }
}

/// Where tickets come from.
pub(super) struct Office {
    iomgr: Arc<Iomgr>,
    issued: AtomicU64,
    fired: AtomicU64,
    taken_back: AtomicU64,
    /// How many there are, whatever became of them.
    alive: AtomicU64,
}

impl Office {
    pub(super) fn new(iomgr: &Arc<Iomgr>) -> Arc<Self> {
        let zero = || AtomicU64::new(0);
        let (issued, fired, taken_back, alive) = (zero(), zero(), zero(), zero());
        Arc::new(Self { iomgr: iomgr.clone(), issued, fired, taken_back, alive })
    }

    /// A ticket that is woken, and then runs.
    pub(super) fn armed(self: &Arc<Self>, kind: &'static str) -> Arc<Ticket> {
        self.issue(kind, Step::Armed)
    }

    /// A ticket that is run without a waker.
    pub(super) fn scheduled(self: &Arc<Self>, kind: &'static str) -> Arc<Ticket> {
        self.issue(kind, Step::Called)
    }

    fn issue(self: &Arc<Self>, kind: &'static str, step: Step) -> Arc<Ticket> {
        self.issued.fetch_add(1, SeqCst);
        self.alive.fetch_add(1, SeqCst);
        Arc::new(Ticket { step: AtomicU8::new(step as u8), kind, office: self.clone() })
    }

    /// At the end: each one has run or was taken back, and nobody keeps any.
    pub(super) fn close(&self) -> Figures {
        let figure = |it: &AtomicU64| it.load(SeqCst);
        let issued = figure(&self.issued);
        let (fired, taken_back) = (figure(&self.fired), figure(&self.taken_back));
        assert_eq!(fired + taken_back, issued, "closures that never ran");
        assert_eq!(figure(&self.alive), 0, "closures that somebody keeps");
        Figures { issued, fired, taken_back }
    }
}

/// What became of all.
pub(super) struct Figures {
    issued: u64,
    fired: u64,
    taken_back: u64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { issued, fired, taken_back } = self;
        write!(f, "{issued} closures armed: {fired} fired once, {taken_back} taken back")
    }
}
