//! What a method looks like in the code of its service.

use prost_build::{Comments, Method, Module};

use crate::code::Code;
use crate::names;

/// A method, in the words of the generated code.
#[derive(Debug)]
pub(crate) struct Rpc<'a> {
    pub(crate) function: &'a str,
    pub(crate) constant: String,
    /// The path of its requests.
    pub(crate) path: String,
    pub(crate) kind: Kind,
    /// The types of its messages, as a module within the package's names them.
    pub(crate) input: String,
    pub(crate) output: String,
    name: &'a str,
    comments: &'a Comments,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Unary,
    ClientStreaming,
    ServerStreaming,
    BidiStreaming,
}

impl Kind {
    /// The name of the runtime's functions for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::ClientStreaming => "client_streaming",
            Self::ServerStreaming => "server_streaming",
            Self::BidiStreaming => "bidi_streaming",
        }
    }

    fn streams_requests(self) -> bool {
        matches!(self, Self::ClientStreaming | Self::BidiStreaming)
    }

    fn streams_responses(self) -> bool {
        matches!(self, Self::ServerStreaming | Self::BidiStreaming)
    }
}

/// The two styles of handlers, and of calls.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Style {
    Async,
    Blocking,
}

impl Style {
    pub(crate) fn service(self) -> &'static str {
        match self {
            Self::Async => "Service",
            Self::Blocking => "BlockingService",
        }
    }

    pub(crate) fn function(self) -> &'static str {
        match self {
            Self::Async => "server",
            Self::Blocking => "blocking_server",
        }
    }

    pub(crate) fn handlers(self) -> &'static str {
        match self {
            Self::Async => "`async` handlers",
            Self::Blocking => "blocking handlers",
        }
    }

    pub(crate) fn client(self) -> &'static str {
        match self {
            Self::Async => "Client",
            Self::Blocking => "BlockingClient",
        }
    }

    /// What is to be known of a client's calls.
    pub(crate) fn calls(self) -> &'static str {
        match self {
            Self::Async => "Calls the service's methods; what comes of that is awaited.",
            Self::Blocking => {
                "Calls the service's methods; each call, read and write blocks until it is done."
            }
        }
    }

    /// What a client is made of.
    pub(crate) fn stub(self, runtime: &str) -> String {
        format!("{}::Stub", self.client_module(runtime))
    }

    fn client_module(self, runtime: &str) -> String {
        match self {
            Self::Async => format!("{runtime}::client"),
            Self::Blocking => format!("{runtime}::client::blocking"),
        }
    }
}

/// A parameter of a handler, besides `self`.
struct Parameter {
    name: &'static str,
    /// A handler borrows streams, and owns a request.
    is_borrowed: bool,
    ty: String,
}

impl<'a> Rpc<'a> {
    pub(crate) fn new(method: &'a Method, package: &str, service: &str) -> Self {
        let kind = match (method.client_streaming, method.server_streaming) {
            (false, false) => Kind::Unary,
            (true, false) => Kind::ClientStreaming,
            (false, true) => Kind::ServerStreaming,
            (true, true) => Kind::BidiStreaming,
        };
        Self {
            function: &method.name,
            constant: names::constant(&method.name),
            path: format!("/{service}/{}", method.proto_name),
            kind,
            input: from_within(&method.input_type, &method.input_proto_type, package),
            output: from_within(&method.output_type, &method.output_proto_type, package),
            name: &method.proto_name,
            comments: &method.comments,
        }
    }

    pub(crate) fn document(&self, code: &mut Code) {
        code.document(self.comments, &format!("The method `{}`.", self.name));
    }

    /// The handler's signature in the trait.
    pub(crate) fn signature(&self, runtime: &str, style: Style) -> String {
        let result = if self.kind.streams_responses() {
            format!("Result<(), {runtime}::Status>")
        } else {
            format!("Result<{runtime}::Response<{}>, {runtime}::Status>", self.output)
        };
        let result = match style {
            Style::Async => {
                format!("impl ::core::future::Future<\n    Output = {result},\n> + Send")
            }
            Style::Blocking => result,
        };
        let parameters = self.parameters(runtime, style).into_iter().map(|it| {
            let borrow = if it.is_borrowed { "&mut " } else { "" };
            format!("    {}: {borrow}{},\n", it.name, it.ty)
        });
        let parameters: String = parameters.collect();
        format!("fn {}(\n    &self,\n{parameters}) -> {result}", self.function)
    }

    /// What a method does that a service leaves out: so a method that is added to a .proto file
    /// breaks nobody's build, as in gRPC's other languages.
    pub(crate) fn default_body(&self, runtime: &str, style: Style) -> String {
        let text = format!("{} is not implemented", self.path);
        let answer = format!("Err({runtime}::Status::unimplemented(\"{text}\"))");
        match style {
            Style::Async => format!("::core::future::ready({answer})"),
            Style::Blocking => answer,
        }
    }

