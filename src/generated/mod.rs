//! The code of the .proto files of the services that this crate brings. `tests/generated.rs` writes
//! it and keeps it fresh.

#![allow(
    missing_docs,
    dead_code,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    reason = "generated code says what the .proto files say"
)]

/// What describes the services that this crate brings.
pub(crate) const DESCRIPTOR_SETS: [&[u8]; 1] = [reflection_v1::FILE_DESCRIPTOR_SET];

pub(crate) mod channelz {
    include!("grpc.channelz.v1.rs");
}

pub(crate) mod rpc {
    include!("google.rpc.rs");
}

pub(crate) mod health {
    include!("grpc.health.v1.rs");
}

pub(crate) mod reflection_v1 {
    include!("grpc.reflection.v1.rs");
}
