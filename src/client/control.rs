//! What keeps a channel's connections, in turns: its resolver and its balancer.
//!
//! ```text
//!   calls --- connect ---> Control's turn --- asks ---> Resolver
//!     ^                      |      ^  |                    |
//!     |                 shows|  news|  '----- polls ---> Balancer --> Subchannel --> transport
//!     '------ Picker <-------'      '------------------- wakes ------------------------'
//! ```
//!
//! Any thread that does I/O runs it: it is woken by the sockets, timers and transports that it waits
//! for, and never waits for a turn.

use super::balancer::{Asks, Balancer, Fixed, Pick, PickFirst, Picture};
use super::connectivity::ConnectivityState;
use super::picker::{Picker, Told};
use super::subchannel::Environment;
use super::target::{Known, Resolver};
use crate::call::Outcome;
use crate::cq::PendingOp;
use crate::forked;
use crate::iomgr::{Deadline, ExecCtx, Iomgr, Pollset, PollsetSet, Run, Scheduled, TimerId, Turn};
use crate::status::Status;
use crate::sync::{AtomicU8, Mutex, Ordering};
use crate::transport::ClientTransport;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Instant;

/// What is asked of it, as bits.
const CONNECT: u8 = 1;
const CLOSE: u8 = 2;

/// The keeper of a channel's connections. It lives until it is [closed](Self::close).
pub(super) struct Control {
    pub(super) picker: Picker,
    /// What the application calls the server.
    name: String,
    /// There is one connection, and no other comes after it.
    is_fixed: bool,
    iomgr: Arc<Iomgr>,
    /// Who waits while there is no connection.
    set: Arc<PollsetSet>,
    scheduled: Scheduled,
    turn: Turn,
    /// Set by any thread; seen in the next turn.
    asked: AtomicU8,
    /// Locked by the thread that has the turn, for as long as it has it. `None` once it is closed.
    driver: Mutex<Option<Driver>>,
}

struct Driver {
    resolver: Box<dyn Resolver>,
    balancer: Box<dyn Balancer>,
}

impl Control {
    pub(super) fn new(
        name: String,
        resolver: Box<dyn Resolver>,
        environment: Environment,
    ) -> Arc<Self> {
        let (iomgr, set) = (environment.iomgr.clone(), environment.set.clone());
        let balancer = Box::new(PickFirst::new(environment));
        Self::with(name, iomgr, set, Driver { resolver, balancer }, false)
    }

    /// Of a channel that has this connection and never another.
    pub(super) fn fixed(
        name: String,
        iomgr: Arc<Iomgr>,
        transport: Arc<dyn ClientTransport>,
    ) -> Arc<Self> {
        let set = Arc::new(PollsetSet::new(&iomgr));
        let (resolver, balancer) = (Box::new(Known::nothing()), Box::new(Fixed(transport)));
        Self::with(name, iomgr, set, Driver { resolver, balancer }, true)
    }

    /// Of a channel whose connections a test makes.
    #[cfg(all(test, not(turnstile_loom)))]
    pub(super) fn balanced(iomgr: Arc<Iomgr>, balancer: Box<dyn Balancer>) -> Arc<Self> {
        let set = Arc::new(PollsetSet::new(&iomgr));
        let driver = Driver { resolver: Box::new(Known::nothing()), balancer };
        Self::with("test".to_owned(), iomgr, set, driver, false)
    }

