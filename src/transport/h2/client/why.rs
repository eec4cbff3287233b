//! Why a call or a connection ended that its server did not end with a status: what is told of it.
//! Pure.

use crate::iomgr::Peer;
use crate::status::{Code, Status};
use crate::transport::Ended;
use crate::transport::h2::framing::FramingError;
use crate::transport::h2::traffic::{GoAway, Traffic};
use h2::Reason;

/// What became of a stream that failed.
pub(super) enum Fate {
    /// The server, or this end, ended this one.
    Ended(Ended),
    /// The connection is lost, and knows why.
    Lost,
    /// The connection is about to be, since what came on it is not HTTP/2.
    Broken(Ended),
}

/// What a stream's error means to its call ("HTTP2 Transport Mapping", Errors, of PROTOCOL-HTTP2).
pub(super) fn fate_of(error: h2::Error, peer: &Peer, goaway: Option<GoAway>) -> Fate {
    if error.is_io() {
        return Fate::Lost;
    }
    if error.is_go_away() && error.is_remote() {
        // h2 gives this error to streams that the server's GOAWAY excludes, and to those only.
        return Fate::Ended(Ended::refused(refused_by(peer, goaway.as_ref())));
    }
    if error.is_go_away() {
        return Fate::Broken(Ended::processed(not_http_2(peer, error)));
    }
    let reason = error.reason();
    let is_refused = reason == Some(Reason::REFUSED_STREAM);
    let (code, hint) = match reason {
        Some(Reason::REFUSED_STREAM) => (Code::Unavailable, ": it has not looked at the call"),
        Some(Reason::CANCEL) => (Code::Cancelled, ""),
        Some(Reason::ENHANCE_YOUR_CALM) => {
            (Code::ResourceExhausted, ": the call costs it too much, such as bandwidth")
        }
        Some(Reason::INADEQUATE_SECURITY) => {
            (Code::PermissionDenied, ": the connection is not secure enough for the call")
        }
        Some(Reason::NO_ERROR) => (Code::Internal, ", but sent no status"),
        _ => (Code::Internal, ""),
    };
    let text = match reason {
        Some(reason) if error.is_remote() => {
            format!("the server at {peer} reset the call's stream with {reason:?}{hint}")
        }
        // What h2 found wrong.
        Some(reason) => format!(
            "what the server at {peer} sent for this call is not HTTP/2 ({reason:?}), or its headers \
             are far too large",
        ),
        None => format!("the call's stream to the server at {peer} failed: {error}"),
    };
    let is_unprocessed = is_refused && error.is_remote();
    let status = Status::new(code, text).with_source(error);
    Fate::Ended(if is_unprocessed { Ended::refused(status) } else { Ended::processed(status) })
}

/// A message cannot be read.
pub(in crate::transport) fn of_message(error: &FramingError, peer: &Peer) -> Status {
    Status::new(error.status().code(), format!("{error}, from the server at {peer}"))
}

/// The server has said GOAWAY, and not taken the call.
pub(super) fn refused_by(peer: &Peer, goaway: Option<&GoAway>) -> Status {
    let said = goaway.map_or_else(|| "GOAWAY".to_owned(), GoAway::to_string);
    Status::unavailable(format!("the server at {peer} takes no more calls: it sent {said}"))
}

/// What a call waits for that has begun, and that its server has no place for yet.
pub(super) fn place(peer: &Peer) -> String {
    format!("it waited for a place among the calls that the server at {peer} takes at once")
}

/// What a call waits for that its server has.
pub(super) fn end(peer: &Peer) -> String {
    format!("the server at {peer} had not ended it")
}

/// This end takes no more calls.
pub(super) fn closing(peer: &Peer) -> Status {
    Status::unavailable(format!("the connection to {peer} is being closed by this client"))
}

/// The connection was not used.
pub(super) fn idle(peer: &Peer) -> Status {
    Status::unavailable(format!(
        "the connection to {peer} had no calls for long, and is being closed"
    ))
}

/// This end has closed the connection.
pub(super) fn aborted(peer: &Peer) -> Status {
    Status::unavailable(format!("the connection to {peer} was closed by this client"))
}

/// A connection has so many streams, and no more.
pub(super) fn used_up(peer: &Peer) -> Status {
    Status::unavailable(format!("the connection to {peer} has had all the calls that it can carry"))
}

/// A turn of the connection panicked.
pub(super) fn panicked(peer: &Peer) -> Status {
    Status::internal(format!("the connection to {peer} is closed, since a panic met it"))
}

fn not_http_2(peer: &Peer, error: h2::Error) -> Status {
    Status::unavailable(format!("the server at {peer} broke the rules of HTTP/2: {error}"))
        .with_source(error)
}

/// The server has not sent its SETTINGS in time.
pub(super) fn no_settings(peer: &Peer, traffic: &Traffic) -> Status {
    let text = answered(peer, &traffic.beginning()).unwrap_or_else(|| {
        format!("the server at {peer} has accepted the connection, and sent no HTTP/2 SETTINGS")
    });
    Status::unavailable(format!("{text}; the time to connect is over"))
}

