//! epoll(7).

use super::{check, check_len, millis};
use crate::forked;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// An epoll set.
#[derive(Debug)]
pub(crate) struct Epoll(OwnedFd);

/// What one event says about an fd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Readiness {
    /// A read will not block: there are bytes, the end of the stream, or an error.
    pub(crate) read: bool,
    /// A write will not block.
    pub(crate) write: bool,
    /// The fd has an error, or something in its error queue.
    pub(crate) error: bool,
    /// The peer has closed its side: after the bytes comes the end, without another event.
    pub(crate) hang_up: bool,
}

/// What [`Epoll::wait`] tells of an fd.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct EpollEvent(libc::epoll_event);

impl EpollEvent {
    /// The key that the fd was added with.
    pub(crate) fn key(&self) -> u64 {
        self.0.u64
    }

    /// What happened.
    pub(crate) fn readiness(&self) -> Readiness {
        let events = self.0.events.cast_signed();
        let any = |mask: libc::c_int| events & mask != 0;
        let broken = libc::EPOLLERR | libc::EPOLLHUP;
        Readiness {
            read: any(libc::EPOLLIN | libc::EPOLLPRI | libc::EPOLLRDHUP | broken),
            write: any(libc::EPOLLOUT | broken),
            error: any(libc::EPOLLERR),
            hang_up: any(libc::EPOLLRDHUP | broken),
        }
    }
}

/// Room for so many events, where a wait puts them.
pub(crate) struct EpollRoom<const MANY: usize>([MaybeUninit<EpollEvent>; MANY]);

impl<const MANY: usize> EpollRoom<MANY> {
    pub(crate) const fn new() -> Self {
        Self([const { MaybeUninit::uninit() }; MANY])
    }
}

impl Epoll {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: the call takes no pointer.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the kernel has just given us this fd, and nobody else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Adds `fd` for reading, for errors, for the end of what the peer sends and, if `writes`, for writing,
    /// edge triggered: an event comes when it becomes ready, and the next one only after it was found not
    /// ready. An fd that is ready when it is added wakes who waits, and a socket nearly always is for
    /// writing.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, key: u64, writes: bool) -> io::Result<()> {
        self.add_for(libc::EPOLLRDHUP, fd, key, writes)
    }

    /// The same for an fd that is in other epoll sets too: an event wakes a thread that waits for
    /// one of them, and not for each (EPOLLEXCLUSIVE, Linux 4.5). That the peer has closed its side
    /// cannot be asked for then.
    ///
    /// # Errors
    /// `InvalidInput` where the kernel does not know it; see [`probe_exclusive`].
    pub(crate) fn add_exclusive(
        &self,
        fd: BorrowedFd<'_>,
        key: u64,
        writes: bool,
    ) -> io::Result<()> {
        self.add_for(libc::EPOLLEXCLUSIVE, fd, key, writes)
    }

    fn add_for(
        &self,
        more: libc::c_int,
        fd: BorrowedFd<'_>,
        key: u64,
        writes: bool,
    ) -> io::Result<()> {
        let writes = if writes { libc::EPOLLOUT } else { 0 };
        let interest = libc::EPOLLIN | writes | libc::EPOLLET | more;
        let mut event = libc::epoll_event { events: interest.cast_unsigned(), u64: key };
        self.control(libc::EPOLL_CTL_ADD, fd, &mut event)
    }

    /// Takes `fd` out.
    pub(crate) fn delete(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        // Linux before 2.6.9 wanted an event here although it ignores it; it costs nothing.
        self.control(libc::EPOLL_CTL_DEL, fd, &mut libc::epoll_event { events: 0, u64: 0 })
    }

    fn control(
        &self,
        operation: libc::c_int,
        fd: BorrowedFd<'_>,
        event: &mut libc::epoll_event,
    ) -> io::Result<()> {
        forked::check()?;
        // SAFETY: both fds are open for the length of the call, and `event` is a live reference.
        check(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), operation, fd.as_raw_fd(), event) })
            .map(drop)
    }

    /// Waits for events, at most `timeout` (for ever with `None`), and gives those that came.
    ///
    /// # Errors
    /// `Interrupted` when a signal came; the caller knows its deadline and waits again.
    pub(crate) fn wait<'a, const MANY: usize>(
        &self,
        room: &'a mut EpollRoom<MANY>,
        timeout: Option<Duration>,
    ) -> io::Result<&'a [EpollEvent]> {
        forked::check()?;
        let most = libc::c_int::try_from(MANY).unwrap_or(libc::c_int::MAX);
        // SAFETY: `EpollEvent` is a transparent wrapper of the kernel's struct, there is room for `most` of
        // them, and the kernel writes no more.
        let count = unsafe {
            libc::epoll_wait(
                self.0.as_raw_fd(),
                room.0.as_mut_ptr().cast::<libc::epoll_event>(),
                most,
                millis(timeout),
            )
        };
        let came = &room.0[..check_len(count as libc::ssize_t)?];
        // SAFETY: the kernel has written as many as it says.
        Ok(unsafe { came.assume_init_ref() })
    }
}

