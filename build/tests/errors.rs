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
fn names_without_a_letter_are_refused() {
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
    for missing in ["a.proto", "tests"] {
        let error = Config::new().out_dir(&folder).compile_protos(missing);
        let text = error.expect_err("it is no file").to_string();
        assert_eq!(
            text,
            format!("there is no file `{missing}` (seen from `{}`)", current.display())
        );
    }
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
