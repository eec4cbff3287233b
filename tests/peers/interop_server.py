"""The server of gRPC's interoperability tests on grpcio, for a client of any language.

grpcio has one of its own, which is not published. What the service does for each case is in
`doc/interop-test-descriptions.md` of gRPC. Left out is what grpcio cannot do: a handler is not told
whether a request was compressed, so `expect_compressed` is not looked at, and the cases
client_compressed_unary and client_compressed_streaming are not possible.

The first line says where it listens. It serves until its stdin is closed.
"""

import argparse
import concurrent.futures
import faulthandler
import os
import sys
import time

import grpc

from interop_protos import PROTO, describe, shape

# After this it ends by itself, with the stacks of all its threads on stderr.
LIMIT = 240

# A call that waits has a thread of its own.
THREADS = 32

INITIAL = "x-grpc-test-echo-initial"
TRAILING = "x-grpc-test-echo-trailing-bin"


class TestService:
    """The methods, by their names in the .proto file. `UnimplementedCall` is left out on purpose."""

    def __init__(self, messages):
        self.messages = messages

    def EmptyCall(self, request, call):
        begin(call)
        return self.messages.Empty()

    def UnaryCall(self, request, call):
        begin(call)
        check_status(request, call)
        response = self.messages.SimpleResponse(
            payload=self.payload(request.response_type, request.response_size, call)
        )
        if request.fill_server_id:
            response.server_id = f"grpcio-{os.getpid()}"
        choose_compression(request.response_compressed, call)
        return response

    def CacheableUnaryCall(self, request, call):
        """The time in nanoseconds, so that a proxy's copy is known by its age."""
        call.send_initial_metadata([("cache-control", "max-age=60, public")])
        body = str(time.time_ns()).encode()
        return self.messages.SimpleResponse(payload=self.messages.Payload(body=body))

    def StreamingOutputCall(self, request, call):
        begin(call)
        yield from self.answer(request, call)

    def StreamingInputCall(self, requests, call):
        begin(call)
        size = sum(len(request.payload.body) for request in requests)
        return self.messages.StreamingInputCallResponse(aggregated_payload_size=size)

    def FullDuplexCall(self, requests, call):
        begin(call)
        for request in requests:
            yield from self.answer(request, call)

    def HalfDuplexCall(self, requests, call):
        begin(call)
        for request in list(requests):
            yield from self.answer(request, call)

    def answer(self, request, call):
        """What one request of a stream asks for."""
        check_status(request, call)
        for wanted in request.response_parameters:
            payload = self.payload(request.response_type, wanted.size, call)
            if wanted.interval_us > 0:
                time.sleep(wanted.interval_us / 1e6)
            choose_compression(wanted.compressed, call)
            yield self.messages.StreamingOutputCallResponse(payload=payload)

    def payload(self, kind, size, call):
        if kind != 0 or size < 0:
            text = f"there is no payload of type {kind} with {size} bytes"
            call.abort(grpc.StatusCode.INVALID_ARGUMENT, text)
        return self.messages.Payload(type=kind, body=bytes(size))


def begin(call):
    """Sends metadata back that asks for it, and lets responses be compressed."""
    # To be said before the initial metadata; each response then says whether it is.
    call.set_compression(grpc.Compression.Gzip)
    metadata = dict(call.invocation_metadata())
    if INITIAL in metadata:
        call.send_initial_metadata([(INITIAL, metadata[INITIAL])])
    if TRAILING in metadata:
        call.set_trailing_metadata([(TRAILING, metadata[TRAILING])])


def check_status(request, call):
    """Ends the call as the request wants it."""
    wanted = request.response_status
    if wanted.code != 0:
        codes = {code.value[0]: code for code in grpc.StatusCode}
        call.abort(codes.get(wanted.code, grpc.StatusCode.UNKNOWN), wanted.message)


def choose_compression(wanted, call):
    """Has the next response compressed, or not. A wish that is not there is no."""
    if not wanted.value:
        call.disable_next_message_compression()


def main():
    faulthandler.dump_traceback_later(LIMIT, exit=True)
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", default="127.0.0.1:0", help="an address; port 0 is a free one")
    parser.add_argument("--temp", help="folder for what is generated")
    arguments = parser.parse_args()
    messages, classes, services = describe(PROTO, arguments.temp)
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(THREADS))
    service, methods = services["TestService"], TestService(messages)
    handlers = {
        method.name: getattr(grpc, f"{shape(method)}_rpc_method_handler")(
            getattr(methods, method.name),
            request_deserializer=classes[method.input_type.full_name].FromString,
            response_serializer=classes[method.output_type.full_name].SerializeToString,
        )
        for method in service.methods
        if hasattr(methods, method.name)
    }
    handler = grpc.method_handlers_generic_handler(service.full_name, handlers)
    server.add_generic_rpc_handlers([handler])
    port = server.add_insecure_port(arguments.listen)
    server.start()
    host = arguments.listen.rpartition(":")[0]
    print(f"listening on {host}:{port}", flush=True)
    sys.stdin.read()
    server.stop(grace=None).wait()


if __name__ == "__main__":
    main()
