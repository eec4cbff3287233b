//! The seam between the I/O manager and the ways to wait that an operating system offers.
//!
//! An engine holds only what is special to it. The readiness cells, the worker lists and the
//! succession of pollers, the timers and the closures are above the seam and exist once.

use super::apart::{self, Apart};
use super::epoll1::Epoll1;
use super::epollex::Epollex;
use super::poll::Poll;
use super::pollable::Pollable;
use super::pollee::Pollee;
use super::pollset::Pollset;
use super::watch::Interest;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, io, thread};

/// The environment variable that names the engine, as in gRPC's other languages.
pub(crate) const STRATEGY: &str = "GRPC_POLL_STRATEGY";

/// A way to have threads wait for many fds: which [`Pollable`]s there are, and which pollset waits
/// at which of them. Everything may be called from any thread.
///
/// By default every pollset waits at home, for all fds, and one thread polls at a time. An engine
/// that keeps pollsets apart has several pollers, and is [`Apart`], too.
///
/// **An engine comes from within this crate**: a file that implements this, and a line in [`ENGINES`].
/// What it must keep to is made of lock orders and of internal types, which a trait for everybody would
/// freeze, pollables and pollsets with it. Within the crate it is an open seam: the tests have an engine
/// that follows a script, also in its time, for which there are the last two (`tests/scripted.rs`).
pub(crate) trait PollingEngine: Send + Sync {
    /// The name that [`STRATEGY`] knows it by.
    fn name(&self) -> &'static str;

    /// Where pollsets wait to which nothing has been added.
    fn home(&self) -> &Arc<Pollable>;

    /// An fd comes. What is armed for it is told when a thread waits for it.
    fn add(&self, _pollee: &Arc<Pollee>) -> io::Result<()> {
        Ok(())
    }

    /// How it makes pollables, if it keeps pollsets apart.
    fn apart(&self) -> Option<&dyn Apart> {
        None
    }

    /// Whether it matters what is added to which pollset, and several threads poll at once.
    fn keeps_pollsets_apart(&self) -> bool {
        self.apart().is_some()
    }

    /// The threads of `pollset` wait for this fd too from now on. Adding twice is adding once.
    fn add_to_pollset(&self, pollset: &Arc<Pollset>, pollee: &Arc<Pollee>) -> io::Result<()> {
        self.apart().map_or(Ok(()), |apart| apart::add(apart, pollset, pollee))
    }

    /// The promise of [`add_to_pollset`](Self::add_to_pollset) ends.
    fn remove_from_pollset(&self, pollset: &Arc<Pollset>, pollee: &Arc<Pollee>) {
        if self.apart().is_some() {
            apart::remove(pollset, pollee);
        }
    }

    /// Of which directions it wants to hear when somebody waits for an fd.
    fn minds_arming(&self) -> Interest {
        Interest::default()
    }

    /// Somebody waits for the fd in one of them.
    ///
    /// # Errors
    /// The system's: nobody will be told.
    fn armed(&self, _pollee: &Arc<Pollee>) -> io::Result<()> {
        Ok(())
    }

    /// Whether a [`Readiness`](super::sys::Readiness) tells that the peer has closed its side also when
    /// the fd is at several pollables. While it is at one, every engine's does.
    fn hears_of_ends(&self) -> bool {
        true
    }

    /// Makes one of the pollers that sleep look again, whichever.
    fn wake_any(&self) {
        self.home().interrupt();
    }

    /// Makes one of several pollers look again after `delay`, whichever sleep then; this replaces
    /// what was set before. Not asked for where one thread polls at a time, which minds the time.
    ///
    /// # Errors
    /// There is no clock to be had, so that each poller must mind the time itself.
    fn set_clock(&self, _delay: Duration) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// What time it is, for timers and the deadlines of waits.
    fn now(&self) -> Instant {
        Instant::now()
    }

    /// Lets time pass when a wait has failed.
    fn rest(&self, time: Duration) {
        thread::sleep(time);
    }
}

