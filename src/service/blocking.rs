//! The messages of a call, for blocking handlers.
//!
//! A thread that waits here does whatever I/O there is to do meanwhile, for every connection, so
//! that a handler that waits holds nobody up.

use super::{Context, streaming};
use crate::compression::Encoding;
use crate::cq::block_on;
use crate::metadata::Metadata;
use crate::status::Status;
use futures_core::Stream;
use std::fmt;
use std::ops::Deref;
use std::sync::mpsc::Receiver;

/// The messages that a client sends, one after the other.
///
/// It is an iterator, and derefs to the call's [`Context`]. The client may send as much as its
/// window allows before the handler reads; after that it waits.
///
/// ```
/// use turnstile::blocking::Reader;
/// use turnstile::{Response, Status};
///
/// fn longest(words: &mut Reader<String>) -> Result<Response<String>, Status> {
///     let mut longest = String::new();
///     for word in words {
///         let word = word?;
///         if word.len() > longest.len() {
///             longest = word;
///         }
///     }
///     Ok(Response::new(longest))
/// }
/// # let mut words = Reader::new(["a", "bcd", "ef"].map(str::to_owned));
/// # assert_eq!(longest(&mut words).unwrap().get_ref(), "bcd");
/// ```
pub struct Reader<T>(streaming::Streaming<T>);

impl<T> Reader<T> {
    pub(super) fn of(messages: streaming::Streaming<T>) -> Self {
        Self(messages)
    }

    /// Messages of no call, for tests that call a handler without a server: see
    /// [`Streaming::new`](crate::Streaming::new).
    ///
    /// ```
    /// use turnstile::{Response, Status, blocking::Reader};
    ///
    /// fn sum(numbers: &mut Reader<u64>) -> Result<Response<u64>, Status> {
    ///     Ok(Response::new(numbers.sum::<Result<u64, Status>>()?))
    /// }
    ///
    /// let reply = sum(&mut Reader::new([1, 2, 3]))?;
    /// assert_eq!(*reply.get_ref(), 6);
    /// # Ok::<(), Status>(())
    /// ```
    pub fn new(messages: impl IntoIterator<Item = T, IntoIter: Send + 'static>) -> Self
    where
        T: 'static,
    {
        Self(streaming::Streaming::new(messages))
    }

    /// The same with errors, of which the first is the end, and with a context: see
    /// [`Streaming::from_parts`](crate::Streaming::from_parts). The iterator may block, as a
    /// [`Receiver`] does.
    ///
    /// ```
    /// use turnstile::{Context, Status, blocking::Reader};
    ///
    /// // A client that goes away.
    /// let messages = [Ok(1), Err(Status::cancelled("the client went away"))];
    /// let mut numbers = Reader::from_parts(messages, Context::detached());
    /// assert_eq!(numbers.read()?, Some(1));
    /// assert!(numbers.read().is_err());
    /// # Ok::<(), Status>(())
    /// ```
    pub fn from_parts(
        messages: impl IntoIterator<Item = Result<T, Status>, IntoIter: Send + 'static>,
        context: Context,
    ) -> Self {
        Self(streaming::Streaming::from_parts(messages, context))
    }

    /// The next message, or `None` when the client has sent its last, and after an error.
    ///
    /// Blocks until there is one, or the call is over.
    ///
    /// # Errors
    /// What is wrong with the message, or why the call is over: CANCELLED if the client went away.
    ///
    /// ```
    /// # use turnstile::{Status, blocking::Reader};
    /// /// The first message says what the others are.
    /// fn begin(messages: &mut Reader<String>) -> Result<String, Status> {
    ///     let first = messages.read()?;
    ///     first.ok_or_else(|| Status::invalid_argument("the first message is missing"))
    /// }
    /// # assert_eq!(begin(&mut Reader::new(["a".to_owned()])).unwrap(), "a");
    /// ```
    pub fn read(&mut self) -> Result<Option<T>, Status> {
        block_on(self.0.read())
    }
}

impl<T> Iterator for Reader<T> {
    type Item = Result<T, Status>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

impl<T> Deref for Reader<T> {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.0
    }
}

impl<T> fmt::Debug for Reader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reader").field(&self.0).finish()
    }
}

/// Where a handler writes the messages of its reply. Each write may block: see
/// [`write`](Self::write).
///
/// ```
/// use turnstile::blocking::Writer;
/// use turnstile::{Request, Status};
///
/// fn spell(word: Request<String>, letters: &mut Writer<String>) -> Result<(), Status> {
///     for letter in word.chars() {
///         letters.write(letter.to_string())?;
///     }
///     Ok(())
/// }
/// # let (mut writer, replies) = Writer::channel();
/// # spell(Request::new("abc".to_owned()), &mut writer).unwrap();
/// # assert_eq!(replies.try_iter().collect::<String>(), "abc");
/// ```
pub struct Writer<T>(streaming::Writer<T>);

