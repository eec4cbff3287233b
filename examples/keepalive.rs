//! A greeter that watches its connections: it finds clients that are gone, ends those that send too
//! many PINGs, and tells the idle and the old ones to go.
//!
//! ```text
//! cargo run --release --example keepalive
//! grpcurl -plaintext -import-path proto -proto helloworld.proto -d '{"name":"world"}' \
//!     127.0.0.1:50051 helloworld.Greeter/SayHello
//! ```
//!
//! The times are short, so that one can watch: `nghttp` or a client in a debugger is told to go
//! after a few seconds. A server in production wants minutes where this one has seconds.

mod common;

use std::time::Duration;
use turnstile::{Request, Response, Server, Status};
use turnstile_protos::helloworld::{HelloReply, HelloRequest, greeter};

struct MyGreeter;

impl greeter::Service for MyGreeter {
    async fn say_hello(
        &self,
        request: Request<HelloRequest>,
    ) -> Result<Response<HelloReply>, Status> {
        Ok(Response::new(HelloReply { message: format!("Hello {}", request.name) }))
    }
}

fn main() -> turnstile::Result<()> {
    let args = common::Args::read("127.0.0.1:50051", 1);
    let server = Server::builder()
        .add_service(greeter::server(MyGreeter))
        // A client that says nothing for two seconds is sent a PING, and one that does not answer
        // in another second is gone: its machine has crashed, or a firewall between has forgotten
        // the connection. Its calls are cancelled, and their handlers need not go on. The defaults
        // are 2 hours and 20 seconds. Where something on the way forgets silent connections, stay
        // below its time; many forget after 5 minutes or less.
        .keepalive(Duration::from_secs(2), Duration::from_secs(1))
        // A client may do the same, once in a second. One that does it more often gets a GOAWAY
        // with "too_many_pings", and gRPC's clients then double their keepalive time. The default is
        // 5 minutes: agree on it with those who write the clients, since a client that does not
        // know loses calls.
        .min_ping_interval(Duration::from_secs(1))
        // A client with no call under way needs no keepalive: when it has one, it will find out.
        // Permit it only for clients that must be fast after a pause, as it wakes phones.
        .permit_pings_without_calls(true)
        // Who has had no call for five seconds is told to go. It connects again when it has one.
        // Off by default; good where there are many clients that call seldom.
        .max_connection_idle(Duration::from_secs(5))
        // Every connection is told to go after ten seconds, give or take one, and its client
        // connects again for new calls: maybe to another server, which was added meanwhile. Off by
        // default; for servers behind a load balancer that only sees connections.
        .max_connection_age(Duration::from_secs(10))
        // Calls that still run then have three more seconds, and are cancelled. Off by default.
        .max_connection_age_grace(Duration::from_secs(3))
        .bind(&args.listen)?;
    common::serve(&server, args.threads)
}
