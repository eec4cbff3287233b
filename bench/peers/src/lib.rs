//! What the peer servers share: the greeter's generated code and the command line.
//!
//! Every server of the benchmark, the library's own `greeter_server` example included, takes
//! `--listen ADDR` and `--threads N` and says `listening on ADDR` as its first line of output,
//! so that the driver can start any of them on a port of the system's choosing.

pub mod options;

/// The messages and the tonic service of `helloworld.proto`.
pub mod helloworld {
    #![allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all)]

    tonic::include_proto!("helloworld");
}

/// The greeting that every server under test answers with.
pub fn greeting(name: &str) -> String {
    const HELLO: &str = "Hello ";
    let mut message = String::with_capacity(HELLO.len() + name.len());
    message.push_str(HELLO);
    message.push_str(name);
    message
}
