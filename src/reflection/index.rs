//! What is declared where: an index over serialized file descriptors. Pure.
//!
//! Files stay as they came, as bytes. The structs of prost-types have no place for custom options,
//! and would lose them.

use crate::error::Error;
use bytes::Bytes;
use prost::Message;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// A `google.protobuf.FileDescriptorSet`, with its files unread.
#[derive(Clone, PartialEq, Message)]
struct RawSet {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    file: Vec<Bytes>,
}

/// The files of some descriptor sets, and what each declares.
#[derive(Debug, Default)]
pub(super) struct Index {
    files: Vec<File>,
    by_name: HashMap<String, usize>,
    /// Full names without a leading dot: services, methods, messages, fields, oneofs, enums, enum
    /// values and extensions.
    by_symbol: HashMap<String, usize>,
    /// By the extended type's full name, and then by number.
    extensions: HashMap<String, BTreeMap<i32, usize>>,
    services: BTreeSet<String>,
}

#[derive(Debug)]
struct File {
    bytes: Bytes,
    name: String,
    dependencies: Vec<String>,
    /// Those of `dependencies` that are not weak.
    needs: Vec<String>,
}

impl File {
    /// Whether another file of this name says the same, whatever comments it has. Each compiler
    /// brings its own version of protobuf's own files.
    fn is_like(&self, bytes: &Bytes, file: &FileDescriptorProto) -> bool {
        let without_comments = |file: &FileDescriptorProto| FileDescriptorProto {
            source_code_info: None,
            ..file.clone()
        };
        let known = || FileDescriptorProto::decode(self.bytes.clone());
        file.name().starts_with("google/protobuf/")
            || self.bytes == *bytes
            || known().is_ok_and(|known| without_comments(&known) == without_comments(file))
    }
}

/// The files of a serialized `FileDescriptorSet`, each as it came and as it reads.
fn read(set: &[u8]) -> Result<Vec<(Bytes, FileDescriptorProto)>, Error> {
    let read_file = |bytes: Bytes| FileDescriptorProto::decode(bytes.clone()).map(|it| (bytes, it));
    let files = RawSet::decode(set).and_then(|set| set.file.into_iter().map(read_file).collect());
    files.map_err(|error| {
        Error::config(format!(
            "the descriptor set for reflection is no google.protobuf.FileDescriptorSet: {error}; \
             give it a FILE_DESCRIPTOR_SET that turnstile-build has generated",
        ))
    })
}

impl Index {
    /// Adds the files of a serialized `FileDescriptorSet`. One that is there already is skipped.
    ///
    /// # Errors
    /// If the set cannot be read, or has another file under the name of one that is there.
    pub(super) fn add(&mut self, set: &[u8]) -> Result<(), Error> {
        for (bytes, file) in read(set)? {
            match self.by_name.get(file.name()) {
                Some(known) if self.files[*known].is_like(&bytes, &file) => {}
                Some(_) => {
                    return Err(Error::config(format!(
                        "two descriptor sets for reflection have a file {:?} each, and these differ; \
                         compile both sets from the same file",
                        file.name(),
                    )));
                }
                None => self.insert(bytes, file),
            }
        }
        Ok(())
    }

    /// Adds those files of a set that are not there yet, by their names: what is there counts, and
    /// may be another version.
    ///
    /// # Errors
    /// If the set cannot be read.
    pub(super) fn add_missing(&mut self, set: &[u8]) -> Result<(), Error> {
        for (bytes, file) in read(set)? {
            if !self.by_name.contains_key(file.name()) {
                self.insert(bytes, file);
            }
        }
        Ok(())
    }

    /// Looks for imports that are not there, without which clients cannot read a file. Weak ones may
    /// be missing.
    ///
    /// # Errors
    /// The first one, and the file that has it.
    pub(super) fn check_imports(&self) -> Result<(), Error> {
        let missing = self.files.iter().find_map(|file| {
            let missing = file.needs.iter().find(|import| !self.by_name.contains_key(*import));
            Some((&file.name, missing?))
        });
        missing.map_or(Ok(()), |(name, import)| {
            Err(Error::config(format!(
                "the file {name:?} of a descriptor set for reflection imports {import:?}, which no \
                 set has; give it a FILE_DESCRIPTOR_SET that turnstile-build has generated, or one \
                 of protoc with --include_imports",
            )))
        })
    }

