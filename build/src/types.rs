//! The Rust names of messages and enums, of which two may be the same.

use std::collections::HashMap;

use prost_build::Module;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto};

use crate::diagnostic::Sources;
use crate::{Result, names};

/// The numbers of messages and enums in the descriptor of what they are in: paths to positions in
/// the source are made of them.
#[derive(Clone, Copy)]
struct Numbers {
    messages: i32,
    enums: i32,
}

const OF_FILE: Numbers = Numbers { messages: 4, enums: 5 };
const OF_MESSAGE: Numbers = Numbers { messages: 3, enums: 4 };

/// The types of one Rust module: what each is called there, and in the `.proto` file.
type Types<'a> = HashMap<String, &'a str>;

/// What messages and enums are in.
struct Place<'a, 'p> {
    /// Its full name.
    name: String,
    /// The path to it through the file's descriptor.
    path: &'p [i32],
    numbers: Numbers,
    messages: &'a [DescriptorProto],
    enums: &'a [EnumDescriptorProto],
}

/// Checks the types of all files. Protobuf tells `FooBar` from `Foo_Bar`; Rust's names do not.
///
/// What has one of the paths `externs` is not generated, and takes no name.
pub(crate) fn check(
    files: &[FileDescriptorProto],
    externs: &[String],
    sources: &Sources,
) -> Result<()> {
    let mut packages: HashMap<Module, Types<'_>> = HashMap::new();
    for file in files {
        let package = Module::from_protobuf_package_name(file.package());
        let place = Place {
            name: file.package().to_owned(),
            path: &[],
            numbers: OF_FILE,
            messages: &file.message_type,
            enums: &file.enum_type,
        };
        Check { file, externs, sources }.place(&place, packages.entry(package).or_default())?;
    }
    Ok(())
}

/// One file, and what is needed beside it.
struct Check<'a> {
    file: &'a FileDescriptorProto,
    externs: &'a [String],
    sources: &'a Sources,
}

impl<'a> Check<'a> {
    fn place(&self, place: &Place<'a, '_>, types: &mut Types<'a>) -> Result<()> {
        for (index, it) in (0..).zip(place.enums) {
            let path = [place.path, &[place.numbers.enums, index]].concat();
            if !self.is_extern(&names::full_name(&place.name, it.name())) {
                self.take(it.name(), &path, types)?;
            }
        }
        for (index, message) in (0..).zip(place.messages) {
            let path = [place.path, &[place.numbers.messages, index]].concat();
            let name = names::full_name(&place.name, message.name());
            // The entries of a map are fields, and no message of theirs is generated.
            let is_entry = message.options.as_ref().is_some_and(|options| options.map_entry());
            if is_entry || self.is_extern(&name) {
                continue;
            }
            self.take(message.name(), &path, types)?;
            let nested = Place {
                name,
                path: &path,
                numbers: OF_MESSAGE,
                messages: &message.nested_type,
                enums: &message.enum_type,
            };
            self.place(&nested, &mut Types::new())?;
        }
        Ok(())
    }

    /// Takes the name of one type.
    fn take(&self, name: &'a str, path: &[i32], types: &mut Types<'a>) -> Result<()> {
        let camel = camel_case(name);
        let problem = if camel.is_empty() {
            format!("`{name}` has no letter to name a type after")
        } else if let Some(other) = types.insert(camel.clone(), name) {
            format!("`{other}` and `{name}` would both be the type `{camel}`: rename one of them")
        } else {
            return Ok(());
        };
        Err(self.sources.error_at(self.file, path, &problem))
    }

    /// Whether a type is there already, by its own path or that of something it is in.
    fn is_extern(&self, name: &str) -> bool {
        self.externs.iter().filter_map(|path| path.strip_prefix('.')).any(|path| {
            let rest = name.strip_prefix(path);
            rest.is_some_and(|rest| path.is_empty() || rest.is_empty() || rest.starts_with('.'))
        })
    }
}

/// A name as prost-build writes types. It divides them into words as it does those of modules.
fn camel_case(name: &str) -> String {
    let snake = names::snake_case(name);
    let words = snake.trim_start_matches("r#").split('_');
    words
        .flat_map(|word| {
            let mut letters = word.chars();
            letters.next().map(|it| it.to_ascii_uppercase()).into_iter().chain(letters)
        })
        .collect()
}
