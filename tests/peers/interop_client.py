"""The cases of gRPC's interoperability tests, for a server of any language.

What each does is in `doc/interop-test-descriptions.md` of gRPC. grpcio has a client of its own for
them, which is not published. Left out is what grpcio cannot do: compress single messages of a
stream, and tell whether a reply was compressed.
"""

import queue
import time
import types

import grpc

import harness
from harness import TIMEOUT, expect, expect_status
from interop_protos import PROTO, describe, shape

INITIAL = "x-grpc-test-echo-initial"
TRAILING = "x-grpc-test-echo-trailing-bin"

# Sizes of the payloads of requests, and of those that are asked for.
REQUESTS = (27182, 8, 1828, 45904)
RESPONSES = (31415, 9, 2653, 58979)
LARGE_REQUEST = 271828
LARGE_RESPONSE = 314159

STATUS_MESSAGE = "test status message"
SPECIAL_MESSAGE = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"


class Stub:
    """The methods of a service."""

    def __init__(self, channel, service, classes):
        for method in service.methods:
            call = getattr(channel, shape(method))(
                f"/{service.full_name}/{method.name}",
                request_serializer=classes[method.input_type.full_name].SerializeToString,
                response_deserializer=classes[method.output_type.full_name].FromString,
            )
            setattr(self, method.name, call)


def stubs(proto, temp):
    """The messages, and a stub for each service."""
    messages, classes, services = describe(proto, temp)
    made = {
        f"{name}Stub": lambda channel, service=service: Stub(channel, service, classes)
        for name, service in services.items()
    }
    return messages, types.SimpleNamespace(**made)


class Requests:
    """A stream of requests that grows until it is closed."""

    def __init__(self):
        self.queue = queue.SimpleQueue()

    def send(self, request):
        self.queue.put(request)

    def close(self):
        self.queue.put(None)

    def __iter__(self):
        return iter(self.queue.get, None)


def test_service(peer):
    return peer.services.TestServiceStub(peer.channel)


def zeros(peer, size):
    return peer.messages.Payload(body=bytes(size))


def large_request(peer, **fields):
    payload = zeros(peer, LARGE_REQUEST)
    return peer.messages.SimpleRequest(payload=payload, response_size=LARGE_RESPONSE, **fields)


def output_request(peer, size, *response_sizes, **fields):
    wanted = [peer.messages.ResponseParameters(size=each) for each in response_sizes]
    return peer.messages.StreamingOutputCallRequest(
        payload=zeros(peer, size), response_parameters=wanted, **fields
    )


def expect_zeros(response, size):
    expect(response.payload.body, bytes(size), "the response's payload")


def empty_unary(peer):
    expect(test_service(peer).EmptyCall(peer.messages.Empty(), timeout=TIMEOUT).ByteSize(), 0, "size")


def large_unary(peer):
    expect_zeros(test_service(peer).UnaryCall(large_request(peer), timeout=TIMEOUT), LARGE_RESPONSE)


def cacheable_unary(peer):
    """Without the proxy that the case is meant for: what that would act on is there."""
    request = peer.messages.SimpleRequest()
    request.payload.body = str(time.time_ns()).encode()
    metadata = [("x-user-ip", "1.2.3.4")]
    for _ in range(2):
        call = test_service(peer).CacheableUnaryCall
        response, call = call.with_call(request, timeout=TIMEOUT, metadata=metadata)
        expect(response.payload.body.isdigit(), True, "whether the payload is a number")
        cached = dict(call.initial_metadata()).get("cache-control")
        expect(cached, "max-age=60, public", "cache-control")


def client_compressed_unary(peer):
    call = test_service(peer).UnaryCall
    boxed = peer.messages.BoolValue
    plain, gzip = grpc.Compression.NoCompression, grpc.Compression.Gzip
    probe = large_request(peer, expect_compressed=boxed(value=True))
    unchecked = lambda: call(probe, timeout=TIMEOUT, compression=plain)
    expect_status(unchecked, grpc.StatusCode.INVALID_ARGUMENT)
    for is_compressed, compression in [(True, gzip), (False, plain)]:
        request = large_request(peer, expect_compressed=boxed(value=is_compressed))
        expect_zeros(call(request, timeout=TIMEOUT, compression=compression), LARGE_RESPONSE)


def client_streaming(peer):
    request = peer.messages.StreamingInputCallRequest
    requests = [request(payload=zeros(peer, size)) for size in REQUESTS]
    response = test_service(peer).StreamingInputCall(iter(requests), timeout=TIMEOUT)
    expect(response.aggregated_payload_size, 74922, "aggregated size")