    fn insert(&mut self, bytes: Bytes, file: FileDescriptorProto) {
        let index = self.files.len();
        self.by_name.insert(file.name().to_owned(), index);
        let scope = file.package();
        for message in &file.message_type {
            self.declare_message(index, scope, message);
        }
        for values in &file.enum_type {
            self.declare_enum(index, scope, values);
        }
        for extension in &file.extension {
            self.declare_extension(index, scope, extension);
        }
        for service in &file.service {
            let name = self.declare(index, scope, service.name());
            for method in &service.method {
                self.declare(index, &name, method.name());
            }
            self.services.insert(name);
        }
        let is_weak =
            |at: usize| file.weak_dependency.iter().any(|it| usize::try_from(*it) == Ok(at));
        let needs = (0..).zip(&file.dependency).filter(|(at, _)| !is_weak(*at));
        let needs = needs.map(|(_, import)| import.clone()).collect();
        let name = file.name().to_owned();
        self.files.push(File { bytes, name, dependencies: file.dependency, needs });
    }

    /// Adds a symbol, and gives its full name. If two files declare one, the first counts.
    fn declare(&mut self, file: usize, scope: &str, name: &str) -> String {
        let dot = if scope.is_empty() { "" } else { "." };
        let name = format!("{scope}{dot}{name}");
        self.by_symbol.entry(name.clone()).or_insert(file);
        name
    }

    fn declare_message(&mut self, file: usize, scope: &str, message: &DescriptorProto) {
        let name = self.declare(file, scope, message.name());
        for field in &message.field {
            self.declare(file, &name, field.name());
        }
        for oneof in &message.oneof_decl {
            self.declare(file, &name, oneof.name());
        }
        for extension in &message.extension {
            self.declare_extension(file, &name, extension);
        }
        for values in &message.enum_type {
            self.declare_enum(file, &name, values);
        }
        for nested in &message.nested_type {
            self.declare_message(file, &name, nested);
        }
    }

    /// The values of an enum are its siblings, as in C++ ("Enum Value Scoping" of the protobuf
    /// documents).
    fn declare_enum(&mut self, file: usize, scope: &str, values: &EnumDescriptorProto) {
        self.declare(file, scope, values.name());
        for value in &values.value {
            self.declare(file, scope, value.name());
        }
    }

    fn declare_extension(&mut self, file: usize, scope: &str, extension: &FieldDescriptorProto) {
        self.declare(file, scope, extension.name());
        let extended = without_dot(extension.extendee()).to_owned();
        let numbers = self.extensions.entry(extended).or_default();
        numbers.entry(extension.number()).or_insert(file);
    }

    /// The full names of all services, sorted.
    pub(super) fn services(&self) -> impl Iterator<Item = &str> {
        self.services.iter().map(String::as_str)
    }

    /// The file of this name, and all that it imports.
    pub(super) fn file(&self, name: &str) -> Option<Vec<Bytes>> {
        self.by_name.get(name).map(|file| self.with_dependencies(*file))
    }

    /// The file that declares a symbol, and all that it imports.
    pub(super) fn file_with_symbol(&self, symbol: &str) -> Option<Vec<Bytes>> {
        self.by_symbol.get(without_dot(symbol)).map(|file| self.with_dependencies(*file))
    }

    /// The file that declares an extension, and all that it imports.
    pub(super) fn file_with_extension(&self, extended: &str, number: i32) -> Option<Vec<Bytes>> {
        let extensions = self.extensions.get(without_dot(extended))?;
        extensions.get(&number).map(|file| self.with_dependencies(*file))
    }

    /// The numbers of all extensions of a message type; `None` if there is no such type.
    pub(super) fn extension_numbers(&self, extended: &str) -> Option<Vec<i32>> {
        let extended = without_dot(extended);
        match self.extensions.get(extended) {
            Some(extensions) => Some(extensions.keys().copied().collect()),
            None => self.by_symbol.contains_key(extended).then(Vec::new),
        }
    }

    /// A file, and then each file that it imports, once. Weak ones that are not there are left out.
    fn with_dependencies(&self, file: usize) -> Vec<Bytes> {
        let (mut seen, mut ordered) = (HashSet::from([file]), vec![file]);
        let mut next = 0;
        while let Some(file) = ordered.get(next) {
            next += 1;
            let names = self.files[*file].dependencies.iter();
            let files: Vec<usize> = names.filter_map(|it| self.by_name.get(it).copied()).collect();
            ordered.extend(files.into_iter().filter(|file| seen.insert(*file)));
        }
        ordered.into_iter().map(|file| self.files[file].bytes.clone()).collect()
    }
}

fn without_dot(name: &str) -> &str {
    name.strip_prefix('.').unwrap_or(name)
}

#[cfg(all(test, not(turnstile_loom)))]
mod tests;
