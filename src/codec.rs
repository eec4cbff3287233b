//! Codecs: how a method's messages become bytes.
//!
//! A [`Codec`] has no state: it is a type that a [`MethodDescriptor`](crate::MethodDescriptor)
//! names. [`Prost`] is the default. [`encode`] and [`decode`] are for those who write on the
//! completion queue and have bytes in their hands.
//!
//! Nothing here blocks; all of it may be called from any thread. How large a message may be is the
//! server's to say ([`Builder::max_receive_message_size`](crate::Builder::max_receive_message_size)),
//! before a codec sees it. `examples/custom_codec.rs` has messages in JSON.
//!
//! ```
//! use turnstile::codec::{Codec, Prost};
//!
//! fn round_trip<M, C: Codec<M>>(message: &M) -> Result<M, turnstile::Status> {
//!     C::decode(C::encode(message)?)
//! }
//! assert_eq!(round_trip::<String, Prost>(&"hello".to_owned()).unwrap(), "hello");
//! ```

use crate::status::Status;
use bytes::{Bytes, BytesMut};
use prost::Message;

/// A way to write messages of type `M` as bytes, and to read them.
///
/// The bytes are those of one gRPC message: without its prefix, and before compression.
///
/// ```
/// use turnstile::codec::Codec;
/// use turnstile::{Bytes, Status};
///
/// /// Text as it is.
/// struct Text;
///
/// impl Codec<String> for Text {
///     const SUBTYPE: &'static str = "text";
///
///     fn encode(message: &String) -> Result<Bytes, Status> {
///         Ok(Bytes::copy_from_slice(message.as_bytes()))
///     }
///
///     fn decode(bytes: Bytes) -> Result<String, Status> {
///         String::from_utf8(bytes.into()).map_err(|error| {
///             Status::internal(format!("the message is no UTF-8: {error}")).with_source(error)
///         })
///     }
/// }
/// ```
pub trait Codec<M>: 'static {
    /// What follows `application/grpc+` in the content type of requests that are encoded like
    /// this. Requests with no subtype are taken too.
    const SUBTYPE: &'static str;

    /// Writes a message.
    ///
    /// # Errors
    /// Why the message cannot be written; the call ends with this status.
    fn encode(message: &M) -> Result<Bytes, Status>;

    /// Reads a message.
    ///
    /// # Errors
    /// What is wrong with the bytes, most often INTERNAL; the call ends with this status.
    fn decode(bytes: Bytes) -> Result<M, Status>;
}

/// Protobuf, by the [`prost`] crate: the codec of a
/// [`MethodDescriptor`](crate::MethodDescriptor) that names none. Its messages are those that
/// `turnstile-build` generates, and the scalar types that stand for Google's wrappers.
///
/// ```
/// use turnstile::codec::{Codec, Prost};
///
/// let bytes = Prost::encode(&true).unwrap();
/// assert_eq!(bytes, [0x08, 0x01][..]); // field 1 of google.protobuf.BoolValue
/// let status = <Prost as Codec<bool>>::decode((&[0x08][..]).into()).unwrap_err();
/// assert_eq!(status.code(), turnstile::Code::Internal);
/// ```
#[derive(Debug)]
pub enum Prost {}

impl<M: Message + Default> Codec<M> for Prost {
    const SUBTYPE: &'static str = "proto";

    fn encode(message: &M) -> Result<Bytes, Status> {
        Ok(encode(message))
    }

    fn decode(bytes: Bytes) -> Result<M, Status> {
        decode_from(bytes)
    }
}

/// Messages that are bytes, and stay so: for proxies, and for those who decode by themselves.
/// Neither way copies the bytes. It takes requests of any subtype.
///
/// ```
/// use turnstile::codec::Raw;
/// use turnstile::{Bytes, MethodDescriptor, Response, service};
///
/// const STORE: MethodDescriptor<Bytes, Bytes, Raw> = MethodDescriptor::unary("/demo.Blobs/Store");
///
/// let blobs = service::Builder::new("demo.Blobs", ())
///     .unary(STORE, |_, blob| async move { Ok(Response::new(blob.slice(..blob.len().min(8)))) })
///     .build();
/// # assert_eq!(blobs.paths().count(), 1);
/// ```
#[derive(Debug)]
pub enum Raw {}

impl Codec<Bytes> for Raw {
    const SUBTYPE: &'static str = "";

    fn encode(message: &Bytes) -> Result<Bytes, Status> {
        Ok(message.clone())
    }

    fn decode(bytes: Bytes) -> Result<Bytes, Status> {
        Ok(bytes)
    }
}

/// Reads a message of protobuf.
///
/// # Errors
/// INTERNAL with what is wrong, as gRPC's other languages answer it.
///
/// ```
/// let status = turnstile::codec::decode::<String>(&[0xff][..]).unwrap_err();
/// assert_eq!(status.code(), turnstile::Code::Internal);
/// ```
pub fn decode<M: Message + Default>(message: impl AsRef<[u8]>) -> Result<M, Status> {
    decode_from(message.as_ref())
}

fn decode_from<M: Message + Default>(message: impl bytes::Buf) -> Result<M, Status> {
    M::decode(message).map_err(|error| {
        Status::internal(format!("the message cannot be read: {error}")).with_source(error)
    })
}

/// Writes a message of protobuf, with one allocation. Cannot fail.
///
/// ```
/// let bytes = turnstile::codec::encode(&"hello".to_owned());
/// assert_eq!(turnstile::codec::decode::<String>(bytes).unwrap(), "hello");
/// ```
pub fn encode<M: Message>(message: &M) -> Bytes {
    let mut bytes = BytesMut::with_capacity(message.encoded_len());
    // The buffer grows, so that writing to it cannot fail.
    message.encode_raw(&mut bytes);
    bytes.freeze()
}
