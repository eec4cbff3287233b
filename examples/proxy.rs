//! A proxy: it forwards calls of any method to a backend, and knows none of their messages.
//!
//! ```text
//! cargo run --release --example greeter_server
//! cargo run --release --example proxy -- --listen 127.0.0.1:50050 --backend 127.0.0.1:50051
//! grpcurl -plaintext -d '{"name":"world"}' 127.0.0.1:50050 helloworld.Greeter/SayHello
//! ```
//!
//! What passes: metadata, messages and half-closes, the status with its details and trailing metadata,
//! the deadline, and the end of a client or of the backend. Each side has its own connections, with
//! their own HTTP/2 and compression: what clients compress is unpacked (`--features gzip`, and others),
//! and goes on as it is.
//!
//! This is on a completion queue, and not in `async` handlers with a fallback. A stub's methods are known
//! when it is compiled, and a proxy's are not; and a call that is forwarded is two chains of small steps,
//! which need no task of their own. Any of the threads in `next` takes the next step of any call. **A
//! message is asked for when the one before it was taken**, so a slow reader on one side slows the
//! writer on the other, and a call holds a message each way, whatever its length.

mod common;

use common::{Args, Flags};
use std::sync::Arc;
use turnstile::{
    Batch, Call, CallOptions, Channel, CompletionQueue, Deadline, Encoding, Event, Server, Status,
    client,
};

const USAGE: &str = "usage: [--listen ADDR] [--threads N] [--backend TARGET]
ADDR and TARGET are host:port, [ipv6]:port, unix:/path or unix-abstract:name;
the defaults are 127.0.0.1:50050, 4 and 127.0.0.1:50051";

/// The largest message that passes. Clients and backend have limits too, which are lower as a rule.
const LARGEST: usize = 64 << 20;

/// What comes out of the queue.
enum Tag {
    /// A client has begun a call.
    Incoming,
    /// An operation of one that is forwarded has ended.
    Of(Arc<Forwarded>, Step),
}

/// What has been done. Of `Requests` and of `Replies`, one step is under way at a time.
#[derive(Clone, Copy)]
enum Step {
    /// Requests: received from the client,
    RequestReceived,
    /// and taken by the backend's connection, until there is
    RequestSent,
    /// the last.
    RequestsEnded,
    /// Replies: first the initial metadata,
    MetadataReceived,
    /// then messages, from the backend,
    ReplyReceived,
    /// each taken by the client's connection, and in the end
    ReplySent,
    /// how the backend's call ended,
    StatusReceived,
    /// which the client is told.
    StatusSent,
    /// The client's call is over.
    Over,
}

/// A call, at both ends. Its operations hold it, and with the last of them it is dropped.
struct Forwarded {
    client: Call<Tag>,
    backend: client::Call<Tag>,
}

impl Forwarded {
    /// Begins to forward a call.
    fn begin(client: Call<Tag>, backend: &Channel, cq: &CompletionQueue<Tag>) {
        // What belongs to the protocol is no metadata here, and does not pass. `user-agent` does, and
        // has this library's name added.
        let options = CallOptions::new()
            .with_metadata(client.metadata().clone())
            .deadline(client.deadline())
            .max_receive_message_size(LARGEST);
        let options = match client.content_subtype() {
            Some(subtype) => options.content_subtype(subtype),
            None => options,
        };
        let backend = backend.call(client.method(), options, cq);
        let this = Arc::new(Self { client, backend });
        this.at_client(Batch::new().receive_close(), Step::Over);
        this.at_client(Batch::new().receive_message(), Step::RequestReceived);
        this.at_backend(Batch::new().receive_initial_metadata(), Step::MetadataReceived);
    }

    /// Goes on when a step is done. An event that is not ok is of a call that is over.
    fn on(self: &Arc<Self>, step: Step, mut event: Event<Tag>) {
        match step {
            Step::RequestReceived if event.is_ok() => match event.take_message() {
                Some(request) => {
                    self.at_backend(Batch::new().send_message(request), Step::RequestSent)
                }
                None => self.at_backend(Batch::new().send_close(), Step::RequestsEnded),
            },
            Step::RequestSent if event.is_ok() => {
                self.at_client(Batch::new().receive_message(), Step::RequestReceived);
            }
            // The client has gone, and `Over` tells the backend. Or the backend takes no more, and its
            // status, which is on its way, ends the client's call.
            Step::RequestReceived | Step::RequestSent | Step::RequestsEnded => {}

            Step::MetadataReceived => match event.take_initial_metadata() {
                // Now, as the first message may be far.
                Some(metadata) => {
                    self.at_client(Batch::new().send_initial_metadata(metadata), Step::ReplySent);
                }
                // The status is all that there is. A client that is sent nothing else may try again.
                None => self.at_backend(Batch::new().receive_status(), Step::StatusReceived),
            },
            Step::ReplySent if event.is_ok() => {
                self.at_backend(Batch::new().receive_message(), Step::ReplyReceived);
            }
            Step::ReplyReceived => match event.take_message() {
                Some(reply) => self.at_client(Batch::new().send_message(reply), Step::ReplySent),
                None => self.at_backend(Batch::new().receive_status(), Step::StatusReceived),
            },
            Step::StatusReceived => {
                // If there is no backend, it is UNAVAILABLE with the cause.
                let status = event.take_status().expect("the batch receives it, and cannot fail");
                self.at_client(Batch::new().send_status(status), Step::StatusSent);
            }
            Step::ReplySent | Step::StatusSent => {}

            // The client has gone, or its time is over; in either case nobody waits for the backend.
            Step::Over if event.is_cancelled() => {
                self.backend.cancel(Status::cancelled("the client of the proxy has gone"));
            }
            Step::Over => {}
        }
    }

    fn at_client(self: &Arc<Self>, batch: Batch, step: Step) {
        // It is refused after the queue's shutdown, and, of a step that comes too late, by a call that is
        // over. What is not started holds the call no longer.
        let _ = self.client.start(batch, Tag::Of(self.clone(), step));
    }

    fn at_backend(self: &Arc<Self>, batch: Batch, step: Step) {
        let _ = self.backend.start(batch, Tag::Of(self.clone(), step));
    }
}

fn main() -> turnstile::Result<()> {
    let names = [&Args::FLAGS[..], &["--backend"]].concat();
    let flags = Flags::read(USAGE, &names, 0);
    let args = Args::of(&flags, "127.0.0.1:50050", 4);
    let backend = Channel::connect(flags.get("--backend").unwrap_or("127.0.0.1:50051"))?;
    // Without methods, so that calls of any method are given to who asks for calls.
    let server = Server::builder()
        .max_receive_message_size(LARGEST)
        .accept_compressed(Encoding::ALL)
        .bind(&args.listen)?;
    let cq = CompletionQueue::new();
    let request_call = || server.request_call(&cq, Tag::Incoming).is_ok();
    (0..256).all(|_| request_call()); // each for one call, and refused only after the shutdown
    let serve = || {
        while let Some(mut event) = cq.next(Deadline::NONE) {
            if let Some(call) = event.take_call() {
                request_call();
                Forwarded::begin(call, &backend, &cq);
            } else if let Tag::Of(call, step) = &event.tag {
                call.clone().on(*step, event);
            }
        }
    };
    common::run(&server, args.threads, serve, || cq.shutdown())
}
