//! Interceptors at work: which of them hear of a call, and what their panics end.

use super::interceptor::{CallContext, Interceptor, OutgoingCall};
use crate::metadata::Metadata;
use crate::panics::{Panic, catch, contained};
use crate::status::Status;
use crate::sync::{AtomicBool, Ordering::SeqCst};
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;

/// Interceptors, the outermost first.
#[derive(Clone, Default)]
pub(super) struct Chain(Option<Arc<[Arc<dyn Interceptor>]>>);

impl Chain {
    pub(super) fn push(&mut self, interceptor: impl Interceptor) {
        let last: Arc<dyn Interceptor> = Arc::new(interceptor);
        self.0 = Some(self.iter().cloned().chain([last]).collect());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<dyn Interceptor>> {
        self.0.iter().flat_map(|chain| chain.iter())
    }

    /// Tells of a call that is about to be made. Gives how many have agreed to it.
    ///
    /// # Errors
    /// With what it is refused.
    pub(super) fn start(&self, call: &mut OutgoingCall) -> (usize, Result<(), Status>) {
        for (agreed, interceptor) in self.iter().enumerate() {
            let answer = catch(|| interceptor.start(call));
            if let Err(status) = answer.unwrap_or_else(|panic| Err(panicked(call.method(), &panic)))
            {
                return (agreed, Err(an_error(status)));
            }
        }
        (self.iter().count(), Ok(()))
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Chain").field(&self.iter().count()).finish()
    }
}

/// The interceptors that have agreed to a call.
pub(super) struct Watch {
    chain: Chain,
    agreed: usize,
    context: CallContext,
    has_ended: AtomicBool,
}

impl Watch {
    pub(super) fn new(chain: Chain, agreed: usize, context: CallContext) -> Arc<Self> {
        Arc::new(Self { chain, agreed, context, has_ended: AtomicBool::new(false) })
    }

    fn outer_to_inner(&self) -> impl Iterator<Item = &Arc<dyn Interceptor>> {
        self.chain.iter().take(self.agreed)
    }

    fn inner_to_outer(&self) -> impl Iterator<Item = &Arc<dyn Interceptor>> {
        let chain = self.chain.0.as_deref().unwrap_or_default();
        chain[..self.agreed.min(chain.len())].iter().rev()
    }

    /// # Errors
    /// INTERNAL after a panic, with which the call should end.
    pub(super) fn metadata_received(&self, metadata: &Metadata) -> Result<(), Status> {
        self.inner_to_outer().try_for_each(|interceptor| {
            catch(|| interceptor.metadata_received(&self.context, metadata))
                .map_err(|panic| panicked(self.context.method(), &panic))
        })
    }

    /// # Errors
    /// With what the call should end.
    pub(super) fn message_sent(&self, message: Bytes) -> Result<Bytes, Status> {
        self.outer_to_inner().try_fold(message, |message, interceptor| {
            self.map(|| interceptor.message_sent(&self.context, message))
        })
    }

    /// # Errors
    /// With what the call should end.
    pub(super) fn message_received(&self, message: Bytes) -> Result<Bytes, Status> {
        self.inner_to_outer().try_fold(message, |message, interceptor| {
            self.map(|| interceptor.message_received(&self.context, message))
        })
    }

    fn map(&self, map: impl FnOnce() -> Result<Bytes, Status>) -> Result<Bytes, Status> {
        catch(map).unwrap_or_else(|panic| Err(panicked(self.context.method(), &panic)))
    }

    /// Tells of the end, unless it has been told.
    pub(super) fn ended(&self, status: impl FnOnce() -> Status) {
        if self.has_ended.swap(true, SeqCst) {
            return;
        }
        let status = status();
        for interceptor in self.inner_to_outer() {
            let told = || interceptor.ended(&self.context, &status);
            contained("an interceptor that was told of a call's end", told);
        }
    }
}

/// A status for what has gone wrong, which OK is not.
pub(super) fn an_error(status: Status) -> Status {
    if status.is_ok() {
        Status::internal("an interceptor or a codec failed with OK, which is no error")
    } else {
        status
    }
}

fn panicked(method: &str, panic: &Panic) -> Status {
    tracing::error!(target: "turnstile::call", method, %panic, "an interceptor panicked");
    Status::internal("an interceptor of the client panicked; its log says more")
}
