//! Details of errors: what a status says beyond its code and message, as messages of protobuf.
//!
//! They travel in the trailer `grpc-status-details-bin` as a `google.rpc.Status` (the "richer error
//! model" of gRPC's guides). The usual ones, of `google/rpc/error_details.proto`, are here; any other
//! message with a name will do. Keep them small: they are base64 in a header, and peers limit those
//! (PROTOCOL-HTTP2 suggests 8 KiB for all of them).
//!
//! Nothing here blocks; all of it may be called from any thread.
//!
//! ```
//! use turnstile::error_details::{BadRequest, FieldViolation};
//! use turnstile::Status;
//!
//! let field_violations = vec![FieldViolation {
//!     field: "email".to_owned(),
//!     description: "is no address".to_owned(),
//!     ..Default::default()
//! }];
//! let status = Status::invalid_argument("the form cannot be taken")
//!     .with_detail(&BadRequest { field_violations });
//!
//! // At the other end:
//! let details = status.error_details()?;
//! let bad: BadRequest = details.find().expect("there is one")?;
//! assert_eq!(bad.field_violations[0].field, "email");
//! # Ok::<(), prost::DecodeError>(())
//! ```

use crate::generated::rpc;
use crate::status::Status;
use prost::{DecodeError, Message, Name};
use prost_types::Any;

pub use rpc::bad_request::FieldViolation;
pub use rpc::help::Link;
pub use rpc::{
    BadRequest, DebugInfo, ErrorInfo, Help, LocalizedMessage, PreconditionFailure, QuotaFailure,
    RequestInfo, ResourceInfo, RetryInfo, precondition_failure, quota_failure,
};

/// The details of a status, in their order: see [`Status::error_details`].
///
/// ```
/// use turnstile::Status;
/// use turnstile::error_details::{ErrorInfo, Help};
///
/// let info = ErrorInfo { reason: "QUOTA".to_owned(), ..Default::default() };
/// let status = Status::resource_exhausted("too much").with_detail(&info);
/// let details = status.error_details()?;
/// assert_eq!(details.find::<ErrorInfo>(), Some(Ok(info)));
/// assert_eq!(details.find::<Help>(), None);
/// # Ok::<(), prost::DecodeError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ErrorDetails(Vec<Any>);

impl ErrorDetails {
    /// The first detail of a type; `None` if there is none.
    ///
    /// # Errors
    /// If there is one and its bytes cannot be read.
    ///
    /// ```
    /// use turnstile::Status;
    /// use turnstile::error_details::RetryInfo;
    ///
    /// /// How long to wait, in seconds, if the server says so.
    /// fn retry_after(status: &Status) -> Option<i64> {
    ///     let retry: RetryInfo = status.error_details().ok()?.find()?.ok()?;
    ///     Some(retry.retry_delay?.seconds)
    /// }
    /// # let retry_delay = Some(prost_types::Duration { seconds: 3, nanos: 0 });
    /// # let status = Status::unavailable("").with_detail(&RetryInfo { retry_delay });
    /// # assert_eq!(retry_after(&status), Some(3));
    /// ```
    pub fn find<M: Message + Name + Default>(&self) -> Option<Result<M, DecodeError>> {
        self.all().next()
    }

    /// Every detail of a type, in order.
    ///
    /// # Errors
    /// As [`find`](Self::find), for each.
    ///
    /// ```
    /// use turnstile::Status;
    /// use turnstile::error_details::LocalizedMessage;
    ///
    /// let text = |locale: &str, message: &str| LocalizedMessage {
    ///     locale: locale.to_owned(),
    ///     message: message.to_owned(),
    /// };
    /// let status = Status::not_found("no such book")
    ///     .with_detail(&text("en", "There is no such book"))
    ///     .with_detail(&text("de", "Das Buch gibt es nicht"));
    /// let details = status.error_details()?;
    /// let texts = details.all::<LocalizedMessage>().filter_map(Result::ok);
    /// assert_eq!(texts.map(|it| it.locale).collect::<Vec<_>>(), ["en", "de"]);
    /// # Ok::<(), prost::DecodeError>(())
    /// ```
    pub fn all<M: Message + Name + Default>(&self) -> impl Iterator<Item = Result<M, DecodeError>> {
        let full_name = M::full_name();
        let is_wanted = move |any: &&Any| type_name(&any.type_url) == full_name;
        self.0.iter().filter(is_wanted).map(|any| M::decode(&*any.value))
    }

    /// All details as they came, also those of types that nobody here knows.
    ///
    /// ```
    /// use turnstile::Status;
    /// use turnstile::error_details::RequestInfo;
    ///
    /// let status = Status::internal("broken").with_detail(&RequestInfo::default());
    /// let details = status.error_details()?;
    /// assert_eq!(details.as_slice()[0].type_url, "type.googleapis.com/google.rpc.RequestInfo");
    /// # Ok::<(), prost::DecodeError>(())
    /// ```
    pub fn as_slice(&self) -> &[Any] {
        &self.0
    }
}

