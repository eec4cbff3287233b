//! Messages of protobuf, as bytes of a call.

use crate::status::Status;
use bytes::{Bytes, BytesMut};
use prost::Message;

/// Reads a message.
///
/// # Errors
/// INTERNAL with what is wrong, as gRPC's other languages answer it.
///
/// ```
/// let status = turnstile::codec::decode::<String>(&[0xff][..]).unwrap_err();
/// assert_eq!(status.code(), turnstile::Code::Internal);
/// ```
pub fn decode<M: Message + Default>(message: impl AsRef<[u8]>) -> Result<M, Status> {
    M::decode(message.as_ref()).map_err(|error| {
        Status::internal(format!("the request message cannot be read: {error}")).with_source(error)
    })
}

/// Writes a message.
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
