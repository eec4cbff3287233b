//! What an RPC ended with: a code, a message, and now and then more.
//!
//! A status goes over the wire as trailing headers; `Status::write_to` and
//! `Status::from_headers` are the two directions. The rules are those of the gRPC document
//! PROTOCOL-HTTP2 (section "Responses"), the codes those of its companion `statuscodes.md`.
//!
//! A status is pure data: nothing here blocks, and every type may be used on any thread.
//!
//! ```
//! use turnstile::{Code, Status};
//!
//! /// What a handler does with an error that is not its own.
//! fn status_of(error: std::io::Error) -> Status {
//!     let code = match error.kind() {
//!         std::io::ErrorKind::NotFound => Code::NotFound,
//!         std::io::ErrorKind::PermissionDenied => Code::PermissionDenied,
//!         _ => Code::Unknown,
//!     };
//!     Status::new(code, "the file cannot be read").with_source(error)
//! }
//! # let status = status_of(std::io::ErrorKind::NotFound.into());
//! # assert_eq!(status.to_string(), "NOT_FOUND: the file cannot be read");
//! ```

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode, utf8_percent_encode};

use crate::metadata::{BASE64, InvalidMetadata, Metadata};

pub(crate) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_STATUS_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// "Percent-Byte-Unencoded" of PROTOCOL-HTTP2 is `%x20-%x24 / %x26-%x7E`: this is the rest of
/// ASCII. Bytes over 0x7F are always encoded by the library.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// Defines, from one table, the codes and a constructor of [`Status`] for each that is an error.
macro_rules! codes {
    (
        $(#[$ok_doc:meta])* $ok:ident = 0 $ok_name:literal;
        $(
            $(#[$doc:meta])*
            $variant:ident = $value:literal $name:literal $constructor:ident $example:literal;
        )*
    ) => {
        /// How an RPC ended, as numbered by gRPC's `statuscodes.md`, which also says which ones
        /// libraries use themselves, and which are a service's.
        ///
        /// ```
        /// use turnstile::Code;
        ///
        /// /// Whether the same call may succeed a little later.
        /// fn is_worth_a_retry(code: Code) -> bool {
        ///     matches!(code, Code::Unavailable | Code::ResourceExhausted)
        /// }
        /// assert!(is_worth_a_retry(Code::Unavailable) && !is_worth_a_retry(Code::NotFound));
        /// assert_eq!(Code::DeadlineExceeded.to_string(), "DEADLINE_EXCEEDED");
        /// ```
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        pub enum Code {
            $(#[$ok_doc])*
            $ok = 0,
            $($(#[$doc])* $variant = $value,)*
        }

        impl Code {
            /// The code with this number; [`Code::Unknown`] for numbers that gRPC does not define,
            /// as `statuscodes.md` asks of a receiver. `code as i32` is the way back.
            ///
            /// ```
            /// use turnstile::Code;
            ///
            /// assert_eq!(Code::from_i32(5), Code::NotFound);
            /// assert_eq!(Code::from_i32(99), Code::Unknown);
            /// assert_eq!(Code::NotFound as i32, 5);
            /// ```
            pub const fn from_i32(value: i32) -> Self {
                match value {
                    0 => Self::$ok,
                    $($value => Self::$variant,)*
                    _ => Self::Unknown,
                }
            }

            /// The name in the gRPC documents, for logs and metrics.
            ///
            /// ```
            /// assert_eq!(turnstile::Code::InvalidArgument.as_str(), "INVALID_ARGUMENT");
            /// ```
            pub const fn as_str(self) -> &'static str {
                match self {
                    Self::$ok => $ok_name,
                    $(Self::$variant => $name,)*
                }
            }

            /// The decimal number as `grpc-status` carries it.
            const fn digits(self) -> &'static str {
                match self {
                    Self::$ok => "0",
                    $(Self::$variant => stringify!($value),)*
                }
            }
        }

        impl Status {
            $(
                #[doc = concat!("A status with the code [`", stringify!($variant), "`](Code::",
                    stringify!($variant), ").")]
                ///
                /// ```
                /// use turnstile::{Code, Status};
                ///
                #[doc = concat!("let status = Status::", stringify!($constructor), "(",
                    stringify!($example), ");")]
                #[doc = concat!("assert_eq!(status.code(), Code::", stringify!($variant), ");")]
                /// ```
                pub fn $constructor(message: impl Into<Cow<'static, str>>) -> Self {
                    Self::new(Code::$variant, message)
                }
            )*
        }
    };
}

