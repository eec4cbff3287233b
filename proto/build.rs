//! Compiles the .proto files of this folder. No `protoc` is needed.

fn main() -> turnstile_build::Result<()> {
    turnstile_build::compile_protos(["helloworld.proto", "echo.proto", "route_guide.proto"])
}
