//! The floor: the least that can be done around h2 and still answer the greeter's call.
//!
//! One tokio task for each connection, no task and no channel for a call, no routing beyond the
//! one method, no deadline, no compression. In each turn the loop first takes in every request
//! that has arrived and only then answers those whose body is complete, so that h2 has all the
//! answers of a turn at hand when it writes. h2 flushes whenever it is polled for another
//! request: to answer each as it is accepted costs a write for each call, which was measured to
//! take two and a half times the processor time at 50 streams.

use std::error::Error;
use std::future::poll_fn;
use std::mem;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::RecvStream;
use h2::server::{Connection, SendResponse};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use prost::Message;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use turnstile_bench_peers::greeting;
use turnstile_bench_peers::helloworld::{HelloReply, HelloRequest};
use turnstile_bench_peers::options::{Options, announce};

type Failure = Box<dyn Error + Send + Sync>;

const METHOD: &str = "/helloworld.Greeter/SayHello";

/// A compressed-flag octet and a four-octet length precede every message.
const PREFIX: usize = 5;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const OK: HeaderValue = HeaderValue::from_static("0");
const UNIMPLEMENTED: HeaderValue = HeaderValue::from_static("12");

/// A call whose body may not have come in full.
struct Call {
    body: RecvStream,
    /// The first DATA frame, nearly always all there is.
    data: Bytes,
    respond: SendResponse<Bytes>,
    known: bool,
}

impl Call {
    fn new((request, respond): (Request<RecvStream>, SendResponse<Bytes>)) -> Self {
        let known = request.uri().path() == METHOD;
        Self { body: request.into_body(), data: Bytes::new(), respond, known }
    }

    /// Whether the body is complete. Capacity goes back to the client when the stream is dropped,
    /// hence is not released piece by piece: a greeting fits any window.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        while let Some(data) = ready!(self.body.poll_data(cx)) {
            self.append(data?);
            if self.body.is_end_stream() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn append(&mut self, data: Bytes) {
        if self.data.is_empty() {
            self.data = data;
        } else {
            self.data = [mem::take(&mut self.data), data].concat().into();
        }
    }

    fn answer(mut self) -> Result<(), Failure> {
        if !self.known {
            let mut response = headers();
            response.headers_mut().insert(GRPC_STATUS, UNIMPLEMENTED);
            self.respond.send_response(response, true)?;
            return Ok(());
        }
        let reply = greet(self.data)?;
        let mut stream = self.respond.send_response(headers(), false)?;
        stream.send_data(reply, false)?;
        stream.send_trailers(trailers())?;
        Ok(())
    }
}

fn headers() -> Response<()> {
    let mut response = Response::new(());
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    response
}

fn trailers() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(GRPC_STATUS, OK);
    trailers
}

/// Decodes the framed request and encodes the framed reply.
fn greet(mut framed: Bytes) -> Result<Bytes, Failure> {
    if framed.len() < PREFIX || framed.get_u8() != 0 || framed.get_u32() as usize != framed.len() {
        return Err("the body is not one uncompressed gRPC message".into());
    }
    let request = HelloRequest::decode(framed)?;
    let reply = HelloReply { message: greeting(&request.name) };
    let len = reply.encoded_len();
    let mut framed = BytesMut::with_capacity(PREFIX + len);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(len)?);
    reply.encode(&mut framed)?;
    Ok(framed.freeze())
}

/// One client's connection and its calls in hand.
struct Client {
    connection: Connection<TcpStream, Bytes>,
    calls: Vec<Call>,
}

impl Client {
    /// Takes in and answers in turns until neither gets any further.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        loop {
            if self.poll_accept(cx)?.is_ready() {
                return Poll::Ready(Ok(()));
            }
            if self.answer(cx)? == 0 {
                return Poll::Pending;
            }
        }
    }

    /// Takes in every request that has arrived; ready when the connection has ended.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        while let Some(accepted) = ready!(self.connection.poll_accept(cx)) {
            self.calls.push(Call::new(accepted?));
        }
        Poll::Ready(Ok(()))
    }

    /// Answers every call whose body is complete and tells how many.
    fn answer(&mut self, cx: &mut Context<'_>) -> Result<usize, Failure> {
        let before = self.calls.len();
        let mut next = 0;
        while next < self.calls.len() {
            match self.calls[next].poll_body(cx)? {
                Poll::Ready(()) => self.calls.swap_remove(next).answer()?,
                Poll::Pending => next += 1,
            }
        }
        Ok(before - self.calls.len())
    }
}

async fn attend(socket: TcpStream) -> Result<(), Failure> {
    socket.set_nodelay(true)?;
    let connection = h2::server::handshake(socket).await?;
    let mut client = Client { connection, calls: Vec::new() };
    poll_fn(|cx| client.poll(cx)).await
}

async fn serve(options: Options) -> Result<(), Failure> {
    let listener = TcpListener::bind(options.listen).await?;
    announce(listener.local_addr()?)?;
    loop {
        let (socket, _) = listener.accept().await?;
        tokio::spawn(async {
            if let Err(e) = attend(socket).await {
                eprintln!("a connection ended: {e}");
            }
        });
    }
}

fn main() -> Result<(), Failure> {
    let options = Options::from_args()?;
    if options.threads != 1 {
        return Err("bare_h2_loop is one thread by design: leave out --threads".into());
    }
    Builder::new_current_thread().enable_io().build()?.block_on(serve(options))
}
