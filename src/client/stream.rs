//! A channel's stream: it waits for a connection, and begins anew on another one while no server has
//! seen the call.
//!
//! ```text
//!              a connection                      an answer, or an end that counts
//!   Waiting ------------------> On(attempt) ----------------------------------> committed: kept
//!      ^   <------------------      |                                           messages are dropped
//!      |     nobody has seen it     |
//!      '--> Ended <-----------------'
//! ```
//!
//! What was sent is kept until the server answers, and sent again on the next connection (gRFC A6,
//! "transparent retries"): the call and its server notice nothing.

use super::channel::Inner;
use super::picker::{Ticket, Wish};
use crate::iomgr::{Deadline, Pollset, drop_later};
use crate::status::Status;
use crate::transport::{
    Answer, ClientStream, ClientTransport, Ended, Message, MessageStream, Request, Unprocessed,
};
use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// How many bytes of messages are kept for another attempt (gRFC A6 has the same for its retries). A
/// call that has sent more is given to the server that it was sent to. The first message is kept
/// whatever its size: most calls have one, and are not to be lost.
const MAX_KEPT: usize = 256 * 1024;

/// One call on a channel.
pub(super) struct ChannelStream {
    channel: Arc<Inner>,
    call: NewStream,
    way: Way,
    sent: Sent,
    max_message_size: Option<usize>,
    /// A server has said that it has not looked at the call, or closed before it could, which counts once.
    was_refused: bool,
    answer: Option<Answer>,
}

/// What a stream is made of.
pub(super) struct NewStream {
    pub(super) request: Request,
    pub(super) deadline: Deadline,
    pub(super) waits_for_ready: bool,
    /// Where threads wait for the call, if that is known.
    pub(super) pollset: Option<Arc<Pollset>>,
}

/// How far a call is.
enum Way {
    Waiting {
        ticket: Ticket,
        /// The connection that did not take it.
        not: Option<Arc<dyn ClientTransport>>,
    },
    On {
        stream: Box<dyn ClientStream>,
        transport: Arc<dyn ClientTransport>,
    },
    Ended(Ended),
}

impl ChannelStream {
    pub(super) fn new(channel: Arc<Inner>, call: NewStream) -> Self {
        Self {
            channel,
            call,
            way: Way::Waiting { ticket: Ticket::default(), not: None },
            sent: Sent::default(),
            max_message_size: None,
            was_refused: false,
            answer: None,
        }
    }

    /// Goes on as far as it can, until it is known which server has the call.
    fn advance(&mut self, context: &mut Context<'_>) {
        while self.step(context).is_ready() {}
    }

    /// Ready when there is another way.
    fn step(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.way {
            Way::Waiting { ticket, not } => {
                let (not, waits_for_ready) = (not.as_ref(), self.call.waits_for_ready);
                let wish = Wish { not, waits_for_ready };
                match self.channel.control.picker.poll_pick(&wish, ticket, context) {
                    Poll::Ready(Ok(transport)) => self.begin(transport, context),
                    Poll::Ready(Err(status)) => self.end(status),
                    Poll::Pending => {
                        self.wait();
                        return Poll::Pending;
                    }
                }
                Poll::Ready(())
            }
            Way::On { stream, .. } => {
                self.sent.give(&mut **stream, context);
                if self.sent.is_committed {
                    return Poll::Pending;
                }
                match stream.poll_answer(context) {
                    Poll::Pending if self.sent.must_commit() => {
                        self.sent.commit();
                        return Poll::Ready(());
                    }
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Some(answer)) => self.answer = Some(answer),
                    Poll::Ready(None) => {
                        let ended = ready!(stream.poll_ended(context));
                        if self.begins_anew(&ended) {
                            return Poll::Ready(());
                        }
                    }
                }
                self.sent.commit();
                // There may be more to be given.
                Poll::Ready(())
            }
            Way::Ended(_) => Poll::Pending,
        }
    }

    /// There is no connection yet: asks for one, and lets the call's threads wait for it.
    fn wait(&self) {
        let control = &self.channel.control;
        self.call.pollset.iter().for_each(|pollset| control.let_wait(pollset));
        control.connect();
    }

    fn begin(&mut self, transport: Arc<dyn ClientTransport>, context: &mut Context<'_>) {
        self.leave();
        if let Some(pollset) = &self.call.pollset
            && let Err(error) = transport.peer().add_to(pollset)
        {
            tracing::error!(%error, "a queue cannot wait for its call's connection");
        }
        let timeout = self.call.deadline.remaining();
        let request = Request { timeout, ..self.call.request.clone() };
        let mut stream = transport.clone().start(request);
        self.max_message_size.into_iter().for_each(|bytes| stream.set_max_message_size(bytes));
        if !self.channel.control.has_others() {
            self.sent.commit();
        }
        if self.sent.is_committed {
            // Nobody else asks for an answer before the application does, and what comes must not pile
            // up in the transport until then.
            stream.take_in(context);
        }
        self.way = Way::On { stream, transport };
    }

    /// Whether nobody has seen the call that has ended so, and it goes to another connection. Once
    /// also to the same.
    fn begins_anew(&mut self, ended: &Ended) -> bool {
        let Way::On { transport, .. } = &self.way else { return false };
        let not = match ended.unprocessed {
            Some(Unprocessed::NotSent) => Some(transport.clone()),
            // A server that is at its end may go on with that.
            Some(Unprocessed::Refused | Unprocessed::Lost) if !self.was_refused => {
                self.was_refused = true;
                None
            }
            Some(Unprocessed::Refused | Unprocessed::Lost) | None => return false,
        };
        self.sent.begin_anew();
        self.way = Way::Waiting { ticket: Ticket::default(), not };
        true
    }

    fn end(&mut self, status: Status) {
        self.leave();
        self.way = Way::Ended(Ended::not_sent(status));
    }

    fn leave(&mut self) {
        if let Way::Waiting { ticket, .. } = &mut self.way {
            self.channel.control.picker.leave(ticket);
        }
    }
}

