//! A call with many requests and one reply, for `async` clients.

use super::exchange::Exchange;
use super::writer::send;
use crate::call::OnlyReply;
use crate::service::Response;
use crate::status::Status;
use bytes::Bytes;
use std::fmt;
use std::future::poll_fn;

/// Where a client writes its messages, and gets the one reply when it has written all.
///
/// **Dropping it cancels the call**: only [`finish`](Self::finish) says that the server has everything.
///
/// ```no_run
/// use turnstile::client::Upload;
/// use turnstile::Status;
///
/// async fn count(mut words: Upload<String, u64>) -> Result<u64, Status> {
///     for word in ["one", "two"] {
///         words.write(word.to_owned()).await?;
///     }
///     let count = words.finish().await?;
///     Ok(*count)
/// }
/// ```
#[must_use = "the call is cancelled when this is dropped"]
pub struct Upload<Req, Res> {
    exchange: Exchange,
    encode: fn(&Req) -> Result<Bytes, Status>,
    decode: fn(Bytes) -> Result<Res, Status>,
}

impl<Req, Res> Upload<Req, Res> {
    pub(super) fn new(
        exchange: Exchange,
        encode: fn(&Req) -> Result<Bytes, Status>,
        decode: fn(Bytes) -> Result<Res, Status>,
    ) -> Self {
        Self { exchange, encode, decode }
    }

    /// Sends a message. Ready when the transport has taken it, as far as the server's window lets it: a
    /// server that does not read makes this wait.
    ///
    /// `false` if it was not sent since the server has its reply already, and takes no more:
    /// [`finish`](Self::finish) gives it. Who may write for ever stops then.
    ///
    /// A future that is dropped before it is ready may or may not have sent its message, never a part of
    /// it.
    ///
    /// # Errors
    /// What the call has ended with, with its trailing metadata. What the codec or an interceptor says,
    /// which ends the call: the message is not sent.
    ///
    /// For an example see [`Upload`].
    pub async fn write(&mut self, message: Req) -> Result<bool, Status> {
        let bytes = self.encode(message)?;
        let core = self.exchange.core();
        send(core, core.pack(bytes)).await
    }

    /// The same without compression, on a call that has it: see
    /// [`Writer::write_uncompressed`](super::Writer::write_uncompressed).
    ///
    /// # Errors
    /// Those of [`write`](Self::write).
    pub async fn write_uncompressed(&mut self, message: Req) -> Result<bool, Status> {
        let bytes = self.encode(message)?;
        send(self.exchange.core(), bytes.into()).await
    }

    fn encode(&self, message: Req) -> Result<Bytes, Status> {
        self.exchange.pass_out((self.encode)(&message))
    }

    /// Says that no more messages come, and waits for the reply.
    ///
    /// # Errors
    /// What the call has ended with, with its trailing metadata. UNIMPLEMENTED if the server sends no
    /// reply, or a second one.
    ///
    /// For an example see [`Upload`].
    pub async fn finish(self) -> Result<Response<Res>, Status> {
        let Self { exchange, decode, .. } = self;
        let core = exchange.core();
        core.half_close();
        let mut reply = OnlyReply::default();
        let status = poll_fn(|context| core.poll_only_reply(&mut reply, context)).await;
        exchange.conclude(decode, reply, status)
    }

    /// Ends the call; its server sees that it is cancelled. [`finish`](Self::finish) gives CANCELLED then,
    /// unless the call was over.
    ///
    /// For an example see [`Streaming::cancel`](super::Streaming::cancel).
    pub fn cancel(&self) {
        self.exchange.cancel();
    }
}

impl<Req, Res> fmt::Debug for Upload<Req, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").finish_non_exhaustive()
    }
}
