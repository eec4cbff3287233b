//! Compressed requests and replies: what a server chooses, what a method, a call, and a message.
//!
//! ```text
//! cargo run --release --example compression --features gzip,deflate
//! grpcurl -plaintext -v -d '{"text":"hello hello hello hello hello hello hello hello hello hello"}' \
//!     127.0.0.1:50051 turnstile.echo.Echo/Unary
//! ```
//!
//! Compression is off until a server asks for it, in each direction by itself. A client that does
//! not say that it can read an encoding gets its replies as they are. What a reply was compressed
//! with is in its trailing metadata here, as clients tell nobody.

mod common;

use turnstile::{
    Context, Encoding, Metadata, Request, Response, Server, Status, Streaming, Writer, reflection,
};
use turnstile_protos::echo::{EchoReply, EchoRequest, FILE_DESCRIPTOR_SET, echo};

struct MyEcho;

impl echo::Service for MyEcho {
    /// A choice for one call, before anything of it is sent.
    async fn unary(&self, request: Request<EchoRequest>) -> Result<Response<EchoReply>, Status> {
        match request.metadata().get("x-compression") {
            None => {}
            Some("none") => request.context().set_compression(None)?,
            Some("gzip") => request.context().set_compression(Some(Encoding::Gzip))?,
            Some("deflate") => request.context().set_compression(Some(Encoding::Deflate))?,
            Some(other) => {
                let text = format!("x-compression is none, gzip or deflate, and not {other}");
                return Err(Status::invalid_argument(text));
            }
        }
        tell(request.context())?;
        Ok(Response::new(EchoReply { text: request.into_inner().text, index: 0 }))
    }

    async fn client_stream(
        &self,
        requests: &mut Streaming<EchoRequest>,
    ) -> Result<Response<EchoReply>, Status> {
        tell(requests)?;
        let mut texts = Vec::new();
        while let Some(request) = requests.read().await? {
            texts.push(request.text);
        }
        Ok(Response::new(EchoReply { text: texts.join(" "), index: 0 }))
    }

    /// A choice for single messages: those with an odd index go as they are.
    async fn server_stream(
        &self,
        request: Request<EchoRequest>,
        replies: &mut Writer<EchoReply>,
    ) -> Result<(), Status> {
        tell(request.context())?;
        for index in 0..request.count.max(1) {
            let reply = EchoReply { text: request.text.clone(), index };
            match index % 2 {
                0 => replies.write(reply).await?,
                _ => replies.write_uncompressed(reply).await?,
            }
        }
        Ok(())
    }

    async fn bidi(
        &self,
        requests: &mut Streaming<EchoRequest>,
        replies: &mut Writer<EchoReply>,
    ) -> Result<(), Status> {
        tell(requests)?;
        let mut index = 0;
        while let Some(request) = requests.read().await? {
            replies.write(EchoReply { text: request.text, index }).await?;
            index += 1;
        }
        Ok(())
    }
}

/// Sends along what replies are compressed with.
fn tell(call: &Context) -> Result<(), Status> {
    let name = call.compression().map_or("none", Encoding::name);
    let mut trailers = Metadata::new();
    let added = trailers.insert("x-compression", name);
    added.map_err(|error| Status::internal(error.to_string()))?;
    call.set_trailers(trailers);
    Ok(())
}

fn main() -> turnstile::Result<()> {
    let args = common::Args::read("127.0.0.1:50051", 1);
    // A choice for one method, which comes before the server's.
    let echo = echo::server(MyEcho)
        .configure("ServerStream", |method| method.compress_replies(Encoding::Deflate));
    let server = Server::builder()
        // Requests: all encodings that were compiled in.
        .accept_compressed(Encoding::ALL)
        // Replies.
        .compress_replies(Encoding::Gzip)
        .add_service(echo)
        .add_service(reflection::service(FILE_DESCRIPTOR_SET))
        .bind(&args.listen)?;
    common::serve(&server, args.threads)
}
