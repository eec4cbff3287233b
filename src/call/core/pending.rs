//! The operations of a call that have begun and not ended, and what their ends bring.

use super::messages::{Compressed, Outgoing};
use super::observe::Seen;
use super::receive::OnlyMessage;
use crate::call::Outcome;
use crate::call::batch::{Batch, OpKind};
use crate::call::event::BatchOutcome;
use crate::call::few::Few;
use crate::cq::PendingOp;
use crate::metadata::Metadata;
use crate::panics::contained;
use crate::status::{Hold, Status};
use crate::transport::MessageStream;
use bytes::Bytes;
use std::task::Waker;

/// The pending operations, each with the batch it belongs to, and the batches.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) initial_metadata: Option<(BatchId, Metadata)>,
    /// The message is taken out when the stream begins to send it.
    pub(super) message: Option<(BatchId, Option<Outgoing>)>,
    pub(super) status: Option<(BatchId, Status)>,
    pub(super) close: Option<BatchId>,
    pub(super) receive_metadata: Option<BatchId>,
    pub(super) receive_message: Option<BatchId>,
    pub(super) receive_status: Option<BatchId>,
    pub(super) receive_close: Option<BatchId>,
    batches: Few<PendingBatch>,
    next_batch: BatchId,
}

/// Names a pending batch of a call.
pub(super) type BatchId = u64;

/// The batch of what a handler sends: nobody waits for it to complete.
pub(super) const NO_BATCH: BatchId = BatchId::MAX;

pub(super) struct PendingBatch {
    id: BatchId,
    op: PendingOp<Outcome>,
    /// How many of its operations are not done.
    left: usize,
    is_ok: bool,
    /// It brings the call's status, which says it all.
    always_ok: bool,
    outcome: BatchOutcome,
}

/// What is to be done once the call's lock is gone. Most often one batch completes.
#[derive(Default)]
pub(super) struct Done {
    pub(super) batches: Few<PendingBatch>,
    pub(super) arrival: Option<(OnlyMessage, Option<Bytes>)>,
    pub(super) wakers: Few<Waker>,
    /// A waker that another has replaced, to be dropped.
    pub(super) replaced: Option<Waker>,
    /// The stream of a call that is over.
    pub(super) stream: Option<Box<dyn MessageStream>>,
    /// What is only to be dropped, which may run code of the application.
    messages: Few<Outgoing>,
    statuses: Few<Hold>,
    /// Taken out before the rest is settled.
    pub(super) seen: Seen,
}

impl Done {
    /// Hands everything on. Called without locks. Wakers and drops may panic, and take nothing else
    /// with them: what is left then is gone through again.
    pub(super) fn settle(mut self) {
        let mut batches = self.batches.into_iter();
        let mut settle_rest = || {
            drop(self.stream.take());
            for batch in batches.by_ref() {
                batch.op.complete(batch.is_ok, batch.outcome.into());
            }
            if let Some((then, message)) = self.arrival.take() {
                then(message);
            }
            while let Some(waker) = self.wakers.pop() {
                waker.wake();
            }
            drop(self.replaced.take());
            while let Some(message) = self.messages.pop() {
                drop(message);
            }
            while let Some(status) = self.statuses.pop() {
                drop(status);
            }
        };
        while contained("a waker, or the drop of what a call leaves,", &mut settle_rest).is_none() {
        }
    }

    /// Drops what came too late to be sent.
    pub(super) fn discard(&mut self, message: Option<Outgoing>, status: Status) {
        self.drop_message(message);
        self.outlives(&status);
    }

    /// Drops a message, if there is one.
    pub(super) fn drop_message(&mut self, message: Option<Outgoing>) {
        message.into_iter().for_each(|message| self.messages.push(message));
    }

    /// The status is dropped under the lock, except for what the application has put in.
    pub(super) fn outlives(&mut self, status: &Status) {
        status.hold().into_iter().for_each(|hold| self.statuses.push(hold));
    }
}

