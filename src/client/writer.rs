//! The requests of a call whose other half is read, for `async` clients.

use super::exchange::{Exchange, not_taken};
use super::outlet::Outlet;
use crate::call::{ClientCore, Outgoing};
use crate::status::Status;
use bytes::Bytes;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;

/// Where a client writes its messages, while another half of the call is read.
///
/// [`close`](Self::close) says that no more come. **So does dropping it**: a server that is told so may
/// take what it has for the whole. A thread that panics says nothing of the kind: it cancels the call. Who
/// gives up for another reason before all is written, such as a task that is dropped, should cancel the
/// call by the half that reads.
///
/// ```no_run
/// use turnstile::client::{Streaming, Writer};
/// use turnstile::Status;
///
/// async fn ask(mut questions: Writer<String>, mut answers: Streaming<String>) -> Result<(), Status> {
///     for question in ["Who?", "Why?"] {
///         questions.write(question.to_owned()).await?;
///         println!("{:?}", answers.read().await?);
///     }
///     questions.close();
///     while let Some(answer) = answers.read().await? {
///         println!("{answer}");
///     }
///     Ok(())
/// }
/// ```
pub struct Writer<T>(Outlet<T>);

impl<T> Writer<T> {
    pub(super) fn new(exchange: &Exchange, encode: fn(&T) -> Result<Bytes, Status>) -> Self {
        Self(Outlet::new(exchange, encode))
    }

    /// Sends a message. Ready when the transport has taken it, as far as the server's window lets it: a
    /// server that does not read makes this wait.
    ///
    /// `false` if it was not sent since the server has ended the call: with OK, before it had
    /// everything; or it is not known yet how, as messages before that have not been read. Who may
    /// write for ever stops then. Reading tells the rest.
    ///
    /// A future that is dropped before it is ready may or may not have sent its message, never a part of
    /// it.
    ///
    /// # Errors
    /// What the call has ended with, if that is known; the half that reads gets the same. What the codec
    /// or an interceptor says, which ends the call: the message is not sent.
    ///
    /// ```no_run
    /// # use turnstile::{Status, client::Writer};
    /// async fn tick(mut ticks: Writer<u64>) -> Result<(), Status> {
    ///     let mut tick = 0;
    ///     while ticks.write(tick).await? {
    ///         tick += 1;
    ///     }
    ///     Ok(()) // the server has had enough
    /// }
    /// ```
    pub async fn write(&mut self, message: T) -> Result<bool, Status> {
        let bytes = self.0.encode(message)?;
        send(self.0.core(), self.0.core().pack(bytes)).await
    }

    /// The same without compression, on a call that has it: for a message that is compressed already, or
    /// that holds a secret.
    ///
    /// # Errors
    /// Those of [`write`](Self::write).
    ///
    /// ```no_run
    /// # use turnstile::{Bytes, Status, client::Writer};
    /// async fn send_album(album: &mut Writer<Bytes>, index: Bytes, jpeg: Bytes) -> Result<(), Status> {
    ///     album.write(index).await?;
    ///     album.write_uncompressed(jpeg).await?;
    ///     Ok(())
    /// }
    /// ```
    pub async fn write_uncompressed(&mut self, message: T) -> Result<bool, Status> {
        let bytes = self.0.encode(message)?;
        send(self.0.core(), bytes.into()).await
    }

    /// Says that no more messages come. Does not wait.
    ///
    /// For an example see [`Writer`].
    pub fn close(self) {
        // Its drop does.
    }
}

impl<T> fmt::Debug for Writer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

/// Sends a message. `false` if the call takes no more, and has not failed as far as is known.
///
/// # Errors
/// How the call has ended.
pub(super) async fn send(core: &Arc<ClientCore>, message: Outgoing) -> Result<bool, Status> {
    let mut message = Some(message);
    match poll_fn(|context| core.poll_send_message(&mut message, context)).await {
        Ok(()) => Ok(true),
        Err(_) => not_taken(core),
    }
}
