//! Endpoints: streams of bytes over sockets.

use super::{PATIENCE, pollset, watch, work_until};
use crate::iomgr::endpoint::{Endpoint, PeerAddress};
use crate::iomgr::posix::manager::Iomgr;
use crate::iomgr::posix::sys::for_tests::pass_descriptor;
use crate::iomgr::posix::tcp_endpoint::TcpEndpoint;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;

on_every_engine! {
    small_writes_are_gathered_until_the_flush,
    bytes_and_the_end_in_one_event_are_both_seen,
    the_end_of_a_tcp_stream_is_seen_with_its_last_bytes_and_after_them,
    a_reset_behind_the_last_bytes_is_seen,
    what_is_not_consumed_comes_again,
    megabytes_arrive_whole_in_both_directions,
    a_peer_that_goes_away_ends_a_blocked_write_with_an_error,
    descriptors_that_a_peer_passes_are_not_taken,
}

/// An endpoint and the socket at its other end.
fn endpoint(iomgr: &Arc<Iomgr>) -> (TcpEndpoint, UnixStream) {
    let (ours, peer) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let endpoint = TcpEndpoint::new(iomgr, ours.into(), PeerAddress::InProcess).unwrap();
    watch(iomgr, endpoint.fd());
    (endpoint, peer)
}

/// Works the manager until `poll` is ready. The waker does nothing: an event ends the work.
fn drive<T>(iomgr: &Arc<Iomgr>, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    let (pollset, mut result) = (pollset(iomgr), None);
    work_until(iomgr, &pollset, || {
        match poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => result = Some(value),
            Poll::Pending => {}
        }
        result.is_some()
    });
    result.expect("the loop ends with a result")
}

/// Reads until the end of the stream.
fn read_to_end(iomgr: &Arc<Iomgr>, endpoint: &mut TcpEndpoint) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let count = drive(iomgr, |context| {
            endpoint.poll_fill(context).map_ok(|bytes| {
                all.extend_from_slice(bytes);
                bytes.len()
            })
        })?;
        if count == 0 {
            return Ok(all);
        }
        endpoint.consume(count);
    }
}

/// Bytes that tell where they belong.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index % 251) as u8).collect()
}

fn small_writes_are_gathered_until_the_flush(iomgr: &Arc<Iomgr>) {
    let (mut endpoint, mut peer) = endpoint(iomgr);
    let context = &mut Context::from_waker(Waker::noop());
    for part in [b"one ", b"two "] {
        let Poll::Ready(Ok(4)) = endpoint.poll_write(context, &[IoSlice::new(part)]) else {
            panic!("a small write always fits");
        };
    }
    peer.set_nonblocking(true).unwrap();
    let early = peer.read(&mut [0; 16]).unwrap_err();
    assert_eq!(early.kind(), io::ErrorKind::WouldBlock, "nothing leaves before the flush");
    assert!(matches!(endpoint.poll_flush(context), Poll::Ready(Ok(()))));
    let mut bytes = [0; 16];
    assert_eq!(peer.read(&mut bytes).unwrap(), 8);
    assert_eq!(&bytes[..8], b"one two ");
}

fn bytes_and_the_end_in_one_event_are_both_seen(iomgr: &Arc<Iomgr>) {
    let (mut endpoint, mut peer) = endpoint(iomgr);
    peer.write_all(b"last words").unwrap();
    drop(peer);
    assert_eq!(read_to_end(iomgr, &mut endpoint).unwrap(), b"last words");
}

/// An endpoint over TCP, and the socket at its other end.
fn tcp_endpoint(iomgr: &Arc<Iomgr>) -> (TcpEndpoint, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, address) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    let endpoint = TcpEndpoint::new(iomgr, ours.into(), PeerAddress::Tcp(address)).unwrap();
    watch(iomgr, endpoint.fd());
    (endpoint, peer)
}

