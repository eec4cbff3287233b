//! From an HTTP/2 response to what a gRPC server says, or to the status that says what is wrong with
//! it. Pure.
//!
//! A client's peer is any server, and what stands before it: a proxy answers with HTTP errors of its
//! own, in HTML. So each status names what came, and from where.

use super::request::{GRPC_ENCODING, subtype_of};
use crate::compression::{Encoding, Encodings};
use crate::iomgr::Peer;
use crate::metadata::{self, InvalidMetadata, Metadata};
use crate::status::{Code, GRPC_STATUS, Status};
use crate::transport::{Answer, shown};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{StatusCode, response};
use std::fmt::Write as _;

/// What `:status` counts as metadata.
pub(in crate::transport) const PSEUDO_SIZE: usize =
    ":status".len() + "200".len() + metadata::ENTRY_OVERHEAD;

/// Reads a response's head. `is_last` says that the stream has ended with it.
///
/// # Errors
/// How the call ended: with the status that a "Trailers-Only" response of PROTOCOL-HTTP2 has, or with
/// one that says what is wrong.
pub(in crate::transport) fn read_head(
    head: response::Parts,
    is_last: bool,
    accepts: Encodings,
    max_metadata_size: usize,
    server: &Peer,
) -> Result<Answer, Status> {
    let headers = head.headers;
    // "If grpc-status was provided, it must be used" (http-grpc-status-mapping.md).
    if (is_last || head.status != StatusCode::OK) && headers.contains_key(GRPC_STATUS) {
        return Err(read_status(headers, PSEUDO_SIZE, max_metadata_size, server));
    }
    if head.status != StatusCode::OK {
        return Err(of_http(head.status, &headers, server));
    }
    check_content_type(&headers, server)?;
    if is_last {
        let text = format!("the server at {server} ended the call without a grpc-status");
        return Err(Status::unknown(text));
    }
    let what = "initial metadata";
    check_size(what, PSEUDO_SIZE + size_of(&headers), max_metadata_size, server)?;
    metadata::check_binary(&headers)
        .map_err(|error| Status::internal(misspelt(what, server, &error)))?;
    let encoding = read_encoding(headers.get(GRPC_ENCODING), accepts, server)?;
    Ok(Answer { metadata: Metadata::from_headers(headers), encoding })
}

/// Reads what comes behind the messages: `None` if the stream has ended without.
pub(super) fn read_trailers(
    trailers: Option<HeaderMap>,
    max_metadata_size: usize,
    server: &Peer,
) -> Status {
    match trailers {
        Some(trailers) => read_status(trailers, 0, max_metadata_size, server),
        None => Status::unknown(format!(
            "the server at {server} ended the call without trailers, and so no grpc-status",
        )),
    }
}

/// A status that is there, or what is wrong with it. What `more` counts is not in the map.
pub(in crate::transport) fn read_status(
    mut headers: HeaderMap,
    more: usize,
    max_metadata_size: usize,
    server: &Peer,
) -> Status {
    let what = "trailing metadata";
    let size = check_size(what, more + size_of(&headers), max_metadata_size, server);
    let binary = metadata::check_binary(&headers);
    let fault = fault_of_status(&headers, server);
    let Some(status) = Status::from_headers(&mut headers) else {
        return Status::unknown(format!(
            "the trailers of the server at {server} have no grpc-status"
        ));
    };
    if let Err(fault) = size {
        return Status::new(fault.code(), format!("{}; {}", fault.message(), told(&status)));
    }
    if let Some(fault) = fault {
        let mut text = fault;
        if !status.message().is_empty() {
            // Writing to a string does not fail.
            let _ = write!(text, "; the message with it: {}", status.message());
        }
        let details = Bytes::copy_from_slice(status.details());
        let trailing = status.metadata().cloned().unwrap_or_default();
        return Status::unknown(text).with_details(details).with_metadata(trailing);
    }
    match binary {
        // An error must not become a second one because its metadata was misspelt.
        Err(error) if status.is_ok() => Status::internal(misspelt(what, server, &error)),
        _ => status,
    }
}

