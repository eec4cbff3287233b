//! Tests of the queues, over an I/O manager of their own.

mod alarms;
mod events;
mod shutdown;
mod sleeps;

use super::core::PendingOp;
use super::{CallbackQueue, CompletionQueue, Event, PluckQueue, sealed};
use crate::iomgr::{Deadline, iomgr_for_tests as iomgr};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

/// Long enough that only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A queue whose events carry nothing, unless the test says what.
type Queue<T, O = ()> = CompletionQueue<T, O>;

fn patience() -> Deadline {
    Deadline::after(PATIENCE)
}

fn begin<T: Send + 'static, O: Default + Send + 'static>(
    queue: &impl sealed::Queue<T, O>,
    tag: T,
) -> PendingOp<O> {
    queue.core().begin_op(tag, None).ok().expect("the queue is open")
}

/// Posts an event at once.
fn post<T: Send + 'static, O: Default + Send + 'static>(queue: &impl sealed::Queue<T, O>, tag: T) {
    begin(queue, tag).complete(true, O::default());
}

/// A callback queue that passes its events to the test.
fn callbacks<T: Send + 'static>() -> (CallbackQueue<T, ()>, Receiver<Event<T, ()>>) {
    let (sender, receiver) = mpsc::channel();
    let queue = CallbackQueue::on(iomgr(), move |event| {
        let _ = sender.send(event);
    });
    (queue, receiver)
}

/// A tag that can be told to have been dropped.
type Counted = Arc<()>;
