//! All four kinds of RPC written directly on completion queues, with one queue for each call.
//!
//! A thread makes a queue (which costs no system call), asks for a call on it, and serves that call
//! to its end: it starts an operation, waits for its tag, and starts the next. While it waits it
//! does whatever I/O there is to do, for every call of the server. So there are as many calls at a
//! time as there are threads (`--threads`, 16 if not given), and others wait for their turn.
//!
//! ```text
//! cargo run --release --example echo_cq_server
//! grpcurl -plaintext -import-path proto -proto echo.proto -d '{"text":"a"} {"text":"b"}' \
//!     127.0.0.1:50052 turnstile.echo.Echo/Bidi
//! ```

#![expect(clippy::print_stdout, reason = "it says which calls were cancelled")]

mod common;

use common::Args;
use percent_encoding::percent_decode_str;
use std::cell::Cell;
use std::time::Duration;
use turnstile::metadata::ValueRef;
use turnstile::{Batch, Call, Code, Deadline, Metadata, PluckQueue, Server, Status, codec};
use turnstile_protos::echo::{EchoReply, EchoRequest};

/// The operations of a call. Of each, one is pending at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Op {
    Incoming,
    Receive,
    Send,
    Finish,
    Close,
}

fn main() -> turnstile::Result<()> {
    let args = Args::read("127.0.0.1:50052", 16);
    let server = Server::builder().bind(&args.listen)?;
    // No method is registered, so that calls of any method come.
    let serve = || {
        while let Some(echo) = Echo::next(&server) {
            echo.serve();
        }
    };
    common::run(&server, args.threads, serve, || {})
}

/// One call and its queue.
struct Echo {
    call: Call<Op>,
    queue: PluckQueue<Op>,
    /// How the call's close came out, once it has.
    cancelled: Cell<Option<bool>>,
}

