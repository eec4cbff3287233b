//! Messages that cannot be written or read, and what requests say that they are.

use super::common::{PATIENCE, failed, next, reports, with_stubs};
use std::thread;

use turnstile::client::blocking;
use turnstile::codec::{Codec, Raw};
use turnstile::service::Builder as ServiceBuilder;
use turnstile::{
    Batch, Bytes, Channel, Code, CompletionQueue, Deadline, MethodDescriptor, Response, Server,
    Status, block_on,
};

/// Text that is not too short to be written, and not too long to be read.
struct Fussy;

impl Codec<String> for Fussy {
    const SUBTYPE: &'static str = "fussy";

    fn encode(message: &String) -> Result<Bytes, Status> {
        match message.as_str() {
            "" => Err(Status::invalid_argument("nothing to write")),
            _ => Ok(Bytes::copy_from_slice(message.as_bytes())),
        }
    }

    fn decode(bytes: Bytes) -> Result<String, Status> {
        match bytes.len() {
            0..8 => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            _ => Err(Status::internal("too long to read")),
        }
    }
}

type Method = MethodDescriptor<String, String, Fussy>;
type Plain = MethodDescriptor<Bytes, Bytes, Raw>;

const UNARY: Method = Method::unary("/test.Fussy/Unary");
const UPLOAD: Method = Method::client_streaming("/test.Fussy/Upload");
const LIST: Method = Method::server_streaming("/test.Fussy/List");
const CHAT: Method = Method::bidi_streaming("/test.Fussy/Chat");

#[test]
fn a_message_that_cannot_be_written_ends_its_call_and_is_not_sent() {
    let (called, heard) = reports();
    let service = ServiceBuilder::new("test.Fussy", ())
        .unary(Plain::unary(UNARY.path()), {
            let called = called.clone();
            move |_, request| {
                called.send("unary").unwrap();
                async move { Ok(Response::new(request.into_inner())) }
            }
        })
        .client_streaming(Plain::client_streaming(UPLOAD.path()), move |_, mut requests| {
            let called = called.clone();
            async move {
                while requests.read().await?.is_some() {}
                called.send("upload").unwrap();
                Ok(Response::new(Bytes::from_static(b"all")))
            }
        });
    with_stubs(service.build(), |stub, blocking| {
        let statuses = [
            failed(block_on(stub.unary(&UNARY, String::new()))),
            failed(blocking.unary(&UNARY, String::new())),
            failed(block_on(stub.server_streaming(&LIST, String::new()).read())),
            failed(blocking.server_streaming(&LIST, String::new()).read()),
        ];
        for status in statuses {
            let (code, message) = (status.code(), status.message());
            assert_eq!((code, message), (Code::InvalidArgument, "nothing to write"));
        }
        // In the middle of a stream: the server does not take what it has for the whole.
        let mut upload = blocking.client_streaming(&UPLOAD);
        assert!(upload.write("a".to_owned()).unwrap());
        assert_eq!(failed(upload.write(String::new())).code(), Code::InvalidArgument);
        assert_eq!(failed(upload.finish()).code(), Code::InvalidArgument);
        block_on(async {
            let mut upload = stub.client_streaming(&UPLOAD);
            assert!(upload.write("a".to_owned()).await.unwrap());
            assert_eq!(failed(upload.write(String::new()).await).code(), Code::InvalidArgument);
            assert_eq!(failed(upload.finish().await).code(), Code::InvalidArgument);
        });
        // And the calls after it are well.
        assert_eq!(*blocking.unary(&UNARY, "x".to_owned()).unwrap(), "x");
        assert_eq!(next(&heard), "unary");
        assert!(heard.try_recv().is_err(), "none of the others got to the end of its request");
    });
}

#[test]
fn a_message_that_cannot_be_read_ends_its_call_at_both_ends() {
    let (over, heard) = reports();
    let service = ServiceBuilder::new("test.Fussy", ())
        .unary(Plain::unary(UNARY.path()), |_, request| async move {
            Ok(Response::new(request.into_inner()))
        })
        .bidi_streaming(Plain::bidi_streaming(CHAT.path()), move |_, mut requests, mut replies| {
            let over = over.clone();
            async move {
                let outcome = loop {
                    match requests.read().await {
                        Ok(Some(request)) => replies.write(request).await?,
                        Ok(None) => break Ok(()),
                        Err(status) => break Err(status),
                    }
                };
                over.send(outcome.is_err()).unwrap();
                outcome
            }
        });
    with_stubs(service.build(), |stub, blocking| {
        let long = || "too long by far".to_owned();
        let check = |status: &Status| {
            let (code, message) = (status.code(), status.message());
            assert_eq!((code, message), (Code::Internal, "too long to read"));
        };
        check(&failed(block_on(stub.unary(&UNARY, long()))));
        check(&failed(blocking.unary(&UNARY, long())));

        let (mut writer, mut reader) = blocking.bidi_streaming(&CHAT);
        assert!(writer.write(long()).unwrap());
        check(&failed(reader.read()));
        check(reader.status().unwrap());
        assert_eq!(reader.read().unwrap(), None);
        check(&failed(writer.write(long())));
        assert!(next(&heard), "the server sees that the call is cancelled");

        block_on(async {
            let (mut writer, mut reader) = stub.bidi_streaming(&CHAT);
            assert!(writer.write(long()).await.unwrap());
            check(&failed(reader.read().await));
            assert_eq!(reader.read().await.unwrap(), None);
        });
        assert!(next(&heard));
    });
}

#[test]
fn a_request_says_its_codec_unless_that_is_protobuf() {
    let mut builder = Server::builder();
    let server = builder.bind("127.0.0.1:0").unwrap();
    let queue = CompletionQueue::<()>::new();
    thread::scope(|scope| {
        let address = server.addresses()[0].to_string();
        let stub = blocking::Stub::new(Channel::connect(&address).unwrap());
        let calls = scope.spawn(move || {
            let raw = Plain::unary("/test.Fussy/Raw");
            let text = MethodDescriptor::<String, String>::unary("/test.Fussy/Text");
            let codes = [
                failed(stub.unary(&UNARY, "x".to_owned())).code(),
                failed(stub.unary(&raw, Bytes::new())).code(),
                failed(stub.unary(&text, String::new())).code(),
            ];
            assert_eq!(codes, [Code::Unimplemented; 3]);
        });
        for expected in [Some("fussy"), None, None] {
            server.request_call(&queue, ()).unwrap();
            let call = queue.next(Deadline::after(PATIENCE)).unwrap().take_call().unwrap();
            assert_eq!(call.content_subtype(), expected);
            let refusal = Status::unimplemented("all is refused");
            call.start(Batch::new().send_status(refusal), ()).unwrap();
            assert!(queue.next(Deadline::after(PATIENCE)).unwrap().is_ok());
        }
        calls.join().unwrap();
    });
}