impl MessageStream for ChannelStream {
    fn set_max_message_size(&mut self, bytes: usize) {
        self.max_message_size = Some(bytes);
        if let Way::On { stream, .. } = &mut self.way {
            stream.set_max_message_size(bytes);
        }
    }

    fn take_in(&mut self, context: &mut Context<'_>) {
        self.advance(context);
        if let Way::On { stream, .. } = &mut self.way {
            stream.take_in(context);
        }
    }

    fn begin_message(&mut self, message: Message) -> Result<(), Status> {
        self.sent.add(message);
        Ok(())
    }

    fn poll_send_message(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.advance(context);
        match &mut self.way {
            Way::Waiting { .. } => Poll::Pending,
            Way::On { .. } => self.sent.poll_taken(),
            Way::Ended(ended) => Poll::Ready(Err(ended.status.clone())),
        }
    }

    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Message>, Status>> {
        match &mut self.way {
            Way::Waiting { .. } => Poll::Pending,
            Way::On { stream, .. } => stream.poll_message(context),
            Way::Ended(ended) => Poll::Ready(Err(ended.status.clone())),
        }
    }
}

impl ClientStream for ChannelStream {
    fn begun_last(&mut self) {
        self.sent.is_half_closed = true;
    }

    fn half_close(&mut self) -> Result<(), Status> {
        self.sent.is_half_closed = true;
        match &mut self.way {
            Way::Waiting { .. } => Ok(()),
            Way::On { stream, .. } => match self.sent.half_close(&mut **stream) {
                // The call may begin anew, and half-closes then.
                Err(why) if !self.sent.is_committed => {
                    self.sent.broken = Some(why);
                    Ok(())
                }
                result => result,
            },
            Way::Ended(ended) => Err(ended.status.clone()),
        }
    }

    fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<Option<Answer>> {
        self.advance(context);
        match &mut self.way {
            Way::On { .. } if self.answer.is_some() => Poll::Ready(self.answer.take()),
            // It has been asked, and what it says now may be that the call begins anew.
            Way::On { .. } if !self.sent.is_committed => Poll::Pending,
            Way::On { stream, .. } => stream.poll_answer(context),
            Way::Waiting { .. } => Poll::Pending,
            Way::Ended(_) => Poll::Ready(None),
        }
    }

    fn poll_ended(&mut self, context: &mut Context<'_>) -> Poll<Ended> {
        match &mut self.way {
            Way::Waiting { .. } => Poll::Pending,
            Way::On { stream, .. } => stream.poll_ended(context),
            Way::Ended(ended) => Poll::Ready(ended.clone()),
        }
    }

    fn cancel(&mut self, status: Status) {
        match &mut self.way {
            Way::Waiting { .. } => self.end(status),
            Way::On { stream, .. } => stream.cancel(status),
            Way::Ended(_) => {}
        }
    }

