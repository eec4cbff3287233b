//! Compiles `.proto` files for [Turnstile](https://docs.rs/turnstile-grpc) in a build script.
//! No `protoc` is needed.
//!
//! # How to use it
//!
//! ```toml
//! [dependencies]
//! turnstile-grpc = "0.1"
//!
//! [build-dependencies]
//! turnstile-build = "0.1"
//! ```
//!
//! `build.rs`:
//!
//! ```no_run
//! fn main() -> turnstile_build::Result<()> {
//!     turnstile_build::compile_protos("proto/helloworld.proto")
//! }
//! ```
//!
//! Then a module of the crate includes what was generated for a package of the `.proto` files:
//!
//! ```text
//! pub mod helloworld {
//!     turnstile::include_proto!("helloworld");
//! }
//! ```
//!
//! # What is generated
//!
//! One file for each package, named after it: `helloworld.rs`, `acme.billing.v1.rs`, and `_.rs` for
//! files without a package. It holds
//!
//! - the package's messages and enums, as [prost] writes them;
//! - a module for each service, named after it in snake case (`Greeter` becomes `greeter`);
//! - `FILE_DESCRIPTOR_SET`, an encoded `google.protobuf.FileDescriptorSet` of all files and what they
//!   import, for server reflection. It has custom options and no comments.
//!
//! A service's module holds
//!
//! - `NAME`, the service's full name, and a `MethodDescriptor` for each method (`SAY_HELLO`);
//! - `Service`, the trait with `async` handlers, and `server`, which makes a `turnstile::Service` of
//!   it;
//! - `BlockingService` and `blocking_server`, the same for blocking handlers;
//! - `Client`, which makes `async` calls on a `turnstile::Channel`, and `BlockingClient`, the same with
//!   calls that block. Each has a function for each method, `with` for options, and `intercept`.
//!
//! Both traits are also implemented for an `Arc` of what implements them. [`Config`] leaves out what a
//! crate does not use.
//!
//! ## Names
//!
//! - A method or service whose name is a Rust keyword becomes a raw identifier (`r#type`), or gets an
//!   underscore where Rust has none (`self_`, `super_`, `crate_`, `extern_`).
//! - A service whose module would meet another of the same name gets `_service` at the end. The others
//!   are those of messages (`message greeter` beside `service Greeter`) and of packages below
//!   (`acme.billing` beside `service Billing` of `acme`).
//! - The descriptor of a method that is called `Name` is `NAME_`.
//! - Methods that are called `New`, `With`, `Intercept` or `Clone` are `new_`, `with_`, `intercept_` and
//!   `clone_` in clients, which have functions of these names themselves.
//! - Methods of a service, services of a package, or messages and enums of one place that differ only
//!   in case and underscores (`GetFoo`, `get_foo`) are an error.
//!
//! ## Comments
//!
//! The comments of services, methods, messages and fields become documentation. Code blocks in them
//! are marked as text, since rustdoc would take them for tests in Rust.
//!
//! # Several packages
//!
//! Generated code refers to other packages by relative paths, so the modules must be nested as the
//! packages are: `acme.billing.v1` belongs into `mod acme { mod billing { mod v1 { .. } } }`. Write
//! them so by hand, or let [`Config::include_file`] do it.
//!
//! [prost]: https://docs.rs/prost

mod code;
mod comments;
mod compile;
mod config;
mod descriptors;
mod diagnostic;
mod error;
mod names;
mod output;
mod paths;
mod resolver;
mod rpc;
mod service;
mod types;

pub use config::Config;
pub use error::Error;
pub use paths::Paths;
pub use {prost_build, prost_types};

/// What functions of this crate return, and a build script's `main`.
///
/// ```no_run
/// fn main() -> turnstile_build::Result<()> {
///     turnstile_build::compile_protos("proto/helloworld.proto")
/// }
/// ```
pub type Result<T> = std::result::Result<T, Error>;

/// Compiles `.proto` files with the default [`Config`], and writes what it generates to `OUT_DIR`.
///
/// Takes one path or several. A relative path starts at the crate's root. Imports are looked for in
/// the folders of the given files (outer ones first), then in the crate's root;
/// `google/protobuf/*.proto` are built in.
/// Cargo is told to run the build script again when one of the files or their imports changes.
///
/// # Errors
///
/// If a file or an import is missing, a file is no valid `.proto` of `syntax = "proto3"` or
/// `"proto2"` (editions are not supported), or `OUT_DIR` is not set or cannot be written. The
/// error's text says where, with the line of the `.proto` file.
///
/// # Examples
///
/// ```no_run
/// fn main() -> turnstile_build::Result<()> {
///     turnstile_build::compile_protos(["proto/greeter.proto", "proto/route_guide.proto"])
/// }
/// ```
pub fn compile_protos(protos: impl Paths) -> Result<()> {
    Config::new().compile_protos(protos)
}
