//! What the ends of a call tell each other besides messages, as they would read it over HTTP/2. Pure.

use super::Config;
use crate::compression::{Encoding, Encodings};
use crate::iomgr::Peer;
use crate::metadata::Metadata;
use crate::status::Status;
use crate::transport::h2::{self, ClientConfig};
use crate::transport::{Answer, Head, Request};
use http::HeaderMap;
use std::sync::Arc;

/// What becomes of a request.
pub(super) enum Arrives {
    Call(Head),
    /// The server answers this, and nobody is told of a call.
    Refused(Status),
}

/// What the server makes of a request.
///
/// # Errors
/// INTERNAL, if the request cannot be written.
pub(super) fn send_request(
    request: Request,
    config: &Config,
    peer: &Arc<Peer>,
) -> Result<Arrives, Status> {
    let request = h2::head_of(request, &config.client)?;
    Ok(match h2::read_request(request, peer, &config.server) {
        Ok((head, ())) => Arrives::Call(head),
        Err(refusal) => {
            let headers = refusal.into_response().into_parts().0.headers;
            let max = config.client.max_metadata_size;
            Arrives::Refused(h2::read_status(headers, h2::ANSWER_PSEUDO_SIZE, max, peer))
        }
    })
}

/// What the client makes of initial metadata.
///
/// # Errors
/// What is wrong with it: how the call ends.
pub(super) fn send_answer(
    metadata: Metadata,
    encoding: Option<Encoding>,
    config: &Config,
    accepts: Encodings,
) -> Result<Answer, Status> {
    let (head, ()) = h2::answer(metadata, encoding, config.server.accepts).into_parts();
    let max = config.client.max_metadata_size;
    h2::read_answer(head, false, accepts, max, &Peer::in_process())
}

/// What the client makes of a status, which `is_alone` if no initial metadata was sent before.
pub(super) fn send_status(status: Status, is_alone: bool, config: &ClientConfig) -> Status {
    let max = config.max_metadata_size;
    if is_plain(&status, max) {
        // What stays with the server is not the application's data either.
        return status.without_leftovers();
    }
    if is_alone {
        let headers = h2::trailers_only(status).into_parts().0.headers;
        return h2::read_status(headers, h2::ANSWER_PSEUDO_SIZE, max, &Peer::in_process());
    }
    let mut trailers = HeaderMap::new();
    status.write_to(&mut trailers);
    h2::read_status(trailers, 0, max, &Peer::in_process())
}

/// Whether a status arrives as it is: nearly every one does, and is spared the map.
fn is_plain(status: &Status, max: usize) -> bool {
    /// What the names, the code and an answer's other headers take, generously.
    const REST: usize = 512;
    /// A byte that is escaped has as many.
    const ESCAPED: usize = 3;
    let message = status.message().len().saturating_mul(ESCAPED);
    let is_short = message.saturating_add(REST) <= max;
    is_short && status.metadata().is_none() && status.details().is_empty()
}

#[cfg(test)]
mod tests {
    use super::{is_plain, send_status};
    use crate::metadata::Metadata;
    use crate::status::{Code, Status};
    use crate::transport::h2::ClientConfig;
    use std::error::Error as _;

    fn sent(status: Status) -> [Status; 2] {
        [true, false]
            .map(|is_alone| send_status(status.clone(), is_alone, &ClientConfig::default()))
    }

    #[test]
    fn a_status_arrives_whole_but_for_its_source() {
        let mut trailing = Metadata::new();
        trailing.insert_bin("key-bin", &[0, 255]).unwrap();
        let source = std::io::Error::other("secret");
        let plain = Status::aborted(" 100 % ü\n").with_source(source);
        assert!(is_plain(&plain, 16 * 1024));
        let rich = plain.clone().with_metadata(trailing).with_details((&b"details"[..]).into());
        assert!(!is_plain(&rich, 16 * 1024));
        for status in sent(plain).into_iter().chain(sent(rich.clone())) {
            assert_eq!((status.code(), status.message()), (Code::Aborted, " 100 % ü\n"));
            assert!(status.source().is_none());
        }
        for status in sent(rich) {
            let key = status.metadata().unwrap().get_bin("key-bin").unwrap().unwrap();
            assert_eq!((status.details(), &*key), (&b"details"[..], &[0, 255][..]));
        }
    }

    #[test]
    fn a_status_over_the_limit_is_resource_exhausted_and_says_what_it_was() {
        for message in ["x".repeat(20_000), "ü".repeat(3_000)] {
            for status in sent(Status::not_found(message)) {
                assert_eq!(status.code(), Code::ResourceExhausted);
                assert!(status.message().contains("NOT_FOUND"), "{status}");
            }
        }
    }
}
