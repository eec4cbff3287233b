//! Two packages on one server, an `async` and a blocking service, and reflection that knows both.
//!
//! ```text
//! cargo run --release --example reflection
//! grpcurl -plaintext 127.0.0.1:50051 list
//! grpcurl -plaintext 127.0.0.1:50051 describe turnstile.echo.Echo
//! grpcurl -plaintext -d '{"text":"a"} {"text":"b"}' 127.0.0.1:50051 turnstile.echo.Echo/Bidi
//! ```
//!
//! Each package has a `FILE_DESCRIPTOR_SET`, with all files that were compiled together. The two of
//! this example were, so one of their sets would do; for packages of several crates, give all.

mod common;

use turnstile::blocking::{Reader, Writer};
use turnstile::{Request, Response, Server, Status, reflection};
use turnstile_protos::echo::{self, EchoReply, EchoRequest};
use turnstile_protos::helloworld::{self, HelloReply, HelloRequest};

struct MyGreeter;

impl helloworld::greeter::Service for MyGreeter {
    async fn say_hello(
        &self,
        request: Request<HelloRequest>,
    ) -> Result<Response<HelloReply>, Status> {
        Ok(Response::new(HelloReply { message: format!("Hello {}", request.name) }))
    }
}

struct MyEcho;

impl echo::echo::BlockingService for MyEcho {
    fn bidi(
        &self,
        requests: &mut Reader<EchoRequest>,
        replies: &mut Writer<EchoReply>,
    ) -> Result<(), Status> {
        for (request, index) in requests.zip(0..) {
            replies.write(EchoReply { text: request?.text, index })?;
        }
        Ok(())
    }
}

fn main() -> turnstile::Result<()> {
    let args = common::Args::read("127.0.0.1:50051", 2);
    let sets = [helloworld::FILE_DESCRIPTOR_SET, echo::FILE_DESCRIPTOR_SET];
    let server = Server::builder()
        .add_service(helloworld::greeter::server(MyGreeter))
        .add_service(echo::echo::blocking_server(MyEcho))
        .add_service(reflection::service_of(sets))
        .bind(&args.listen)?;
    common::serve(&server, args.threads)
}
