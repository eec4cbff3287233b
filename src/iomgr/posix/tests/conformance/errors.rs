//! The error direction, with sockets that do have errors, and peers that hang up.

use super::{look, pollset, watch, watched, work_until};
use crate::iomgr::posix::fd::Fd;
use crate::iomgr::posix::manager::Iomgr;
use crate::iomgr::posix::sys::for_tests::{keep_errors, take_error};
use crate::testing::CountingWaker;
use std::io::ErrorKind;
use std::net::{Shutdown, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;

on_every_engine! {
    a_datagram_to_a_closed_port_is_an_error,
    an_error_queue_with_something_in_it_is_an_error,
    who_is_armed_for_errors_is_told_of_nothing_else,
    a_half_close_of_the_peer_can_be_read_and_is_no_error,
}

/// A watched UDP socket whose peer's port is closed, and the same socket for its owner.
fn without_peer(iomgr: &Arc<Iomgr>) -> (Fd, UdpSocket) {
    let any = "127.0.0.1:0";
    let closed = UdpSocket::bind(any).unwrap().local_addr().unwrap();
    let socket = UdpSocket::bind(any).unwrap();
    socket.connect(closed).unwrap();
    socket.set_nonblocking(true).unwrap();
    let fd = Fd::new(iomgr, socket.try_clone().unwrap().into()).unwrap();
    watch(iomgr, &fd);
    (fd, socket)
}

fn a_datagram_to_a_closed_port_is_an_error(iomgr: &Arc<Iomgr>) {
    let ((fd, socket), pollset) = (without_peer(iomgr), pollset(iomgr));
    let (read, error) = (CountingWaker::new(), CountingWaker::new());
    look(iomgr, &pollset);
    assert!(fd.notify_on_read(&read.waker()).is_pending());
    assert!(fd.notify_on_error(&error.waker()).is_pending());
    socket.send(b"to nobody").unwrap();
    work_until(iomgr, &pollset, || error.count() == 1);
    assert_eq!(read.count(), 1, "a reader would get the error");
    assert_eq!(socket.take_error().unwrap().unwrap().kind(), ErrorKind::ConnectionRefused);
    // Armed again, it fires for the next one.
    while fd.notify_on_error(&error.waker()).is_ready() {}
    look(iomgr, &pollset);
    assert_eq!(error.count(), 1, "the error was taken");
    socket.send(b"to nobody").unwrap();
    work_until(iomgr, &pollset, || error.count() == 2);
}

fn an_error_queue_with_something_in_it_is_an_error(iomgr: &Arc<Iomgr>) {
    let ((fd, socket), pollset) = (without_peer(iomgr), pollset(iomgr));
    let error = CountingWaker::new();
    keep_errors(socket.as_fd()).unwrap();
    for round in 1..=2 {
        look(iomgr, &pollset);
        while fd.notify_on_error(&error.waker()).is_ready() {}
        assert_eq!(error.count(), round - 1);
        socket.send(b"to nobody").unwrap();
        work_until(iomgr, &pollset, || error.count() == round);
        assert_eq!(take_error(socket.as_fd()).unwrap(), b"to nobody".len());
        assert_eq!(take_error(socket.as_fd()).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(socket.take_error().unwrap().is_none(), "it came with the one from the queue");
    }
}

fn who_is_armed_for_errors_is_told_of_nothing_else(iomgr: &Arc<Iomgr>) {
    use std::io::Write as _;
    let ((fd, mut peer), pollset) = (watched(iomgr), pollset(iomgr));
    let error = CountingWaker::new();
    assert!(fd.notify_on_error(&error.waker()).is_pending());
    peer.write_all(b"x").unwrap();
    look(iomgr, &pollset);
    drop(peer);
    look(iomgr, &pollset);
    look(iomgr, &pollset);
    assert_eq!(error.count(), 0, "a peer that has gone is none");
}

fn a_half_close_of_the_peer_can_be_read_and_is_no_error(iomgr: &Arc<Iomgr>) {
    let ((fd, peer), pollset) = (watched(iomgr), pollset(iomgr));
    let (read, error) = (CountingWaker::new(), CountingWaker::new());
    look(iomgr, &pollset);
    assert!(fd.notify_on_read(&read.waker()).is_pending());
    assert!(fd.notify_on_error(&error.waker()).is_pending());
    peer.shutdown(Shutdown::Write).unwrap();
    work_until(iomgr, &pollset, || read.count() == 1);
    assert_eq!(error.count(), 0);
    assert_eq!(fd.is_hung_up(), fd.hears_of_ends());
}