/// The server does not answer the keepalive's PING.
pub(super) fn no_pong(peer: &Peer) -> Status {
    Status::unavailable(format!("nothing came from {peer} after a keepalive PING; it may be gone"))
}

/// A connection that has failed did not close in time.
pub(super) fn stuck(peer: &Peer, traffic: &Traffic) -> Status {
    Status::unavailable(match traffic.broken() {
        Some(error) => format!("the connection to {peer} was lost: {error}"),
        None => format!("the connection to {peer} failed, and its server reads no more"),
    })
}

/// How a connection ended, of which h2 says this.
pub(super) fn end_of(result: Result<(), h2::Error>, peer: &Peer, traffic: &Traffic) -> Status {
    if !traffic.is_greeted() {
        return before_settings(result, peer, &traffic.beginning());
    }
    if let Some(goaway) = traffic.goaway() {
        let lost = result.err().filter(h2::Error::is_io).map(|error| format!(": {error}"));
        let lost = lost.unwrap_or_default();
        let text = format!("the server at {peer} ended the connection with {goaway}{lost}");
        return Status::unavailable(text);
    }
    match result {
        Ok(()) => Status::unavailable(format!("the server at {peer} closed the connection")),
        Err(error) if error.is_io() => {
            Status::unavailable(format!("the connection to {peer} was lost: {error}"))
                .with_source(error)
        }
        Err(error) => not_http_2(peer, error),
    }
}

fn before_settings(result: Result<(), h2::Error>, peer: &Peer, beginning: &[u8]) -> Status {
    if let Some(text) = answered(peer, beginning) {
        return Status::unavailable(text);
    }
    match result {
        Err(error) if !error.is_io() => not_http_2(peer, error),
        result => {
            let cause = result.err().map_or_else(String::new, |error| format!(": {error}"));
            Status::unavailable(format!(
                "the server at {peer} closed the connection before it sent HTTP/2 SETTINGS{cause}",
            ))
        }
    }
}

/// What a server says that does not speak HTTP/2; `None` if it may, or says nothing.
fn answered(peer: &Peer, beginning: &[u8]) -> Option<String> {
    /// The type of a frame.
    const TYPE: usize = 3;
    const SETTINGS: u8 = 4;
    if beginning.is_empty() || beginning.get(TYPE).is_none_or(|kind| *kind == SETTINGS) {
        return None;
    }
    let line = beginning.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    // A record of the type "alert" or "handshake", of a version 3.x (RFC 8446, section 5.1).
    let is_tls = matches!(beginning, [0x15 | 0x16, 3, ..]);
    let hint = if is_tls { ", which is TLS" } else { "" };
    let line = line.escape_ascii();
    Some(format!("the server at {peer} does not speak HTTP/2: it answered \"{line}\"{hint}"))
}

#[cfg(test)]
mod tests {
    use super::{Fate, answered, fate_of};
    use crate::iomgr::Peer;
    use crate::status::Code;
    use h2::Reason;

    #[test]
    fn what_is_not_http_2_is_shown() {
        let answered = |bytes: &[u8]| answered(&Peer::in_process(), bytes);
        let says = |what: &str| {
            Some(format!("the server at inproc does not speak HTTP/2: it answered {what}"))
        };
        let http_1 = b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n";
        assert_eq!(answered(http_1), says("\"HTTP/1.1 400 Bad Request\""));
        assert_eq!(
            answered(b"\x15\x03\x01\x00\x02"),
            says("\"\\x15\\x03\\x01\\x00\\x02\", which is TLS")
        );
        assert_eq!(answered(b"220 \"smtp\""), says("\"220 \\\"smtp\\\"\""));
        // The beginning of SETTINGS, and what may become it.
        assert_eq!(answered(b"\0\0\x06\x04\0"), None);
        assert_eq!(answered(b"\0\0"), None);
        assert_eq!(answered(b""), None);
    }

    #[test]
    fn each_reason_has_its_code() {
        let table = [
            (Reason::NO_ERROR, Code::Internal),
            (Reason::PROTOCOL_ERROR, Code::Internal),
            (Reason::INTERNAL_ERROR, Code::Internal),
            (Reason::FLOW_CONTROL_ERROR, Code::Internal),
            (Reason::SETTINGS_TIMEOUT, Code::Internal),
            (Reason::FRAME_SIZE_ERROR, Code::Internal),
            (Reason::COMPRESSION_ERROR, Code::Internal),
            (Reason::CONNECT_ERROR, Code::Internal),
            (Reason::HTTP_1_1_REQUIRED, Code::Internal),
            (Reason::REFUSED_STREAM, Code::Unavailable),
            (Reason::CANCEL, Code::Cancelled),
            (Reason::ENHANCE_YOUR_CALM, Code::ResourceExhausted),
            (Reason::INADEQUATE_SECURITY, Code::PermissionDenied),
        ];
        for (reason, code) in table {
            let fate = fate_of(reason.into(), &Peer::in_process(), None);
            let Fate::Ended(ended) = fate else { panic!("{reason:?} ends one stream") };
            assert_eq!(ended.status.code(), code, "{reason:?}");
        }
    }
}