impl<T> Writer<T> {
    pub(super) fn of(messages: streaming::Writer<T>) -> Self {
        Self(messages)
    }

    /// A writer of no call, and what is written to it, for tests that call a handler without a
    /// server: see [`Writer::channel`](crate::Writer::channel).
    ///
    /// ```
    /// use turnstile::{Request, Status, blocking::Writer};
    ///
    /// fn count_to(last: Request<u64>, numbers: &mut Writer<u64>) -> Result<(), Status> {
    ///     (1..=*last).try_for_each(|number| numbers.write(number))
    /// }
    ///
    /// let (mut writer, replies) = Writer::channel();
    /// count_to(Request::new(3), &mut writer)?;
    /// assert_eq!(replies.try_iter().collect::<Vec<_>>(), [1, 2, 3]);
    /// # Ok::<(), Status>(())
    /// ```
    pub fn channel() -> (Self, Receiver<T>) {
        let (writer, replies) = streaming::Writer::channel();
        (Self(writer), replies)
    }

    /// Sends a message.
    ///
    /// Blocks until the transport has taken it, as far as the client's window lets it: a client
    /// that does not read makes this wait.
    ///
    /// # Errors
    /// What the codec says, or why the call is over: CANCELLED if the client went away.
    ///
    /// ```
    /// # use turnstile::{Status, blocking::{Reader, Writer}};
    /// /// Sends back what comes.
    /// fn echo(messages: &mut Reader<String>, replies: &mut Writer<String>) -> Result<(), Status> {
    ///     messages.try_for_each(|message| replies.write(message?))
    /// }
    /// # let (mut writer, replies) = Writer::channel();
    /// # echo(&mut Reader::new(["a".to_owned()]), &mut writer).unwrap();
    /// # assert_eq!(replies.try_iter().count(), 1);
    /// ```
    pub fn write(&mut self, message: T) -> Result<(), Status> {
        block_on(self.0.write(message))
    }

    /// The same without compression, on a call that has it: see
    /// [`Writer::write_uncompressed`](crate::Writer::write_uncompressed). Blocks as `write` does.
    ///
    /// # Errors
    /// Those of [`write`](Self::write).
    ///
    /// ```
    /// # use turnstile::{Bytes, Status, blocking::Writer};
    /// fn send_album(album: &mut Writer<Bytes>, index: Bytes, jpeg: Bytes) -> Result<(), Status> {
    ///     album.write(index)?;
    ///     album.write_uncompressed(jpeg)
    /// }
    /// # let (mut writer, replies) = Writer::channel();
    /// # send_album(&mut writer, Bytes::new(), Bytes::new()).unwrap();
    /// # assert_eq!(replies.try_iter().count(), 2);
    /// ```
    pub fn write_uncompressed(&mut self, message: T) -> Result<(), Status> {
        block_on(self.0.write_uncompressed(message))
    }

    /// Sends every message of a stream, until it ends or fails, or the call is over. Blocks until
    /// then.
    ///
    /// # Errors
    /// The stream's, or those of [`write`](Self::write).
    ///
    /// ```
    /// # use turnstile::{Status, Streaming, blocking::Writer};
    /// /// Sends what an asynchronous library makes.
    /// fn send_all(rows: Streaming<String>, replies: &mut Writer<String>) -> Result<(), Status> {
    ///     replies.forward(rows)
    /// }
    /// # let (mut writer, replies) = Writer::channel();
    /// # send_all(Streaming::new(["a".to_owned()]), &mut writer).unwrap();
    /// # assert_eq!(replies.try_iter().count(), 1);
    /// ```
    pub fn forward(
        &mut self,
        messages: impl Stream<Item = Result<T, Status>> + Send,
    ) -> Result<(), Status> {
        block_on(self.0.forward(messages))
    }

    /// See [`Context::send_initial_metadata`].
    ///
    /// # Errors
    /// If it has been sent, or the call is over.
    pub fn send_initial_metadata(&mut self, metadata: Metadata) -> Result<(), Status> {
        self.0.send_initial_metadata(metadata)
    }

    /// See [`Context::set_compression`].
    ///
    /// # Errors
    /// If initial metadata has been sent, or the call is over.
    pub fn set_compression(&mut self, encoding: Option<Encoding>) -> Result<(), Status> {
        self.0.set_compression(encoding)
    }

    /// See [`Context::set_trailers`].
    pub fn set_trailers(&mut self, metadata: Metadata) {
        self.0.set_trailers(metadata);
    }
}

impl<T> fmt::Debug for Writer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Writer").field(&self.0).finish()
    }
}