    /// The handler of an `Arc`: that of what is in it. The trait is named, since `clone` and the like
    /// may be methods of a service.
    pub(crate) fn delegation(&self, style: Style) -> String {
        let parameters = self.parameters("", style).into_iter();
        let arguments: String = parameters.map(|it| format!(", {}", it.name)).collect();
        format!("<S as {}>::{}(&**self{arguments})", style.service(), self.function)
    }

    /// How the service's builder is told of the handler.
    pub(crate) fn registration(&self, style: Style) -> String {
        let Self { function, constant, kind, .. } = self;
        let (service, kind) = (style.service(), kind.name());
        let mut parameters = String::from("service");
        let mut arguments = String::new();
        for Parameter { name, is_borrowed, .. } in self.parameters("", style) {
            let (is_mut, borrow) = match style {
                // The future owns what it lends to the handler.
                Style::Async if is_borrowed => ("mut ", "&mut "),
                Style::Async | Style::Blocking => ("", ""),
            };
            parameters += &format!(", {is_mut}{name}");
            arguments += &format!(", {borrow}{name}");
        }
        match style {
            Style::Async => format!(
                ".{kind}({constant}, |{parameters}| async move {{\n    \
                 <S as {service}>::{function}(&service{arguments}).await\n}})"
            ),
            Style::Blocking => format!(
                ".blocking_{kind}({constant}, |{parameters}| {{\n    \
                 <S as {service}>::{function}(service{arguments})\n}})"
            ),
        }
    }

    /// The signature of a client's function.
    pub(crate) fn call_signature(&self, runtime: &str, style: Style) -> String {
        let Self { input, output, .. } = self;
        let module = style.client_module(runtime);
        let reader = match style {
            Style::Async => "Streaming",
            Style::Blocking => "Reader",
        };
        let result = format!("Result<{runtime}::Response<{output}>, {runtime}::Status>");
        let returned = match (self.kind, style) {
            // It lives as long as it likes.
            (Kind::Unary, Style::Async) => {
                format!("impl ::core::future::Future<\n    Output = {result},\n> + Send + use<>")
            }
            (Kind::Unary, Style::Blocking) => result,
            (Kind::ClientStreaming, _) => format!("{module}::Upload<{input}, {output}>"),
            (Kind::ServerStreaming, _) => format!("{module}::{reader}<{output}>"),
            (Kind::BidiStreaming, _) => {
                format!("(\n    {module}::Writer<{input}>,\n    {module}::{reader}<{output}>,\n)")
            }
        };
        let function = names::client_function(self.function);
        let parameter = match self.kind.streams_requests() {
            true => String::new(),
            false => format!("    request: {input},\n"),
        };
        format!("pub fn {function}(\n    &self,\n{parameter}) -> {returned}")
    }

    /// What a client's function does.
    pub(crate) fn call(&self) -> String {
        let request = if self.kind.streams_requests() { "" } else { ", request" };
        format!("self.0.{}(&{}{request})", self.kind.name(), self.constant)
    }

    fn parameters(&self, runtime: &str, style: Style) -> Vec<Parameter> {
        let (reader, writer) = match style {
            Style::Async => ("Streaming", "Writer"),
            Style::Blocking => ("blocking::Reader", "blocking::Writer"),
        };
        let Self { input, output, .. } = self;
        let mut parameters = Vec::new();
        parameters.push(if self.kind.streams_requests() {
            let ty = format!("{runtime}::{reader}<{input}>");
            Parameter { name: "requests", is_borrowed: true, ty }
        } else {
            let ty = format!("{runtime}::Request<{input}>");
            Parameter { name: "request", is_borrowed: false, ty }
        });
        if self.kind.streams_responses() {
            let ty = format!("{runtime}::{writer}<{output}>");
            parameters.push(Parameter { name: "responses", is_borrowed: true, ty });
        }
        parameters
    }
}

/// A type that prost names from the package's module, named from a module within that.
///
/// Only generated types have relative paths; what `extern_path` gives stays as it is.
fn from_within(ty: &str, proto_type: &str, package: &str) -> String {
    let is_generated = match ty.rsplit_once("::") {
        Some((modules, _)) => modules == relative_modules(proto_type, package),
        // A type of the package itself begins with a capital, and `u32` or `()` does not.
        None => {
            relative_modules(proto_type, package).is_empty()
                && ty.starts_with(|it: char| it.is_uppercase() || it == '_')
        }
    };
    if is_generated { format!("super::{ty}") } else { ty.to_owned() }
}

/// The path from a package's module to the module of a type, as prost-build writes it.
fn relative_modules(proto_type: &str, package: &str) -> String {
    let full = proto_type.trim_start_matches('.');
    let target = full.rsplit_once('.').map_or("", |(modules, _)| modules);
    let from: Vec<_> = package.split('.').filter(|it| !it.is_empty()).collect();
    let to: Vec<_> = target.split('.').filter(|it| !it.is_empty()).collect();
    let common = from.iter().zip(&to).take_while(|(from, to)| from == to).count();
    let up = from[common..].iter().map(|_| "super".to_owned());
    let down = Module::from_protobuf_package_name(&to[common..].join("."));
    let down: Vec<_> = down.parts().map(str::to_owned).collect();
    let path: Vec<_> = up.chain(down).collect();
    path.join("::")
}
