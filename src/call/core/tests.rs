//! Wakes of a call.

use super::{CallCore, MessageRules, Observer};
use crate::iomgr::{ExecCtx, PeerAddress, iomgr_for_tests};
use crate::metadata::Metadata;
use crate::status::Status;
use crate::testing::without_deadlock;
use crate::transport::{Head, Message, Stream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

/// A stream on which nothing comes and nothing leaves. It counts the runs of its call.
struct Silent(Arc<AtomicUsize>);

impl Stream for Silent {
    fn set_max_message_size(&mut self, _bytes: usize) {}

    fn take_in(&mut self, _context: &mut Context<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn send_initial_metadata(&mut self, _metadata: Metadata) -> Result<(), Status> {
        Ok(())
    }

    fn begin_message(&mut self, _message: Message) -> Result<(), Status> {
        Ok(())
    }

    fn poll_send_message(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Pending
    }

    fn send_status(&mut self, _status: Status) -> Result<(), Status> {
        Ok(())
    }

    fn poll_message(
        &mut self,
        _context: &mut Context<'_>,
    ) -> Poll<Result<Option<Message>, Status>> {
        Poll::Pending
    }

    fn poll_cancelled(&mut self, _context: &mut Context<'_>) -> Poll<Status> {
        Poll::Pending
    }
}

#[test]
fn a_wake_under_the_calls_lock_only_enqueues() {
    without_deadlock(|| {
        let head = Head {
            path: http::uri::PathAndQuery::from_static("/a/b"),
            authority: None,
            metadata: Metadata::new(),
            subtype: None,
            timeout: None,
            peer: Arc::new(PeerAddress::InProcess),
        };
        let runs = Arc::new(AtomicUsize::new(0));
        let (stream, iomgr) = (Box::new(Silent(runs.clone())), iomgr_for_tests());
        let call = CallCore::new(head, stream, iomgr, Observer::default(), MessageRules::default());
        let context = ExecCtx::enter();
        let state = call.state.lock();
        let waker = Waker::from(call.clone());
        waker.wake_by_ref();
        waker.wake();
        drop(state);
        assert_eq!(runs.load(Ordering::SeqCst), 0, "it ran inside of the wake");
        context.flush();
        assert_eq!(runs.load(Ordering::SeqCst), 1, "two wakes before a run are one run");
    });
}
