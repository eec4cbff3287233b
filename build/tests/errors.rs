//! What goes wrong, and how it reads.

mod support;

use std::fs;
use std::path::Path;

use turnstile_build::{Config, Error};

/// Writes files to a folder.
fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("it has a folder")).expect("it can be made");
        fs::write(path, text).expect("it can be written");
    }
}

/// The error of compiling `a.proto` of these files, with the folder's path as `DIR`.
fn error_of(name: &str, files: &[(&str, &str)]) -> String {
    let folder = support::folder(name);
    write(&folder, files);
    let result = Config::new().out_dir(&folder).compile_protos(folder.join("a.proto"));
    text_of(result.expect_err("it is wrong"), &folder)
}

fn text_of(error: Error, folder: &Path) -> String {
    let text = error.to_string();
    assert_eq!(format!("{error:?}"), text, "build scripts print Debug");
    text.replace(&folder.display().to_string(), "DIR")
}

#[test]
fn a_syntax_error_says_where() {
    let text =
        error_of("syntax", &[("a.proto", "syntax = \"proto3\";\nmessage A {\n\tstring = 1;\n}\n")]);
    assert_eq!(
        text,
        r"DIR/a.proto:3:9: expected an identifier, but found '='
  |
3 | 	string = 1;
  | 	       ^ found here"
    );
}

/// What some editors on Windows put before a text.
const BYTE_ORDER_MARK: &str = "\u{feff}";

#[test]
fn a_byte_order_mark_is_skipped() {
    let folder = support::folder("byte_order_mark");
    let a = format!("{BYTE_ORDER_MARK}syntax = \"proto3\";\nimport \"b.proto\";\n");
    let b = format!("{BYTE_ORDER_MARK}syntax = \"proto3\";\nmessage FromB {{}}\n");
    write(&folder, &[("a.proto", &a), ("b.proto", &b)]);
    Config::new().out_dir(&folder).compile_protos(folder.join("a.proto")).expect("protoc takes it");
    let code = fs::read_to_string(folder.join("_.rs")).expect("it is written");
    assert!(code.contains("pub struct FromB"), "{code}");
}

#[test]
fn behind_a_byte_order_mark_an_error_says_where() {
    let a = format!("{BYTE_ORDER_MARK}syntax = \"proto3\"; message {{}}\n");
    assert_eq!(
        error_of("error_behind_mark", &[("a.proto", &a)]),
        r#"DIR/a.proto:1:28: expected an identifier, but found '{'
  |
1 | syntax = "proto3"; message {}
  |                            ^ found here"#
    );
    let a = format!("{BYTE_ORDER_MARK}syntax = \"proto3\"; message A {{ B b = 1; }}\n");
    let text = error_of("type_behind_mark", &[("a.proto", &a)]);
    assert!(text.starts_with("DIR/a.proto:1:32: name 'B' is not defined\n"), "{text}");
}

#[test]
fn an_edition_is_not_supported_and_proto3_is() {
    let a = "// A comment.\nedition = \"2023\";\npackage p;\nmessage A {}\n";
    assert_eq!(
        error_of("edition", &[("a.proto", a)]),
        r#"DIR/a.proto:2:1: editions are not supported; write syntax = "proto3" (or "proto2") instead
  |
2 | edition = "2023";
  | ^^^^^^^"#
    );
    let a = "syntax = \"proto3\";\nimport \"b.proto\";\n";
    let b = "edition='2024';\n";
    assert_eq!(
        error_of("edition_in_import", &[("a.proto", a), ("b.proto", b)]),
        r#"DIR/b.proto:1:1: editions are not supported; write syntax = "proto3" (or "proto2") instead
  |
1 | edition='2024';
  | ^^^^^^^"#
    );
}

#[test]
fn what_is_called_edition_and_is_none_is_another_error() {
    let a = "syntax = \"proto3\";\nedition Book {}\n";
    let text = error_of("no_edition", &[("a.proto", a)]);
    assert!(text.starts_with("DIR/a.proto:2:1: expected "), "{text}");
    let a = "syntax = \"proto3\";\nmessage Book { edition = 1; }\n";
    let text = error_of("no_edition_field", &[("a.proto", a)]);
    assert!(text.starts_with("DIR/a.proto:2:24: expected "), "{text}");
}

