//! Requests in another encoding than the method's codec.

use super::common::{UNIMPLEMENTED, ok, serve_with};
use crate::raw::client::Client;
use crate::raw::request::{Request, message};
use std::thread;
use std::time::Duration;
use turnstile::{Batch, CompletionQueue, Deadline, MethodDescriptor, Server, Status};

type Greet = MethodDescriptor<String, String>;

/// Its codec reads protobuf.
const TYPED: Greet = Greet::unary("/test.Queue/Typed");
const NAMED: &str = "/test.Queue/Named";

/// Lets the thread that waits on the queue go home, also when an assertion fails.
struct Ends<'a>(&'a Server, &'a CompletionQueue<usize>);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.shutdown(Duration::ZERO);
        self.1.shutdown();
    }
}

/// One registered by its descriptor takes what its codec reads. One registered by name has no codec,
/// and its application hears what the client sends.
#[test]
fn a_requested_call_is_refused_or_says_what_its_messages_are() {
    let mut builder = Server::builder();
    let methods = [builder.register(&TYPED), builder.register_unary(NAMED)];
    let queue = CompletionQueue::<usize>::new();
    serve_with(1, &mut builder, |server, address| {
        thread::scope(|scope| {
            let server = &**server;
            let ask = |index: usize| {
                let asked = server.request_registered_call(&methods[index], &queue, &queue, index);
                asked.expect("the queue is open");
            };
            let queue = &queue;
            scope.spawn(move || {
                (0..2).for_each(ask);
                while let Some(mut event) = queue.next(Deadline::NONE) {
                    let Some(call) = event.take_call() else { continue };
                    ask(event.tag);
                    let subtype = call.content_subtype().unwrap_or("none");
                    let reply = Batch::new().send_message(subtype.to_owned());
                    call.start(reply.send_status(Status::ok()), 2).expect("nothing is pending");
                }
            });
            let _ends = Ends(server, queue);
            let mut client = Client::connect(address);
            let mut call = |path: &str, content_type: &str| {
                let request = Request::of(path).with("content-type", content_type);
                client.call(&request.body(message(b"")))
            };
            for path in [TYPED.path(), NAMED] {
                assert_eq!(ok(&call(path, "application/grpc")), ["none"], "{path}");
                assert_eq!(ok(&call(path, "application/grpc+PROTO;x=1")), ["proto"], "{path}");
            }
            assert_eq!(ok(&call(NAMED, "application/grpc+foo")), ["foo"]);
            let answer = call(TYPED.path(), "application/grpc+foo");
            assert_eq!(answer.code(), UNIMPLEMENTED, "{answer:?}");
            for part in [TYPED.path(), "application/grpc+foo", "application/grpc+proto"] {
                assert!(answer.message().contains(part), "no {part:?} in {answer:?}");
            }
        });
    });
}
