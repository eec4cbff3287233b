//! Stubs of both colours against servers in this process: every kind of call, and every way to end one.

mod support;

mod client {
    mod backpressure;
    mod codecs;
    pub(crate) mod common;
    #[cfg(feature = "gzip")]
    mod compression;
    mod endings;
    mod generated;
    mod interceptors;
    mod kinds;
    mod replies;
}
