//! Streams that are larger than the windows: who is slow makes the other end wait.

use super::common::{CHAT, LIST, UPLOAD, demo, next, reports, with_stubs};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::TryRecvError;
use std::sync::{Arc, Mutex};
use std::thread;

use turnstile::{Response, block_on};

/// A message of which 100 are more than a stream's window, which is 1 MiB.
fn large() -> String {
    "x".repeat(64 * 1024)
}

const COUNT: usize = 100;

#[test]
fn a_large_upload_arrives_whole_and_waits_for_a_slow_server() {
    let (go, gone) = reports::<()>();
    let gone = Arc::new(Mutex::new(gone));
    let service = demo().blocking_client_streaming(UPLOAD, move |(), requests| {
        // Nothing is read until the test says so.
        let _ = gone.lock().unwrap().recv();
        let sizes = requests.map(|request| Ok(request?.len()));
        let total: usize = sizes.sum::<Result<_, turnstile::Status>>()?;
        Ok(Response::new(total.to_string()))
    });
    with_stubs(service.build(), |stub, blocking| {
        thread::scope(|scope| {
            for is_async in [false, true] {
                let written = Arc::new(AtomicUsize::new(0));
                let (done, heard) = reports();
                let (stub, blocking) = (stub.clone(), blocking.clone());
                let count = written.clone();
                scope.spawn(move || {
                    let reply = if is_async {
                        block_on(async {
                            let mut upload = stub.client_streaming(&UPLOAD);
                            for _ in 0..COUNT {
                                upload.write(large()).await?;
                                count.fetch_add(1, SeqCst);
                            }
                            upload.finish().await
                        })
                    } else {
                        let mut upload = blocking.client_streaming(&UPLOAD);
                        let writes = (0..COUNT).try_for_each(|_| {
                            upload.write(large())?;
                            count.fetch_add(1, SeqCst);
                            Ok(())
                        });
                        writes.and_then(|()| upload.finish())
                    };
                    done.send(reply).unwrap();
                });
                // The window and what is buffered are full long before the end.
                let came = crate::support::poll_until(super::common::PATIENCE, || {
                    written.load(SeqCst) >= 8
                });
                assert!(came, "{} messages were written", written.load(SeqCst));
                assert_eq!(heard.try_recv().unwrap_err(), TryRecvError::Empty);
                assert!(written.load(SeqCst) < COUNT, "all was written, and nothing read");
                go.send(()).unwrap();
                let total = (COUNT * large().len()).to_string();
                assert_eq!(*next(&heard).unwrap(), total);
            }
        });
    });
}

#[test]
fn a_large_stream_of_replies_arrives_whole() {
    let service = demo().server_streaming(LIST, |_, _, mut replies| async move {
        for _ in 0..COUNT {
            replies.write(large()).await?;
        }
        Ok(())
    });
    with_stubs(service.build(), |stub, blocking| {
        let replies = blocking.server_streaming(&LIST, String::new());
        assert_eq!(replies.map(|it| it.unwrap().len()).sum::<usize>(), COUNT * large().len());
        block_on(async {
            let mut replies = stub.server_streaming(&LIST, String::new());
            let mut total = 0;
            while let Some(reply) = replies.read().await.unwrap() {
                total += reply.len();
            }
            assert_eq!(total, COUNT * large().len());
        });
    });
}

#[test]
fn a_large_stream_both_ways_needs_a_thread_for_each_half() {
    let service = demo().bidi_streaming(CHAT, |_, mut requests, mut replies| async move {
        while let Some(request) = requests.read().await? {
            replies.write(request).await?;
        }
        Ok(())
    });
    with_stubs(service.build(), |_, blocking| {
        let (mut writer, reader) = blocking.bidi_streaming(&CHAT);
        thread::scope(|scope| {
            scope.spawn(move || (0..COUNT).for_each(|_| assert!(writer.write(large()).unwrap())));
            let total: usize = reader.map(|reply| reply.unwrap().len()).sum();
            assert_eq!(total, COUNT * large().len());
        });
    });
}
