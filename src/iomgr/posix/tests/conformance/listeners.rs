//! Listeners, and whose sockets they are.

use super::{PATIENCE, pollset, work_until};
use crate::iomgr::endpoint::{Endpoint, PeerAddress};
use crate::iomgr::posix::address::ListenAddress;
use crate::iomgr::posix::bound::Bound;
use crate::iomgr::posix::manager::Iomgr;
use crate::iomgr::posix::pollset_set::PollsetSet;
use crate::iomgr::posix::sys;
use crate::iomgr::posix::tcp_listener::{AcceptHandler, TcpListener};
use std::net::TcpStream;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::{env, fs, io, process, thread};

on_every_engine! {
    a_listener_takes_everything_that_waits,
    a_closed_listener_refuses_and_is_let_go,
    a_socket_that_a_dead_process_left_is_replaced_and_removed_at_close,
    a_path_is_in_use_if_the_process_that_listens_there_does_not_accept,
    a_client_of_a_unix_socket_is_known_by_its_socket_and_its_credentials,
    a_socket_that_somebody_listens_on_is_left_alone,
}

type Accepted = mpsc::Receiver<Box<dyn Endpoint>>;

/// Hands accepted connections to the test.
struct Accepts(mpsc::Sender<Box<dyn Endpoint>>);

impl AcceptHandler for Accepts {
    fn on_connection(self: Arc<Self>, endpoint: Box<dyn Endpoint>) {
        let _ = self.0.send(endpoint);
    }
}

/// A listener in the set of everybody, and what it accepts.
fn listen(iomgr: &Arc<Iomgr>, address: &ListenAddress) -> io::Result<(Arc<TcpListener>, Accepted)> {
    let set = Arc::new(PollsetSet::everybody(iomgr));
    listen_in(iomgr, &set, address)
}

/// One in any set, whose connections are in any other.
pub(super) fn listen_in(
    iomgr: &Arc<Iomgr>,
    set: &Arc<PollsetSet>,
    address: &ListenAddress,
) -> io::Result<(Arc<TcpListener>, Accepted)> {
    let (sender, accepted) = mpsc::channel();
    let socket = Bound::new(iomgr, address, Default::default())?;
    socket.add_to(set)?;
    Ok((TcpListener::new(iomgr, set, socket, Arc::new(Accepts(sender))), accepted))
}

pub(super) fn any_port() -> ListenAddress {
    ListenAddress::Tcp("127.0.0.1:0".parse().unwrap())
}

/// A path for one test's socket.
fn socket_path(iomgr: &Iomgr, name: &str) -> PathBuf {
    env::temp_dir().join(format!("turnstile-{}-{}-{name}", process::id(), iomgr.engine_name()))
}

fn a_listener_takes_everything_that_waits(iomgr: &Arc<Iomgr>) {
    let (listener, accepted) = listen(iomgr, &any_port()).unwrap();
    let ListenAddress::Tcp(address) = *listener.address() else { panic!("it is TCP") };
    listener.start();
    // More than one run takes.
    let clients: Vec<_> = (0..100).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut endpoints: Vec<Box<dyn Endpoint>> = Vec::new();
    work_until(iomgr, &pollset(iomgr), || {
        endpoints.extend(accepted.try_iter());
        endpoints.len() == clients.len()
    });
    let mut addresses: Vec<_> =
        clients.iter().map(|client| PeerAddress::Tcp(client.local_addr().unwrap())).collect();
    addresses.retain(|address| !endpoints.iter().any(|endpoint| endpoint.peer() == address));
    assert!(addresses.is_empty(), "{addresses:?} were not accepted");
    listener.close();
}

fn a_closed_listener_refuses_and_is_let_go(iomgr: &Arc<Iomgr>) {
    let (listener, accepted) = listen(iomgr, &any_port()).unwrap();
    let ListenAddress::Tcp(address) = *listener.address() else { panic!("it is TCP") };
    listener.start();
    // Once it has accepted, it is armed.
    let (_client, pollset) = (TcpStream::connect(address).unwrap(), pollset(iomgr));
    work_until(iomgr, &pollset, || accepted.try_recv().is_ok());
    listener.close();
    listener.close();
    let refused = TcpStream::connect(address).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    let weak = Arc::downgrade(&listener);
    drop(listener);
    // What the close scheduled still holds it.
    work_until(iomgr, &pollset, || weak.strong_count() == 0);
}

fn a_socket_that_a_dead_process_left_is_replaced_and_removed_at_close(iomgr: &Arc<Iomgr>) {
    let path = socket_path(iomgr, "stale");
    drop(UnixListener::bind(&path).unwrap());
    let (listener, accepted) = listen(iomgr, &ListenAddress::Unix(path.clone())).unwrap();
    listener.start();
    let _client = UnixStream::connect(&path).unwrap();
    work_until(iomgr, &pollset(iomgr), || accepted.try_recv().is_ok());
    listener.close();
    assert!(!path.exists());
}

fn a_path_is_in_use_if_the_process_that_listens_there_does_not_accept(iomgr: &Arc<Iomgr>) {
    let path = socket_path(iomgr, "full");
    let busy = UnixListener::bind(&path).unwrap();
    // With one client that waits the queue is full, and std's connect would wait too.
    sys::listen(&busy, 0).unwrap();
    let _client = UnixStream::connect(&path).unwrap();
    let (sender, bound) = mpsc::channel();
    let address = ListenAddress::Unix(path.clone());
    let iomgr = iomgr.clone();
    thread::spawn(move || sender.send(Bound::new(&iomgr, &address, Default::default()).err()));
    let error = bound.recv_timeout(PATIENCE).expect("it does not wait for the other process");
    assert_eq!(error.expect("the path is in use").kind(), io::ErrorKind::AddrInUse);
    assert!(path.exists(), "it is the other process's");
    fs::remove_file(&path).unwrap();
}

fn a_client_of_a_unix_socket_is_known_by_its_socket_and_its_credentials(iomgr: &Arc<Iomgr>) {
    let path = socket_path(iomgr, "credentials");
    let name = format!("turnstile-{}-{}-credentials", process::id(), iomgr.engine_name());
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
        let (listener, accepted) = listen(iomgr, &address(&text)).unwrap();
        listener.start();
        let _client = UnixStream::connect_addr(&connect_to.unwrap()).unwrap();
        let mut endpoint = None;
        work_until(iomgr, &pollset(iomgr), || {
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

fn a_socket_that_somebody_listens_on_is_left_alone(iomgr: &Arc<Iomgr>) {
    let path = socket_path(iomgr, "live");
    let _live = UnixListener::bind(&path).unwrap();
    let error = listen(iomgr, &ListenAddress::Unix(path.clone())).err().expect("it is in use");
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    UnixStream::connect(&path).unwrap();
    fs::remove_file(&path).unwrap();
}