    fn with(
        name: String,
        iomgr: Arc<Iomgr>,
        set: Arc<PollsetSet>,
        driver: Driver,
        is_fixed: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            picker: Picker::new(driver.balancer.picture()),
            name,
            is_fixed,
            iomgr,
            set,
            scheduled: Scheduled::default(),
            turn: Turn::new(),
            asked: AtomicU8::new(0),
            driver: Mutex::new(Some(driver)),
        })
    }

    pub(super) fn iomgr(&self) -> &Arc<Iomgr> {
        &self.iomgr
    }

    /// What the application calls the server.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether a call that nobody has looked at may go to another connection.
    pub(super) fn has_others(&self) -> bool {
        !self.is_fixed
    }

    /// Lets the threads of `pollset` wait for connections that are being made.
    pub(super) fn let_wait(&self, pollset: &Arc<Pollset>) {
        if let Err(error) = self.set.add_pollset(pollset) {
            tracing::error!(%error, "a queue cannot wait for a channel's connection");
        }
    }

    /// Completes `op` when the state is not `last`, or with failure at `deadline`.
    pub(super) fn watch(
        self: &Arc<Self>,
        last: ConnectivityState,
        deadline: Deadline,
        op: PendingOp<Outcome>,
    ) {
        let watcher = match self.picker.watch(last, op) {
            Ok(watcher) => watcher,
            Err(op) => return op.complete(true, Outcome::default()),
        };
        let instant = match deadline {
            Deadline::NOW => Some(Instant::now()),
            later => later.instant(),
        };
        if let Some(instant) = instant {
            let expiry = Arc::new(Expiry { control: self.clone(), watcher });
            let timer = self.iomgr.timer_init(instant, expiry);
            // It may have been told meanwhile.
            if let Some(timer) = self.picker.set_timer(watcher, timer) {
                self.iomgr.timer_cancel(timer);
            }
        }
    }

    /// Asks for a connection, unless there is one, or one is being made.
    pub(super) fn connect(self: &Arc<Self>) {
        if self.picker.connectivity() == ConnectivityState::Idle {
            self.ask(CONNECT);
        }
    }

    /// Lets go of the connections. Nobody will ask for one any more.
    pub(super) fn close(self: &Arc<Self>) {
        self.ask(CLOSE);
    }

    fn ask(self: &Arc<Self>, what: u8) {
        let _context = ExecCtx::enter();
        self.asked.fetch_or(what, Ordering::Release);
        self.wake_by_ref();
    }

    /// One turn. Gives who is to be told of it.
    fn drive(self: &Arc<Self>) -> Told {
        let waker = Waker::from(self.clone());
        let driver = &mut *self.driver.lock();
        let asked = self.asked.swap(0, Ordering::AcqRel);
        if asked & CLOSE != 0 {
            *driver = None;
            // The connection that it shows keeps this, who hears of it.
            return self.picker.close();
        }
        let Some(driver) = driver else { return Told::default() };
        if asked & CONNECT != 0 {
            driver.balancer.connect();
        }
        while driver.balancer.poll(&mut Context::from_waker(&waker)) == Asks::Addresses {
            let addresses = driver.resolver.resolve();
            driver.balancer.on_addresses(addresses);
        }
        self.picker.show(driver.balancer.picture())
    }

    /// Wakers and tags are the application's: no lock is held.
    fn tell(&self, told: Told) {
        told.tell(|timer: TimerId| {
            self.iomgr.timer_cancel(timer);
        });
    }

    /// A turn has panicked: calls end, as nothing keeps connections any more.
    fn fail(self: &Arc<Self>) {
        let why = Status::internal("the channel has no connections any more, since a panic met it");
        let (state, pick) = (ConnectivityState::TransientFailure, Pick::Never(why));
        *self.driver.lock() = None;
        self.tell(self.picker.show(Picture { state, pick }));
    }
}

/// What the timer of a watcher runs.
struct Expiry {
    control: Arc<Control>,
    watcher: u64,
}

impl Run for Expiry {
    fn run(self: Arc<Self>) {
        if let Some(op) = self.control.picker.expire(self.watcher) {
            op.complete(false, Outcome::default());
        }
    }
}

impl Run for Control {
    fn run(self: Arc<Self>) {
        self.scheduled.clear();
        if forked::is_forked() || !self.turn.begin() {
            return;
        }
        let guard = FailOnPanic(&self);
        loop {
            self.tell(self.drive());
            if self.turn.end() {
                break;
            }
        }
        std::mem::forget(guard);
    }
}

/// Ends the calls of a channel whose turn panics.
struct FailOnPanic<'a>(&'a Arc<Control>);

impl Drop for FailOnPanic<'_> {
    fn drop(&mut self) {
        self.0.turn.close();
        self.0.fail();
    }
}

impl Wake for Control {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    /// Only enqueues.
    fn wake_by_ref(self: &Arc<Self>) {
        if self.turn.notify() && self.scheduled.claim() {
            self.iomgr.submit(self.clone());
        }
    }
}
