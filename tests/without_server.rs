//! Handlers that a test calls itself, without a server.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use turnstile::blocking;
use turnstile::{
    Code, Context, Deadline, Metadata, PeerAddress, Request, Response, Status, Streaming, Writer,
    block_on,
};
use turnstile_protos::routeguide::{
    self as proto, Feature, Point, Rectangle, RouteNote, RouteSummary,
};

/// A service, in both colours, that does what a test wants to see.
struct Guide;

/// Who calls.
#[derive(Clone, Debug, PartialEq)]
struct User(&'static str);

fn point(latitude: i32) -> Point {
    Point { latitude, longitude: 0 }
}

fn feature(name: &str, latitude: i32) -> Feature {
    Feature { name: name.to_owned(), location: Some(point(latitude)) }
}

fn note(message: &str) -> RouteNote {
    RouteNote { location: None, message: message.to_owned() }
}

fn entry(key: &str, value: &str) -> Metadata {
    let mut metadata = Metadata::new();
    metadata.insert(key, value).expect("a key of these tests is valid");
    metadata
}

/// The unary handler of both colours.
fn feature_at(request: &Request<Point>) -> Result<Response<Feature>, Status> {
    if request.is_cancelled() {
        return Err(Status::deadline_exceeded("too late"));
    }
    let lang = request.metadata().get("x-lang").unwrap_or("en");
    let name = match request.extensions().get::<User>() {
        Some(User(name)) => format!("{name}'s {lang}"),
        None => lang.to_owned(),
    };
    let mut response = Response::new(feature(&name, request.latitude));
    response.trailers_mut().insert("x-cost", "3")?;
    Ok(response)
}

impl proto::route_guide::Service for Guide {
    async fn get_feature(&self, request: Request<Point>) -> Result<Response<Feature>, Status> {
        feature_at(&request)
    }

    async fn list_features(
        &self,
        request: Request<Rectangle>,
        features: &mut Writer<Feature>,
    ) -> Result<(), Status> {
        features.send_initial_metadata(entry("x-first", "1"))?;
        for latitude in 0..request.hi.map_or(0, |hi| hi.latitude) {
            features.write(feature("it", latitude)).await?;
        }
        let late = features.send_initial_metadata(entry("x-late", "1"));
        assert_eq!(late.map_err(|status| status.code()), Err(Code::Internal));
        Ok(())
    }

    async fn record_route(
        &self,
        points: &mut Streaming<Point>,
    ) -> Result<Response<RouteSummary>, Status> {
        let mut summary = RouteSummary::default();
        while points.read().await?.is_some() {
            summary.point_count += 1;
        }
        assert!(matches!(points.read().await, Ok(None)), "the end stays the end");
        Ok(Response::new(summary))
    }

    async fn route_chat(
        &self,
        notes: &mut Streaming<RouteNote>,
        out: &mut Writer<RouteNote>,
    ) -> Result<(), Status> {
        out.forward(notes).await
    }
}

impl proto::route_guide::BlockingService for Guide {
    fn get_feature(&self, request: Request<Point>) -> Result<Response<Feature>, Status> {
        feature_at(&request)
    }

    fn list_features(
        &self,
        request: Request<Rectangle>,
        features: &mut blocking::Writer<Feature>,
    ) -> Result<(), Status> {
        for latitude in 0..request.hi.map_or(0, |hi| hi.latitude) {
            features.write(feature("it", latitude))?;
        }
        Ok(())
    }

    fn record_route(
        &self,
        points: &mut blocking::Reader<Point>,
    ) -> Result<Response<RouteSummary>, Status> {
        let mut summary = RouteSummary::default();
        for point in points {
            point?;
            summary.point_count += 1;
        }
        Ok(Response::new(summary))
    }

    fn route_chat(
        &self,
        notes: &mut blocking::Reader<RouteNote>,
        out: &mut blocking::Writer<RouteNote>,
    ) -> Result<(), Status> {
        notes.try_for_each(|note| out.write(note?))
    }
}

/// Calls the unary handler in both colours, which must agree.
fn get_feature(request: impl Fn() -> Request<Point>) -> Result<Response<Feature>, Status> {
    use proto::route_guide::{BlockingService, Service};
    let of_async = block_on(Service::get_feature(&Guide, request()));
    let of_blocking = BlockingService::get_feature(&Guide, request());
    assert_eq!(format!("{of_async:?}"), format!("{of_blocking:?}"));
    of_async
}

#[test]
fn a_unary_handler_answers_a_request_that_a_test_has_made() {
    let reply = get_feature(|| Request::new(point(7))).expect("it goes well");
    assert_eq!(reply.get_ref(), &feature("en", 7));
    assert!(reply.metadata().is_empty());
    assert_eq!(reply.trailers().get("x-cost"), Some("3"));
    assert_eq!(reply.into_inner(), feature("en", 7));
}

#[test]
fn a_request_that_is_mapped_keeps_its_call_and_a_response_all_but_its_message() {
    let mut request = Request::new(7);
    *request.metadata_mut() = entry("x-lang", "de");
    request.extensions_mut().insert(User("Ali"));
    *request.get_mut() += 1;
    let request = request.map(|number: i32| number.to_string());
    assert_eq!(request.get_ref(), "8");
    assert_eq!(request.metadata().get("x-lang"), Some("de"));
    let (message, context) = request.into_parts();
    assert_eq!((message.as_str(), context.extensions().get()), ("8", Some(&User("Ali"))));

    let mut response = Response::new(7).uncompressed();
    *response.metadata_mut() = entry("x-first", "1");
    *response.trailers_mut() = entry("x-last", "2");
    *response.get_mut() += 1;
    let response = response.map(|number: i32| number.to_string());
    assert_eq!(response.get_ref(), "8");
    assert!(response.is_uncompressed() && !Response::new(()).is_uncompressed());
    assert_eq!(response.metadata().get("x-first"), Some("1"));
    assert_eq!(response.trailers().get("x-last"), Some("2"));
}

#[test]
fn a_test_fills_in_metadata_extensions_and_a_deadline() {
    let reply = get_feature(|| {
        let mut request = Request::new(point(7));
        *request.metadata_mut() = entry("x-lang", "de");
        request.extensions_mut().insert(User("Ali"));
        request
    });
    assert_eq!(reply.expect("it goes well").get_ref(), &feature("Ali's de", 7));

    let late = || Request::from_parts(point(7), Context::detached_until(Deadline::NOW));
    assert_eq!(get_feature(late).unwrap_err().code(), Code::DeadlineExceeded);
    let at = Instant::now() + Duration::from_secs(3600);
    let early = || Request::from_parts(point(7), Context::detached_until(at));
    assert_eq!(early().deadline().instant(), Some(at));
    assert!(early().time_left() > Some(Duration::from_secs(3000)));
    assert!(get_feature(early).is_ok());
}

#[test]
fn a_detached_context_has_nothing_and_takes_what_is_sent_once() {
    let mut context = Context::detached();
    assert_eq!((context.method(), context.authority()), ("", ""));
    assert_eq!(context.peer(), &PeerAddress::InProcess);
    assert!(context.metadata().is_empty());
    assert_eq!((context.deadline(), context.time_left()), (Deadline::NONE, None));
    assert!(!context.is_cancelled());

    // A clone is of the same call, and has its own metadata and extensions.
    let clone = context.clone();
    context.metadata_mut().insert("x-a", "1").expect("it is valid");
    context.extensions_mut().insert(User("Ali"));
    assert!(clone.metadata().is_empty() && clone.extensions().get::<User>().is_none());

    assert_eq!((context.compression(), context.request_encoding()), (None, None));
    assert!(!context.was_compressed());
    assert!(context.set_compression(None).is_ok());
    context.set_trailers(entry("x-b", "2"));
    assert!(context.send_initial_metadata(entry("x-c", "3")).is_ok());
    for late in [
        clone.send_initial_metadata(Metadata::new()).unwrap_err(),
        clone.set_compression(None).unwrap_err(),
    ] {
        assert_eq!(late.code(), Code::Internal);
        assert!(late.message().contains("before"), "{late}");
    }
}

#[test]
fn a_detached_call_ends_when_its_deadline_has_passed_and_else_not() {
    block_on(Context::detached_until(Deadline::NOW).cancelled());
    let mut forever = Context::detached().cancelled();
    let first = block_on(std::future::poll_fn(|context| {
        std::task::Poll::Ready(std::pin::Pin::new(&mut forever).poll(context).is_ready())
    }));
    assert!(!first, "it is never ready");
}

#[test]
fn a_handler_reads_what_a_test_has_put_in_and_then_the_end() {
    use proto::route_guide::{BlockingService, Service};
    let points = || [point(1), point(2), point(3)];
    let reply = block_on(Service::record_route(&Guide, &mut Streaming::new(points())));
    assert_eq!(reply.expect("it goes well").get_ref().point_count, 3);
    let reply = BlockingService::record_route(&Guide, &mut blocking::Reader::new(points()));
    assert_eq!(reply.expect("it goes well").get_ref().point_count, 3);
}

#[test]
fn a_handler_sees_a_client_that_goes_away() {
    use proto::route_guide::{BlockingService, Service};
    let messages = || [Ok(point(1)), Err(Status::cancelled("gone")), Ok(point(2))];
    let mut requests = Streaming::from_parts(messages(), Context::detached());
    let status = block_on(Service::record_route(&Guide, &mut requests)).unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Cancelled, "gone"));
    let mut requests = blocking::Reader::from_parts(messages(), Context::detached());
    let status = BlockingService::record_route(&Guide, &mut requests).unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Cancelled, "gone"));
    assert!(matches!(requests.read(), Ok(None)), "nothing comes after an error");

    let rectangle = || Request::new(Rectangle { lo: None, hi: Some(point(3)) });
    let (mut writer, replies) = Writer::channel();
    drop(replies);
    let status = block_on(Service::list_features(&Guide, rectangle(), &mut writer)).unwrap_err();
    assert_eq!(status.code(), Code::Cancelled);
    let (mut writer, replies) = blocking::Writer::channel();
    drop(replies);
    let status = BlockingService::list_features(&Guide, rectangle(), &mut writer).unwrap_err();
    assert_eq!(status.code(), Code::Cancelled);
}

