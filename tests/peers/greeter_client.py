"""Checks of examples/greeter_server, with gRPC's own Python client."""

import grpc

import harness
from harness import TIMEOUT, expect, expect_status


def say_hello(peer):
    """The hello world of every gRPC tutorial."""
    stub = peer.services.GreeterStub(peer.channel)
    for name in ("world", "", "Zoë ☃", "x" * 100_000):
        reply = stub.SayHello(peer.messages.HelloRequest(name=name), timeout=TIMEOUT)
        expect(reply.message, f"Hello {name}", "greeting")


def methods_not_served(peer):
    """The greeter's streaming methods are not served, and neither are other services."""
    stub = peer.services.GreeterStub(peer.channel)
    request = peer.messages.HelloRequest(name="world")
    unimplemented = grpc.StatusCode.UNIMPLEMENTED
    expect_status(
        lambda: list(stub.SayHelloStreamReply(request, timeout=TIMEOUT)), unimplemented
    )
    expect_status(
        lambda: list(stub.SayHelloBidiStream(iter([request] * 10), timeout=TIMEOUT)),
        unimplemented,
    )
    nowhere = peer.channel.unary_unary("/no.such.Service/Method")
    expect_status(lambda: nowhere(b"", timeout=TIMEOUT), unimplemented)
    # None of this has hurt the connection.
    expect(stub.SayHello(request, timeout=TIMEOUT).message, "Hello world", "greeting")


def many_calls_at_once(peer):
    """More calls at once than one HTTP/2 connection takes by default."""
    stub = peer.services.GreeterStub(peer.channel)
    names = [str(number) for number in range(1000)]
    calls = [
        stub.SayHello.future(peer.messages.HelloRequest(name=name), timeout=TIMEOUT)
        for name in names
    ]
    greetings = [call.result().message for call in calls]
    expect(greetings, [f"Hello {name}" for name in names], "list of greetings")


if __name__ == "__main__":
    harness.run("helloworld.proto", [say_hello, methods_not_served, many_calls_at_once])
