//! Wakes of a call, and what runs when.

use super::{CallCore, MessageRules, Observer};
use crate::compression::Encoding;
use crate::iomgr::{ExecCtx, Peer, iomgr_for_tests};
use crate::metadata::Metadata;
use crate::status::Status;
use crate::testing::without_deadlock;
use crate::transport::{Head, Message, MessageStream, Stream};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// A stream on which messages have come and nothing leaves. It counts the runs of its call.
struct Silent(Arc<AtomicUsize>, VecDeque<Message>);

impl MessageStream for Silent {
    fn set_max_message_size(&mut self, _bytes: usize) {}

    fn take_in(&mut self, _context: &mut Context<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn begin_message(&mut self, _message: Message) -> Result<(), Status> {
        Ok(())
    }

    fn poll_send_message(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Pending
    }

    fn poll_message(
        &mut self,
        _context: &mut Context<'_>,
    ) -> Poll<Result<Option<Message>, Status>> {
        // The only message is the last.
        if self.1.capacity() == 0 { Poll::Pending } else { Poll::Ready(Ok(self.1.pop_front())) }
    }
}

impl Stream for Silent {
    fn send_initial_metadata(
        &mut self,
        _metadata: Metadata,
        _encoding: Option<Encoding>,
    ) -> Result<(), Status> {
        Ok(())
    }

    fn send_status(&mut self, _status: Status) -> Result<(), Status> {
        Ok(())
    }

    fn poll_cancelled(&mut self, _context: &mut Context<'_>) -> Poll<Status> {
        Poll::Pending
    }
}

fn head(encoding: Option<Encoding>) -> Head {
    Head {
        path: http::uri::PathAndQuery::from_static("/a/b"),
        authority: None,
        metadata: Metadata::new(),
        subtype: None,
        timeout: None,
        encoding,
        peer: Arc::new(Peer::in_process()),
    }
}

#[test]
fn a_wake_under_the_calls_lock_only_enqueues() {
    without_deadlock(|| {
        let head = head(None);
        let runs = Arc::new(AtomicUsize::new(0));
        let (stream, iomgr) = (Box::new(Silent(runs.clone(), VecDeque::new())), iomgr_for_tests());
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

/// A waker that shows who has it.
struct Idle;

impl Wake for Idle {
    fn wake(self: Arc<Self>) {}
}

/// The clone may be code of the application's.
#[test]
fn a_pollers_waker_is_cloned_without_the_calls_lock_and_only_to_wait() {
    let stream = Box::new(Silent(Arc::default(), VecDeque::new()));
    let (head, iomgr) = (head(None), iomgr_for_tests());
    let call = CallCore::new(head, stream, iomgr, Observer::default(), MessageRules::default());
    let shown = Arc::new(Idle);
    let waker = Waker::from(shown.clone());
    let looks_until = |is_ready: bool| {
        let mut looks = 0;
        let _ = call.poll_state(&Context::from_waker(&waker), |state, _, done, poller| {
            looks += 1;
            if is_ready {
                return Poll::Ready(());
            }
            let before = Arc::strong_count(&shown);
            poller.wait_in(&mut state.pollers.read, done);
            assert_eq!(Arc::strong_count(&shown), before, "it was cloned under the lock");
            Poll::Pending
        });
        looks
    };
    assert_eq!(looks_until(true), 1);
    assert_eq!(Arc::strong_count(&shown), 2, "whoever is ready needs no clone");
    assert_eq!(looks_until(false), 2, "it looks again, with a clone");
    assert_eq!(Arc::strong_count(&shown), 3, "the call has it");
    assert_eq!(looks_until(false), 1, "the call has it already");
    assert_eq!(Arc::strong_count(&shown), 3);
}

/// Which is driving a connection, and has its other calls wait.
#[test]
#[cfg(any(feature = "gzip", feature = "deflate", feature = "zstd"))]
fn an_only_message_is_not_decompressed_by_the_thread_that_brings_its_call() {
    let (encoding, plain) = (Encoding::ALL[0], vec![7; 1000]);
    let data = encoding.compress(&plain).unwrap();
    let runs = Arc::new(AtomicUsize::new(0));
    let stream = Silent(runs.clone(), VecDeque::from([Message { compressed: true, data }]));
    let (head, iomgr) = (head(Some(encoding)), iomgr_for_tests());
    let rules = MessageRules::default();
    let call = CallCore::new(head, Box::new(stream), iomgr, Observer::default(), rules);
    let (sender, received) = std::sync::mpsc::channel();
    let context = ExecCtx::enter();
    let begun = call.begin_with_message(|| Box::new(move |it| sender.send(it).unwrap()));
    assert!(begun.is_pending());
    assert!(received.try_recv().is_err());
    context.flush();
    assert_eq!(received.try_recv().unwrap().unwrap(), plain);
}
