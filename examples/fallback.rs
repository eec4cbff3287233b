//! A server that answers any method with what it was sent, since request and reply are bytes to it.
//!
//! ```text
//! cargo run --release --example fallback
//! grpcurl -plaintext -v -d '{"text":"a"} {"text":"b"}' 127.0.0.1:50051 turnstile.echo.Echo/Bidi
//! ```
//!
//! The fallback gets all calls of methods that the server does not have; here it has those of the
//! reflection service, which lists every service that it can describe. `proxy` forwards such calls.

mod common;

use turnstile::{Bytes, Metadata, Server, Status, Streaming, Writer, reflection};
use turnstile_protos::echo::FILE_DESCRIPTOR_SET;

/// Sends back each message as it comes.
async fn echo(mut requests: Streaming<Bytes>, mut replies: Writer<Bytes>) -> Result<(), Status> {
    let mut metadata = Metadata::new();
    metadata.insert("x-method", requests.method())?;
    replies.send_initial_metadata(metadata)?;
    while let Some(message) = requests.read().await? {
        replies.write(message).await?;
    }
    Ok(())
}

fn main() -> turnstile::Result<()> {
    let args = common::Args::read("127.0.0.1:50051", 1);
    let server = Server::builder()
        .fallback(echo)
        .add_service(reflection::service(FILE_DESCRIPTOR_SET))
        .bind(&args.listen)?;
    common::serve(&server, args.threads)
}
