//! Connections that are made: to addresses of every family, in time or not at all.

use super::{PATIENCE, work_until};
use crate::iomgr::deadline::Deadline;
use crate::iomgr::endpoint::{Endpoint, PeerAddress};
use crate::iomgr::posix::address::ListenAddress;
use crate::iomgr::posix::fd::Fd;
use crate::iomgr::posix::manager::Iomgr;
use crate::iomgr::posix::pollset::Pollset;
use crate::iomgr::posix::pollset_set::PollsetSet;
use crate::iomgr::posix::sys;
use crate::iomgr::posix::tcp_client::{Attempt, Connect};
use crate::testing::CountingWaker;
use std::io::{self, IoSlice, Read};
use std::net::{TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use std::{env, fs};

on_every_engine! {
    every_family_of_addresses_is_connected_to,
    addresses_are_tried_in_turn_and_each_failure_is_told,
    a_server_that_does_not_answer_is_given_up_at_the_deadline,
    a_connect_that_is_dropped_leaves_nothing_behind,
    a_full_unix_socket_is_tried_again_until_there_is_room,
    a_socket_that_has_connected_to_itself_found_nobody,
}

/// What connects: a manager, and a pollset that waits for the fds of a set.
struct Client {
    iomgr: Arc<Iomgr>,
    set: Arc<PollsetSet>,
    pollset: Arc<Pollset>,
}

impl Client {
    fn new(iomgr: &Arc<Iomgr>) -> Self {
        let (set, pollset) = (Arc::new(PollsetSet::new(iomgr)), Pollset::new());
        set.add_pollset(&pollset).unwrap();
        Self { iomgr: iomgr.clone(), set, pollset }
    }

    fn begin(&self, addresses: Vec<ListenAddress>, deadline: Deadline) -> Connect {
        Connect::new(&self.iomgr, Some(&self.set), addresses, deadline)
    }

    /// Works the pollset until the connect has ended.
    fn finish(&self, mut connect: Connect) -> io::Result<Box<dyn Endpoint>> {
        let (waker, mut seen, mut ended) = (CountingWaker::new(), 0, None);
        let mut poll = || Pin::new(&mut connect).poll(&mut Context::from_waker(&waker.waker()));
        if let Poll::Ready(result) = poll() {
            return result;
        }
        work_until(&self.iomgr, &self.pollset, || {
            // Only a waker says that it is worth while.
            if waker.count() > seen {
                seen = waker.count();
                ended = match poll() {
                    Poll::Ready(result) => Some(result),
                    Poll::Pending => None,
                };
            }
            ended.is_some()
        });
        ended.expect("it has ended")
    }

    fn connect(&self, to: ListenAddress) -> io::Result<Box<dyn Endpoint>> {
        self.finish(self.begin(vec![to], Deadline::after(PATIENCE)))
    }

    fn write(&self, endpoint: &mut dyn Endpoint, bytes: &[u8]) {
        let waker = CountingWaker::new();
        let waker = waker.waker();
        let context = &mut Context::from_waker(&waker);
        let written = endpoint.poll_write(context, &[IoSlice::new(bytes)]);
        assert!(matches!(written, Poll::Ready(Ok(count)) if count == bytes.len()));
        assert!(matches!(endpoint.poll_flush(context), Poll::Ready(Ok(()))));
    }
}

/// The error's text; an endpoint has no `Debug`.
fn failure(result: io::Result<Box<dyn Endpoint>>) -> io::Error {
    result.err().expect("nobody is there")
}

fn tcp(address: &str) -> (TcpListener, ListenAddress) {
    let listener = TcpListener::bind(address).unwrap();
    let address = ListenAddress::Tcp(listener.local_addr().unwrap());
    (listener, address)
}

/// A path for a socket, which nobody else uses.
fn free_path() -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    env::temp_dir().join(format!("turnstile-connects-{}-{count}", std::process::id()))
}

/// A port at which nobody listens.
fn closed_port() -> ListenAddress {
    tcp("127.0.0.1:0").1
}

/// A listener whose queue is full, so that the kernel answers nobody, and those who wait in it.
fn full() -> (TcpListener, ListenAddress, Vec<TcpStream>) {
    let (listener, address) = tcp("127.0.0.1:0");
    sys::listen(&listener, 0).unwrap();
    let ListenAddress::Tcp(ip) = &address else { unreachable!() };
    let connect = || TcpStream::connect_timeout(ip, Duration::from_millis(100)).ok();
    let waiting = std::iter::from_fn(connect).collect();
    (listener, address, waiting)
}

