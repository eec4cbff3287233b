//! Ends of streams: who hears of one behind bytes, and that none is lost when an fd comes to a second
//! pollable.

use super::{look, pollset, socket, watched, work_until};
use crate::iomgr::endpoint::{Endpoint, PeerAddress};
use crate::iomgr::posix::fd::Fd;
use crate::iomgr::posix::manager::Iomgr;
use crate::iomgr::posix::pollset::Pollset;
use crate::iomgr::posix::tcp_endpoint::TcpEndpoint;
use crate::testing::CountingWaker;
use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

on_every_engine! {
    an_end_behind_bytes_is_heard_of_with_them_where_one_pollset_waits,
    an_end_is_heard_of_also_when_somebody_has_waited_to_write,
    pollsets_at_one_pollable_hear_of_ends_and_others_as_the_engine_says,
    an_end_behind_bytes_is_heard_of_at_two_pollables_as_the_engine_says,
    an_fd_that_was_at_two_pollables_once_is_read_to_its_end_at_one,
    nothing_is_lost_when_an_fd_comes_to_a_second_pollable,
    an_event_of_before_arrives_wherever_one_looks_when_an_fd_has_come_to_a_second_pollable,
    a_short_read_of_a_unix_socket_is_the_last_before_the_next_event,
    a_short_read_of_a_tcp_socket_is_the_last_before_the_next_event,
}

/// A pollset that waits for nothing else.
fn waits_for(iomgr: &Arc<Iomgr>, fd: &Fd) -> Arc<Pollset> {
    let pollset = Pollset::new();
    iomgr.engine().add_to_pollset(&pollset, fd.pollee()).unwrap();
    pollset
}

/// A pollset that waits for `other`, too, and so not where those wait that have `fd` only.
fn waits_elsewhere(iomgr: &Arc<Iomgr>, fd: &Fd, other: &Fd) -> Arc<Pollset> {
    let pollset = waits_for(iomgr, other);
    iomgr.engine().add_to_pollset(&pollset, fd.pollee()).unwrap();
    pollset
}

/// Whether an fd hears of ends that several pollables have.
fn shared_hears(iomgr: &Iomgr) -> bool {
    iomgr.engine().hears_of_ends()
}

fn end_behind_bytes(peer: &mut UnixStream) {
    peer.write_all(b"x").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
}

fn an_end_behind_bytes_is_heard_of_with_them_where_one_pollset_waits(iomgr: &Arc<Iomgr>) {
    let ((fd, mut peer), pollset) = (watched(iomgr), pollset(iomgr));
    let read = CountingWaker::new();
    look(iomgr, &pollset);
    assert!(fd.notify_on_read(&read.waker()).is_pending());
    end_behind_bytes(&mut peer);
    work_until(iomgr, &pollset, || read.count() == 1);
    assert!(fd.hears_of_ends() && fd.is_hung_up());
}

fn an_end_is_heard_of_also_when_somebody_has_waited_to_write(iomgr: &Arc<Iomgr>) {
    let ((fd, mut peer), pollset) = (watched(iomgr), pollset(iomgr));
    let (read, write) = (CountingWaker::new(), CountingWaker::new());
    assert!(fd.notify_on_write(&write.waker()).is_pending());
    work_until(iomgr, &pollset, || write.count() == 1);
    assert!(fd.notify_on_read(&read.waker()).is_pending());
    end_behind_bytes(&mut peer);
    work_until(iomgr, &pollset, || read.count() == 1);
    assert!(fd.hears_of_ends() && fd.is_hung_up());
}

fn pollsets_at_one_pollable_hear_of_ends_and_others_as_the_engine_says(iomgr: &Arc<Iomgr>) {
    let ((fd, _peer), (other, _other_peer)) = (socket(iomgr), socket(iomgr));
    assert!(fd.hears_of_ends());
    let _same = [waits_for(iomgr, &fd), waits_for(iomgr, &fd)];
    assert!(fd.hears_of_ends());
    let _elsewhere = waits_elsewhere(iomgr, &fd, &other);
    assert_eq!(fd.hears_of_ends(), shared_hears(iomgr));
}

fn an_end_behind_bytes_is_heard_of_at_two_pollables_as_the_engine_says(iomgr: &Arc<Iomgr>) {
    let ((fd, mut peer), (other, _other_peer)) = (socket(iomgr), socket(iomgr));
    let pollsets = [waits_for(iomgr, &fd), waits_elsewhere(iomgr, &fd, &other)];
    let read = CountingWaker::new();
    pollsets.iter().for_each(|pollset| look(iomgr, pollset));
    assert!(fd.notify_on_read(&read.waker()).is_pending());
    end_behind_bytes(&mut peer);
    pollsets.iter().for_each(|pollset| look(iomgr, pollset));
    assert_eq!(read.count(), 1);
    assert_eq!((fd.hears_of_ends(), fd.is_hung_up()), (shared_hears(iomgr), shared_hears(iomgr)));
}

/// An endpoint that nobody waits for, and the socket at its other end.
fn endpoint(iomgr: &Arc<Iomgr>) -> (TcpEndpoint, UnixStream) {
    let (ours, peer) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (TcpEndpoint::new(iomgr, ours.into(), PeerAddress::InProcess).unwrap(), peer)
}

/// The same over TCP.
fn tcp_endpoint(iomgr: &Arc<Iomgr>) -> (TcpEndpoint, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, address) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    (TcpEndpoint::new(iomgr, ours.into(), PeerAddress::Tcp(address)).unwrap(), peer)
}

