//! How calls end otherwise than with a reply: errors, deadlines, and what is dropped.

use super::common::{
    CHAT, LIST, PATIENCE, UNARY, UPLOAD, demo, echo, failed, next, reports, serve, with_stubs,
};
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use turnstile::client::{Stub, blocking};
use turnstile::{Bytes, CallOptions, Channel, Code, Deadline, Response, Service, Status, block_on};

/// Refuses everything, with all that a status can have.
fn refusing() -> Service {
    fn refusal() -> Status {
        let mut status =
            Status::not_found("no such thing \u{263a}").with_details(Bytes::from_static(&[8, 5]));
        status.metadata_mut().insert("x-trailing", "7").unwrap();
        status
    }
    demo()
        .unary(UNARY, |_, _| async { Err(refusal()) })
        .client_streaming(UPLOAD, |_, _| async { Err(refusal()) })
        .server_streaming(LIST, |_, _, mut replies| async move {
            replies.write("one".to_owned()).await?;
            Err(refusal())
        })
        .bidi_streaming(CHAT, |_, _, _| async { Err(refusal()) })
        .build()
}

/// A service whose handlers wait for ever, and report that they have begun (`true`) and were dropped
/// (`false`).
fn endless(report: std::sync::mpsc::Sender<bool>) -> Service {
    struct Guard(std::sync::mpsc::Sender<bool>);
    impl Drop for Guard {
        fn drop(&mut self) {
            // The test may be over.
            let _ = self.0.send(false);
        }
    }
    let guard = move || {
        report.send(true).unwrap();
        Guard(report.clone())
    };
    let guards = [guard.clone(), guard.clone(), guard.clone(), guard];
    let [unary, upload, list, chat] = guards;
    demo()
        .unary(UNARY, move |_, _| {
            let guard = unary();
            async move {
                pending::<()>().await;
                drop(guard);
                Ok(Response::new(String::new()))
            }
        })
        .client_streaming(UPLOAD, move |_, _| {
            let guard = upload();
            async move {
                pending::<()>().await;
                drop(guard);
                Ok(Response::new(String::new()))
            }
        })
        .server_streaming(LIST, move |_, _, _| {
            let guard = list();
            async move {
                pending::<()>().await;
                drop(guard);
                Ok(())
            }
        })
        .bidi_streaming(CHAT, move |_, _, _| {
            let guard = chat();
            async move {
                pending::<()>().await;
                drop(guard);
                Ok(())
            }
        })
        .build()
}

#[track_caller]
fn check_refusal(status: &Status) {
    assert_eq!((status.code(), status.message()), (Code::NotFound, "no such thing \u{263a}"));
    assert_eq!(status.details(), [8, 5]);
    assert_eq!(status.metadata().and_then(|it| it.get("x-trailing")), Some("7"));
}

#[test]
fn an_error_of_the_server_comes_whole_with_every_kind() {
    with_stubs(refusing(), |stub, blocking| {
        block_on(async {
            check_refusal(&failed(stub.unary(&UNARY, String::new()).await));
            check_refusal(&failed(stub.client_streaming(&UPLOAD).finish().await));
            let mut replies = stub.server_streaming(&LIST, String::new());
            assert_eq!(replies.read().await.unwrap().as_deref(), Some("one"));
            check_refusal(&failed(replies.read().await));
            check_refusal(replies.status().unwrap());
            assert_eq!(replies.read().await.unwrap(), None);
            let (_writer, mut replies) = stub.bidi_streaming(&CHAT);
            check_refusal(&failed(replies.read().await));
        });
        check_refusal(&failed(blocking.unary(&UNARY, String::new())));
        check_refusal(&failed(blocking.client_streaming(&UPLOAD).finish()));
        let mut replies = blocking.server_streaming(&LIST, String::new());
        assert_eq!(replies.read().unwrap().as_deref(), Some("one"));
        check_refusal(&failed(replies.read()));
        check_refusal(replies.status().unwrap());
        assert!(replies.next().is_none());
        let (_writer, mut replies) = blocking.bidi_streaming(&CHAT);
        check_refusal(&failed(replies.read()));
    });
}

#[test]
fn a_write_after_the_end_fails_with_the_servers_status() {
    with_stubs(refusing(), |stub, blocking| {
        let status = block_on(async {
            let mut upload = stub.client_streaming(&UPLOAD);
            loop {
                match upload.write("more".to_owned()).await {
                    Ok(taken) => assert!(taken, "the status is known when a write fails"),
                    Err(status) => break status,
                }
            }
        });
        check_refusal(&status);
        let mut upload = blocking.client_streaming(&UPLOAD);
        let status = loop {
            match upload.write("more".to_owned()) {
                Ok(taken) => assert!(taken, "the status is known when a write fails"),
                Err(status) => break status,
            }
        };
        check_refusal(&status);
        // Both halves are told.
        let (mut writer, mut reader) = blocking.bidi_streaming(&CHAT);
        check_refusal(&failed(reader.read()));
        check_refusal(&failed(writer.write("more".to_owned())));
        let (mut writer, mut reader) = stub.bidi_streaming(&CHAT);
        check_refusal(&failed(block_on(reader.read())));
        check_refusal(&failed(block_on(writer.write("more".to_owned()))));
    });
}