#[test]
fn a_type_that_is_missing_says_where() {
    let a = "syntax = \"proto3\";\nservice S {\n  rpc Get(A) returns (Missing);\n}\nmessage A {}\n";
    assert_eq!(
        error_of("missing_type", &[("a.proto", a)]),
        r"DIR/a.proto:3:23: name 'Missing' is not defined
  |
3 |   rpc Get(A) returns (Missing);
  |                       ^^^^^^^ found here"
    );
}

#[test]
fn an_import_that_is_missing_says_where_it_was_looked_for() {
    let a = "syntax = \"proto3\";\nimport \"b/missing.proto\";\n";
    assert_eq!(
        error_of("missing_import", &[("a.proto", a)]),
        r#"DIR/a.proto:2:1: import 'b/missing.proto' not found
  |
2 | import "b/missing.proto";
  | ^^^^^^^^^^^^^^^^^^^^^^^^^ imported here
looked in `DIR`, `.`; `Config::includes` names other folders"#
    );
}

#[test]
fn an_error_in_an_import_is_shown_there() {
    let a = "syntax = \"proto3\";\nimport \"b/b.proto\";\n";
    let b = "syntax = \"proto3\";\nmessage B { Nothing n = 1; }\n";
    assert_eq!(
        error_of("in_import", &[("a.proto", a), ("b/b.proto", b)]),
        r"DIR/b/b.proto:2:13: name 'Nothing' is not defined
  |
2 | message B { Nothing n = 1; }
  |             ^^^^^^^ found here"
    );
}

#[test]
fn two_services_of_one_name_in_a_file_are_shown_both() {
    let a = "syntax = \"proto3\";\npackage p;\nservice S {}\nservice S {}\n";
    assert_eq!(
        error_of("two_services", &[("a.proto", a)]),
        r"DIR/a.proto:4:9: name 'p.S' is defined twice
  |
4 | service S {}
  |         ^ defined again here
DIR/a.proto:3:9: first defined here
  |
3 | service S {}
  |         ^"
    );
}

#[test]
fn two_services_of_one_name_in_two_files_are_both_named() {
    let a = "syntax = \"proto3\";\npackage p;\nimport \"b.proto\";\nservice S {}\n";
    let b = "syntax = \"proto3\";\npackage p;\nservice S {}\n";
    assert_eq!(
        error_of("two_files", &[("a.proto", a), ("b.proto", b)]),
        r"DIR/a.proto:4:9: name 'p.S' is already defined in file 'b.proto'
  |
4 | service S {}
  |         ^ defined again here"
    );
}

#[test]
fn files_have_one_name_in_whatever_order_they_are_given() {
    let folder = support::folder("order");
    let a = "syntax = \"proto3\";\nimport \"b/b.proto\";\n";
    let b = "syntax = \"proto3\";\nmessage B {}\n";
    write(&folder, &[("a.proto", a), ("b/b.proto", b)]);
    let [a, b] = ["a.proto", "b/b.proto"].map(|name| folder.join(name));
    Config::new().out_dir(&folder).compile_protos([&a, &b]).expect("b/b.proto is itself");
    Config::new().out_dir(&folder).compile_protos([&b, &a]).expect("b/b.proto is itself");
}

#[test]
fn a_file_under_two_names_is_recognised() {
    let folder = support::folder("two_names");
    let a = "syntax = \"proto3\";\nimport \"in/b.proto\";\n";
    let b = "syntax = \"proto3\";\nmessage B {}\n";
    write(&folder, &[("in/a.proto", a), ("in/b.proto", b)]);
    let result = Config::new()
        .includes([folder.join("in"), folder.clone()])
        .out_dir(&folder)
        .compile_protos([folder.join("in/b.proto"), folder.join("in/a.proto")]);
    assert_eq!(
        text_of(result.expect_err("it is wrong"), &folder),
        r#"DIR/in/b.proto:2:9: name 'B' is already defined in file 'b.proto'
  |
2 | message B {}
  |         ^ defined again here
the same file is known as "b.proto" and as "in/b.proto": name the folder that imports start from with `Config::includes`"#
    );
}