def server_streaming(peer):
    request = output_request(peer, 0, *RESPONSES)
    responses = list(test_service(peer).StreamingOutputCall(request, timeout=TIMEOUT))
    expect(len(responses), len(RESPONSES), "number of responses")
    for response, size in zip(responses, RESPONSES):
        expect_zeros(response, size)


def ping_pong(peer):
    requests = Requests()
    responses = test_service(peer).FullDuplexCall(iter(requests), timeout=TIMEOUT)
    for request_size, response_size in zip(REQUESTS, RESPONSES):
        requests.send(output_request(peer, request_size, response_size))
        expect_zeros(next(responses), response_size)
    requests.close()
    expect(list(responses), [], "responses after the last")


def empty_stream(peer):
    responses = test_service(peer).FullDuplexCall(iter([]), timeout=TIMEOUT)
    expect(list(responses), [], "responses")
    expect(responses.code(), grpc.StatusCode.OK, "status")


def cancel_after_begin(peer):
    requests = Requests()
    call = test_service(peer).StreamingInputCall.future(iter(requests), timeout=TIMEOUT)
    call.cancel()
    expect(call.cancelled(), True, "whether it was cancelled")
    expect(call.code(), grpc.StatusCode.CANCELLED, "status")
    requests.close()


def cancel_after_first_response(peer):
    requests = Requests()
    call = test_service(peer).FullDuplexCall(iter(requests), timeout=TIMEOUT)
    requests.send(output_request(peer, REQUESTS[0], RESPONSES[0]))
    expect_zeros(next(call), RESPONSES[0])
    call.cancel()
    expect_status(lambda: next(call), grpc.StatusCode.CANCELLED)
    requests.close()


def timeout_on_sleeping_server(peer):
    requests = Requests()
    requests.send(output_request(peer, REQUESTS[0]))
    call = test_service(peer).FullDuplexCall(iter(requests), timeout=0.001)
    expect_status(lambda: next(call), grpc.StatusCode.DEADLINE_EXCEEDED)
    requests.close()


def custom_metadata(peer):
    metadata = [(INITIAL, "test_initial_metadata_value"), (TRAILING, b"\xab\xab\xab")]
    stub = test_service(peer)
    response, unary = stub.UnaryCall.with_call(
        large_request(peer), timeout=TIMEOUT, metadata=metadata
    )
    expect_zeros(response, LARGE_RESPONSE)
    request = output_request(peer, LARGE_REQUEST, LARGE_RESPONSE)
    bidi = stub.FullDuplexCall(iter([request]), timeout=TIMEOUT, metadata=metadata)
    for response in bidi:
        expect_zeros(response, LARGE_RESPONSE)
    for call in (unary, bidi):
        expect(dict(call.initial_metadata()).get(INITIAL), metadata[0][1], "initial metadata")
        expect(dict(call.trailing_metadata()).get(TRAILING), metadata[1][1], "trailing metadata")


def status_code_and_message(peer):
    status = peer.messages.EchoStatus(code=2, message=STATUS_MESSAGE)
    stub = test_service(peer)
    unary = peer.messages.SimpleRequest(response_status=status)
    bidi = output_request(peer, 0, response_status=status)
    for call in (
        lambda: stub.UnaryCall(unary, timeout=TIMEOUT),
        lambda: list(stub.FullDuplexCall(iter([bidi]), timeout=TIMEOUT)),
    ):
        expect_status(call, grpc.StatusCode.UNKNOWN, STATUS_MESSAGE)


def special_status_message(peer):
    status = peer.messages.EchoStatus(code=2, message=SPECIAL_MESSAGE)
    request = peer.messages.SimpleRequest(response_status=status)
    call = lambda: test_service(peer).UnaryCall(request, timeout=TIMEOUT)
    expect_status(call, grpc.StatusCode.UNKNOWN, SPECIAL_MESSAGE)


def unimplemented_method(peer):
    call = test_service(peer).UnimplementedCall
    empty = peer.messages.Empty()
    expect_status(lambda: call(empty, timeout=TIMEOUT), grpc.StatusCode.UNIMPLEMENTED)


def unimplemented_service(peer):
    call = peer.services.UnimplementedServiceStub(peer.channel).UnimplementedCall
    empty = peer.messages.Empty()
    expect_status(lambda: call(empty, timeout=TIMEOUT), grpc.StatusCode.UNIMPLEMENTED)


if __name__ == "__main__":
    harness.run(
        PROTO,
        [
            empty_unary,
            cacheable_unary,
            large_unary,
            client_compressed_unary,
            client_streaming,
            server_streaming,
            ping_pong,
            empty_stream,
            custom_metadata,
            status_code_and_message,
            special_status_message,
            unimplemented_method,
            unimplemented_service,
            cancel_after_begin,
            cancel_after_first_response,
            timeout_on_sleeping_server,
        ],
        stubs,
    )
