//! Interceptors of stubs: what they see and change, in which order, and what their failures end.

use super::common::{CHAT, LIST, UNARY, UPLOAD, echo, failed, with_stubs};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use turnstile::client::{CallContext, Interceptor, OutgoingCall, Stub, blocking};
use turnstile::{Bytes, CallOptions, Code, Metadata, Status, block_on};

/// What interceptors have noted, in its order.
type Notes = Arc<Mutex<Vec<String>>>;

/// Notes everything, under its name.
struct Noting {
    name: &'static str,
    notes: Notes,
}

impl Noting {
    fn note(&self, what: &str) {
        self.notes.lock().unwrap().push(format!("{}: {what}", self.name));
    }
}

impl Interceptor for Noting {
    fn start(&self, call: &mut OutgoingCall) -> Result<(), Status> {
        self.note(&format!("start {}", call.method()));
        call.extensions_mut().insert(self.name);
        Ok(())
    }

    fn metadata_received(&self, _: &CallContext, metadata: &Metadata) {
        self.note(&format!("metadata {:?}", metadata.get("x-initial")));
    }

    fn message_sent(&self, _: &CallContext, message: Bytes) -> Result<Bytes, Status> {
        self.note(&format!("sent {}", message.len()));
        Ok(message)
    }

    fn message_received(&self, _: &CallContext, message: Bytes) -> Result<Bytes, Status> {
        self.note(&format!("received {}", message.len()));
        Ok(message)
    }

    fn ended(&self, call: &CallContext, status: &Status) {
        let last = call.extensions().get::<&str>();
        let trailing = status.metadata().and_then(|it| it.get("x-trailing"));
        self.note(&format!("ended {} {trailing:?}, {last:?} was within", status.code()));
    }
}

/// Runs a test with stubs that have two interceptors which note, and two which `middle` makes are
/// between them.
fn noted(
    middle: impl Fn() -> Box<dyn Fn(&mut OutgoingCall) -> Result<(), Status> + Send + Sync>,
    test: impl Fn(&Stub, &blocking::Stub, &dyn Fn() -> Vec<String>),
) {
    let notes = Notes::default();
    let noting = |name| Noting { name, notes: notes.clone() };
    with_stubs(echo(), |stub, blocking| {
        let options = CallOptions::new().metadata("x-echo", "7");
        let stub = stub.with(options.clone()).intercept(noting("outer"));
        let stub = stub.intercept(middle()).intercept(noting("inner"));
        let blocking = blocking.with(options).intercept(noting("outer"));
        let blocking = blocking.intercept(middle()).intercept(noting("inner"));
        test(&stub, &blocking, &|| std::mem::take(&mut *notes.lock().unwrap()));
    });
}

#[test]
fn the_first_that_was_added_is_the_outermost_for_every_kind() {
    let both = |outgoing: bool, what: &[&str]| {
        let order = if outgoing { ["outer", "inner"] } else { ["inner", "outer"] };
        let note = |what: &&str| order.map(|name| format!("{name}: {what}"));
        what.iter().flat_map(note).collect::<Vec<_>>()
    };
    let ended = "ended OK Some(\"7\"), Some(\"inner\") was within";
    noted(
        || Box::new(|_| Ok(())),
        |stub, blocking, taken| {
            let hello = || "you".to_owned();
            let unary = [
                both(true, &["start /test.Demo/Unary", "sent 5"]),
                both(false, &["metadata Some(\"7\")", "received 11", ended]),
            ]
            .concat();
            block_on(stub.unary(&UNARY, hello())).unwrap();
            assert_eq!(taken(), unary);
            blocking.unary(&UNARY, hello()).unwrap();
            assert_eq!(taken(), unary);

            let upload = [
                both(true, &["start /test.Demo/Upload", "sent 5", "sent 5"]),
                both(false, &["metadata Some(\"7\")", "received 9", ended]),
            ]
            .concat();
            block_on(async {
                let mut upload = stub.client_streaming(&UPLOAD);
                upload.write(hello()).await.unwrap();
                upload.write(hello()).await.unwrap();
                upload.finish().await.unwrap();
            });
            assert_eq!(taken(), upload);
            let mut call = blocking.client_streaming(&UPLOAD);
            call.write(hello()).unwrap();
            call.write(hello()).unwrap();
            call.finish().unwrap();
            assert_eq!(taken(), upload);

            let list = [
                both(true, &["start /test.Demo/List", "sent 4"]),
                both(false, &["metadata Some(\"7\")", "received 3", "received 3", ended]),
            ]
            .concat();
            block_on(async {
                let mut replies = stub.server_streaming(&LIST, "ab".to_owned());
                while replies.read().await.unwrap().is_some() {}
            });
            assert_eq!(taken(), list);
            let replies = blocking.server_streaming(&LIST, "ab".to_owned());
            assert_eq!(replies.collect::<Result<Vec<_>, _>>().unwrap().len(), 2);
            assert_eq!(taken(), list);

            let chat = [
                both(true, &["start /test.Demo/Chat", "sent 5"]),
                both(false, &["metadata Some(\"7\")", "received 11", "received 5", ended]),
            ]
            .concat();
            block_on(async {
                let (mut writer, mut reader) = stub.bidi_streaming(&CHAT);
                writer.write(hello()).await.unwrap();
                writer.close();
                while reader.read().await.unwrap().is_some() {}
            });
            assert_eq!(taken(), chat);
            let (mut writer, reader) = blocking.bidi_streaming(&CHAT);
            writer.write(hello()).unwrap();
            writer.close();
            assert_eq!(reader.collect::<Result<Vec<_>, _>>().unwrap().len(), 2);
            assert_eq!(taken(), chat);
        },
    );
}

