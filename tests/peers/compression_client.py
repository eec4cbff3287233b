"""Checks of examples/compression: compressed messages both ways."""

import grpc

import harness
from harness import TIMEOUT, expect, expect_status

GZIP = grpc.Compression.Gzip
DEFLATE = grpc.Compression.Deflate
PLAIN = grpc.Compression.NoCompression
ALL = (GZIP, DEFLATE, PLAIN)

# A text that compresses well, and one that is too short for it.
TEXTS = ["a long text " * 10_000, "a"]


class Echo:
    """The methods of the service, with what their calls were compressed with."""

    def __init__(self, peer):
        self.request = peer.messages.EchoRequest
        self.stub = peer.services.EchoStub(peer.channel)

    def unary(self, text, compression, metadata=()):
        options = {"timeout": TIMEOUT, "compression": compression, "metadata": metadata}
        reply, call = self.stub.Unary.with_call(self.request(text=text), **options)
        return reply.text, compression_of(call)


def compression_of(call):
    return dict(call.trailing_metadata())["x-compression"]


def requests_and_replies(peer):
    """Requests in each encoding, and replies in the server's."""
    echo = Echo(peer)
    for compression in ALL:
        for text in TEXTS:
            reply, encoding = echo.unary(text, compression)
            expect((reply, encoding), (text, "gzip"), f"reply to {compression}")


def streams(peer):
    """The same for messages one after the other."""
    echo = Echo(peer)
    texts = TEXTS * 5
    for compression in ALL:
        options = {"timeout": TIMEOUT, "compression": compression}
        requests = [echo.request(text=text) for text in texts]
        reply = echo.stub.ClientStream(iter(requests), **options)
        expect(reply.text, " ".join(texts), f"ClientStream with {compression}")
        call = echo.stub.Bidi(iter(requests), **options)
        expect([reply.text for reply in call], texts, f"Bidi with {compression}")
        expect(compression_of(call), "gzip", "encoding of Bidi")


def choices_of_the_server(peer):
    """A method's encoding, with every second message as it is; and a call's."""
    echo = Echo(peer)
    text = TEXTS[0]
    call = echo.stub.ServerStream(echo.request(text=text, count=6), timeout=TIMEOUT)
    expect([reply.text for reply in call], [text] * 6, "ServerStream")
    expect(compression_of(call), "deflate", "encoding of ServerStream")
    for choice in ("none", "gzip", "deflate"):
        reply, encoding = echo.unary(text, PLAIN, [("x-compression", choice)])
        expect((reply, encoding), (text, choice), f"reply in {choice}")


def limits(peer):
    """A request over the limit, which is compressed to far less."""
    echo = Echo(peer)
    text = "x" * (5 * 1024 * 1024)
    for compression in ALL:
        expect_status(
            lambda: echo.unary(text, compression), grpc.StatusCode.RESOURCE_EXHAUSTED
        )
    expect(echo.unary("still here", GZIP), ("still here", "gzip"), "reply")


if __name__ == "__main__":
    harness.run("echo.proto", [requests_and_replies, streams, choices_of_the_server, limits])
