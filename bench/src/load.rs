//! The load: h2load, its runs and what it says about them.

use std::fmt::{self, Display, Formatter};
use std::io::Write;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::NamedTempFile;

use crate::process;
use crate::verify::{PATH, REPLY, REQUEST};

/// The Debian package that h2load is in.
const PACKAGE: &str = "nghttp2-client";

/// How long a run may take before the server counts as stuck.
const LIMIT: Duration = Duration::from_secs(120);

/// How many connections, and how many concurrent streams on each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    clients: u64,
    streams: u64,
}

impl Shape {
    /// Requests that take about a second.
    pub(crate) fn default_requests(self) -> u64 {
        if self.clients * self.streams == 1 { 30_000 } else { 300_000 }
    }

    /// h2load wants a request for every connection, in the warm-up, too.
    pub(crate) fn least_requests(self) -> u64 {
        self.clients
    }

    /// A tenth of the counted requests: 30,000 unless told otherwise, 3,000 of one at a time.
    fn warm_up(self, requests: u64) -> u64 {
        (requests / 10).max(self.least_requests())
    }
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (clients, streams) = text.split_once('x').ok_or("not of the form CxS")?;
        let number = |n: &str| match n.parse() {
            Ok(0) => Err(format!("{text}: neither may be 0")),
            Ok(n) => Ok(n),
            Err(e) => Err(format!("{n}: {e}")),
        };
        Ok(Self { clients: number(clients)?, streams: number(streams)? })
    }
}

impl Display for Shape {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.clients, self.streams)
    }
}

/// h2load, ready to run on its core.
#[derive(Debug)]
pub(crate) struct Load {
    cpu: usize,
    body: NamedTempFile,
}

impl Load {
    /// Looks for h2load and writes the request's body where it will find it.
    pub(crate) fn new(cpu: usize) -> Result<Self> {
        process::check_tool("h2load", PACKAGE)?;
        process::check_core(cpu)?;
        let mut body = NamedTempFile::new().context("no temporary file for the request's body")?;
        body.write_all(REQUEST).context("the request's body cannot be written")?;
        Ok(Self { cpu, body })
    }

    /// A tenth of the requests, uncounted.
    pub(crate) fn warm_up(&self, addr: SocketAddr, shape: Shape, requests: u64) -> Result<()> {
        self.run(addr, shape, shape.warm_up(requests)).map(drop).context("in the warm-up")
    }

    /// Sends the requests, checks that each was answered in full, and tells how many there were
    /// in a second.
    pub(crate) fn run(&self, addr: SocketAddr, shape: Shape, requests: u64) -> Result<f64> {
        let mut command = process::pinned(self.cpu, "timeout");
        command
            .arg(LIMIT.as_secs().to_string())
            .args(["h2load", "-n", &requests.to_string()])
            .args(["-c", &shape.clients.to_string(), "-m", &shape.streams.to_string()])
            .args(["-H", "te: trailers", "-H", "content-type: application/grpc", "-d"])
            .arg(self.body.path())
            .arg(format!("http://{addr}{PATH}"));
        let output = process::output(&mut command, "util-linux")?;
        if output.status.code() == Some(124) {
            bail!("h2load had not got all its answers after {} s", LIMIT.as_secs());
        }
        ensure!(
            output.status.success(),
            "h2load failed ({}): {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let said = String::from_utf8_lossy(&output.stdout);
        check(&said, requests)?;
        rate(&said).context("h2load did not say how many requests there were in a second")
    }
}

/// Fails unless all requests succeeded and brought the bytes of a greeting each.
fn check(said: &str, requests: u64) -> Result<()> {
    let expected = [
        ("requests: ", "succeeded", requests),
        ("requests: ", "failed", 0),
        ("requests: ", "errored", 0),
        ("requests: ", "timeout", 0),
        ("status codes: ", "2xx", requests),
    ];
    for (line, what, number) in expected {
        let found = count(said, line, what)
            .with_context(|| format!("h2load did not say how many were {what}"))?;
        ensure!(found == number, "of {requests} requests {found} were {what}, not {number}");
    }
    let bytes = data_bytes(said).context("h2load did not say how many bytes came")?;
    let expected = requests * REPLY.len() as u64;
    ensure!(bytes == expected, "{bytes} bytes of messages came, not {expected}: some calls failed");
    Ok(())
}

/// The number before `what` in the line that begins with `line`.
fn count(said: &str, line: &str, what: &str) -> Option<u64> {
    let items = said.lines().find_map(|l| l.strip_prefix(line))?;
    let item = items.split(", ").find(|item| item.ends_with(what))?;
    item.split_whitespace().next()?.parse().ok()
}

/// The bytes of DATA frames: `traffic: ..., 1.72MB (1800000) data`.
fn data_bytes(said: &str) -> Option<u64> {
    let items = said.lines().find_map(|l| l.strip_prefix("traffic: "))?;
    let (_, bytes) = items.strip_suffix(") data")?.rsplit_once('(')?;
    bytes.parse().ok()
}

/// The rate: `finished in 533.23ms, 187534.93 req/s, 8.76MB/s`.
fn rate(said: &str) -> Option<f64> {
    let items = said.lines().find_map(|l| l.strip_prefix("finished in "))?;
    items.split(", ").find_map(|item| item.strip_suffix(" req/s"))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Shape, check, rate};

    const SAID: &str = "\
finished in 533.23ms, 187534.93 req/s, 8.76MB/s
requests: 1000 total, 1000 started, 1000 done, 1000 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 1000 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 4.67MB (4900380) total, 293.11KB (300140) headers (space savings 95.77%), 17.6KB (18000) data
";

    #[test]
    fn reads_what_h2load_says() {
        check(SAID, 1000).unwrap();
        assert_eq!(rate(SAID), Some(187534.93));
    }

    #[test]
    fn notices_what_went_wrong() {
        let changes = [
            ("1000 succeeded", "999 succeeded"),
            ("0 failed", "1 failed"),
            ("0 errored", "1 errored"),
            ("0 timeout", "1 timeout"),
            ("1000 2xx", "999 2xx"),
            ("(18000) data", "(17982) data"),
            ("status codes", "codes"),
        ];
        for (good, bad) in changes {
            assert!(check(&SAID.replace(good, bad), 1000).is_err(), "{bad}");
        }
    }

    #[test]
    fn reads_shapes() {
        assert_eq!("4x50".parse::<Shape>().unwrap().to_string(), "4x50");
        for bad in ["", "4", "4x", "x5", "0x1", "1x0", "4x5x6"] {
            assert!(bad.parse::<Shape>().is_err(), "{bad}");
        }
    }
}
