//! Compression of messages: which encodings there are, and what they do to bytes.
//!
//! "Compression" of PROTOCOL-HTTP2: a call's `grpc-encoding` names one encoding, and a flag before
//! each message says whether this message has it. An [`Encoding`] is there if the cargo feature of
//! its name is on, so that a server which asks for one that was not compiled in does not compile.
//!
//! Everything here is pure: bytes in, bytes out. Nothing blocks, but it takes time: some milliseconds
//! to compress 100 KiB with gzip or deflate, less than one with zstd or to decompress. So it is done
//! under as few locks as can be.

#[cfg(any(feature = "gzip", feature = "deflate", feature = "zstd"))]
mod coding;

use std::fmt;

/// A way to compress messages.
///
/// It has a variant for each of the cargo features `gzip`, `deflate` and `zstd` that is on; without
/// them it has none, and `None` (identity, in gRPC's words) is the only `Option` of it.
///
/// Switching a feature on changes nothing by itself. A server takes compressed requests after
/// [`Builder::accept_compressed`](crate::Builder::accept_compressed), and compresses replies after
/// [`Builder::compress_replies`](crate::Builder::compress_replies) or one of its kin, for clients
/// that say they can read it.
///
/// Do not compress secrets together with what an attacker may choose: the length of the reply then
/// tells something of the secret (CRIME, BREACH). Such messages can go
/// [uncompressed](crate::Writer::write_uncompressed) among others.
///
/// ```
/// # #[cfg(feature = "gzip")] {
/// use turnstile::{Encoding, Server};
///
/// let mut builder = Server::builder();
/// builder.accept_compressed(Encoding::ALL).compress_replies(Encoding::Gzip);
/// assert_eq!(Encoding::Gzip.name(), "gzip");
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// gzip (RFC 1952), which every gRPC implementation knows. Feature `gzip`.
    #[cfg(feature = "gzip")]
    Gzip,
    /// zlib (RFC 1950), which gRPC and HTTP call deflate. Feature `deflate`.
    #[cfg(feature = "deflate")]
    Deflate,
    /// Zstandard (RFC 8878): faster and smaller than the others, and known to fewer clients. Feature
    /// `zstd`.
    #[cfg(feature = "zstd")]
    Zstd,
}

impl Encoding {
    /// All that were compiled in.
    pub const ALL: &'static [Self] = &[
        #[cfg(feature = "gzip")]
        Self::Gzip,
        #[cfg(feature = "deflate")]
        Self::Deflate,
        #[cfg(feature = "zstd")]
        Self::Zstd,
    ];

    /// Its name in `grpc-encoding`.
    ///
    /// ```
    /// let names: Vec<_> = turnstile::Encoding::ALL.iter().map(|it| it.name()).collect();
    /// println!("this server can read {names:?}");
    /// ```
    pub const fn name(self) -> &'static str {
        match self {
            #[cfg(feature = "gzip")]
            Self::Gzip => "gzip",
            #[cfg(feature = "deflate")]
            Self::Deflate => "deflate",
            #[cfg(feature = "zstd")]
            Self::Zstd => "zstd",
        }
    }

    /// The encoding of this name, if it was compiled in.
    pub(crate) fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL.iter().copied().find(|encoding| encoding.name().as_bytes() == name)
    }

    const fn bit(self) -> u8 {
        match self {
            #[cfg(feature = "gzip")]
            Self::Gzip => 1,
            #[cfg(feature = "deflate")]
            Self::Deflate => 2,
            #[cfg(feature = "zstd")]
            Self::Zstd => 4,
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Without an encoding there is nothing to do.
#[cfg(not(any(feature = "gzip", feature = "deflate", feature = "zstd")))]
impl Encoding {
    pub(crate) fn compress(self, _message: &[u8]) -> Option<bytes::Bytes> {
        match self {}
    }

    pub(crate) fn decompress(
        self,
        _message: &[u8],
        _limit: usize,
    ) -> Result<bytes::Bytes, crate::status::Status> {
        match self {}
    }
}

/// A set of encodings, besides identity, which is in all of them.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Encodings(u8);

impl Encodings {
    pub(crate) fn of(encodings: &[Encoding]) -> Self {
        Self(encodings.iter().fold(0, |bits, encoding| bits | encoding.bit()))
    }

    pub(crate) const fn has(self, encoding: Encoding) -> bool {
        self.0 & encoding.bit() != 0
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The value of `grpc-accept-encoding`.
    pub(crate) const fn names(self) -> &'static str {
        match self.0 & 7 {
            0 => "identity",
            1 => "identity,gzip",
            2 => "identity,deflate",
            3 => "identity,gzip,deflate",
            4 => "identity,zstd",
            5 => "identity,gzip,zstd",
            6 => "identity,deflate,zstd",
            _ => "identity,gzip,deflate,zstd",
        }
    }
}

impl fmt::Debug for Encodings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.names())
    }
}

#[cfg(all(test, any(feature = "gzip", feature = "deflate", feature = "zstd")))]
mod tests;
