//! A wait for a point in time, for handlers.

use super::iomgr;
use crate::iomgr::{self as io, Deadline, ExecCtx};
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Waits this long, without a thread of its own.
///
/// The same as [`sleep_until`] with [`Deadline::after`], and all that is said there.
///
/// # Panics
/// Those of [`sleep_until`].
///
/// ```
/// use std::time::Duration;
/// use turnstile::{Request, Status, Writer};
///
/// async fn count_down(from: Request<u64>, numbers: &mut Writer<u64>) -> Result<(), Status> {
///     for number in (0..=*from).rev() {
///         numbers.write(number).await?;
///         turnstile::sleep(Duration::from_millis(1)).await; // the thread serves others
///     }
///     Ok(())
/// }
/// # let (mut writer, numbers) = Writer::channel();
/// # turnstile::block_on(count_down(Request::new(3), &mut writer)).unwrap();
/// # assert_eq!(numbers.try_iter().count(), 4);
/// ```
pub fn sleep(duration: Duration) -> Sleep {
    sleep_until(Deadline::after(duration))
}

/// Waits for a point in time: ready then, never early, and at once if it has passed. For
/// [`Deadline::NONE`] it is never ready.
///
/// Timers run on the threads that wait, as all else does: while none does, nobody wakes up. An async
/// handler that sleeps when its call ends is dropped, like one that waits for anything else. A
/// blocking handler may sleep with [`block_on`](crate::block_on), and does I/O meanwhile.
///
/// Callable from any thread; never blocks.
///
/// # Panics
/// If the polling engine does not start: see [`CompletionQueue::new`](super::CompletionQueue::new).
///
/// ```
/// use std::time::{Duration, Instant};
/// use turnstile::{Deadline, block_on, sleep_until};
///
/// let due = Instant::now() + Duration::from_millis(5);
/// block_on(sleep_until(Deadline::at(due)));
/// assert!(Instant::now() >= due);
/// ```
pub fn sleep_until(deadline: Deadline) -> Sleep {
    let due = if deadline == Deadline::NOW { Some(Instant::now()) } else { deadline.instant() };
    let _context = ExecCtx::enter();
    Sleep(due.map(|due| io::Sleep::until(&iomgr(), due)))
}

/// The future of [`sleep`] and [`sleep_until`]. Dropping it takes its timer back.
///
/// ```
/// use std::future::{pending, poll_fn};
/// use std::pin::pin;
/// use std::task::Poll;
/// use std::time::Duration;
///
/// /// An answer, if it comes in time.
/// async fn within<T>(time: Duration, answer: impl Future<Output = T>) -> Option<T> {
///     let (mut sleep, mut answer) = (pin!(turnstile::sleep(time)), pin!(answer));
///     poll_fn(|context| match answer.as_mut().poll(context) {
///         Poll::Ready(answer) => Poll::Ready(Some(answer)),
///         Poll::Pending => sleep.as_mut().poll(context).map(|()| None),
///     })
///     .await
/// }
/// # let never = within(Duration::from_millis(1), pending::<()>());
/// # assert_eq!(turnstile::block_on(never), None);
/// # let at_once = within(Duration::from_secs(60), async { 1 });
/// # assert_eq!(turnstile::block_on(at_once), Some(1));
/// ```
#[must_use = "a future does nothing unless it is awaited"]
pub struct Sleep(Option<io::Sleep>);

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().map_or(Poll::Pending, |sleep| sleep.poll(context))
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").finish_non_exhaustive()
    }
}
