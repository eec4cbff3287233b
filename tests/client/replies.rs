//! Calls with one reply, to servers that send another number of them ("Response cardinality violation"
//! of gRPC's status code document), and descriptors that say another kind.

use super::common::{LIST, Text, demo, failed, with_stubs};
use turnstile::client::{Stub, blocking};
use turnstile::{Code, Service, Status, block_on};

/// The same methods, as a client has them that thinks that they have one reply.
const UNARY: Text = Text::unary(LIST.path());
const UPLOAD: Text = Text::client_streaming(LIST.path());

/// A method that sends as many replies as the request has letters, and ends so.
fn many(end: fn() -> Result<(), Status>) -> Service {
    let service = demo().server_streaming(LIST, move |_, request, mut replies| async move {
        replies.set_trailers({
            let mut trailers = turnstile::Metadata::new();
            trailers.insert("x-trailing", "7")?;
            trailers
        });
        for letter in request.chars() {
            replies.write(letter.to_string()).await?;
        }
        end()
    });
    service.build()
}

/// What a call with one request and one reply ends with, made in four ways.
fn each_way(stub: &Stub, blocking: &blocking::Stub, request: &str) -> [Result<String, Status>; 4] {
    let request = || request.to_owned();
    let [unary, upload] = block_on(async {
        let unary = stub.unary(&UNARY, request()).await;
        let mut upload = stub.client_streaming(&UPLOAD);
        upload.write(request()).await.unwrap();
        [unary, upload.finish().await]
    });
    let blocking_unary = blocking.unary(&UNARY, request());
    let mut blocking_upload = blocking.client_streaming(&UPLOAD);
    blocking_upload.write(request()).unwrap();
    [unary, upload, blocking_unary, blocking_upload.finish()]
        .map(|outcome| outcome.map(turnstile::Response::into_inner))
}

#[test]
fn exactly_one_reply_is_taken() {
    with_stubs(many(|| Ok(())), |stub, blocking| {
        for outcome in each_way(&stub, &blocking, "a") {
            assert_eq!(outcome.unwrap(), "a");
        }
        for outcome in each_way(&stub, &blocking, "") {
            let status = failed(outcome);
            assert_eq!(status.code(), Code::Unimplemented);
            assert!(status.message().contains("no reply"), "{status}");
            assert_eq!(status.metadata().and_then(|it| it.get("x-trailing")), Some("7"));
        }
        for outcome in each_way(&stub, &blocking, "ab") {
            let status = failed(outcome);
            assert_eq!(status.code(), Code::Unimplemented);
            assert!(status.message().contains("a second reply"), "{status}");
        }
    });
}

#[test]
fn an_error_counts_whatever_came_before_it() {
    with_stubs(many(|| Err(Status::data_loss("the rest is gone"))), |stub, blocking| {
        for request in ["", "a"] {
            for outcome in each_way(&stub, &blocking, request) {
                assert_eq!(failed(outcome).code(), Code::DataLoss);
            }
        }
    });
}

#[test]
fn a_descriptor_of_another_kind_is_refused_with_the_function_to_call() {
    with_stubs(many(|| Ok(())), |stub, blocking| {
        let statuses = [
            failed(block_on(stub.unary(&LIST, "a".to_owned()))),
            failed(blocking.unary(&LIST, "a".to_owned())),
            failed(block_on(stub.bidi_streaming(&LIST).1.read())),
            failed(blocking.client_streaming(&LIST).finish()),
        ];
        for status in statuses {
            assert_eq!(status.code(), Code::Internal);
            assert!(status.message().contains("ServerStreaming"), "{status}");
        }
    });
}
