//! A client of the greeter, in three styles: each is a function of its own.
//!
//! ```text
//! cargo run --release --example greeter_server
//! cargo run --release --example greeter_client
//! cargo run --release --example greeter_client -- --style async Ada
//! cargo run --release --example greeter_client -- --style queue --target localhost:50051 Ada
//! ```
//!
//! `blocking` is for most programs, `async` for handlers that call other servers, or for programs that
//! have futures already; `queue` is what both stand on. In each of them the thread that waits does the
//! I/O.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "programs talk")]

mod common;

use common::Flags;
use std::process::ExitCode;
use std::time::Duration;
use turnstile::{Batch, CallOptions, Channel, CompletionQueue, Deadline, Status, block_on};
use turnstile_protos::helloworld::{HelloRequest, greeter, greeter::SAY_HELLO};

const USAGE: &str = "usage: [--style blocking|async|queue] [--target TARGET] [NAME]
TARGET is host:port, unix:/path, or what else Channel::connect takes;
the defaults are blocking, 127.0.0.1:50051 and world";

fn blocking(channel: Channel, options: CallOptions, name: String) -> Result<String, Status> {
    let greeter = greeter::BlockingClient::new(channel).with(options);
    let reply = greeter.say_hello(HelloRequest { name })?; // this thread waits
    Ok(reply.into_inner().message)
}

async fn awaited(channel: Channel, options: CallOptions, name: String) -> Result<String, Status> {
    let greeter = greeter::Client::new(channel).with(options);
    let reply = greeter.say_hello(HelloRequest { name }).await?;
    Ok(reply.into_inner().message)
}

fn queued(channel: Channel, options: CallOptions, name: String) -> Result<String, Status> {
    let cq = CompletionQueue::new();
    let call = channel.call(SAY_HELLO.path(), options, &cq);
    let batch = Batch::new()
        .send_message(SAY_HELLO.encode_request(&HelloRequest { name })?)
        .send_close()
        .receive_message()
        .receive_status();
    call.start(batch, "the reply").expect("nothing else is pending, and the queue is open");
    // One call, so one event; others would have other tags.
    let mut event = cq.next(Deadline::NONE).expect("the queue is open");
    match event.take_status() {
        Some(status) if !status.is_ok() => Err(status),
        _ => Ok(SAY_HELLO.decode_reply(event.take_message().unwrap_or_default())?.message),
    }
}

fn main() -> ExitCode {
    let flags = Flags::read(USAGE, &["--style", "--target"], 1);
    let target = flags.get("--target").unwrap_or("127.0.0.1:50051");
    let name = flags.rest.first().map_or("world", String::as_str).to_owned();
    let channel = Channel::connect(target).unwrap_or_else(|error| flags.fail(&error.to_string()));
    // A call without a deadline waits for a server that hangs as long as that does.
    let options = CallOptions::new().timeout(Duration::from_secs(5));
    let greeting = match flags.get("--style").unwrap_or("blocking") {
        "blocking" => blocking(channel, options, name),
        "async" => block_on(awaited(channel, options, name)),
        "queue" => queued(channel, options, name),
        other => flags.fail(&format!("--style cannot be {other:?}")),
    };
    match greeting {
        Ok(greeting) => {
            println!("{greeting}");
            ExitCode::SUCCESS
        }
        Err(status) => {
            eprintln!("{status}");
            ExitCode::FAILURE
        }
    }
}
