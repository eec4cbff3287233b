//! Why an entry is no metadata.

use std::fmt;

/// An entry that metadata cannot have, or a received value that cannot be decoded.
///
/// The message names the key (its first 64 characters), the cause, and what to do about it. As a
/// [`Status`](crate::Status), by `?` in a handler, it is INTERNAL.
///
/// ```
/// let error = turnstile::Metadata::new().insert("grpc-trace", "1").unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "metadata key \"grpc-trace\": is reserved for the protocol; use another name",
/// );
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InvalidMetadata {
    key: String,
    pub(super) cause: Cause,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cause {
    EmptyKey,
    KeyTooLong,
    KeyUpperCase,
    KeyCharacter(char),
    Reserved,
    BinaryKey,
    AsciiKey,
    ValueCharacter { character: char, at: usize },
    TooMany,
    NotBase64,
}

impl InvalidMetadata {
    pub(super) fn new(key: &str, cause: Cause) -> Self {
        // Keys have no limit when they fail, error messages should.
        Self { key: key.chars().take(64).collect(), cause }
    }
}

impl fmt::Display for InvalidMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "metadata key {:?}: ", self.key)?;
        match self.cause {
            Cause::EmptyKey => f.write_str("is empty; name the entry"),
            Cause::KeyTooLong => f.write_str("is too long; use a shorter one"),
            Cause::KeyUpperCase => {
                let lower = self.key.to_ascii_lowercase();
                write!(f, "has upper-case letters; HTTP/2 wants lower case, use {lower:?}")
            }
            Cause::KeyCharacter(c) => {
                write!(f, "has the character {c:?}; use only 0-9, a-z, '_', '.' and '-'")
            }
            Cause::Reserved => f.write_str("is reserved for the protocol; use another name"),
            Cause::BinaryKey => f.write_str(
                "ends in \"-bin\", so its values are bytes; call insert_bin or append_bin",
            ),
            Cause::AsciiKey => f.write_str(
                "does not end in \"-bin\", so its values are text; call insert or append, \
                 or use a key that ends in \"-bin\"",
            ),
            Cause::ValueCharacter { character, at } => write!(
                f,
                "the value has the character {character:?} at byte {at}; use printable ASCII, \
                 or insert_bin with a key that ends in \"-bin\"",
            ),
            Cause::TooMany => f.write_str("there are too many entries; use fewer"),
            Cause::NotBase64 => {
                f.write_str("the received value is not base64; the sender must encode it")
            }
        }
    }
}

impl std::error::Error for InvalidMetadata {}
