//! What is counted, and found.

use super::{CallCounts, Channelz, ServerMonitor, Socket, StreamMonitor};
use crate::iomgr::{ListenAddress, PeerAddress};
use crate::status::Code;
use std::sync::Arc;
use std::time::SystemTime;

fn server(channelz: &Channelz) -> Arc<ServerMonitor> {
    let server = channelz.monitor();
    server.enter(&[ListenAddress::Unix("/a".into()), ListenAddress::Unix("/b".into())]);
    server
}

fn connect(server: &Arc<ServerMonitor>) -> Arc<Socket> {
    server.connect(None, PeerAddress::InProcess)
}

/// The ids of a page of servers.
fn servers(channelz: &Channelz, start: i64, max: usize) -> (Vec<i64>, bool) {
    let page = channelz.servers(start, max);
    (page.items.iter().map(|server| server.id()).collect(), page.is_last)
}

/// The ids of a page of connections.
fn sockets(server: &ServerMonitor, start: i64, max: usize) -> (Vec<i64>, bool) {
    let page = server.sockets(start, max);
    (page.items.iter().map(|socket| socket.id).collect(), page.is_last)
}

/// The numbers of calls, without the time.
fn calls(server: &ServerMonitor) -> (u64, u64, u64) {
    let CallCounts { started, succeeded, failed, .. } = server.calls();
    (started, succeeded, failed)
}

#[test]
fn servers_come_in_pages_in_the_order_of_their_ids() {
    let channelz = Channelz::new();
    assert_eq!(servers(&channelz, 0, 10), (vec![], true));
    let all = [server(&channelz), server(&channelz), server(&channelz)];
    let [a, b, c] = all.each_ref().map(|server| server.id());
    assert!(0 < a && a < b && b < c);
    assert_eq!(servers(&channelz, 0, 10), (vec![a, b, c], true));
    assert_eq!(servers(&channelz, 0, 3), (vec![a, b, c], true));
    assert_eq!(servers(&channelz, 0, 2), (vec![a, b], false));
    assert_eq!(servers(&channelz, a + 1, 1), (vec![b], false));
    assert_eq!(servers(&channelz, b + 1, 1), (vec![c], true));
    assert_eq!(servers(&channelz, c + 1, 1), (vec![], true));
    assert_eq!(servers(&channelz, i64::MAX, 1), (vec![], true));
}

#[test]
fn a_server_is_there_from_when_it_listens_until_it_is_gone() {
    let channelz = Channelz::new();
    let server = channelz.monitor();
    assert!(channelz.server(server.id()).is_none());
    server.enter(&[]);
    assert!(channelz.server(server.id()).is_some());
    server.leave();
    assert!(channelz.server(server.id()).is_none());
}

#[test]
fn every_id_is_of_one_thing() {
    let channelz = Channelz::new();
    let servers = [server(&channelz), server(&channelz)];
    let mut ids = Vec::new();
    let connections: Vec<_> = servers.iter().map(connect).collect();
    for server in &servers {
        ids.push(server.id());
        ids.extend(server.listeners().iter().map(|it| it.id));
        ids.extend(sockets(server, 0, 10).0);
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 2 * (1 + 2 + 1));
    drop(connections);
}

#[test]
fn a_stream_is_counted_at_its_start_and_once_at_its_end() {
    let server = server(&Channelz::new());
    let socket = connect(&server);
    let data = server.sockets(0, 1).items.remove(0);
    let before = SystemTime::now();
    let mut fine = StreamMonitor::start(Some(&socket));
    let mut wrong = StreamMonitor::start(Some(&socket));
    let broken = StreamMonitor::start(Some(&socket));
    assert_eq!(calls(&server), (3, 0, 0));
    fine.message_received();
    fine.message_sent();
    fine.message_sent();
    fine.ended(Code::Ok);
    wrong.ended(Code::NotFound);
    drop((fine, wrong, broken));
    assert_eq!(calls(&server), (3, 1, 2));
    let counts = data.counts();
    assert_eq!((counts.started, counts.messages_received, counts.messages_sent), (3, 1, 2));
    assert_eq!((counts.ended_with_ok, counts.ended_with_error, counts.broken), (1, 1, 1));
    let times = [counts.last_started, counts.last_received, counts.last_sent];
    assert!(times.iter().all(|time| time.is_some_and(|time| time >= before)), "{times:?}");
    assert_eq!(server.calls().last_started, counts.last_started);
}

#[test]
fn a_connection_that_is_gone_leaves_its_numbers_behind() {
    let server = server(&Channelz::new());
    let (first, second) = (connect(&server), connect(&server));
    StreamMonitor::start(Some(&first)).ended(Code::Ok);
    StreamMonitor::start(Some(&second)).ended(Code::Aborted);
    let before = server.calls();
    drop(first);
    assert_eq!(server.calls(), before);
    assert_eq!(sockets(&server, 0, 10).0.len(), 1);
    drop(second);
    assert_eq!(server.calls(), before);
    assert_eq!(sockets(&server, 0, 10), (vec![], true));
}

#[test]
fn a_closed_connection_counts_its_last_calls_but_is_not_to_be_found() {
    let server = server(&Channelz::new());
    let (open, closed) = (connect(&server), connect(&server));
    let ids = sockets(&server, 0, 10).0;
    let stream = StreamMonitor::start(Some(&closed));
    closed.close();
    drop(closed);
    assert_eq!(sockets(&server, 0, 10), (vec![ids[0]], true));
    assert!(server.socket(ids[1]).is_none() && server.socket(ids[0]).is_some());
    assert_eq!(calls(&server), (1, 0, 0));
    drop(stream);
    assert_eq!(calls(&server), (1, 0, 1));
    drop(open);
}

#[test]
fn nothing_is_counted_where_nobody_asks() {
    let mut stream = StreamMonitor::start(None);
    stream.message_received();
    stream.message_sent();
    stream.ended(Code::Ok);
    drop(stream);
    let server = server(&Channelz::new());
    assert_eq!(server.calls(), CallCounts::default());
}
