//! Interceptors, and the fallback handler.

use super::common::{
    BIDI, BLOCKING, BLOCKING_BIDI, CLIENT, INTERNAL, INVALID_ARGUMENT, NOT_FOUND, Plain, SERVER,
    UNARY, UNAUTHENTICATED, UNIMPLEMENTED, call, demo, next, ok, request, serve_with, texts,
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
        let before = reply.trailers().and_then(|it| it.get("x-way")).unwrap_or_default();
        let way = format!("{before}{name}");
        reply.trailers_mut().insert("x-way", &way)?;
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

/// A service whose handlers are not to be called.
fn untouchable() -> Service {
    demo()
        .unary(UNARY, |_, _| async { panic!("it is not called") })
        .blocking_unary(BLOCKING, |(), _| panic!("it is not called"))
        .client_streaming(CLIENT, |_, _| async { panic!("it is not called") })
        .server_streaming(SERVER, |_, _, _| async { panic!("it is not called") })
        .blocking_bidi_streaming(BLOCKING_BIDI, |(), _, _| panic!("it is not called"))
        .build()
}

/// Answers every call itself.
struct Cache;

impl Interceptor for Cache {
    async fn intercept(&self, mut call: IncomingCall, _: Next<'_>) -> Result<Reply, Status> {
        call.map_replies(|message| Ok([&message[..], b"!"].concat().into()));
        let mut reply = call.answer("cached")?;
        assert!(reply.metadata().is_empty() && reply.trailers().is_none());
        reply.metadata_mut().insert("x-cache", "hit")?;
        reply.trailers_mut().insert("x-age", "7")?;
        assert_eq!(reply.trailers().and_then(|it| it.get("x-age")), Some("7"));
        Ok(reply)
    }
}

#[test]
fn an_interceptors_own_answer_has_metadata_and_goes_through_the_maps_of_outer_ones() {
    let mut builder = Server::builder();
    builder.add_service(untouchable().intercept(Named("b")).intercept(Cache));
    builder.intercept(Named("a"));
    serve_with(1, &mut builder, |_, address| {
        for method in [UNARY, BLOCKING, CLIENT] {
            let answer = call(address, method, &["x"]);
            assert_eq!(ok(&answer), ["cached!ba"], "{method:?}");
            assert_eq!(value(&answer.head, "x-cache"), Some("hit"), "{answer:?}");
            assert_eq!(value(&answer.trailers, "x-age"), Some("7"), "{answer:?}");
            assert_eq!(value(&answer.trailers, "x-way"), Some("ba"), "{answer:?}");
        }
    });
}

fn value<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// Adds to the metadata of every reply, and counts the bytes of its message.
struct Stamp;

impl Interceptor for Stamp {
    async fn intercept(&self, call: IncomingCall, next: Next<'_>) -> Result<Reply, Status> {
        let mut reply = next.run(call).await;
        let length = reply.message().map(|message| message.len().to_string());
        reply.metadata_mut().insert("x-stamp", length.as_deref().unwrap_or("none"))?;
        reply.metadata_mut().remove("x-secret");
        reply.trailers_mut().insert("x-seal", "1")?;
        Ok(reply)
    }
}

#[test]
fn an_interceptor_changes_the_metadata_of_a_reply_that_it_passes_on() {
    fn reply(request: &str) -> Result<Response<Bytes>, Status> {
        let mut metadata = turnstile::Metadata::new();
        metadata.insert("x-last", "2")?;
        if request == "fail" {
            return Err(Status::not_found("no").with_metadata(metadata));
        }
        let mut response = Response::new(Bytes::copy_from_slice(request.as_bytes()));
        response.metadata_mut().insert("x-first", "1")?;
        response.metadata_mut().insert("x-secret", "3")?;
        *response.trailers_mut() = metadata;
        Ok(response)
    }
    let service = demo()
        .unary(UNARY, |_, request| async move { reply(&super::common::text(&request)) })
        .blocking_unary(BLOCKING, |(), request| reply(&super::common::text(&request)))
        .blocking_bidi_streaming(BLOCKING_BIDI, |(), requests, replies| {
            requests.try_for_each(|request| replies.write(request?))
        })
        .build();
    serve_with(1, Server::builder().add_service(service).intercept(Stamp), |_, address| {
        for method in [UNARY, BLOCKING] {
            let answer = call(address, method, &["four"]);
            assert_eq!(ok(&answer), ["four"]);
            let head = ["x-first", "x-stamp", "x-secret"].map(|name| value(&answer.head, name));
            assert_eq!(head, [Some("1"), Some("4"), None], "{answer:?}");
            let trailers = ["x-last", "x-seal"].map(|name| value(&answer.trailers, name));
            assert_eq!(trailers, [Some("2"), Some("1")], "{answer:?}");
            // An error has no message, and may have both.
            let answer = call(address, method, &["fail"]);
            assert_eq!(answer.code(), NOT_FOUND, "{answer:?}");
            assert_eq!(value(&answer.head, "x-stamp"), Some("none"), "{answer:?}");
            assert_eq!(value(&answer.trailers, "x-seal"), Some("1"), "{answer:?}");
        }
        // Initial metadata has gone with the first message, if there was one.
        for (messages, stamp) in [(&["x"][..], None), (&[], Some("none"))] {
            let answer = call(address, BLOCKING_BIDI, messages);
            assert_eq!(ok(&answer), messages);
            assert_eq!(value(&answer.head, "x-stamp"), stamp, "{answer:?}");
            assert_eq!(value(&answer.trailers, "x-seal"), Some("1"), "{answer:?}");
        }
    });
}

/// Makes a reply of what `x-how` says.
struct Careless;

impl Interceptor for Careless {
    async fn intercept(&self, call: IncomingCall, next: Next<'_>) -> Result<Reply, Status> {
        let how = call.metadata().get("x-how").map(str::to_owned);
        match how.as_deref() {
            Some("ok") => Ok(Reply::from(Status::ok())),
            Some("message") => Ok(Reply::new("made up")),
            Some("forgiven") => {
                let mut reply = next.run(call).await;
                *reply.status_mut() = Status::ok();
                Ok(reply)
            }
            Some("error") => {
                let mut reply = Reply::new("made up");
                *reply.status_mut() = Status::not_found("no");
                Ok(reply)
            }
            _ => Err(Status::internal("the test has a fault")),
        }
    }
}

#[test]
fn a_reply_that_the_method_cannot_have_ends_with_internal_and_says_why() {
    log::keep();
    const REFUSED: &str = "an interceptor made a reply that the method cannot have";
    let service = demo()
        .unary(UNARY, |_, _| async { Err::<Response<Bytes>, _>(Status::aborted("no")) })
        .blocking_unary(BLOCKING, |(), _| Err::<Response<Bytes>, _>(Status::aborted("no")))
        .client_streaming(CLIENT, |_, _| async { Err::<Response<Bytes>, _>(Status::aborted("no")) })
        .server_streaming(SERVER, |_, _, _| async { Err(Status::aborted("no")) })
        .blocking_bidi_streaming(BLOCKING_BIDI, |(), _, _| Err(Status::aborted("no")))
        .build();
    let mut builder = Server::builder();
    builder.add_service(service.intercept(Careless));
    serve_with(1, &mut builder, |_, address| {
        let mut client = Client::connect(address);
        let mut answer = |method, how| client.call(&request(method, &["x"]).with("x-how", how));
        for method in [UNARY, BLOCKING, CLIENT] {
            for how in ["ok", "forgiven"] {
                let answer = answer(method, how);
                assert_eq!(answer.code(), INTERNAL, "{method:?} {how}: {answer:?}");
                assert!(answer.message().contains("OK without a message"), "{answer:?}");
                assert!(answer.is_trailers_only(), "{answer:?}");
            }
            assert_eq!(ok(&answer(method, "message")), ["made up"]);
        }
        for method in [SERVER, BLOCKING_BIDI] {
            let refused = answer(method, "message");
            assert_eq!(refused.code(), INTERNAL, "{method:?}: {refused:?}");
            assert!(refused.message().contains("replies are a stream"), "{refused:?}");
            assert!(refused.is_trailers_only(), "{refused:?}");
            for how in ["ok", "forgiven"] {
                assert_eq!(ok(&answer(method, how)), [""; 0], "{method:?} {how}");
            }
        }
        for method in [UNARY, BLOCKING, CLIENT, SERVER, BLOCKING_BIDI] {
            let error = answer(method, "error");
            assert_eq!((error.code(), error.body.len()), (NOT_FOUND, 0), "{error:?}");
        }
    });
    let unary = &[REFUSED, UNARY.path(), "without a message"];
    assert_eq!(log::count(unary), 2);
    assert_eq!(log::count(&[REFUSED]), 8);
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
