//! A client over HTTP/2: h2's own, on a stream of bytes in memory.

use super::duplex::{Wire, duplex};
use super::rpc::{End, Options, Peer, TestServer};
use crate::compression::{Encoding, Encodings};
use crate::metadata::Metadata;
use crate::status::Status;
use crate::transport::Transport as _;
use crate::transport::h2::{Config, Io, ServerTransport, Traffic};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::client::{Connection, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::Request;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

const PREFIX_LEN: usize = 5;

pub(super) struct H2Peer {
    transport: Arc<ServerTransport>,
    wire: Wire,
    traffic: Arc<Traffic>,
    /// `None` once it is closed.
    connection: Option<Connection<Io, Bytes>>,
    requests: SendRequest<Bytes>,
    piece: usize,
    encoding: Option<Encoding>,
    accepts: &'static str,
    call: Option<ClientCall>,
}

struct ClientCall {
    output: SendStream<Bytes>,
    /// What is left of the message that is being sent.
    message: Bytes,
    response: Option<ResponseFuture>,
    initial_metadata: Option<Metadata>,
    body: Option<RecvStream>,
    received: BytesMut,
    /// The encoding that the head named.
    encoding: Option<Encoding>,
    /// The compressed flags of the messages so far.
    flags: Vec<u8>,
    /// Bytes taken out of h2 whose window has not been given back.
    unreleased: usize,
    end: Option<End>,
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

impl H2Peer {
    fn call(&mut self) -> &mut ClientCall {
        self.call.as_mut().expect("the call has begun")
    }

    /// How many bytes the window lets the client send now.
    pub(super) fn room(&mut self) -> usize {
        let output = &mut self.call().output;
        output.reserve_capacity(1);
        output.capacity()
    }

    /// The compressed flags of the messages so far.
    #[cfg(any(feature = "gzip", feature = "deflate", feature = "zstd"))]
    pub(super) fn flags(&mut self) -> &[u8] {
        &self.call().flags
    }

    /// Sends bytes as they are, in one DATA frame if the window is wide enough.
    pub(super) fn send_raw(&mut self, bytes: Bytes, is_last: bool) {
        self.call().output.send_data(bytes, is_last).expect("the stream is open");
    }
}

impl ClientCall {
    fn poll_head(&mut self) {
        let Some(response) = &mut self.response else { return };
        let Poll::Ready(result) = Pin::new(response).poll(&mut context()) else { return };
        self.response = None;
        let Ok(response) = result else {
            self.end = Some(End::Broken);
            return;
        };
        let (mut parts, body) = response.into_parts();
        match Status::from_headers(&mut parts.headers) {
            Some(status) => self.end = Some(End::Status(status)),
            None => {
                let encoding = parts.headers.get("grpc-encoding");
                self.encoding = encoding.map(|name| {
                    Encoding::from_name(name.as_bytes()).expect("an encoding that is known")
                });
                self.initial_metadata = Some(Metadata::from_headers(parts.headers));
                self.body = Some(body);
            }
        }
    }

    /// Takes one DATA frame, or the end.
    fn poll_body(&mut self) -> Poll<()> {
        let Some(body) = &mut self.body else { return Poll::Pending };
        match body.poll_data(&mut context()) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(Ok(data))) => {
                self.unreleased += data.len();
                self.received.extend_from_slice(&data);
                return Poll::Ready(());
            }
            Poll::Ready(Some(Err(_))) => self.end = Some(End::Broken),
            Poll::Ready(None) => match body.poll_trailers(&mut context()) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(Some(mut trailers))) => {
                    let status = Status::from_headers(&mut trailers);
                    self.end = Some(End::Status(status.expect("trailers have the status")));
                }
                Poll::Ready(Ok(None) | Err(_)) => self.end = Some(End::Broken),
            },
        }
        Poll::Ready(())
    }

    fn take_message(&mut self) -> Option<Bytes> {
        let prefix = self.received.get(..PREFIX_LEN)?;
        let flag = prefix[0];
        let length = u32::from_be_bytes(prefix[1..].try_into().unwrap()) as usize;
        if self.received.len() < PREFIX_LEN + length {
            return None;
        }
        self.received.advance(PREFIX_LEN);
        let message = self.received.split_to(length).freeze();
        self.flags.push(flag);
        match (flag, self.encoding) {
            (0, _) => Some(message),
            (1, Some(encoding)) => {
                Some(encoding.decompress(&message, usize::MAX).expect("the server compressed it"))
            }
            other => panic!("the flag and the encoding are {other:?}"),
        }
    }

    fn release_down_to(&mut self, keep: usize) {
        let count = self.unreleased.saturating_sub(keep);
        if let Some(body) = self.body.as_mut().filter(|_| count > 0) {
            self.unreleased -= count;
            body.flow_control().release_capacity(count).expect("these bytes were received");
        }
    }
}