fn the_end_of_a_tcp_stream_is_seen_with_its_last_bytes_and_after_them(iomgr: &Arc<Iomgr>) {
    for ends_early in [true, false] {
        let (mut endpoint, mut peer) = tcp_endpoint(iomgr);
        peer.write_all(b"last words").unwrap();
        let mut peer = Some(peer).filter(|_| !ends_early);
        let fill = |context: &mut Context<'_>| endpoint.poll_fill(context).map_ok(<[u8]>::len);
        let count = drive(iomgr, fill).unwrap();
        endpoint.consume(count);
        assert_eq!(count, b"last words".len());
        if peer.is_some() {
            // Nothing comes, so that it waits for an event.
            let context = &mut Context::from_waker(Waker::noop());
            assert!(endpoint.poll_fill(context).is_pending());
        }
        drop(peer.take());
        assert_eq!(read_to_end(iomgr, &mut endpoint).unwrap(), b"");
    }
}

fn a_reset_behind_the_last_bytes_is_seen(iomgr: &Arc<Iomgr>) {
    let (mut endpoint, mut peer) = tcp_endpoint(iomgr);
    let context = &mut Context::from_waker(Waker::noop());
    assert!(endpoint.poll_write(context, &[IoSlice::new(b"unread")]).is_ready());
    assert!(endpoint.poll_flush(context).is_ready());
    assert_eq!(peer.peek(&mut [0; 16]).unwrap(), 6);
    peer.write_all(b"last words").unwrap();
    // Who closes without having read resets the connection.
    drop(peer);
    let error = read_to_end(iomgr, &mut endpoint).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

fn what_is_not_consumed_comes_again(iomgr: &Arc<Iomgr>) {
    let (mut endpoint, mut peer) = endpoint(iomgr);
    peer.write_all(b"abc").unwrap();
    let fill = |endpoint: &mut TcpEndpoint| {
        drive(iomgr, |context| endpoint.poll_fill(context).map_ok(<[u8]>::to_vec)).unwrap()
    };
    assert_eq!(fill(&mut endpoint), b"abc");
    endpoint.consume(1);
    assert_eq!(fill(&mut endpoint), b"bc");
}

fn megabytes_arrive_whole_in_both_directions(iomgr: &Arc<Iomgr>) {
    let (mut endpoint, mut peer) = endpoint(iomgr);
    let sent = pattern(4 << 20);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut peer = peer.try_clone().unwrap();
            let mut all = Vec::new();
            peer.read_to_end(&mut all).unwrap();
            all
        });
        // Parts of every size, so that some are gathered, some are not, and most are partial.
        let mut rest = &sent[..];
        while !rest.is_empty() {
            let part = &rest[..rest.len().min(1 + rest.len() % 70_000)];
            let (head, tail) = part.split_at(part.len() / 3);
            let slices = [IoSlice::new(head), IoSlice::new(tail)];
            let count = drive(iomgr, |context| endpoint.poll_write(context, &slices)).unwrap();
            rest = &rest[count..];
        }
        drive(iomgr, |context| endpoint.poll_shutdown(context)).unwrap();
        assert!(reader.join().unwrap() == sent, "what came out differs");
    });
    thread::scope(|scope| {
        scope.spawn(|| {
            peer.write_all(&sent).unwrap();
            peer.shutdown(Shutdown::Write).unwrap();
        });
        assert!(read_to_end(iomgr, &mut endpoint).unwrap() == sent, "what came in differs");
    });
}

fn a_peer_that_goes_away_ends_a_blocked_write_with_an_error(iomgr: &Arc<Iomgr>) {
    let (mut endpoint, peer) = endpoint(iomgr);
    let block = pattern(1 << 20);
    let context = &mut Context::from_waker(Waker::noop());
    while endpoint.poll_write(context, &[IoSlice::new(&block)]).is_ready() {}
    drop(peer);
    let result = drive(iomgr, |context| endpoint.poll_write(context, &[IoSlice::new(&block)]));
    assert_eq!(result.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}

/// Or a client could fill this process with open files.
fn descriptors_that_a_peer_passes_are_not_taken(iomgr: &Arc<Iomgr>) {
    let (mut endpoint, peer) = endpoint(iomgr);
    let (passed, mut other_end) = UnixStream::pair().unwrap();
    pass_descriptor(peer.as_fd(), passed.as_fd()).unwrap();
    drop((passed, peer));
    assert_eq!(read_to_end(iomgr, &mut endpoint).unwrap(), [0]);
    // A process that another test has just forked may have a copy until it execs.
    other_end.set_read_timeout(Some(PATIENCE)).unwrap();
    let end = other_end.read(&mut [0]).expect("somebody holds on to what was passed");
    assert_eq!(end, 0);
}
