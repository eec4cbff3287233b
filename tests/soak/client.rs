//! An HTTP/2 client: h2's, on a tokio runtime of one thread. Both belong to the test.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::client::{self, SendRequest};
use h2::{Ping, PingPong, RecvStream};
use http::Request;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// How many bytes of one stream this client takes before its reader does.
pub(crate) const WINDOW: u32 = 65_535;

/// A connection to the server.
pub(crate) struct Connected {
    pub(crate) sender: SendRequest<Bytes>,
    pub(crate) pings: PingPong,
    /// Ends with the connection.
    pub(crate) driver: JoinHandle<Result<(), h2::Error>>,
}

/// Connects. To be called in a runtime.
pub(crate) async fn connect(address: SocketAddr) -> io::Result<Connected> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let (sender, mut connection) = client::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(16 << 20)
        // A late reader lets small frames wait; that is what some of the tests are for.
        .data_frame_budget(1 << 30)
        .handshake(socket)
        .await
        .map_err(io::Error::other)?;
    let pings = connection.ping_pong().expect("nobody has taken it");
    Ok(Connected { sender, pings, driver: tokio::spawn(connection) })
}

/// The start of a gRPC request.
pub(crate) fn request(address: SocketAddr, path: &str) -> http::request::Builder {
    Request::post(format!("http://{address}{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
}

/// Waits until the server has taken everything sent so far out of its socket.
pub(crate) async fn ping(pings: &mut PingPong) -> Result<(), h2::Error> {
    pings.ping(Ping::opaque()).await.map(drop)
}

/// A message with its prefix.
pub(crate) fn frame(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(5 + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).expect("a short message"));
    framed.put_slice(message);
    framed.freeze()
}

/// The messages of a response.
pub(crate) struct Messages {
    body: RecvStream,
    buffer: BytesMut,
    /// Bytes that the server may send because they were taken.
    pub(crate) released: usize,
}

impl Messages {
    pub(crate) fn of(body: RecvStream) -> Self {
        Self { body, buffer: BytesMut::new(), released: 0 }
    }

    /// The next message; `None` after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, h2::Error> {
        loop {
            if let Some(message) = self.take() {
                return Ok(Some(message));
            }
            match self.body.data().await.transpose()? {
                None => return Ok(None),
                Some(data) => {
                    self.body.flow_control().release_capacity(data.len())?;
                    self.released += data.len();
                    self.buffer.extend_from_slice(&data);
                }
            }
        }
    }

    fn take(&mut self) -> Option<Bytes> {
        let prefix = self.buffer.get(1..5)?;
        let length = prefix.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        if self.buffer.len() < 5 + length {
            return None;
        }
        self.buffer.advance(5);
        Some(self.buffer.split_to(length).freeze())
    }

    /// The status in the trailers, after the last message.
    pub(crate) async fn status(&mut self) -> Result<Option<i32>, h2::Error> {
        let trailers = poll_fn(|context| self.body.poll_trailers(context)).await?;
        Ok(trailers.as_ref().and_then(status))
    }
}

/// The status in trailers, or in the head of a response without messages.
pub(crate) fn status(headers: &http::HeaderMap) -> Option<i32> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}
