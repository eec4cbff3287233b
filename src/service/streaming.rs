//! The messages of a call, for `async` handlers: one after the other, in and out.

use super::Context;
use super::filter::Filter;
use super::origin::Origin;
use crate::call::Outgoing;
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
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{self, Poll, ready};

/// The messages that a client sends, one after the other.
///
/// It is a [`Stream`], and [`read`](Self::read) does without the stream crates. It derefs to the
/// call's [`Context`]. The client may send as much as its window allows before the handler reads;
/// after that it waits. Dropping it loses what was not read, and ends nothing.
///
/// ```
/// use turnstile::{Response, Status, Streaming};
///
/// async fn longest(mut words: Streaming<String>) -> Result<Response<String>, Status> {
///     let mut longest = String::new();
///     while let Some(word) = words.read().await? {
///         if word.len() > longest.len() {
///             longest = word;
///         }
///     }
///     Ok(Response::new(longest))
/// }
/// # let words = Streaming::new(["a", "bcd", "ef"].map(str::to_owned));
/// # assert_eq!(turnstile::block_on(longest(words)).unwrap().get_ref(), "bcd");
/// ```
pub struct Streaming<T> {
    context: Context,
    source: Source<T>,
    is_over: bool,
}

/// Where messages come from.
enum Source<T> {
    /// The call.
    Bytes { decode: fn(Bytes) -> Result<T, Status>, filter: Filter },
    /// A test.
    Messages(Box<dyn Iterator<Item = Result<T, Status>> + Send>),
}

impl<T> Streaming<T> {
    pub(super) fn of_call<C: Codec<T>>(context: Context, filter: Filter) -> Self {
        Self { context, source: Source::Bytes { decode: C::decode, filter }, is_over: false }
    }