impl Peer for H2Peer {
    fn connect(server: &Arc<TestServer>, options: &Options) -> Self {
        let (client_end, server_end, wire) = duplex();
        let window = u32::try_from(options.window).unwrap();
        let config = Config {
            stream_window: window,
            max_message_size: options.max_message_size,
            accepts: Encodings::of(Encoding::ALL),
            ..Config::default()
        };
        let (config, iomgr) = (Arc::new(config), server.iomgr.clone());
        let transport =
            ServerTransport::new(Box::new(server_end), 7, config, server.clone(), iomgr, None);
        transport.start();
        let (io, traffic) = Io::client(Box::new(client_end));
        traffic.begin_turn();
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(window).initial_connection_window_size(1 << 24);
        let handshake = pin!(builder.handshake(io));
        let Poll::Ready(Ok((requests, connection))) = handshake.poll(&mut context()) else {
            panic!("a client's handshake waits for nothing");
        };
        let piece = options.piece;
        let connection = Some(connection);
        let (encoding, accepts) = (options.requests, options.accepts);
        Self {
            transport,
            wire,
            traffic,
            connection,
            requests,
            piece,
            encoding,
            accepts,
            call: None,
        }
    }

    fn work(&mut self) {
        self.traffic.begin_turn();
        if let Some(connection) = &mut self.connection
            && Pin::new(connection).poll(&mut context()).is_ready()
        {
            self.connection = None;
            drop(self.traffic.take_endpoint());
        }
    }

    fn activity(&self) -> usize {
        self.wire.activity()
    }

    fn start(&mut self, timeout: Option<Duration>) {
        let mut request = Request::post("http://test/test.Test/Test")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("who", "a test")
            .header("grpc-accept-encoding", self.accepts);
        if let Some(encoding) = self.encoding {
            request = request.header("grpc-encoding", encoding.name());
        }
        if let Some(timeout) = timeout {
            request = request.header("grpc-timeout", format!("{}u", timeout.as_micros()));
        }
        let request = request.body(()).unwrap();
        let (response, output) = self.requests.send_request(request, false).unwrap();
        self.call = Some(ClientCall {
            output,
            message: Bytes::new(),
            response: Some(response),
            initial_metadata: None,
            body: None,
            received: BytesMut::new(),
            encoding: None,
            flags: Vec::new(),
            unreleased: 0,
            end: None,
        });
    }

    fn begin_message(&mut self, message: Bytes) {
        let compressed = self.encoding.and_then(|encoding| encoding.compress(&message));
        let flag = u8::from(compressed.is_some());
        let message = compressed.unwrap_or(message);
        let mut framed = BytesMut::with_capacity(PREFIX_LEN + message.len());
        framed.put_u8(flag);
        framed.put_u32(u32::try_from(message.len()).unwrap());
        framed.extend_from_slice(&message);
        self.call().message = framed.freeze();
    }

    fn poll_send(&mut self) -> Poll<bool> {
        let piece = self.piece;
        let ClientCall { output, message, .. } = self.call();
        while !message.is_empty() {
            output.reserve_capacity(message.len().min(piece));
            let room = output.capacity().min(message.len()).min(piece);
            if room == 0 {
                match output.poll_capacity(&mut context()) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Some(Ok(_))) => continue,
                    Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(false),
                }
            }
            if output.send_data(message.split_to(room), false).is_err() {
                return Poll::Ready(false);
            }
        }
        Poll::Ready(true)
    }

    fn half_close(&mut self) {
        // An error says that the call has ended.
        let _ = self.call().output.send_data(Bytes::new(), true);
    }

    fn cancel(&mut self) {
        self.call().output.send_reset(Reason::CANCEL);
    }

    fn poll_message(&mut self) -> Poll<Option<Bytes>> {
        let Some(call) = &mut self.call else { return Poll::Ready(None) };
        call.poll_head();
        loop {
            if let Some(message) = call.take_message() {
                call.release_down_to(call.received.len());
                return Poll::Ready(Some(message));
            }
            if call.end.is_some() {
                return Poll::Ready(None);
            }
            if call.poll_body().is_pending() {
                // The server cannot send what is missing if its window is what is here.
                call.release_down_to(0);
                return Poll::Pending;
            }
        }
    }

    fn end(&mut self) -> Option<End> {
        match &self.call {
            Some(call) => call.end.clone(),
            None => Some(End::Broken),
        }
    }

    fn initial_metadata(&mut self) -> Option<Metadata> {
        let call = self.call();
        call.poll_head();
        call.initial_metadata.take()
    }

    fn abort(&mut self) {
        self.transport.clone().abort();
    }

    fn vanish(&mut self) {
        self.wire.cut();
    }
}
