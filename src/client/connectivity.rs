//! Whether a channel has a way to its server.

/// Whether a channel has a way to its server (gRPC, "connectivity semantics and API").
///
/// ```text
///          a call, or connect()                  SETTINGS came
///   Idle ----------------------> Connecting ----------------------> Ready
///    ^                              |    ^                            |
///    |                      no way  v    | backoff                    |
///    |                       TransientFailure                         |
///    +----------- the connection ended, or was not used --------------+
/// ```
///
/// For an example see [`Channel::watch_state`](super::Channel::watch_state).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectivityState {
    /// There is no connection, and nothing asks for one: the next call does.
    Idle,
    /// A connection is being made. Calls wait for it.
    Connecting,
    /// Calls leave at once.
    Ready,
    /// The server could not be reached, and is tried again after a while. Calls fail, unless they
    /// [wait](crate::CallOptions::wait_for_ready).
    TransientFailure,
}
