//! How files are compiled, for those who need more than the defaults.

use std::path::PathBuf;

use prost_types::FileDescriptorSet;

use crate::paths::Paths;
use crate::rpc::Style;
use crate::{Result, compile};

/// How to compile `.proto` files: a builder that ends with [`compile_protos`](Self::compile_protos).
///
/// Where a function takes `paths` in the protobuf sense, these name messages, fields or packages:
/// `.` is all, `.helloworld` a package, `.helloworld.HelloRequest.name` a field, and without the dot
/// in front (`HelloRequest.name`) what ends so.
///
/// # Examples
///
/// ```no_run
/// fn main() -> turnstile_build::Result<()> {
///     turnstile_build::Config::new()
///         .includes(["proto", "third_party"])
///         .bytes(["."])
///         .compile_protos("proto/acme/billing.proto")
/// }
/// ```
#[derive(Debug)]
pub struct Config {
    pub(crate) prost: prost_build::Config,
    pub(crate) includes: Option<Vec<PathBuf>>,
    pub(crate) out_dir: Option<PathBuf>,
    pub(crate) include_file: Option<PathBuf>,
    /// The protobuf paths of what is not generated.
    pub(crate) extern_paths: Vec<String>,
    pub(crate) descriptor_set: bool,
    pub(crate) services: ServiceOptions,
}

/// What the code of a service depends on.
#[derive(Clone, Debug)]
pub(crate) struct ServiceOptions {
    pub(crate) runtime: String,
    pub(crate) codec: Option<String>,
    pub(crate) servers: Styles,
    pub(crate) clients: Styles,
    /// Paths and attributes.
    pub(crate) attributes: Vec<(String, String)>,
}

/// Which styles there is code for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Styles {
    pub(crate) is_async: bool,
    pub(crate) is_blocking: bool,
}

impl Styles {
    const BOTH: Self = Self { is_async: true, is_blocking: true };

