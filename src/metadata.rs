//! Metadata: the key-value pairs that travel with a call, as headers and as trailers.
//!
//! The rules are "Custom-Metadata" of the gRPC document PROTOCOL-HTTP2. A key that ends in `-bin`
//! has binary values, which are base64 on the wire; all others have printable ASCII.
//!
//! [`Metadata`] wraps the header map of HTTP/2 as it came, without copying. What belongs to the
//! protocol (`grpc-timeout`, `te`, ...) is hidden when somebody looks and left out when the map is
//! sent. The invariant: whatever a [`Metadata`] shows may be put into another one and sent.
//!
//! Metadata is pure data: nothing here blocks, and every type may be used on any thread.
//!
//! **Limits.** A map holds 32,768 keys, but peers take far less: PROTOCOL-HTTP2 suggests 8 KiB, and a
//! server of this crate takes what [`Builder::max_metadata_size`](crate::Builder::max_metadata_size)
//! says.
//!
//! ```
//! use turnstile::{Metadata, Status};
//!
//! /// Whose call it is, by a token that the client sends.
//! fn token(metadata: &Metadata) -> Result<&str, Status> {
//!     let value = metadata.get("authorization").and_then(|it| it.strip_prefix("Bearer "));
//!     value.ok_or_else(|| Status::unauthenticated("send `authorization: Bearer <token>`"))
//! }
//! # let mut metadata = Metadata::new();
//! # assert!(token(&metadata).is_err());
//! # metadata.insert("authorization", "Bearer abc").unwrap();
//! # assert_eq!(token(&metadata).unwrap(), "abc");
//! ```

mod invalid;

pub use invalid::InvalidMetadata;

use invalid::Cause;
use std::fmt;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http::header::MaxSizeReached;
use http::{HeaderMap, HeaderName, HeaderValue};

/// "Implementations MUST accept padded and un-padded values and SHOULD emit un-padded values." Bits
/// that the last character has too many are ignored, as Go's and Python's decoders do.
pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Names which the protocol itself uses, or which HTTP/2 forbids (RFC 9113 section 8.2.2), besides
/// everything that starts with a colon, or with `grpc-` and is not [`OPEN`].
const RESERVED: [&str; 9] = [
    "content-type",
    "te",
    "connection",
    "host",
    "transfer-encoding",
    "keep-alive",
    "proxy-connection",
    "upgrade",
    "content-length",
];

/// Names which start with `grpc-` and are the application's all the same: what OpenCensus's
/// libraries, and bridges to them, send a call's context in. Other implementations pass them too.
const OPEN: [&str; 2] = ["grpc-trace-bin", "grpc-tags-bin"];

/// The key-value pairs that travel with a call. A key may have several values, kept in order.
///
/// Lookups do not care about the case of the key. Entries that were received under a reserved
/// name, with a key that is not `[0-9a-z_.-]`, or with an ASCII value outside `0x20..=0x7E` are
/// not shown: the specification allows to throw these away, and they could not be sent on.
///
/// ```
/// use turnstile::metadata::Metadata;
///
/// # fn main() -> Result<(), turnstile::metadata::InvalidMetadata> {
/// let mut metadata = Metadata::new();
/// metadata.insert("x-request-id", "17")?;
/// metadata.append_bin("trace-bin", &[0xab, 0xcd])?;
///
/// assert_eq!(metadata.get("x-request-id"), Some("17"));
/// assert_eq!(metadata.get_bin("trace-bin").transpose()?.as_deref(), Some(&[0xab, 0xcd][..]));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Metadata {
    headers: HeaderMap,
}

/// A value, as [`Metadata::iter`] yields it.
///
/// ```
/// use turnstile::metadata::ValueRef;
///
/// fn to_text(value: &ValueRef<'_>) -> String {
///     match value {
///         ValueRef::Ascii(text) => (*text).to_owned(),
///         ValueRef::Binary(bytes) => format!("{} bytes", bytes.len()),
///         _ => String::new(),
///     }
/// }
/// assert_eq!(to_text(&ValueRef::Binary((&b"abc"[..]).into())), "3 bytes");
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ValueRef<'a> {
    /// The text of an ordinary key.
    Ascii(&'a str),
    /// The decoded bytes of a key that ends in `-bin`.
    Binary(Bytes),
}

