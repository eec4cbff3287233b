//! What a client is told of compression, in all styles.

use super::common::{LIST, PATIENCE, UNARY, demo, serve, with_stubs};
use turnstile::client::Stub;
use turnstile::{
    Batch, CallOptions, CompletionQueue, Deadline, Encoding, Response, Service, block_on, codec,
};

/// Something that gets smaller.
fn long() -> String {
    "long ".repeat(100)
}

/// Answers with the request, or each word of it: compressed if it is worth while.
fn repeat() -> Service {
    demo()
        .unary(UNARY, |_, request| async move {
            request.context().set_compression(Some(Encoding::Gzip))?;
            Ok(Response::new(request.into_inner()))
        })
        .server_streaming(LIST, |_, request, mut replies| async move {
            replies.set_compression(Some(Encoding::Gzip))?;
            for word in request.split(',') {
                replies.write(word.to_owned()).await?;
            }
            Ok(())
        })
        .build()
}

#[test]
fn a_reply_says_whether_it_came_compressed() {
    with_stubs(repeat(), |stub, blocking| {
        for (request, compressed) in [(long(), true), ("short".to_owned(), false)] {
            let replies = [
                block_on(stub.unary(&UNARY, request.clone())),
                blocking.unary(&UNARY, request.clone()),
            ];
            for reply in replies {
                let reply = reply.unwrap();
                assert_eq!((reply.was_compressed(), &*reply), (compressed, &request));
                assert_eq!(reply.map(drop).was_compressed(), compressed);
            }
        }
    });
}

#[test]
fn each_reply_of_a_stream_says_whether_it_came_compressed() {
    with_stubs(repeat(), |stub, blocking| {
        let request = format!("short,{},short", long());
        let mut found = Vec::new();
        block_on(async {
            let mut replies = stub.server_streaming(&LIST, request.clone());
            while replies.read().await.unwrap().is_some() {
                found.push(replies.was_compressed());
            }
        });
        assert_eq!(found, [false, true, false]);
        let mut replies = blocking.server_streaming(&LIST, request);
        found.clear();
        while replies.read().unwrap().is_some() {
            found.push(replies.was_compressed());
        }
        assert_eq!(found, [false, true, false]);
    });
}

#[test]
fn so_does_the_event_of_a_batch_also_when_the_status_is_waited_for_already() {
    serve(repeat(), |channel| {
        let cq = CompletionQueue::new();
        let next = || cq.next(Deadline::after(PATIENCE)).expect("an event comes");
        let call = channel.call(LIST.path(), CallOptions::new(), &cq);
        let request = codec::encode(&format!("{},short", long()));
        call.start(Batch::new().send_message(request).send_close(), "sent").unwrap();
        assert_eq!(next().tag, "sent");
        call.start(Batch::new().receive_status(), "ended").unwrap();
        for compressed in [true, false] {
            call.start(Batch::new().receive_message(), "message").unwrap();
            let mut event = next();
            assert_eq!((event.tag, event.was_compressed()), ("message", compressed));
            assert!(event.take_message().is_some());
            assert_eq!(event.was_compressed(), compressed, "also when it is taken");
        }
        // At the end there is no message, of whatever kind.
        call.start(Batch::new().receive_message(), "end").unwrap();
        let mut events = [next(), next()];
        events.sort_unstable_by_key(|event| event.tag);
        let [mut end, mut ended] = events;
        assert_eq!((end.tag, end.take_message(), end.was_compressed()), ("end", None, false));
        assert!(ended.take_status().is_some_and(|status| status.is_ok()));
    });
}

#[test]
fn without_compression_nothing_is_compressed() {
    with_stubs(super::common::echo(), |stub: Stub, _| {
        let reply = block_on(stub.unary(&UNARY, long())).unwrap();
        assert!(!reply.was_compressed());
    });
}
