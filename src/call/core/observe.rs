//! What is told of a call: to the server's [`Stats`], and to the log.
//!
//! What happens is noted under the call's lock and told without it.

use super::pending::Done;
use crate::call::few::Few;
use crate::stats::{CallEnd, CallInfo, MessageSize, Stats, Traffic, tell_caught};
use crate::status::Code;
use crate::transport::Head;
use std::sync::Arc;
use std::time::Instant;

/// Who is told what becomes of a call.
#[derive(Default)]
pub(crate) struct Observer {
    stats: Option<Arc<dyn Stats>>,
    is_registered: bool,
    /// When the call came, if somebody may want to know how long it takes.
    started: Option<Instant>,
}

impl Observer {
    /// `is_registered` says whether the server has the call's method by name.
    pub(crate) fn new(stats: Option<Arc<dyn Stats>>, is_registered: bool) -> Self {
        Self { stats, is_registered, started: None }
    }

    pub(super) fn has_stats(&self) -> bool {
        self.stats.is_some()
    }

    fn info<'a>(&self, head: &'a Head) -> CallInfo<'a> {
        CallInfo::new(head.method(), &head.peer, self.is_registered)
    }

    /// The call has come.
    pub(super) fn begin(&mut self, head: &Head) {
        let is_logged = tracing::enabled!(target: "turnstile::call", tracing::Level::DEBUG);
        if self.stats.is_some() || is_logged {
            self.started = Some(Instant::now());
        }
        if let Some(stats) = &self.stats {
            tell_caught(|| stats.call_started(&self.info(head)));
        }
    }

    /// Tells what was noted. Called without the call's lock.
    pub(super) fn tell(&self, head: &Head, seen: Seen) {
        if let Some(stats) = &self.stats {
            let info = self.info(head);
            for message in seen.messages {
                tell_caught(|| match message {
                    Noted::Received(size) => stats.message_received(&info, size),
                    Noted::Sent(size) => stats.message_sent(&info, size),
                });
            }
        }
        if let Some(tally) = seen.end {
            self.tell_end(head, &tally);
        }
    }

    fn tell_end(&self, head: &Head, &Tally { received, sent, status, .. }: &Tally) {
        let code = status.unwrap_or(Code::Unknown);
        let duration = self.started.map(|started| started.elapsed());
        if let Some(stats) = &self.stats {
            let end = CallEnd { code, duration: duration.unwrap_or_default(), received, sent };
            tell_caught(|| stats.call_ended(&self.info(head), &end));
        }
        tracing::debug!(
            target: "turnstile::call",
            parent: None,
            method = head.method(),
            peer = %head.peer,
            status = code.as_str(),
            duration = duration.map(tracing::field::debug),
            messages_received = received.messages,
            bytes_received = received.bytes,
            messages_sent = sent.messages,
            bytes_sent = sent.bytes,
            "a call ended",
        );
    }
}

/// The messages of a call so far. Guarded by the call's lock.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    received: Traffic,
    sent: Traffic,
    /// What the call ends with.
    pub(super) status: Option<Code>,
    /// Somebody wants to hear of each message.
    is_told: bool,
}

impl Tally {
    pub(super) fn new(is_told: bool) -> Self {
        Self { is_told, ..Self::default() }
    }

    /// The application takes a message.
    pub(super) fn receive(&mut self, size: MessageSize, done: &mut Done) {
        self.received.add(size);
        if self.is_told {
            done.seen.messages.push(Noted::Received(size));
        }
    }

    /// A message goes to the transport.
    pub(super) fn send(&mut self, size: MessageSize, done: &mut Done) {
        self.sent.add(size);
        if self.is_told {
            done.seen.messages.push(Noted::Sent(size));
        }
    }
}

/// What was noted under the lock, in its order.
#[derive(Default)]
pub(super) struct Seen {
    messages: Few<Noted>,
    /// The call is over.
    pub(super) end: Option<Tally>,
}

#[derive(Clone, Copy)]
enum Noted {
    Received(MessageSize),
    Sent(MessageSize),
}
