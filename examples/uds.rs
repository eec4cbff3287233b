//! A greeter for the programs of one machine: it listens on a UNIX socket in the file system, and on
//! one without a file, and knows who calls.
//!
//! ```text
//! cargo run --release --example uds -- --listen unix:/tmp/greeter.sock
//! grpcurl -plaintext -import-path proto -proto helloworld.proto -d '{"name":"world"}' \
//!     unix:///tmp/greeter.sock helloworld.Greeter/SayHello
//! ```
//!
//! The server removes the file when it stops. The socket without a file is `unix:@greeter` for
//! grpcurl, and `unix-abstract:greeter` for others.
#![expect(clippy::print_stdout, reason = "it tells who calls")]

mod common;

use turnstile::{PeerAddress, Request, Response, Server, Status};
use turnstile_protos::helloworld::{HelloReply, HelloRequest, greeter};

struct MyGreeter;

impl greeter::Service for MyGreeter {
    async fn say_hello(
        &self,
        request: Request<HelloRequest>,
    ) -> Result<Response<HelloReply>, Status> {
        let PeerAddress::Unix(peer) = request.peer() else {
            return Err(Status::permission_denied("call over a UNIX socket"));
        };
        // The kernel has noted who connected, and the client cannot forge it. Decide by the user or
        // the group: the process may have ended, and its id may be another's by now.
        let Some(who) = peer.credentials() else {
            return Err(Status::permission_denied("the system does not tell who you are"));
        };
        let pid = who.pid.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string());
        let (path, uid, gid) = (peer.path().display(), who.uid, who.gid);
        println!("called through {path}: process {pid}, user {uid}, group {gid}");
        Ok(Response::new(HelloReply { message: format!("Hello {}, user {uid}", request.name) }))
    }
}

fn main() -> turnstile::Result<()> {
    let args = common::Args::read("unix:/tmp/turnstile-greeter.sock", 1);
    let server = Server::builder()
        .add_service(greeter::server(MyGreeter))
        // Who may connect to a socket in the file system is a matter of its folder's permissions.
        // The server removes the file when it shuts down, and replaces one that a dead server left.
        .listen(&args.listen)
        // Linux has names without files too. They vanish with the server, but everybody on the
        // machine may connect, so look at who it is.
        .listen(&abstract_name(&args.listen))
        .build()?;
    common::serve(&server, args.threads)
}

/// A second name that goes with the first, so that several of these servers can run at once.
fn abstract_name(listen: &str) -> String {
    let file = listen.rsplit('/').next().unwrap_or_default();
    format!("unix-abstract:{}", file.trim_end_matches(".sock"))
}