codes! {
    /// The call succeeded.
    Ok = 0 "OK";
    /// The call was cancelled, usually by the caller.
    Cancelled = 1 "CANCELLED" cancelled
        "the user has closed the window";
    /// An error which says no more, or one from another system whose codes do not map to ours.
    Unknown = 2 "UNKNOWN" unknown
        "the printer says E-17";
    /// The request is wrong whatever the state of the system.
    InvalidArgument = 3 "INVALID_ARGUMENT" invalid_argument
        "page_size is -1; it must be positive";
    /// The deadline passed before the call ended.
    DeadlineExceeded = 4 "DEADLINE_EXCEEDED" deadline_exceeded
        "the database did not answer in time";
    /// What was asked for does not exist.
    NotFound = 5 "NOT_FOUND" not_found
        "there is no user 17";
    /// What was to be made exists already.
    AlreadyExists = 6 "ALREADY_EXISTS" already_exists
        "there is a user 17 already";
    /// The caller is known, and may not do this.
    PermissionDenied = 7 "PERMISSION_DENIED" permission_denied
        "only the owner may delete a file";
    /// A quota, a size limit or another resource is used up.
    ResourceExhausted = 8 "RESOURCE_EXHAUSTED" resource_exhausted
        "100 uploads a day are used up";
    /// The system is not in the state that the call needs; a retry will not help by itself.
    FailedPrecondition = 9 "FAILED_PRECONDITION" failed_precondition
        "the folder is not empty";
    /// The call lost against a concurrent one; retry at a higher level.
    Aborted = 10 "ABORTED" aborted
        "somebody else has changed the entry";
    /// The call went past the valid range, which may grow later.
    OutOfRange = 11 "OUT_OF_RANGE" out_of_range
        "the file ends at byte 4096";
    /// The server does not have this method.
    Unimplemented = 12 "UNIMPLEMENTED" unimplemented
        "there is no search by colour";
    /// An invariant of the system, or of the protocol, is broken.
    Internal = 13 "INTERNAL" internal
        "the index and the table disagree";
    /// The service cannot be reached just now; a retry with backoff may help.
    Unavailable = 14 "UNAVAILABLE" unavailable
        "the database restarts; try again";
    /// Data is lost or damaged for good.
    DataLoss = 15 "DATA_LOSS" data_loss
        "block 9 cannot be read any more";
    /// The caller gave no valid credentials.
    Unauthenticated = 16 "UNAUTHENTICATED" unauthenticated
        "the token has expired";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What an RPC ended with.
///
/// A status with no message or a `&'static str`, and nothing else, allocates nothing, so it is
/// cheap to make, to clone and to return.
///
/// ```
/// use turnstile::status::{Code, Status};
///
/// let status = Status::not_found("no such user");
/// assert_eq!(status.code(), Code::NotFound);
/// assert_eq!(status.to_string(), "NOT_FOUND: no such user");
/// ```
#[derive(Clone, Debug)]
pub struct Status {
    code: Code,
    message: Cow<'static, str>,
    /// Absent from nearly every status, hence out of line.
    rest: Option<Box<Rest>>,
}

#[derive(Clone, Debug, Default)]
struct Rest {
    metadata: Metadata,
    details: Bytes,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// A hold on what of a status may run the application's code when it is dropped, so that this
/// happens where the hold is dropped, and no earlier.
#[derive(Debug)]
pub(crate) struct Hold {
    _details: Bytes,
    _source: Option<Arc<dyn Error + Send + Sync>>,
}

impl Status {
    /// A status with any code. The message is for people who debug, not for programs.
    ///
    /// Keep it short: a message of more than some KiB can cost the client the code. The status
    /// travels in trailers, which clients limit; those of C-core (C++, Python, Ruby and others)
    /// refuse more than 8 to 16 KiB of them, all together, and then report an error of their own
    /// instead of this one. What is not printable ASCII takes three times its bytes there.
    ///
    /// ```
    /// use turnstile::{Code, Status};
    ///
    /// /// Passes a status of another server on, with a word of ours.
    /// fn from_storage(status: &Status) -> Status {
    ///     Status::new(status.code(), format!("the storage says: {}", status.message()))
    /// }
    /// let status = from_storage(&Status::new(Code::DataLoss, "block 9"));
    /// assert_eq!(status.to_string(), "DATA_LOSS: the storage says: block 9");
    /// ```
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), rest: None }
    }

    /// A status that is a constant.
    pub(crate) const fn from_static(code: Code, message: &'static str) -> Self {
        Self { code, message: Cow::Borrowed(message), rest: None }
    }

    /// Success.
    ///
    /// What a handler of one's own returns for success is `Ok`; this is for
    /// [`send_status`](crate::Batch::send_status) and for [`Reply`](crate::service::Reply)s.
    ///
    /// ```
    /// use turnstile::{Metadata, Status};
    ///
    /// let mut trailers = Metadata::new();
    /// trailers.insert("x-rows", "3")?;
    /// assert!(Status::ok().with_metadata(trailers).is_ok());
    /// # Ok::<(), turnstile::metadata::InvalidMetadata>(())
    /// ```
    pub const fn ok() -> Self {
        Self { code: Code::Ok, message: Cow::Borrowed(""), rest: None }
    }

    /// Sets the trailing metadata, instead of what was set before. An OK status may have it too.
    ///
    /// Keep it small, since clients limit what they take: PROTOCOL-HTTP2 suggests 8 KiB, for the
    /// message and the details besides. A client that refuses it does not see the code either.
    ///
    /// ```
    /// use turnstile::{Metadata, Status};
    ///
    /// let mut trailers = Metadata::new();
    /// trailers.insert("x-shard", "eu-3")?;
    /// let status = Status::unavailable("the shard moves").with_metadata(trailers);
    /// assert_eq!(status.metadata().and_then(|it| it.get("x-shard")), Some("eu-3"));
    /// # Ok::<(), turnstile::metadata::InvalidMetadata>(())
    /// ```
    #[must_use]
    pub fn with_metadata(mut self, metadata: Metadata) -> Self {
        // Replies have none as a rule, and nothing to allocate then.
        if self.rest.is_some() || !metadata.is_empty() {
            self.rest_mut().metadata = metadata;
        }
        self
    }

    /// Sets the cause. It stays in this process: a peer sees the code and the message only.
    ///
    /// An interceptor or a log finds it with [`Error::source`].
    ///
    /// ```
    /// use std::error::Error;
    /// use turnstile::Status;
    ///
    /// let cause = "seventeen".parse::<u32>().unwrap_err();
    /// let status = Status::invalid_argument("the id is no number").with_source(cause);
    /// assert_eq!(status.source().unwrap().to_string(), "invalid digit found in string");
    /// ```
    #[must_use]
    pub fn with_source(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.rest_mut().source = Some(Arc::new(source));
        self
    }

    /// Sets the error details: a serialized `google.rpc.Status`, which travels as the trailer
    /// `grpc-status-details-bin` (PROTOCOL-HTTP2, "Responses"). Empty means none.
    ///
    /// This is for those who have the bytes already;
    /// [`with_detail`](Self::with_detail) makes them of messages.
    ///
    /// ```
    /// use turnstile::Status;
    ///
    /// /// Hands the details of another server's status to our own client.
    /// fn with_details_of(status: Status, other: &Status) -> Status {
    ///     status.with_details(other.details().to_vec().into())
    /// }
    /// # let other = Status::aborted("").with_details((&b"\x08\x0a"[..]).into());
    /// # assert_eq!(with_details_of(Status::internal(""), &other).details(), b"\x08\x0a");
    /// ```
    #[must_use]
    pub fn with_details(mut self, details: Bytes) -> Self {
        self.rest_mut().details = details;
        self
    }

    /// Adds to the trailing metadata.
    pub(crate) fn and_metadata(mut self, more: Metadata) -> Self {
        if !more.is_empty() {
            self.rest_mut().metadata.extend(more);
        }
        self
    }

    /// The code.
    pub const fn code(&self) -> Code {
        self.code
    }

    /// The message; empty when there is none.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The trailing metadata, if there is any.
    pub fn metadata(&self) -> Option<&Metadata> {
        self.rest.as_ref().map(|rest| &rest.metadata).filter(|metadata| !metadata.is_empty())
    }

    /// The trailing metadata, to change or to add to.
    ///
    /// ```
    /// let mut status = turnstile::Status::not_found("no such user");
    /// status.metadata_mut().insert("x-request-id", "17")?;
    /// assert_eq!(status.metadata().and_then(|it| it.get("x-request-id")), Some("17"));
    /// # Ok::<(), turnstile::metadata::InvalidMetadata>(())
    /// ```
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.rest_mut().metadata
    }

    /// The trailing metadata alone.
    pub(crate) fn into_metadata(self) -> Metadata {
        self.rest.map(|rest| rest.metadata).unwrap_or_default()
    }

    /// The serialized `google.rpc.Status` with the error details; empty when there is none.
    pub fn details(&self) -> &[u8] {
        self.rest.as_ref().map_or(&[], |rest| &rest.details)
    }

    /// Whether the code is [`Code::Ok`].
    pub const fn is_ok(&self) -> bool {
        matches!(self.code, Code::Ok)
    }

    /// The same code and text, without what may run the application's code when it is dropped.
    pub(crate) fn without_leftovers(&self) -> Self {
        Self::new(self.code, self.message.clone())
    }

    /// A hold on what is not only data, if there is any.
    pub(crate) fn hold(&self) -> Option<Hold> {
        let rest = self.rest.as_ref()?;
        Some(Hold { _details: rest.details.clone(), _source: rest.source.clone() })
    }

    /// Adds this status to the trailers, or to the one header block of a Trailers-Only response.
    ///
    /// A user's metadata comes last, so that a map which is full (32,768 entries) loses some of
    /// that rather than the status.
    pub(crate) fn write_to(self, headers: &mut HeaderMap) {
        // An error of try_insert means a full map, see above; there is nobody left to tell.
        let _ = headers.try_insert(GRPC_STATUS, HeaderValue::from_static(self.code.digits()));
        if let Some(message) = encode_message(self.message) {
            let _ = headers.try_insert(GRPC_MESSAGE, message);
        }
        let Some(rest) = self.rest else { return };
        if !rest.details.is_empty() {
            // The base64 alphabet is always a valid value.
            if let Ok(details) = HeaderValue::try_from(BASE64.encode(&rest.details)) {
                let _ = headers.try_insert(GRPC_STATUS_DETAILS, details);
            }
        }
        rest.metadata.append_to(headers);
    }

    /// Takes the status out of received trailers; `None`, with the map untouched, when there is no
    /// `grpc-status`. All other entries become the metadata, and the map is left empty.
    ///
    /// A `grpc-status` which is not a number counts as [`Code::Unknown`], and details which are not
    /// base64 as absent: an RPC must not end in a second error because the first was misspelt.
    pub(crate) fn from_headers(headers: &mut HeaderMap) -> Option<Self> {
        let code = headers.remove(GRPC_STATUS)?;
        let code = code.to_str().ok().and_then(|digits| digits.parse().ok());
        let code = code.map_or(Code::Unknown, Code::from_i32);
        let message = headers.remove(GRPC_MESSAGE).map_or_else(String::new, |value| {
            // "When decoding invalid values, implementations MUST NOT error or throw away the
            // message" (PROTOCOL-HTTP2): broken escapes stay, broken UTF-8 becomes U+FFFD.
            percent_decode(value.as_bytes()).decode_utf8_lossy().into_owned()
        });
        let details = headers.remove(GRPC_STATUS_DETAILS);
        let details = details.and_then(|value| BASE64.decode(value.as_bytes()).ok());
        let metadata = Metadata::from_headers(std::mem::take(headers));

        let mut status = Self::new(code, message);
        if let Some(details) = details {
            status = status.with_details(details.into());
        }
        if !metadata.is_empty() {
            status = status.with_metadata(metadata);
        }
        Some(status)
    }

    fn rest_mut(&mut self) -> &mut Rest {
        self.rest.get_or_insert_default()
    }
}

