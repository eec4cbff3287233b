//! The replies of a call, for `async` clients.

use super::exchange::Exchange;
use super::inlet::Inlet;
use crate::metadata::Metadata;
use crate::status::Status;
use bytes::Bytes;
use futures_core::Stream;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The messages that a server sends, one after the other, and how the call ended.
///
/// It is a [`Stream`], and [`read`](Self::read) does without the stream crates. The server may send as
/// much as its window allows before the client reads; after that it waits.
///
/// **Dropping it cancels the call**, unless the end was read. So it is kept, and read to its end, also by
/// a client that only writes: the end says whether the server took what was written.
///
/// ```no_run
/// use turnstile::client::Streaming;
/// use turnstile::Status;
///
/// async fn print_all(mut lines: Streaming<String>) -> Result<(), Status> {
///     println!("from {:?}", lines.metadata().await.get("x-served-by"));
///     while let Some(line) = lines.read().await? { // an error is how the call ended, if not with OK
///         println!("{line}");
///     }
///     println!("{:?}", lines.trailers());
///     Ok(())
/// }
/// ```
pub struct Streaming<T>(Inlet<T>);

impl<T> Streaming<T> {
    pub(super) fn new(exchange: Exchange, decode: fn(Bytes) -> Result<T, Status>) -> Self {
        Self(Inlet::new(exchange, decode))
    }

    /// The next message, or `None` when the call has ended with OK, and after an error.
    ///
    /// A future that is dropped before it is ready loses nothing.
    ///
    /// # Errors
    /// What the call ended with, with its trailing metadata: the server's status,
    /// DEADLINE_EXCEEDED, CANCELLED after [`cancel`](Self::cancel), UNAVAILABLE for a lost connection.
    /// What is wrong with the message, which ends the call: INTERNAL, for most codecs.
    ///
    /// For an example see [`Streaming`].
    pub async fn read(&mut self) -> Result<Option<T>, Status> {
        poll_fn(|context| self.poll_read(context)).await.transpose()
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<T, Status>>> {
        let Self(inlet) = self;
        if inlet.status.is_some() {
            return Poll::Ready(None);
        }
        if inlet.wants_metadata() {
            let metadata = ready!(inlet.exchange.core().poll_initial_metadata(context));
            inlet.on_metadata(metadata);
        }
        match ready!(inlet.exchange.core().poll_message(context)) {
            Ok(Some(message)) => Poll::Ready(Some(inlet.on_message(message))),
            // How the call ended says why.
            Ok(None) | Err(_) => {
                let status = ready!(inlet.exchange.core().poll_status(context));
                Poll::Ready(inlet.on_end(status).err().map(Err))
            }
        }
    }

    /// The initial metadata of the server, for which this waits; empty if the call ended without, and
    /// then [`read`](Self::read) says why.
    ///
    /// A future that is dropped before it is ready loses nothing.
    ///
    /// For an example see [`Streaming`].
    pub async fn metadata(&mut self) -> &Metadata {
        let Self(inlet) = self;
        if inlet.metadata.is_none() {
            let core = inlet.exchange.core();
            let metadata = poll_fn(|context| core.poll_initial_metadata(context)).await;
            inlet.on_metadata(metadata);
        }
        inlet.metadata.get_or_insert_default()
    }

    /// Whether the message that was read last came compressed. Few need to know; messages are the same
    /// either way.
    ///
    /// ```no_run
    /// # use turnstile::{Status, client::Streaming};
    /// async fn compressed(mut lines: Streaming<String>) -> Result<u32, Status> {
    ///     let mut count = 0;
    ///     while lines.read().await?.is_some() {
    ///         count += u32::from(lines.was_compressed());
    ///     }
    ///     Ok(count)
    /// }
    /// ```
    pub fn was_compressed(&self) -> bool {
        self.0.exchange.core().was_compressed()
    }

    /// How the call ended, once [`read`](Self::read) has said that there are no more messages.
    ///
    /// ```no_run
    /// # use turnstile::client::Streaming;
    /// async fn outcome(mut lines: Streaming<String>) -> String {
    ///     while let Ok(Some(_line)) = lines.read().await {}
    ///     lines.status().map(ToString::to_string).unwrap_or_default()
    /// }
    /// ```
    pub fn status(&self) -> Option<&Status> {
        self.0.status.as_ref()
    }

    /// The trailing metadata, which come with the [`status`](Self::status); `None` before, and if there
    /// were none.
    ///
    /// For an example see [`Streaming`].
    pub fn trailers(&self) -> Option<&Metadata> {
        self.0.trailers()
    }

    /// Ends the call; its server sees that it is cancelled. What is read next is CANCELLED, unless the
    /// call was over.
    ///
    /// ```no_run
    /// # use turnstile::{Status, client::Streaming};
    /// async fn first(mut lines: Streaming<String>) -> Result<Option<String>, Status> {
    ///     let first = lines.read().await?;
    ///     lines.cancel(); // as dropping it would
    ///     Ok(first)
    /// }
    /// ```
    pub fn cancel(&self) {
        self.0.exchange.cancel();
    }
}

impl<T> Stream for Streaming<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_read(context)
    }
}

impl<T> fmt::Debug for Streaming<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Streaming").field(&self.0).finish()
    }
}
