//! What the programs of gRPC's interoperability tests are made of.
//!
//! The cases and what a server does for them are those of `doc/interop-test-descriptions.md` in
//! gRPC's repository. Cases that need TLS, credentials or load reports (ORCA) are left out.

pub mod client;
mod flags;
mod service;

pub use flags::Flags;
pub use service::TestService;
