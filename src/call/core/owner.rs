//! Who must see to it that a call gets a status.

use super::CallCore;
use super::server::Sent;
use crate::forked;
use crate::status::Status;
use std::fmt;
use std::sync::Arc;

/// The one who must see to it that a call gets a status. Dropping it ends the call.
pub(crate) struct Owner(Arc<CallCore>);

impl Owner {
    pub(crate) fn new(core: Arc<CallCore>) -> Self {
        Self(core)
    }

    pub(crate) fn core(&self) -> &Arc<CallCore> {
        &self.0
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Owner").field(&self.0.head().method()).finish()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if !forked::leaks(&self.0) {
            self.0.abandon();
        }
    }
}

impl CallCore {
    /// The application has let go of the call. What it has started still completes.
    fn abandon(self: &Arc<Self>) {
        let has_status = self.state.lock().own.progress == Sent::Status;
        if !has_status {
            self.cancel(Status::internal("the server let go of the call without a status"));
        }
    }
}
