//! Server reflection: clients such as grpcurl find out what a server has, and need no .proto files.
//!
//! ```no_run
//! # const FILE_DESCRIPTOR_SET: &[u8] = &[];
//! # fn greeter() -> turnstile::Service { turnstile::service::Builder::new("demo", ()).build() }
//! let server = turnstile::Server::builder()
//!     .add_service(greeter())
//!     .add_service(turnstile::reflection::service(FILE_DESCRIPTOR_SET))
//!     .bind("127.0.0.1:50051")?;
//! # Ok::<(), turnstile::Error>(())
//! ```
//!
//! `FILE_DESCRIPTOR_SET` is in the module of each package that `turnstile-build` generates; this
//! crate's own services and [`error_details`](crate::error_details) are described besides, by its own
//! files as far as the sets have none of the same names. Listed are the services that the server has
//! and the sets describe. Both versions of the protocol are served,
//! `grpc.reflection.v1` and the older `v1alpha`, which differ in name only (gRPC's document
//! "server-reflection").

mod index;
#[cfg(all(test, not(turnstile_loom)))]
mod tests;

use crate::error::Error;
use crate::generated::{DESCRIPTOR_SETS, reflection_v1 as proto};
use crate::service::{self, Attachment, MethodDescriptor, Service, Streaming, Writer};
use crate::status::Status;
use bytes::Bytes;
use index::Index;
use proto::server_reflection_request::MessageRequest as Wanted;
use proto::server_reflection_response::MessageResponse as Answer;
use proto::{ServerReflectionRequest as Request, ServerReflectionResponse as Response};
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

/// The older version, which has the same messages under another name.
mod v1alpha {
    pub(super) const NAME: &str = "grpc.reflection.v1alpha.ServerReflection";
    pub(super) const PATH: &str = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
}

/// The reflection service over what `FILE_DESCRIPTOR_SET` describes: a serialized
/// `google.protobuf.FileDescriptorSet`.
///
/// It may be called from any thread, and does not block.
///
/// # Errors
/// A set that cannot be read, or that lacks what its files import, is an error of the server's
/// [`bind`](crate::Builder::bind). The sets of `turnstile-build` have their imports; `protoc` needs
/// `--include_imports`. Files that this crate brings may be missing.
///
/// ```
/// # use turnstile_protos::helloworld;
/// use helloworld::FILE_DESCRIPTOR_SET;
/// use turnstile::{Server, reflection};
///
/// let reflection = reflection::service(FILE_DESCRIPTOR_SET);
/// let server = Server::builder().add_service(reflection).bind("127.0.0.1:0")?;
/// # drop(server);
///
/// let broken = reflection::service(b"not a descriptor set");
/// assert!(Server::builder().add_service(broken).bind("127.0.0.1:0").is_err());
/// # Ok::<(), turnstile::Error>(())
/// ```
pub fn service(descriptor_set: &[u8]) -> Service {
    service_of([descriptor_set])
}

/// The same over several sets, for services of more than one package. A file may be in several.
/// One that this crate brings too, such as google/rpc/status.proto, may be another version of it:
/// the set's is served.
///
/// # Errors
/// A set that cannot be read, two files of one name that differ, or an import that no set has, are an
/// error of the server's [`bind`](crate::Builder::bind).
///
/// ```
/// # use turnstile_protos::{echo, helloworld};
/// use turnstile::{Server, reflection};
///
/// let sets = [helloworld::FILE_DESCRIPTOR_SET, echo::FILE_DESCRIPTOR_SET];
/// let server = Server::builder().add_service(reflection::service_of(sets)).bind("127.0.0.1:0")?;
/// # drop(server);
/// # Ok::<(), turnstile::Error>(())
/// ```
pub fn service_of<'a>(descriptor_sets: impl IntoIterator<Item = &'a [u8]>) -> Service {
    const V1ALPHA: MethodDescriptor<Request, Response> =
        MethodDescriptor::bidi_streaming(v1alpha::PATH);
    let (index, error) = match index_of(descriptor_sets) {
        Ok(index) => (index, None),
        Err(error) => (Index::default(), Some(error)),
    };
    let reflection = Arc::new(Reflection { index, served: OnceLock::new() });
    let v1 = service::Builder::shared(proto::server_reflection::NAME, reflection.clone())
        .bidi_streaming(proto::server_reflection::SERVER_REFLECTION_INFO, Reflection::serve)
        .build();
    let v1alpha = service::Builder::shared(v1alpha::NAME, reflection.clone())
        .bidi_streaming(V1ALPHA, Reflection::serve)
        .build();
    v1.and(v1alpha).attach(reflection).fails_with(error)
}

