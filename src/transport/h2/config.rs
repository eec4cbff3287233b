//! What a server's connections have in common, and what h2 is told of it.

use super::clock::Timeouts;
use super::strikes::PingPolicy;
use crate::compression::Encodings;
use h2::server::Builder;

/// What a server's connections have in common.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// How many bytes a client may send on one stream before the application takes messages.
    pub(crate) stream_window: u32,
    /// The same for all streams of a connection together. h2 gives window back to both at once,
    /// so it must be much larger than one stream's, or a few unread streams would stop the others.
    pub(crate) connection_window: u32,
    pub(crate) max_concurrent_streams: Option<u32>,
    pub(crate) max_frame_size: u32,
    /// The limit of a request's metadata that is answered with RESOURCE_EXHAUSTED.
    pub(crate) max_metadata_size: usize,
    /// The limit of a received message, in bytes, until the call's method is known.
    pub(crate) max_message_size: usize,
    /// What requests may be compressed with.
    pub(crate) accepts: Encodings,
    pub(crate) timeouts: Timeouts,
    pub(crate) ping_policy: PingPolicy,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            stream_window: 1024 * 1024,
            connection_window: 16 * 1024 * 1024,
            max_concurrent_streams: None,
            max_frame_size: 16 * 1024,
            max_metadata_size: 16 * 1024,
            max_message_size: 4 * 1024 * 1024,
            accepts: Encodings::default(),
            timeouts: Timeouts::default(),
            ping_policy: PingPolicy::default(),
        }
    }
}

/// h2's own limit of a header block, beyond which it answers with HTTP 431 by itself. Between the
/// two, the answer can be gRPC's.
pub(super) const MAX_HEADER_BLOCK: u32 = 64 * 1024;

/// What h2 may be charged for small DATA frames that are waiting in it (h2 >= 0.4.16 charges 256
/// minus the length for each, and kills the connection beyond the budget): without a limit. What bounds
/// them is that they wait for one turn, of [`BYTES_PER_TURN`](super::traffic::BYTES_PER_TURN). And h2
/// (0.4.20) charges those that it ignores, too, as their stream was reset, and never gives that back: with
/// a limit a connection lasts until so many have come, whatever else goes on on it.
pub(super) const DATA_FRAME_BUDGET: usize = usize::MAX;

/// How many streams a client may reset before they are accepted, beyond which h2 ends the
/// connection (CVE-2023-44487, "rapid reset"). h2 reads all that a turn brings before it gives the
/// first stream, so its default of 20 would punish a client that cancels a few calls at once.
const MAX_RESET_BEFORE_ACCEPT: usize = 1000;

/// How much h2 keeps of a stream's messages that the client has no window for.
pub(super) const SEND_BUFFER: usize = 256 * 1024;

impl Config {
    pub(super) fn builder(&self) -> Builder {
        let mut builder = Builder::new();
        builder
            .initial_window_size(self.stream_window)
            .initial_connection_window_size(self.connection_window)
            .max_frame_size(self.max_frame_size)
            .max_header_list_size(MAX_HEADER_BLOCK)
            .max_send_buffer_size(SEND_BUFFER)
            .max_pending_accept_reset_streams(MAX_RESET_BEFORE_ACCEPT)
            .data_frame_budget(DATA_FRAME_BUDGET);
        if let Some(max) = self.max_concurrent_streams {
            builder.max_concurrent_streams(max);
        }
        builder
    }
}
