//! The flags of the client.

use super::{Case, Style};
use crate::Flags;

/// What the client is to do, as other languages' clients are told it.
///
/// ```
/// use turnstile_interop::Flags;
/// use turnstile_interop::client::{Case, Options};
///
/// let arguments = ["--server_host=localhost", "--server_port=8080", "--test_case=ping_pong"];
/// let options = Options::read(Flags::parse(arguments.map(str::to_owned))?)?;
/// assert_eq!((options.target.as_str(), options.case), ("localhost:8080", Case::PingPong));
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where the server is: `--server_host` and `--server_port`, or the host alone if the port is
    /// 0, which is then any target that a channel takes.
    pub target: String,
    /// `--test_case`.
    pub case: Case,
    /// `--server_host_override`: the authority of all calls.
    pub authority: Option<String>,
    /// `--additional_metadata`: what each call sends besides.
    pub metadata: Vec<(String, String)>,
    /// `--style`, which other clients do not have.
    pub style: Style,
}

/// Flags of other clients that choose what is not there, and what they are without it.
const LEFT_OUT: [(&str, &str, &str); 9] = [
    ("use_tls", "false", "TLS"),
    ("use_alts", "false", "ALTS"),
    ("alts_handshaker_service_address", "", "ALTS"),
    ("ca_file", "", "TLS"),
    ("custom_credentials_type", "", "credentials"),
    ("default_service_account", "", "credentials"),
    ("oauth_scope", "", "credentials"),
    ("service_account_key_file", "", "credentials"),
    ("service_config_json", "", "service config"),
];

impl Options {
    /// How the client is called.
    pub const USAGE: &str = "\
usage: interop_client --test_case=CASE [--server_host=HOST] [--server_port=PORT]
                      [--server_host_override=NAME] [--additional_metadata=NAME:VALUE;...]
                      [--style=blocking|async|queue] [--use_tls=false]
  --test_case             the case, by its name in gRPC's interop-test-descriptions.md or
                          http2-interop-test-descriptions.md; large_unary if not given
  --server_host           the server; localhost if not given
  --server_port           its port, or 0 if the host is a whole target; 10000 if not given
  --server_host_override  the authority that calls are for, instead of host and port
  --additional_metadata   metadata that each call sends
  --style                 how calls are made: by stubs that block, by async stubs, or in batches on
                          completion queues; blocking if not given
  --use_tls               false: there is no TLS yet";

    /// Reads the flags.
    ///
    /// # Errors
    /// If there is one that is not known, cannot be, or asks for what this client does not have.
    pub fn read(mut flags: Flags) -> Result<Self, String> {
        for (name, without, what) in LEFT_OUT {
            let value: Option<String> = flags.take(name)?;
            if let Some(value) = value.filter(|value| value != without) {
                return Err(format!(
                    "--{name}={value}: this client has no {what} yet; leave the flag away, or say \
                     --{name}={without}"
                ));
            }
        }
        // It says whose certificates are good, which is nothing without TLS.
        flags.take::<bool>("use_test_ca")?;
        let host = flags.take::<String>("server_host")?.unwrap_or_else(|| "localhost".to_owned());
        let port = flags.take::<u16>("server_port")?.unwrap_or(10_000);
        let case =
            flags.take::<String>("test_case")?.map_or(Ok(Case::LargeUnary), |name| name.parse())?;
        let authority = flags.take::<String>("server_host_override")?;
        let metadata = flags.take::<String>("additional_metadata")?.unwrap_or_default();
        let style = flags.take::<String>("style")?.map(|name| name.parse()).transpose()?;
        flags.finish()?;
        Ok(Self {
            target: target(host, port),
            case,
            authority: authority.filter(|name| !name.is_empty()),
            metadata: pairs(&metadata)?,
            style: style.unwrap_or_default(),
        })
    }
}

fn target(host: String, port: u16) -> String {
    match port {
        0 => host,
        // A bare IPv6 address.
        _ if host.contains(':') && !host.starts_with('[') => format!("[{host}]:{port}"),
        _ => format!("{host}:{port}"),
    }
}

/// Reads `name:value;name:value`. Values may have all characters but semicolons.
fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let pair = |pair: &str| match pair.split_once(':') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("--additional_metadata has {pair:?}, which is not NAME:VALUE")),
    };
    text.split(';').filter(|it| !it.is_empty()).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Options, String> {
        Options::read(Flags::parse(arguments.iter().map(|it| (*it).to_owned()))?)
    }

    #[test]
    fn without_flags_they_are_those_of_other_languages() {
        let options = read(&[]).unwrap();
        assert_eq!((options.target.as_str(), options.case), ("localhost:10000", Case::LargeUnary));
        assert_eq!((options.authority, options.metadata), (None, vec![]));
        assert_eq!(options.style, Style::Blocking);
    }

    #[test]
    fn what_the_harness_of_grpc_says_is_understood() {
        let options = read(&[
            "--test_case=ping_pong",
            "--server_host=::1",
            "--server_port=8080",
            "--server_host_override=foo.test.google.fr",
            "--use_tls=false",
            "--use_test_ca=true",
            "--ca_file=",
            "--custom_credentials_type=",
            "--additional_metadata=a:1;b-c:d:e;",
            "--style=async",
        ]);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = Options {
            target: "[::1]:8080".to_owned(),
            case: Case::PingPong,
            authority: Some("foo.test.google.fr".to_owned()),
            metadata: vec![pair("a", "1"), pair("b-c", "d:e")],
            style: Style::Async,
        };
        assert_eq!(options, Ok(expected));
    }

    #[test]
    fn a_host_without_a_port_is_a_target() {
        let options = read(&["--server_host=unix:/tmp/socket", "--server_port=0"]).unwrap();
        assert_eq!(options.target, "unix:/tmp/socket");
    }

    #[test]
    fn what_is_not_there_is_refused_with_what_to_do() {
        let refused = [
            (
                "--use_tls",
                "--use_tls=true: this client has no TLS yet; leave the flag away, or say --use_tls=false",
            ),
            (
                "--oauth_scope=x",
                "--oauth_scope=x: this client has no credentials yet; leave the flag away, or say \
                 --oauth_scope=",
            ),
            ("--server_port=70000", "--server_port cannot be \"70000\""),
            ("--soak_iterations=3", "there is no flag --soak_iterations"),
            ("--style=green", "there is no style \"green\"; the styles are blocking, async, queue"),
            ("--additional_metadata=a", "--additional_metadata has \"a\", which is not NAME:VALUE"),
            (
                "--test_case=per_rpc_creds",
                "the case per_rpc_creds takes credentials of a cloud, and this client does not have it",
            ),
        ];
        for (argument, message) in refused {
            assert_eq!(read(&[argument]), Err(message.to_owned()));
        }
    }
}