/// Whether the kernel knows EPOLLEXCLUSIVE. Kernels before 4.5 ignore the flag; those that know it
/// refuse it together with EPOLLONESHOT.
///
/// # Errors
/// `Unsupported` if it does not, or what else went wrong.
pub(crate) fn probe_exclusive() -> io::Result<()> {
    let epoll = Epoll::new()?;
    let probe = super::EventFd::new()?;
    let interest = libc::EPOLLET | libc::EPOLLEXCLUSIVE | libc::EPOLLONESHOT | libc::EPOLLIN;
    let mut event = libc::epoll_event { events: interest.cast_unsigned(), u64: 0 };
    verdict(epoll.control(libc::EPOLL_CTL_ADD, probe.as_fd(), &mut event))
}

/// What it says of the kernel how that has taken EPOLLEXCLUSIVE with EPOLLONESHOT.
fn verdict(taken: io::Result<()>) -> io::Result<()> {
    match taken {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        Err(error) => Err(error),
        Ok(()) => {
            let message = "the kernel ignores EPOLLEXCLUSIVE; it needs Linux 4.5 or later";
            Err(io::Error::new(io::ErrorKind::Unsupported, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::EventFd;
    use super::{Epoll, probe_exclusive, verdict};
    use std::io::{Error, ErrorKind};
    use std::os::fd::AsFd;

    #[test]
    fn the_kernel_of_the_tests_knows_exclusive_wakeups() {
        probe_exclusive().unwrap();
    }

    #[test]
    fn a_kernel_that_ignores_exclusive_wakeups_is_told_from_one_that_knows_them() {
        let refused = |errno| verdict(Err(Error::from_raw_os_error(errno)));
        assert!(refused(libc::EINVAL).is_ok());
        let ignored = verdict(Ok(())).unwrap_err();
        assert_eq!(ignored.kind(), ErrorKind::Unsupported);
        assert!(ignored.to_string().contains("Linux 4.5"), "{ignored}");
        assert_eq!(refused(libc::ENOSPC).unwrap_err().raw_os_error(), Some(libc::ENOSPC));
    }

    /// The rules of epoll_ctl(2) for EPOLLEXCLUSIVE.
    #[test]
    fn what_is_exclusive_is_neither_modified_nor_an_epoll_set() {
        let (epoll, other, fd) =
            (Epoll::new().unwrap(), Epoll::new().unwrap(), EventFd::new().unwrap());
        epoll.add_exclusive(fd.as_fd(), 1, true).unwrap();
        let interest = libc::EPOLLIN | libc::EPOLLET;
        let mut event = libc::epoll_event { events: interest.cast_unsigned(), u64: 2 };
        let modified = epoll.control(libc::EPOLL_CTL_MOD, fd.as_fd(), &mut event);
        assert_eq!(modified.unwrap_err().kind(), ErrorKind::InvalidInput);
        let nested = epoll.add_exclusive(other.0.as_fd(), 3, true);
        assert_eq!(nested.unwrap_err().kind(), ErrorKind::InvalidInput);
        // Nor does it hear of ends.
        let exclusive = (libc::EPOLLEXCLUSIVE | libc::EPOLLET).cast_unsigned();
        let mut event = libc::epoll_event { events: exclusive, u64: 3 };
        event.events |= (libc::EPOLLIN | libc::EPOLLRDHUP).cast_unsigned();
        let ends = other.control(libc::EPOLL_CTL_ADD, fd.as_fd(), &mut event);
        assert_eq!(ends.unwrap_err().kind(), ErrorKind::InvalidInput);
        // What is not exclusive does not become so by a change.
        other.add(fd.as_fd(), 1, false).unwrap();
        let mut event = libc::epoll_event { events: exclusive, u64: 4 };
        event.events |= libc::EPOLLIN.cast_unsigned();
        let changed = other.control(libc::EPOLL_CTL_MOD, fd.as_fd(), &mut event);
        assert_eq!(changed.unwrap_err().kind(), ErrorKind::InvalidInput);
        // It is taken out, and added again.
        epoll.delete(fd.as_fd()).unwrap();
        epoll.add_exclusive(fd.as_fd(), 1, true).unwrap();
    }
}
