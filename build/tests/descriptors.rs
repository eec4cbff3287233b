//! `FILE_DESCRIPTOR_SET`, and what is compiled from descriptors.

mod support;

use std::fs;

use prost_types::FileDescriptorSet;
use turnstile_build::Config;

/// Compiles a file of `tests/protos`, and gives the descriptors of one package.
fn descriptors_of(folder: &str, proto: &str, package: &str) -> Vec<u8> {
    let output = support::folder(folder);
    Config::new()
        .includes("tests/protos")
        .out_dir(&output)
        .compile_protos(proto)
        .expect("it compiles");
    fs::read(output.join(format!("{package}.bin"))).expect("it is there")
}

fn decode(bytes: &[u8]) -> FileDescriptorSet {
    use protox::prost_reflect::prost::Message as _;
    FileDescriptorSet::decode(bytes).expect("it is a set of descriptors")
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn imports_come_before_what_imports_them() {
    let set = decode(&descriptors_of("imports", "acme/billing.proto", "acme.billing"));
    let names: Vec<_> = set.file.iter().map(|file| file.name()).collect();
    let position = |name| names.iter().position(|it| *it == name).expect("it is there");
    for import in ["acme/root.proto", "google/protobuf/empty.proto"] {
        assert!(position(import) < position("acme/billing.proto"), "{names:?}");
    }
}

#[test]
fn each_package_has_the_whole_set() {
    let output = support::folder("each_package");
    Config::new()
        .includes("tests/protos")
        .out_dir(&output)
        .compile_protos(["acme/billing.proto", "no_package.proto"])
        .expect("it compiles");
    let sets = ["acme", "acme.billing", "_"]
        .map(|package| fs::read(output.join(format!("{package}.bin"))).expect("it is there"));
    assert!(sets[0] == sets[1] && sets[1] == sets[2]);
    assert!(decode(&sets[0]).file.iter().any(|file| file.name() == "no_package.proto"));
}

#[test]
fn custom_options_stay_and_comments_go() {
    let bytes = descriptors_of("options", "options.proto", "options");
    assert!(contains(&bytes, "the whole world"));
    assert!(!contains(&bytes, "A comment."));
    assert!(decode(&bytes).file.iter().all(|file| file.source_code_info.is_none()));
}

#[test]
fn descriptors_compile_to_the_same_code() {
    let bytes = descriptors_of("from_protos", "options.proto", "options");
    let (encoded, decoded) = (support::folder("from_encoded"), support::folder("from_decoded"));
    Config::new().out_dir(&encoded).compile_encoded_fds(&bytes).expect("it compiles");
    Config::new().out_dir(&decoded).compile_fds(decode(&bytes)).expect("it compiles");
    let code = |folder: &std::path::Path| {
        fs::read_to_string(folder.join("options.rs")).expect("it is there")
    };
    assert_eq!(code(&encoded), code(&decoded));
    // All but comments and custom options.
    assert_eq!(fs::read(encoded.join("options.bin")).expect("it is there"), bytes);
    assert!(code(&encoded).contains("pub mod marked {"));
}

#[test]
fn descriptors_without_their_imports_are_refused() {
    let mut set = decode(&descriptors_of("incomplete", "acme/billing.proto", "acme.billing"));
    set.file.retain(|file| file.name() != "acme/root.proto");
    let output = support::folder("incomplete_output");
    let error = Config::new().out_dir(&output).compile_fds(set).expect_err("it is not complete");
    let text = error.to_string();
    assert!(text.starts_with("invalid FileDescriptorSet: acme/billing.proto: "), "{text}");
    assert!(text.contains("acme/root.proto"), "{text}");
}

#[test]
fn descriptors_of_another_syntax_are_refused() {
    use protox::prost_reflect::prost::Message as _;
    let set = decode(&descriptors_of("syntax_input", "greeter.proto", "greeter.v1"));
    let output = support::folder("syntax_output");
    for (syntax, expected) in [
        (
            "editions",
            r#"editions are not supported; write syntax = "proto3" (or "proto2") instead"#,
        ),
        ("", r#""" is no syntax; there are "proto3" and "proto2""#),
    ] {
        let mut set = set.clone();
        let file = set.file.iter_mut().find(|file| file.name() == "greeter.proto");
        file.expect("it is there").syntax = Some(syntax.to_owned());
        let encoded = set.encode_to_vec();
        for result in [
            Config::new().out_dir(&output).compile_fds(set),
            Config::new().out_dir(&output).compile_encoded_fds(encoded),
        ] {
            let text = result.expect_err("it is another syntax").to_string();
            assert_eq!(text, format!("invalid FileDescriptorSet: greeter.proto: {expected}"));
        }
    }
}

#[test]
fn bytes_that_are_no_descriptors_are_refused() {
    let output = support::folder("no_descriptors");
    let error =
        Config::new().out_dir(&output).compile_encoded_fds("hello").expect_err("it is no set");
    assert!(error.to_string().starts_with("invalid FileDescriptorSet: "), "{error}");
}

#[test]
fn unchanged_output_is_not_written_again() {
    let output = support::folder("unchanged");
    let compile = || {
        Config::new()
            .includes("tests/protos")
            .out_dir(&output)
            .compile_protos("greeter.proto")
            .expect("it compiles")
    };
    compile();
    for file in ["greeter.v1.rs", "greeter.v1.bin"] {
        let path = output.join(file);
        let old = fs::metadata(&path).expect("it is there");
        filetime_back(&path);
        compile();
        let new = fs::metadata(&path).expect("it is there");
        assert!(new.modified().expect("a time") < old.modified().expect("a time"), "{file}");
    }
}

/// Sets the time of a file an hour back, which shows whether it is written after that.
fn filetime_back(path: &std::path::Path) {
    let file = fs::File::options().write(true).open(path).expect("it can be opened");
    let hour = std::time::Duration::from_secs(3600);
    let before = std::time::SystemTime::now() - hour;
    file.set_modified(before).expect("its time can be set");
}