fn every_family_of_addresses_is_connected_to(iomgr: &Arc<Iomgr>) {
    let client = Client::new(iomgr);
    for ip in ["127.0.0.1:0", "[::1]:0"] {
        let (listener, address) = tcp(ip);
        let mut endpoint = client.connect(address.clone()).unwrap();
        let ListenAddress::Tcp(ip) = address else { unreachable!() };
        assert_eq!(*endpoint.peer(), PeerAddress::Tcp(ip));
        client.write(&mut *endpoint, b"x");
        let (mut accepted, _) = listener.accept().unwrap();
        assert_eq!(accepted.read(&mut [0; 8]).unwrap(), 1);
    }
    let path = free_path();
    let listener = UnixListener::bind(&path).unwrap();
    let endpoint = client.connect(ListenAddress::Unix(path.clone())).unwrap();
    let PeerAddress::Unix(peer) = endpoint.peer() else { panic!("{}", endpoint.peer()) };
    assert_eq!(peer.path(), path);
    assert_eq!(peer.credentials().unwrap().pid, Some(std::process::id()));
    drop(listener);
    fs::remove_file(path).unwrap();
    let name = format!("turnstile-connects-{}-{}", std::process::id(), iomgr.engine_name());
    let address = UnixAddress::from_abstract_name(&name).unwrap();
    let _listener = UnixListener::bind_addr(&address).unwrap();
    let endpoint = client.connect(ListenAddress::Abstract(name.into_bytes())).unwrap();
    assert!(endpoint.peer().to_string().starts_with("unix:@turnstile-connects-"));
}

fn addresses_are_tried_in_turn_and_each_failure_is_told(iomgr: &Arc<Iomgr>) {
    let client = Client::new(iomgr);
    let (listener, good) = tcp("127.0.0.1:0");
    let nowhere = ListenAddress::Unix("/nowhere/socket".into());
    let soon = Deadline::after(PATIENCE);
    let connect = client.begin(vec![closed_port(), nowhere.clone(), good], soon);
    client.finish(connect).expect("the third answers");
    drop(listener);
    let closed = closed_port();
    let error = failure(client.finish(client.begin(vec![closed.clone(), nowhere], soon)));
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    let text = error.to_string();
    let expected = format!(
        "cannot connect to {closed}: Connection refused (os error 111); \
             unix:/nowhere/socket: No such file or directory (os error 2)"
    );
    assert_eq!(text, expected);
    let error = failure(client.finish(client.begin(Vec::new(), soon)));
    assert_eq!(error.to_string(), "there is no address to connect to");
}

fn a_server_that_does_not_answer_is_given_up_at_the_deadline(iomgr: &Arc<Iomgr>) {
    let client = Client::new(iomgr);
    let (_listener, address, _waiting) = full();
    let deadline = Instant::now() + Duration::from_millis(20);
    let other = closed_port();
    let connect = client.begin(vec![address.clone(), other], deadline.into());
    let error = failure(client.finish(connect));
    assert!(Instant::now() >= deadline, "too early");
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(error.to_string(), format!("cannot connect to {address}: no answer in time"));
}

fn a_connect_that_is_dropped_leaves_nothing_behind(iomgr: &Arc<Iomgr>) {
    let client = Client::new(iomgr);
    let (_listener, address, waiting) = full();
    let mut connect = client.begin(vec![address], Deadline::after(PATIENCE));
    let context = &mut Context::from_waker(std::task::Waker::noop());
    assert!(Pin::new(&mut connect).poll(context).is_pending());
    drop(connect);
    assert_eq!(client.iomgr.counts(), (0, 0), "fds and timers");
    drop(waiting);
}

fn a_full_unix_socket_is_tried_again_until_there_is_room(iomgr: &Arc<Iomgr>) {
    let client = Client::new(iomgr);
    let path = free_path();
    let listener = UnixListener::bind(&path).unwrap();
    sys::listen(&listener, 0).unwrap();
    let address = ListenAddress::Unix(path.clone());
    let _first = client.connect(address.clone()).unwrap();
    let brief = Deadline::after(Duration::from_millis(10));
    let error = failure(client.finish(client.begin(vec![address.clone()], brief)));
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    let mut second = client.begin(vec![address], Deadline::after(PATIENCE));
    let context = &mut Context::from_waker(std::task::Waker::noop());
    assert!(Pin::new(&mut second).poll(context).is_pending());
    listener.accept().unwrap();
    client.finish(second).expect("there is room now");
    fs::remove_file(path).unwrap();
}

fn a_socket_that_has_connected_to_itself_found_nobody(iomgr: &Arc<Iomgr>) {
    // By its address, and by the one that stands for this machine.
    for ip in [[127, 0, 0, 1], [0; 4]] {
        let (socket, mut address) = sys::connected_to_itself().unwrap();
        address.set_ip(ip.into());
        let fd = Fd::new(iomgr, socket).unwrap();
        let error = failure(Attempt::new(ListenAddress::Tcp(address), None).finish(fd));
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