#[test]
fn writes_that_the_server_has_no_use_for_say_so_and_its_reply_counts() {
    let service = demo()
        .client_streaming(UPLOAD, |_, mut requests| async move {
            let first = requests.read().await?.unwrap_or_default();
            Ok(Response::new(format!("{first} is enough")))
        })
        .bidi_streaming(CHAT, |_, mut requests, mut replies| async move {
            let first = requests.read().await?.unwrap_or_default();
            replies.write(format!("{first} is enough")).await
        });
    with_stubs(service.build(), |stub, blocking| {
        let reply = block_on(async {
            let mut upload = stub.client_streaming(&UPLOAD);
            while upload.write("one".to_owned()).await? {}
            assert!(!upload.write("one".to_owned()).await?);
            upload.finish().await
        });
        let mut upload = blocking.client_streaming(&UPLOAD);
        while upload.write("one".to_owned()).unwrap() {}
        for reply in [reply, upload.finish()] {
            assert_eq!(*reply.unwrap(), "one is enough");
        }
        // The message before the status has not been read.
        let (mut writer, mut reader) = blocking.bidi_streaming(&CHAT);
        while writer.write("one".to_owned()).unwrap() {}
        assert_eq!(reader.read().unwrap().as_deref(), Some("one is enough"));
        assert_eq!(reader.read().unwrap(), None);
        assert!(!writer.write("one".to_owned()).unwrap());
    });
}

#[test]
fn a_deadline_ends_every_kind_of_call_at_both_ends() {
    let (report, heard) = reports();
    with_stubs(endless(report), |stub, blocking| {
        let soon = CallOptions::new().timeout(Duration::from_secs(1));
        let (stub, blocking) = (stub.with(soon.clone()), blocking.with(soon));
        // All at once, so that it takes a second.
        let unary = stub.unary(&UNARY, String::new());
        let upload = stub.client_streaming(&UPLOAD).finish();
        let mut list = stub.server_streaming(&LIST, String::new());
        let (_writer, mut chat) = stub.bidi_streaming(&CHAT);
        let blocking_upload = blocking.client_streaming(&UPLOAD);
        let mut blocking_list = blocking.server_streaming(&LIST, String::new());
        let (_blocking_writer, mut blocking_chat) = blocking.bidi_streaming(&CHAT);
        let statuses = [
            failed(blocking.unary(&UNARY, String::new())),
            failed(block_on(unary)),
            failed(block_on(upload)),
            failed(block_on(list.read())),
            failed(block_on(chat.read())),
            failed(blocking_upload.finish()),
            failed(blocking_list.read()),
            failed(blocking_chat.read()),
        ];
        for status in statuses {
            assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
        }
        // Handlers were called, unless that would have been too late, and each was dropped.
        let (mut begun, mut dropped) = (0, 0);
        while begun == 0 || dropped < begun {
            if next(&heard) { begun += 1 } else { dropped += 1 }
        }
    });
}

#[test]
fn what_is_dropped_before_the_end_cancels_its_call() {
    let (report, heard) = reports();
    with_stubs(endless(report), |stub, blocking| {
        let begins = || assert!(next(&heard), "a handler begins");
        let ends = || assert!(!next(&heard), "it is dropped as its call is cancelled");

        let call = stub.unary(&UNARY, String::new());
        begins();
        drop(call);
        ends();

        // Also one that was polled.
        let mut call = Box::pin(stub.unary(&UNARY, String::new()));
        block_on(poll_fn(|context| {
            assert!(call.as_mut().poll(context).is_pending());
            Poll::Ready(())
        }));
        begins();
        drop(call);
        ends();

        let upload = stub.client_streaming(&UPLOAD);
        begins();
        drop(upload);
        ends();
        let replies = stub.server_streaming(&LIST, String::new());
        begins();
        drop(replies);
        ends();
        let (writer, replies) = stub.bidi_streaming(&CHAT);
        begins();
        drop(replies);
        ends();
        let status = failed(block_on({
            let mut writer = writer;
            async move { writer.write(String::new()).await }
        }));
        assert_eq!(status.code(), Code::Cancelled);

        let upload = blocking.client_streaming(&UPLOAD);
        begins();
        drop(upload);
        ends();
        let replies = blocking.server_streaming(&LIST, String::new());
        begins();
        drop(replies);
        ends();
        let (mut writer, replies) = blocking.bidi_streaming(&CHAT);
        begins();
        drop(replies);
        ends();
        assert_eq!(failed(writer.write(String::new())).code(), Code::Cancelled);
    });
}