#[test]
fn a_test_receives_what_a_handler_writes() {
    use proto::route_guide::{BlockingService, Service};
    let rectangle = || Request::new(Rectangle { lo: None, hi: Some(point(2)) });
    let expected = [feature("it", 0), feature("it", 1)];
    let (mut writer, replies) = Writer::channel();
    block_on(Service::list_features(&Guide, rectangle(), &mut writer)).expect("it goes well");
    assert_eq!(replies.try_iter().collect::<Vec<_>>(), expected);
    let (mut writer, replies) = blocking::Writer::channel();
    BlockingService::list_features(&Guide, rectangle(), &mut writer).expect("it goes well");
    assert_eq!(replies.try_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn a_test_talks_with_a_blocking_handler_message_by_message() {
    use proto::route_guide::BlockingService;
    let (ask, asked) = mpsc::channel();
    let (mut writer, replies) = blocking::Writer::channel();
    thread::scope(|scope| {
        let handler = scope.spawn(move || {
            let mut notes = blocking::Reader::from_parts(asked, Context::detached());
            BlockingService::route_chat(&Guide, &mut notes, &mut writer)
        });
        for text in ["a", "b"] {
            ask.send(Ok(note(text))).expect("the handler reads");
            assert_eq!(replies.recv().expect("the handler answers"), note(text));
        }
        drop(ask);
        assert!(handler.join().expect("no panic").is_ok());
    });
    assert!(replies.recv().is_err(), "nothing more comes");
}

#[test]
fn a_stream_is_forwarded_to_a_test() {
    use proto::route_guide::Service;
    let (mut writer, replies) = Writer::channel();
    let mut notes = Streaming::new(["a", "b"].map(note));
    block_on(Service::route_chat(&Guide, &mut notes, &mut writer)).expect("it goes well");
    assert_eq!(replies.try_iter().collect::<Vec<_>>(), ["a", "b"].map(note));
}
