//! Threads that serve, and what lets them go home: `run`, `run_until` and `shutdown`.

use super::stop::Stop;
use super::{Inner, Server};
use crate::forked;
use crate::iomgr::{ExecCtx, Run};
use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

impl Server {
    /// Serves on this thread: handles the calls of services, and does whatever I/O there is to do.
    /// Returns when the server has been [shut down](Self::shutdown) and every call has ended.
    ///
    /// Call it on as many threads as the server shall have. Async handlers share them all; a
    /// blocking handler has one to itself while it runs, so that as many calls of blocking services
    /// are handled at once as there are threads here, and others wait for their turn.
    ///
    /// Callable from any thread but a handler's; blocks until the shutdown is complete.
    ///
    /// # Panics
    /// If a handler of this server calls it, which ends that call with INTERNAL: the shutdown would
    /// wait for the handler, and the handler for the shutdown. A handler must not wait for another
    /// thread that calls it either.
    ///
    /// ```
    /// use std::thread;
    /// use std::time::Duration;
    /// use turnstile::Server;
    ///
    /// let server = Server::builder().bind("127.0.0.1:0")?;
    /// thread::scope(|scope| {
    ///     for _ in 0..4 {
    ///         scope.spawn(|| server.run()); // four threads of yours, and none of ours
    ///     }
    ///     server.shutdown(Duration::from_secs(10));
    /// });
    /// # Ok::<(), turnstile::Error>(())
    /// ```
    #[track_caller]
    pub fn run(&self) {
        if forked::refuses() {
            return;
        }
        let _presence = Presence::enter(&self.inner);
        self.inner.serve();
    }

    /// Serves on this thread as [`run`](Self::run) does, until `stop` is ready. Then it is as if
    /// [`shutdown`](Self::shutdown) had been called: this returns, and so does `run` on every other
    /// thread, when every call has ended or `grace` is over.
    ///
    /// `stop` may wait for anything that wakes a [`Waker`](std::task::Waker), such as a channel of
    /// an async library. It is polled on this thread first, and when it is woken, by any thread that
    /// does I/O: in `run`, in a handler that waits, or on a queue. So it must not block, and must
    /// not lock what a handler holds while it waits. If the server is shut down otherwise, `stop` is
    /// dropped.
    ///
    /// Who has no future, but a thread that waits for a signal, calls `shutdown` there.
    ///
    /// Callable from any thread but a handler's; blocks until the shutdown is complete.
    ///
    /// # Panics
    /// As `run` does. And if `stop` panics: that stops the server too, and goes on in this thread
    /// when the shutdown is complete.
    ///
    /// ```
    /// use std::thread;
    /// use std::time::Duration;
    /// use tokio::sync::oneshot;
    /// use turnstile::Server;
    ///
    /// let server = Server::builder().bind("127.0.0.1:0")?;
    /// let (stop, stopped) = oneshot::channel();
    /// thread::scope(|scope| {
    ///     scope.spawn(|| server.run()); // a second thread, if one is not enough
    ///     scope.spawn(|| stop.send("it is late")); // from anywhere, at any time
    ///     let stop = async {
    ///         let reason = stopped.await;
    ///         println!("stopping: {reason:?}");
    ///     };
    ///     server.run_until(stop, Duration::from_secs(10));
    /// });
    /// # Ok::<(), turnstile::Error>(())
    /// ```
    #[track_caller]
    pub fn run_until(&self, stop: impl Future<Output = ()> + Send + 'static, grace: Duration) {
        if forked::refuses() {
            return;
        }
        let _presence = Presence::enter(&self.inner);
        let stop = Stop::new(self.inner.clone(), Box::pin(stop), grace);
        stop.clone().run();
        self.inner.serve();
        if let Some(panic) = stop.end() {
            panic.resume();
        }
    }

    /// Shuts down gracefully, and lets [`run`](Self::run) return everywhere: listeners close,
    /// clients are told to go elsewhere (GOAWAY) and may finish the calls they have. After `grace`
    /// those are cancelled. A grace of [`Duration::MAX`] has no end.
    ///
    /// A blocking handler that does not return is waited for nevertheless; it can ask whether its
    /// call was [cancelled](crate::Context::is_cancelled).
    ///
    /// Callable from any thread, and from handlers; never blocks, and cannot fail. Of several calls,
    /// the shortest grace counts. For an event at the end instead of threads that return, see
    /// [`shutdown_and_notify`](Self::shutdown_and_notify).
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use std::thread;
    /// use std::time::Duration;
    /// use turnstile::Server;
    ///
    /// let server = Server::builder().bind("127.0.0.1:0")?;
    /// let (stop, stopped) = mpsc::channel();
    /// thread::scope(|scope| {
    ///     scope.spawn(|| server.run());
    ///     scope.spawn(move || stop.send(())); // what knows that it is time to stop
    ///     stopped.recv().ok(); // this thread only waits for that
    ///     server.shutdown(Duration::from_secs(10));
    /// });
    /// # Ok::<(), turnstile::Error>(())
    /// ```
    pub fn shutdown(&self, grace: Duration) {
        if forked::refuses() {
            return;
        }
        self.inner.shut_down_within(grace);
    }
}

impl Inner {
    pub(super) fn shut_down_within(self: &Arc<Self>, grace: Duration) {
        let _context = ExecCtx::enter();
        tracing::info!(target: "turnstile::server", ?grace, "shutting down");
        if let Some(deadline) = Instant::now().checked_add(grace) {
            let overdue = Arc::new(Overdue(self.clone()));
            let timer = self.iomgr.timer_init(deadline, overdue);
            self.run_queue.keep_timer(timer);
        }
        self.shutdown(None);
    }
}

/// A graceful shutdown's patience is over.
pub(super) struct Overdue(pub(super) Arc<Inner>);

impl Run for Overdue {
    fn run(self: Arc<Self>) {
        tracing::info!("the shutdown's grace is over; the calls that still run are cancelled");
        // It may come before the shutdown that it is for, which is on another thread.
        self.0.connections.close();
    }
}

thread_local! {
    /// The servers that this thread serves; more than one if a handler of one runs another.
    static SERVED: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// This thread is in `run`, and all handlers that it calls are.
struct Presence;

impl Presence {
    #[track_caller]
    fn enter(server: &Arc<Inner>) -> Self {
        let id = Arc::as_ptr(server).addr();
        let is_there = SERVED.with_borrow(|served| served.contains(&id));
        assert!(
            !is_there,
            "a handler has called Server::run of its own server, which would wait for that handler; \
             call it on threads of your own",
        );
        SERVED.with_borrow_mut(|served| served.push(id));
        Self
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        SERVED.with_borrow_mut(Vec::pop);
    }
}
