use super::{Answer, Reflection, Request, Wanted, index_of, service, service_of};
use crate::server::Server;
use prost::Message as _;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use std::collections::BTreeSet;
use std::sync::OnceLock;

/// A reflection over what this crate brings.
fn reflection() -> Reflection {
    over(&[])
}

fn over(sets: &[&[u8]]) -> Reflection {
    let index = index_of(sets.iter().copied()).unwrap();
    Reflection { index, served: OnceLock::new() }
}

fn ask(reflection: &Reflection, wanted: Option<Wanted>) -> Answer {
    let request = Request { host: "here".to_owned(), message_request: wanted };
    let response = reflection.answer(request.clone());
    assert_eq!((response.valid_host.as_str(), response.original_request), ("here", Some(request)));
    response.message_response.expect("there is always an answer")
}

fn listed(reflection: &Reflection) -> Vec<String> {
    match ask(reflection, Some(Wanted::ListServices(String::new()))) {
        Answer::ListServicesResponse(list) => list.service.into_iter().map(|it| it.name).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn services_are_listed_that_the_server_has_and_the_sets_describe() {
    let reflection = reflection();
    let name = "grpc.reflection.v1.ServerReflection".to_owned();
    let served = BTreeSet::from([name.clone(), "not.described.Service".to_owned()]);
    reflection.served.set(Some(served)).unwrap();
    assert_eq!(listed(&reflection), [name]);
}

#[test]
fn all_that_is_described_is_listed_if_the_server_takes_calls_of_any_method() {
    let reflection = reflection();
    reflection.served.set(None).unwrap();
    let listed = listed(&reflection);
    assert!(listed.contains(&"grpc.health.v1.Health".to_owned()), "{listed:?}");
    assert!(listed.contains(&super::v1alpha::NAME.to_owned()), "{listed:?}");
}

#[test]
fn what_is_not_there_is_an_error_in_the_answer() {
    let extension = super::proto::ExtensionRequest {
        containing_type: "no.Type".to_owned(),
        extension_number: 7,
    };
    for (wanted, code, text) in [
        (None, 3, "asks for nothing"),
        (Some(Wanted::FileByFilename("no.proto".to_owned())), 5, "file \"no.proto\""),
        (Some(Wanted::FileContainingSymbol("no.Symbol".to_owned())), 5, "symbol \"no.Symbol\""),
        (Some(Wanted::FileContainingExtension(extension)), 5, "extension 7 of \"no.Type\""),
        (Some(Wanted::AllExtensionNumbersOfType("no.Type".to_owned())), 5, "type \"no.Type\""),
    ] {
        match ask(&reflection(), wanted.clone()) {
            Answer::ErrorResponse(error) => {
                assert_eq!(error.error_code, code, "{wanted:?}");
                assert!(error.error_message.contains(text), "{}", error.error_message);
            }
            other => panic!("{wanted:?}: {other:?}"),
        }
    }
}

#[test]
fn reflection_describes_itself() {
    let wanted = Wanted::FileContainingSymbol("grpc.reflection.v1.ServerReflection".to_owned());
    match ask(&reflection(), Some(wanted)) {
        Answer::FileDescriptorResponse(files) => assert_eq!(files.file_descriptor_proto.len(), 1),
        other => panic!("{other:?}"),
    }
}

/// A set with one file, of another version than that which this crate brings.
fn other_version(name: &str, syntax: &str) -> Vec<u8> {
    let (name, syntax) = (Some(name.to_owned()), Some(syntax.to_owned()));
    let package = Some("google.rpc".to_owned());
    let file = FileDescriptorProto { name, syntax, package, ..Default::default() };
    FileDescriptorSet { file: vec![file] }.encode_to_vec()
}

#[test]
fn a_users_version_of_a_file_that_this_crate_brings_too_is_served() {
    for name in ["google/rpc/status.proto", "grpc/reflection/v1/reflection.proto"] {
        let own = ask(&reflection(), Some(Wanted::FileByFilename(name.to_owned())));
        assert!(matches!(own, Answer::FileDescriptorResponse(_)), "{name} is no own file: {own:?}");
        let set = other_version(name, "proto2");
        assert_eq!(service(&set).error().map(|error| error.to_string()), None);
        match ask(&over(&[&set]), Some(Wanted::FileByFilename(name.to_owned()))) {
            Answer::FileDescriptorResponse(files) => {
                let file =
                    FileDescriptorProto::decode(&files.file_descriptor_proto[0][..]).unwrap();
                assert_eq!(file.syntax(), "proto2", "{name}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn two_sets_of_the_user_that_contradict_each_other_are_an_error_of_the_server() {
    let name = "google/rpc/status.proto";
    let sets = ["proto2", "proto3"].map(|syntax| other_version(name, syntax));
    let reflection = service_of(sets.iter().map(|set| &set[..]));
    let error = Server::builder().add_service(reflection).bind("127.0.0.1:0").unwrap_err();
    assert!(
        error.to_string().contains("\"google/rpc/status.proto\" each, and these differ"),
        "{error}"
    );
}

#[test]
fn a_set_that_cannot_be_read_is_an_error_of_the_server() {
    let error =
        Server::builder().add_service(service(b"nonsense")).bind("127.0.0.1:0").unwrap_err();
    assert!(error.to_string().contains("FILE_DESCRIPTOR_SET"), "{error}");
    assert!(service_of([]).error().is_none());
}

/// A set with one file, which imports another.
fn importing(name: &str, import: &str) -> Vec<u8> {
    let (name, dependency) = (Some(name.to_owned()), vec![import.to_owned()]);
    let file = FileDescriptorProto { name, dependency, ..Default::default() };
    FileDescriptorSet { file: vec![file] }.encode_to_vec()
}

#[test]
fn a_set_that_lacks_its_imports_is_an_error_of_the_server() {
    for import in ["b.proto", "google/protobuf/empty.proto"] {
        let reflection = service(&importing("a.proto", import));
        let error = Server::builder().add_service(reflection).bind("127.0.0.1:0").unwrap_err();
        for part in ["\"a.proto\"", import, "--include_imports"] {
            assert!(error.to_string().contains(part), "no {part:?} in {error}");
        }
    }
}

#[test]
fn what_a_set_imports_may_be_in_another_or_in_this_crate() {
    let sets = [importing("a.proto", "b.proto"), importing("b.proto", "google/protobuf/any.proto")];
    let reflection = service_of(sets.iter().map(|set| &set[..]));
    assert_eq!(reflection.error().map(ToString::to_string), None);
}
