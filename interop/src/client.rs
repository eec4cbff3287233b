//! The client of the interoperability tests: its flags, its cases, and what the cases send and expect.
//!
//! [`run`] does one case, in one of three styles: the files are about kinds of cases, and `caller` about
//! the styles.

mod caller;
mod case;
mod compression;
mod endings;
mod expect;
pub mod messages;
mod metadata;
mod negative;
mod options;
mod streams;
mod unary;

pub use caller::Style;
pub use case::Case;
pub use options::Options;

use std::time::Duration;

use turnstile::{CallOptions, Channel, Encoding};

/// So that a case that would hang fails. Far more than any needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Does what the options say. Blocks until the case is over.
///
/// # Errors
/// What was not as the case wants it.
pub fn run(options: &Options) -> Result<(), String> {
    let mut common = CallOptions::new().timeout(PATIENCE);
    for (name, value) in &options.metadata {
        common = common.metadata(name, value);
    }
    let mut builder = Channel::builder(&options.target).call_options(common);
    if let Some(authority) = &options.authority {
        builder = builder.authority(authority);
    }
    let channel = builder.build().map_err(|error| error.to_string())?;
    let caller = options.style.caller(channel);
    let caller = &*caller;
    match options.case {
        Case::EmptyUnary => unary::empty(caller),
        Case::CacheableUnary => unary::cacheable(caller),
        Case::LargeUnary => unary::large(caller),
        Case::ClientCompressedUnary => compression::client_unary(caller),
        Case::ServerCompressedUnary => compression::server_unary(caller),
        Case::ClientStreaming => streams::client_streaming(caller),
        Case::ClientCompressedStreaming => compression::client_streaming(caller),
        Case::ServerStreaming => streams::server_streaming(caller),
        Case::ServerCompressedStreaming => compression::server_streaming(caller),
        Case::PingPong => streams::ping_pong(caller),
        Case::EmptyStream => streams::empty(caller),
        Case::CustomMetadata => metadata::custom(caller),
        Case::StatusCodeAndMessage => metadata::status_code_and_message(caller),
        Case::SpecialStatusMessage => metadata::special_status_message(caller),
        Case::UnimplementedMethod => endings::unimplemented_method(caller),
        Case::UnimplementedService => endings::unimplemented_service(caller),
        Case::CancelAfterBegin => endings::cancel_after_begin(caller),
        Case::CancelAfterFirstResponse => endings::cancel_after_first_response(caller),
        Case::TimeoutOnSleepingServer => endings::timeout_on_sleeping_server(caller),
        Case::PickFirstUnary => unary::pick_first(caller),
        Case::Goaway => negative::goaway(caller),
        Case::RstAfterHeader | Case::RstDuringData | Case::RstAfterData => negative::reset(caller),
        Case::MaxStreams => negative::max_streams(caller),
        Case::Ping | Case::DataFramePadding | Case::NoDfPaddingSanityTest => unary::large(caller),
    }
}

/// Options of a call whose requests are compressed.
fn compressed() -> CallOptions {
    CallOptions::new().compression(Some(Encoding::Gzip))
}
