//! From an HTTP/2 request to a gRPC call, or to the answer that says why it is none.

use super::{Config, timeout};
use crate::compression::{Encoding, Encodings};
use crate::iomgr::Peer;
use crate::metadata::{self, Metadata};
use crate::status::{Code, Status};
use crate::transport::{Head, shown};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use std::sync::Arc;
use std::time::Duration;

/// The content type of every answer.
pub(super) const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

pub(super) const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
pub(super) const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// Why a request is no call: a complete answer, without a body.
#[derive(Debug)]
pub(in crate::transport) struct Refusal {
    http: StatusCode,
    status: Status,
    /// For an encoding that is not known: those that are.
    accept_encoding: Option<HeaderValue>,
}

impl Refusal {
    fn new(http: StatusCode, status: Status) -> Self {
        Self { http, status, accept_encoding: None }
    }

    /// The answer: a "Trailers-Only" response of PROTOCOL-HTTP2.
    pub(in crate::transport) fn into_response(self) -> Response<()> {
        let mut response = trailers_only(self.status);
        *response.status_mut() = self.http;
        if let Some(encodings) = self.accept_encoding {
            response.headers_mut().insert(GRPC_ACCEPT_ENCODING, encodings);
        }
        response
    }
}

/// A response that is nothing but its status.
pub(in crate::transport) fn trailers_only(status: Status) -> Response<()> {
    let mut response = Response::new(());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, GRPC);
    status.write_to(headers);
    response
}

/// The head of a response that has messages, or may have some. `accepts` is for the client's next
/// requests.
pub(in crate::transport) fn answer(
    metadata: Metadata,
    encoding: Option<Encoding>,
    accepts: Encodings,
) -> Response<()> {
    let mut response = Response::new(());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, GRPC);
    if let Some(encoding) = encoding {
        headers.insert(GRPC_ENCODING, HeaderValue::from_static(encoding.name()));
    }
    // So that the client may compress its next requests. HPACK makes a byte of it.
    if !accepts.is_empty() {
        headers.insert(GRPC_ACCEPT_ENCODING, HeaderValue::from_static(accepts.names()));
    }
    metadata.append_to(headers);
    response
}

/// Reads a request's head.
///
/// # Errors
/// The answer that its client gets, if it is not gRPC as PROTOCOL-HTTP2 has it.
pub(in crate::transport) fn read_head<B>(
    request: Request<B>,
    peer: &Arc<Peer>,
    config: &Config,
) -> Result<(Head, B), Box<Refusal>> {
    let (parts, body) = request.into_parts();
    check_method(&parts.method)?;
    let fields = Fields::of(&parts.headers);
    let subtype = read_content_type(fields.content_type)?;
    check_te(fields.has_te_trailers)?;
    check_size(fields.size + pseudo_size(&parts.method, &parts.uri), config.max_metadata_size)?;
    let encoding = read_encoding(fields.encoding, config.accepts)?;
    check_binary(&parts.headers)?;
    let timeout = read_timeout(fields.timeout)?;
    let uri = parts.uri.into_parts();
    let path = uri.path_and_query.unwrap_or_else(|| http::uri::PathAndQuery::from_static("/"));
    let head = Head {
        path,
        authority: uri.authority,
        metadata: Metadata::from_headers(parts.headers),
        subtype,
        timeout,
        encoding,
        peer: peer.clone(),
    };
    Ok((head, body))
}

/// What gRPC wants to know of a request's headers, found in one pass: looking up each by its name
/// costs twice as much, above all for those that are not there. Of several values the first counts.
#[derive(Default)]
struct Fields<'a> {
    content_type: Option<&'a HeaderValue>,
    has_te_trailers: bool,
    encoding: Option<&'a HeaderValue>,
    timeout: Option<&'a HeaderValue>,
    /// As RFC 9113 section 6.5.2 counts it, without the pseudo-headers, which the map does not hold.
    size: usize,
}

impl<'a> Fields<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        let mut fields = Self::default();
        for (name, value) in headers {
            fields.size += metadata::wire_size(name, value);
            let field = match name.as_str() {
                "content-type" => &mut fields.content_type,
                "grpc-encoding" => &mut fields.encoding,
                "grpc-timeout" => &mut fields.timeout,
                "te" => {
                    fields.has_te_trailers |= value.as_bytes().eq_ignore_ascii_case(b"trailers");
                    continue;
                }
                _ => continue,
            };
            field.get_or_insert(value);
        }
        fields
    }
}