#[test]
fn a_call_that_is_cancelled_ends_with_that_where_it_is_waited_for() {
    let (report, heard) = reports();
    with_stubs(endless(report), |stub, blocking| {
        let upload = stub.client_streaming(&UPLOAD);
        upload.cancel();
        assert_eq!(failed(block_on(upload.finish())).code(), Code::Cancelled);
        let upload = blocking.client_streaming(&UPLOAD);
        upload.cancel();
        assert_eq!(failed(upload.finish()).code(), Code::Cancelled);
        let mut replies = stub.server_streaming(&LIST, String::new());
        replies.cancel();
        assert_eq!(failed(block_on(replies.read())).code(), Code::Cancelled);
        let mut replies = blocking.server_streaming(&LIST, String::new());
        replies.cancel();
        assert_eq!(failed(replies.read()).code(), Code::Cancelled);
        assert!(replies.status().is_some_and(|status| status.code() == Code::Cancelled));
        drop(heard);
    });
}

#[test]
fn the_drop_of_a_writer_says_that_no_more_comes() {
    with_stubs(echo(), |stub, blocking| {
        let (writer, replies) = blocking.bidi_streaming(&CHAT);
        drop(writer);
        assert_eq!(replies.collect::<Result<Vec<_>, _>>().unwrap(), ["bye"]);
        let (writer, mut replies) = stub.bidi_streaming(&CHAT);
        drop(writer);
        assert_eq!(block_on(replies.read()).unwrap().as_deref(), Some("bye"));
    });
}

#[test]
fn a_thread_that_panics_while_it_writes_cancels_the_call() {
    with_stubs(echo(), |stub, blocking| {
        let (mut writer, mut replies) = blocking.bidi_streaming(&CHAT);
        let writing = thread::spawn(move || {
            writer.write("half of it".to_owned()).unwrap();
            panic!("the other half is not there");
        });
        writing.join().unwrap_err();
        let status = loop {
            match replies.read() {
                Ok(reply) => assert_ne!(reply.as_deref(), Some("bye"), "the server got the end"),
                Err(status) => break status,
            }
        };
        assert_eq!(status.code(), Code::Cancelled);
        let (writer, mut replies) = stub.bidi_streaming(&CHAT);
        let panicking = thread::spawn(move || {
            let _writer = writer;
            panic!("nothing is written");
        });
        panicking.join().unwrap_err();
        assert_eq!(failed(block_on(replies.read())).code(), Code::Cancelled);
    });
}

#[test]
fn a_server_that_cannot_be_reached_is_unavailable_with_its_address_and_the_cause() {
    let channel = Channel::connect("unix-abstract:turnstile-nobody-is-there").unwrap();
    let (stub, blocking) = (Stub::new(channel.clone()), blocking::Stub::new(channel));
    let statuses = [
        failed(block_on(stub.unary(&UNARY, String::new()))),
        failed(blocking.unary(&UNARY, String::new())),
        failed(block_on(stub.client_streaming(&UPLOAD).finish())),
        failed(blocking.server_streaming(&LIST, String::new()).read()),
    ];
    for status in statuses {
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.message().contains("turnstile-nobody-is-there"), "{status}");
    }
}

#[test]
fn a_blocking_call_that_waits_for_a_server_ends_by_its_deadline() {
    let channel = Channel::connect("unix-abstract:turnstile-nobody-comes").unwrap();
    let options = CallOptions::new().wait_for_ready(true).timeout(Duration::from_millis(100));
    let stub = blocking::Stub::new(channel).with(options);
    let began = Instant::now();
    let status = failed(stub.unary(&UNARY, String::new()));
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(began.elapsed() < PATIENCE, "it took {:?}", began.elapsed());
    let status = failed(stub.client_streaming(&UPLOAD).write(String::new()));
    assert_eq!(status.code(), Code::DeadlineExceeded);
}

#[test]
fn a_deadline_that_has_passed_ends_a_call_before_it_is_sent() {
    let (report, heard) = reports();
    serve(endless(report), |channel| {
        let stub = blocking::Stub::new(channel.clone());
        let stub = stub.with(CallOptions::new().deadline(Deadline::NOW));
        assert_eq!(failed(stub.unary(&UNARY, String::new())).code(), Code::DeadlineExceeded);
        let stub = Stub::new(channel).with(CallOptions::new().deadline(Deadline::NOW));
        let call = pin!(stub.unary(&UNARY, String::new()));
        assert_eq!(failed(block_on(call)).code(), Code::DeadlineExceeded);
        assert!(heard.try_recv().is_err(), "no handler was called");
    });
}
