//! Interceptors: one that times every call of the server, and one that lets only those with a token
//! into the greeter, and tells it who they are.
//!
//! ```text
//! cargo run --release --example interceptor
//! grpcurl -plaintext -d '{}' 127.0.0.1:50051 helloworld.Greeter/SayHello
//! grpcurl -plaintext -H 'authorization: Bearer sesame' -d '{}' \
//!     127.0.0.1:50051 helloworld.Greeter/SayHello
//! ```

#![expect(clippy::print_stdout, reason = "it says how long calls took")]

mod common;

use std::time::Instant;
use turnstile::service::{IncomingCall, Interceptor, Next, Reply};
use turnstile::{Request, Response, Server, Status, reflection};
use turnstile_protos::helloworld::{FILE_DESCRIPTOR_SET, HelloReply, HelloRequest, greeter};

/// Who calls, for the handlers behind `authenticate`.
#[derive(Clone)]
struct User(String);

/// A function is an interceptor that looks at the beginning of a call. Its error is the call's.
fn authenticate(call: &mut IncomingCall) -> Result<(), Status> {
    let authorization = call.metadata().get("authorization");
    let user = match authorization.and_then(|value| value.strip_prefix("Bearer ")) {
        Some("sesame") => User("Ali Baba".to_owned()),
        Some(_) => return Err(Status::unauthenticated("the token is not valid")),
        None => return Err(Status::unauthenticated("there is no token: send `authorization`")),
    };
    call.extensions_mut().insert(user);
    Ok(())
}

/// An interceptor with a type of its own may wait, and sees the end of the call too.
struct Timed;

impl Interceptor for Timed {
    async fn intercept(&self, call: IncomingCall, next: Next<'_>) -> Result<Reply, Status> {
        let (start, method) = (Instant::now(), call.method().to_owned());
        let reply = next.run(call).await;
        println!("{method}: {} after {:?}", reply.status(), start.elapsed());
        Ok(reply)
    }
}

struct MyGreeter;

impl greeter::Service for MyGreeter {
    async fn say_hello(
        &self,
        request: Request<HelloRequest>,
    ) -> Result<Response<HelloReply>, Status> {
        let user = request.extensions().get::<User>();
        let User(name) = user.ok_or_else(|| Status::internal("nobody asked who this is"))?;
        Ok(Response::new(HelloReply { message: format!("Hello {name}") }))
    }
}

fn main() -> turnstile::Result<()> {
    let args = common::Args::read("127.0.0.1:50051", 1);
    let server = Server::builder()
        .intercept(Timed)
        .add_service(greeter::server(MyGreeter).intercept(authenticate))
        // Everybody may ask what there is.
        .add_service(reflection::service(FILE_DESCRIPTOR_SET))
        .bind(&args.listen)?;
    common::serve(&server, args.threads)
}
