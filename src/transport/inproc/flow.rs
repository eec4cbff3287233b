//! One direction of a call: messages that were sent and not received, no more than a window.

use crate::transport::Message;
use crate::transport::h2::FramingError;
use std::collections::VecDeque;
use std::mem;

/// What a message takes of the window beside its bytes: its place in the queue. So that empty
/// messages, too, are bounded.
const OVERHEAD: usize = size_of::<Message>();

/// Messages on their way. Part of a stream's state, and guarded by its lock.
#[derive(Debug)]
pub(super) struct Flow {
    messages: VecDeque<Message>,
    /// What they take of the window.
    used: usize,
    window: usize,
    /// The limit of one message, for the receiver.
    max_message_size: usize,
    /// The sender has sent its last.
    is_closed: bool,
}

/// What a receiver finds.
#[derive(Debug)]
pub(super) enum Received {
    /// The oldest message, whose room is the sender's again.
    Message(Message),
    /// A message that must not be received, to be dropped without the lock, and why.
    Refused(Message, FramingError),
    /// Nothing yet.
    Nothing,
    /// Nothing any more.
    End,
}

impl Flow {
    pub(super) fn new(window: usize, max_message_size: usize) -> Self {
        let messages = VecDeque::new();
        Self { messages, used: 0, window, max_message_size, is_closed: false }
    }

    /// Sets the limit for the messages that are not received.
    pub(super) fn set_max_message_size(&mut self, bytes: usize) {
        self.max_message_size = bytes;
    }

    /// Takes the message out of `next` if there is room for it. A message that is longer than the
    /// window has room when no other is there: what waits is one message, or no more than the
    /// window.
    pub(super) fn send(&mut self, next: &mut Option<Message>) -> bool {
        let cost = next.as_ref().map_or(0, cost);
        let has_room = self.messages.is_empty() || self.used.saturating_add(cost) <= self.window;
        if has_room && let Some(message) = next.take() {
            self.used += cost;
            self.messages.push_back(message);
        }
        has_room
    }

    pub(super) fn receive(&mut self) -> Received {
        let Some(message) = self.messages.pop_front() else {
            return if self.is_closed { Received::End } else { Received::Nothing };
        };
        self.used -= cost(&message);
        match check(&message, self.max_message_size) {
            Ok(()) => Received::Message(message),
            Err(error) => Received::Refused(message, error),
        }
    }

    /// The sender has sent its last.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    /// Nobody receives any more. The messages are to be dropped by the caller, without the lock.
    #[must_use]
    pub(super) fn discard(&mut self) -> VecDeque<Message> {
        self.used = 0;
        mem::take(&mut self.messages)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}

fn cost(message: &Message) -> usize {
    message.data.len().saturating_add(OVERHEAD)
}

/// The rule of the other transport.
fn check(message: &Message, limit: usize) -> Result<(), FramingError> {
    match message.data.len() {
        len if len > limit => Err(FramingError::TooLarge { len, limit }),
        _ => Ok(()),
    }
}
