//! From a call's request to HTTP/2's. Pure.

use super::config::{ClientConfig, USER_AGENT};
use crate::metadata::Metadata;
use crate::status::Status;
use crate::transport::Request;
use crate::transport::h2::request::{GRPC, GRPC_ACCEPT_ENCODING, GRPC_ENCODING};
use crate::transport::h2::timeout;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE, USER_AGENT as NAME};
use http::uri::{Parts, Scheme, Uri};
use std::time::Duration;

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The request's head, in the order of PROTOCOL-HTTP2 ("Requests"): what a call is, then what its
/// application adds.
///
/// # Errors
/// INTERNAL, if it cannot be written.
pub(in crate::transport) fn head_of(
    request: Request,
    config: &ClientConfig,
) -> Result<http::Request<()>, Status> {
    let Request { path, authority, mut metadata, subtype, timeout, encoding, accepts } = request;
    let mut uri = Parts::default();
    uri.scheme = Some(Scheme::HTTP);
    uri.authority = Some(authority);
    uri.path_and_query = Some(path);
    let uri = Uri::from_parts(uri)
        .map_err(|error| Status::internal(format!("the path and the authority: {error}")))?;
    let mut headers = HeaderMap::new();
    headers.insert(TE, HeaderValue::from_static("trailers"));
    if let Some(timeout) = timeout {
        headers.insert(GRPC_TIMEOUT, timeout_value(timeout));
    }
    headers.insert(CONTENT_TYPE, content_type(subtype.as_deref())?);
    if let Some(encoding) = encoding {
        headers.insert(GRPC_ENCODING, HeaderValue::from_static(encoding.name()));
    }
    if !accepts.is_empty() {
        headers.insert(GRPC_ACCEPT_ENCODING, HeaderValue::from_static(accepts.names()));
    }
    let user_agent = user_agent_of(&mut metadata).unwrap_or_else(|| config.user_agent.clone());
    headers.insert(NAME, user_agent);
    metadata.append_to(&mut headers);
    let mut head = http::Request::new(());
    *head.method_mut() = http::Method::POST;
    *head.uri_mut() = uri;
    *head.headers_mut() = headers;
    Ok(head)
}

/// The call has waited, and less of its time is left.
pub(super) fn set_timeout(head: &mut http::Request<()>, timeout: Duration) {
    if let Some(value) = head.headers_mut().get_mut(GRPC_TIMEOUT) {
        *value = timeout_value(timeout);
    }
}

fn timeout_value(timeout: Duration) -> HeaderValue {
    // Digits and a letter are always a value.
    HeaderValue::try_from(timeout::format(timeout)).unwrap_or(HeaderValue::from_static("0n"))
}

fn content_type(subtype: Option<&str>) -> Result<HeaderValue, Status> {
    let Some(subtype) = subtype else { return Ok(GRPC) };
    HeaderValue::try_from(format!("application/grpc+{subtype}"))
        .map_err(|_| Status::internal(format!("no content-type can end in {subtype:?}")))
}

/// What one call's application calls itself, before what the library is.
fn user_agent_of(metadata: &mut Metadata) -> Option<HeaderValue> {
    let value = format!("{} {USER_AGENT}", metadata.get("user-agent")?);
    metadata.remove("user-agent");
    HeaderValue::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::{head_of, set_timeout};
    use crate::compression::Encodings;
    use crate::metadata::Metadata;
    use crate::transport::Request;
    use crate::transport::h2::client::config::{ClientConfig, USER_AGENT, user_agent};
    use std::time::Duration;

    fn request() -> Request {
        let mut metadata = Metadata::new();
        metadata.insert("x-first", "1").unwrap();
        metadata.insert_bin("x-second-bin", &[255, 0]).unwrap();
        Request {
            path: "/test.Test/Test".parse().unwrap(),
            authority: "server:80".parse().unwrap(),
            metadata,
            subtype: Some("json".into()),
            timeout: Some(Duration::from_millis(1500)),
            encoding: None,
            accepts: Encodings::default(),
        }
    }

    fn fields(head: &http::Request<()>) -> Vec<(&str, &str)> {
        let headers = head.headers().iter();
        headers.map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect()
    }

    #[test]
    fn a_head_is_in_the_order_of_the_document() {
        let head = head_of(request(), &ClientConfig::default()).unwrap();
        assert_eq!(head.method(), "POST");
        assert_eq!(head.uri(), "http://server:80/test.Test/Test");
        let expected = [
            ("te", "trailers"),
            ("grpc-timeout", "1500000u"),
            ("content-type", "application/grpc+json"),
            ("user-agent", USER_AGENT),
            ("x-first", "1"),
            ("x-second-bin", "/wA"),
        ];
        assert_eq!(fields(&head), expected);
    }

    #[test]
    fn a_timeout_can_be_set_again_in_its_place() {
        let mut head = head_of(request(), &ClientConfig::default()).unwrap();
        set_timeout(&mut head, Duration::from_millis(7));
        assert_eq!(fields(&head)[1], ("grpc-timeout", "7000000n"));
        let request = Request { timeout: None, ..request() };
        let mut head = head_of(request, &ClientConfig::default()).unwrap();
        set_timeout(&mut head, Duration::from_millis(7));
        assert!(!head.headers().contains_key("grpc-timeout"));
    }

    #[test]
    fn an_application_can_call_itself_something() {
        let agent = user_agent("shop/7").unwrap();
        assert_eq!(agent, format!("shop/7 {USER_AGENT}").as_str());
        assert!(user_agent("tab\t").is_err());
        let config = ClientConfig { user_agent: agent, ..ClientConfig::default() };
        let mut request = request();
        request.metadata.insert("user-agent", "cart/1").unwrap();
        let head = head_of(request, &config).unwrap();
        let agents: Vec<_> = head.headers().get_all("user-agent").iter().collect();
        assert_eq!(agents, [format!("cart/1 {USER_AGENT}").as_str()]);
    }

    #[test]
    fn a_subtype_that_is_no_header_is_refused() {
        let request = Request { subtype: Some("a\nb".into()), ..request() };
        let error = head_of(request, &ClientConfig::default()).unwrap_err();
        assert_eq!(error.to_string(), "INTERNAL: no content-type can end in \"a\\nb\"");
    }
}