/// Why a call ends before its work is done.
enum End {
    /// With this status.
    Status(Status),
    /// The client has gone, or its deadline has passed: there is nobody to tell.
    Gone,
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl Echo {
    /// Waits for the next call; `None` when the server is shut down.
    fn next(server: &Server) -> Option<Self> {
        let queue = PluckQueue::new();
        server.request_call_on(&queue, &queue, Op::Incoming).ok()?;
        let mut event = queue.pluck(&Op::Incoming, Deadline::NONE)?;
        let call = event.take_call()?;
        Some(Self { call, queue, cancelled: Cell::new(None) })
    }

    /// Serves the call to its end.
    fn serve(self) {
        self.start(Batch::new().receive_close(), Op::Close);
        let status = match self.dispatch() {
            Ok(()) => self.wanted_status(),
            Err(End::Status(status)) => status,
            Err(End::Gone) => Status::cancelled("the call is over"),
        };
        // On a call that is over, this fails by its event, and that is all right.
        self.start(Batch::new().send_status(status.with_metadata(self.trailers())), Op::Finish);
        self.queue.pluck(&Op::Finish, Deadline::NONE);
        self.wait_for_close(Deadline::NONE);
        if self.cancelled.get() == Some(true) {
            println!("cancelled {}", self.call.method());
        }
    }

    fn dispatch(&self) -> Result<(), End> {
        match self.call.method() {
            "/turnstile.echo.Echo/Unary" => self.unary(),
            "/turnstile.echo.Echo/ClientStream" => self.client_stream(),
            "/turnstile.echo.Echo/ServerStream" => self.server_stream(),
            "/turnstile.echo.Echo/Bidi" => self.bidi(),
            other => Err(Status::unimplemented(format!("there is no method {other}")).into()),
        }
    }

    fn unary(&self) -> Result<(), End> {
        let request = self.receive_only()?;
        self.send_initial_metadata()?;
        self.send(&EchoReply { text: request.text, index: 0 })
    }

    fn client_stream(&self) -> Result<(), End> {
        self.send_initial_metadata()?;
        let mut texts = Vec::new();
        while let Some(request) = self.receive()? {
            texts.push(request.text);
        }
        self.send(&EchoReply { text: texts.join(" "), index: 0 })
    }

    fn server_stream(&self) -> Result<(), End> {
        let request = self.receive_only()?;
        self.send_initial_metadata()?;
        for index in 0..request.count.max(1) {
            self.pause(Duration::from_millis(request.interval_ms.into()))?;
            self.send(&EchoReply { text: request.text.clone(), index })?;
        }
        Ok(())
    }

    fn bidi(&self) -> Result<(), End> {
        self.send_initial_metadata()?;
        let mut index = 0;
        while let Some(request) = self.receive()? {
            self.send(&EchoReply { text: request.text, index })?;
            index += 1;
        }
        Ok(())
    }

    /// Starts a batch whose operations are not pending.
    fn start(&self, batch: Batch, op: Op) {
        self.call.start(batch, op).expect("one operation of each kind is started at a time");
    }

    /// The next message, or `None` when the client has sent its last.
    fn receive(&self) -> Result<Option<EchoRequest>, End> {
        self.start(Batch::new().receive_message(), Op::Receive);
        let mut event = self.queue.pluck(&Op::Receive, Deadline::NONE).ok_or(End::Gone)?;
        if !event.is_ok() {
            return Err(End::Gone);
        }
        let message = event.take_message().map(codec::decode).transpose()?;
        Ok(message)
    }

    /// The only message of a method that takes one.
    fn receive_only(&self) -> Result<EchoRequest, End> {
        let wrong = || Status::unimplemented("this method takes exactly one message");
        let request = self.receive()?.ok_or_else(wrong)?;
        if self.receive()?.is_some() {
            return Err(wrong().into());
        }
        Ok(request)
    }

    fn send_initial_metadata(&self) -> Result<(), End> {
        let metadata = self.echoed(|_| true);
        self.finish(Batch::new().send_initial_metadata(metadata))
    }

    fn send(&self, reply: &EchoReply) -> Result<(), End> {
        self.finish(Batch::new().send_message(codec::encode(reply)))
    }

    /// Sends something and waits until the transport has taken it.
    fn finish(&self, batch: Batch) -> Result<(), End> {
        self.start(batch, Op::Send);
        let event = self.queue.pluck(&Op::Send, Deadline::NONE);
        if event.is_some_and(|event| event.is_ok()) { Ok(()) } else { Err(End::Gone) }
    }

    /// Waits for a time, or until the call is over. It blocks nobody else: this thread goes on with
    /// other calls' I/O.
    fn pause(&self, time: Duration) -> Result<(), End> {
        if self.wait_for_close(Deadline::after(time)) { Err(End::Gone) } else { Ok(()) }
    }

    /// Whether the call is over, after waiting for that.
    fn wait_for_close(&self, deadline: Deadline) -> bool {
        if self.cancelled.get().is_none() {
            let close = self.queue.pluck(&Op::Close, deadline);
            self.cancelled.set(close.map(|event| event.is_cancelled()));
        }
        self.cancelled.get().is_some()
    }

    /// The request's `x-echo-*` entries whose key is `wanted`.
    fn echoed(&self, wanted: impl Fn(&str) -> bool) -> Metadata {
        let mut metadata = Metadata::new();
        let entries = self.call.metadata().iter();
        for (key, value) in entries.filter(|(key, _)| key.starts_with("x-echo-") && wanted(key)) {
            let added = match value {
                ValueRef::Binary(value) => metadata.append_bin(key, &value),
                ValueRef::Ascii(value) => metadata.append(key, value),
                _ => Ok(()),
            };
            added.expect("metadata that was received can be sent");
        }
        metadata
    }

    fn trailers(&self) -> Metadata {
        self.echoed(|key| key.ends_with("-bin"))
    }

    /// The status that the request asks for.
    fn wanted_status(&self) -> Status {
        let code = self.call.metadata().get("x-want-code").and_then(|code| code.parse().ok());
        let message = self.call.metadata().get("x-want-message").unwrap_or_default();
        let message = percent_decode_str(message).decode_utf8_lossy().into_owned();
        Status::new(code.map_or(Code::Ok, Code::from_i32), message)
    }
}
