//! Waiting for a call's end.

use super::CallCore;
use crate::iomgr::ExecCtx;
use crate::status::Status;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Ready when its call is over. Its waker is with the call from its first poll on, and until it is
/// dropped: a call may live for long, and see many that wait for its end and give up.
pub(crate) struct Over {
    call: Arc<CallCore>,
    /// Where the call has the waker.
    key: Option<usize>,
}

impl CallCore {
    /// Waits for the end. From the first poll on, the client's going away is noticed.
    pub(crate) fn over(self: &Arc<Self>) -> Over {
        Over { call: self.clone(), key: None }
    }

    /// Why it is over, for one who could not go on.
    pub(crate) fn cause_of_end(&self) -> Status {
        self.state.lock().cause_of_end()
    }
}

impl Future for Over {
    type Output = ();

    fn poll(self: Pin<&mut Self>, poller: &mut Context<'_>) -> Poll<()> {
        let Self { call, key } = self.get_mut();
        let _context = ExecCtx::enter();
        call.poll_state(poller, |state, context, done, poller| {
            state.own.is_watched = true;
            state.advance(context, done);
            if state.stream.is_none() {
                return Poll::Ready(());
            }
            let pollers = &mut state.pollers.over;
            let mut mine = key.and_then(|key| pollers.get_mut(key));
            if let Some(waker) = poller.waker_instead_of(mine.as_deref()) {
                match &mut mine {
                    Some(mine) => done.replaced = Some(std::mem::replace(mine, waker)),
                    None => *key = Some(pollers.insert(waker)),
                }
            }
            Poll::Pending
        })
    }
}

impl Drop for Over {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        // A call that is over has handed out its wakers, and takes no other.
        let waker = self.call.state.lock().pollers.over.try_remove(key);
        drop(waker);
    }
}
