//! Panics of the application's code, which end what raised them and nothing else.
//!
//! Its code runs in more places than its handlers: whatever it gives us can run code when it is
//! dropped (the source of a status, a tag, the owner of a message's bytes), and so can its wakers.

use std::any::Any;
use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// What somebody panicked with.
pub(crate) struct Panic(Box<dyn Any + Send>);

/// Does something that may run code of the application's.
///
/// # Errors
/// If that panics. The caller sees to it that what `work` has borrowed is still of use.
pub(crate) fn catch<R>(work: impl FnOnce() -> R) -> Result<R, Panic> {
    catch_unwind(AssertUnwindSafe(work)).map_err(Panic)
}

/// The same where a panic is nobody's answer: it is logged. `what` says what panicked.
pub(crate) fn contained<R>(what: &'static str, work: impl FnOnce() -> R) -> Option<R> {
    catch(work).map_err(|panic| tracing::error!(%panic, "{what} panicked; the rest goes on")).ok()
}

impl Panic {
    /// Lets it go on, on this thread.
    pub(crate) fn resume(mut self) -> ! {
        resume_unwind(mem::replace(&mut self.0, Box::new(())))
    }
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.downcast_ref::<&str>().copied();
        let text = text.or_else(|| self.0.downcast_ref::<String>().map(String::as_str));
        f.write_str(text.unwrap_or("a value that is no text"))
    }
}

impl Drop for Panic {
    /// What somebody panics with may panic when it is dropped, and so may what that panics with.
    fn drop(&mut self) {
        let payload = mem::replace(&mut self.0, Box::new(()));
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            mem::forget(again);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{catch, contained};
    use std::panic::panic_any;

    /// Panics when it is dropped, with another of its kind while there are more to come.
    struct Explosive(u32);

    impl Drop for Explosive {
        fn drop(&mut self) {
            match self.0 {
                0 => panic!("the last"),
                more => panic_any(Self(more - 1)),
            }
        }
    }

    #[test]
    fn a_panic_is_caught_with_its_text() {
        let texts = [
            catch(|| panic!("plain")).err().map(|panic| panic.to_string()),
            catch(|| panic!("made of {}", 2)).err().map(|panic| panic.to_string()),
            catch(|| panic_any(7)).err().map(|panic| panic.to_string()),
            catch(|| ()).err().map(|panic| panic.to_string()),
        ];
        let texts = texts.each_ref().map(Option::as_deref);
        assert_eq!(
            texts,
            [Some("plain"), Some("made of 2"), Some("a value that is no text"), None]
        );
    }

    #[test]
    fn what_somebody_panics_with_may_panic_as_well() {
        assert_eq!(contained("a test", || panic_any(Explosive(2))), None::<()>);
        assert_eq!(contained("a test", || 7), Some(7));
    }
}
