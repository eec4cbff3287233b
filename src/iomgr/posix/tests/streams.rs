//! Endpoints and listeners.

use super::{PATIENCE, iomgr, pollset, watch, work_until};
use crate::iomgr::endpoint::{Endpoint, PeerAddress};
use crate::iomgr::posix::address::ListenAddress;
use crate::iomgr::posix::bound::Bound;
use crate::iomgr::posix::manager::Iomgr;
use crate::iomgr::posix::pollset_set::PollsetSet;
use crate::iomgr::posix::sys;
use crate::iomgr::posix::tcp_endpoint::TcpEndpoint;
use crate::iomgr::posix::tcp_listener::{AcceptHandler, TcpListener};
use std::io::{IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};
use std::{env, fs, io, process, thread};

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

#[test]
fn small_writes_are_gathered_until_the_flush() {
    let iomgr = iomgr();
    let (mut endpoint, mut peer) = endpoint(&iomgr);
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

#[test]
fn bytes_and_the_end_in_one_event_are_both_seen() {
    let iomgr = iomgr();
    let (mut endpoint, mut peer) = endpoint(&iomgr);
    peer.write_all(b"last words").unwrap();
    drop(peer);
    assert_eq!(read_to_end(&iomgr, &mut endpoint).unwrap(), b"last words");
}

/// The same over TCP.
fn tcp_endpoint(iomgr: &Arc<Iomgr>) -> (TcpEndpoint, TcpStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, address) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    let endpoint = TcpEndpoint::new(iomgr, ours.into(), PeerAddress::Tcp(address)).unwrap();
    watch(iomgr, endpoint.fd());
    (endpoint, peer)
}

#[test]
fn the_end_of_a_tcp_stream_is_seen_with_its_last_bytes_and_after_them() {
    for ends_early in [true, false] {
        let iomgr = iomgr();
        let (mut endpoint, mut peer) = tcp_endpoint(&iomgr);
        peer.write_all(b"last words").unwrap();
        let mut peer = Some(peer).filter(|_| !ends_early);
        let fill = |context: &mut Context<'_>| endpoint.poll_fill(context).map_ok(<[u8]>::len);
        let count = drive(&iomgr, fill).unwrap();
        endpoint.consume(count);
        assert_eq!(count, b"last words".len());
        if peer.is_some() {
            // Nothing comes, so that it waits for an event.
            let context = &mut Context::from_waker(Waker::noop());
            assert!(endpoint.poll_fill(context).is_pending());
        }
        drop(peer.take());
        assert_eq!(read_to_end(&iomgr, &mut endpoint).unwrap(), b"");
    }
}

#[test]
fn a_reset_behind_the_last_bytes_is_seen() {
    let iomgr = iomgr();
    let (mut endpoint, mut peer) = tcp_endpoint(&iomgr);
    let context = &mut Context::from_waker(Waker::noop());
    assert!(endpoint.poll_write(context, &[IoSlice::new(b"unread")]).is_ready());
    assert!(endpoint.poll_flush(context).is_ready());
    assert_eq!(peer.peek(&mut [0; 16]).unwrap(), 6);
    peer.write_all(b"last words").unwrap();
    // Who closes without having read resets the connection.
    drop(peer);
    let error = read_to_end(&iomgr, &mut endpoint).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[test]
fn what_is_not_consumed_comes_again() {
    let iomgr = iomgr();
    let (mut endpoint, mut peer) = endpoint(&iomgr);
    peer.write_all(b"abc").unwrap();
    let fill = |endpoint: &mut TcpEndpoint| {
        drive(&iomgr, |context| endpoint.poll_fill(context).map_ok(<[u8]>::to_vec)).unwrap()
    };
    assert_eq!(fill(&mut endpoint), b"abc");
    endpoint.consume(1);
    assert_eq!(fill(&mut endpoint), b"bc");
}

#[test]
fn megabytes_arrive_whole_in_both_directions() {
    let iomgr = iomgr();
    let (mut endpoint, mut peer) = endpoint(&iomgr);
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
            let count = drive(&iomgr, |context| endpoint.poll_write(context, &slices)).unwrap();
            rest = &rest[count..];
        }
        drive(&iomgr, |context| endpoint.poll_shutdown(context)).unwrap();
        assert!(reader.join().unwrap() == sent, "what came out differs");
    });
    thread::scope(|scope| {
        scope.spawn(|| {
            peer.write_all(&sent).unwrap();
            peer.shutdown(Shutdown::Write).unwrap();
        });
        assert!(read_to_end(&iomgr, &mut endpoint).unwrap() == sent, "what came in differs");
    });
}

