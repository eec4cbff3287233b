//! From `.proto` files, or descriptors of them, to generated code.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost_types::FileDescriptorSet;
use protox::Compiler;
use protox::prost_reflect::DescriptorPool;
use protox::prost_reflect::prost::Message as _;

use crate::config::Config;
use crate::diagnostic::{EDITIONS, Sources, folder_of};
use crate::{Error, Result, output, resolver};

/// Compiles files.
pub(crate) fn protos(config: &mut Config, protos: Vec<PathBuf>) -> Result<()> {
    if protos.is_empty() {
        return Err(Error::new("no .proto file was given"));
    }
    let includes = config.includes.clone().unwrap_or_else(|| default_includes(&protos));
    let sources = Sources::new(includes);
    let mut compiler = Compiler::with_file_resolver(resolver::in_folders(sources.includes()));
    for proto in &protos {
        check_is_there(proto, &sources)?;
        if let Some(error) = compiler.open_file(proto).err() {
            return Err(sources.error_of(error, &compiler));
        }
    }
    if env::var_os("OUT_DIR").is_some() {
        print_rerun(compiler.files().filter_map(|file| sources.find(file.name())));
    }
    output::write(config, &compiler.descriptor_pool(), &sources)
}

/// Compiles descriptors.
pub(crate) fn descriptor_set(config: &mut Config, set: FileDescriptorSet) -> Result<()> {
    check_syntax(&set)?;
    let pool = DescriptorPool::from_file_descriptor_set(set);
    from_pool(config, pool.map_err(invalid_descriptors)?)
}

/// Compiles descriptors of which nothing is lost.
pub(crate) fn encoded_descriptor_set(config: &mut Config, set: &[u8]) -> Result<()> {
    // Bytes that are no set are the pool's to refuse.
    if let Ok(set) = FileDescriptorSet::decode(set) {
        check_syntax(&set)?;
    }
    from_pool(config, DescriptorPool::decode(set).map_err(invalid_descriptors)?)
}

/// A pool would panic at a syntax that it does not know.
fn check_syntax(set: &FileDescriptorSet) -> Result<()> {
    for file in &set.file {
        let what = match file.syntax.as_deref() {
            None | Some("proto2" | "proto3") => continue,
            Some("editions") => EDITIONS.to_owned(),
            Some(syntax) => format!("{syntax:?} is no syntax; there are \"proto3\" and \"proto2\""),
        };
        return Err(Error::new(format!("invalid FileDescriptorSet: {}: {what}", file.name())));
    }
    Ok(())
}

fn from_pool(config: &mut Config, pool: DescriptorPool) -> Result<()> {
    let sources = Sources::new(config.includes.clone().unwrap_or_default());
    output::write(config, &pool, &sources)
}

fn invalid_descriptors(error: protox::prost_reflect::DescriptorError) -> Error {
    // Its Debug says where, and its Display does not.
    let text = format!("invalid FileDescriptorSet: {error:?}; it must hold all that is imported");
    Error::new(text).with_source(error)
}

/// The folders of the files, and the current one: the crate's root, in a build script.
///
/// A folder comes before those in it, so that a file's name does not depend on the order of files.
fn default_includes(protos: &[PathBuf]) -> Vec<PathBuf> {
    let mut includes: Vec<_> = protos.iter().map(|proto| folder_of(proto)).collect();
    includes.sort_by_key(|folder| folder.components().count());
    includes.push(PathBuf::from("."));
    let mut seen = HashSet::new();
    includes.retain(|folder| seen.insert(folder.clone()));
    includes
}

fn check_is_there(proto: &Path, sources: &Sources) -> Result<()> {
    let candidates = sources.includes().iter().map(|folder| folder.join(proto));
    let candidates: Vec<_> = [proto.to_owned()].into_iter().chain(candidates).collect();
    if candidates.iter().any(|path| path.is_file()) {
        return Ok(());
    }
    let is_folder = candidates.iter().any(|path| path.is_dir());
    let proto = proto.display();
    if is_folder {
        let what = "is a folder: name the .proto files in it, each by its path";
        return Err(Error::new(format!("`{proto}` {what}")));
    }
    let current = env::current_dir().unwrap_or_default();
    Err(Error::new(format!("there is no file `{proto}` (seen from `{}`)", current.display())))
}

#[allow(clippy::print_stdout, reason = "cargo reads the output of build scripts")]
fn print_rerun(paths: impl Iterator<Item = PathBuf>) {
    for path in paths {
        println!("cargo::rerun-if-changed={}", path.display());
    }
}

/// Tells `include_proto!` where the code of a package is, if it is in `OUT_DIR`. The macro asks
/// rustc's environment, and so can say what is wrong where a package was not compiled.
#[allow(clippy::print_stdout, reason = "cargo reads the output of build scripts")]
pub(crate) fn tell_rustc(package: &str, path: &Path) {
    if env::var_os("OUT_DIR").is_some_and(|folder| path.parent() == Some(Path::new(&folder))) {
        println!("cargo::rustc-env=TURNSTILE_PROTO_{package}={}", path.display());
    }
}

/// The folder that output goes to, which is made if the user has named it.
pub(crate) fn out_dir(config: &Config) -> Result<PathBuf> {
    if let Some(folder) = &config.out_dir {
        fs::create_dir_all(folder).map_err(|error| {
            Error::io(format!("cannot make the folder `{}`", folder.display()), error)
        })?;
        return Ok(folder.clone());
    }
    env::var_os("OUT_DIR").map(PathBuf::from).ok_or_else(|| {
        Error::new(
            "OUT_DIR is not set: call this from a build script (build.rs), where cargo sets it, \
             or name a folder with `Config::out_dir`",
        )
    })
}
