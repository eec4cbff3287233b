//! Services over real sockets: what handlers, interceptors and threads in `run` do, frame by frame.

mod raw;
mod support;

mod services {
    pub(crate) mod backpressure;
    pub(crate) mod cancelled;
    pub(crate) mod codecs;
    pub(crate) mod common;
    #[cfg(feature = "gzip")]
    pub(crate) mod compression;
    pub(crate) mod crowds;
    pub(crate) mod deadlines;
    pub(crate) mod endless;
    pub(crate) mod interceptors;
    pub(crate) mod kinds;
    pub(crate) mod limits;
    pub(crate) mod listening;
    pub(crate) mod log;
    pub(crate) mod metadata;
    pub(crate) mod names;
    pub(crate) mod panics;
    pub(crate) mod queued;
    pub(crate) mod replies;
    pub(crate) mod shutdown;
    pub(crate) mod threads;
    pub(crate) mod until;
    pub(crate) mod waits;
    pub(crate) mod wakers;
}