    /// Messages of no call, for tests that call a handler without a server. They are all there when
    /// the handler reads, and then the client has sent its last.
    ///
    /// See [`Context::detached`] for what else the handler finds. On a call, reader and writer send
    /// initial metadata once between them; these and a [`Writer::channel`] do not know of each other.
    ///
    /// ```
    /// use turnstile::{Response, Status, Streaming, block_on};
    ///
    /// async fn sum(mut numbers: Streaming<u64>) -> Result<Response<u64>, Status> {
    ///     let mut sum = 0;
    ///     while let Some(number) = numbers.read().await? {
    ///         sum += number;
    ///     }
    ///     Ok(Response::new(sum))
    /// }
    ///
    /// let reply = block_on(sum(Streaming::new([1, 2, 3])))?;
    /// assert_eq!(*reply.get_ref(), 6);
    /// # Ok::<(), Status>(())
    /// ```
    pub fn new(messages: impl IntoIterator<Item = T, IntoIter: Send + 'static>) -> Self
    where
        T: 'static,
    {
        Self::from_parts(messages.into_iter().map(Ok), Context::detached())
    }

    /// The same with errors, of which the first is the end, and with a context. The iterator is
    /// asked for a message whenever the handler reads one, and may take its time only for a handler
    /// that may block.
    ///
    /// ```
    /// use turnstile::{Context, Status, Streaming, block_on};
    ///
    /// // A client that goes away.
    /// let messages = [Ok(1), Err(Status::cancelled("the client went away"))];
    /// let mut numbers = Streaming::from_parts(messages, Context::detached());
    /// assert_eq!(block_on(numbers.read())?, Some(1));
    /// assert!(block_on(numbers.read()).is_err());
    /// # Ok::<(), Status>(())
    /// ```
    pub fn from_parts(
        messages: impl IntoIterator<Item = Result<T, Status>, IntoIter: Send + 'static>,
        context: Context,
    ) -> Self {
        let source = Source::Messages(Box::new(messages.into_iter()));
        Self { context, source, is_over: false }
    }

    /// The next message, or `None` when the client has sent its last, and after an error.
    ///
    /// A future that is dropped before it is ready loses nothing.
    ///
    /// # Errors
    /// What is wrong with the message, or why the call is over: CANCELLED if the client went away.
    ///
    /// ```
    /// # use turnstile::{Status, Streaming};
    /// async fn count(mut messages: Streaming<String>) -> Result<u32, Status> {
    ///     let mut count = 0;
    ///     while let Some(_message) = messages.read().await? {
    ///         count += 1;
    ///     }
    ///     Ok(count)
    /// }
    /// # let messages = Streaming::new(["a", "b"].map(str::to_owned));
    /// # assert_eq!(turnstile::block_on(count(messages)).unwrap(), 2);
    /// ```
    pub async fn read(&mut self) -> Result<Option<T>, Status> {
        poll_fn(|context| self.poll_read(context)).await.transpose()
    }

    fn poll_read(&mut self, context: &mut task::Context<'_>) -> Poll<Option<Result<T, Status>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let message = match &mut self.source {
            Source::Bytes { decode, filter } => {
                let received = ready!(self.context.origin().poll_message(context));
                received.and_then(|message| {
                    let Some(bytes) = message else { return Ok(None) };
                    decode(filter.apply(bytes)?).map(Some)
                })
            }
            Source::Messages(messages) => messages.next().transpose(),
        };
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
///
/// Dropping it ends nothing: the reply ends with what the handler returns.
///
/// ```
/// use turnstile::{Request, Status, Writer};
///
/// async fn spell(word: Request<String>, mut letters: Writer<String>) -> Result<(), Status> {
///     for letter in word.chars() {
///         letters.write(letter.to_string()).await?;
///     }
///     Ok(())
/// }
/// # let (writer, replies) = Writer::channel();
/// # turnstile::block_on(spell(Request::new("abc".to_owned()), writer)).unwrap();
/// # assert_eq!(replies.iter().collect::<String>(), "abc");
/// ```
pub struct Writer<T> {
    origin: Origin,
    sink: Sink<T>,
}

/// Where messages go.
enum Sink<T> {
    /// To the call.
    Bytes { encode: fn(&T) -> Result<Bytes, Status>, filter: Filter },
    /// To a test.
    Messages(Sender<T>),
}

impl<T> Writer<T> {
    pub(super) fn of_call<C: Codec<T>>(context: &Context, filter: Filter) -> Self {
        let sink = Sink::Bytes { encode: C::encode, filter };
        Self { origin: context.origin().clone(), sink }
    }

    /// A writer of no call, and what is written to it, for tests that call a handler without a
    /// server. Writes never wait. When the receiver is dropped they fail with CANCELLED, as if the
    /// client had gone away.
    ///
    /// See [`Context::detached`] for what becomes of metadata. On a call, request and writer send
    /// initial metadata once between them; this one and the test's request do not know of each other.
    ///
    /// ```
    /// use turnstile::{Request, Status, Writer, block_on};
    ///
    /// async fn count_to(last: Request<u64>, mut numbers: Writer<u64>) -> Result<(), Status> {
    ///     for number in 1..=*last {
    ///         numbers.write(number).await?;
    ///     }
    ///     Ok(())
    /// }
    ///
    /// let (writer, replies) = Writer::channel();
    /// block_on(count_to(Request::new(3), writer))?;
    /// assert_eq!(replies.iter().collect::<Vec<_>>(), [1, 2, 3]);
    /// # Ok::<(), Status>(())
    /// ```
    pub fn channel() -> (Self, Receiver<T>) {
        let (sender, receiver) = channel();
        let origin = Context::detached().origin().clone();
        (Self { origin, sink: Sink::Messages(sender) }, receiver)
    }

    /// Sends a message. Ready when the transport has taken it, as far as the client's window lets
    /// it: a client that does not read makes this wait.
    ///
    /// A future that is dropped before it is ready may or may not have sent its message, never a
    /// part of it.
    ///
    /// # Errors
    /// What the codec says, or why the call is over: CANCELLED if the client went away.
    ///
    /// ```
    /// # use turnstile::{Status, Writer};
    /// async fn greet(greetings: &mut Writer<String>) -> Result<(), Status> {
    ///     // The `?` ends the handler when the client has gone.
    ///     greetings.write("Hello".to_owned()).await?;
    ///     greetings.write("and goodbye".to_owned()).await
    /// }
    /// # let (mut writer, replies) = Writer::channel();
    /// # turnstile::block_on(greet(&mut writer)).unwrap();
    /// # assert_eq!(replies.try_iter().count(), 2);
    /// ```
    pub async fn write(&mut self, message: T) -> Result<(), Status> {
        let bytes = self.encode(message)?;
        self.send(self.origin.pack(bytes)).await
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
        let bytes = self.encode(message)?;
        self.send(bytes.into()).await
    }

    /// What is to be sent: of a message that is a test's no bytes.
    fn encode(&mut self, message: T) -> Result<Bytes, Status> {
        match &mut self.sink {
            Sink::Bytes { encode, filter } => filter.apply(encode(&message)?),
            Sink::Messages(sender) => {
                let gone = |_| Status::cancelled("what receives the test's replies was dropped");
                sender.send(message).map_err(gone)?;
                Ok(Bytes::new())
            }
        }
    }

    async fn send(&mut self, message: Outgoing) -> Result<(), Status> {
        let mut message = Some(message);
        poll_fn(|context| self.origin.poll_send_message(&mut message, context)).await
    }

    /// Sends every message of a stream, until it ends or fails, or the call is over.
    ///
    /// # Errors
    /// The stream's, or those of [`write`](Self::write).
    ///
    /// ```
    /// # use turnstile::{Status, Streaming, Writer};
    /// /// Sends back what comes. A [`Streaming`] is a stream, and so is what other crates make.
    /// async fn echo(messages: Streaming<String>, mut replies: Writer<String>) -> Result<(), Status> {
    ///     replies.forward(messages).await
    /// }
    /// # let (writer, replies) = Writer::channel();
    /// # let messages = Streaming::new(["a", "b"].map(str::to_owned));
    /// # turnstile::block_on(echo(messages, writer)).unwrap();
    /// # assert_eq!(replies.iter().count(), 2);
    /// ```
    pub async fn forward(
        &mut self,
        messages: impl Stream<Item = Result<T, Status>> + Send,
    ) -> Result<(), Status> {
        let (mut messages, mut end) = (pin!(messages), self.origin.end());
        loop {
            // Ready with nothing if the call ends while the stream has no message.
            let next = poll_fn(|context| match messages.as_mut().poll_next(context) {
                Poll::Ready(next) => Poll::Ready(Some(next)),
                Poll::Pending => Pin::new(&mut end).poll(context).map(|()| None),
            });
            match next.await {
                Some(Some(message)) => self.write(message?).await?,
                Some(None) => return Ok(()),
                None => return Err(self.origin.cause_of_end()),
            }
        }
    }

    /// See [`Context::send_initial_metadata`].
    ///
    /// # Errors
    /// If it has been sent, or the call is over.
    pub fn send_initial_metadata(&mut self, metadata: Metadata) -> Result<(), Status> {
        self.origin.send_initial_metadata(metadata)
    }

    /// See [`Context::set_compression`].
    ///
    /// # Errors
    /// If initial metadata has been sent, or the call is over.
    pub fn set_compression(&mut self, encoding: Option<Encoding>) -> Result<(), Status> {
        self.origin.set_compression(encoding)
    }

    /// See [`Context::set_trailers`].
    pub fn set_trailers(&mut self, metadata: Metadata) {
        self.origin.set_trailers(metadata);
    }
}

impl<T> fmt::Debug for Writer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("method", &self.origin.method()).finish_non_exhaustive()
    }
}