fn misspelt(what: &str, server: &Peer, error: &InvalidMetadata) -> String {
    format!("the {what} of the server at {server}: {error}")
}

/// What the status of a call was that ends with another.
fn told(status: &Status) -> String {
    let text = status.to_string();
    format!("the status with it: {}", shown(&text))
}

/// Why a `grpc-status` that is there is none.
fn fault_of_status(headers: &HeaderMap, server: &Peer) -> Option<String> {
    let mut values = headers.get_all(GRPC_STATUS).iter();
    let first = values.next()?;
    if let Some(other) = values.find(|value| *value != first) {
        let (first, other) = (quoted(first), quoted(other));
        return Some(format!(
            "the server at {server} sent two statuses: grpc-status is {first} and {other}"
        ));
    }
    // `str::parse` takes a sign, and that of a zero would make an OK of it.
    let digits = first.to_str().ok().filter(|it| it.bytes().all(|byte| byte.is_ascii_digit()));
    match digits.and_then(|digits| digits.parse::<i32>().ok()) {
        Some(code) if Code::from_i32(code) as i32 == code => None,
        _ => Some(format!(
            "the grpc-status of the server at {server} is {}, which is no code",
            quoted(first)
        )),
    }
}

/// What an HTTP error means that no gRPC server has made ("HTTP to gRPC Status Code Mapping").
fn of_http(http: StatusCode, headers: &HeaderMap, server: &Peer) -> Status {
    let code = match http.as_u16() {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502 | 503 | 504 => Code::Unavailable,
        _ => Code::Unknown,
    };
    let content_type = headers.get(CONTENT_TYPE).map_or_else(
        || "no content-type".to_owned(),
        |value| format!("content-type {}", quoted(value)),
    );
    let text = format!(
        "the server at {server} answered HTTP {http}, without a grpc-status ({content_type})"
    );
    Status::new(code, text)
}

fn check_content_type(headers: &HeaderMap, server: &Peer) -> Result<(), Status> {
    match headers.get(CONTENT_TYPE) {
        Some(value) if subtype_of(value.as_bytes()).is_some() => Ok(()),
        Some(value) => Err(Status::unknown(format!(
            "the content-type of the server at {server} is {}; gRPC's is application/grpc",
            quoted(value),
        ))),
        None => Err(Status::unknown(format!(
            "the server at {server} answered without a content-type; gRPC's is application/grpc",
        ))),
    }
}

fn size_of(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| metadata::wire_size(name, value)).sum()
}

fn check_size(what: &str, size: usize, limit: usize, server: &Peer) -> Result<(), Status> {
    if size <= limit {
        return Ok(());
    }
    Err(Status::resource_exhausted(format!(
        "the {what} of the server at {server} is larger than max ({size} vs. {limit} bytes, counted as \
         in RFC 9113 section 6.5.2)",
    )))
}

/// "If a server sent data which is compressed by an algorithm that is not supported by the client, an
/// INTERNAL error status will occur on the client side" (compression.md).
fn read_encoding(
    encoding: Option<&HeaderValue>,
    accepts: Encodings,
    server: &Peer,
) -> Result<Option<Encoding>, Status> {
    let Some(encoding) = encoding.filter(|value| *value != "identity") else { return Ok(None) };
    let known = Encoding::from_name(encoding.as_bytes());
    match known.filter(|encoding| accepts.has(*encoding)) {
        Some(encoding) => Ok(Some(encoding)),
        None => Err(Status::internal(format!(
            "the messages of the server at {server} are encoded as {}, which was not asked for; this call \
             takes {}",
            quoted(encoding),
            accepts.names(),
        ))),
    }
}

/// A value as a message shows it.
fn quoted(value: &HeaderValue) -> String {
    let text = String::from_utf8_lossy(value.as_bytes());
    format!("{:?}", shown(&text))
}

#[cfg(all(test, not(turnstile_loom)))]
mod tests;
