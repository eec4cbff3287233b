//! What becomes of messages between the application and the transport: their limits.

use crate::iomgr::drop_later;
use crate::stats::MessageSize;
use crate::status::Status;
use crate::transport::Message;

/// What the messages of a call may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MessageRules {
    /// The limit of a message that is received, in bytes.
    pub(crate) max_receive_size: usize,
    /// The limit of one that is sent.
    pub(crate) max_send_size: usize,
}

impl Default for MessageRules {
    fn default() -> Self {
        Self { max_receive_size: 4 * 1024 * 1024, max_send_size: usize::MAX }
    }
}

impl MessageRules {
    /// Makes the transport's message of the application's.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED if it is over the limit.
    pub(super) fn seal(&self, message: Message) -> Result<(Message, MessageSize), Status> {
        let (size, limit) = (message.data.len(), self.max_send_size);
        if size > limit {
            // The call's lock is held.
            drop_later(message.data);
            let text = format!("reply message larger than max ({size} vs. {limit})");
            return Err(Status::resource_exhausted(text));
        }
        Ok((message, MessageSize::plain(size)))
    }
}
