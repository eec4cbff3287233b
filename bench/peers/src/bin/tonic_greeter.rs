//! The greeter on tonic, as a user of tonic would write it for a single core.
//!
//! One thread gets tokio's current-thread runtime, which is the faster of the two there; more
//! threads get the multi-thread one.

use std::error::Error;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tonic::codegen::BoxStream;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};
use turnstile_bench_peers::greeting;
use turnstile_bench_peers::helloworld::greeter_server::{Greeter, GreeterServer};
use turnstile_bench_peers::helloworld::{HelloReply, HelloRequest};
use turnstile_bench_peers::options::{Options, announce};

struct Hello;

#[tonic::async_trait]
impl Greeter for Hello {
    async fn say_hello(
        &self,
        request: Request<HelloRequest>,
    ) -> Result<Response<HelloReply>, Status> {
        let message = greeting(&request.get_ref().name);
        Ok(Response::new(HelloReply { message }))
    }

    type SayHelloStreamReplyStream = BoxStream<HelloReply>;

    async fn say_hello_stream_reply(
        &self,
        _request: Request<HelloRequest>,
    ) -> Result<Response<Self::SayHelloStreamReplyStream>, Status> {
        Err(Status::unimplemented("only SayHello is measured"))
    }

    type SayHelloBidiStreamStream = BoxStream<HelloReply>;

    async fn say_hello_bidi_stream(
        &self,
        _request: Request<Streaming<HelloRequest>>,
    ) -> Result<Response<Self::SayHelloBidiStreamStream>, Status> {
        Err(Status::unimplemented("only SayHello is measured"))
    }
}

fn runtime(threads: usize) -> std::io::Result<Runtime> {
    if threads == 1 {
        Builder::new_current_thread().enable_all().build()
    } else {
        Builder::new_multi_thread().worker_threads(threads).enable_all().build()
    }
}

async fn serve(options: Options) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(options.listen).await?;
    announce(listener.local_addr()?)?;
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let service = GreeterServer::new(Hello);
    Server::builder().add_service(service).serve_with_incoming(incoming).await?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::from_args()?;
    runtime(options.threads)?.block_on(serve(options))
}