#[test]
fn methods_that_would_be_one_function_are_refused() {
    let a = "syntax = \"proto3\";\nservice S {\n  rpc GetIt(A) returns (A);\n  \
             rpc get_it(A) returns (A);\n}\nmessage A {}\n";
    assert_eq!(
        error_of("one_function", &[("a.proto", a)]),
        r"DIR/a.proto:4:7: methods `GetIt` and `get_it` would both be the function `get_it`: rename one of them
  |
4 |   rpc get_it(A) returns (A);
  |       ^^^^^^"
    );
}

#[test]
fn services_that_would_be_one_module_are_refused() {
    let a = "syntax = \"proto3\";\nservice Log {}\nservice LOG {}\n";
    assert_eq!(
        error_of("one_module", &[("a.proto", a)]),
        r"DIR/a.proto:3:9: services `Log` and `LOG` would both be the module `log`: rename one of them
  |
3 | service LOG {}
  |         ^^^"
    );
}

#[test]
fn a_service_that_finds_both_its_names_taken_is_refused() {
    let a = "syntax = \"proto3\";\nservice Log {}\nservice LogService {}\nmessage LOG {}\n";
    assert_eq!(
        error_of("both_taken", &[("a.proto", a)]),
        r"DIR/a.proto:2:9: the module of service `Log` could be neither `log` nor `log_service`: both are taken. Rename the service, or what takes them
  |
2 | service Log {}
  |         ^^^"
    );
}

#[test]
fn messages_and_enums_that_would_be_one_type_are_refused() {
    let a = "syntax = \"proto3\";\nmessage FooBar {}\nmessage Foo_Bar {}\n";
    assert_eq!(
        error_of("one_type", &[("a.proto", a)]),
        r"DIR/a.proto:3:9: `FooBar` and `Foo_Bar` would both be the type `FooBar`: rename one of them
  |
3 | message Foo_Bar {}
  |         ^^^^^^^"
    );
    let a = "syntax = \"proto3\";\nmessage Level_1 {}\nenum Level1 { ZERO = 0; }\n";
    let text = error_of("one_type_enum", &[("a.proto", a)]);
    let expected = "`Level1` and `Level_1` would both be the type `Level1`: rename one of them";
    assert!(text.starts_with(&format!("DIR/a.proto:2:9: {expected}")), "{text}");
    // Two files of one package are one file in Rust.
    let a = "syntax = \"proto3\";\npackage p;\nimport \"b.proto\";\nmessage FOO {}\n";
    let b = "syntax = \"proto3\";\npackage p;\nmessage Foo {}\n";
    let text = error_of("one_type_of_two_files", &[("a.proto", a), ("b.proto", b)]);
    assert!(text.contains("`Foo` and `FOO` would both be the type `Foo`"), "{text}");
}

#[test]
fn nested_messages_and_enums_that_would_be_one_type_are_refused() {
    let a = "syntax = \"proto3\";\nmessage A {\n  message B {\n    message aB {}\n    \
             enum AB { ZERO = 0; }\n    message a_b {}\n  }\n}\n";
    let text = error_of("one_nested_type", &[("a.proto", a)]);
    assert!(
        text.starts_with("DIR/a.proto:6:13: `aB` and `a_b` would both be the type `AB`"),
        "{text}"
    );
}

#[test]
fn types_of_one_name_in_different_places_are_fine() {
    let folder = support::folder("many_types");
    // Only what is generated counts: neither the entries of maps, nor what is there already.
    let a = "syntax = \"proto3\";\npackage p;\nmessage FooBar {\n  message Foo_Bar {}\n  \
             message baz_entry {}\n  map<string, string> baz = 1;\n}\nmessage Other {}\n\
             message other { message Other {} }\n";
    write(&folder, &[("a.proto", a)]);
    Config::new()
        .out_dir(&folder)
        .extern_path(".p.other", "crate::Other")
        .compile_protos(folder.join("a.proto"))
        .expect("no two types of a module have one name");
}

