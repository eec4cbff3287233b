//! The descriptors of a set of files: checked, in order of their dependencies, encoded.

use prost_types::{FileDescriptorProto, FileDescriptorSet};
use protox::prost_reflect::prost::Message as _;
use protox::prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage as _, Value};

/// The files with their comments.
pub(crate) fn files(pool: &DescriptorPool) -> Vec<FileDescriptorProto> {
    pool.files().map(|file| file.file_descriptor_proto().clone()).collect()
}

/// An encoded `FileDescriptorSet` without comments and positions.
///
/// It goes by way of the pool's own bytes: in the structs of prost-types, custom options are lost.
pub(crate) fn encode(pool: &DescriptorPool) -> Vec<u8> {
    let file_type = FileDescriptorProto::default().descriptor();
    let files = pool.files().map(|file| {
        let bytes = file.encode_to_vec();
        let mut file = DynamicMessage::decode(file_type.clone(), bytes.as_slice())
            .expect("the pool encodes what it has decoded");
        file.clear_field_by_name("source_code_info");
        Value::Message(file)
    });
    let files = files.collect();
    let mut set = FileDescriptorSet::default().transcode_to_dynamic();
    set.set_field_by_name("file", Value::List(files));
    set.encode_to_vec()
}
