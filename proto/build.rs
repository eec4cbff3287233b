//! Compiles the .proto files of this folder. No `protoc` is needed.

fn main() -> turnstile_build::Result<()> {
    turnstile_build::compile_protos(["helloworld.proto", "echo.proto", "route_guide.proto"])?;
    turnstile_build::Config::new()
        .includes(".")
        // Payloads, which are large.
        .bytes([".grpc.testing"])
        .compile_protos("grpc/testing/test.proto")?;
    // Its messages are JSON, so what describes them as protobuf would be of no use.
    turnstile_build::Config::new()
        .codec("crate::Json")
        .type_attribute(".", "#[derive(::serde::Deserialize, ::serde::Serialize)]")
        .type_attribute(".", "#[serde(default)]")
        .emit_descriptor_set(false)
        .compile_protos("calculator.proto")
}
