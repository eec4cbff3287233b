//! The command line and the first line of output, the same for every server under test.

use std::io::{self, Write};
use std::net::SocketAddr;

/// What a server is told when it is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The address to listen on; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// The number of threads that serve.
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 50051)), threads: 1 }
    }
}

impl Options {
    /// Reads the options from this process's arguments.
    ///
    /// # Errors
    ///
    /// When an option is unknown, lacks its value or has one that cannot be read.
    pub fn from_args() -> Result<Self, String> {
        Self::parse(std::env::args().skip(1))
    }

    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self::default();
        while let Some(option) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{option} needs a value"));
            match option.as_str() {
                "--listen" => options.listen = read(&option, &value()?)?,
                "--threads" => options.threads = read(&option, &value()?)?,
                _ => {
                    return Err(format!(
                        "{option} is no option: only --listen ADDR and --threads N are"
                    ));
                }
            }
        }
        if options.threads == 0 {
            return Err("--threads 0 would serve nobody: give at least 1".to_owned());
        }
        Ok(options)
    }
}

fn read<T: std::str::FromStr>(option: &str, value: &str) -> Result<T, String>
where
    T::Err: std::fmt::Display,
{
    value.parse().map_err(|e| format!("{option} {value}: {e}"))
}

/// Says where the server listens, as the driver waits for it.
///
/// # Errors
///
/// When standard output cannot be written.
pub fn announce(addr: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "listening on {addr}")?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::Options;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn reads_both_options() {
        let options = parse("--listen 127.0.0.1:0 --threads 2").unwrap();
        assert_eq!(options.listen.port(), 0);
        assert_eq!(options.threads, 2);
        assert_eq!(parse("").unwrap(), Options::default());
    }

    #[test]
    fn refuses_what_it_cannot_read() {
        for line in ["--listen", "--listen nowhere", "--threads 0", "--threads x", "--fast"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
