//! The messages that go out on a call: for the writing halves of both colours.

use super::exchange::{Exchange, pass_out};
use super::watch::Watch;
use crate::call::ClientCore;
use crate::forked;
use crate::status::Status;
use bytes::Bytes;
use std::sync::Arc;
use std::thread;

/// The half of a call that sends. Dropping it says that no more comes.
pub(super) struct Outlet<T> {
    core: Arc<ClientCore>,
    watch: Option<Arc<Watch>>,
    encode: fn(&T) -> Result<Bytes, Status>,
}

impl<T> Outlet<T> {
    pub(super) fn new(exchange: &Exchange, encode: fn(&T) -> Result<Bytes, Status>) -> Self {
        let (core, watch) = (exchange.core().clone(), exchange.watch().cloned());
        Self { core, watch, encode }
    }

    pub(super) fn core(&self) -> &Arc<ClientCore> {
        &self.core
    }

    /// # Errors
    /// That of the codec, or of an interceptor, with which the call has ended.
    pub(super) fn encode(&self, message: T) -> Result<Bytes, Status> {
        pass_out(&self.core, self.watch.as_ref(), (self.encode)(&message))
    }
}

impl<T> Drop for Outlet<T> {
    fn drop(&mut self) {
        if forked::leaks(&self.core) {
            return;
        }
        if thread::panicking() {
            // What has been sent is not the whole, and the server should not take it for that.
            let cause = "the thread that wrote the call's messages has panicked";
            self.core.cancel(Status::cancelled(cause));
        } else {
            self.core.half_close();
        }
    }
}
