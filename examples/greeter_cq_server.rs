//! The greeter of gRPC's own examples, on a completion queue, and without reflection:
//! `cargo run --release --example greeter_cq_server`, and from another terminal
//! `grpcurl -plaintext -proto proto/helloworld.proto -d '{}' 127.0.0.1:50051 helloworld.Greeter/SayHello`

mod common;

use turnstile::{Batch, CompletionQueue, Deadline, Server, Status};
use turnstile_protos::helloworld::{HelloReply, HelloRequest, greeter::SAY_HELLO};

fn main() -> turnstile::Result<()> {
    let args = common::Args::read("127.0.0.1:50051", 1);
    let cq = CompletionQueue::new();
    let mut builder = Server::builder();
    let say_hello = builder.register(&SAY_HELLO);
    let server = builder.bind(&args.listen)?;
    let request_call = || server.request_registered_call(&say_hello, &cq, &cq, "a call").is_ok();
    (0..256).all(|_| request_call()); // each for one call, and refused only after the shutdown
    let serve = || {
        while let Some(turn) = cq.turn(Deadline::NONE) {
            for mut event in turn {
                let Some(call) = event.take_call() else { continue }; // "a reply" was sent
                request_call();
                let request = SAY_HELLO.decode_request(event.take_message().unwrap_or_default());
                let batch = request.and_then(|HelloRequest { name }| {
                    let message = format!("Hello {name}");
                    let reply = SAY_HELLO.encode_reply(&HelloReply { message })?;
                    Ok(Batch::new().send_message(reply).send_status(Status::ok()))
                });
                let batch = batch.unwrap_or_else(|status| Batch::new().send_status(status));
                let _ = call.start(batch, "a reply"); // refused after the shutdown, too
            }
        }
    };
    common::run(&server, args.threads, serve, || cq.shutdown())
}
