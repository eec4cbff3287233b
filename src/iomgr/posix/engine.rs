//! The seam between the I/O manager and the ways to wait that an operating system offers.
//!
//! An engine holds only what is special to it. The readiness cells, the worker lists and the
//! succession of pollers, the timers and the closures are above the seam and exist once.

use super::epoll1::Epoll1;
use super::epollex::Epollex;
use super::fd::Pollee;
use super::pollable::Pollable;
use super::pollset::Pollset;
use std::sync::Arc;
use std::time::Duration;
use std::{env, io};

/// The environment variable that names the engine, as in gRPC's other languages.
pub(crate) const STRATEGY: &str = "GRPC_POLL_STRATEGY";

/// What an engine names an fd by. Never a pointer, and never used twice, so that an event that
/// is still on its way when an fd goes cannot reach the fd that comes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key(pub(crate) u64);

impl Key {
    /// The engine's own wakeup fd.
    pub(crate) const WAKEUP: Self = Self(u64::MAX);
}

/// A way to have threads wait for many fds: which [`Pollable`]s there are, and which pollset waits
/// at which of them. Everything may be called from any thread.
///
/// By default every pollset waits at home, for all fds, and one thread polls at a time. An engine
/// that keeps pollsets apart has several pollers, and says otherwise below the first three.
pub(crate) trait PollingEngine: Send + Sync {
    /// The name that [`STRATEGY`] knows it by.
    fn name(&self) -> &'static str;

    /// Where pollsets wait to which nothing has been added.
    fn home(&self) -> &Arc<Pollable>;

    /// An fd comes. What is armed for it is told when a thread waits for it.
    fn add(&self, pollee: &Pollee) -> io::Result<()>;

    /// Whether it matters what is added to which pollset, and several threads poll at once.
    fn keeps_pollsets_apart(&self) -> bool {
        false
    }

    /// The threads of `pollset` wait for this fd too from now on. Adding twice is adding once.
    fn add_to_pollset(&self, _pollset: &Arc<Pollset>, _pollee: &Arc<Pollee>) -> io::Result<()> {
        Ok(())
    }

    /// The promise of [`add_to_pollset`](Self::add_to_pollset) ends.
    fn remove_from_pollset(&self, _pollset: &Arc<Pollset>, _pollee: &Arc<Pollee>) {}

    /// Makes one of the pollers that sleep look again, whichever.
    fn wake_any(&self) {
        self.home().interrupt();
    }

    /// Makes one of several pollers look again after `delay`, whichever sleep then; this replaces
    /// what was set before. False if that is not to be had, so that each must mind the time itself.
    fn set_clock(&self, _delay: Duration) -> bool {
        false
    }
}

/// An engine's name and constructor, which fails where the system cannot run the engine.
type Factory = (&'static str, fn() -> io::Result<Box<dyn PollingEngine>>);

/// The engines, in the order in which they are tried.
const ENGINES: [Factory; 2] =
    [("epoll1", || Ok(Box::new(Epoll1::new()?))), ("epollex", || Ok(Box::new(Epollex::new()?)))];

/// The engine that [`STRATEGY`] asks for, or the first one that works here.
///
/// # Errors
/// An unknown name, with the list of those that are known; or why the last engine failed.
pub(crate) fn from_environment() -> io::Result<Box<dyn PollingEngine>> {
    let wanted = env::var(STRATEGY).unwrap_or_else(|_| "all".to_owned());
    select(&wanted)
}

/// The first engine of a comma list of preferences that works.
fn select(preferences: &str) -> io::Result<Box<dyn PollingEngine>> {
    let mut failure = None;
    for wanted in preferences.split(',').map(str::trim) {
        let known = ENGINES.iter().filter(|(name, _)| wanted == "all" || *name == wanted);
        let mut found = false;
        for (name, construct) in known {
            found = true;
            match construct() {
                Ok(engine) => return Ok(engine),
                Err(error) => failure = Some(describe(name, &error)),
            }
        }
        if wanted == "none" {
            let message =
                format!("{STRATEGY} asks for no polling engine, and nothing works without");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        if !found {
            return Err(unknown(wanted));
        }
    }
    Err(failure.unwrap_or_else(|| unknown(preferences)))
}

fn unknown(name: &str) -> io::Error {
    let known: Vec<&str> = ENGINES.iter().map(|(name, _)| *name).collect();
    let message = format!(
        "{STRATEGY} names the polling engine {name:?}, which does not exist; known are {} and all",
        known.join(", "),
    );
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

fn describe(name: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("the polling engine {name} cannot start: {error}"))
}

#[cfg(all(test, not(turnstile_loom)))]
mod tests {
    use super::select;

    #[test]
    fn preferences_are_tried_in_order() {
        assert_eq!(select("all").unwrap().name(), "epoll1");
        assert_eq!(select("epoll1, all").unwrap().name(), "epoll1");
    }

    #[test]
    fn no_engine_is_an_error_unless_another_comes_first() {
        let error = select("none").err().expect("nothing works without").to_string();
        assert!(error.contains("no polling engine"), "{error}");
        assert_eq!(select("epollex,none").unwrap().name(), "epollex");
    }

    #[test]
    fn an_unknown_engine_is_an_error_that_lists_the_known_ones() {
        let error = select("epoll9").err().expect("there is no such engine").to_string();
        assert!(error.contains("\"epoll9\"") && error.contains("epoll1"), "{error}");
    }
}
