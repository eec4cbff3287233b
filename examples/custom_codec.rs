//! Messages that are JSON and not protobuf, with a codec of one's own: in a method that no .proto
//! file knows, and in a service that `turnstile-build` has generated.
//!
//! ```text
//! cargo run --release --example custom_codec
//! printf '\0\0\0\0\21{"numbers":[1,2]}' |
//!     curl -s --http2-prior-knowledge -H 'te: trailers' -H 'content-type: application/grpc+json' \
//!     --data-binary @- http://127.0.0.1:50051/turnstile.calculator.Calculator/Add
//! ```
//!
//! grpcurl speaks protobuf only, so the commands use curl; any language's gRPC client can be given
//! such a codec too. The codec is `turnstile_protos::Json`, in proto/src/json.rs, where generated
//! code finds it; proto/build.rs names it with `Config::codec`.

mod common;

use serde::{Deserialize, Serialize};
use turnstile::{MethodDescriptor, Request, Response, Server, Service, Status, service};
use turnstile_protos::Json;
use turnstile_protos::calculator::{AddReply, AddRequest, calculator};

/// A message is any type that the codec takes.
#[derive(Deserialize, Serialize)]
struct Text {
    text: String,
}

/// What generated code has for each method: its path, kind, messages and codec.
const UPPERCASE: MethodDescriptor<Text, Text, Json> =
    MethodDescriptor::unary("/demo.Text/Uppercase");

/// The service by hand. Its first argument is the state, of which it has none.
fn text() -> Service {
    service::Builder::new("demo.Text", ())
        .unary(UPPERCASE, |_, request| async move {
            Ok(Response::new(Text { text: request.text.to_uppercase() }))
        })
        .build()
}

/// The generated service. Its code is the same whatever the codec.
struct MyCalculator;

impl calculator::Service for MyCalculator {
    async fn add(&self, request: Request<AddRequest>) -> Result<Response<AddReply>, Status> {
        let sum = request.numbers.iter().fold(0.0, |sum, number| sum + number);
        Ok(Response::new(AddReply { sum }))
    }
}

fn main() -> turnstile::Result<()> {
    let args = common::Args::read("127.0.0.1:50051", 1);
    let server = Server::builder()
        .add_service(text())
        .add_service(calculator::server(MyCalculator))
        .bind(&args.listen)?;
    common::serve(&server, args.threads)
}
