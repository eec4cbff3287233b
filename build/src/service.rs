//! The code of a service: its traits, and what makes a server's service of their implementations.

use prost_build::{Service, ServiceGenerator};

use crate::code::Code;
use crate::config::ServiceOptions;
use crate::names::{self, ServiceModules};
use crate::rpc::{Rpc, Style};

/// Lints that generated code does not have to obey in the user's crate.
const ALLOWED: &str = "clippy::all, clippy::pedantic, dead_code, deprecated, unreachable_pub, unused_qualifications, \
     unused_variables";

/// Writes services for prost-build.
#[derive(Debug)]
pub(crate) struct Generator {
    options: ServiceOptions,
    modules: ServiceModules,
}

impl Generator {
    pub(crate) fn new(options: ServiceOptions, modules: ServiceModules) -> Self {
        Self { options, modules }
    }
}

impl ServiceGenerator for Generator {
    fn generate(&mut self, service: Service, text: &mut String) {
        let name = names::full_name(&service.package, &service.proto_name);
        let rpcs = service.methods.iter().map(|method| Rpc::new(method, &service.package, &name));
        let rpcs: Vec<_> = rpcs.collect();
        let mut code = Code::default();
        code.document(&service.comments, &format!("The service `{name}`."));
        for (path, attribute) in &self.options.attributes {
            if matches(path, &name) {
                code.line(attribute);
            }
        }
        code.line(&format!("#[allow({ALLOWED})]"));
        code.open(&format!("pub mod {} {{", self.modules[&name]));
        code.line("/// The service's full name.");
        code.line(&format!("pub const NAME: &str = \"{name}\";"));
        for rpc in &rpcs {
            self.descriptor(&mut code, rpc);
        }
        self.options.servers.iter().for_each(|style| self.server(&mut code, &rpcs, style));
        self.options.clients.iter().for_each(|style| self.client(&mut code, &rpcs, style));
        code.close("}");
        text.push_str(&code.into_text());
    }
}

impl Generator {
    fn descriptor(&self, code: &mut Code, rpc: &Rpc<'_>) {
        let Rpc { constant, path, kind, input, output, .. } = rpc;
        let runtime = &self.options.runtime;
        let codec: String = self.options.codec.iter().map(|codec| format!(", {codec}")).collect();
        rpc.document(code);
        code.open(&format!(
            "pub const {constant}: {runtime}::MethodDescriptor<{input}, {output}{codec}> ="
        ));
        code.line(&format!("{runtime}::MethodDescriptor::{}(\"{path}\");", kind.name()));
        code.close("");
    }

    /// The trait for one style of handler, its implementation for an `Arc`, and the function that
    /// makes a service of what implements it.
    fn server(&self, code: &mut Code, rpcs: &[Rpc<'_>], style: Style) {
        let runtime = &self.options.runtime;
        let (service, function, handlers) = (style.service(), style.function(), style.handlers());
        code.line(&format!(
            "/// The service's methods as {handlers}; [`{function}`] makes a service of them."
        ));
        code.line("///");
        code.line("/// A method that is left out is answered with UNIMPLEMENTED.");
        code.open(&format!("pub trait {service}: Send + Sync + 'static {{"));
        for rpc in rpcs {
            rpc.document(code);
            code.open(&format!("{} {{", rpc.signature(runtime, style)));
            code.line(&rpc.default_body(runtime, style));
            code.close("}");
        }
        code.close("}");

        code.open(&format!("impl<S: {service}> {service} for ::std::sync::Arc<S> {{"));
        for rpc in rpcs {
            code.open(&format!("{} {{", rpc.signature(runtime, style)));
            code.line(&rpc.delegation(style));
            code.close("}");
        }
        code.close("}");

        code.line(&format!(
            "/// The service with {handlers}, for the `add_service` of a server's builder."
        ));
        code.open(&format!("pub fn {function}<S: {service}>(service: S) -> {runtime}::Service {{"));
        code.open(&format!("{runtime}::service::Builder::new(NAME, service)"));
        for rpc in rpcs {
            code.line(&rpc.registration(style));
        }
        code.line(".build()");
        code.close("");
        code.close("}");
    }

    /// What makes the calls of one style.
    fn client(&self, code: &mut Code, rpcs: &[Rpc<'_>], style: Style) {
        let runtime = &self.options.runtime;
        let (client, calls, stub) = (style.client(), style.calls(), style.stub(runtime));
        code.line(&format!("/// {calls}"));
        code.line("///");
        code.line(
            "/// A call begins when its function is called, and an error is how it ended. What is",
        );
        code.line("/// dropped before the end cancels the call. Clones use the same channel.");
        code.line("#[derive(Clone, Debug)]");
        code.line(&format!("pub struct {client}({stub});"));
        code.open(&format!("impl {client} {{"));
        code.line("/// Makes calls on this channel, with its options.");
        code.open(&format!("pub fn new(channel: {runtime}::Channel) -> Self {{"));
        code.line(&format!("Self({stub}::new(channel))"));
        code.close("}");
        code.line("/// The same with more options, for one call or for many: these on top of those there are.");
        code.line("#[must_use]");
        code.open(&format!("pub fn with(&self, options: {runtime}::CallOptions) -> Self {{"));
        code.line("Self(self.0.with(options))");
        code.close("}");
        code.line("/// Adds an interceptor, within those that are there.");
        code.line("#[must_use]");
        code.open(&format!(
            "pub fn intercept(self, interceptor: impl {runtime}::client::Interceptor) -> Self {{"
        ));
        code.line("Self(self.0.intercept(interceptor))");
        code.close("}");
        for rpc in rpcs {
            rpc.document(code);
            code.open(&format!("{} {{", rpc.call_signature(runtime, style)));
            code.line(&rpc.call());
            code.close("}");
        }
        code.close("}");
    }
}

/// Whether a protobuf path means this service: `.` is all, a dot in front makes it the whole name or
/// a package, and else it is how the name ends.
fn matches(path: &str, service: &str) -> bool {
    match path.strip_prefix('.') {
        Some("") => true,
        Some(start) => {
            service.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        }
        None => {
            service.strip_suffix(path).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_path_means_all_services_or_a_package_or_the_end_of_a_name() {
        let name = "acme.billing.Invoices";
        for path in [".", ".acme", ".acme.billing", ".acme.billing.Invoices", "Invoices"] {
            assert!(matches(path, name), "{path}");
        }
        assert!(matches("billing.Invoices", name));
        for path in [".acme.bill", ".billing", "voices", "acme", ".acme.billing.Invoice"] {
            assert!(!matches(path, name), "{path}");
        }
    }
}
