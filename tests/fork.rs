//! fork(2): before the first use it is nobody's concern, and after that a child is told what to do, and
//! cannot disturb its parent. Each test is a process of its own, with several threads.

mod raw;
mod support;
mod fork {
    pub(crate) mod children;
}

use std::os::unix::net::UnixStream;
use std::panic;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use std::{env, fs, process};

use fork::children::{Report, Side, fork, in_a_child, in_a_process_of_its_own, panic_or};
use raw::client::Client;
use raw::request::{Request, SAY_HELLO};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber, subscriber};
use turnstile::{
    Alarm, Batch, CallOptions, Channel, CompletionQueue, ConnectivityState, Deadline, Server,
    Status, block_on, engine_name, service,
};
use turnstile::{CallbackQueue, PluckQueue, Request as Call, Response};
use turnstile_protos::helloworld::{HelloReply, HelloRequest, greeter};

/// Counts the errors that are logged.
#[derive(Clone, Default)]
struct Errors(Arc<AtomicUsize>);

impl Subscriber for Errors {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, _event: &Event<'_>) {
        self.0.fetch_add(1, SeqCst);
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

struct Greeter;

impl greeter::Service for Greeter {
    async fn say_hello(&self, request: Call<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        Ok(Response::new(HelloReply { message: format!("Hello {}", request.name) }))
    }
}

#[track_caller]
fn greets(client: &mut Client, name: &str) {
    assert_eq!(client.call(&Request::hello(name)).reply(), format!("Hello {name}"));
}

/// Does `work` and says whether it panicked with what a child is told.
fn tells(work: impl FnOnce()) -> bool {
    let told = panic_or(|| {
        work();
        String::new()
    });
    told.contains("fork before the first use of turnstile, or exec in the child")
}

#[test]
fn a_forked_child_is_told_that_it_cannot_use_its_parents_engine() {
    let name = "a_forked_child_is_told_that_it_cannot_use_its_parents_engine";
    in_a_process_of_its_own(name, || {
        let server = Server::builder().add_service(greeter::server(Greeter)).bind("127.0.0.1:0");
        let (server, cq) = (server.unwrap(), CompletionQueue::<u32>::new());
        let address = server.local_addr().unwrap();
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| server.run());
            }
            let mut client = Client::connect(address);
            greets(&mut client, "before");
            let report = in_a_child(|| {
                let errors = Errors::default();
                subscriber::with_default(errors.clone(), || {
                    assert!(tells(|| panic!("{}", engine_name().unwrap_err())));
                    let bound = Server::builder().bind("127.0.0.1:0");
                    assert!(tells(|| panic!("{}", bound.unwrap_err())));
                    assert!(tells(|| drop(CompletionQueue::<u32>::new())));
                    assert!(tells(|| drop(PluckQueue::<u32>::new())));
                    assert!(tells(|| drop(CallbackQueue::new(|_: turnstile::Event<u32>| {}))));
                    assert!(tells(|| block_on(async {})));
                    assert_eq!(errors.0.load(SeqCst), 0, "who gets an error is told by that");
                    // Each of these would wait for ever in the parent.
                    assert!(cq.next(Deadline::NONE).is_none() && cq.turn(Deadline::NONE).is_none());
                    assert!(cq.is_drained());
                    server.run();
                    server.run_until(std::future::pending(), Duration::MAX);
                    // And these would end there what goes on.
                    server.shutdown(Duration::ZERO);
                    server.cancel_all_calls();
                    assert!(Alarm::set(&cq, Deadline::NOW, 1).is_err());
                    assert!(server.request_call(&cq, 2).is_err());
                    assert!(server.shutdown_and_notify(&cq, 3).is_err());
                    assert_eq!(errors.0.load(SeqCst), 1, "it is logged once");
                });
                "all as expected".to_owned()
            });
            assert_eq!(report, "all as expected");
            greets(&mut client, "after");
            greets(&mut Client::connect(address), "again");
            let _alarm = Alarm::set(&cq, Deadline::NOW, 7).unwrap();
            assert_eq!(cq.next(Deadline::NONE).unwrap().tag, 7);
            drop(client);
            server.shutdown(Duration::ZERO);
        });
    });
}