impl Metadata {
    /// Metadata with no entries. Does not allocate.
    ///
    /// ```
    /// assert!(turnstile::Metadata::new().is_empty());
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the one value of `key`, instead of those it had. Spaces around the value are dropped.
    ///
    /// # Errors
    ///
    /// - The key is empty, or has characters other than `0-9`, `a-z`, `_`, `.` and `-`.
    /// - The key is reserved: `grpc-*`, but for `grpc-trace-bin` and `grpc-tags-bin`, and the headers
    ///   that gRPC or HTTP/2 use themselves.
    /// - The key ends in `-bin`: such values are bytes, see [`insert_bin`](Self::insert_bin).
    /// - The value has characters outside `0x20..=0x7E`.
    /// - There are too many entries (HTTP/2 peers accept far fewer).
    ///
    /// ```
    /// use turnstile::Metadata;
    ///
    /// let mut metadata = Metadata::new();
    /// metadata.insert("x-user", "ada")?;
    /// metadata.insert("x-user", "grace")?;
    /// assert_eq!(metadata.get("X-User"), Some("grace"));
    ///
    /// let error = metadata.insert("X-User", "joan").unwrap_err();
    /// assert!(error.to_string().ends_with("HTTP/2 wants lower case, use \"x-user\""));
    /// # Ok::<(), turnstile::metadata::InvalidMetadata>(())
    /// ```
    pub fn insert(&mut self, key: &str, value: &str) -> Result<(), InvalidMetadata> {
        let (name, value) = ascii_entry(key, value)?;
        let _old = self.headers.try_insert(name, value).map_err(too_many(key))?;
        Ok(())
    }

    /// Adds a value to those that `key` has. Spaces around the value are dropped.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    ///
    /// ```
    /// use turnstile::Metadata;
    ///
    /// let mut metadata = Metadata::new();
    /// for hop in ["edge", "cache"] {
    ///     metadata.append("x-hop", hop)?;
    /// }
    /// assert!(metadata.get_all("x-hop").eq(["edge", "cache"]));
    /// # Ok::<(), turnstile::metadata::InvalidMetadata>(())
    /// ```
    pub fn append(&mut self, key: &str, value: &str) -> Result<(), InvalidMetadata> {
        let (name, value) = ascii_entry(key, value)?;
        let _more = self.headers.try_append(name, value).map_err(too_many(key))?;
        Ok(())
    }

    /// Sets the one value of `key`, which must end in `-bin`, instead of those it had.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert), except that any bytes will do, and that it is an error if the
    /// key does *not* end in `-bin`.
    ///
    /// ```
    /// use turnstile::Metadata;
    ///
    /// let mut metadata = Metadata::new();
    /// metadata.insert_bin("span-bin", &[0, 255])?;
    /// assert!(metadata.insert_bin("span", &[0, 255]).is_err());
    /// # Ok::<(), turnstile::metadata::InvalidMetadata>(())
    /// ```
    pub fn insert_bin(&mut self, key: &str, value: &[u8]) -> Result<(), InvalidMetadata> {
        let (name, value) = binary_entry(key, value)?;
        let _old = self.headers.try_insert(name, value).map_err(too_many(key))?;
        Ok(())
    }

    /// Adds a value to those of `key`, which must end in `-bin`.
    ///
    /// # Errors
    ///
    /// As [`insert_bin`](Self::insert_bin).
    ///
    /// ```
    /// use turnstile::Metadata;
    ///
    /// let mut metadata = Metadata::new();
    /// metadata.append_bin("signature-bin", b"first")?;
    /// metadata.append_bin("signature-bin", b"second")?;
    /// assert_eq!(metadata.len(), 2);
    /// # Ok::<(), turnstile::metadata::InvalidMetadata>(())
    /// ```
    pub fn append_bin(&mut self, key: &str, value: &[u8]) -> Result<(), InvalidMetadata> {
        let (name, value) = binary_entry(key, value)?;
        let _more = self.headers.try_append(name, value).map_err(too_many(key))?;
        Ok(())
    }