/// What follows the last slash of `type.googleapis.com/google.rpc.ErrorInfo`: the host before it
/// means nothing.
fn type_name(type_url: &str) -> &str {
    type_url.rsplit_once('/').map_or(type_url, |(_, name)| name)
}

impl Status {
    /// Adds a detail behind those that are there. What [`with_details`](Self::with_details) set is
    /// kept if it can be read, and else replaced.
    ///
    /// ```
    /// use turnstile::Status;
    /// use turnstile::error_details::ErrorInfo;
    ///
    /// let status = Status::permission_denied("the project has no billing").with_detail(&ErrorInfo {
    ///     reason: "BILLING_DISABLED".to_owned(),
    ///     domain: "acme.example".to_owned(),
    ///     metadata: [("project".to_owned(), "17".to_owned())].into(),
    /// });
    /// assert!(!status.details().is_empty());
    /// ```
    #[must_use]
    pub fn with_detail<M: Message + Name>(self, detail: &M) -> Self {
        let mut details = self.error_details().unwrap_or_default().0;
        let value = detail.encode_to_vec();
        details.push(Any { type_url: format!("type.googleapis.com/{}", M::full_name()), value });
        let (code, message) = (self.code() as i32, self.message().to_owned());
        let status = rpc::Status { code, message, details };
        self.with_details(status.encode_to_vec().into())
    }

    /// The details. None are none, and no error.
    ///
    /// # Errors
    /// If [`details`](Self::details) are not a `google.rpc.Status`.
    ///
    /// ```
    /// use turnstile::Status;
    ///
    /// assert!(Status::internal("no more to say").error_details()?.as_slice().is_empty());
    /// assert!(Status::internal("").with_details((&b"no protobuf"[..]).into()).error_details().is_err());
    /// # Ok::<(), prost::DecodeError>(())
    /// ```
    pub fn error_details(&self) -> Result<ErrorDetails, DecodeError> {
        rpc::Status::decode(self.details()).map(|status| ErrorDetails(status.details))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generated::rpc;

    fn info(reason: &str) -> ErrorInfo {
        ErrorInfo { reason: reason.to_owned(), domain: "a.b".to_owned(), ..Default::default() }
    }

    #[test]
    fn a_status_without_details_has_none() {
        let details = Status::internal("x").error_details().unwrap();
        assert!(details.as_slice().is_empty());
        assert!(details.find::<ErrorInfo>().is_none());
    }

    #[test]
    fn details_come_out_by_type_and_in_order() {
        let status = Status::not_found("no such thing")
            .with_detail(&info("FIRST"))
            .with_detail(&Help::default())
            .with_detail(&info("SECOND"));
        let details = status.error_details().unwrap();
        let reasons: Vec<_> = details.all::<ErrorInfo>().map(|it| it.unwrap().reason).collect();
        assert_eq!(reasons, ["FIRST", "SECOND"]);
        assert_eq!(details.find::<Help>(), Some(Ok(Help::default())));
        assert!(details.find::<RetryInfo>().is_none());
        assert_eq!(details.as_slice().len(), 3);
    }

    #[test]
    fn the_status_inside_agrees_with_the_one_outside() {
        let status = Status::not_found("no such thing").with_detail(&info("GONE"));
        let inside = rpc::Status::decode(status.details()).unwrap();
        assert_eq!((inside.code, inside.message.as_str()), (5, "no such thing"));
        assert_eq!(inside.details[0].type_url, "type.googleapis.com/google.rpc.ErrorInfo");
    }

    #[test]
    fn a_types_host_means_nothing_and_unknown_types_are_kept() {
        let any = |url: &str| Any { type_url: url.to_owned(), value: info("X").encode_to_vec() };
        let details = vec![any("google.rpc.ErrorInfo"), any("else.where/google.rpc.ErrorInfo")];
        let unknown = any("type.googleapis.com/some.Other");
        let details = [details, vec![unknown.clone()]].concat();
        let status = rpc::Status { code: 5, message: String::new(), details };
        let status = Status::not_found("").with_details(status.encode_to_vec().into());
        let details = status.with_detail(&Help::default()).error_details().unwrap();
        assert_eq!(details.all::<ErrorInfo>().filter(Result::is_ok).count(), 2);
        assert_eq!(details.as_slice()[2], unknown);
        assert_eq!(details.as_slice().len(), 4);
    }

    #[test]
    fn details_that_cannot_be_read_are_an_error_and_lose_to_one_that_is_added() {
        let status = Status::internal("").with_details((&b"\xff"[..]).into());
        assert!(status.error_details().is_err());
        let status = status.with_detail(&info("READABLE"));
        assert_eq!(status.error_details().unwrap().as_slice().len(), 1);
    }
}
