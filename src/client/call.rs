//! A call whose operations the application starts itself, in batches.

use crate::call::{Batch, ClientOwner, Outcome, StartError};
use crate::cq;
use crate::iomgr::Deadline;
use crate::status::Status;
use std::fmt;
use std::sync::Arc;

/// A call that this process makes, on a completion queue. Made by [`Channel::call`](crate::Channel::call).
///
/// Its batches complete on the queue that it was made for. Usable from any thread. Dropping it cancels
/// the call, unless that is over; what was started still comes out of the queue. A queue that is dropped
/// first takes its tags with it, and the call goes on until it is dropped, too.
///
/// Any thread that waits works for the call. If none does, nothing happens to it: not even its deadline ends
/// it, until the next one waits.
///
/// ```no_run
/// # use turnstile_protos::helloworld::{HelloRequest, greeter::SAY_HELLO};
/// use turnstile::{Batch, CallOptions, Channel, CompletionQueue, Deadline};
///
/// let channel = Channel::connect("localhost:50051")?;
/// let cq = CompletionQueue::<&str>::new();
/// let call = channel.call(SAY_HELLO.path(), CallOptions::new(), &cq);
/// let request = HelloRequest { name: "world".to_owned() };
/// let batch = Batch::new()
///     .send_message(SAY_HELLO.encode_request(&request)?)
///     .send_close()
///     .receive_message()
///     .receive_status();
/// call.start(batch, "a reply")?;
/// while let Some(mut event) = cq.next(Deadline::NONE) { // this thread polls
///     match event.take_status() {
///         Some(status) if !status.is_ok() => println!("{status}"),
///         _ => {
///             let reply = SAY_HELLO.decode_reply(event.take_message().unwrap_or_default())?;
///             println!("{}", reply.message);
///         }
///     }
/// #   cq.shutdown();
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Call<T: Send + 'static> {
    owner: ClientOwner,
    queue: Arc<cq::Core<T, Outcome>>,
}

impl<T: Send + 'static> Call<T> {
    pub(super) fn new(owner: ClientOwner, queue: Arc<cq::Core<T, Outcome>>) -> Self {
        Self { owner, queue }
    }

    /// Starts a batch. `tag` comes out of the call's queue when it has completed.
    ///
    /// A client sends messages and then closes ([`Batch::send_close`]); it receives initial metadata,
    /// messages and then the status, in any batches. A batch with [`Batch::receive_status`] is always
    /// ok; of others, [`is_ok`](cq::Event::is_ok) is false if what it sends was not sent. Metadata goes
    /// with the call's options.
    ///
    /// Callable from any thread; never blocks, but for the look-up of a name where the call is the first
    /// that needs a connection.
    ///
    /// # Errors
    /// If an operation of one of these kinds is pending, or cannot come any more, or is a server's, or the
    /// queue is shut down. The batch and the tag come back in the error, and nothing has been done.
    ///
    /// For an example see [`Call`].
    pub fn start(&self, batch: Batch, tag: T) -> Result<(), StartError<T>> {
        self.owner.core().start(&self.queue, batch, tag)
    }

    /// Ends the call with `status`, whatever is pending; its server sees that it is cancelled. Does
    /// nothing to a call that is over.
    ///
    /// Callable from any thread; never blocks.
    pub fn cancel(&self, status: Status) {
        self.owner.core().cancel(status);
    }

    /// When the call ends by itself, with DEADLINE_EXCEEDED.
    pub fn deadline(&self) -> Deadline {
        self.owner.core().deadline()
    }
}

impl<T: Send + 'static> fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("deadline", &self.deadline()).finish_non_exhaustive()
    }
}
