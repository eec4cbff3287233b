//! The command line, the same for every client.

use super::Failure;
use std::net::SocketAddr;
use std::str::FromStr;

/// What a client is told when it is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Which of the styles of this client.
    pub style: String,
    /// Where the server listens.
    pub addr: SocketAddr,
    /// How many threads make calls, on one connection.
    pub threads: usize,
    /// How many calls a thread has under way at once.
    pub at_once: usize,
    /// Calls that do not count.
    pub warm_up: usize,
    /// Calls that count.
    pub calls: usize,
}

impl Options {
    /// Reads the options from this process's arguments.
    ///
    /// # Errors
    /// When there are more or less of them, or one cannot be read.
    pub fn from_args() -> Result<Self, Failure> {
        Self::parse(&std::env::args().skip(1).collect::<Vec<_>>())
    }

    fn parse(args: &[String]) -> Result<Self, Failure> {
        let [style, addr, threads, at_once, warm_up, calls] = args else {
            return Err("the arguments are STYLE ADDR THREADS AT_ONCE WARM_UP CALLS".into());
        };
        Ok(Self {
            style: style.clone(),
            addr: read("ADDR", addr)?,
            threads: read("THREADS", threads)?,
            at_once: read("AT_ONCE", at_once)?,
            warm_up: read("WARM_UP", warm_up)?,
            calls: read("CALLS", calls)?,
        })
    }
}

fn read<T: FromStr<Err: std::fmt::Display>>(name: &str, value: &str) -> Result<T, Failure> {
    value.parse().map_err(|e| format!("{name} {value}: {e}").into())
}

#[cfg(test)]
mod tests {
    use super::Options;

    fn parse(line: &str) -> Result<Options, super::Failure> {
        Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn reads_all_six() {
        let options = parse("blocking 127.0.0.1:7 4 1 10 100").unwrap();
        assert_eq!((options.style.as_str(), options.addr.port()), ("blocking", 7));
        assert_eq!((options.threads, options.at_once), (4, 1));
        assert_eq!((options.warm_up, options.calls), (10, 100));
    }

    #[test]
    fn refuses_what_it_cannot_read() {
        for line in ["", "blocking 127.0.0.1:7 4 1 10", "blocking nowhere 4 1 10 100"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
