//! The messages of a call, for `async` handlers: one after the other, in and out.

use super::Context;
use super::filter::Filter;
use crate::call::{CallCore, Outgoing};
use crate::codec::Codec;
use crate::compression::Encoding;
use crate::metadata::Metadata;
use crate::status::Status;
use bytes::Bytes;
use futures_core::Stream;
use std::fmt;
use std::future::poll_fn;
use std::ops::Deref;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{self, Poll, ready};

/// The messages that a client sends, one after the other.
///
/// It is a [`Stream`], and [`read`](Self::read) does without the stream crates. It derefs to the
/// call's [`Context`]. The client may send as much as its window allows before the handler reads;
/// after that it waits.
pub struct Streaming<T> {
    context: Context,
    decode: fn(Bytes) -> Result<T, Status>,
    filter: Filter,
    is_over: bool,
}

impl<T> Streaming<T> {
    pub(super) fn new<C: Codec<T>>(context: Context, filter: Filter) -> Self {
        Self { context, decode: C::decode, filter, is_over: false }
    }

    /// The next message, or `None` when the client has sent its last, and after an error.
    ///
    /// A future that is dropped before it is ready loses nothing.
    ///
    /// # Errors
    /// What is wrong with the message, or why the call is over: CANCELLED if the client went away.
    pub async fn read(&mut self) -> Result<Option<T>, Status> {
        poll_fn(|context| self.poll_read(context)).await.transpose()
    }

    fn poll_read(&mut self, context: &mut task::Context<'_>) -> Poll<Option<Result<T, Status>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let received = ready!(self.context.call().poll_message(context));
        let message = received.and_then(|message| {
            let Some(bytes) = message else { return Ok(None) };
            (self.decode)(self.filter.apply(bytes)?).map(Some)
        });
        self.is_over = !matches!(message, Ok(Some(_)));
        Poll::Ready(message.transpose())
    }
}

impl<T> Deref for Streaming<T> {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.context
    }
}

impl<T> Stream for Streaming<T> {
    type Item = Result<T, Status>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> Poll<Option<Self::Item>> {
        self.poll_read(context)
    }
}

impl<T> fmt::Debug for Streaming<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streaming").field("context", &self.context).finish_non_exhaustive()
    }
}

/// Where a handler writes the messages of its reply.
pub struct Writer<T> {
    call: Arc<CallCore>,
    encode: fn(&T) -> Result<Bytes, Status>,
    filter: Filter,
}

impl<T> Writer<T> {
    pub(super) fn new<C: Codec<T>>(context: &Context, filter: Filter) -> Self {
        Self { call: context.call().clone(), encode: C::encode, filter }
    }

    /// Sends a message. Ready when the transport has taken it, as far as the client's window lets
    /// it: a client that does not read makes this wait.
    ///
    /// A future that is dropped before it is ready may or may not have sent its message, never a
    /// part of it.
    ///
    /// # Errors
    /// What the codec says, or why the call is over: CANCELLED if the client went away.
    pub async fn write(&mut self, message: T) -> Result<(), Status> {
        let bytes = self.filter.apply((self.encode)(&message)?)?;
        self.send(self.call.pack(bytes)).await
    }

    /// The same without compression, on a call that has it: for a message that is compressed
    /// already, or that holds a secret.
    ///
    /// # Errors
    /// Those of [`write`](Self::write).
    ///
    /// ```
    /// # use turnstile::{Bytes, Status, Writer};
    /// async fn send_album(album: &mut Writer<Bytes>, index: Bytes, jpeg: Bytes) -> Result<(), Status> {
    ///     album.write(index).await?;
    ///     album.write_uncompressed(jpeg).await
    /// }
    /// ```
    pub async fn write_uncompressed(&mut self, message: T) -> Result<(), Status> {
        let bytes = self.filter.apply((self.encode)(&message)?)?;
        self.send(bytes.into()).await
    }

    async fn send(&mut self, message: Outgoing) -> Result<(), Status> {
        let mut message = Some(message);
        poll_fn(|context| self.call.poll_send_message(&mut message, context)).await
    }

    /// Sends every message of a stream, until it ends or fails.
    ///
    /// # Errors
    /// The stream's, or those of [`write`](Self::write).
    pub async fn forward(
        &mut self,
        messages: impl Stream<Item = Result<T, Status>> + Send,
    ) -> Result<(), Status> {
        let mut messages = pin!(messages);
        while let Some(message) = poll_fn(|context| messages.as_mut().poll_next(context)).await {
            self.write(message?).await?;
        }
        Ok(())
    }

    /// See [`Context::send_initial_metadata`].
    ///
    /// # Errors
    /// If it has been sent, or the call is over.
    pub fn send_initial_metadata(&mut self, metadata: Metadata) -> Result<(), Status> {
        self.call.send_initial_metadata(metadata)
    }

    /// See [`Context::set_compression`].
    ///
    /// # Errors
    /// If initial metadata has been sent, or the call is over.
    pub fn set_compression(&mut self, encoding: Option<Encoding>) -> Result<(), Status> {
        self.call.set_compression(encoding)
    }

    /// See [`Context::set_trailers`].
    pub fn set_trailers(&mut self, metadata: Metadata) {
        self.call.set_trailers(metadata);
    }
}

impl<T> fmt::Debug for Writer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("method", &self.call.head().method()).finish_non_exhaustive()
    }
}
