//! Health checking, and a server that drains before it stops.
//!
//! ```text
//! cargo run --release --example health_server
//! grpc-health-probe -addr 127.0.0.1:50051
//! grpcurl -plaintext -d '{"service":"helloworld.Greeter"}' 127.0.0.1:50051 grpc.health.v1.Health/Watch
//! ```
//!
//! On SIGINT or SIGTERM it says NOT_SERVING, and serves on until a second signal: this is the time in
//! which a load balancer finds out. A real server would wait for some seconds instead.

#![expect(clippy::print_stdout, reason = "it says what it does")]

mod common;

use turnstile::{Request, Response, Server, Status, health, reflection};
use turnstile_protos::helloworld::{FILE_DESCRIPTOR_SET, HelloReply, HelloRequest, greeter};

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
    let (reporter, health) = health::service();
    let server = Server::builder()
        .add_service(greeter::server(MyGreeter))
        .add_service(health)
        .add_service(reflection::service(FILE_DESCRIPTOR_SET))
        .bind(&args.listen)?;
    common::serve_draining(&server, args.threads, || {
        reporter.drain();
        println!("draining");
    })
}