#[test]
fn a_child_that_drops_what_it_inherited_does_not_disturb_its_parent() {
    let name = "a_child_that_drops_what_it_inherited_does_not_disturb_its_parent";
    in_a_process_of_its_own(name, || {
        let path = env::temp_dir().join(format!("turnstile-fork-{}", process::id()));
        let mut builder = Server::builder();
        let say_hello = builder.register_unary(SAY_HELLO);
        let server =
            builder.listen(&format!("unix:{}", path.display())).bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        // These belong to the thread that forks, and are dropped in the child in earnest.
        let (mut server, mut cq) = (Some(server), Some(CompletionQueue::<&str>::new()));
        let the = cq.as_ref().unwrap();
        for _ in 0..4 {
            server.as_ref().unwrap().request_registered_call(&say_hello, the, the, "call").unwrap();
        }
        let mut alarm = Some(Alarm::set(the, Deadline::NONE, "alarm").unwrap());
        // A thread that does I/O at the time of the fork, and owns nothing; it ends with the process.
        thread::spawn(|| block_on(std::future::pending::<()>()));
        let mut tcp = Client::connect(address);
        let mut unix = Client::on_unix(UnixStream::connect(&path).unwrap());
        unix.shake_hands(&[]);
        let stream = tcp.request(&Request::hello("held"));
        let mut held = the.next(Deadline::NONE).unwrap().take_call();
        let report = in_a_child(|| {
            drop((alarm.take(), held.take(), cq.take(), server.take()));
            "dropped".to_owned()
        });
        assert_eq!(report, "dropped");
        assert!(fs::symlink_metadata(&path).is_ok(), "the child has removed the socket's file");

        let (server, cq) = (server.unwrap(), cq.unwrap());
        let reply = |text: &str| {
            let message = prost::Message::encode_to_vec(&HelloReply { message: text.to_owned() });
            Batch::new().send_message(message).send_status(Status::ok())
        };
        held.unwrap().start(reply("let go"), "held").unwrap();
        assert_eq!(cq.next(Deadline::NONE).unwrap().tag, "held");
        assert_eq!(tcp.answer(stream).reply(), "let go");
        // The connections that were there and new ones, by either address.
        let mut late = Client::on_unix(UnixStream::connect(&path).unwrap());
        late.shake_hands(&[]);
        for client in [&mut tcp, &mut unix, &mut late] {
            let stream = client.request(&Request::hello("later"));
            let call = cq.next(Deadline::NONE).unwrap().take_call().expect("a call comes");
            call.start(reply("served"), "served").unwrap();
            assert_eq!(cq.next(Deadline::NONE).unwrap().tag, "served");
            assert_eq!(client.answer(stream).reply(), "served");
        }
        alarm.unwrap().cancel();
        assert_eq!(cq.next(Deadline::NONE).unwrap().tag, "alarm");
        drop(server);
        assert!(fs::symlink_metadata(&path).is_err());
    });
}

#[test]
fn a_channel_is_the_parents_and_its_calls_go_on_there() {
    let name = "a_channel_is_the_parents_and_its_calls_go_on_there";
    in_a_process_of_its_own(name, || {
        let server = Server::builder().add_service(greeter::server(Greeter)).bind("127.0.0.1:0");
        let server = server.unwrap();
        let target = server.local_addr().unwrap().to_string();
        let (channel, cq) = (Channel::connect(&target).unwrap(), CompletionQueue::<u32>::new());
        let begin = |tag: u32| {
            let timeout = CallOptions::new().timeout(Duration::from_secs(60));
            let call = channel.call(greeter::SAY_HELLO.path(), timeout, &cq);
            let request = turnstile::codec::encode(&HelloRequest { name: tag.to_string() });
            let batch = Batch::new().send_message(request).send_close();
            call.start(batch.receive_message().receive_status(), tag).map(|()| call)
        };
        let call = begin(1).unwrap();
        let mut dropped = Some(channel.clone());
        let report = in_a_child(|| {
            assert!(begin(2).is_err());
            assert_eq!(channel.state(true), ConnectivityState::Idle);
            assert!(channel.watch_state(ConnectivityState::Idle, Deadline::NOW, &cq, 3).is_err());
            let stub = greeter::Client::new(channel.clone());
            let reply = stub.say_hello(HelloRequest { name: "x".to_owned() });
            let context = &mut std::task::Context::from_waker(std::task::Waker::noop());
            let std::task::Poll::Ready(Err(status)) = std::pin::pin!(reply).poll(context) else {
                panic!("a call that nobody works on has ended");
            };
            call.cancel(Status::cancelled("by the child"));
            drop(dropped.take());
            status.code().to_string()
        });
        assert_eq!(report, "CANCELLED");
        thread::scope(|scope| {
            scope.spawn(|| server.run());
            let _second = begin(2).unwrap();
            for _ in 0..2 {
                let mut event = cq.next(Deadline::NONE).unwrap();
                assert!(event.take_status().unwrap().is_ok());
            }
            drop((call, dropped));
            server.shutdown(Duration::ZERO);
        });
    });
}

