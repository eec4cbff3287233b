//! The Rust names of services and methods, and what to do where two would be the same.

use std::collections::{HashMap, HashSet};

use prost_build::Module;
use prost_types::{FileDescriptorProto, ServiceDescriptorProto};

use crate::Result;
use crate::diagnostic::Sources;

/// The numbers of a file's services in its descriptor, and of a service's methods in its own: paths
/// to positions in the source are made of them.
const SERVICES: i32 = 6;
const METHODS: i32 = 2;

/// The name of each service's module, by the service's full name.
pub(crate) type ServiceModules = HashMap<String, String>;

/// Rust modules by the module they are in.
type Modules = HashSet<(Module, String)>;

/// Chooses the module names of all services, and checks the names of their methods.
pub(crate) fn service_modules(
    files: &[FileDescriptorProto],
    sources: &Sources,
) -> Result<ServiceModules> {
    let services = services_by_module(files, sources)?;
    let others = other_modules(files);
    let mut modules = HashMap::new();
    for file in files {
        let package = Module::from_protobuf_package_name(file.package());
        for (index, service) in (0..).zip(&file.service) {
            check_methods(file, index, service, sources)?;
            let snake = snake_case(service.name());
            let module = if others.contains(&(package.clone(), snake.clone())) {
                let suffixed = format!("{}_service", snake.trim_start_matches("r#"));
                let key = (package.clone(), suffixed.clone());
                if others.contains(&key) || services.contains(&key) {
                    let name = service.name();
                    let what = format!(
                        "the module of service `{name}` could be neither `{snake}` nor \
                         `{suffixed}`: both are taken. Rename the service, or what takes them"
                    );
                    return Err(sources.error_at(file, &[SERVICES, index], &what));
                }
                suffixed
            } else {
                snake
            };
            modules.insert(full_name(file.package(), service.name()), module);
        }
    }
    Ok(modules)
}

/// The full name of a service, as it is in the paths of requests.
pub(crate) fn full_name(package: &str, service: &str) -> String {
    if package.is_empty() { service.to_owned() } else { format!("{package}.{service}") }
}

/// The modules that services would like to have; an error if two want the same.
fn services_by_module(files: &[FileDescriptorProto], sources: &Sources) -> Result<Modules> {
    let mut found = HashMap::new();
    for file in files {
        let package = Module::from_protobuf_package_name(file.package());
        for (index, service) in (0..).zip(&file.service) {
            let name = service.name();
            let snake = snake_case(name);
            let problem = if snake.is_empty() {
                Some(format!("service `{name}` has no letter to name a module after"))
            } else {
                found.insert((package.clone(), snake.clone()), name).map(|other| {
                    format!(
                        "services `{other}` and `{name}` would both be the module `{snake}`: \
                         rename one of them"
                    )
                })
            };
            if let Some(problem) = problem {
                return Err(sources.error_at(file, &[SERVICES, index], &problem));
            }
        }
    }
    Ok(found.into_keys().collect())
}

/// Modules that are there for other reasons: for what is nested in a message, and for packages below.
///
/// A message's module counts even if nothing is nested in it, so that a nested type that comes later
/// renames no service.
fn other_modules(files: &[FileDescriptorProto]) -> Modules {
    let mut modules = HashSet::new();
    for file in files {
        let package = Module::from_protobuf_package_name(file.package());
        for message in &file.message_type {
            modules.insert((package.clone(), snake_case(message.name())));
        }
        let parts: Vec<_> = package.parts().collect();
        for (depth, part) in parts.iter().enumerate() {
            let parent = Module::from_parts(parts[..depth].iter().copied());
            modules.insert((parent, (*part).to_owned()));
        }
    }
    modules
}

/// Protobuf tells `GetFoo` from `get_foo`; Rust's names do not.
fn check_methods(
    file: &FileDescriptorProto,
    service_index: i32,
    service: &ServiceDescriptorProto,
    sources: &Sources,
) -> Result<()> {
    let mut found = HashMap::new();
    for (index, method) in (0..).zip(&service.method) {
        let name = method.name();
        let snake = snake_case(name);
        let problem = if snake.is_empty() {
            Some(format!("method `{name}` has no letter to name a function after"))
        } else {
            found.insert(snake.clone(), name).map(|other| {
                format!(
                    "methods `{other}` and `{name}` would both be the function `{snake}`: \
                     rename one of them"
                )
            })
        };
        if let Some(problem) = problem {
            let path = [SERVICES, service_index, METHODS, index];
            return Err(sources.error_at(file, &path, &problem));
        }
    }
    Ok(())
}

/// A name as prost-build writes modules and fields: snake case, with keywords made identifiers.
pub(crate) fn snake_case(name: &str) -> String {
    Module::from_protobuf_package_name(name).parts().collect()
}

/// The name of the constant that describes a method, of which this is the function.
pub(crate) fn constant(function: &str) -> String {
    let name = function.trim_start_matches("r#").to_uppercase();
    // Beside the constant that holds the service's own name.
    if name == "NAME" { "NAME_".to_owned() } else { name }
}

/// The name of a client's function for a method, of which this is the handler. Those that a client has
/// besides are taken.
pub(crate) fn client_function(function: &str) -> String {
    match function {
        "new" | "with" | "intercept" | "clone" => format!("{function}_"),
        _ => function.to_owned(),
    }
}