/// What these sets describe, and besides what this crate brings.
fn index_of<'a>(descriptor_sets: impl IntoIterator<Item = &'a [u8]>) -> Result<Index, Error> {
    let mut index = Index::default();
    for set in descriptor_sets {
        index.add(set)?;
    }
    // A set may have its own version of google/rpc/status.proto, for instance: it is what the
    // server's services were compiled from.
    for set in DESCRIPTOR_SETS {
        index.add_missing(set)?;
    }
    index.check_imports()?;
    Ok(index)
}

/// What a server's reflection knows.
struct Reflection {
    index: Index,
    /// The services that the server has, once it is built; `None` if it takes calls of any.
    served: OnceLock<Option<BTreeSet<String>>>,
}

impl Attachment for Reflection {
    fn on_build(&self, services: Option<BTreeSet<String>>) {
        // A service is added to one server.
        let _ = self.served.set(services);
    }
}

impl Reflection {
    async fn serve(
        this: Arc<Self>,
        mut requests: Streaming<Request>,
        mut replies: Writer<Response>,
    ) -> Result<(), Status> {
        while let Some(request) = requests.read().await? {
            replies.write(this.answer(request)).await?;
        }
        Ok(())
    }

    fn answer(&self, request: Request) -> Response {
        let answer = self.find(request.message_request.as_ref()).unwrap_or_else(|status| {
            Answer::ErrorResponse(proto::ErrorResponse {
                error_code: status.code() as i32,
                error_message: status.message().to_owned(),
            })
        });
        Response {
            valid_host: request.host.clone(),
            original_request: Some(request),
            message_response: Some(answer),
        }
    }

    fn find(&self, wanted: Option<&Wanted>) -> Result<Answer, Status> {
        let Some(wanted) = wanted else {
            return Err(Status::invalid_argument("the request asks for nothing"));
        };
        let not_found = |what: &str, name: &str| Status::not_found(format!("no {what} {name:?}"));
        match wanted {
            Wanted::ListServices(_) => Ok(self.list()),
            Wanted::FileByFilename(name) => {
                self.index.file(name).map(files).ok_or_else(|| not_found("file", name))
            }
            Wanted::FileContainingSymbol(name) => {
                let found = self.index.file_with_symbol(name);
                found.map(files).ok_or_else(|| not_found("symbol", name))
            }
            Wanted::FileContainingExtension(extension) => {
                let (name, number) = (&extension.containing_type, extension.extension_number);
                let found = self.index.file_with_extension(name, number);
                let what = format!("extension {number} of");
                found.map(files).ok_or_else(|| not_found(&what, name))
            }
            Wanted::AllExtensionNumbersOfType(name) => {
                let numbers = self.index.extension_numbers(name);
                let extension_number = numbers.ok_or_else(|| not_found("type", name))?;
                let base_type_name = name.clone();
                let numbers = proto::ExtensionNumberResponse { base_type_name, extension_number };
                Ok(Answer::AllExtensionNumbersResponse(numbers))
            }
        }
    }

    fn list(&self) -> Answer {
        let served = self.served.get().and_then(Option::as_ref);
        let is_served = |name: &&str| served.is_none_or(|served| served.contains(*name));
        let names = self.index.services().filter(is_served);
        let service = names.map(|name| proto::ServiceResponse { name: name.to_owned() }).collect();
        Answer::ListServicesResponse(proto::ListServiceResponse { service })
    }
}

fn files(file_descriptor_proto: Vec<Bytes>) -> Answer {
    Answer::FileDescriptorResponse(proto::FileDescriptorResponse { file_descriptor_proto })
}
