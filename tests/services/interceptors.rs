//! Interceptors, and the fallback handler.

use super::common::{
    BIDI, BLOCKING, BLOCKING_BIDI, INTERNAL, INVALID_ARGUMENT, NOT_FOUND, Plain, UNARY,
    UNAUTHENTICATED, UNIMPLEMENTED, call, demo, next, ok, request, serve_with, texts,
};
use super::log;
use crate::raw::client::Client;
use crate::raw::frame::{self, Frame};
use crate::raw::request::{Request, message};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use tokio::sync::oneshot;
use turnstile::service::{IncomingCall, Interceptor, Next, Reply};
use turnstile::{Bytes, Response, Server, Service, Status};

/// What the extensions of a call hold.
#[derive(Clone, Default)]
struct Path(Vec<&'static str>);

/// Says that it was here: in the extensions, to each message, and in the trailers.
struct Named(&'static str);

impl Interceptor for Named {
    async fn intercept(&self, mut call: IncomingCall, next: Next<'_>) -> Result<Reply, Status> {
        let name = self.0;
        call.extensions_mut().get_or_insert_default::<Path>().0.push(name);
        let append = move |message: Bytes| Ok([&message[..], name.as_bytes()].concat().into());
        call.map_requests(append);
        call.map_replies(append);
        let mut reply = next.run(call).await;
        let metadata = reply.status().metadata().cloned().unwrap_or_default();
        let before = metadata.get("x-way").map(str::to_owned).unwrap_or_default();
        let mut metadata = metadata;
        metadata.insert("x-way", &format!("{before}{name}")).expect("letters");
        let status = reply.status().clone().with_metadata(metadata);
        *reply.status_mut() = status;
        Ok(reply)
    }
}

fn path<T>(request: &turnstile::Request<T>) -> String {
    request.extensions().get::<Path>().map(|path| path.0.concat()).unwrap_or_default()
}

fn echoes() -> Service {
    demo()
        .unary(UNARY, |_, request| async move {
            let text = format!("{}|{}|", path(&request), super::common::text(&request));
            Ok(Response::new(text.into()))
        })
        .blocking_unary(BLOCKING, |(), request| {
            let text = format!("{}|{}|", path(&request), super::common::text(&request));
            Ok(Response::new(text.into()))
        })
        .bidi_streaming(BIDI, |_, mut requests, mut replies| async move {
            while let Some(request) = requests.read().await? {
                replies.write(request).await?;
            }
            Ok(())
        })
        .blocking_bidi_streaming(BLOCKING_BIDI, |(), requests, replies| {
            requests.try_for_each(|request| replies.write(request?))
        })
        .build()
}

#[test]
fn a_servers_come_before_a_services_and_replies_go_the_other_way() {
    let mut builder = Server::builder();
    builder.add_service(echoes().intercept(Named("c")).intercept(Named("d")));
    builder.intercept(Named("a")).intercept(Named("b"));
    serve_with(1, &mut builder, |_, address| {
        for method in [UNARY, BLOCKING] {
            let answer = call(address, method, &["x"]);
            assert_eq!(ok(&answer), ["abcd|xabcd|dcba"], "{method:?}");
            assert_eq!(answer.header("x-way"), Some("dcba"), "{method:?}");
        }
        for method in [BIDI, BLOCKING_BIDI] {
            let answer = call(address, method, &["x", "y"]);
            assert_eq!(ok(&answer), ["xabcddcba", "yabcddcba"], "{method:?}");
            assert_eq!(answer.header("x-way"), Some("dcba"), "{method:?}");
        }
    });
}

#[test]
fn an_interceptor_may_answer_instead_of_the_handler() {
    fn check(call: &mut IncomingCall) -> Result<(), Status> {
        match call.metadata().get("authorization") {
            Some("sesame") => Ok(()),
            _ => Err(Status::unauthenticated("no token")),
        }
    }
    let mut builder = Server::builder();
    builder.add_service(echoes()).intercept(check);
    serve_with(1, &mut builder, |_, address| {
        let mut client = Client::connect(address);
        for method in [UNARY, BLOCKING, BIDI, BLOCKING_BIDI] {
            let answer = client.call(&request(method, &["x"]));
            assert_eq!((answer.code(), answer.message()), (UNAUTHENTICATED, "no token"));
            assert!(answer.is_trailers_only(), "{answer:?}");
            let answer = client.call(&request(method, &["x"]).with("authorization", "sesame"));
            assert_eq!(ok(&answer).len(), 1);
        }
    });
}

#[test]
fn an_interceptor_may_change_the_metadata_that_those_behind_it_see() {
    let seen = |request: &turnstile::Request<Bytes>| {
        let metadata = request.metadata();
        let text = format!("{:?}|{:?}", metadata.get("x-token"), metadata.get("x-user"));
        Ok(Response::new(text.into()))
    };
    let service = demo()
        .unary(UNARY, move |_, request| async move { seen(&request) })
        .blocking_unary(BLOCKING, move |(), request| seen(&request))
        .build();
    fn exchange(call: &mut IncomingCall) -> Result<(), Status> {
        let before = turnstile::Context::clone(call);
        call.metadata_mut().remove("x-token");
        call.metadata_mut().insert("x-user", "ali")?;
        assert_eq!(before.metadata().get("x-token"), Some("sesame"), "a clone keeps its own");
        Ok(())
    }
    let mut builder = Server::builder();
    builder.add_service(service).intercept(exchange);
    serve_with(1, &mut builder, |_, address| {
        let mut client = Client::connect(address);
        for method in [UNARY, BLOCKING] {
            let answer = client.call(&request(method, &["x"]).with("x-token", "sesame"));
            assert_eq!(ok(&answer), ["None|Some(\"ali\")"], "{method:?}");
        }
    });
}

/// Waits for a permission from elsewhere before and after the handler.
struct Patient(Mutex<Sender<oneshot::Sender<()>>>);

impl Interceptor for Patient {
    async fn intercept(&self, call: IncomingCall, next: Next<'_>) -> Result<Reply, Status> {
        self.permission().await;
        let reply = next.run(call).await;
        self.permission().await;
        Ok(reply)
    }
}

impl Patient {
    fn permission(&self) -> impl Future<Output = ()> + use<> {
        let (permit, permitted) = oneshot::channel();
        self.0.lock().unwrap().send(permit).unwrap();
        async { permitted.await.expect("it comes") }
    }
}

#[test]
fn an_interceptor_may_wait() {
    let (ask, asked) = channel();
    let mut builder = Server::builder();
    builder.add_service(echoes().intercept(Patient(Mutex::new(ask))));
    serve_with(2, &mut builder, |_, address| {
        thread::scope(|scope| {
            let permitter = scope.spawn(move || {
                for permit in asked.iter().take(8) {
                    permit.send(()).expect("somebody waits");
                }
            });
            for method in [UNARY, BLOCKING, BIDI, BLOCKING_BIDI] {
                assert_eq!(ok(&call(address, method, &["x"])).len(), 1, "{method:?}");
            }
            permitter.join().unwrap();
        });
    });
}

#[test]
fn an_interceptor_that_panics_or_fails_ends_its_call_only() {
    log::keep();
    fn early(call: &mut IncomingCall) -> Result<(), Status> {
        match call.metadata().get("x-how") {
            Some("panic") => panic!("in-an-interceptor"),
            Some("requests") => {
                call.map_requests(|_| Err(Status::invalid_argument("no such request")));
            }
            Some("replies") => call.map_replies(|_| Err(Status::invalid_argument("no such reply"))),
            Some("map-panic") => call.map_requests(|_| panic!("in-a-map")),
            _ => {}
        }
        Ok(())
    }
    let mut builder = Server::builder();
    builder.add_service(echoes()).intercept(early);
    serve_with(1, &mut builder, |_, address| {
        let mut client = Client::connect(address);
        for method in [UNARY, BLOCKING, BIDI, BLOCKING_BIDI] {
            let rows = [
                ("panic", INTERNAL, "panicked"),
                ("map-panic", INTERNAL, "panicked"),
                ("requests", INVALID_ARGUMENT, "no such request"),
                ("replies", INVALID_ARGUMENT, "no such reply"),
            ];
            for (how, code, message) in rows {
                let answer = client.call(&request(method, &["x"]).with("x-how", how));
                assert_eq!(answer.code(), code, "{method:?} {how}: {answer:?}");
                assert!(answer.message().contains(message), "{method:?} {how}: {answer:?}");
            }
            assert_eq!(ok(&client.call(&request(method, &["x"]))).len(), 1);
        }
    });
    assert_eq!(log::count(&["a handler panicked", "in-an-interceptor"]), 4);
    assert_eq!(log::count(&["a handler panicked", "in-a-map"]), 4);
}

/// Makes an error of every reply.
struct Pessimist;

impl Interceptor for Pessimist {
    async fn intercept(&self, call: IncomingCall, next: Next<'_>) -> Result<Reply, Status> {
        let mut reply = next.run(call).await;
        *reply.status_mut() = Status::not_found("not for you");
        Ok(reply)
    }
}

#[test]
fn an_error_of_an_interceptor_goes_without_the_handlers_message() {
    let mut builder = Server::builder();
    builder.add_service(echoes().intercept(Pessimist));
    serve_with(1, &mut builder, |_, address| {
        for method in [UNARY, BLOCKING] {
            let answer = call(address, method, &["secret"]);
            assert_eq!((answer.code(), answer.message()), (NOT_FOUND, "not for you"));
            assert!(answer.body.is_empty(), "{answer:?}");
        }
    });
}

#[test]
fn a_fallback_gets_the_calls_of_every_other_method() {
    let (report, seen) = channel();
    let report = Arc::new(Mutex::new(report));
    let mut builder = Server::builder();
    builder.add_service(echoes());
    builder.fallback(move |mut requests, mut replies| {
        report.lock().unwrap().send(requests.method().to_owned()).unwrap();
        async move {
            while let Some(request) = requests.read().await? {
                replies.write(request).await?;
            }
            Ok(())
        }
    });
    builder.intercept(Named("a"));
    serve_with(1, &mut builder, |_, address| {
        let mut client = Client::connect(address);
        let other = Plain::unary("/another.Service/Method");
        let as_json = request(other, &["x", "y"]).with("content-type", "application/grpc+json");
        assert_eq!(ok(&client.call(&as_json)), ["xaa", "yaa"]);
        assert_eq!(next(&seen), other.path());
        // A stream in both directions, as a proxy has it.
        let stream = client.request(&Request::of("/x.Y/Z").open());
        client.send(&Frame::data(stream, message(b"1"), false));
        assert_eq!(texts(&client.expect(frame::DATA).payload), ["1aa"]);
        client.send(&Frame::data(stream, [], true));
        assert!(client.expect(frame::HEADERS).has(frame::END_STREAM));
        assert_eq!(next(&seen), "/x.Y/Z");
        // The server's own methods are its own.
        let answer = client.call(&request(UNARY, &["x"]));
        assert_eq!(ok(&answer), ["a|xa|a"]);
        assert!(seen.try_recv().is_err());
    });
}

#[test]
fn without_a_fallback_other_methods_are_unimplemented() {
    let mut builder = Server::builder();
    builder.add_service(echoes()).intercept(Named("a"));
    serve_with(1, &mut builder, |_, address| {
        let answer = call(address, Plain::unary("/another.Service/Method"), &["x"]);
        assert_eq!(answer.code(), UNIMPLEMENTED, "{answer:?}");
        assert!(answer.message().contains("/another.Service/Method"), "{answer:?}");
    });
}
