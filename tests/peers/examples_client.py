"""Checks of the smaller examples, with gRPC's own Python client. All serve the greeter."""

import json
import queue

import grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

import harness
from harness import TIMEOUT, expect, expect_status


def greeter(peer):
    return peer.services.GreeterStub(peer.channel)


def reflection_in_v1alpha(peer):
    """examples/reflection: the older version describes both services, and itself."""
    database = ProtoReflectionDescriptorDatabase(peer.channel)
    names = list(database.get_services())
    expect(
        names,
        [
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
            "helloworld.Greeter",
            "turnstile.echo.Echo",
        ],
        "list of services",
    )
    for name in names:
        file = database.FindFileContainingSymbol(name)
        services = [f"{file.package}.{service.name}" for service in file.service]
        expect(name in services, True, f"{name} in {services}")
    expect(database.FindFileByName("echo.proto").package, "turnstile.echo", "package")
    try:
        database.FindFileContainingSymbol("no.such.Symbol")
    except KeyError:
        return
    raise AssertionError("a symbol was found that is not there")


def reflection_answers_in_turn(peer):
    """examples/reflection: each request on the one stream is answered before the next is sent."""
    stub = reflection_pb2_grpc.ServerReflectionStub(peer.channel)
    answers, answered = [], queue.SimpleQueue()

    def requests():
        for symbol in ["helloworld.Greeter", "nothing", "helloworld.HelloReply"]:
            yield reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)
            # The stream stays open for writing until the answer has come.
            answered.get(timeout=TIMEOUT)

    for answer in stub.ServerReflectionInfo(requests(), timeout=TIMEOUT):
        answers.append(answer.WhichOneof("message_response"))
        answered.put(None)
    expect(
        answers,
        ["file_descriptor_response", "error_response", "file_descriptor_response"],
        "list of answers",
    )


def metadata(peer):
    """examples/metadata: both ways, before and after, text and bytes."""
    trace = bytes(range(256))
    request = peer.messages.HelloRequest(name="world")
    reply, call = greeter(peer).SayHello.with_call(
        request, timeout=TIMEOUT, metadata=[("x-language", "de"), ("x-trace-bin", trace)]
    )
    expect(reply.message, "Hallo world", "greeting")
    expect(dict(call.initial_metadata())["x-language"], "de", "initial metadata")
    trailing = dict(call.trailing_metadata())
    expect(trailing["x-length"], "11", "x-length")
    expect(trailing["x-trace-bin"], trace, "x-trace-bin")
    unknown = lambda: greeter(peer).SayHello(
        request, timeout=TIMEOUT, metadata=[("x-language", "fr")]
    )
    error = expect_status(unknown, grpc.StatusCode.NOT_FOUND, 'no greeting in "fr" is known')
    languages = [value for key, value in error.trailing_metadata() if key == "x-language"]
    expect(languages, ["en", "de"], "x-language of the error")


def metadata_of_a_stream(peer):
    """examples/metadata: initial metadata is there before the first reply is asked for."""
    replies = greeter(peer).SayHelloStreamReply(
        peer.messages.HelloRequest(name="world"), timeout=TIMEOUT
    )
    expect(dict(replies.initial_metadata())["x-languages"], "en, de", "initial metadata")
    expect([reply.message for reply in replies], ["Hello world", "Hallo world"], "greetings")
    expect(dict(replies.trailing_metadata())["x-length"], "22", "x-length")


def json_messages(peer):
    """examples/custom_codec: both methods, with Python's json as the client's codec."""

    def method(path):
        encode = lambda message: json.dumps(message).encode()
        return peer.channel.unary_unary(path, encode, json.loads)

    add = method("/turnstile.calculator.Calculator/Add")
    expect(add({"numbers": [1, 2.5]}, timeout=TIMEOUT), {"sum": 3.5}, "sum")
    expect(add({}, timeout=TIMEOUT), {"sum": 0.0}, "sum of nothing")
    uppercase = method("/demo.Text/Uppercase")
    expect(uppercase({"text": "Zoë"}, timeout=TIMEOUT), {"text": "ZOË"}, "text")
    for wrong in ["text", {"numbers": "1"}]:
        expect_status(lambda: add(wrong, timeout=TIMEOUT), grpc.StatusCode.INTERNAL)


def many_at_once(peer):
    """examples/with_tokio: handlers that wait for tokio do not wait for each other."""
    names = [str(number) for number in range(100)]
    calls = [
        greeter(peer).SayHello.future(peer.messages.HelloRequest(name=name), timeout=TIMEOUT)
        for name in names
    ]
    expect([call.result().message for call in calls], [f"Hello {n}" for n in names], "greetings")


def with_test_cancel(peer):
    """examples/cancellation: every call is cancelled as soon as it has reached its handler."""
    request = peer.messages.HelloRequest(name="world")
    unary = greeter(peer).SayHello.future(request, timeout=TIMEOUT)
    harness.wait_for_test()
    unary.cancel()
    # That was the call, and not its connection.
    stream = greeter(peer).SayHelloStreamReply(request, timeout=TIMEOUT)
    expect(next(stream).message, "Hello world", "greeting")
    stream.cancel()


if __name__ == "__main__":
    harness.run(
        "helloworld.proto",
        [
            reflection_in_v1alpha,
            reflection_answers_in_turn,
            metadata,
            metadata_of_a_stream,
            json_messages,
            many_at_once,
            with_test_cancel,
        ],
    )
