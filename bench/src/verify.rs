//! One call made by hand, since h2load looks neither at the messages nor at the trailers.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use h2::client::SendRequest;
use http::header::{CONTENT_TYPE, HeaderMap, TE};
use http::{Request, Response};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::time::timeout;

/// The method that is measured.
pub(crate) const PATH: &str = "/helloworld.Greeter/SayHello";
/// `HelloRequest { name: "world" }` behind its prefix.
pub(crate) const REQUEST: &[u8] = b"\0\0\0\0\x07\x0a\x05world";
/// `HelloReply { message: "Hello world" }` behind its prefix.
pub(crate) const REPLY: &[u8] = b"\0\0\0\0\x0d\x0a\x0bHello world";

/// How long the one call may take.
const LIMIT: Duration = Duration::from_secs(5);

/// Greets once and fails unless the answer is the greeting with status 0.
pub(crate) fn verify(addr: SocketAddr) -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let call = timeout(LIMIT, greet(addr));
        call.await.with_context(|| format!("no answer within {} s", LIMIT.as_secs()))?
    })
}

async fn greet(addr: SocketAddr) -> Result<()> {
    let socket = TcpStream::connect(addr).await?;
    let (mut client, connection) = h2::client::handshake(socket).await?;
    let connection = tokio::spawn(connection);
    let answer = call(&mut client, addr).await;
    connection.abort();
    answer
}

async fn call(client: &mut SendRequest<Bytes>, addr: SocketAddr) -> Result<()> {
    let request = Request::post(format!("http://{addr}{PATH}"))
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .body(())?;
    let (response, mut stream) = client.send_request(request, false)?;
    stream.send_data(Bytes::from_static(REQUEST), true)?;
    let (data, trailers, response) = read(response.await?).await?;
    ensure!(response.status() == 200, "the HTTP status is {}", response.status());
    let kind = text(response.headers(), CONTENT_TYPE.as_str());
    ensure!(kind.starts_with("application/grpc"), "the content-type is {kind:?}");
    let status = text(&trailers, "grpc-status");
    let message = text(&trailers, "grpc-message");
    ensure!(status == "0", "the grpc-status in the trailers is {status:?}, not 0: {message}");
    ensure!(data == REPLY, "the reply is {:?}, not the greeting", Bytes::from(data));
    Ok(())
}

async fn read(response: Response<h2::RecvStream>) -> Result<(Vec<u8>, HeaderMap, Response<()>)> {
    let (head, mut body) = response.into_parts();
    let mut data = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        data.extend_from_slice(&piece);
    }
    let trailers = body.trailers().await?.unwrap_or_default();
    Ok((data, trailers, Response::from_parts(head, ())))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