#[test]
fn one_that_refuses_a_call_is_told_no_more_and_those_without_are_told_the_end() {
    let refusal = || Box::new(|_: &mut OutgoingCall| Err(Status::unauthenticated("who are you?")));
    noted(
        || refusal(),
        |stub, blocking, taken| {
            let check = |status: Status| {
                let (code, message) = (status.code(), status.message());
                assert_eq!((code, message), (Code::Unauthenticated, "who are you?"));
                let notes = taken();
                assert!(notes.iter().all(|note| note.starts_with("outer")), "{notes:?}");
                let ended = notes.iter().filter(|it| it.contains("ended UNAUTHENTICATED"));
                assert_eq!(ended.count(), 1, "{notes:?}");
            };
            check(failed(block_on(stub.unary(&UNARY, String::new()))));
            check(failed(blocking.unary(&UNARY, String::new())));
            check(failed(block_on(stub.client_streaming(&UPLOAD).finish())));
            check(failed(blocking.client_streaming(&UPLOAD).finish()));
            check({
                let mut replies = stub.server_streaming(&LIST, String::new());
                failed(block_on(replies.read()))
            });
            check({
                let (mut writer, _reader) = blocking.bidi_streaming(&CHAT);
                failed(writer.write(String::new()))
            });
        },
    );
}

#[test]
fn a_panic_in_one_ends_the_call_with_internal_and_nothing_else() {
    noted(
        || Box::new(|_| panic!("a bug of the interceptor's")),
        |stub, blocking, taken| {
            let statuses = [
                failed(block_on(stub.unary(&UNARY, String::new()))),
                failed(blocking.unary(&UNARY, String::new())),
            ];
            for status in statuses {
                assert_eq!(status.code(), Code::Internal);
                assert!(status.message().contains("panicked"), "{status}");
            }
            let ended = taken().iter().filter(|it| it.contains("ended INTERNAL")).count();
            assert_eq!(ended, 2);
        },
    );
}

/// Panics in one hook.
#[derive(Clone, Copy, PartialEq)]
enum Panicking {
    Metadata,
    Sent,
    Received,
    Ended,
}

impl Interceptor for Panicking {
    fn metadata_received(&self, _: &CallContext, _: &Metadata) {
        assert!(*self != Self::Metadata, "a bug of the interceptor's");
    }

    fn message_sent(&self, _: &CallContext, message: Bytes) -> Result<Bytes, Status> {
        assert!(*self != Self::Sent, "a bug of the interceptor's");
        Ok(message)
    }

    fn message_received(&self, _: &CallContext, message: Bytes) -> Result<Bytes, Status> {
        assert!(*self != Self::Received, "a bug of the interceptor's");
        Ok(message)
    }

    fn ended(&self, _: &CallContext, _: &Status) {
        assert!(*self != Self::Ended, "a bug of the interceptor's");
    }
}

