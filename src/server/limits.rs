//! How much clients may send, and what of it the server holds: the part of its description that is
//! about sizes and counts.

use super::Builder;

/// How much clients may send, and what memory that may take.
///
/// | what | holds, at most or about |
/// |---|---|
/// | a connection that is idle | about 40 KiB |
/// | a connection that is busy | 256 KiB more to read, and 64 KiB to write |
/// | a call that waits | about 2 KiB, and its metadata |
/// | a call whose messages nobody takes | [`stream_window`](Self::stream_window) |
/// | a call that waits for the rest of a message | what has come of it, which is less than [`max_receive_message_size`](Self::max_receive_message_size), and a `stream_window` of what comes behind it |
/// | a message that is put together, or decompressed | twice its size, for a moment |
/// | a call that sends | the message that is being written, and 256 KiB of those before it, where the client or the network is slow |
///
/// So all calls of a connection together may hold as many unfinished messages as there may be calls,
/// and a [`connection_window`](Self::connection_window) besides. By default a client may have any
/// number of calls: where clients are not trusted, set
/// [`max_concurrent_streams`](Self::max_concurrent_streams), and limits of messages that fit. What
/// waits may take twice its size, and some KiB for each call. The number of connections is a matter of
/// the process's limit of open files (`ulimit -n`).
impl Builder {
    /// The largest message that is received, in bytes without its prefix, both as it comes and when
    /// it is decompressed. Default 4 MiB; a larger one ends its call with RESOURCE_EXHAUSTED, and
    /// no more of it than this is ever held.
    ///
    /// A service and a method can have it otherwise:
    /// [`Service::max_receive_message_size`](crate::Service::max_receive_message_size),
    /// [`Service::configure`](crate::Service::configure), [`configure`](Self::configure).
    ///
    /// ```
    /// use turnstile::Server;
    ///
    /// let mut builder = Server::builder();
    /// // A client of this server may make it hold 64 unfinished messages of 1 MiB, and 16 MiB that
    /// // wait for handlers.
    /// builder.max_receive_message_size(1 << 20).max_concurrent_streams(64);
    /// # builder.bind("127.0.0.1:0")?;
    /// # Ok::<(), turnstile::Error>(())
    /// ```
    pub fn max_receive_message_size(&mut self, bytes: usize) -> &mut Self {
        self.config.max_message_size = bytes;
        self.rules.max_receive_size = bytes;
        self
    }

    /// The largest message that is sent, in bytes before compression. Unlimited by default; a larger
    /// one ends its call with RESOURCE_EXHAUSTED, and with the two sizes in the message. Services
    /// and methods can have it otherwise, as with what is received.
    pub fn max_send_message_size(&mut self, bytes: usize) -> &mut Self {
        self.rules.max_send_size = bytes;
        self
    }

    /// The largest request metadata, in bytes as RFC 9113 section 6.5.2 counts them: names, values
    /// and 32 for each entry. The path and the other pseudo-headers count too. Default 16 KiB; more
    /// ends the call with RESOURCE_EXHAUSTED. Beyond 64 KiB the answer is HTTP's 431.
    pub fn max_metadata_size(&mut self, bytes: usize) -> &mut Self {
        self.config.max_metadata_size = bytes;
        self
    }

    /// How many calls a client may have at once on one connection. Unlimited by default. A client
    /// of gRPC lets its further calls wait until others have ended; one that does not has them
    /// refused (REFUSED_STREAM).
    pub fn max_concurrent_streams(&mut self, streams: u32) -> &mut Self {
        self.config.max_concurrent_streams = Some(streams);
        self
    }

    /// How many bytes of one call's messages a client may send before the application takes them.
    /// Default 1 MiB, at most 2^31 - 1 (RFC 9113 section 6.9.1).
    ///
    /// A message may be larger than the window: while somebody waits for it, what has come of it
    /// does not count. A client that is far away sends no more than a window in one round trip, so a
    /// larger one is faster there.
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
    /// blocking handlers, while no thread in [`Server::run`](crate::Server::run) is free. Each call
    /// of a blocking handler waits at least for a moment, so 0 counts as 1 for them, and one whose
    /// client has gone counts until a thread comes. Calls of async handlers begin at once and do not
    /// wait.
    pub fn max_waiting_calls(&mut self, calls: usize) -> &mut Self {
        self.max_waiting_calls = calls;
        self
    }
}

/// RFC 9113 section 6.9.1.
const MAX_WINDOW: u32 = (1 << 31) - 1;