/// INTERNAL: a handler that makes metadata which is none has a fault. Where the client's metadata is
/// at fault, say so with INVALID_ARGUMENT.
impl From<InvalidMetadata> for Status {
    fn from(error: InvalidMetadata) -> Self {
        Self::internal(error.to_string()).with_source(error)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if self.message.is_empty() { Ok(()) } else { write!(f, ": {}", self.message) }
    }
}

impl Error for Status {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let source = self.rest.as_ref()?.source.as_ref()?;
        Some(source.as_ref())
    }
}

/// The value of `grpc-message`, or `None` when the message is empty: the header is optional.
///
/// A message that needs no escapes is neither copied nor, when static, allocated.
fn encode_message(message: Cow<'static, str>) -> Option<HeaderValue> {
    if message.is_empty() {
        return None;
    }
    // Spaces at the ends are legal for gRPC, but RFC 9113 section 8.2.1 forbids them in a field
    // value, and peers on nghttp2 reject the whole response. Escaped they get through: a receiver
    // decodes every escape.
    let start = message.len() - message.trim_start_matches(' ').len();
    let end = message.trim_end_matches(' ').len().max(start);
    let plain = |byte: u8| matches!(byte, 0x20..=0x7E) && byte != b'%';
    if start == 0 && end == message.len() && message.bytes().all(plain) {
        return match message {
            // Panics on what was just found absent.
            Cow::Borrowed(text) => Some(HeaderValue::from_static(text)),
            Cow::Owned(text) => HeaderValue::try_from(text).ok(),
        };
    }
    let spaces = message.len() - end;
    let mut encoded = String::with_capacity(message.len() + 16);
    encoded.extend(std::iter::repeat_n("%20", start));
    encoded.extend(utf8_percent_encode(&message[start..end], ENCODED));
    encoded.extend(std::iter::repeat_n("%20", spaces));
    HeaderValue::try_from(encoded).ok()
}

#[cfg(test)]
mod tests;