impl Pending {
    /// The kind of the batch's that is pending already.
    pub(super) fn conflict(&self, batch: &Batch) -> Option<OpKind> {
        OpKind::ALL.into_iter().find(|kind| {
            batch.has(*kind)
                && match kind {
                    OpKind::SendInitialMetadata => self.initial_metadata.is_some(),
                    OpKind::SendMessage => self.message.is_some(),
                    OpKind::SendStatus => self.status.is_some(),
                    OpKind::SendClose => self.close.is_some(),
                    OpKind::ReceiveInitialMetadata => self.receive_metadata.is_some(),
                    OpKind::ReceiveStatus => self.receive_status.is_some(),
                    OpKind::ReceiveMessage => self.receive_message.is_some(),
                    OpKind::ReceiveClose => self.receive_close.is_some(),
                }
        })
    }

    /// Files a batch and its operations. A batch without any is done at once. `compressed`
    /// is its message, compressed.
    pub(super) fn file(
        &mut self,
        batch: Batch,
        compressed: Option<Compressed>,
        op: PendingOp<Outcome>,
        done: &mut Done,
    ) {
        let id = self.next_batch;
        self.next_batch += 1;
        let left = OpKind::ALL.into_iter().filter(|kind| batch.has(*kind)).count();
        let outcome = BatchOutcome::default();
        let pending =
            PendingBatch { id, op, left, is_ok: true, always_ok: batch.receives_status, outcome };
        if left == 0 {
            return done.batches.push(pending);
        }
        self.batches.push(pending);
        let asked = |is_asked: bool| is_asked.then_some(id);
        self.close = asked(batch.closes).or(self.close);
        self.receive_metadata = asked(batch.receives_metadata).or(self.receive_metadata);
        self.receive_message = asked(batch.receives_message).or(self.receive_message);
        self.receive_status = asked(batch.receives_status).or(self.receive_status);
        self.receive_close = asked(batch.receives_close).or(self.receive_close);
        let Batch { initial_metadata, message, status, .. } = batch;
        if let Some(metadata) = initial_metadata {
            self.initial_metadata = Some((id, metadata));
        }
        if let Some(data) = message {
            self.message = Some((id, Some(Outgoing { data, compressed })));
        }
        if let Some(status) = status {
            self.status = Some((id, status));
        }
    }

    /// Whether a client waits for something to come.
    pub(super) fn receives(&self) -> bool {
        let receives = [self.receive_metadata, self.receive_message, self.receive_status];
        receives.iter().any(Option::is_some)
    }

    /// One operation of a batch is done.
    pub(super) fn finish(
        &mut self,
        id: BatchId,
        is_ok: bool,
        done: &mut Done,
        fill: impl FnOnce(&mut BatchOutcome),
    ) {
        let Some(batch) = self.batches.find(|batch| batch.id == id) else { return };
        batch.is_ok &= is_ok || batch.always_ok;
        fill(&mut batch.outcome);
        batch.left -= 1;
        if batch.left == 0 {
            let batch = self.batches.take(|batch| batch.id == id);
            batch.into_iter().for_each(|batch| done.batches.push(batch));
        }
    }

    /// What is to be sent fails.
    pub(super) fn fail_sends(&mut self, done: &mut Done) {
        let failing = [
            self.initial_metadata.take().map(|(id, _)| id),
            self.message.take().map(|(id, message)| {
                done.drop_message(message);
                id
            }),
            self.status.take().map(|(id, status)| {
                done.outlives(&status);
                id
            }),
            self.close.take(),
        ];
        for id in failing.into_iter().flatten() {
            self.finish(id, false, done, |_| {});
        }
    }

    /// No message comes.
    pub(super) fn fail_receive(&mut self, done: &mut Done) {
        if let Some(id) = self.receive_message.take() {
            self.finish(id, false, done, |_| {});
        }
    }
}
