//! A handler that gives what it calls no more time than its own caller has left.
//!
//! ```text
//! cargo run --release --example deadline
//! grpcurl -plaintext -max-time 5 -d '{"name":"world"}' 127.0.0.1:50051 helloworld.Greeter/SayHello
//! grpcurl -plaintext -max-time 0.2 -d '{"name":"world"}' 127.0.0.1:50051 helloworld.Greeter/SayHello
//! ```
//!
//! A client's deadline needs no help to be kept: when it passes, the call ends with
//! DEADLINE_EXCEEDED, and the future of an `async` handler is dropped. Looking at the time that is
//! left saves work that nobody will wait for, here and wherever the handler calls.

#![expect(clippy::print_stdout, reason = "it says how long it may take")]

mod common;

use std::thread;
use std::time::Duration;
use turnstile::{Request, Response, Server, Status, reflection};
use turnstile_protos::helloworld::{FILE_DESCRIPTOR_SET, HelloReply, HelloRequest, greeter};

/// What a call without a deadline may take. A server should not let it take for ever.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// What this handler itself needs after the dictionary has answered.
const MARGIN: Duration = Duration::from_millis(20);

struct MyGreeter;

impl greeter::BlockingService for MyGreeter {
    fn say_hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        let time_left = request.time_left().unwrap_or(DEFAULT_TIMEOUT);
        println!("{} ms left", time_left.as_millis());
        let timeout = time_left.saturating_sub(MARGIN);
        let hello = look_up("hello", timeout).map_err(|TooLittleTime| {
            Status::deadline_exceeded(format!("{time_left:?} is not enough for the dictionary"))
        })?;
        Ok(Response::new(HelloReply { message: format!("{hello} {}", request.name) }))
    }
}

struct TooLittleTime;

/// Stands for a call of a database or of another server, which take a timeout too.
fn look_up(_word: &str, timeout: Duration) -> Result<&'static str, TooLittleTime> {
    const TAKES: Duration = Duration::from_millis(400);
    // This one knows that it would be too late, and does not even begin.
    if timeout < TAKES {
        return Err(TooLittleTime);
    }
    thread::sleep(TAKES);
    Ok("Hello")
}

fn main() -> turnstile::Result<()> {
    let args = common::Args::read("127.0.0.1:50051", 2);
    let server = Server::builder()
        .add_service(greeter::blocking_server(MyGreeter))
        .add_service(reflection::service(FILE_DESCRIPTOR_SET))
        .bind(&args.listen)?;
    common::serve(&server, args.threads)
}