/// The size of the pseudo-headers, counted like that of the others.
fn pseudo_size(method: &Method, uri: &Uri) -> usize {
    let of = |name: &str, length: usize| name.len() + length + metadata::ENTRY_OVERHEAD;
    let path = uri.path_and_query().map_or(0, |it| it.as_str().len());
    let scheme = uri.scheme_str().map_or(0, |it| of(":scheme", it.len()));
    let authority = uri.authority().map_or(0, |it| of(":authority", it.as_str().len()));
    of(":method", method.as_str().len()) + of(":path", path) + scheme + authority
}

type Check = Result<(), Box<Refusal>>;

fn refuse<T>(http: StatusCode, code: Code, message: String) -> Result<T, Box<Refusal>> {
    Err(Box::new(Refusal::new(http, Status::new(code, message))))
}

fn check_method(method: &Method) -> Check {
    if method == Method::POST {
        return Ok(());
    }
    let message = format!("a gRPC request is a POST, and this is a {}", shown(method.as_str()));
    refuse(StatusCode::METHOD_NOT_ALLOWED, Code::Internal, message)
}

/// "Content-Type → "content-type" "application/grpc" [("+proto" / "+json" / {custom})]". Gives what
/// follows the plus, if it is that.
pub(super) fn subtype_of(value: &[u8]) -> Option<Option<Box<str>>> {
    const KNOWN: &[u8] = b"application/grpc";
    let (start, rest) = value.split_at_checked(KNOWN.len())?;
    if !start.eq_ignore_ascii_case(KNOWN) {
        return None;
    }
    match rest {
        // Space may come before a parameter (RFC 9110, section 5.6.6), and not before a plus.
        rest if matches!(rest.trim_ascii_start(), [] | [b';', ..]) => Some(None),
        [b'+', subtype @ ..] => {
            let subtype = subtype.split(|byte| *byte == b';').next().unwrap_or_default();
            let subtype = String::from_utf8_lossy(subtype.trim_ascii()).to_ascii_lowercase();
            Some(Some(subtype.into_boxed_str()))
        }
        _ => None,
    }
}

/// 415 for what is not gRPC's, so that a client that is not gRPC sees an HTTP error.
fn read_content_type(value: Option<&HeaderValue>) -> Result<Option<Box<str>>, Box<Refusal>> {
    let value = value.map_or(&b""[..], HeaderValue::as_bytes);
    if let Some(subtype) = subtype_of(value) {
        return Ok(subtype);
    }
    let message = if value.is_empty() {
        "the request has no content-type; gRPC's is application/grpc".to_owned()
    } else {
        let value = String::from_utf8_lossy(value);
        let value = shown(&value);
        format!("the request's content-type is {value:?}; gRPC's is application/grpc")
    };
    refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, message)
}

/// "TE → "te" "trailers" # Used to detect incompatible proxies".
fn check_te(has_trailers: bool) -> Check {
    if has_trailers {
        return Ok(());
    }
    let message = "the request has no te: trailers; a proxy that drops it may drop the trailers \
                   with the status too"
        .to_owned();
    refuse(StatusCode::OK, Code::Internal, message)
}

fn check_size(size: usize, limit: usize) -> Check {
    if size <= limit {
        return Ok(());
    }
    let message = format!(
        "the request's metadata is larger than max ({size} vs. {limit} bytes, counted as in \
         RFC 9113 section 6.5.2)",
    );
    refuse(StatusCode::OK, Code::ResourceExhausted, message)
}

/// "If a client message is compressed by an algorithm that is not supported by a server, the
/// message will result in an UNIMPLEMENTED error status on the server" (compression.md), with those
/// that are. It makes no difference whether the encoding is unknown or not wanted.
fn read_encoding(
    encoding: Option<&HeaderValue>,
    accepts: Encodings,
) -> Result<Option<Encoding>, Box<Refusal>> {
    let Some(encoding) = encoding else { return Ok(None) };
    if encoding.as_bytes() == b"identity" {
        return Ok(None);
    }
    let known = Encoding::from_name(encoding.as_bytes());
    if let Some(known) = known.filter(|encoding| accepts.has(*encoding)) {
        return Ok(Some(known));
    }
    let encoding = String::from_utf8_lossy(encoding.as_bytes());
    let encoding = shown(&encoding);
    let names = accepts.names();
    let status = Status::unimplemented(format!(
        "messages are encoded as {encoding:?}, which this server does not take; it takes {names}",
    ));
    let mut refusal = Refusal::new(StatusCode::OK, status);
    refusal.accept_encoding = Some(HeaderValue::from_static(names));
    Err(Box::new(refusal))
}

