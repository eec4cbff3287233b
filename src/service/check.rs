//! What must be so of a method before anybody serves it. What is not is an error of the server's
//! build: calls would not come, or would lose messages.

use super::descriptor::MethodKind;
use super::handler::Style;
use crate::error::Error;
use http::uri::PathAndQuery;

/// Whether a request can have this text as its `:path` (RFC 9113 section 8.3.1), all of it.
pub(crate) fn is_path(text: &str) -> bool {
    let path = PathAndQuery::try_from(text);
    text.starts_with('/') && path.is_ok_and(|path| path.as_str() == text)
}

/// Looks whether calls of a method can reach its service.
///
/// # Errors
/// What its path must be.
pub(super) fn check_path(service: &str, path: &str) -> Result<(), Error> {
    let method = path.strip_prefix('/').and_then(|rest| rest.strip_prefix(service));
    let method = method.and_then(|rest| rest.strip_prefix('/')).unwrap_or_default();
    if !method.is_empty() && !method.contains('/') && is_path(path) {
        return Ok(());
    }
    Err(Error::config(format!(
        "the method {path:?} was added to the service {service}, whose methods have paths like \
         \"/{service}/Method\"; make its descriptor with such a path",
    )))
}

/// Looks whether the handler of a method takes and gives as many messages as the method has.
///
/// # Errors
/// Which function the method was added by, and which is right.
pub(super) fn check_kind(
    service: &str,
    path: &str,
    kind: MethodKind,
    added_as: (MethodKind, Style),
) -> Result<(), Error> {
    let (kind_of_handler, style) = added_as;
    if kind == kind_of_handler {
        return Ok(());
    }
    let (used, right) = (function(kind_of_handler, style), function(kind, style));
    Err(Error::config(format!(
        "the method {path} was added to the service {service} by {used}, whose handlers take or give \
         other numbers of messages than it has; add it by {right}",
    )))
}

/// The name of the builder's function for a kind of method.
fn function(kind: MethodKind, style: Style) -> String {
    let prefix = match style {
        Style::Async => "",
        Style::Blocking => "blocking_",
    };
    let kind = match kind {
        MethodKind::Unary => "unary",
        MethodKind::ClientStreaming => "client_streaming",
        MethodKind::ServerStreaming => "server_streaming",
        MethodKind::BidiStreaming => "bidi_streaming",
    };
    format!("{prefix}{kind}")
}
