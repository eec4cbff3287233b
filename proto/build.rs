//! Compiles the .proto files of this folder with protox, so that no `protoc` is needed.

use std::error::Error;

const FILES: [&str; 2] = ["helloworld.proto", "echo.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo::rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, ["."])?;
    prost_build::Config::new().compile_fds(descriptors)?;
    Ok(())
}
