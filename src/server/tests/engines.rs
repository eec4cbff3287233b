//! Faults of polling engines that show in calls, on every engine: see `iomgr::posix::tests::conformance`.

use super::{Client, Frame, Queue, frames_of, reply, server_on, work};
use crate::call::{Batch, Call};
use crate::iomgr::{Deadline, Iomgr, Sleepers, on_every_engine};
use crate::server::Server;
use crate::status::Status;
use crate::testing::PATIENCE;
use crate::testing::http2::{HEADERS, RST_STREAM, frame, greeting, open_request, request};
use std::sync::{Arc, mpsc};
use std::thread;

on_every_engine! {
    a_cancel_reaches_the_thread_that_waits_in_the_calls_queue,
    a_handler_that_blocks_holds_up_no_call_of_another_queue,
    a_queue_is_destroyed_while_its_call_lives,
}

fn patience() -> Deadline {
    Deadline::after(PATIENCE)
}

/// A client that has been greeted, each of whose writes comes to be read before the next.
fn greeted(server: &Server, queue: &Queue) -> Client {
    let client = Client::connect(server);
    client.send(&greeting());
    work(queue);
    client
}

/// A client's call that has not ended, on a queue of its own.
fn call_on(
    server: &Server,
    notified: &Queue,
    queue: &Queue,
    client: &Client,
    id: u32,
) -> Call<u32> {
    server.request_call_on(queue, notified, 0).unwrap();
    client.send(&open_request(id));
    notified.next(patience()).unwrap().take_call().expect("the client has called")
}

/// grpc#21227. One thread waits for the end of the call, and nobody else polls.
fn a_cancel_reaches_the_thread_that_waits_in_the_calls_queue(iomgr: &Arc<Iomgr>) {
    let (server, notified) = server_on(iomgr.clone());
    let client = greeted(&server, &notified);
    let by_server: fn(&Call<u32>, &Client, u32) =
        |call, _, _| call.cancel(Status::aborted("the server"));
    let by_client: fn(&Call<u32>, &Client, u32) =
        |_, client, id| client.send(&frame(RST_STREAM, 0, id, &8_u32.to_be_bytes()));
    for (id, cancel) in [(1, by_server), (3, by_client)] {
        let (queue, sleepers) = (Queue::on(iomgr.clone()), Sleepers::default());
        let call = call_on(&server, &notified, &queue, &client, id);
        call.start(Batch::new().receive_close(), 7).unwrap();
        thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                sleepers.add_this_thread();
                let event = queue.next(patience()).expect("the cancel was lost");
                (event.tag, event.is_cancelled())
            });
            sleepers.wait_for(iomgr, 1);
            cancel(&call, &client, id);
            assert_eq!(waiter.join().unwrap(), (7, true));
        });
    }
}

/// grpc#14170 and grpc#27089. Two threads wait, each for its queue; one gets a call and does not come
/// back, whichever has polled.
fn a_handler_that_blocks_holds_up_no_call_of_another_queue(iomgr: &Arc<Iomgr>) {
    let (server, other) = server_on(iomgr.clone());
    let blocked = Queue::on(iomgr.clone());
    let (first, second) = (Client::connect(&server), Client::connect(&server));
    server.request_call(&blocked, 1).unwrap();
    server.request_call(&other, 2).unwrap();
    let (sleepers, (begin, begins)) = (Sleepers::default(), mpsc::channel());
    let (let_go, go_on) = mpsc::channel::<()>();
    let (blocked, other) = (&blocked, &other);
    thread::scope(|scope| {
        let sleepers = &sleepers;
        scope.spawn(move || {
            sleepers.add_this_thread();
            let event = blocked.next(patience()).expect("its call is lost");
            begin.send(event.tag).unwrap();
            // The handler.
            go_on.recv_timeout(PATIENCE).expect("the test lets it go on");
        });
        let serves = scope.spawn(|| {
            sleepers.add_this_thread();
            for id in [1, 3, 5, 7] {
                let mut event = other.next(patience()).expect("a call is held up");
                assert_eq!(event.tag, 2);
                server.request_call(other, 2).unwrap();
                let call = event.take_call().unwrap();
                call.start(reply(), 3).unwrap();
                assert_eq!(other.next(patience()).expect("a reply is held up").tag, 3);
                // Calls of both connections, one of which has the call that is held.
                if id < 7 {
                    [&first, &second][usize::from(id < 5)].send(&request(id + 2));
                }
            }
        });
        sleepers.wait_for(iomgr, 2);
        // Both call at once: one thread may find both.
        for client in [&first, &second] {
            client.send(&[greeting(), request(1)].concat());
        }
        assert_eq!(begins.recv_timeout(PATIENCE), Ok(1));
        serves.join().unwrap();
        let_go.send(()).unwrap();
    });
}

/// The operations that are pending go with the queue, and the call ends as its owner says.
fn a_queue_is_destroyed_while_its_call_lives(iomgr: &Arc<Iomgr>) {
    let (server, notified) = server_on(iomgr.clone());
    let client = greeted(&server, &notified);
    let queue = Queue::on(iomgr.clone());
    let call = call_on(&server, &notified, &queue, &client, 1);
    call.start(Batch::new().receive_close(), 7).unwrap();
    assert!(queue.next(Deadline::NOW).is_none());
    drop(queue);
    assert!(call.start(reply(), 8).is_err(), "there is nowhere to tell of it");
    client.writes();
    call.cancel(Status::aborted("enough"));
    assert!(frames_of(&client).iter().any(Frame::ends_stream), "the client is told");
    // The connection serves on.
    let queue = Queue::on(iomgr.clone());
    let next = call_on(&server, &notified, &queue, &client, 3);
    next.start(reply(), 9).unwrap();
    assert_eq!(queue.next(patience()).expect("it is sent").tag, 9);
    drop(call);
    assert!(frames_of(&client).iter().any(|it| it.kind == HEADERS && it.stream == 3));
}
