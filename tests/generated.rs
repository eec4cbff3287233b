//! The code of the services that the library brings, which is committed: a build script of its own
//! would have every user build the generator. And how users take in theirs.
//!
//! `TURNSTILE_BLESS=1 cargo test --test generated` writes it anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The .proto files below `proto/`.
const PROTOS: [&str; 6] = [
    "google/rpc/status.proto",
    "google/rpc/error_details.proto",
    "grpc/channelz/v1/channelz.proto",
    "grpc/health/v1/health.proto",
    "grpc/reflection/v1/reflection.proto",
    "grpc/reflection/v1alpha/reflection.proto",
];

#[test]
fn the_committed_code_is_what_the_proto_files_give() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let committed = root.join("src/generated");
    if std::env::var_os("TURNSTILE_BLESS").is_some() {
        names(&committed).iter().for_each(|old| fs::remove_file(committed.join(old)).unwrap());
        generate(root, &committed);
    }
    let fresh = Path::new(env!("CARGO_TARGET_TMPDIR")).join("generated");
    let _ = fs::remove_dir_all(&fresh);
    generate(root, &fresh);
    assert_eq!(names(&committed), names(&fresh));
    for name in names(&fresh) {
        let is_same = fs::read(committed.join(&name)).ok() == fs::read(fresh.join(&name)).ok();
        assert!(is_same, "{} is stale: TURNSTILE_BLESS=1 writes it anew", name.display());
    }
}

fn generate(root: &Path, folder: &Path) {
    let protos = root.join("proto");
    let files: Vec<PathBuf> = PROTOS.iter().map(|name| protos.join(name)).collect();
    turnstile_build::Config::new()
        .includes([&protos])
        .out_dir(folder)
        .runtime_path("crate")
        .blocking_server(false)
        .async_client(false)
        .blocking_client(false)
        .bytes([".grpc"])
        .configure_prost(|prost| {
            // What is put into an `Any` has to know its name.
            prost.enable_type_names();
        })
        .compile_protos(files)
        .unwrap_or_else(|error| panic!("{error}"));
    // The older reflection has the messages of the newer; its description is with the others.
    for extension in ["rs", "bin"] {
        fs::remove_file(folder.join(format!("grpc.reflection.v1alpha.{extension}"))).unwrap();
    }
}

/// What is generated in a folder.
fn names(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    let names = entries.map(|entry| PathBuf::from(entry.expect("it can be read").file_name()));
    let mut names: Vec<_> = names.filter(|name| name != "mod.rs").collect();
    names.sort();
    names
}

/// Whether rustc takes a crate that includes `package acme.billing`, and what it says.
fn including(build_script_said: Option<&Path>) -> (bool, String) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let the_macro = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/include_proto.rs");
    let source = format!(
        "#[macro_use]\n#[path = {the_macro:?}]\nmod include_proto;\n\
         pub mod billing {{ include_proto!(\"acme.billing\"); }}\n\
         pub use billing::Invoice;\n"
    );
    let name = if build_script_said.is_some() { "including.rs" } else { "including_nothing.rs" };
    fs::write(folder.join(name), source).expect("it can be written");
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.current_dir(folder).args(["--edition=2024", "--crate-type=lib", "--emit=metadata", name]);
    if let Some(path) = build_script_said {
        rustc.env("TURNSTILE_PROTO_acme.billing", path);
    }
    let output = rustc.output().expect("rustc has built this test");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_package_is_included_from_where_the_build_script_has_put_it() {
    let code = Path::new(env!("CARGO_TARGET_TMPDIR")).join("acme.billing.rs");
    fs::write(&code, "pub struct Invoice;\n").expect("it can be written");
    let (is_ok, said) = including(Some(&code));
    assert!(is_ok, "{said}");
}

#[test]
fn a_package_that_no_build_script_has_compiled_is_named_with_what_to_do() {
    let (is_ok, said) = including(None);
    let expected = "error: there is no code of `package acme.billing`: the crate needs a build.rs \
                    that gives a .proto file with this package to turnstile_build::compile_protos";
    assert!(!is_ok && said.contains(expected), "{said}");
}
