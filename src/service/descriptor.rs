//! What a method is, apart from how it is served.

use crate::codec::{Codec, Prost};
use crate::status::Status;
use bytes::Bytes;
use std::fmt;
use std::marker::PhantomData;

/// How many messages each side of a method sends.
///
/// ```
/// use turnstile::MethodKind;
///
/// assert!(MethodKind::ServerStreaming.has_one_request());
/// assert!(!MethodKind::ServerStreaming.has_one_reply());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodKind {
    /// One request, one reply.
    Unary,
    /// Any number of requests, one reply.
    ClientStreaming,
    /// One request, any number of replies.
    ServerStreaming,
    /// Any number of both, in any order.
    BidiStreaming,
}

impl MethodKind {
    /// Whether the client sends exactly one message.
    pub const fn has_one_request(self) -> bool {
        matches!(self, Self::Unary | Self::ServerStreaming)
    }

    /// Whether the server sends exactly one message, if all goes well.
    pub const fn has_one_reply(self) -> bool {
        matches!(self, Self::Unary | Self::ClientStreaming)
    }
}

/// A method of a service: its path, its kind, its messages and their codec. `turnstile-build` makes
/// one for each method of a .proto file.
///
/// ```
/// use turnstile::{MethodDescriptor, MethodKind};
///
/// const ECHO: MethodDescriptor<String, String> = MethodDescriptor::unary("/demo.Echo/Say");
/// assert_eq!((ECHO.path(), ECHO.kind()), ("/demo.Echo/Say", MethodKind::Unary));
/// ```
pub struct MethodDescriptor<Req, Res, C = Prost> {
    path: &'static str,
    kind: MethodKind,
    types: PhantomData<fn(Req, C) -> Res>,
}

impl<Req, Res, C> MethodDescriptor<Req, Res, C> {
    /// A method with one request and one reply. `path` is `/package.Service/Method`.
    ///
    /// ```
    /// # use turnstile::MethodDescriptor;
    /// const DOUBLE: MethodDescriptor<u64, u64> = MethodDescriptor::unary("/demo.Numbers/Double");
    /// ```
    pub const fn unary(path: &'static str) -> Self {
        Self::new(path, MethodKind::Unary)
    }

    /// A method with any number of requests and one reply.
    ///
    /// ```
    /// # use turnstile::MethodDescriptor;
    /// const SUM: MethodDescriptor<u64, u64> = MethodDescriptor::client_streaming("/demo.Numbers/Sum");
    /// ```
    pub const fn client_streaming(path: &'static str) -> Self {
        Self::new(path, MethodKind::ClientStreaming)
    }

    /// A method with one request and any number of replies.
    ///
    /// ```
    /// # use turnstile::MethodDescriptor;
    /// const COUNT: MethodDescriptor<u64, u64> = MethodDescriptor::server_streaming("/demo.Numbers/Count");
    /// ```
    pub const fn server_streaming(path: &'static str) -> Self {
        Self::new(path, MethodKind::ServerStreaming)
    }

    /// A method with any number of requests and of replies.
    ///
    /// ```
    /// # use turnstile::MethodDescriptor;
    /// const TOTALS: MethodDescriptor<u64, u64> = MethodDescriptor::bidi_streaming("/demo.Numbers/Totals");
    /// ```
    pub const fn bidi_streaming(path: &'static str) -> Self {
        Self::new(path, MethodKind::BidiStreaming)
    }

    const fn new(path: &'static str, kind: MethodKind) -> Self {
        Self { path, kind, types: PhantomData }
    }

    /// Its path: `/package.Service/Method`.
    pub const fn path(&self) -> &'static str {
        self.path
    }

    /// How many messages each side sends.
    pub const fn kind(&self) -> MethodKind {
        self.kind
    }

    /// Reads a request message, for those who serve it on a completion queue.
    ///
    /// # Errors
    /// The codec's.
    ///
    /// ```
    /// # use turnstile::{Bytes, Code, MethodDescriptor};
    /// # const DOUBLE: MethodDescriptor<u64, u64> = MethodDescriptor::unary("/demo.Numbers/Double");
    /// let number = DOUBLE.decode_request(Bytes::from_static(&[0x08, 0x07]))?;
    /// assert_eq!(number, 7);
    /// let error = DOUBLE.decode_request(Bytes::from_static(&[0xff])).unwrap_err();
    /// assert_eq!(error.code(), Code::Internal);
    /// # Ok::<(), turnstile::Status>(())
    /// ```
    pub fn decode_request(&self, bytes: Bytes) -> Result<Req, Status>
    where
        C: Codec<Req>,
    {
        C::decode(bytes)
    }

    /// Writes a request message, for those who call it on a completion queue.
    ///
    /// # Errors
    /// The codec's.
    ///
    /// ```
    /// # use turnstile::MethodDescriptor;
    /// # const DOUBLE: MethodDescriptor<u64, u64> = MethodDescriptor::unary("/demo.Numbers/Double");
    /// assert_eq!(DOUBLE.encode_request(&7)?, [0x08, 0x07][..]);
    /// # Ok::<(), turnstile::Status>(())
    /// ```
    pub fn encode_request(&self, request: &Req) -> Result<Bytes, Status>
    where
        C: Codec<Req>,
    {
        C::encode(request)
    }

    /// Reads a reply message, for those who call it on a completion queue.
    ///
    /// # Errors
    /// The codec's.
    ///
    /// ```
    /// # use turnstile::{Bytes, Code, MethodDescriptor};
    /// # const DOUBLE: MethodDescriptor<u64, u64> = MethodDescriptor::unary("/demo.Numbers/Double");
    /// let number = DOUBLE.decode_reply(Bytes::from_static(&[0x08, 0x0e]))?;
    /// assert_eq!(number, 14);
    /// let error = DOUBLE.decode_reply(Bytes::from_static(&[0xff])).unwrap_err();
    /// assert_eq!(error.code(), Code::Internal);
    /// # Ok::<(), turnstile::Status>(())
    /// ```
    pub fn decode_reply(&self, bytes: Bytes) -> Result<Res, Status>
    where
        C: Codec<Res>,
    {
        C::decode(bytes)
    }

    /// Writes a reply message, for those who serve it on a completion queue.
    ///
    /// # Errors
    /// The codec's.
    ///
    /// ```
    /// # use turnstile::MethodDescriptor;
    /// # const DOUBLE: MethodDescriptor<u64, u64> = MethodDescriptor::unary("/demo.Numbers/Double");
    /// assert_eq!(DOUBLE.encode_reply(&14)?, [0x08, 0x0e][..]);
    /// # Ok::<(), turnstile::Status>(())
    /// ```
    pub fn encode_reply(&self, reply: &Res) -> Result<Bytes, Status>
    where
        C: Codec<Res>,
    {
        C::encode(reply)
    }
}

impl<Req, Res, C> Clone for MethodDescriptor<Req, Res, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Req, Res, C> Copy for MethodDescriptor<Req, Res, C> {}

impl<Req, Res, C> fmt::Debug for MethodDescriptor<Req, Res, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MethodDescriptor")
            .field("path", &self.path)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}
