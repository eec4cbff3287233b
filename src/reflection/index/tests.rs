use super::Index;
use prost::Message as _;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto,
    FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, OneofDescriptorProto,
    ServiceDescriptorProto,
};

fn name(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn field(text: &str) -> FieldDescriptorProto {
    FieldDescriptorProto { name: name(text), ..Default::default() }
}

fn extension(text: &str, extendee: &str, number: i32) -> FieldDescriptorProto {
    let (extendee, number) = (name(extendee), Some(number));
    FieldDescriptorProto { name: name(text), extendee, number, ..Default::default() }
}

fn values(text: &str, value: &str) -> EnumDescriptorProto {
    let value = vec![EnumValueDescriptorProto { name: name(value), ..Default::default() }];
    EnumDescriptorProto { name: name(text), value, ..Default::default() }
}

fn file(text: &str, package: &str, imports: &[&str]) -> FileDescriptorProto {
    let dependency = imports.iter().map(ToString::to_string).collect();
    let package = name(package).filter(|it| !it.is_empty());
    FileDescriptorProto { name: name(text), package, dependency, ..Default::default() }
}

/// A file with one symbol of every kind.
fn everything() -> FileDescriptorProto {
    let method = MethodDescriptorProto { name: name("Call"), ..Default::default() };
    let service =
        ServiceDescriptorProto { name: name("Svc"), method: vec![method], ..Default::default() };
    let nested = DescriptorProto {
        name: name("Inner"),
        field: vec![field("deep")],
        enum_type: vec![values("Shade", "DARK")],
        ..Default::default()
    };
    let message = DescriptorProto {
        name: name("Outer"),
        field: vec![field("text")],
        oneof_decl: vec![OneofDescriptorProto { name: name("choice"), ..Default::default() }],
        nested_type: vec![nested],
        extension: vec![extension("within", ".a.b.Outer", 101)],
        ..Default::default()
    };
    FileDescriptorProto {
        message_type: vec![message],
        enum_type: vec![values("Color", "RED")],
        extension: vec![extension("besides", ".a.b.Outer", 100)],
        service: vec![service],
        ..file("everything.proto", "a.b", &["base.proto"])
    }
}

fn set(files: &[FileDescriptorProto]) -> Vec<u8> {
    FileDescriptorSet { file: files.to_vec() }.encode_to_vec()
}

fn index(files: &[FileDescriptorProto]) -> Index {
    let mut index = Index::default();
    index.add(&set(files)).unwrap();
    index
}

/// The names of the files of an answer, in order.
fn names(files: Option<Vec<bytes::Bytes>>) -> Vec<String> {
    let name = |bytes| FileDescriptorProto::decode(bytes).unwrap().name().to_owned();
    files.expect("it is found").into_iter().map(name).collect()
}

#[test]
fn symbols_of_every_kind_are_found_with_and_without_a_leading_dot() {
    let index = index(&[everything()]);
    for symbol in [
        "a.b.Svc",
        "a.b.Svc.Call",
        "a.b.Outer",
        "a.b.Outer.text",
        "a.b.Outer.choice",
        "a.b.Outer.within",
        "a.b.Outer.Inner",
        "a.b.Outer.Inner.deep",
        "a.b.Outer.Inner.Shade",
        "a.b.Outer.Inner.DARK",
        "a.b.Color",
        "a.b.RED",
        "a.b.besides",
    ] {
        for symbol in [symbol.to_owned(), format!(".{symbol}")] {
            assert_eq!(names(index.file_with_symbol(&symbol)), ["everything.proto"], "{symbol}");
        }
    }
    for symbol in ["", ".", "a", "a.b", "a.b.Color.RED", "Outer", "a.b.Outer.", "A.B.OUTER"] {
        assert!(index.file_with_symbol(symbol).is_none(), "{symbol:?}");
    }
}

#[test]
fn symbols_of_a_file_without_a_package_have_no_dot() {
    let message = DescriptorProto { name: name("Bare"), ..Default::default() };
    let bare = FileDescriptorProto { message_type: vec![message], ..file("bare.proto", "", &[]) };
    assert_eq!(names(index(&[bare]).file_with_symbol("Bare")), ["bare.proto"]);
}

#[test]
fn extensions_are_found_by_type_and_number() {
    let index = index(&[everything()]);
    for extended in ["a.b.Outer", ".a.b.Outer"] {
        assert_eq!(names(index.file_with_extension(extended, 100)), ["everything.proto"]);
        assert!(index.file_with_extension(extended, 99).is_none());
        assert_eq!(index.extension_numbers(extended), Some(vec![100, 101]));
    }
    assert_eq!(index.extension_numbers("a.b.Outer.Inner"), Some(Vec::new()));
    assert_eq!(index.extension_numbers("a.b.Nobody"), None);
}

#[test]
fn a_file_comes_with_all_that_it_imports_once_and_nearest_first() {
    let files = [
        file("base.proto", "", &[]),
        file("left.proto", "", &["base.proto", "missing.proto"]),
        file("right.proto", "", &["base.proto"]),
        file("top.proto", "", &["left.proto", "right.proto"]),
        file("other.proto", "", &[]),
    ];
    let expected = ["top.proto", "left.proto", "right.proto", "base.proto"];
    assert_eq!(names(index(&files).file("top.proto")), expected);
    assert!(index(&files).file("missing.proto").is_none());
}

#[test]
fn files_that_import_each_other_hang_nobody() {
    let files = [file("a.proto", "", &["b.proto"]), file("b.proto", "", &["a.proto"])];
    assert_eq!(names(index(&files).file("b.proto")), ["b.proto", "a.proto"]);
}

#[test]
fn files_stay_as_they_came_with_options_that_nobody_knows() {
    let mut bytes = file("options.proto", "", &[]).encode_to_vec();
    // Field 8, options, with an extension number that prost-types has no field for.
    bytes.extend([0x42, 0x04, 0xd2, 0x89, 0x19, 0x00]);
    let mut raw = vec![0x0a, u8::try_from(bytes.len()).unwrap()];
    raw.extend(&bytes);
    let mut index = Index::default();
    index.add(&raw).unwrap();
    assert_eq!(index.file("options.proto").unwrap(), [&bytes[..]]);
}

#[test]
fn services_are_listed_by_full_name_and_sorted() {
    let service = |it: &str| ServiceDescriptorProto { name: name(it), ..Default::default() };
    let file = FileDescriptorProto {
        service: vec![service("B"), service("A")],
        ..file("services.proto", "x", &[])
    };
    let index = index(&[file, everything()]);
    assert_eq!(index.services().collect::<Vec<_>>(), ["a.b.Svc", "x.A", "x.B"]);
}

#[test]
fn a_file_may_be_in_several_sets_if_it_is_the_same() {
    let mut index = index(&[everything()]);
    index.add(&set(&[everything(), file("more.proto", "", &[])])).unwrap();
    assert_eq!(names(index.file("more.proto")), ["more.proto"]);
    let other = FileDescriptorProto { package: name("c"), ..everything() };
    let error = index.add(&set(&[other])).unwrap_err().to_string();
    assert!(error.contains("\"everything.proto\"") && error.contains("differ"), "{error}");
}

#[test]
fn what_is_missing_is_added_and_what_is_there_counts() {
    let mut index = index(&[everything()]);
    let other = FileDescriptorProto { dependency: vec![], ..everything() };
    // The same symbols under another name, as of a file that was compiled from another folder.
    let renamed = FileDescriptorProto { name: name("in/everything.proto"), ..other.clone() };
    let more = file("more.proto", "", &["everything.proto"]);
    index.add_missing(&set(&[other, renamed, more])).unwrap();
    assert_eq!(index.file("everything.proto").unwrap(), [everything().encode_to_vec()]);
    assert_eq!(names(index.file("more.proto")), ["more.proto", "everything.proto"]);
    assert_eq!(names(index.file_with_symbol("a.b.Svc")), ["everything.proto"]);
    assert_eq!(names(index.file_with_extension("a.b.Outer", 100)), ["everything.proto"]);
}

#[test]
fn comments_and_versions_of_protobufs_own_files_may_differ() {
    let commented = FileDescriptorProto {
        source_code_info: Some(prost_types::SourceCodeInfo::default()),
        ..everything()
    };
    let mut index = index(&[everything(), file("google/protobuf/any.proto", "a", &[])]);
    index.add(&set(&[commented, file("google/protobuf/any.proto", "b", &[])])).unwrap();
}

#[test]
fn an_import_that_no_set_has_is_an_error_that_names_both_files() {
    let mut index = index(&[everything(), file("more.proto", "", &["everything.proto"])]);
    let error = index.check_imports().unwrap_err().to_string();
    for part in ["\"everything.proto\"", "imports \"base.proto\"", "--include_imports"] {
        assert!(error.contains(part), "no {part:?} in {error}");
    }
    index.add_missing(&set(&[file("base.proto", "", &[])])).unwrap();
    index.check_imports().unwrap();
}

#[test]
fn a_weak_import_may_be_missing() {
    let mut file = file("weak.proto", "", &["base.proto", "nowhere.proto"]);
    file.weak_dependency = vec![1];
    let mut index = index(&[file]);
    assert!(index.check_imports().unwrap_err().to_string().contains("base.proto"));
    index.add(&set(&[self::file("base.proto", "", &[])])).unwrap();
    index.check_imports().unwrap();
}

#[test]
fn bytes_that_are_no_set_are_an_error_that_says_what_is_wanted() {
    for bytes in [&b"nonsense"[..], &[0x0a, 0x7f], &[0x0a, 0x02, 0xff, 0xff]] {
        let error = Index::default().add(bytes).unwrap_err().to_string();
        assert!(error.contains("FILE_DESCRIPTOR_SET"), "{error}");
    }
}
