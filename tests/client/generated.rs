//! The clients that `turnstile-build` writes, against the servers that it writes.

use super::common::{failed, serve};
use turnstile::client::OutgoingCall;
use turnstile::{CallOptions, Code, Request, Response, Status, Streaming, Writer, block_on};
use turnstile_protos::echo::echo::{self, BlockingClient, Client};
use turnstile_protos::echo::{EchoReply, EchoRequest};

struct Echoing;

impl echo::Service for Echoing {
    async fn unary(&self, request: Request<EchoRequest>) -> Result<Response<EchoReply>, Status> {
        let who = request.metadata().get("x-who").unwrap_or_default();
        Ok(Response::new(reply(format!("{}{who}", request.text), 0)))
    }

    async fn client_stream(
        &self,
        requests: &mut Streaming<EchoRequest>,
    ) -> Result<Response<EchoReply>, Status> {
        let mut texts = Vec::new();
        while let Some(request) = requests.read().await? {
            texts.push(request.text);
        }
        Ok(Response::new(reply(texts.join(" "), 0)))
    }

    async fn server_stream(
        &self,
        request: Request<EchoRequest>,
        responses: &mut Writer<EchoReply>,
    ) -> Result<(), Status> {
        for index in 0..request.count {
            responses.write(reply(request.text.clone(), index)).await?;
        }
        Ok(())
    }

    async fn bidi(
        &self,
        requests: &mut Streaming<EchoRequest>,
        responses: &mut Writer<EchoReply>,
    ) -> Result<(), Status> {
        while let Some(request) = requests.read().await? {
            responses.write(reply(request.text, 0)).await?;
        }
        Ok(())
    }
}

fn reply(text: String, index: u32) -> EchoReply {
    EchoReply { text, index }
}

fn request(text: &str, count: u32) -> EchoRequest {
    EchoRequest { text: text.to_owned(), count, interval_ms: 0 }
}

#[test]
fn an_async_client_calls_methods_of_all_kinds() {
    serve(echo::server(Echoing), |channel| {
        block_on(async {
            let echo = Client::new(channel);
            assert_eq!(echo.unary(request("a", 0)).await.unwrap().text, "a");

            let mut upload = echo.client_stream();
            upload.write(request("a", 0)).await.unwrap();
            upload.write(request("b", 0)).await.unwrap();
            assert_eq!(upload.finish().await.unwrap().text, "a b");

            let mut replies = echo.server_stream(request("a", 2));
            assert_eq!(replies.read().await.unwrap(), Some(reply("a".to_owned(), 0)));
            assert_eq!(replies.read().await.unwrap(), Some(reply("a".to_owned(), 1)));
            assert_eq!(replies.read().await.unwrap(), None);

            let (mut writer, mut replies) = echo.bidi();
            writer.write(request("a", 0)).await.unwrap();
            assert_eq!(replies.read().await.unwrap().unwrap().text, "a");
            writer.close();
            assert_eq!(replies.read().await.unwrap(), None);
        });
    });
}

#[test]
fn a_blocking_client_calls_methods_of_all_kinds() {
    serve(echo::server(Echoing), |channel| {
        let echo = BlockingClient::new(channel);
        assert_eq!(echo.unary(request("a", 0)).unwrap().text, "a");

        let mut upload = echo.client_stream();
        upload.write(request("a", 0)).unwrap();
        upload.write(request("b", 0)).unwrap();
        assert_eq!(upload.finish().unwrap().text, "a b");

        let replies = echo.server_stream(request("a", 2));
        let indices: Vec<_> = replies.map(|reply| reply.unwrap().index).collect();
        assert_eq!(indices, [0, 1]);

        let (mut writer, mut replies) = echo.bidi();
        writer.write(request("a", 0)).unwrap();
        assert_eq!(replies.read().unwrap().unwrap().text, "a");
        writer.close();
        assert_eq!(replies.read().unwrap(), None);
    });
}

#[test]
fn options_and_interceptors_are_for_the_clients_that_they_were_put_on() {
    fn refuse(_: &mut OutgoingCall) -> Result<(), Status> {
        Err(Status::permission_denied("not today"))
    }
    serve(echo::server(Echoing), |channel| {
        let echo = BlockingClient::new(channel.clone());
        let signed = echo.with(CallOptions::new().metadata("x-who", ", me"));
        assert_eq!(signed.unary(request("a", 0)).unwrap().text, "a, me");
        assert_eq!(echo.unary(request("a", 0)).unwrap().text, "a");
        let refused = echo.clone().intercept(refuse);
        assert_eq!(failed(refused.unary(request("a", 0))).code(), Code::PermissionDenied);
        assert!(echo.unary(request("a", 0)).is_ok());

        let echo = Client::new(channel).with(CallOptions::new().metadata("x-who", ", you"));
        assert_eq!(block_on(echo.unary(request("a", 0))).unwrap().text, "a, you");
        let refused = echo.intercept(refuse);
        let status = failed(block_on(refused.unary(request("a", 0))));
        assert_eq!(status.code(), Code::PermissionDenied);
    });
}
