//! Where a handler's request comes from: a call, or a test that calls the handler itself.

use crate::call::{CallCore, Outgoing, Over};
use crate::compression::Encoding;
use crate::iomgr::{Deadline, PeerAddress};
use crate::metadata::Metadata;
use crate::status::Status;
use crate::sync::{AtomicBool, Ordering::Relaxed};
use bytes::Bytes;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};

/// A call, or what stands for one. Clones are of the same.
#[derive(Clone)]
pub(super) enum Origin {
    Call(Arc<CallCore>),
    Detached(Arc<Detached>),
}

/// The call of a test, without a client and a connection: it brings no messages, takes all that it
/// is sent, reads no compression, and stays.
pub(super) struct Detached {
    metadata: Metadata,
    deadline: Deadline,
    /// Initial metadata has been sent. A flag alone: what was sent goes nowhere.
    has_begun: AtomicBool,
}

impl Detached {
    pub(super) fn new(deadline: Deadline) -> Arc<Self> {
        Arc::new(Self { metadata: Metadata::new(), deadline, has_begun: AtomicBool::new(false) })
    }

    /// A message is sent, and initial metadata before it.
    fn begin(&self) {
        self.has_begun.store(true, Relaxed);
    }
}

impl Origin {
    pub(super) fn method(&self) -> &str {
        match self {
            Self::Call(call) => call.head().method(),
            Self::Detached(_) => "",
        }
    }

    pub(super) fn authority(&self) -> &str {
        match self {
            Self::Call(call) => {
                call.head().authority.as_ref().map_or("", |authority| authority.as_str())
            }
            Self::Detached(_) => "",
        }
    }

    pub(super) fn metadata(&self) -> &Metadata {
        match self {
            Self::Call(call) => &call.head().metadata,
            Self::Detached(detached) => &detached.metadata,
        }
    }

    pub(super) fn peer(&self) -> &PeerAddress {
        match self {
            Self::Call(call) => &call.head().peer,
            Self::Detached(_) => &PeerAddress::InProcess,
        }
    }

    pub(super) fn deadline(&self) -> Deadline {
        match self {
            Self::Call(call) => call.deadline(),
            Self::Detached(detached) => detached.deadline,
        }
    }

    pub(super) fn is_cancelled(&self) -> bool {
        match self {
            Self::Call(call) => call.is_cancelled(),
            Self::Detached(detached) => detached.deadline.has_passed(),
        }
    }

    pub(super) fn end(&self) -> End {
        match self {
            Self::Call(call) => End::Call(call.over()),
            Self::Detached(detached) => End::Detached(detached.deadline),
        }
    }

    /// Why the call is over, once [`end`](Self::end) is ready.
    pub(super) fn cause_of_end(&self) -> Status {
        match self {
            Self::Call(call) => call.cause_of_end(),
            Self::Detached(_) => Status::deadline_exceeded("the call's deadline passed"),
        }
    }

    pub(super) fn poll_message(
        &self,
        poller: &mut task::Context<'_>,
    ) -> Poll<Result<Option<Bytes>, Status>> {
        match self {
            Self::Call(call) => call.poll_message(poller),
            Self::Detached(_) => Poll::Ready(Ok(None)),
        }
    }

    /// Makes a message ready to be sent, which may take long.
    pub(super) fn pack(&self, message: Bytes) -> Outgoing {
        match self {
            Self::Call(call) => call.pack(message),
            Self::Detached(_) => message.into(),
        }
    }

    pub(super) fn poll_send_message(
        &self,
        message: &mut Option<Outgoing>,
        poller: &mut task::Context<'_>,
    ) -> Poll<Result<(), Status>> {
        match self {
            Self::Call(call) => call.poll_send_message(message, poller),
            Self::Detached(detached) => {
                *message = None;
                detached.begin();
                Poll::Ready(Ok(()))
            }
        }
    }

    pub(super) fn send_initial_metadata(&self, metadata: Metadata) -> Result<(), Status> {
        match self {
            Self::Call(call) => call.send_initial_metadata(metadata),
            Self::Detached(detached) => {
                let has_begun = detached.has_begun.swap(true, Relaxed);
                if has_begun { Err(too_late()) } else { Ok(()) }
            }
        }
    }

    pub(super) fn request_encoding(&self) -> Option<Encoding> {
        match self {
            Self::Call(call) => call.head().encoding,
            Self::Detached(_) => None,
        }
    }

    pub(super) fn was_compressed(&self) -> bool {
        match self {
            Self::Call(call) => call.was_compressed(),
            Self::Detached(_) => false,
        }
    }

    pub(super) fn compression(&self) -> Option<Encoding> {
        match self {
            Self::Call(call) => call.compression(),
            Self::Detached(_) => None,
        }
    }

    pub(super) fn set_compression(&self, encoding: Option<Encoding>) -> Result<(), Status> {
        match self {
            Self::Call(call) => call.set_compression(encoding),
            Self::Detached(detached) => {
                let has_begun = detached.has_begun.load(Relaxed);
                if has_begun { Err(too_late()) } else { Ok(()) }
            }
        }
    }

    pub(super) fn set_trailers(&self, metadata: Metadata) {
        match self {
            Self::Call(call) => call.set_trailers(metadata),
            Self::Detached(_) => drop(metadata),
        }
    }
}

fn too_late() -> Status {
    Status::internal("initial metadata has been sent: this must come before, and before messages")
}

/// The end of a call, to wait for.
pub(super) enum End {
    Call(Over),
    /// Nothing wakes those who wait: without a call there is no timer.
    Detached(Deadline),
}

impl Future for End {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<()> {
        match self.get_mut() {
            Self::Call(over) => Pin::new(over).poll(context),
            Self::Detached(deadline) if deadline.has_passed() => Poll::Ready(()),
            Self::Detached(_) => Poll::Pending,
        }
    }
}