/// What is there, without a look at the engine: bytes, or nothing at the end of the stream.
fn fill(endpoint: &mut TcpEndpoint) -> Poll<Vec<u8>> {
    let bytes = endpoint.poll_fill(&mut Context::from_waker(Waker::noop()));
    let bytes = bytes.map(|bytes| bytes.unwrap().to_vec());
    if let Poll::Ready(bytes) = &bytes {
        endpoint.consume(bytes.len());
    }
    bytes
}

/// The next bytes, when only `pollset` looks.
fn read(iomgr: &Iomgr, pollset: &Arc<Pollset>, endpoint: &mut TcpEndpoint) -> Vec<u8> {
    let mut found = Poll::Pending;
    work_until(iomgr, pollset, || {
        found = fill(endpoint);
        found.is_ready()
    });
    let Poll::Ready(bytes) = found else { unreachable!("the work has ended") };
    bytes
}

fn an_fd_that_was_at_two_pollables_once_is_read_to_its_end_at_one(iomgr: &Arc<Iomgr>) {
    let ((mut endpoint, mut peer), (other, _other_peer)) = (endpoint(iomgr), socket(iomgr));
    let pollset = waits_for(iomgr, endpoint.fd());
    drop(waits_elsewhere(iomgr, endpoint.fd(), &other));
    assert_eq!(endpoint.fd().hears_of_ends(), shared_hears(iomgr), "that is for good");
    end_behind_bytes(&mut peer);
    assert_eq!(read(iomgr, &pollset, &mut endpoint), b"x");
    assert_eq!(read(iomgr, &pollset, &mut endpoint), b"");
}

/// The bytes come, are read or not, and the end comes; at each moment the fd may come to its second
/// pollable, and either finds what there is.
fn nothing_is_lost_when_an_fd_comes_to_a_second_pollable(iomgr: &Arc<Iomgr>) {
    let rounds =
        |moment| [(moment, 0, true), (moment, 0, false), (moment, 1, true), (moment, 1, false)];
    for (moment, place, reads_between) in (0..5).flat_map(rounds) {
        let ((mut endpoint, mut peer), (other, _other_peer)) = (endpoint(iomgr), socket(iomgr));
        let mut pollsets = vec![waits_for(iomgr, endpoint.fd())];
        look(iomgr, &pollsets[0]);
        for step in 0..5 {
            if step == moment {
                pollsets.push(waits_elsewhere(iomgr, endpoint.fd(), &other));
            }
            match step {
                0 => peer.write_all(b"bytes").unwrap(),
                1 if reads_between => {
                    assert_eq!(read(iomgr, &pollsets[0], &mut endpoint), b"bytes");
                }
                // It arms, unless it does not hear of ends.
                2 if reads_between => assert!(fill(&mut endpoint).is_pending()),
                3 => peer.shutdown(Shutdown::Write).unwrap(),
                _ => {}
            }
        }
        if !reads_between {
            assert_eq!(read(iomgr, &pollsets[place], &mut endpoint), b"bytes");
        }
        assert_eq!(read(iomgr, &pollsets[place], &mut endpoint), b"", "{moment}, {place}");
    }
}

fn an_event_of_before_arrives_wherever_one_looks_when_an_fd_has_come_to_a_second_pollable(
    iomgr: &Arc<Iomgr>,
) {
    for place in 0..2 {
        let ((fd, mut peer), (other, _other_peer)) = (socket(iomgr), socket(iomgr));
        let (first, read) = (waits_for(iomgr, &fd), CountingWaker::new());
        look(iomgr, &first);
        assert!(fd.notify_on_read(&read.waker()).is_pending());
        peer.write_all(b"x").unwrap();
        let pollsets = [first, waits_elsewhere(iomgr, &fd, &other)];
        work_until(iomgr, &pollsets[place], || read.count() == 1);
    }
}

/// Bytes that the engine was not asked for are found by who reads without having heard of any.
fn a_short_read_of_a_unix_socket_is_the_last_before_the_next_event(iomgr: &Arc<Iomgr>) {
    let ((mut endpoint, mut peer), (other, _other_peer)) = (endpoint(iomgr), socket(iomgr));
    let pollset = waits_for(iomgr, endpoint.fd());
    look(iomgr, &pollset);
    for is_shared in [false, true] {
        let elsewhere = is_shared.then(|| waits_elsewhere(iomgr, endpoint.fd(), &other));
        peer.write_all(b"first").unwrap();
        assert_eq!(read(iomgr, &pollset, &mut endpoint), b"first");
        peer.write_all(b"second").unwrap();
        let reads_again = is_shared && !shared_hears(iomgr);
        assert_eq!(fill(&mut endpoint).is_ready(), reads_again);
        if !reads_again {
            assert_eq!(read(iomgr, &pollset, &mut endpoint), b"second");
        }
        drop(elsewhere);
    }
}

/// Where its engine does not tell of ends, the kernel does with each read.
fn a_short_read_of_a_tcp_socket_is_the_last_before_the_next_event(iomgr: &Arc<Iomgr>) {
    let ((mut endpoint, mut peer), (other, _other_peer)) = (tcp_endpoint(iomgr), socket(iomgr));
    let pollset = waits_for(iomgr, endpoint.fd());
    look(iomgr, &pollset);
    for is_shared in [false, true] {
        let elsewhere = is_shared.then(|| waits_elsewhere(iomgr, endpoint.fd(), &other));
        peer.write_all(b"first").unwrap();
        assert_eq!(read(iomgr, &pollset, &mut endpoint), b"first");
        peer.write_all(b"second").unwrap();
        assert!(fill(&mut endpoint).is_pending());
        assert_eq!(read(iomgr, &pollset, &mut endpoint), b"second");
        drop(elsewhere);
    }
    peer.write_all(b"last").unwrap();
    drop(peer);
    assert_eq!(read(iomgr, &pollset, &mut endpoint), b"last");
    assert_eq!(read(iomgr, &pollset, &mut endpoint), b"");
}