    /// The first value of `key`. `None` also for keys that end in `-bin`: use
    /// [`get_bin`](Self::get_bin).
    ///
    /// ```
    /// use turnstile::Metadata;
    ///
    /// let mut metadata = Metadata::new();
    /// metadata.insert("x-attempt", "2")?;
    /// let attempt: Option<u32> = metadata.get("x-attempt").and_then(|it| it.parse().ok());
    /// assert_eq!(attempt, Some(2));
    /// # Ok::<(), turnstile::metadata::InvalidMetadata>(())
    /// ```
    pub fn get(&self, key: &str) -> Option<&str> {
        self.get_all(key).next()
    }

    /// All values of `key`, in the order in which they were added or received.
    ///
    /// ```
    /// use turnstile::Metadata;
    ///
    /// let mut metadata = Metadata::new();
    /// metadata.append("x-role", "reader")?;
    /// metadata.append("x-role", "writer")?;
    /// assert!(metadata.get_all("x-role").any(|role| role == "writer"));
    /// # Ok::<(), turnstile::metadata::InvalidMetadata>(())
    /// ```
    pub fn get_all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let shown = is_visible(key) && !is_binary(key);
        let values = shown.then(|| self.headers.get_all(key));
        values.into_iter().flatten().filter_map(decode_ascii)
    }

    /// The first value of `key`, decoded. `None` also for keys that do not end in `-bin`: use
    /// [`get`](Self::get).
    ///
    /// # Errors
    ///
    /// The value, which comes from the peer then, is not base64.
    ///
    /// ```
    /// use turnstile::{Metadata, Status};
    ///
    /// /// The hash that a client may send. What it sends wrongly is its fault.
    /// fn hash(metadata: &Metadata) -> Result<Option<turnstile::Bytes>, Status> {
    ///     let hash = metadata.get_bin("hash-bin").transpose();
    ///     hash.map_err(|error| Status::invalid_argument(error.to_string()))
    /// }
    /// # let mut metadata = Metadata::new();
    /// # metadata.insert_bin("hash-bin", b"123").unwrap();
    /// # assert_eq!(hash(&metadata).unwrap().unwrap(), "123");
    /// ```
    pub fn get_bin(&self, key: &str) -> Option<Result<Bytes, InvalidMetadata>> {
        self.get_all_bin(key).next()
    }

    /// All values of `key`, decoded, in the order in which they were added or received. Values
    /// that a proxy joined with commas come one by one.
    ///
    /// # Errors
    ///
    /// As [`get_bin`](Self::get_bin), for each value.
    ///
    /// ```
    /// use turnstile::Metadata;
    ///
    /// let mut metadata = Metadata::new();
    /// metadata.append_bin("key-bin", &[1])?;
    /// metadata.append_bin("key-bin", &[2])?;
    /// let keys: Result<Vec<_>, _> = metadata.get_all_bin("key-bin").collect();
    /// assert_eq!(keys?, [&[1][..], &[2][..]]);
    /// # Ok::<(), turnstile::metadata::InvalidMetadata>(())
    /// ```
    pub fn get_all_bin<'a>(
        &'a self,
        key: &'a str,
    ) -> impl Iterator<Item = Result<Bytes, InvalidMetadata>> + use<'a> {
        let shown = is_visible(key) && is_binary(key);
        let values = shown.then(|| self.headers.get_all(key));
        values.into_iter().flatten().flat_map(move |value| decode_binary(key, value))
    }

    /// All entries: a key with several values comes as often, keys in no certain order.
    ///
    /// Binary values that are not base64 are skipped; [`get_bin`](Self::get_bin) tells.
    ///
    /// ```
    /// use turnstile::Metadata;
    ///
    /// let mut metadata = Metadata::new();
    /// metadata.insert("x-user", "ada")?;
    /// metadata.insert_bin("hash-bin", b"123")?;
    /// let keys: std::collections::BTreeSet<_> = metadata.iter().map(|(key, _)| key).collect();
    /// assert!(keys.into_iter().eq(["hash-bin", "x-user"]));
    /// # Ok::<(), turnstile::metadata::InvalidMetadata>(())
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (&str, ValueRef<'_>)> {
        self.visible().flat_map(|(name, value)| {
            let key = name.as_str();
            let binary = is_binary(key).then(|| decode_binary(key, value));
            let ascii = if binary.is_none() { decode_ascii(value) } else { None };
            let binary = binary.into_iter().flatten().filter_map(Result::ok);
            let values = ascii.map(ValueRef::Ascii).into_iter().chain(binary.map(ValueRef::Binary));
            values.map(move |value| (key, value))
        })
    }

    /// The number of values. Binary values that a proxy joined with commas count once, and those
    /// that cannot be decoded count too.
    ///
    /// ```
    /// use turnstile::Metadata;
    ///
    /// let mut metadata = Metadata::new();
    /// metadata.append("x-tag", "a")?;
    /// metadata.append("x-tag", "b")?;
    /// assert_eq!(metadata.len(), 2);
    /// # Ok::<(), turnstile::metadata::InvalidMetadata>(())
    /// ```
    pub fn len(&self) -> usize {
        self.visible().count()
    }

    /// Whether there are no entries.
    ///
    /// ```
    /// use turnstile::{Metadata, Status};
    ///
    /// let status = Status::internal("no trailers").with_metadata(Metadata::new());
    /// assert!(status.metadata().is_none_or(Metadata::is_empty));
    /// ```
    pub fn is_empty(&self) -> bool {
        self.visible().next().is_none()
    }

    /// Removes all values of `key`, and says whether there were any.
    ///
    /// ```
    /// use turnstile::Metadata;
    ///
    /// let mut metadata = Metadata::new();
    /// metadata.insert("x-secret", "hunter2")?;
    /// assert!(metadata.remove("x-secret"));
    /// assert!(!metadata.remove("x-secret"));
    /// # Ok::<(), turnstile::metadata::InvalidMetadata>(())
    /// ```
    pub fn remove(&mut self, key: &str) -> bool {
        is_visible(key) && self.headers.remove(key).is_some()
    }

    /// The values of one of the headers that are not shown.
    pub(crate) fn hidden(&self, name: &str) -> impl Iterator<Item = &HeaderValue> {
        self.headers.get_all(name).into_iter()
    }

    /// Wraps a header map as it came.
    pub(crate) const fn from_headers(headers: HeaderMap) -> Self {
        Self { headers }
    }

    /// Adds all entries of another.
    pub(crate) fn extend(&mut self, other: Self) {
        other.append_to(&mut self.headers);
    }

    /// Adds the entries, without the hidden ones, to headers which exist already. A full map (it
    /// holds 32,768) takes no more of them.
    pub(crate) fn append_to(self, headers: &mut HeaderMap) {
        // Most metadata that is sent is empty, and taking that apart costs as much as an entry.
        if self.headers.is_empty() {
            return;
        }
        let mut last = None;
        for (name, value) in self.headers {
            // The iterator names a key with its first value only.
            last = name.or(last);
            let Some(name) = last.as_ref().filter(|name| is_visible(name.as_str())) else {
                continue;
            };
            if headers.try_append(name, value).is_err() {
                return;
            }
        }
    }

    fn visible(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.headers.iter().filter(|(name, value)| {
            let key = name.as_str();
            is_visible(key) && (is_binary(key) || decode_ascii(value).is_some())
        })
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As on the wire: a HeaderValue escapes itself, and keeps quiet when marked sensitive.
        f.debug_map().entries(self.visible()).finish()
    }
}