/// "Binary-Header": a value that no application could read is a sender's mistake, and better named
/// than kept.
fn check_binary(headers: &HeaderMap) -> Check {
    metadata::check_binary(headers)
        .or_else(|error| refuse(StatusCode::OK, Code::Internal, error.to_string()))
}

fn read_timeout(value: Option<&HeaderValue>) -> Result<Option<Duration>, Box<Refusal>> {
    let Some(value) = value else { return Ok(None) };
    timeout::parse(value.as_bytes())
        .map(Some)
        .or_else(|error| refuse(StatusCode::OK, Code::Internal, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::{Config, Fields, read_content_type, read_head};
    use crate::iomgr::Peer;
    use http::Request;
    use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, TE};
    use std::sync::Arc;

    #[test]
    fn the_size_counts_every_value_and_the_first_value_counts() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("te", "trailers"), ("x-a", "1"), ("x-a", "22")] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let fields = Fields::of(&headers);
        assert_eq!(fields.size, (2 + 8 + 32) + (3 + 1 + 32) + (3 + 2 + 32));
        assert!(fields.has_te_trailers);
        assert_eq!((fields.content_type, fields.encoding, fields.timeout), (None, None, None));

        headers.append(CONTENT_TYPE, HeaderValue::from_static("first"));
        headers.append(CONTENT_TYPE, HeaderValue::from_static("second"));
        assert_eq!(Fields::of(&headers).content_type.unwrap(), "first");
    }

    /// Reads a request of which only the sizes are wrong, with this limit.
    fn read(request: Request<()>, max_metadata_size: usize) -> Result<(), String> {
        let config = Config { max_metadata_size, ..Config::default() };
        let peer = Arc::new(Peer::in_process());
        let head = read_head(request, &peer, &config);
        head.map(drop).map_err(|refusal| refusal.status.to_string())
    }

    #[test]
    fn pseudo_headers_count_as_metadata() {
        let request = |uri: &str| {
            let request = Request::post(uri).header(TE, "trailers");
            request.header(CONTENT_TYPE, "application/grpc").body(()).unwrap()
        };
        let (te, content_type) = (2 + 8 + 32, 12 + 16 + 32);
        let (method, path) = (7 + 4 + 32, 5 + 4 + 32);
        let size = te + content_type + method + path;
        assert_eq!(read(request("/a/b"), size), Ok(()));
        let error = read(request("/a/bc"), size).unwrap_err();
        assert!(error.contains(&format!("{} vs. {size}", size + 1)), "{error}");

        let size = size + (7 + 4 + 32) + (10 + 6 + 32);
        assert_eq!(read(request("http://host:1/a/b"), size), Ok(()));
        let error = read(request("http://host:12/a/b"), size).unwrap_err();
        assert!(error.contains(&format!("{} vs. {size}", size + 1)), "{error}");
    }

    #[test]
    fn what_follows_the_content_type_may_have_spaces_around_it() {
        let read = |text: &str| {
            let subtype = read_content_type(Some(&HeaderValue::from_str(text).unwrap()));
            subtype.map_err(|refusal| refusal.http.as_u16())
        };
        for text in ["", ";x=1", " ;x=1", "\t ; x=1", " "] {
            assert_eq!(read(&format!("application/grpc{text}")), Ok(None), "{text:?}");
        }
        for text in ["+json", "+json;x=1", "+json ;x=1", "+JSON ; x=1", "+json "] {
            let subtype = Ok(Some("json".into()));
            assert_eq!(read(&format!("application/grpc{text}")), subtype, "{text:?}");
        }
        for text in [" +json", " x", "x ;x=1", "-web"] {
            assert_eq!(read(&format!("application/grpc{text}")), Err(415), "{text:?}");
        }
    }

    #[test]
    fn any_of_several_te_may_be_the_trailers() {
        let mut headers = HeaderMap::new();
        headers.append(TE, HeaderValue::from_static("gzip"));
        assert!(!Fields::of(&headers).has_te_trailers);
        headers.append(TE, HeaderValue::from_static("Trailers"));
        assert!(Fields::of(&headers).has_te_trailers);
    }
}