#[test]
fn a_panic_in_any_hook_is_contained() {
    with_stubs(echo(), |stub, blocking| {
        for hook in [Panicking::Metadata, Panicking::Sent, Panicking::Received] {
            let (stub, blocking) = (stub.clone().intercept(hook), blocking.clone().intercept(hook));
            let statuses = [
                failed(block_on(stub.unary(&UNARY, "a".to_owned()))),
                failed(blocking.unary(&UNARY, "a".to_owned())),
                failed(block_on(stub.server_streaming(&LIST, "a".to_owned()).read())),
                failed(blocking.server_streaming(&LIST, "a".to_owned()).read()),
            ];
            for status in statuses {
                assert_eq!(status.code(), Code::Internal, "{status}");
            }
        }
        // Too late to change anything.
        let stub = stub.intercept(Panicking::Ended);
        assert_eq!(*block_on(stub.unary(&UNARY, "a".to_owned())).unwrap(), "Hello a");
    });
}

#[test]
fn the_end_of_what_is_dropped_is_told_once() {
    noted(
        || Box::new(|_| Ok(())),
        |stub, blocking, taken| {
            drop(stub.unary(&UNARY, String::new()));
            drop(stub.client_streaming(&UPLOAD));
            drop(blocking.server_streaming(&LIST, "endless".repeat(10)));
            let (writer, reader) = blocking.bidi_streaming(&CHAT);
            drop(reader);
            drop(writer);
            let notes = taken();
            let ends = notes.iter().filter(|note| note.starts_with("outer: ended CANCELLED"));
            assert_eq!(ends.count(), 4, "{notes:?}");
            // Read to its end, and then dropped.
            let mut reader = blocking.server_streaming(&LIST, String::new());
            assert_eq!(reader.read().unwrap(), None);
            drop(reader);
            let notes = taken();
            assert_eq!(notes.iter().filter(|note| note.contains("outer: ended")).count(), 1);
        },
    );
}

#[test]
fn what_a_call_is_made_with_can_be_changed() {
    fn change(call: &mut OutgoingCall) -> Result<(), Status> {
        assert_eq!(call.metadata().get("x-echo"), Some("of the call"));
        assert!(!call.has_deadline());
        call.metadata_mut().insert("x-echo", "of the interceptor")?;
        call.add_options(CallOptions::new().timeout(Duration::from_secs(60)));
        assert!(call.has_deadline());
        call.set_method(UNARY.path());
        Ok(())
    }
    super::common::serve(echo(), |channel| {
        let elsewhere = super::common::Text::unary("/test.Demo/Elsewhere");
        let options = CallOptions::new().metadata("x-echo", "of the call");
        let stub = Stub::new(channel.clone()).with(options.clone()).intercept(change);
        let blocking = blocking::Stub::new(channel).with(options).intercept(change);
        let call = stub.unary(&elsewhere, "you".to_owned());
        for reply in [block_on(call), blocking.unary(&elsewhere, "you".to_owned())] {
            let reply = reply.unwrap();
            assert_eq!(*reply, "Hello you");
            assert_eq!(reply.metadata().get("x-initial"), Some("of the interceptor"));
        }
    });
}

/// Changes messages: protobuf's text grows by a letter, and shrinks again.
struct Changing;

impl Interceptor for Changing {
    fn message_sent(&self, _: &CallContext, message: Bytes) -> Result<Bytes, Status> {
        match &*message {
            [] => Err(Status::invalid_argument("too short for this interceptor")),
            [key, length, text @ ..] => Ok([&[*key, length + 1], text, b"!"].concat().into()),
            _ => unreachable!("a message of text has a key and a length"),
        }
    }

    fn message_received(&self, _: &CallContext, message: Bytes) -> Result<Bytes, Status> {
        match &*message {
            [_, _, .., b'?', b'!'] => Err(Status::data_loss("this interceptor reads no questions")),
            _ => Ok(message),
        }
    }
}

#[test]
fn messages_can_be_changed_and_refused() {
    with_stubs(echo(), |stub, blocking| {
        let (stub, blocking) = (stub.intercept(Changing), blocking.intercept(Changing));
        let send = |text: &str| {
            [block_on(stub.unary(&UNARY, text.to_owned())), blocking.unary(&UNARY, text.to_owned())]
        };
        for reply in send("you") {
            assert_eq!(*reply.unwrap(), "Hello you!");
        }
        for refused in send("") {
            assert_eq!(failed(refused).code(), Code::InvalidArgument);
        }
        for refused in send("you?") {
            assert_eq!(failed(refused).code(), Code::DataLoss);
        }
        let (mut writer, mut reader) = blocking.bidi_streaming(&CHAT);
        writer.write("you".to_owned()).unwrap();
        assert_eq!(reader.read().unwrap().as_deref(), Some("Hello you!"));
        writer.write("you?".to_owned()).unwrap();
        assert_eq!(failed(reader.read()).code(), Code::DataLoss);
    });
}
