//! Errors that say more than a code and a message.
//!
//! ```text
//! cargo run --release --example error_details_server
//! grpcurl -plaintext -d '{"name":""}' 127.0.0.1:50051 helloworld.Greeter/SayHello
//! ```

mod common;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use turnstile::error_details::{
    BadRequest, ErrorInfo, FieldViolation, QuotaFailure, quota_failure,
};
use turnstile::{Request, Response, Server, Status, reflection};
use turnstile_protos::helloworld::{FILE_DESCRIPTOR_SET, HelloReply, HelloRequest, greeter};

/// Greets everybody who has a name, once.
#[derive(Default)]
struct OnceOnly {
    greeted: Mutex<HashMap<String, u32>>,
}

impl OnceOnly {
    /// How often somebody has been greeted, this time included.
    fn count(&self, name: &str) -> u32 {
        let mut greeted = self.greeted.lock().unwrap_or_else(PoisonError::into_inner);
        let count = greeted.entry(name.to_owned()).or_default();
        *count += 1;
        *count
    }
}

impl greeter::Service for OnceOnly {
    async fn say_hello(
        &self,
        request: Request<HelloRequest>,
    ) -> Result<Response<HelloReply>, Status> {
        if request.name.is_empty() {
            return Err(nameless());
        }
        match self.count(&request.name) {
            1 => Ok(Response::new(HelloReply { message: format!("Hello {}", request.name) })),
            count => Err(greeted_before(&request.name, count)),
        }
    }
}

/// What is wrong with a field of the request.
fn nameless() -> Status {
    let violation = FieldViolation {
        field: "name".to_owned(),
        description: "must not be empty".to_owned(),
        ..Default::default()
    };
    Status::invalid_argument("the request is not complete")
        .with_detail(&BadRequest { field_violations: vec![violation] })
}

/// Two details: one for programs, and one for whoever wonders about the limit.
fn greeted_before(name: &str, count: u32) -> Status {
    let info = ErrorInfo {
        reason: "GREETED_BEFORE".to_owned(),
        domain: "greeter.example".to_owned(),
        metadata: HashMap::from([("asked".to_owned(), count.to_string())]),
    };
    let violation = quota_failure::Violation {
        subject: format!("name:{name}"),
        description: "one greeting for each name".to_owned(),
        ..Default::default()
    };
    Status::resource_exhausted(format!("{name} has been greeted"))
        .with_detail(&info)
        .with_detail(&QuotaFailure { violations: vec![violation] })
}

fn main() -> turnstile::Result<()> {
    let args = common::Args::read("127.0.0.1:50051", 1);
    let server = Server::builder()
        .add_service(greeter::server(OnceOnly::default()))
        .add_service(reflection::service(FILE_DESCRIPTOR_SET))
        .bind(&args.listen)?;
    common::serve(&server, args.threads)
}