/// What RFC 9113 section 6.5.2 counts for a header besides its name and value, in bytes.
pub(crate) const ENTRY_OVERHEAD: usize = 32;

/// The size of a header as RFC 9113 section 6.5.2 counts it, before compression.
pub(crate) fn wire_size(name: &HeaderName, value: &HeaderValue) -> usize {
    name.as_str().len() + value.len() + ENTRY_OVERHEAD
}

/// Looks for a received value that ought to be base64 and is not.
///
/// # Errors
/// The first one's key and the cause.
pub(crate) fn check_binary(headers: &HeaderMap) -> Result<(), InvalidMetadata> {
    for (name, value) in headers {
        let key = name.as_str();
        if is_binary(key) && is_visible(key) {
            decode_binary(key, value).try_for_each(|value| value.map(drop))?;
        }
    }
    Ok(())
}

fn too_many(key: &str) -> impl FnOnce(MaxSizeReached) -> InvalidMetadata {
    move |_| InvalidMetadata::new(key, Cause::TooMany)
}

fn is_binary(key: &str) -> bool {
    let suffix = key.len().checked_sub(4).and_then(|start| key.as_bytes().get(start..));
    suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case(b"-bin"))
}

fn is_reserved(key: &str) -> bool {
    let is_one_of = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(key));
    let prefix = key.as_bytes().get(..5);
    if prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"grpc-")) {
        return !is_one_of(&OPEN);
    }
    key.starts_with(':') || is_one_of(&RESERVED)
}

