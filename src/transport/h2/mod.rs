//! gRPC over HTTP/2 (PROTOCOL-HTTP2), with the h2 crate.
//!
//! h2 has locks of its own and wakes wakers while it holds them. So a waker that h2 is given only
//! enqueues: it takes no lock of ours, never calls h2, and completes nothing.

mod client;
mod driven;
mod server;

mod clock;
mod config;
mod linger;
mod phase;
mod pinger;
mod strikes;

mod frames;
mod io;
mod traffic;

mod framing;
mod messages;
mod payload;
mod request;
mod response;
mod stream;
mod timeout;

pub(crate) use client::user_agent;
pub(crate) use client::{ClientConfig, ClientTransport, Keepalives};
pub(crate) use config::Config;
// What the transport within a process has in common with this one.
pub(super) use client::{head_of, of_message};
pub(super) use framing::FramingError;
#[cfg(all(test, not(turnstile_loom)))]
pub(crate) use io::Io;
pub(super) use request::{answer, read_head as read_request, trailers_only};
pub(super) use response::{
    PSEUDO_SIZE as ANSWER_PSEUDO_SIZE, read_head as read_answer, read_status,
};
pub(crate) use server::ServerTransport;
#[cfg(all(test, not(turnstile_loom)))]
pub(crate) use traffic::Traffic;

use crate::status::{Code, Status};
use h2::Reason;

/// What a stream's or connection's error means to the call at the server's end, as PROTOCOL-HTTP2
/// maps it ("HTTP2 Transport Mapping", Errors).
fn status_of(error: h2::Error) -> Status {
    let code = match error.reason() {
        Some(Reason::REFUSED_STREAM) => Code::Unavailable,
        Some(Reason::CANCEL) => Code::Cancelled,
        Some(Reason::ENHANCE_YOUR_CALM) => Code::ResourceExhausted,
        Some(Reason::INADEQUATE_SECURITY) => Code::PermissionDenied,
        // The connection went away under the call, and with it the client.
        _ if error.is_io() || error.is_go_away() => Code::Cancelled,
        _ => Code::Internal,
    };
    let whose = if error.is_remote() { "the client ended the stream" } else { "the stream ended" };
    Status::new(code, format!("{whose}: {error}")).with_source(error)
}

fn status_of_reset(reason: Reason) -> Status {
    status_of(h2::Error::from(reason))
}
