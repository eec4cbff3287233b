//! How much clients may send, and what of it the server holds: the part of its description that is
//! about sizes and counts.

use super::Builder;

impl Builder {
    /// The largest message that is received, in bytes without its prefix, both as it comes and when
    /// it is decompressed. Default 4 MiB; a larger one ends its call with RESOURCE_EXHAUSTED, and
    /// no more of it than this is ever held.
    pub fn max_receive_message_size(&mut self, bytes: usize) -> &mut Self {
        self.config.max_message_size = bytes;
        self.rules.max_receive_size = bytes;
        self
    }

    /// The largest message that is sent, in bytes before compression. Unlimited by default; a larger
    /// one ends its call with RESOURCE_EXHAUSTED, and with the two sizes in the message.
    pub fn max_send_message_size(&mut self, bytes: usize) -> &mut Self {
        self.rules.max_send_size = bytes;
        self
    }

    /// The largest request metadata, in bytes as RFC 9113 section 6.5.2 counts them: names, values
    /// and 32 for each entry. Default 16 KiB; more ends the call with RESOURCE_EXHAUSTED. Beyond
    /// 64 KiB the answer is HTTP's 431.
    pub fn max_metadata_size(&mut self, bytes: usize) -> &mut Self {
        self.config.max_metadata_size = bytes;
        self
    }

    /// How many calls a client may have at once on one connection. Unlimited by default.
    pub fn max_concurrent_streams(&mut self, streams: u32) -> &mut Self {
        self.config.max_concurrent_streams = Some(streams);
        self
    }

    /// How many bytes of one call's messages a client may send before the application takes them.
    /// Default 1 MiB, at most 2^31 - 1 (RFC 9113 section 6.9.1).
    pub fn stream_window(&mut self, bytes: u32) -> &mut Self {
        self.config.stream_window = bytes.min(MAX_WINDOW);
        self
    }

    /// The same for all calls of a connection together. Default 16 MiB. Keep it a multiple of the
    /// stream's: calls whose messages nobody takes hold on to their part of it.
    pub fn connection_window(&mut self, bytes: u32) -> &mut Self {
        self.config.connection_window = bytes.min(MAX_WINDOW);
        self
    }

    /// How many calls of each method may wait. Default 1000; more end with RESOURCE_EXHAUSTED.
    ///
    /// This is for methods whose calls are requested, while nobody has requested one; and for
    /// blocking handlers, while no thread in [`Server::run`] is free. Each call of a blocking
    /// handler waits at least for a moment, so 0 counts as 1 for them, and one whose client has
    /// gone counts until a thread comes. Calls of async handlers begin at once and do not wait.
    pub fn max_waiting_calls(&mut self, calls: usize) -> &mut Self {
        self.max_waiting_calls = calls;
        self
    }
}

/// RFC 9113 section 6.9.1.
const MAX_WINDOW: u32 = (1 << 31) - 1;
