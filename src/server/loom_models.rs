//! Models of handlers on their way: no wake is lost, and `run` returns when all is done.

use super::handled::Handled;
use super::run_queue::RunQueue;
use crate::call::{CallCore, MessageRules, NewCall, Observer, Owner};
use crate::codec::Raw;
use crate::compression::Encoding;
use crate::cq::PendingOp;
use crate::iomgr::{Peer, iomgr_for_tests};
use crate::metadata::Metadata;
use crate::service::{Builder, MethodDescriptor, Response};
use crate::status::{Code, Status};
use crate::sync::{AtomicUsize, Mutex, Ordering::SeqCst};
use crate::transport::{Head, Message, MessageStream, Stream};
use bytes::Bytes;
use loom::thread;
use std::future::poll_fn;
use std::sync::atomic::AtomicUsize as StdAtomicUsize;
use std::sync::{Arc, Mutex as StdMutex};
use std::task::{Context, Poll, Waker};

/// A client that takes everything and sends nothing. It keeps the status.
struct Client(Arc<StdMutex<Option<Code>>>);

impl MessageStream for Client {
    fn set_max_message_size(&mut self, _: usize) {}

    fn take_in(&mut self, _: &mut Context<'_>) {}

    fn begin_message(&mut self, _: Message) -> Result<(), Status> {
        Ok(())
    }

    fn poll_send_message(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn poll_message(&mut self, _: &mut Context<'_>) -> Poll<Result<Option<Message>, Status>> {
        Poll::Pending
    }
}

impl Stream for Client {
    fn send_initial_metadata(&mut self, _: Metadata, _: Option<Encoding>) -> Result<(), Status> {
        Ok(())
    }

    fn send_status(&mut self, status: Status) -> Result<(), Status> {
        let before = self.0.lock().unwrap().replace(status.code());
        assert_eq!(before, None, "one status");
        Ok(())
    }

    fn poll_cancelled(&mut self, _: &mut Context<'_>) -> Poll<Status> {
        Poll::Pending
    }
}

/// What a handler waits for.
#[derive(Default)]
struct Promise {
    kept: AtomicUsize,
    waker: Mutex<Option<Waker>>,
    /// How many threads poll at the moment.
    pollers: StdAtomicUsize,
}

impl Promise {
    fn keep(&self) {
        self.kept.fetch_add(1, SeqCst);
        let waker = self.waker.lock().clone();
        waker.into_iter().for_each(Waker::wake);
    }

    fn kept(self: Arc<Self>, times: usize) -> impl Future<Output = ()> {
        poll_fn(move |context| {
            assert_eq!(self.pollers.fetch_add(1, SeqCst), 0, "one thread at a time polls");
            *self.waker.lock() = Some(context.waker().clone());
            let is_kept = self.kept.fetch_add(0, SeqCst) == times;
            self.pollers.fetch_sub(1, SeqCst);
            if is_kept { Poll::Ready(()) } else { Poll::Pending }
        })
    }
}

/// A method whose handler answers when a promise was kept so often.
fn method(promise: &Arc<Promise>, times: usize) -> Arc<Handled> {
    const METHOD: MethodDescriptor<Bytes, Bytes, Raw> =
        MethodDescriptor::unary("/model.Model/Wait");
    let promise = promise.clone();
    let service = Builder::new("model.Model", ()).unary(METHOD, move |_, _| {
        let kept = promise.clone().kept(times);
        async move {
            kept.await;
            Ok(Response::new(Bytes::new()))
        }
    });
    let method = service.build().into_parts().0.pop();
    Handled::new(method.expect("one was added"), 1)
}

fn call(queue: &Arc<RunQueue>, method: &Arc<Handled>) -> Arc<StdMutex<Option<Code>>> {
    let code = Arc::default();
    let head = Head {
        path: http::uri::PathAndQuery::from_static("/model.Model/Wait"),
        authority: None,
        metadata: Metadata::new(),
        subtype: None,
        timeout: None,
        encoding: None,
        peer: Arc::new(Peer::in_process()),
    };
    let client = Box::new(Client(Arc::clone(&code)));
    let (observer, rules) = (Observer::new(None, true), MessageRules::default());
    let core = CallCore::new(head, client, queue.iomgr().clone(), observer, rules);
    let call = NewCall { owner: Owner::new(core), message: Some(Bytes::new()) };
    queue.handle(method, call);
    code
}

/// The server's last connection closes.
fn close(queue: &Arc<RunQueue>) {
    drop(PendingOp::reporting_to(queue.clone()));
}

fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(model);
}

#[test]
fn a_handler_that_is_woken_while_it_is_polled_answers_and_run_returns() {
    check(|| {
        let queue = RunQueue::new(iomgr_for_tests());
        let promise = Arc::new(Promise::default());
        let code = call(&queue, &method(&promise, 1));
        close(&queue);
        let keeper = thread::spawn(move || promise.keep());
        queue.run();
        keeper.join().unwrap();
        assert_eq!(*code.lock().unwrap(), Some(Code::Ok));
    });
}

#[test]
fn the_second_of_two_wakes_is_not_lost_behind_the_first() {
    check(|| {
        let queue = RunQueue::new(iomgr_for_tests());
        let promise = Arc::new(Promise::default());
        let code = call(&queue, &method(&promise, 2));
        close(&queue);
        let keeper = thread::spawn({
            let promise = promise.clone();
            move || promise.keep()
        });
        let runner = thread::spawn({
            let queue = queue.clone();
            move || queue.run()
        });
        promise.keep();
        runner.join().unwrap();
        keeper.join().unwrap();
        assert_eq!(*code.lock().unwrap(), Some(Code::Ok));
    });
}

#[test]
fn two_threads_in_run_poll_one_after_the_other_and_both_return() {
    check(|| {
        let queue = RunQueue::new(iomgr_for_tests());
        let promise = Arc::new(Promise::default());
        let code = call(&queue, &method(&promise, 1));
        let runner = thread::spawn({
            let queue = queue.clone();
            move || queue.run()
        });
        let keeper = thread::spawn({
            let queue = queue.clone();
            move || {
                promise.keep();
                close(&queue);
            }
        });
        queue.run();
        runner.join().unwrap();
        keeper.join().unwrap();
        assert_eq!(*code.lock().unwrap(), Some(Code::Ok));
    });
}

/// The last handler and the last connection end at once.
#[test]
fn whoever_is_last_lets_run_return() {
    check(|| {
        let queue = RunQueue::new(iomgr_for_tests());
        let promise = Arc::new(Promise::default());
        let code = call(&queue, &method(&promise, 0));
        let closer = thread::spawn({
            let queue = queue.clone();
            move || close(&queue)
        });
        queue.run();
        closer.join().unwrap();
        assert_eq!(*code.lock().unwrap(), Some(Code::Ok));
    });
}
