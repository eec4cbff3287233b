//! `cargo xtask tools`: the peers that the tests talk to.
//!
//! A stamp beside each tool says which version is installed, so that a second run has nothing to
//! do, and a change of a version here installs anew.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::steps::{Outcome, Steps};
use crate::workspace::{command, on_path, output_of, shown, tools_dir};

/// The version of grpcurl, which says which grpc-go it carries.
const GRPCURL: &str = "v1.9.4";

/// The version of grpc-health-probe, which is what Kubernetes asks a server for its health with.
const HEALTH_PROBE: &str = "v0.4.40";

/// The version of grpc-go whose interoperability programs the tests use.
const GRPC_GO: &str = "v1.85.0";

/// What pip installs for the Python clients. grpcio-reflection speaks the older reflection only.
const PYTHON_PACKAGES: [&str; 5] = [
    "grpcio==1.85.1",
    "grpcio-channelz==1.85.0",
    "grpcio-reflection==1.85.1",
    "grpcio-tools==1.85.1",
    "protobuf==7.36.2",
];

/// How often a step that downloads is tried.
const ATTEMPTS: u32 = 3;

/// Adds a step for each tool.
pub(crate) fn add_to(steps: &mut Steps) {
    steps.run("tool: grpcurl", || {
        go_program("bin/grpcurl", "github.com/fullstorydev/grpcurl/cmd/grpcurl", GRPCURL)
    });
    steps.run("tool: grpc-health-probe", || {
        let package = "github.com/grpc-ecosystem/grpc-health-probe";
        go_program("bin/grpc-health-probe", package, HEALTH_PROBE)
    });
    // In a folder of their own, since they have no names of their own. The last is the client for
    // the cases of HTTP/2 that the server breaks.
    steps.run("tool: grpc-go's interop client", || grpc_go("client"));
    steps.run("tool: grpc-go's interop server", || grpc_go("server"));
    steps.run("tool: grpc-go's negative HTTP/2 client", || grpc_go("http2"));
    steps.run("tool: Python grpcio", python);
    steps.run("tool: h2load", h2load);
    steps.run("tool: strace", strace);
}

/// One of grpc-go's programs for interoperability.
fn grpc_go(name: &str) -> Outcome {
    let package = format!("google.golang.org/grpc/interop/{name}");
    go_program(&format!("go-interop/{name}"), &package, GRPC_GO)
}

/// Builds a program of a Go module, and installs it at this path, which ends as `package` does.
fn go_program(path: &str, package: &str, version: &str) -> Outcome {
    let program = tools_dir().join(path);
    let name = path.trim_start_matches("bin/").replace('/', "-");
    let stamp = Stamp::new(&name, version);
    if stamp.matches() && program.is_file() {
        return Ok(format!("{version} is installed"));
    }
    require("go", "install Go 1.21 or later (https://go.dev/dl, or the package golang-go)")?;
    let package = format!("{package}@{version}");
    let folder = program.parent().expect("it is in the folder of the tools");
    download(|| {
        let mut go = command("go");
        go.args(["install", &package]).env("GOBIN", folder).env("CGO_ENABLED", "0");
        // A caller's cross-compilation would put the program where nothing looks for it.
        go.env_remove("GOOS").env_remove("GOARCH").env_remove("GOFLAGS");
        go
    })?;
    stamp.write()?;
    Ok(format!("{version} has been installed"))
}

fn python() -> Outcome {
    let venv = tools_dir().join("venv");
    let interpreter = venv.join("bin/python");
    let versions = PYTHON_PACKAGES.join(" ");
    let stamp = Stamp::new("python", &versions);
    if stamp.matches() && interpreter.is_file() {
        return Ok(format!("{versions} are installed"));
    }
    let remedy = "install Python 3.10 or later with its venv module \
                  (Debian and Ubuntu: python3 and python3-venv)";
    require("python3", remedy)?;
    output_of(command("python3").args(["-m", "venv", "--clear"]).arg(&venv))
        .map_err(|cause| format!("{cause}{remedy}"))?;
    download(|| {
        let mut pip = command(&interpreter);
        // Without a wheel pip would compile gRPC's C core for an hour: better to hear of it.
        pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--only-binary", ":all:"]);
        pip.arg("--disable-pip-version-check").args(PYTHON_PACKAGES);
        pip
    })?;
    stamp.write()?;
    Ok(format!("{versions} have been installed"))
}

/// h2load, which says its version itself.
fn h2load() -> Outcome {
    let remedy = "install h2load, a part of nghttp2 (Debian and Ubuntu: nghttp2-client, Fedora: \
                  nghttp2, macOS: brew install nghttp2), and run this again";
    of_distribution("h2load", "nghttp2-client", remedy)
}

/// strace, which counts the system calls of a server.
fn strace() -> Outcome {
    of_distribution("strace", "strace", "install strace, and run this again")
}

/// A program that comes with the distribution: from apt's `package`, where apt is.
fn of_distribution(name: &str, package: &str, remedy: &str) -> Outcome {
    if let Some(program) = on_path(name) {
        return Ok(format!("{} is installed", program.display()));
    }
    let Some(root) = apt_get() else {
        return Err(format!(
            "{name} is not on the PATH, and it takes apt-get and root to install it: {remedy}"
        ));
    };
    let apt = |args: &[&str]| {
        let mut apt = command(root[0]);
        apt.args(&root[1..]).args(["-q", "-o", "DPkg::Lock::Timeout=120"]).args(args);
        apt.env("DEBIAN_FRONTEND", "noninteractive");
        apt
    };
    download(|| apt(&["update"]))?;
    download(|| apt(&["install", "--yes", "--no-install-recommends", package]))?;
    on_path(name)
        .map(|program| format!("{} has been installed", program.display()))
        .ok_or_else(|| format!("{package} did not bring {name}: {remedy}"))
}

/// How to run apt-get as root without being asked for a password, if that can be done.
fn apt_get() -> Option<&'static [&'static str]> {
    on_path("apt-get")?;
    let is_root = output_of(command("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    if is_root {
        return Some(&["apt-get"]);
    }
    let may_sudo = output_of(command("sudo").args(["-n", "true"])).is_ok();
    may_sudo.then_some(&["sudo", "-n", "apt-get"])
}

fn require(program: &str, remedy: &str) -> Result<(), String> {
    match on_path(program) {
        Some(_) => Ok(()),
        None => Err(format!("{program} is not on the PATH: {remedy}, and run this again")),
    }
}

/// Runs a command that needs a network, a few times if it has to.
fn download(make: impl Fn() -> Command) -> Result<(), String> {
    let mut attempt = 1;
    loop {
        println!("    $ {}", shown(&make()));
        match output_of(&mut make()) {
            Ok(_) => return Ok(()),
            Err(cause) if attempt == ATTEMPTS => {
                return Err(format!("{cause}This needs a network: try again when there is one."));
            }
            Err(_) => println!("    failed, attempt {attempt} of {ATTEMPTS}"),
        }
        attempt += 1;
    }
}

/// A file that says which version of a tool is installed.
struct Stamp<'a> {
    file: PathBuf,
    version: &'a str,
}

impl<'a> Stamp<'a> {
    fn new(tool: &str, version: &'a str) -> Self {
        Self { file: tools_dir().join(format!("{tool}.stamp")), version }
    }

    fn matches(&self) -> bool {
        fs::read_to_string(&self.file).is_ok_and(|text| text == self.version)
    }

    fn write(&self) -> Result<(), String> {
        fs::write(&self.file, self.version)
            .map_err(|error| format!("cannot write {}: {error}", self.file.display()))
    }
}
