//! Message types of Turnstile's examples and tests, one module for each proto package.

/// `package helloworld`, as in gRPC's own examples.
pub mod helloworld {
    include!(concat!(env!("OUT_DIR"), "/helloworld.rs"));
}

/// `package turnstile.echo`: one method of each of the four kinds.
pub mod echo {
    include!(concat!(env!("OUT_DIR"), "/turnstile.echo.rs"));
}
