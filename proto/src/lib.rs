//! Messages and services of Turnstile's examples and tests, one module for each proto package.

/// Compiles the README's examples, here where the generated code is that they include.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

mod json;

pub use json::Json;

/// `package helloworld`, as in gRPC's own examples.
pub mod helloworld {
    turnstile::include_proto!("helloworld");
}

/// `package turnstile.echo`: one method of each of the four kinds.
pub mod echo {
    turnstile::include_proto!("turnstile.echo");
}

/// `package routeguide`, as in gRPC's own tutorials.
pub mod routeguide {
    turnstile::include_proto!("routeguide");
}

/// `package grpc.testing`, the services of gRPC's interoperability tests.
pub mod testing {
    turnstile::include_proto!("grpc.testing");
}

/// `package turnstile.calculator`, with messages in JSON.
pub mod calculator {
    turnstile::include_proto!("turnstile.calculator");
}