/// An engine's name and constructor, which fails where the system cannot run the engine.
type Factory = (&'static str, fn() -> io::Result<Box<dyn PollingEngine>>);

/// The engines, in the order in which they are tried.
pub(super) const ENGINES: [Factory; 3] = [
    ("epollex", || Ok(Box::new(Epollex::new()?))),
    ("epoll1", || Ok(Box::new(Epoll1::new()?))),
    ("poll", || Ok(Box::new(Poll::new()?))),
];

/// A wish for an engine: a list of names with commas between them, in the order of preference; `all`
/// stands for all of them in the default order.
#[derive(Clone, Debug)]
pub(crate) struct Preferences {
    list: String,
    /// Whose wish it is, for errors.
    whose: &'static str,
}

impl Preferences {
    /// A program's.
    pub(crate) fn of_program(list: &str) -> Self {
        Self { list: list.to_owned(), whose: "the program" }
    }

    /// Those of [`STRATEGY`], or none.
    pub(crate) fn of_environment() -> Self {
        Self::of_variable(env::var_os(STRATEGY))
    }

    /// The same, of what the variable holds. One that is empty counts as one that is not set.
    fn of_variable(value: Option<OsString>) -> Self {
        // What is no text names no engine either, which `engine` says.
        let list = value.map(|list| list.to_string_lossy().into_owned());
        let list = list.filter(|list| !list.is_empty()).unwrap_or_else(|| "all".to_owned());
        Self { list, whose: STRATEGY }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.list.split(',').map(str::trim)
    }

    /// The first engine of the list that works here.
    ///
    /// # Errors
    /// An unknown name, wherever it stands, with the list of those that are known; or why the last
    /// engine failed.
    pub(crate) fn engine(&self) -> io::Result<Box<dyn PollingEngine>> {
        self.check_names()?;
        let mut failure = None;
        for wanted in self.names() {
            for (name, construct) in self.meant_by(wanted)? {
                match construct() {
                    Ok(engine) => return Ok(engine),
                    Err(error) => failure = Some(describe(name, &error)),
                }
            }
        }
        // Each name that is known stands for an engine at least, which has failed.
        Err(failure.unwrap_or_else(|| self.unknown(&self.list)))
    }

    /// Whether an engine that runs already will do.
    ///
    /// # Errors
    /// An unknown name; or that the list has other ones only.
    pub(crate) fn check(&self, running: &str) -> io::Result<()> {
        self.check_names()?;
        for wanted in self.names() {
            if self.meant_by(wanted)?.any(|(name, _)| *name == running) {
                return Ok(());
            }
        }
        let Self { list, whose } = self;
        let message = format!(
            "{whose} asks for the polling engine {list}, but {running} runs already: it is chosen \
             once in a process, with the first queue or server; ask for it there, or set {STRATEGY}"
        );
        Err(io::Error::new(io::ErrorKind::InvalidInput, message))
    }

    /// A slip in a list is found where the list is written, and not where its first engines fail.
    fn check_names(&self) -> io::Result<()> {
        let unknown =
            self.names().find(|name| *name != "none" && engines_called(name).next().is_none());
        unknown.map_or(Ok(()), |name| Err(self.unknown(name)))
    }

    /// The engines that a name stands for, which is known.
    fn meant_by(&self, wanted: &str) -> io::Result<impl Iterator<Item = &'static Factory>> {
        if wanted == "none" {
            let whose = self.whose;
            let message = format!("{whose} asks for no polling engine, and nothing works without");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        Ok(engines_called(wanted))
    }

    fn unknown(&self, name: &str) -> io::Error {
        let known: Vec<&str> = ENGINES.iter().map(|(name, _)| *name).collect();
        let message = format!(
            "{} asks for the polling engine {name:?}, which does not exist; known are {} and all",
            self.whose,
            known.join(", "),
        );
        io::Error::new(io::ErrorKind::InvalidInput, message)
    }
}

/// The engines that a name stands for; none if it is unknown.
fn engines_called(wanted: &str) -> impl Iterator<Item = &'static Factory> {
    ENGINES.iter().filter(move |(name, _)| wanted == "all" || *name == wanted)
}

fn describe(name: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("the polling engine {name} cannot start: {error}"))
}

#[cfg(all(test, not(turnstile_loom)))]
mod tests {
    use super::Preferences;

    /// The name of the engine that a list gives, or the error's text.
    fn select(list: &str) -> Result<&'static str, String> {
        let engine = Preferences::of_program(list).engine();
        engine.map(|it| it.name()).map_err(|error| error.to_string())
    }

    #[test]
    fn preferences_are_tried_in_order() {
        assert_eq!(select("all").unwrap(), "epollex");
        assert_eq!(select("epoll1, all").unwrap(), "epoll1");
        assert_eq!(select("poll,epollex").unwrap(), "poll");
    }

    #[test]
    fn an_empty_variable_is_none() {
        for value in [None, Some("".into())] {
            assert!(Preferences::of_variable(value).check("poll").is_ok());
        }
        assert!(Preferences::of_variable(Some("epoll1".into())).check("poll").is_err());
    }

    #[test]
    fn no_engine_is_an_error_unless_another_comes_first() {
        let error = select("none").unwrap_err();
        assert!(error.contains("no polling engine"), "{error}");
        assert_eq!(select("epollex,none").unwrap(), "epollex");
    }

    #[test]
    fn an_unknown_engine_is_an_error_that_lists_the_known_ones() {
        let error = select("epoll9").unwrap_err();
        assert!(error.contains("\"epoll9\"") && error.contains("epollex, epoll1, poll"), "{error}");
    }

    #[test]
    fn an_unknown_engine_is_an_error_wherever_it_stands() {
        for list in ["epoll1,epoll9", "epoll9,epoll1", "all, epoll9", "epoll1,"] {
            let error = select(list).expect_err(list);
            assert!(error.contains("which does not exist"), "{error}");
            let error = Preferences::of_program(list).check("epoll1").unwrap_err().to_string();
            assert!(error.contains("which does not exist"), "{error}");
        }
    }

    #[test]
    fn an_engine_that_runs_will_do_if_it_is_on_the_list() {
        let check = |list| Preferences::of_program(list).check("epoll1");
        assert!(check("all").is_ok() && check("poll, epoll1").is_ok());
        let error = check("poll").unwrap_err().to_string();
        assert!(error.contains("poll, but epoll1 runs already"), "{error}");
        assert!(check("epoll9").is_err() && check("none").is_err());
    }
}
