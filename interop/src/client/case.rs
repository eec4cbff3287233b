//! The names of the cases.

use std::fmt;
use std::str::FromStr;

/// A case that the client can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Case {
    /// Empty messages.
    EmptyUnary,
    /// A call that a proxy may answer.
    CacheableUnary,
    /// Messages that are larger than a frame and a window.
    LargeUnary,
    /// Requests that are compressed, and that are not.
    ClientCompressedUnary,
    /// Responses that are compressed, and that are not.
    ServerCompressedUnary,
    /// Many requests.
    ClientStreaming,
    /// Many requests, of which one is compressed.
    ClientCompressedStreaming,
    /// Many responses.
    ServerStreaming,
    /// Many responses, of which one is compressed.
    ServerCompressedStreaming,
    /// A response to each of many requests.
    PingPong,
    /// A stream without messages.
    EmptyStream,
    /// Metadata that comes back.
    CustomMetadata,
    /// A status that comes back.
    StatusCodeAndMessage,
    /// A status message that takes percent-encoding.
    SpecialStatusMessage,
    /// A method that the service does not implement.
    UnimplementedMethod,
    /// A service that the server does not have.
    UnimplementedService,
    /// A cancellation before any message.
    CancelAfterBegin,
    /// A cancellation after a response.
    CancelAfterFirstResponse,
    /// A deadline that passes.
    TimeoutOnSleepingServer,
    /// Many calls that go to one server.
    PickFirstUnary,
    /// A server that says GOAWAY between two calls.
    Goaway,
    /// A server that resets a call after its initial metadata.
    RstAfterHeader,
    /// A server that resets a call within a message.
    RstDuringData,
    /// A server that resets a call after a message.
    RstAfterData,
    /// A server that sends PINGs.
    Ping,
    /// A server that takes one call at a time.
    MaxStreams,
    /// A server that pads its frames.
    DataFramePadding,
    /// The same server without the padding.
    NoDfPaddingSanityTest,
}

/// All cases with their names. Those of a server that keeps to HTTP/2 come first.
const NAMES: [(Case, &str); 28] = [
    (Case::EmptyUnary, "empty_unary"),
    (Case::CacheableUnary, "cacheable_unary"),
    (Case::LargeUnary, "large_unary"),
    (Case::ClientCompressedUnary, "client_compressed_unary"),
    (Case::ServerCompressedUnary, "server_compressed_unary"),
    (Case::ClientStreaming, "client_streaming"),
    (Case::ClientCompressedStreaming, "client_compressed_streaming"),
    (Case::ServerStreaming, "server_streaming"),
    (Case::ServerCompressedStreaming, "server_compressed_streaming"),
    (Case::PingPong, "ping_pong"),
    (Case::EmptyStream, "empty_stream"),
    (Case::CustomMetadata, "custom_metadata"),
    (Case::StatusCodeAndMessage, "status_code_and_message"),
    (Case::SpecialStatusMessage, "special_status_message"),
    (Case::UnimplementedMethod, "unimplemented_method"),
    (Case::UnimplementedService, "unimplemented_service"),
    (Case::CancelAfterBegin, "cancel_after_begin"),
    (Case::CancelAfterFirstResponse, "cancel_after_first_response"),
    (Case::TimeoutOnSleepingServer, "timeout_on_sleeping_server"),
    (Case::PickFirstUnary, "pick_first_unary"),
    (Case::Goaway, "goaway"),
    (Case::RstAfterHeader, "rst_after_header"),
    (Case::RstDuringData, "rst_during_data"),
    (Case::RstAfterData, "rst_after_data"),
    (Case::Ping, "ping"),
    (Case::MaxStreams, "max_streams"),
    (Case::DataFramePadding, "data_frame_padding"),
    (Case::NoDfPaddingSanityTest, "no_df_padding_sanity_test"),
];

/// Cases that exist elsewhere, with what they take.
const LEFT_OUT: [(&str, &str); 11] = [
    ("compute_engine_creds", "credentials of a cloud"),
    ("compute_engine_channel_credentials", "credentials of a cloud"),
    ("jwt_token_creds", "credentials of a cloud"),
    ("oauth2_auth_token", "credentials of a cloud"),
    ("per_rpc_creds", "credentials of a cloud"),
    ("google_default_credentials", "credentials of a cloud"),
    ("orca_per_rpc", "load reports (ORCA)"),
    ("orca_oob", "load reports (ORCA)"),
    ("rpc_soak", "a loop of calls"),
    ("channel_soak", "a loop of channels"),
    ("long_lived_channel", "hours"),
];

impl Case {
    /// The name that all languages know it by.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(case, _)| *case == self).map_or("", |(_, name)| name)
    }

    /// All cases, those of a server that keeps to HTTP/2 first.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|(case, _)| *case)
    }

    /// Whether it is about a server that does not keep to what clients rely on.
    #[must_use]
    pub fn is_negative(self) -> bool {
        self >= Self::Goaway
    }
}

impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Case {
    type Err = String;

    /// Finds a case by its name.
    fn from_str(name: &str) -> Result<Self, String> {
        if let Some((case, _)) = NAMES.iter().find(|(_, known)| *known == name) {
            return Ok(*case);
        }
        if let Some((_, takes)) = LEFT_OUT.iter().find(|(known, _)| *known == name) {
            return Err(format!("the case {name} takes {takes}, and this client does not have it"));
        }
        let known = NAMES.map(|(_, name)| name).join(", ");
        Err(format!("there is no case {name:?}; the cases are {known}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_found_by_its_name() {
        for case in Case::all() {
            assert_eq!(case.name().parse(), Ok(case));
        }
        assert_eq!(Case::all().filter(|case| case.is_negative()).count(), 8);
    }

    #[test]
    fn cases_that_are_left_out_say_why() {
        let error = "orca_oob".parse::<Case>().unwrap_err();
        assert_eq!(
            error,
            "the case orca_oob takes load reports (ORCA), and this client does not have it"
        );
        let error = "huge_unary".parse::<Case>().unwrap_err();
        assert!(error.starts_with("there is no case \"huge_unary\"; the cases are empty_unary, "));
    }
}