/// "Header-Name" of PROTOCOL-HTTP2.
const fn is_key_byte(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'_' | b'-' | b'.')
}

/// Whether entries with this key are the user's, to see and to send.
fn is_visible(key: &str) -> bool {
    !is_reserved(key) && key.bytes().all(|byte| is_key_byte(byte.to_ascii_lowercase()))
}

fn check_key(key: &str) -> Result<HeaderName, InvalidMetadata> {
    let error = |cause| InvalidMetadata::new(key, cause);
    if key.is_empty() {
        return Err(error(Cause::EmptyKey));
    }
    // Before the characters: a colon and "Content-Type" are better called reserved.
    if is_reserved(key) {
        return Err(error(Cause::Reserved));
    }
    if let Some(c) = key.chars().find(|c| !c.is_ascii() || !is_key_byte(*c as u8)) {
        let upper = c.is_ascii_uppercase();
        return Err(error(if upper { Cause::KeyUpperCase } else { Cause::KeyCharacter(c) }));
    }
    // The characters are right, so it can only be the length.
    HeaderName::from_bytes(key.as_bytes()).map_err(|_| error(Cause::KeyTooLong))
}

fn ascii_entry(key: &str, value: &str) -> Result<(HeaderName, HeaderValue), InvalidMetadata> {
    let name = check_key(key)?;
    if is_binary(key) {
        return Err(InvalidMetadata::new(key, Cause::BinaryKey));
    }
    let foreign = value.char_indices().find(|(_, c)| !matches!(c, ' '..='~'));
    if let Some((at, character)) = foreign {
        return Err(InvalidMetadata::new(key, Cause::ValueCharacter { character, at }));
    }
    // "ASCII-Value should not have leading or trailing whitespace. If it contains leading or
    // trailing whitespace, it may be stripped." RFC 9113 section 8.2.1 forbids to send it.
    let value = HeaderValue::from_str(value.trim_matches(' '));
    // Cannot happen after the check above, and would mean this.
    let invalid = Cause::ValueCharacter { character: '?', at: 0 };
    Ok((name, value.map_err(|_| InvalidMetadata::new(key, invalid))?))
}

fn binary_entry(key: &str, value: &[u8]) -> Result<(HeaderName, HeaderValue), InvalidMetadata> {
    let name = check_key(key)?;
    if !is_binary(key) {
        return Err(InvalidMetadata::new(key, Cause::AsciiKey));
    }
    let value = HeaderValue::try_from(BASE64.encode(value));
    // Cannot happen: base64 is printable.
    Ok((name, value.map_err(|_| InvalidMetadata::new(key, Cause::NotBase64))?))
}

fn decode_ascii(value: &HeaderValue) -> Option<&str> {
    // `to_str` lets tabs pass, which gRPC does not have.
    value.to_str().ok().filter(|text| !text.contains('\t'))
}

/// "Implementations must split Binary-Headers on "," before decoding the Base64-encoded values."
/// Whoever joined them may have added whitespace (RFC 9110 section 5.3).
fn decode_binary<'a>(
    key: &'a str,
    value: &'a HeaderValue,
) -> impl Iterator<Item = Result<Bytes, InvalidMetadata>> + use<'a> {
    value.as_bytes().split(|byte| *byte == b',').map(move |part| {
        let bytes = BASE64.decode(part.trim_ascii());
        bytes.map(Bytes::from).map_err(|_| InvalidMetadata::new(key, Cause::NotBase64))
    })
}

#[cfg(test)]
mod tests;
