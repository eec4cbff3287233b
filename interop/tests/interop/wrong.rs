//! A server that does nothing of what the cases ask, so that a client which is content with it checks
//! nothing.

use std::thread;

use turnstile::test_server::TestServer;
use turnstile::{Request, Response, Server, Status, Streaming, Writer};
use turnstile_interop::client::Style;
use turnstile_protos::testing::{
    Empty, SimpleRequest, SimpleResponse, StreamingInputCallRequest, StreamingInputCallResponse,
    StreamingOutputCallRequest, StreamingOutputCallResponse, test_service, unimplemented_service,
};

use super::cases::CASES;
use super::clients;
use crate::support::PATIENCE;

/// What these end with is the client's own doing.
const CLIENTS_OWN: [&str; 2] = ["cancel_after_begin", "timeout_on_sleeping_server"];

struct Wrong;

impl test_service::Service for Wrong {
    async fn empty_call(&self, _: Request<Empty>) -> Result<Response<Empty>, Status> {
        Err(Status::internal("wrong"))
    }

    async fn unary_call(
        &self,
        _: Request<SimpleRequest>,
    ) -> Result<Response<SimpleResponse>, Status> {
        Ok(Response::default())
    }

    async fn cacheable_unary_call(
        &self,
        _: Request<SimpleRequest>,
    ) -> Result<Response<SimpleResponse>, Status> {
        Ok(Response::default())
    }

    async fn streaming_input_call(
        &self,
        _: &mut Streaming<StreamingInputCallRequest>,
    ) -> Result<Response<StreamingInputCallResponse>, Status> {
        Ok(Response::default())
    }

    async fn full_duplex_call(
        &self,
        _: &mut Streaming<StreamingOutputCallRequest>,
        responses: &mut Writer<StreamingOutputCallResponse>,
    ) -> Result<(), Status> {
        responses.write(StreamingOutputCallResponse::default()).await
    }

    async fn streaming_output_call(
        &self,
        _: Request<StreamingOutputCallRequest>,
        _: &mut Writer<StreamingOutputCallResponse>,
    ) -> Result<(), Status> {
        Ok(())
    }

    async fn unimplemented_call(&self, _: Request<Empty>) -> Result<Response<Empty>, Status> {
        Ok(Response::default())
    }
}

impl unimplemented_service::Service for Wrong {
    async fn unimplemented_call(&self, _: Request<Empty>) -> Result<Response<Empty>, Status> {
        Ok(Response::default())
    }
}

#[test]
fn our_client_notices_a_server_that_does_nothing_right() {
    let mut builder = Server::builder();
    builder
        .add_service(test_service::server(Wrong))
        .add_service(unimplemented_service::server(Wrong));
    thread::scope(|scope| {
        let server = TestServer::start(scope, 2, &mut builder).expect("there is a free port");
        for style in Style::ALL {
            for case in CASES.into_iter().filter(|case| !CLIENTS_OWN.contains(case)) {
                let ended = clients::start_ours(style, &server.address(), case).join(PATIENCE);
                assert_eq!(ended.exit_code, Some(1), "{case}, {style}: {ended:?}");
                let said = format!("{case}, {style}: ");
                assert!(ended.stderr.starts_with(&said), "{ended:?}");
            }
        }
    });
}