    fn waits_for(&self) -> Option<String> {
        match &self.way {
            Way::Waiting { .. } => {}
            Way::On { stream, .. } => return stream.waits_for(),
            Way::Ended(_) => return None,
        }
        let why = self.channel.control.picker.failure();
        let why = why.map_or_else(String::new, |why| format!(": {}", why.message()));
        Some(format!("it waited for a connection to {}{why}", self.channel.control.name()))
    }
}

impl Drop for ChannelStream {
    fn drop(&mut self) {
        self.leave();
        self.sent.clear();
    }
}

/// What was sent, and how much of it the attempt has.
#[derive(Default)]
struct Sent {
    /// Those that the attempt has not been given, and until it is committed the others before them.
    messages: VecDeque<Message>,
    given: usize,
    /// The attempt has not taken the last one that it was given.
    is_under_way: bool,
    bytes: usize,
    is_half_closed: bool,
    is_half_close_given: bool,
    /// Why the attempt takes no more: it has ended, or is about to.
    broken: Option<Status>,
    /// Nothing is sent again: the server has answered, or too much was sent to be kept.
    is_committed: bool,
}

impl Sent {
    fn add(&mut self, message: Message) {
        self.bytes = self.bytes.saturating_add(message.data.len());
        self.messages.push_back(message);
    }

    /// The message that would be given next is too much to be kept. It goes to an attempt of which it is
    /// known that it has not been refused: nothing could be sent again after that.
    fn must_commit(&self) -> bool {
        let is_next = self.given + 1 == self.messages.len() && !self.is_under_way;
        let is_kept = self.bytes <= MAX_KEPT || self.given == 0;
        !self.is_committed && self.broken.is_none() && is_next && !is_kept
    }

    /// The next attempt has nothing yet.
    fn begin_anew(&mut self) {
        (self.given, self.is_under_way, self.is_half_close_given) = (0, false, false);
        self.broken = None;
    }

    /// What the attempt has been given is not needed any more.
    fn commit(&mut self) {
        self.is_committed = true;
        self.messages.drain(..self.given).for_each(|message| drop_later(message.data));
        self.given = 0;
    }

    /// Gives the attempt what it takes now. Of a call that began anew that is also what the application
    /// was told is sent.
    fn give(&mut self, stream: &mut dyn ClientStream, context: &mut Context<'_>) {
        while self.broken.is_none() {
            if self.is_under_way {
                let Poll::Ready(taken) = stream.poll_send_message(context) else { return };
                self.is_under_way = false;
                self.broken = taken.err();
            } else if let Some(message) = self.next() {
                self.broken = stream.begin_message(message).err();
                if self.is_half_closed && self.given == self.messages.len() {
                    stream.begun_last();
                }
                self.is_under_way = true;
            } else {
                if self.is_half_closed {
                    self.broken = self.half_close(stream).err();
                }
                return;
            }
        }
    }

    /// Ready when the attempt has taken everything. One that takes no more may be followed by another,
    /// until it is known how it ends.
    fn poll_taken(&self) -> Poll<Result<(), Status>> {
        match &self.broken {
            Some(why) if self.is_committed => Poll::Ready(Err(why.clone())),
            Some(_) => Poll::Pending,
            None if self.is_behind() => Poll::Pending,
            None => Poll::Ready(Ok(())),
        }
    }

    /// There is something that the attempt does not have yet.
    fn is_behind(&self) -> bool {
        self.is_under_way || self.given < self.messages.len()
    }

    fn next(&mut self) -> Option<Message> {
        if self.is_committed {
            return self.messages.pop_front();
        }
        if self.must_commit() {
            return None;
        }
        let message = self.messages.get(self.given)?.clone();
        self.given += 1;
        Some(message)
    }

    /// No more messages come. Of a call that began anew the attempt may not have all of them yet, and
    /// is told behind the last.
    fn half_close(&mut self, stream: &mut dyn ClientStream) -> Result<(), Status> {
        if self.is_behind() || mem::replace(&mut self.is_half_close_given, true) {
            return Ok(());
        }
        stream.half_close()
    }

    /// The bytes may be the application's own, and the call's lock is held.
    fn clear(&mut self) {
        self.messages.drain(..).for_each(|message| drop_later(message.data));
    }
}

#[cfg(all(test, not(turnstile_loom)))]
mod tests;