/// The child's end, for the thread that comes back from `run` there.
static REPORT: Mutex<Option<Report>> = Mutex::new(None);

struct Forks;

impl greeter::Service for Forks {
    /// Returns in both processes.
    async fn say_hello(
        &self,
        _request: Call<HelloRequest>,
    ) -> Result<Response<HelloReply>, Status> {
        let message = match fork() {
            Side::Parent(child) => child.report(),
            Side::Child(report) => {
                *REPORT.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
                "from the child".to_owned()
            }
        };
        Ok(Response::new(HelloReply { message }))
    }
}

#[test]
fn a_handler_that_forks_and_returns_replies_in_the_parent_alone() {
    let name = "a_handler_that_forks_and_returns_replies_in_the_parent_alone";
    in_a_process_of_its_own(name, || {
        let server =
            Server::builder().add_service(greeter::server(Forks)).bind("127.0.0.1:0").unwrap();
        let run = || {
            let ended = panic_or(|| {
                server.run();
                "run has returned".to_owned()
            });
            let report = REPORT.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(report) = report {
                report.tell(&ended);
            }
        };
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(run);
            }
            let mut client = Client::connect(server.local_addr().unwrap());
            for _ in 0..3 {
                assert_eq!(client.call(&Request::hello("x")).reply(), "run has returned");
            }
            drop(client);
            server.shutdown(Duration::ZERO);
        });
    });
}

#[test]
fn a_fork_before_the_first_use_works_in_both_processes() {
    let name = "a_fork_before_the_first_use_works_in_both_processes";
    in_a_process_of_its_own(name, || {
        let serve = || {
            let server =
                Server::builder().add_service(greeter::server(Greeter)).bind("127.0.0.1:0");
            let server = server.unwrap();
            thread::scope(|scope| {
                scope.spawn(|| server.run());
                greets(&mut Client::connect(server.local_addr().unwrap()), "you");
                server.shutdown(Duration::from_secs(1));
            });
            "served".to_owned()
        };
        // What only describes is no use yet.
        let _builder = Server::builder();
        assert_eq!(in_a_child(serve), "served");
        assert_eq!(serve(), "served");
        // A second one comes too late, and its parent goes on.
        assert!(in_a_child(|| panic_or(serve)).contains("was forked off one that uses turnstile"));
        assert_eq!(serve(), "served");
    });
}

/// Whatever the other threads hold locked at the moment of the fork.
#[test]
fn children_of_a_busy_process_do_not_hang() {
    let name = "children_of_a_busy_process_do_not_hang";
    in_a_process_of_its_own(name, || {
        let service = service::Builder::new("busy", ()).build();
        let mut server = Some(Server::builder().add_service(service).bind("127.0.0.1:0").unwrap());
        let queues = [(); 2].map(|()| Arc::new(CompletionQueue::<u32>::new()));
        let is_over = AtomicBool::new(false);
        panic::set_hook(Box::new(|_| {}));
        thread::scope(|scope| {
            for cq in [&queues[0], &queues[0], &queues[1]] {
                scope.spawn(|| {
                    while !is_over.load(SeqCst) {
                        let alarm = Alarm::set(&**cq, Deadline::NOW, 1).unwrap();
                        cq.next(Deadline::after(Duration::from_millis(1)));
                        drop(alarm);
                    }
                });
            }
            let mut alarm = Some(Alarm::set(&*queues[0], Deadline::NONE, 2).unwrap());
            let mut reports = Vec::new();
            for _ in 0..100 {
                reports.push(in_a_child(|| {
                    for cq in &queues {
                        assert!(cq.next(Deadline::NONE).is_none() && cq.is_drained());
                        assert!(Alarm::set(&**cq, Deadline::NOW, 1).is_err());
                        cq.shutdown();
                    }
                    assert!(engine_name().is_err());
                    server.as_ref().unwrap().run();
                    drop((alarm.take(), server.take()));
                    "ended".to_owned()
                }));
            }
            is_over.store(true, SeqCst);
            assert!(reports.iter().all(|report| report == "ended"), "{reports:?}");
            drop(alarm);
        });
        drop(server);
    });
}
