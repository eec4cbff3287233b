//! How handlers of both styles find out that nobody waits for them any more.
//!
//! ```text
//! cargo run --release --example cancellation
//! grpcurl -plaintext -d '{"name":"world"}' 127.0.0.1:50051 helloworld.Greeter/SayHello
//! grpcurl -plaintext -d '{"name":"world"}' 127.0.0.1:50051 helloworld.Greeter/SayHelloStreamReply
//! grpcurl -plaintext -d '{"text":"world"}' 127.0.0.1:50051 turnstile.echo.Echo/Unary
//! ```
//!
//! None of these calls ends by itself: stop grpcurl with Ctrl-C, or give it `-max-time 1`, and see
//! what the server says.

#![expect(clippy::print_stdout, reason = "it says how its calls end")]

mod common;

use std::future::pending;
use std::hint::black_box;
use turnstile::{Request, Response, Server, Status, Writer, reflection};
use turnstile_protos::echo::{EchoReply, EchoRequest, echo};
use turnstile_protos::helloworld::{FILE_DESCRIPTOR_SET, HelloReply, HelloRequest, greeter};

struct MyGreeter;

/// An `async` handler is polled once more when its call is over, and then dropped.
impl greeter::Service for MyGreeter {
    /// It may wait for the end, and has one poll to do something about it: no more awaits.
    async fn say_hello(
        &self,
        request: Request<HelloRequest>,
    ) -> Result<Response<HelloReply>, Status> {
        println!("async: greeting {}", request.name);
        request.cancelled().await;
        println!("async: {} has gone", request.name);
        Err(Status::cancelled("there is nobody to greet"))
    }

    /// It may as well do nothing: what it holds is dropped with it, wherever it waits.
    async fn say_hello_stream_reply(
        &self,
        request: Request<HelloRequest>,
        replies: &mut Writer<HelloReply>,
    ) -> Result<(), Status> {
        let _held = Held;
        replies.write(HelloReply { message: format!("Hello {}", request.name) }).await?;
        pending().await
    }
}

/// Something that has to be given back, such as a lock or a temporary file.
struct Held;

impl Drop for Held {
    fn drop(&mut self) {
        println!("async: dropped what the handler held");
    }
}

struct MyEcho;

/// A blocking handler cannot be stopped: it has to ask. What it reads or writes fails.
impl echo::BlockingService for MyEcho {
    fn unary(&self, request: Request<EchoRequest>) -> Result<Response<EchoReply>, Status> {
        println!("blocking: working for {}", request.text);
        while !request.is_cancelled() {
            work();
        }
        println!("blocking: stopped working for {}", request.text);
        Err(Status::cancelled("there is nobody to work for"))
    }
}

/// A piece of some work that takes long. The more there is of it between two questions, the later
/// is the answer known.
fn work() {
    for number in 0..10_000 {
        black_box(number);
    }
}

fn main() -> turnstile::Result<()> {
    // While one thread works for a blocking handler, another has to look at the connections.
    let args = common::Args::read("127.0.0.1:50051", 2);
    let server = Server::builder()
        .add_service(greeter::server(MyGreeter))
        .add_service(echo::blocking_server(MyEcho))
        .add_service(reflection::service(FILE_DESCRIPTOR_SET))
        .bind(&args.listen)?;
    common::serve(&server, args.threads)
}
