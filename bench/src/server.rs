//! A server under test, from its start to its end.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::process;

/// How long a server may take to say where it listens.
const LIMIT: Duration = Duration::from_secs(10);

/// A running server, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    addr: SocketAddr,
}

impl Server {
    /// Starts a program on its core, serving with one thread, and waits until it listens.
    pub(crate) fn start(program: &Path, cpu: usize) -> Result<Self> {
        ensure!(program.is_file(), "there is no program {}", program.display());
        let mut command = process::pinned(cpu, program);
        command.args(["--listen", "127.0.0.1:0", "--threads", "1"]).stdout(Stdio::piped());
        let mut child = process::spawn(&mut command, "util-linux")?;
        let stdout = child.stdout.take();
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Self { child, addr: unknown };
        server.addr = address(stdout.context("the server has no standard output")?)?;
        Ok(server)
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its process: taskset has replaced itself by the server.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Neither can fail for a child that has not been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for the first line and reads on, so that the server never finds its output closed.
fn address(stdout: ChildStdout) -> Result<SocketAddr> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // Only the first line is waited for.
            let _ = sender.send(line);
        }
    });
    let line = receiver
        .recv_timeout(LIMIT)
        .context("the server ended or kept silent: it has to say `listening on ADDR` first")?;
    let addr = line.strip_prefix("listening on ").map(str::trim);
    addr.and_then(|addr| addr.parse().ok())
        .with_context(|| format!("the server said {line:?} instead of `listening on ADDR`"))
}