    pub(crate) fn iter(self) -> impl Iterator<Item = Style> {
        let Self { is_async, is_blocking } = self;
        [(Style::Async, is_async), (Style::Blocking, is_blocking)]
            .into_iter()
            .filter_map(|(style, is_wanted)| is_wanted.then_some(style))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl Config {
    /// The configuration that [`compile_protos`](crate::compile_protos) uses.
    ///
    /// ```no_run
    /// fn main() -> turnstile_build::Result<()> {
    ///     turnstile_build::Config::new().compile_protos("proto/helloworld.proto")
    /// }
    /// ```
    pub fn new() -> Self {
        let mut config = Self {
            prost: prost_build::Config::new(),
            includes: None,
            out_dir: None,
            include_file: None,
            extern_paths: Vec::new(),
            descriptor_set: true,
            services: ServiceOptions {
                runtime: String::new(),
                codec: None,
                servers: Styles::BOTH,
                clients: Styles::BOTH,
                attributes: Vec::new(),
            },
        };
        config.runtime_path("::turnstile");
        config
    }

    /// Names the folders where files and imports are looked for, the first before the next.
    ///
    /// The files to compile must be in one of them, and are known in the descriptors by their path
    /// below it. Without this call, the folders are those of the files, outer ones first, and then the
    /// current folder, which is the crate's root in a build script.
    ///
    /// ```
    /// turnstile_build::Config::new().includes(["proto", "third_party/googleapis"]);
    /// ```
    pub fn includes(&mut self, folders: impl Paths) -> &mut Self {
        self.includes = Some(folders.into_paths());
        self
    }

    /// Writes to this folder in place of `OUT_DIR`, for generated code that is committed.
    ///
    /// The folder is made if it is missing. A module includes the file with
    /// `include!("generated/helloworld.rs")`; the `.bin` file has to stay beside it.
    ///
    /// ```
    /// // In a test that compares it with what is committed, or writes it anew.
    /// turnstile_build::Config::new().out_dir("src/generated");
    /// ```
    pub fn out_dir(&mut self, folder: impl Into<PathBuf>) -> &mut Self {
        self.out_dir = Some(folder.into());
        self
    }

    /// Also writes a file of this name that includes all packages, in modules nested as they are.
    ///
    /// ```text
    /// // build.rs: .include_file("protos.rs")
    /// pub mod protos {
    ///     include!(concat!(env!("OUT_DIR"), "/protos.rs"));
    /// }
    /// use protos::acme::billing::v1::Invoice;
    /// ```
    pub fn include_file(&mut self, name: impl Into<PathBuf>) -> &mut Self {
        self.include_file = Some(name.into());
        self
    }

    /// Uses types that are already there in place of generated ones.
    ///
    /// The protobuf path begins with a dot and names a message or a package; the Rust path should
    /// begin with `::` or `crate::`.
    ///
    /// ```
    /// turnstile_build::Config::new().extern_path(".acme.common", "::acme_common::proto");
    /// ```
    pub fn extern_path(
        &mut self,
        proto_path: impl Into<String>,
        rust_path: impl Into<String>,
    ) -> &mut Self {
        let proto_path = proto_path.into();
        self.extern_paths.push(proto_path.clone());
        self.prost.extern_path(proto_path, rust_path);
        self
    }

    /// Puts an attribute before the messages, enums and oneofs that the path matches.
    ///
    /// ```
    /// turnstile_build::Config::new().type_attribute(".helloworld", "#[derive(serde::Serialize)]");
    /// ```
    pub fn type_attribute(
        &mut self,
        path: impl AsRef<str>,
        attribute: impl AsRef<str>,
    ) -> &mut Self {
        self.prost.type_attribute(path, attribute);
        self
    }

    /// Puts an attribute before the messages that the path matches.
    ///
    /// ```
    /// turnstile_build::Config::new().message_attribute(".acme.Money", "#[serde(default)]");
    /// ```
    pub fn message_attribute(
        &mut self,
        path: impl AsRef<str>,
        attribute: impl AsRef<str>,
    ) -> &mut Self {
        self.prost.message_attribute(path, attribute);
        self
    }

    /// Puts an attribute before the enums and oneofs that the path matches.
    ///
    /// ```
    /// turnstile_build::Config::new().enum_attribute(".acme.Colour", "#[non_exhaustive]");
    /// ```
    pub fn enum_attribute(
        &mut self,
        path: impl AsRef<str>,
        attribute: impl AsRef<str>,
    ) -> &mut Self {
        self.prost.enum_attribute(path, attribute);
        self
    }

    /// Puts an attribute before the fields that the path matches.
    ///
    /// ```
    /// turnstile_build::Config::new().field_attribute(".acme.User.password", "#[serde(skip)]");
    /// ```
    pub fn field_attribute(
        &mut self,
        path: impl AsRef<str>,
        attribute: impl AsRef<str>,
    ) -> &mut Self {
        self.prost.field_attribute(path, attribute);
        self
    }

    /// Puts an attribute before the modules of the services that the path matches.
    ///
    /// ```
    /// turnstile_build::Config::new()
    ///     .service_attribute(".helloworld.Greeter", "#[cfg(feature = \"greeter\")]");
    /// ```
    pub fn service_attribute(
        &mut self,
        path: impl Into<String>,
        attribute: impl Into<String>,
    ) -> &mut Self {
        self.services.attributes.push((path.into(), attribute.into()));
        self
    }

    /// Makes `bytes` fields that a path matches `Bytes`, which a message shares with the buffer it came
    /// in, and not `Vec<u8>`. Replaces an earlier call.
    ///
    /// ```
    /// turnstile_build::Config::new().bytes([".acme.Blob.data", ".acme.cache"]);
    /// ```
    pub fn bytes<P: AsRef<str>>(&mut self, paths: impl IntoIterator<Item = P>) -> &mut Self {
        self.prost.bytes(paths);
        self
    }

    /// Makes `map` fields that a path matches `BTreeMap`, and not `HashMap`. Replaces an earlier call.
    ///
    /// ```
    /// turnstile_build::Config::new().btree_map(["."]); // all of them
    /// ```
    pub fn btree_map<P: AsRef<str>>(&mut self, paths: impl IntoIterator<Item = P>) -> &mut Self {
        self.prost.btree_map(paths);
        self
    }

    /// Names the codec of the services' messages: a type that implements `turnstile::codec::Codec`.
    /// The default is `turnstile::codec::Prost`.
    ///
    /// ```
    /// turnstile_build::Config::new().codec("crate::Json");
    /// ```
    pub fn codec(&mut self, path: impl Into<String>) -> &mut Self {
        self.services.codec = Some(path.into());
        self
    }

    /// Whether to generate `Service` and `server`, for `async` handlers. The default is yes.
    ///
    /// ```
    /// turnstile_build::Config::new().async_server(false); // blocking handlers only: less to compile
    /// ```
    pub fn async_server(&mut self, yes: bool) -> &mut Self {
        self.services.servers.is_async = yes;
        self
    }

    /// Whether to generate `BlockingService` and `blocking_server`. The default is yes.
    ///
    /// ```
    /// turnstile_build::Config::new().blocking_server(false);
    /// ```
    pub fn blocking_server(&mut self, yes: bool) -> &mut Self {
        self.services.servers.is_blocking = yes;
        self
    }

    /// Whether to generate `Client`, whose calls are `async`. The default is yes.
    ///
    /// ```
    /// // A crate that only serves: less to compile.
    /// turnstile_build::Config::new().async_client(false).blocking_client(false);
    /// ```
    pub fn async_client(&mut self, yes: bool) -> &mut Self {
        self.services.clients.is_async = yes;
        self
    }

    /// Whether to generate `BlockingClient`. The default is yes.
    ///
    /// ```
    /// // A crate that only calls, and waits for its calls.
    /// turnstile_build::Config::new()
    ///     .async_server(false)
    ///     .blocking_server(false)
    ///     .async_client(false);
    /// ```
    pub fn blocking_client(&mut self, yes: bool) -> &mut Self {
        self.services.clients.is_blocking = yes;
        self
    }

    /// Whether to generate `FILE_DESCRIPTOR_SET`. The default is yes.
    ///
    /// ```
    /// turnstile_build::Config::new().emit_descriptor_set(false); // a server without reflection
    /// ```
    pub fn emit_descriptor_set(&mut self, yes: bool) -> &mut Self {
        self.descriptor_set = yes;
        self
    }

    /// Where generated code finds `turnstile`, and in it `prost` and `prost_types`. The default is
    /// `::turnstile`; a crate that exports it again under another name says so here.
    ///
    /// ```
    /// turnstile_build::Config::new().runtime_path("::acme_base::grpc"); // pub use turnstile as grpc;
    /// ```
    pub fn runtime_path(&mut self, path: impl Into<String>) -> &mut Self {
        let path = path.into();
        self.prost.prost_path(format!("{path}::prost"));
        self.prost.prost_types_path(format!("{path}::prost_types"));
        self.services.runtime = path;
        self
    }

    /// Reaches all that prost-build can, which writes the messages.
    ///
    /// What this crate does itself is not prost's to configure: the service generator, `out_dir`,
    /// `include_file`, and how `protoc` is run.
    ///
    /// ```
    /// turnstile_build::Config::new().configure_prost(|prost| {
    ///     prost.skip_debug([".helloworld.Password"]);
    /// });
    /// ```
    pub fn configure_prost(
        &mut self,
        configure: impl FnOnce(&mut prost_build::Config),
    ) -> &mut Self {
        configure(&mut self.prost);
        self
    }

    /// Compiles `.proto` files: one path or several.
    ///
    /// Prints `cargo::rerun-if-changed` for each file, if `OUT_DIR` is set.
    ///
    /// # Errors
    ///
    /// As [`compile_protos`](crate::compile_protos) of the crate.
    ///
    /// ```no_run
    /// # fn main() -> turnstile_build::Result<()> {
    /// let mut config = turnstile_build::Config::new();
    /// config.type_attribute(".acme", "#[derive(serde::Serialize)]");
    /// config.compile_protos(["proto/acme/billing.proto", "proto/acme/users.proto"])
    /// # }
    /// ```
    pub fn compile_protos(&mut self, protos: impl Paths) -> Result<()> {
        compile::protos(self, protos.into_paths())
    }

    /// Compiles descriptors that something else made of `.proto` files, with all that they import.
    ///
    /// The structs of prost-types have no place for custom options:
    /// [`compile_encoded_fds`](Self::compile_encoded_fds) keeps them.
    ///
    /// # Errors
    ///
    /// If the descriptors are not valid or not complete, or the output cannot be written.
    ///
    /// ```
    /// use turnstile_build::prost_types::{DescriptorProto, FileDescriptorProto, FileDescriptorSet};
    ///
    /// let file = FileDescriptorProto {
    ///     name: Some("demo.proto".to_owned()),
    ///     package: Some("demo".to_owned()),
    ///     message_type: vec![DescriptorProto { name: Some("Empty".to_owned()), ..Default::default() }],
    ///     syntax: Some("proto3".to_owned()),
    ///     ..Default::default()
    /// };
    /// let folder = std::env::temp_dir().join(format!("turnstile-doc-{}", std::process::id()));
    /// turnstile_build::Config::new()
    ///     .out_dir(&folder)
    ///     .compile_fds(FileDescriptorSet { file: vec![file] })?;
    /// assert!(std::fs::read_to_string(folder.join("demo.rs")).unwrap().contains("pub struct Empty"));
    /// # std::fs::remove_dir_all(folder).unwrap();
    /// # Ok::<(), turnstile_build::Error>(())
    /// ```
    pub fn compile_fds(&mut self, descriptors: FileDescriptorSet) -> Result<()> {
        compile::descriptor_set(self, descriptors)
    }

    /// Compiles an encoded `FileDescriptorSet`, as `protoc --include_imports -o` or `buf build` writes
    /// it. With `--include_source_info` there are comments in the output.
    ///
    /// # Errors
    ///
    /// If the bytes are no `FileDescriptorSet`; and as [`compile_fds`](Self::compile_fds).
    ///
    /// ```no_run
    /// fn main() -> Result<(), Box<dyn std::error::Error>> {
    ///     let descriptors = std::fs::read("proto/image.bin")?; // of `buf build -o proto/image.bin`
    ///     turnstile_build::Config::new().compile_encoded_fds(descriptors)?;
    ///     Ok(())
    /// }
    /// ```
    pub fn compile_encoded_fds(&mut self, descriptors: impl AsRef<[u8]>) -> Result<()> {
        compile::encoded_descriptor_set(self, descriptors.as_ref())
    }
}
