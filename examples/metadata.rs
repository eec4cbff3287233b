//! Metadata in both directions: with the request, before the replies and after them.
//!
//! ```text
//! cargo run --release --example metadata
//! grpcurl -plaintext -v -H 'x-language: de' -H 'x-trace-bin: AAH+/w' -d '{"name":"world"}' \
//!     127.0.0.1:50051 helloworld.Greeter/SayHello
//! grpcurl -plaintext -v -d '{"name":"world"}' 127.0.0.1:50051 helloworld.Greeter/SayHelloStreamReply
//! ```
//!
//! Values of keys that end in `-bin` are bytes, and base64 on the wire.

mod common;

use turnstile::{Metadata, Request, Response, Server, Status, Writer, reflection};
use turnstile_protos::helloworld::{FILE_DESCRIPTOR_SET, HelloReply, HelloRequest, greeter};

struct MyGreeter;

impl greeter::Service for MyGreeter {
    /// A `Response` carries both kinds of metadata.
    async fn say_hello(
        &self,
        request: Request<HelloRequest>,
    ) -> Result<Response<HelloReply>, Status> {
        let language = request.metadata().get("x-language").unwrap_or("en");
        let Some(hello) = hello_in(language) else {
            // So does an error, after which there is nothing else: its metadata is trailing.
            let mut known = Metadata::new();
            known.append("x-language", "en")?;
            known.append("x-language", "de")?;
            let message = format!("no greeting in {language:?} is known");
            return Err(Status::not_found(message).with_metadata(known));
        };
        let message = format!("{hello} {}", request.name);
        let length = message.len();
        let mut response = Response::new(HelloReply { message });
        response.metadata_mut().insert("x-language", language)?;
        response.trailers_mut().insert("x-length", &length.to_string())?;
        if let Some(trace) = trace(request.metadata())? {
            response.trailers_mut().insert_bin("x-trace-bin", &trace)?;
        }
        Ok(response)
    }

    /// A stream's are sent by its `Writer`: initial metadata before the first reply (or at once,
    /// as here), and trailers whenever they are known.
    async fn say_hello_stream_reply(
        &self,
        request: Request<HelloRequest>,
        replies: &mut Writer<HelloReply>,
    ) -> Result<(), Status> {
        let mut initial = Metadata::new();
        initial.insert("x-languages", "en, de")?;
        replies.send_initial_metadata(initial)?;
        let mut length = 0;
        for hello in ["en", "de"].into_iter().filter_map(hello_in) {
            let message = format!("{hello} {}", request.name);
            length += message.len();
            replies.write(HelloReply { message }).await?;
        }
        let mut trailers = Metadata::new();
        trailers.insert("x-length", &length.to_string())?;
        replies.set_trailers(trailers);
        Ok(())
    }
}

fn hello_in(language: &str) -> Option<&'static str> {
    match language {
        "en" => Some("Hello"),
        "de" => Some("Hallo"),
        _ => None,
    }
}

/// The bytes of the request's `x-trace-bin`, if it has any.
fn trace(metadata: &Metadata) -> Result<Option<turnstile::Bytes>, Status> {
    metadata.get_bin("x-trace-bin").transpose().map_err(|error| {
        Status::invalid_argument(format!("x-trace-bin: {error}")).with_source(error)
    })
}

fn main() -> turnstile::Result<()> {
    let args = common::Args::read("127.0.0.1:50051", 1);
    let server = Server::builder()
        .add_service(greeter::server(MyGreeter))
        .add_service(reflection::service(FILE_DESCRIPTOR_SET))
        .bind(&args.listen)?;
    common::serve(&server, args.threads)
}
