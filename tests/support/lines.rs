//! The lines that a child process writes, readable with a deadline.

use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// A stream of lines, read by a thread that ends with the stream.
pub(crate) struct Lines {
    incoming: Receiver<String>,
    seen: Vec<String>,
}

impl Lines {
    /// Starts to read.
    pub(crate) fn of(source: impl Read + Send + 'static) -> Self {
        let (sender, incoming) = channel();
        thread::spawn(move || {
            for line in BufReader::new(source).lines().map_while(Result::ok) {
                // The test may have lost interest; the child must not block for that.
                let _ = sender.send(line);
            }
        });
        Self { incoming, seen: Vec::new() }
    }

    /// The next line.
    ///
    /// # Panics
    /// If none comes in time, or ever.
    pub(crate) fn next(&mut self, within: Duration) -> String {
        match self.incoming.recv_timeout(within) {
            Ok(line) => {
                self.seen.push(line.clone());
                line
            }
            Err(RecvTimeoutError::Timeout) => {
                panic!("no line within {within:?}; so far: {:#?}", self.seen)
            }
            Err(RecvTimeoutError::Disconnected) => {
                panic!("the output has ended; it was: {:#?}", self.seen)
            }
        }
    }

    /// Reads up to the first line that has this text in it.
    ///
    /// # Panics
    /// If it does not come in time.
    pub(crate) fn wait_for(&mut self, text: &str, within: Duration) -> String {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.incoming.recv_timeout(left) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(error) => panic!(
                    "no line with {text:?} within {within:?} ({error}); so far: {:#?}",
                    self.seen
                ),
            }
        }
    }

    /// Reads to the end of the stream, and returns every line there has been. `None` if the end
    /// does not come in time.
    pub(crate) fn wait_for_end(&mut self, within: Duration) -> Option<&[String]> {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.incoming.recv_timeout(left) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => return Some(&self.seen),
                Err(RecvTimeoutError::Timeout) => return None,
            }
        }
    }
}