#[test]
fn a_peer_that_goes_away_ends_a_blocked_write_with_an_error() {
    let iomgr = iomgr();
    let (mut endpoint, peer) = endpoint(&iomgr);
    let block = pattern(1 << 20);
    let context = &mut Context::from_waker(Waker::noop());
    while endpoint.poll_write(context, &[IoSlice::new(&block)]).is_ready() {}
    drop(peer);
    let result = drive(&iomgr, |context| endpoint.poll_write(context, &[IoSlice::new(&block)]));
    assert_eq!(result.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}

type Accepted = mpsc::Receiver<Box<dyn Endpoint>>;

/// Hands accepted connections to the test.
struct Accepts(mpsc::Sender<Box<dyn Endpoint>>);

impl AcceptHandler for Accepts {
    fn on_connection(self: Arc<Self>, endpoint: Box<dyn Endpoint>) {
        let _ = self.0.send(endpoint);
    }
}

fn listen(iomgr: &Arc<Iomgr>, address: &ListenAddress) -> io::Result<(Arc<TcpListener>, Accepted)> {
    let (sender, accepted) = mpsc::channel();
    let socket = Bound::new(iomgr, address, Default::default())?;
    let set = Arc::new(PollsetSet::everybody(iomgr));
    socket.add_to(&set)?;
    Ok((TcpListener::new(iomgr, &set, socket, Arc::new(Accepts(sender))), accepted))
}

fn any_port() -> ListenAddress {
    ListenAddress::Tcp("127.0.0.1:0".parse().unwrap())
}

/// A path for one test's socket.
fn socket_path(name: &str) -> PathBuf {
    env::temp_dir().join(format!("turnstile-{}-{name}", process::id()))
}

#[test]
fn a_listener_takes_everything_that_waits() {
    let iomgr = iomgr();
    let (listener, accepted) = listen(&iomgr, &any_port()).unwrap();
    let ListenAddress::Tcp(address) = *listener.address() else { panic!("it is TCP") };
    listener.start();
    // More than one run takes.
    let clients: Vec<_> = (0..100).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut endpoints: Vec<Box<dyn Endpoint>> = Vec::new();
    work_until(&iomgr, &pollset(&iomgr), || {
        endpoints.extend(accepted.try_iter());
        endpoints.len() == clients.len()
    });
    let mut addresses: Vec<_> =
        clients.iter().map(|client| PeerAddress::Tcp(client.local_addr().unwrap())).collect();
    addresses.retain(|address| !endpoints.iter().any(|endpoint| endpoint.peer() == address));
    assert!(addresses.is_empty(), "{addresses:?} were not accepted");
    listener.close();
}

#[test]
fn a_closed_listener_refuses_and_is_let_go() {
    let iomgr = iomgr();
    let (listener, accepted) = listen(&iomgr, &any_port()).unwrap();
    let ListenAddress::Tcp(address) = *listener.address() else { panic!("it is TCP") };
    listener.start();
    // Once it has accepted, it is armed.
    let (_client, pollset) = (TcpStream::connect(address).unwrap(), pollset(&iomgr));
    work_until(&iomgr, &pollset, || accepted.try_recv().is_ok());
    listener.close();
    listener.close();
    let refused = TcpStream::connect(address).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    let weak = Arc::downgrade(&listener);
    drop(listener);
    // What the close scheduled still holds it.
    work_until(&iomgr, &pollset, || weak.strong_count() == 0);
}

#[test]
fn a_socket_that_a_dead_process_left_is_replaced_and_removed_at_close() {
    let (iomgr, path) = (iomgr(), socket_path("stale"));
    drop(UnixListener::bind(&path).unwrap());
    let (listener, accepted) = listen(&iomgr, &ListenAddress::Unix(path.clone())).unwrap();
    listener.start();
    let _client = UnixStream::connect(&path).unwrap();
    work_until(&iomgr, &pollset(&iomgr), || accepted.try_recv().is_ok());
    listener.close();
    assert!(!path.exists());
}

#[test]
fn a_path_is_in_use_if_the_process_that_listens_there_does_not_accept() {
    let path = socket_path("full");
    let busy = UnixListener::bind(&path).unwrap();
    // With one client that waits the queue is full, and std's connect would wait too.
    sys::listen(&busy, 0).unwrap();
    let _client = UnixStream::connect(&path).unwrap();
    let (sender, bound) = mpsc::channel();
    let address = ListenAddress::Unix(path.clone());
    thread::spawn(move || sender.send(Bound::new(&iomgr(), &address, Default::default()).err()));
    let error = bound.recv_timeout(PATIENCE).expect("it does not wait for the other process");
    assert_eq!(error.expect("the path is in use").kind(), io::ErrorKind::AddrInUse);
    assert!(path.exists(), "it is the other process's");
    fs::remove_file(&path).unwrap();
}

#[test]
fn a_client_of_a_unix_socket_is_known_by_its_socket_and_its_credentials() {
    let path = socket_path("credentials");
    let name = format!("turnstile-{}-credentials", process::id());
    let me = fs::metadata("/proc/self").unwrap();
    let address = |text: &str| ListenAddress::resolve(text).unwrap().remove(0);
    let cases = [
        (format!("unix:{}", path.display()), path.clone(), UnixAddress::from_pathname(&path)),
        (
            format!("unix-abstract:{name}"),
            PathBuf::from(format!("@{name}")),
            UnixAddress::from_abstract_name(&name),
        ),
    ];
    for (text, expected, connect_to) in cases {
        let iomgr = iomgr();
        let (listener, accepted) = listen(&iomgr, &address(&text)).unwrap();
        listener.start();
        let _client = UnixStream::connect_addr(&connect_to.unwrap()).unwrap();
        let mut endpoint = None;
        work_until(&iomgr, &pollset(&iomgr), || {
            endpoint = accepted.try_recv().ok();
            endpoint.is_some()
        });
        let endpoint = endpoint.unwrap();
        let PeerAddress::Unix(peer) = endpoint.peer() else { panic!("{:?}", endpoint.peer()) };
        assert_eq!(peer.path(), expected);
        let who = peer.credentials().unwrap();
        assert_eq!((who.pid, who.uid, who.gid), (Some(process::id()), me.uid(), me.gid()));
        assert_eq!(endpoint.peer().to_string(), format!("unix:{}", expected.display()));
        listener.close();
    }
}

#[test]
fn a_socket_that_somebody_listens_on_is_left_alone() {
    let (iomgr, path) = (iomgr(), socket_path("live"));
    let _live = UnixListener::bind(&path).unwrap();
    let error = listen(&iomgr, &ListenAddress::Unix(path.clone())).err().expect("it is in use");
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    UnixStream::connect(&path).unwrap();
    fs::remove_file(&path).unwrap();
}
