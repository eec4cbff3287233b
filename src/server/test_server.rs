//! Test your service: a server on a free port, for as long as a test lasts.
//!
//! The threads are yours: they are spawned on a [`std::thread::scope`] of the test, and when the
//! [`TestServer`] is dropped they go home, so that the scope can end.
//!
//! ```
//! use std::thread;
//! use turnstile::test_server::TestServer;
//! use turnstile::{MethodDescriptor, Response, Server, service};
//!
//! const GREET: MethodDescriptor<String, String> = MethodDescriptor::unary("/demo.Greeter/Greet");
//!
//! let greeter = service::Builder::new("demo.Greeter", ())
//!     .unary(GREET, |_, name| async move { Ok(Response::new(format!("Hello {}", *name))) })
//!     .build();
//! thread::scope(|scope| {
//!     let server = TestServer::start(scope, 2, Server::builder().add_service(greeter))?;
//!     // Call it, here or from another process.
//!     assert!(server.address().starts_with("127.0.0.1:"));
//!     Ok::<(), turnstile::Error>(())
//! })?;
//! # Ok::<(), turnstile::Error>(())
//! ```
//!
//! # With grpcurl
//!
//! [grpcurl](https://github.com/fullstorydev/grpcurl) calls any server from a shell, or from a test
//! with [`std::process::Command`]. With a reflection service on the server
//! (`turnstile::reflection::service`), it needs no .proto files:
//!
//! ```sh
//! grpcurl -plaintext 127.0.0.1:50051 list                              # the services
//! grpcurl -plaintext 127.0.0.1:50051 describe helloworld.Greeter       # their methods
//! grpcurl -plaintext -d '{"name":"you"}' 127.0.0.1:50051 helloworld.Greeter/SayHello
//! ```
//!
//! Without it, name the files: `-import-path proto -proto helloworld.proto`. Options go before the
//! address. More that a test can use:
//!
//! | option | what it does |
//! |---|---|
//! | `-d @` | reads the messages of a streaming call from standard input, as JSON one after the other |
//! | `-H 'name: value'` | sends metadata; values of names in `-bin` are base64 |
//! | `-max-time 0.5` | sets the deadline, in seconds |
//! | `-v` | prints initial metadata and trailers too |
//! | `-unix /path` | calls a UNIX socket |
//!
//! It exits with 0 if the status is OK, and with 64 plus the code for any other: 68 for
//! DEADLINE_EXCEEDED, 76 for UNIMPLEMENTED. 1 means that it could not call at all.

use super::{Builder, Server};
use crate::error::Result;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::thread::Scope;
use std::time::Duration;

/// How long calls may still run when a test is over.
const GRACE: Duration = Duration::from_secs(5);

/// A running server, which is shut down when this is dropped. It derefs to the [`Server`].
///
/// Dropping it does not block, but the scope does, until every call has ended: calls that run for
/// longer than the [`grace`](Self::grace) are cancelled. For an example see
/// [`test_server`](self).
#[must_use = "the server is shut down when this is dropped"]
pub struct TestServer {
    server: Arc<Server>,
    grace: Duration,
}

impl TestServer {
    /// Starts a server on this many threads of the scope. It listens on a free port of 127.0.0.1,
    /// unless the builder has an address. Clients can connect as soon as this returns.
    ///
    /// With 0 threads nothing is served before the test calls [`run`](Server::run), or waits on a
    /// queue. Does not block.
    ///
    /// # Errors
    /// As [`Builder::build`].
    pub fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        threads: usize,
        builder: &mut Builder,
    ) -> Result<Self> {
        let built = match builder.listens_somewhere() {
            true => builder.build(),
            false => builder.bind("127.0.0.1:0"),
        };
        let server = Arc::new(built?);
        for _ in 0..threads {
            let server = server.clone();
            scope.spawn(move || server.run());
        }
        Ok(Self { server, grace: GRACE })
    }

    /// Sets how long calls may still run after the end, before they are cancelled. 5 seconds unless
    /// this is called.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The first address that it listens on, as grpcurl and other clients take it.
    pub fn address(&self) -> String {
        self.server.addresses().first().map(ToString::to_string).unwrap_or_default()
    }
}

impl Deref for TestServer {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.server.shutdown(self.grace);
    }
}

impl fmt::Debug for TestServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestServer").field("address", &self.address()).finish_non_exhaustive()
    }
}
