//! What a client's connections have in common, and what h2 is told of it.

use crate::metadata::{InvalidMetadata, Metadata};
use crate::transport::h2::clock::Timeouts;
use crate::transport::h2::config::{Config, DATA_FRAME_BUDGET, MAX_HEADER_BLOCK, SEND_BUFFER};
use h2::client::Builder;
use http::HeaderValue;
use std::time::Duration;

/// What a client's connections have in common.
#[derive(Clone, Debug)]
pub(crate) struct ClientConfig {
    /// See [`Config`], also for the next two.
    pub(crate) stream_window: u32,
    pub(crate) connection_window: u32,
    pub(crate) max_frame_size: u32,
    /// The limit of an answer's metadata, and of a status's, beyond which a call ends with
    /// RESOURCE_EXHAUSTED.
    pub(crate) max_metadata_size: usize,
    /// The limit of a received message, in bytes, until the call says its own.
    pub(crate) max_message_size: usize,
    pub(crate) keepalive: Keepalives,
    /// For how long there is no call before the connection is closed. [`Duration::MAX`] is for ever.
    pub(crate) max_idle: Duration,
    /// See [`user_agent`].
    pub(crate) user_agent: HeaderValue,
}

impl Default for ClientConfig {
    fn default() -> Self {
        let server = Config::default();
        Self {
            stream_window: server.stream_window,
            connection_window: server.connection_window,
            max_frame_size: server.max_frame_size,
            max_metadata_size: server.max_metadata_size,
            max_message_size: server.max_message_size,
            keepalive: Keepalives::default(),
            max_idle: Duration::MAX,
            user_agent: HeaderValue::from_static(USER_AGENT),
        }
    }
}

/// How a client finds out that its server is gone (gRFC A8).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keepalives {
    /// For how long nothing comes before a PING is sent. [`Duration::MAX`] is for ever.
    pub(crate) time: Duration,
    /// For how long nothing comes after that before the connection is closed.
    pub(crate) timeout: Duration,
    /// Whether it is the same without calls.
    pub(crate) without_calls: bool,
}

impl Keepalives {
    /// The least time between PINGs (gRFC A8): servers end the connections of who sends more.
    const MIN_TIME: Duration = Duration::from_secs(10);

    /// As an application wants it, but for a time that is too short, which is the shortest then.
    pub(crate) fn new(time: Duration, timeout: Duration, without_calls: bool) -> Self {
        Self { time: time.max(Self::MIN_TIME), timeout, without_calls }
    }
}

/// None, as gRPC has it.
impl Default for Keepalives {
    fn default() -> Self {
        Self { time: Duration::MAX, timeout: Duration::from_secs(20), without_calls: false }
    }
}

/// "User-Agent → "grpc-" Language ?("-" Variant) "/" Version" (PROTOCOL-HTTP2).
pub(super) const USER_AGENT: &str = concat!("grpc-rust-turnstile/", env!("CARGO_PKG_VERSION"));

/// The `user-agent` of a client that calls itself `prefix`.
///
/// # Errors
/// If that is no value of a header.
pub(crate) fn user_agent(prefix: &str) -> Result<HeaderValue, InvalidMetadata> {
    let mut checked = Metadata::new();
    checked.insert("user-agent", &format!("{prefix} {USER_AGENT}"))?;
    let value = checked.hidden("user-agent").next().cloned();
    Ok(value.unwrap_or(HeaderValue::from_static(USER_AGENT)))
}

/// How many times the limit of metadata h2 takes, beyond which it ends the stream with an error that
/// does not say why.
const HEADER_BLOCKS: u32 = 16;

/// How many streams that were reset h2 remembers, so that what still comes on them is ignored.
const MAX_RESET_REMEMBERED: usize = 1000;

impl ClientConfig {
    /// See [`Timeouts::user_timeout`].
    pub(crate) fn user_timeout(&self) -> Option<Duration> {
        self.timeouts().user_timeout()
    }

    /// Of a client's connections only silence and idleness have a time.
    pub(super) fn timeouts(&self) -> Timeouts {
        Timeouts {
            handshake: Duration::MAX,
            goaway: Duration::MAX,
            keepalive_time: self.keepalive.time,
            keepalive_timeout: self.keepalive.timeout,
            max_idle: self.max_idle,
            max_age: Duration::MAX,
            max_age_grace: Duration::MAX,
        }
    }

    pub(super) fn builder(&self) -> Builder {
        let max_metadata = u32::try_from(self.max_metadata_size).unwrap_or(u32::MAX);
        let mut builder = Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(self.stream_window)
            .initial_connection_window_size(self.connection_window)
            .max_frame_size(self.max_frame_size)
            .max_header_list_size(max_metadata.saturating_mul(HEADER_BLOCKS).max(MAX_HEADER_BLOCK))
            .max_send_buffer_size(SEND_BUFFER)
            .max_concurrent_reset_streams(MAX_RESET_REMEMBERED)
            // They are counted for as long as the connection lives, and what comes on a stream that
            // was cancelled long ago is one of them.
            .max_local_error_reset_streams(None)
            .data_frame_budget(DATA_FRAME_BUDGET);
        builder
    }
}

#[cfg(test)]
mod tests {
    use super::Keepalives;
    use std::time::Duration;

    #[test]
    fn pings_are_at_least_ten_seconds_apart() {
        let time_of = |seconds| {
            let time = Duration::from_secs(seconds);
            Keepalives::new(time, Duration::from_secs(1), true).time.as_secs()
        };
        assert_eq!([0, 9, 10, 60].map(time_of), [10, 10, 10, 60]);
        assert_eq!(Keepalives::default().time, Duration::MAX);
    }
}
