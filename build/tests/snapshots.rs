//! The generated code, compared with what is in `tests/snapshots`. `TURNSTILE_BLESS=1` writes that
//! anew.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::{env, fs};

use turnstile_build::Config;

/// Compiles, and compares all text files with those of a snapshot.
fn check(name: &str, compile: impl FnOnce(&mut Config) -> turnstile_build::Result<()>) {
    let output = support::folder(name);
    compile(Config::new().includes("tests/protos").out_dir(&output)).expect("it compiles");
    let written = texts(&output);
    let snapshot = Path::new("tests/snapshots").join(name);
    if env::var_os("TURNSTILE_BLESS").is_some() {
        let _ = fs::remove_dir_all(&snapshot);
        fs::create_dir_all(&snapshot).expect("the folder can be made");
        for (file, text) in &written {
            fs::write(snapshot.join(file), text).expect("a snapshot can be written");
        }
    }
    let expected = texts(&snapshot);
    assert!(written.keys().eq(expected.keys()), "{:?}, {:?}", written.keys(), expected.keys());
    for (file, text) in &written {
        let lines = text.lines().zip(expected[file].lines());
        let different = lines.enumerate().find(|(_, (written, expected))| written != expected);
        assert!(
            *text == expected[file],
            "{name}/{file} is not as its snapshot; the first different line is {different:?}. If \
             it should be so, TURNSTILE_BLESS=1 writes the snapshot"
        );
    }
}

/// The Rust files of a folder, by name.
fn texts(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}; see TURNSTILE_BLESS", folder.display()));
    let paths = entries.map(|entry| entry.expect("the folder can be read").path());
    let texts = paths.filter(|path| path.extension().is_some_and(|it| it == "rs")).map(|path| {
        let name = path.file_name().expect("it has a name").to_string_lossy().into_owned();
        (name, fs::read_to_string(&path).expect("it is text"))
    });
    texts.collect()
}

#[test]
fn a_service_has_methods_of_four_kinds_and_comments() {
    check("greeter", |config| config.compile_protos("tests/protos/greeter.proto"));
}

#[test]
fn names_that_rust_or_the_generated_code_has_taken_are_changed() {
    check("names", |config| config.compile_protos("tests/protos/names.proto"));
}

#[test]
fn types_of_other_packages_and_well_known_types_are_found() {
    check("packages", |config| {
        config.include_file("protos.rs").compile_protos([
            "tests/protos/acme/billing.proto",
            "tests/protos/acme/root.proto",
            "tests/protos/no_package.proto",
        ])
    });
}

#[test]
fn options_change_what_is_generated() {
    check("configured", |config| {
        config
            .codec("crate::Json")
            .runtime_path("crate")
            .blocking_server(false)
            .async_client(false)
            .emit_descriptor_set(false)
            .extern_path(".acme.Root", "::acme::Root")
            .bytes([".acme"])
            .btree_map([".acme"])
            .type_attribute(".acme.billing.Invoice", "#[derive(Type)]")
            .message_attribute("Invoice.Line", "#[derive(Message)]")
            .enum_attribute(".", "#[derive(Enum)]")
            .field_attribute("Invoice.scan", "#[field]")
            .service_attribute(".acme.billing", "#[cfg(feature = \"billing\")]")
            .configure_prost(|prost| {
                prost.skip_debug(["Tax"]);
            })
            .compile_protos("acme/billing.proto")
    });
}

#[test]
fn only_descriptors_of_methods_are_left_without_servers_and_clients() {
    check("descriptors", |config| {
        config.async_server(false).blocking_server(false);
        config.async_client(false).blocking_client(false);
        config.compile_protos("no_package.proto")
    });
}
