//! Generates the greeter's messages and tonic client from the repository's own `.proto` file, with
//! protox in place of `protoc`.

use std::error::Error;

const FOLDER: &str = "../../proto";
const FILE: &str = "helloworld.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={FOLDER}/{FILE}");
    let descriptors = protox::compile([FILE], [FOLDER])?;
    tonic_prost_build::configure().build_server(false).compile_fds(descriptors)?;
    Ok(())
}
