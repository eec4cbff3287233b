//! A future that waits for a point in time, by the timers of an I/O manager.

use super::exec_ctx::Run;
use super::posix::Iomgr;
use super::readiness::ReadinessCell;
use super::timers::TimerId;
use crate::sync::Mutex;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// Ready at an instant, and from then on. Dropping it takes its timer back.
pub(crate) struct Sleep {
    iomgr: Arc<Iomgr>,
    /// `None` once it is ready.
    timer: Option<TimerId>,
    bell: Arc<Bell>,
}

/// What the timer runs.
#[derive(Default)]
struct Bell(Mutex<ReadinessCell>);

impl Run for Bell {
    fn run(self: Arc<Self>) {
        let fired = self.0.lock().set_ready();
        fired.into_iter().for_each(Waker::wake);
    }
}

impl Sleep {
    pub(crate) fn until(iomgr: &Arc<Iomgr>, instant: Instant) -> Self {
        let bell = Arc::<Bell>::default();
        let timer = Some(iomgr.timer_init(instant, bell.clone()));
        Self { iomgr: iomgr.clone(), timer, bell }
    }

    /// Ready when the time has come.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.timer.is_none() {
            return Poll::Ready(());
        }
        let (armed, _replaced) = self.bell.0.lock().arm(context.waker());
        // A cell that nobody shuts down has no error.
        armed.map(|_| self.timer = None)
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            self.iomgr.timer_cancel(timer);
        }
    }
}
