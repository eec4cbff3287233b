//! The messages of a call, for clients that block.

use super::stub::conclude;
use super::wait::{CallQueue, Op};
use crate::call::{Batch, ClientCore};
use crate::client::exchange::{Exchange, not_taken};
use crate::client::inlet::Inlet;
use crate::client::outlet::Outlet;
use crate::metadata::Metadata;
use crate::service::Response;
use crate::status::Status;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;

/// The messages that a server sends, one after the other, and how the call ended.
///
/// It is an iterator. The server may send as much as its window allows before the client reads; after
/// that it waits.
///
/// **Dropping it cancels the call**, unless the end was read. So it is kept, and read to its end, also by
/// a client that only writes: the end says whether the server took what was written.
///
/// ```no_run
/// use turnstile::client::blocking::Reader;
/// use turnstile::Status;
///
/// fn print_all(mut lines: Reader<String>) -> Result<(), Status> {
///     println!("from {:?}", lines.metadata().get("x-served-by"));
///     for line in &mut lines {
///         println!("{}", line?); // an error is how the call ended, if not with OK
///     }
///     println!("{:?}", lines.trailers());
///     Ok(())
/// }
/// ```
pub struct Reader<T> {
    inlet: Inlet<T>,
    queue: Arc<CallQueue>,
}

impl<T> Reader<T> {
    pub(super) fn new(
        exchange: Exchange,
        queue: Arc<CallQueue>,
        decode: fn(Bytes) -> Result<T, Status>,
    ) -> Self {
        Self { inlet: Inlet::new(exchange, decode), queue }
    }

    /// The next message, or `None` when the call has ended with OK, and after an error.
    ///
    /// Blocks until there is one, or the call is over.
    ///
    /// # Errors
    /// What the call ended with, with its trailing metadata: the server's status,
    /// DEADLINE_EXCEEDED, CANCELLED after [`cancel`](Self::cancel), UNAVAILABLE for a lost connection.
    /// What is wrong with the message, which ends the call: INTERNAL, for most codecs.
    ///
    /// ```no_run
    /// # use turnstile::{Status, client::blocking::Reader};
    /// /// The first message says what the others are.
    /// fn begin(messages: &mut Reader<String>) -> Result<String, Status> {
    ///     let first = messages.read()?;
    ///     first.ok_or_else(|| Status::internal("the first message is missing"))
    /// }
    /// ```
    pub fn read(&mut self) -> Result<Option<T>, Status> {
        if self.inlet.status.is_some() {
            return Ok(None);
        }
        if self.inlet.wants_metadata() {
            self.metadata();
        }
        let core = self.inlet.exchange.core();
        let event = self.queue.run(core, Batch::new().receive_message(), Op::Receive);
        match event.and_then(|mut event| event.take_message()) {
            Some(message) => self.inlet.on_message(message).map(Some),
            None => {
                let status = self.queue.status(core);
                self.inlet.on_end(status).map(|()| None)
            }
        }
    }

    /// The initial metadata of the server; empty if the call ended without, and then
    /// [`read`](Self::read) says why.
    ///
    /// Blocks until they have come, or the call is over.
    ///
    /// For an example see [`Reader`].
    pub fn metadata(&mut self) -> &Metadata {
        if self.inlet.metadata.is_none() {
            let core = self.inlet.exchange.core();
            let batch = Batch::new().receive_initial_metadata();
            let event = self.queue.run(core, batch, Op::Receive);
            let metadata = event.and_then(|mut event| event.take_initial_metadata());
            self.inlet.on_metadata(metadata.unwrap_or_default());
        }
        self.inlet.metadata.get_or_insert_default()
    }

    /// Whether the message that was read last came compressed. Few need to know; messages are the same
    /// either way.
    ///
    /// For an example see [`Streaming::was_compressed`](crate::client::Streaming::was_compressed).
    pub fn was_compressed(&self) -> bool {
        self.inlet.exchange.core().was_compressed()
    }

    /// How the call ended, once [`read`](Self::read) has said that there are no more messages.
    ///
    /// For an example see [`Streaming::status`](crate::client::Streaming::status).
    pub fn status(&self) -> Option<&Status> {
        self.inlet.status.as_ref()
    }

    /// The trailing metadata, which come with the [`status`](Self::status); `None` before, and if there
    /// were none.
    ///
    /// For an example see [`Reader`].
    pub fn trailers(&self) -> Option<&Metadata> {
        self.inlet.trailers()
    }

    /// Ends the call; its server sees that it is cancelled. What is read next is CANCELLED, unless the
    /// call was over. Never blocks.
    ///
    /// For an example see [`Streaming::cancel`](crate::client::Streaming::cancel).
    pub fn cancel(&self) {
        self.inlet.exchange.cancel();
    }
}

impl<T> Iterator for Reader<T> {
    type Item = Result<T, Status>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

impl<T> fmt::Debug for Reader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reader").field(&self.inlet).finish()
    }
}

/// Where a client writes its messages, while another half of the call is read.
///
/// [`close`](Self::close) says that no more come. **So does dropping it**: a server that is told so may
/// take what it has for the whole. A thread that panics says nothing of the kind: it cancels the call. Who
/// gives up for another reason before all is written should cancel the call by the half that reads.
///
/// ```no_run
/// use turnstile::client::blocking::{Reader, Writer};
/// use turnstile::Status;
///
/// fn ask(mut questions: Writer<String>, mut answers: Reader<String>) -> Result<(), Status> {
///     for question in ["Who?", "Why?"] {
///         questions.write(question.to_owned())?;
///         println!("{:?}", answers.read()?);
///     }
///     questions.close();
///     answers.try_for_each(|answer| Ok(println!("{}", answer?)))
/// }
/// ```
pub struct Writer<T> {
    outlet: Outlet<T>,
    queue: Arc<CallQueue>,
}

