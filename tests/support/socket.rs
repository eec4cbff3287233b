//! Paths of UNIX sockets.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process;

/// The path of a UNIX socket, short enough for one, and removed at the end.
pub(crate) struct Socket {
    pub(crate) path: PathBuf,
}

impl Socket {
    /// Of a name that one test has for itself.
    pub(crate) fn new(name: &str) -> Self {
        // `target/tmp` may be deeper than the 107 bytes that a socket's path has.
        let path = env::temp_dir().join(format!("turnstile-{}-{name}", process::id()));
        let _ = fs::remove_file(&path);
        Self { path }
    }

    /// As the `--listen` of examples has it.
    pub(crate) fn address(&self) -> String {
        format!("unix:{}", self.path.display())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
