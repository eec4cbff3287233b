//! A codec of one's own: messages as JSON, by serde.

use serde::Serialize;
use serde::de::DeserializeOwned;
use turnstile::codec::Codec;
use turnstile::{Bytes, Status};

/// Messages as JSON. A client says so with the content type `application/grpc+json`.
#[derive(Debug)]
pub enum Json {}

impl<M: Serialize + DeserializeOwned> Codec<M> for Json {
    const SUBTYPE: &'static str = "json";

    fn encode(message: &M) -> Result<Bytes, Status> {
        serde_json::to_vec(message).map(Bytes::from).map_err(|error| {
            Status::internal(format!("the message cannot be JSON: {error}")).with_source(error)
        })
    }

    fn decode(bytes: Bytes) -> Result<M, Status> {
        serde_json::from_slice(&bytes).map_err(|error| {
            Status::internal(format!("the message is not the JSON that this method has: {error}"))
                .with_source(error)
        })
    }
}
