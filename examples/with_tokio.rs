//! Handlers that await what belongs to tokio: a timer, and a TCP connection.
//!
//! ```text
//! cargo run --release --example with_tokio
//! grpcurl -plaintext -d '{"name":"world"}' 127.0.0.1:50051 helloworld.Greeter/SayHello
//! ```
//!
//! The runtime is the application's. It has a thread of its own, on which its timers and sockets
//! make progress, while the threads of the server poll the handlers. Tokio's types must find their
//! runtime where they are made, so each of those threads enters it.

mod common;

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;
use tokio::io::{self, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::Notify;
use turnstile::{Request, Response, Server, Status, reflection};
use turnstile_protos::helloworld::{FILE_DESCRIPTOR_SET, HelloReply, HelloRequest, greeter};

struct MyGreeter {
    /// A server that says everything back, as of RFC 862.
    echo: SocketAddr,
}

impl greeter::Service for MyGreeter {
    async fn say_hello(
        &self,
        request: Request<HelloRequest>,
    ) -> Result<Response<HelloReply>, Status> {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let message = self.through_echo(format!("Hello {}", request.name)).await;
        let message = message.map_err(|error| {
            Status::unavailable(format!("the echo at {}: {error}", self.echo)).with_source(error)
        })?;
        Ok(Response::new(HelloReply { message }))
    }
}

impl MyGreeter {
    async fn through_echo(&self, text: String) -> io::Result<String> {
        let mut stream = TcpStream::connect(self.echo).await?;
        stream.write_all(text.as_bytes()).await?;
        stream.shutdown().await?;
        let mut back = String::new();
        stream.read_to_string(&mut back).await?;
        Ok(back)
    }
}

/// The other server, in this process so that the example needs no second one.
async fn serve_echo(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let (mut reader, mut writer) = stream.into_split();
            // Whoever hangs up early is told so by its own end.
            let _ = io::copy(&mut reader, &mut writer).await;
        });
    }
}

fn main() -> turnstile::Result<()> {
    let args = common::Args::read("127.0.0.1:50051", 2);
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let greeter = MyGreeter { echo: listener.local_addr()? };
    runtime.spawn(serve_echo(listener));
    let server = Server::builder()
        .add_service(greeter::server(greeter))
        .add_service(reflection::service(FILE_DESCRIPTOR_SET))
        .bind(&args.listen)?;
    let (handle, stop) = (runtime.handle().clone(), Notify::new());
    let serve = || {
        let _entered = handle.enter();
        server.run();
    };
    thread::scope(|scope| {
        scope.spawn(|| runtime.block_on(stop.notified()));
        let served = common::run(&server, args.threads, serve, || {});
        stop.notify_one();
        served
    })
}