#[test]
fn names_without_a_letter_are_refused() {
    let a = "syntax = \"proto3\";\nmessage _ {}\n";
    assert_eq!(
        error_of("no_letter_in_type", &[("a.proto", a)]),
        r"DIR/a.proto:2:9: `_` has no letter to name a type after
  |
2 | message _ {}
  |         ^"
    );
    let a = "syntax = \"proto3\";\nservice S { rpc _(A) returns (A); }\nmessage A {}\n";
    assert_eq!(
        error_of("no_letter", &[("a.proto", a)]),
        r"DIR/a.proto:2:17: method `_` has no letter to name a function after
  |
2 | service S { rpc _(A) returns (A); }
  |                 ^"
    );
}

#[test]
fn a_file_that_is_missing_is_named() {
    let folder = support::folder("missing_file");
    let current = std::env::current_dir().expect("there is a current folder");
    let error = Config::new().out_dir(&folder).compile_protos("a.proto");
    let text = error.expect_err("it is not there").to_string();
    assert_eq!(text, format!("there is no file `a.proto` (seen from `{}`)", current.display()));
}

#[test]
fn a_folder_is_no_file() {
    let folder = support::folder("folder");
    write(&folder, &[("acme/a.proto", "syntax = \"proto3\";\n")]);
    let error = |path: &Path| {
        let result = Config::new().includes([&folder]).out_dir(&folder).compile_protos(path);
        text_of(result.expect_err("it is no file"), &folder)
    };
    let text = "is a folder: name the .proto files in it, each by its path";
    assert_eq!(error(Path::new("tests")), format!("`tests` {text}"));
    assert_eq!(error(&folder.join("acme")), format!("`DIR/acme` {text}"));
    assert_eq!(error(Path::new("acme")), format!("`acme` {text}"));
}

#[test]
fn a_file_outside_of_the_include_folders_is_named() {
    let folder = support::folder("outside");
    let error = Config::new()
        .includes(["tests/protos/acme", "nowhere"])
        .out_dir(&folder)
        .compile_protos("tests/protos/greeter.proto")
        .expect_err("it is outside");
    assert_eq!(
        error.to_string(),
        r"file 'tests/protos/greeter.proto' is not in any include path
looked in `tests/protos/acme`, `nowhere` (no such folder); `Config::includes` names other folders"
    );
}

#[test]
fn an_output_folder_must_be_known() {
    let error = turnstile_build::compile_protos("tests/protos/greeter.proto")
        .expect_err("OUT_DIR is for build scripts");
    assert!(error.to_string().starts_with("OUT_DIR is not set"), "{error}");
}

#[test]
fn an_output_folder_that_cannot_be_made_is_named() {
    let folder = support::folder("no_folder");
    write(&folder, &[("file", "text")]);
    let error = Config::new()
        .out_dir(folder.join("file/below"))
        .compile_protos("tests/protos/greeter.proto")
        .expect_err("a file is no folder");
    let source = std::error::Error::source(&error).expect("the system's error is kept").to_string();
    let text = text_of(error, &folder);
    assert_eq!(text, format!("cannot make the folder `DIR/file/below`: {source}"));
}

#[test]
fn no_file_is_an_error() {
    let error =
        turnstile_build::compile_protos(Vec::<String>::new()).expect_err("there is no file");
    assert_eq!(error.to_string(), "no .proto file was given");
}

#[test]
fn paths_that_mean_nothing_to_prost_are_an_error() {
    let folder = support::folder("extern_path");
    let error = Config::new()
        .out_dir(&folder)
        .extern_path("acme", "::acme")
        .compile_protos("tests/protos/greeter.proto")
        .expect_err("it does not begin with a dot");
    assert_eq!(
        error.to_string(),
        r"the messages cannot be generated: Protobuf paths must be fully qualified (begin with a leading '.'): acme"
    );
}