impl<T> Writer<T> {
    pub(super) fn new(
        exchange: &Exchange,
        queue: Arc<CallQueue>,
        encode: fn(&T) -> Result<Bytes, Status>,
    ) -> Self {
        Self { outlet: Outlet::new(exchange, encode), queue }
    }

    /// Sends a message.
    ///
    /// `false` if it was not sent since the server has ended the call: with OK, before it had
    /// everything; or it is not known yet how, as messages before that have not been read. Who may
    /// write for ever stops then. Reading tells the rest.
    ///
    /// Blocks until the transport has taken it, as far as the server's window lets it: a server that does
    /// not read makes this wait.
    ///
    /// # Errors
    /// What the call has ended with, if that is known; the half that reads gets the same. What the codec
    /// or an interceptor says, which ends the call: the message is not sent.
    ///
    /// For an example see [`Writer`].
    pub fn write(&mut self, message: T) -> Result<bool, Status> {
        let bytes = self.outlet.encode(message)?;
        send(self.outlet.core(), &self.queue, Batch::new().send_message(bytes))
    }

    /// The same without compression, on a call that has it: for a message that is compressed already, or
    /// that holds a secret.
    ///
    /// # Errors
    /// Those of [`write`](Self::write).
    ///
    /// For an example see [`client::Writer`](crate::client::Writer::write_uncompressed).
    pub fn write_uncompressed(&mut self, message: T) -> Result<bool, Status> {
        let bytes = self.outlet.encode(message)?;
        send(self.outlet.core(), &self.queue, Batch::new().send_message_uncompressed(bytes))
    }

    /// Says that no more messages come. Never blocks.
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

/// Where a client writes its messages, and gets the one reply when it has written all.
///
/// **Dropping it cancels the call**: only [`finish`](Self::finish) says that the server has everything.
///
/// ```no_run
/// use turnstile::client::blocking::Upload;
/// use turnstile::Status;
///
/// fn count(mut words: Upload<String, u64>) -> Result<u64, Status> {
///     for word in ["one", "two"] {
///         words.write(word.to_owned())?;
///     }
///     let count = words.finish()?;
///     Ok(*count)
/// }
/// ```
#[must_use = "the call is cancelled when this is dropped"]
pub struct Upload<Req, Res> {
    exchange: Exchange,
    queue: CallQueue,
    encode: fn(&Req) -> Result<Bytes, Status>,
    decode: fn(Bytes) -> Result<Res, Status>,
}

impl<Req, Res> Upload<Req, Res> {
    pub(super) fn new(
        exchange: Exchange,
        queue: CallQueue,
        encode: fn(&Req) -> Result<Bytes, Status>,
        decode: fn(Bytes) -> Result<Res, Status>,
    ) -> Self {
        Self { exchange, queue, encode, decode }
    }

    /// Sends a message.
    ///
    /// `false` if it was not sent since the server has its reply already, and takes no more:
    /// [`finish`](Self::finish) gives it. Who may write for ever stops then.
    ///
    /// Blocks until the transport has taken it, as far as the server's window lets it: a server that does
    /// not read makes this wait.
    ///
    /// # Errors
    /// What the call has ended with, with its trailing metadata. What the codec or an interceptor says,
    /// which ends the call: the message is not sent.
    ///
    /// For an example see [`Upload`].
    pub fn write(&mut self, message: Req) -> Result<bool, Status> {
        let bytes = self.encode(message)?;
        send(self.exchange.core(), &self.queue, Batch::new().send_message(bytes))
    }

    /// The same without compression, on a call that has it: see
    /// [`Writer::write_uncompressed`](Writer::write_uncompressed).
    ///
    /// # Errors
    /// Those of [`write`](Self::write).
    pub fn write_uncompressed(&mut self, message: Req) -> Result<bool, Status> {
        let bytes = self.encode(message)?;
        send(self.exchange.core(), &self.queue, Batch::new().send_message_uncompressed(bytes))
    }

    fn encode(&self, message: Req) -> Result<Bytes, Status> {
        self.exchange.pass_out((self.encode)(&message))
    }

    /// Says that no more messages come, and waits for the reply.
    ///
    /// Blocks until the call is over.
    ///
    /// # Errors
    /// What the call has ended with, with its trailing metadata. UNIMPLEMENTED if the server sends no
    /// reply, or a second one.
    ///
    /// For an example see [`Upload`].
    pub fn finish(self) -> Result<Response<Res>, Status> {
        conclude(&self.exchange, &self.queue, Batch::new().send_close(), self.decode)
    }

    /// Ends the call; its server sees that it is cancelled. [`finish`](Self::finish) gives CANCELLED then,
    /// unless the call was over. Never blocks.
    ///
    /// For an example see [`Streaming::cancel`](crate::client::Streaming::cancel).
    pub fn cancel(&self) {
        self.exchange.cancel();
    }
}

impl<Req, Res> fmt::Debug for Upload<Req, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").finish_non_exhaustive()
    }
}

/// Sends a message. `false` if the call takes no more, and has not failed as far as is known.
///
/// # Errors
/// How the call has ended.
fn send(core: &Arc<ClientCore>, queue: &CallQueue, batch: Batch) -> Result<bool, Status> {
    match queue.run(core, batch, Op::Send) {
        Some(event) if event.is_ok() => Ok(true),
        _ => not_taken(core),
    }
}
