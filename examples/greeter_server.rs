//! The greeter of gRPC's own examples, on a completion queue.
//!
//! ```text
//! cargo run --release --example greeter_server
//! grpcurl -plaintext -import-path proto -proto helloworld.proto -d '{"name":"world"}' \
//!     127.0.0.1:50051 helloworld.Greeter/SayHello
//! ```

mod common;

use common::Args;
use std::error::Error;
use turnstile::{Batch, CompletionQueue, Deadline, Event, Method, Server, Status, codec};
use turnstile_protos::helloworld::{HelloReply, HelloRequest};

/// What comes out of the queue.
#[derive(Clone, Copy)]
enum Tag {
    /// A call of SayHello.
    SayHello,
    /// A reply has been sent.
    Finished,
}

/// How many calls are asked for at once: as many as may come in one turn.
const REQUESTS: usize = 256;

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::read("127.0.0.1:50051", 1);
    let cq = CompletionQueue::new();
    let mut builder = Server::builder();
    let say_hello = builder.register_unary("/helloworld.Greeter/SayHello");
    let server = builder.bind(&args.listen)?;
    for _ in 0..REQUESTS {
        server.request_registered_call(&say_hello, &cq, &cq, Tag::SayHello)?;
    }
    let serve = || {
        while let Some(turn) = cq.turn(Deadline::NONE) {
            for event in turn {
                handle(event, &server, &say_hello, &cq);
            }
        }
    };
    common::run(&server, args.threads, serve, || cq.shutdown())
}

fn handle(mut event: Event<Tag>, server: &Server, say_hello: &Method, cq: &CompletionQueue<Tag>) {
    match event.tag {
        Tag::SayHello => {
            // No call comes when the server is shut down.
            let Some(call) = event.take_call() else { return };
            // One request is one call: ask for the next. It is refused only after the shutdown.
            let _ = server.request_registered_call(say_hello, cq, cq, Tag::SayHello);
            let reply = match event.take_message() {
                Some(request) => say(&request),
                None => Err(Status::unimplemented("SayHello wants one message, and got none")),
            };
            let batch = match reply {
                Ok(reply) => Batch::new().send_message(reply).send_status(Status::ok()),
                Err(status) => Batch::new().send_status(status),
            };
            call.start(batch, Tag::Finished).expect("nothing else was started on this call");
        }
        Tag::Finished => {}
    }
}

fn say(request: &[u8]) -> Result<turnstile::Bytes, Status> {
    let HelloRequest { name } = codec::decode(request)?;
    Ok(codec::encode(&HelloReply { message: format!("Hello {name}") }))
}
