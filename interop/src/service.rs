//! `grpc.testing.TestService`, with all that the cases ask of a server.
//!
//! Compression takes a server that accepts gzip and compresses replies with it: whether a reply is
//! compressed is then said by each request, and is no if it says nothing.

use std::process;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use turnstile::{Bytes, Code, Context, Metadata, Request, Response, Status, Streaming, Writer};
use turnstile_protos::testing::{
    BoolValue, EchoStatus, Empty, Payload, PayloadType, SimpleRequest, SimpleResponse,
    StreamingInputCallRequest, StreamingInputCallResponse, StreamingOutputCallRequest,
    StreamingOutputCallResponse, test_service,
};

/// Metadata of the request that comes back before the replies, and after them.
const ECHO_INITIAL: &str = "x-grpc-test-echo-initial";
const ECHO_TRAILING: &str = "x-grpc-test-echo-trailing-bin";

/// The largest payload that may be asked for. No case wants a tenth of it.
const MAX_PAYLOAD: usize = 16 * 1024 * 1024;

/// The service. `UnimplementedCall` is left out on purpose.
#[derive(Debug)]
pub struct TestService;

impl test_service::Service for TestService {
    async fn empty_call(&self, request: Request<Empty>) -> Result<Response<Empty>, Status> {
        echo_metadata(request.context())?;
        Ok(Response::new(Empty {}))
    }

    async fn unary_call(
        &self,
        request: Request<SimpleRequest>,
    ) -> Result<Response<SimpleResponse>, Status> {
        echo_metadata(request.context())?;
        check_compression(request.context(), request.expect_compressed)?;
        echo_status(request.response_status.as_ref())?;
        let payload = payload(request.response_type, request.response_size)?;
        let mut response = SimpleResponse { payload: Some(payload), ..SimpleResponse::default() };
        if request.fill_server_id {
            response.server_id = format!("turnstile-{}", process::id());
        }
        let response = Response::new(response);
        Ok(if is_true(request.response_compressed) { response } else { response.uncompressed() })
    }

    /// The time in nanoseconds, so that a proxy's copy is known by its age.
    async fn cacheable_unary_call(
        &self,
        _: Request<SimpleRequest>,
    ) -> Result<Response<SimpleResponse>, Status> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let body = Bytes::from(now.as_nanos().to_string());
        let payload = Payload { body, ..Payload::default() };
        let response = SimpleResponse { payload: Some(payload), ..SimpleResponse::default() };
        let mut response = Response::new(response).uncompressed();
        response.metadata_mut().insert("cache-control", "max-age=60, public")?;
        Ok(response)
    }

    async fn streaming_output_call(
        &self,
        request: Request<StreamingOutputCallRequest>,
        responses: &mut Writer<StreamingOutputCallResponse>,
    ) -> Result<(), Status> {
        echo_metadata(request.context())?;
        answer(request.get_ref(), responses).await
    }

    async fn streaming_input_call(
        &self,
        requests: &mut Streaming<StreamingInputCallRequest>,
    ) -> Result<Response<StreamingInputCallResponse>, Status> {
        echo_metadata(requests)?;
        let mut size = 0;
        while let Some(request) = requests.read().await? {
            check_compression(requests, request.expect_compressed)?;
            size += request.payload.map_or(0, |payload| payload.body.len());
        }
        let size = i32::try_from(size)
            .map_err(|_| Status::out_of_range("the payloads are too large to be counted"))?;
        let response = StreamingInputCallResponse { aggregated_payload_size: size };
        Ok(Response::new(response).uncompressed())
    }

    async fn full_duplex_call(
        &self,
        requests: &mut Streaming<StreamingOutputCallRequest>,
        responses: &mut Writer<StreamingOutputCallResponse>,
    ) -> Result<(), Status> {
        echo_metadata(requests)?;
        while let Some(request) = requests.read().await? {
            answer(&request, responses).await?;
        }
        Ok(())
    }

    async fn half_duplex_call(
        &self,
        requests: &mut Streaming<StreamingOutputCallRequest>,
        responses: &mut Writer<StreamingOutputCallResponse>,
    ) -> Result<(), Status> {
        echo_metadata(requests)?;
        let mut kept = Vec::new();
        while let Some(mut request) = requests.read().await? {
            request.payload = None;
            kept.push(request);
        }
        for request in &kept {
            answer(request, responses).await?;
        }
        Ok(())
    }
}

/// Sends what one request of a stream asks for.
async fn answer(
    request: &StreamingOutputCallRequest,
    responses: &mut Writer<StreamingOutputCallResponse>,
) -> Result<(), Status> {
    echo_status(request.response_status.as_ref())?;
    for wanted in &request.response_parameters {
        let payload = payload(request.response_type, wanted.size)?;
        let response = StreamingOutputCallResponse { payload: Some(payload) };
        if let Ok(micros @ 1..) = u64::try_from(wanted.interval_us) {
            turnstile::sleep(Duration::from_micros(micros)).await;
        }
        match is_true(wanted.compressed) {
            true => responses.write(response).await?,
            false => responses.write_uncompressed(response).await?,
        }
    }
    Ok(())
}

/// Sends metadata back that asks for it.
fn echo_metadata(call: &Context) -> Result<(), Status> {
    if let Some(value) = call.metadata().get(ECHO_INITIAL) {
        let mut initial = Metadata::new();
        initial.insert(ECHO_INITIAL, value)?;
        call.send_initial_metadata(initial)?;
    }
    if let Some(value) = call.metadata().get_bin(ECHO_TRAILING) {
        let value = value.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let mut trailers = Metadata::new();
        trailers.insert_bin(ECHO_TRAILING, &value)?;
        call.set_trailers(trailers);
    }
    Ok(())
}

/// Ends the call as the request wants it.
fn echo_status(wanted: Option<&EchoStatus>) -> Result<(), Status> {
    match wanted {
        Some(status) if status.code != 0 => {
            Err(Status::new(Code::from_i32(status.code), status.message.clone()))
        }
        _ => Ok(()),
    }
}

/// Whether the request that was read last came as it says that it has to.
fn check_compression(call: &Context, expected: Option<BoolValue>) -> Result<(), Status> {
    match (expected.map(|it| it.value), call.was_compressed()) {
        (Some(true), false) => Err(Status::invalid_argument("the request is not compressed")),
        (Some(false), true) => Err(Status::invalid_argument("the request is compressed")),
        _ => Ok(()),
    }
}

fn payload(kind: i32, size: i32) -> Result<Payload, Status> {
    if kind != PayloadType::Compressable as i32 {
        return Err(Status::invalid_argument(format!("payloads of type {kind} are not known")));
    }
    let size = usize::try_from(size).ok().filter(|size| *size <= MAX_PAYLOAD).ok_or_else(|| {
        Status::invalid_argument(format!("a payload has 0 to {MAX_PAYLOAD} bytes, and not {size}"))
    })?;
    Ok(Payload { r#type: kind, body: Bytes::from(vec![0; size]) })
}

fn is_true(value: Option<BoolValue>) -> bool {
    value.is_some_and(|it| it.value)
}
