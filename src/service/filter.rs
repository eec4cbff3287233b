//! What an interceptor does to each message of a call.

use crate::status::Status;
use bytes::Bytes;
use std::fmt;

/// A function that every message of one direction goes through, as bytes; or none.
#[derive(Default)]
pub(super) struct Filter(Option<Map>);

type Map = Box<dyn FnMut(Bytes) -> Result<Bytes, Status> + Send>;

impl Filter {
    /// Puts a function behind those that are there.
    pub(super) fn then(
        &mut self,
        mut map: impl FnMut(Bytes) -> Result<Bytes, Status> + Send + 'static,
    ) {
        self.0 = Some(match self.0.take() {
            None => Box::new(map),
            Some(mut first) => Box::new(move |message| map(first(message)?)),
        });
    }

    /// Puts a function before those that are there.
    pub(super) fn first(
        &mut self,
        mut map: impl FnMut(Bytes) -> Result<Bytes, Status> + Send + 'static,
    ) {
        self.0 = Some(match self.0.take() {
            None => Box::new(map),
            Some(mut then) => Box::new(move |message| then(map(message)?)),
        });
    }

    pub(super) fn apply(&mut self, message: Bytes) -> Result<Bytes, Status> {
        match &mut self.0 {
            None => Ok(message),
            Some(map) => map(message),
        }
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Filter").field(&self.0.is_some()).finish()
    }
}
