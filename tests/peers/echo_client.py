"""Checks of examples/echo_cq_server, with gRPC's own Python client."""

import threading
import time
import urllib.parse

import grpc

import harness
from harness import TIMEOUT, expect, expect_status

MANY = 100_000

# The largest message that a gRPC server takes unless told otherwise.
LIMIT = 4 * 1024 * 1024


class Echo:
    """The four methods, with a deadline and with texts in place of messages."""

    def __init__(self, peer):
        self.messages = peer.messages
        self.stub = peer.services.EchoStub(peer.channel)

    def request(self, text="", **fields):
        return self.messages.EchoRequest(text=text, **fields)

    def unary(self, text, **options):
        return self.stub.Unary(self.request(text), timeout=TIMEOUT, **options).text

    def client_stream(self, texts, **options):
        requests = (self.request(text) for text in texts)
        return self.stub.ClientStream(requests, timeout=TIMEOUT, **options).text

    def server_stream(self, text, count, **options):
        request = self.request(text, count=count)
        return self.stub.ServerStream(request, timeout=TIMEOUT, **options)

    def bidi(self, texts, **options):
        requests = (self.request(text) for text in texts)
        return self.stub.Bidi(requests, timeout=TIMEOUT, **options)

    def every_kind(self):
        """A function for each kind of method that makes a call and reads it to its end."""
        return {
            "Unary": lambda **options: self.unary("a", **options),
            "ClientStream": lambda **options: self.client_stream(["a", "b"], **options),
            "ServerStream": lambda **options: list(self.server_stream("a", 2, **options)),
            "Bidi": lambda **options: list(self.bidi(["a", "b"], **options)),
        }


def texts_and_indices(replies):
    return [(reply.text, reply.index) for reply in replies]


def every_kind_of_method(peer):
    """One call of each kind, and none of them empty."""
    echo = Echo(peer)
    expect(echo.unary("Zoë ☃"), "Zoë ☃", "Unary")
    expect(echo.client_stream(["a", "b", "c"]), "a b c", "ClientStream")
    replies = texts_and_indices(echo.server_stream("a", 3))
    expect(replies, [("a", 0), ("a", 1), ("a", 2)], "ServerStream")
    replies = texts_and_indices(echo.server_stream("a", 0))
    expect(replies, [("a", 0)], "ServerStream with count 0")
    replies = texts_and_indices(echo.bidi(["a", "b", "c"]))
    expect(replies, [("a", 0), ("b", 1), ("c", 2)], "Bidi")


def bidi_in_step(peer):
    """Each message is answered before the next one is sent."""
    echo = Echo(peer)
    answered = threading.Semaphore(1)

    def texts():
        for number in range(100):
            if not answered.acquire(timeout=TIMEOUT):
                raise AssertionError(f"message {number - 1} was not answered")
            yield str(number)

    count = 0
    for reply in echo.bidi(texts()):
        expect((reply.text, reply.index), (str(count), count), "reply")
        count += 1
        answered.release()
    expect(count, 100, "number of replies")


def empty_messages_and_streams(peer):
    """A message of no bytes is a message, and a stream of no messages is a stream."""
    echo = Echo(peer)
    expect(echo.request("").ByteSize(), 0, "size of an empty message")
    expect(echo.unary(""), "", "Unary")
    expect(echo.client_stream([]), "", "ClientStream of nothing")
    expect(echo.client_stream(["", ""]), " ", "ClientStream of two empty messages")
    expect(texts_and_indices(echo.bidi([])), [], "Bidi of nothing")
    expect(texts_and_indices(echo.bidi(["", ""])), [("", 0), ("", 1)], "Bidi")


def metadata_both_ways(peer):
    """What the client sends comes back: text, bytes, repeated keys, empty values."""
    echo = Echo(peer)
    texts = [("x-echo-a", "b"), ("x-echo-a", "c"), ("x-echo-empty", ""), ("x-echo-s", "a b, c")]
    binaries = [
        ("x-echo-e-bin", b""),
        ("x-echo-raw-bin", bytes(range(256))),
        ("x-echo-raw-bin", b"\x00\xff,"),
    ]
    others = [("x-other", "stays"), ("other-bin", b"stays")]
    sent = tuple(texts + binaries + others)
    for kind, call in calls_with_metadata(echo, sent).items():
        initial = sorted_metadata(call.initial_metadata())
        expect(initial, sorted_metadata(texts + binaries), f"initial metadata of {kind}")
        trailing = sorted_metadata(call.trailing_metadata())
        expect(trailing, sorted_metadata(binaries), f"trailing metadata of {kind}")
        expect(call.code(), grpc.StatusCode.OK, f"status of {kind}")


def calls_with_metadata(echo, metadata):
    """A finished call of each kind."""
    options = {"timeout": TIMEOUT, "metadata": metadata}
    request = echo.request("a", count=2)
    unary = echo.stub.Unary.with_call(request, **options)[1]
    client_stream = echo.stub.ClientStream.with_call(iter([request]), **options)[1]
    server_stream = echo.stub.ServerStream(request, **options)
    expect(len(list(server_stream)), 2, "number of replies of ServerStream")
    bidi = echo.stub.Bidi(iter([request]), **options)
    expect(len(list(bidi)), 1, "number of replies of Bidi")
    return {
        "Unary": unary,
        "ClientStream": client_stream,
        "ServerStream": server_stream,
        "Bidi": bidi,
    }


def sorted_metadata(metadata):
    """Entries by key, where those of one key keep their order; no other key matters."""
    entries = [(key, value) for key, value in metadata if key.startswith(("x-", "other"))]
    return sorted(entries, key=lambda entry: entry[0])


def every_status(peer):
    """Every code arrives, with a message that needs percent-encoding."""
    echo = Echo(peer)
    message = "naïve ☃ 🎉 100% of\nlines\ttoo "
    for code in grpc.StatusCode:
        number = code.value[0]
        wanted = want(number, message)
        if number == 0:
            expect(echo.unary("a", metadata=wanted), "a", "reply with status OK")
        else:
            expect_status(lambda: echo.unary("a", metadata=wanted), code, message)
    for call in echo.every_kind().values():
        wanted = want(9, message)
        expect_status(
            lambda: call(metadata=wanted), grpc.StatusCode.FAILED_PRECONDITION, message
        )
    expect(echo.unary("still here"), "still here", "Unary after all the errors")


def want(code, message):
    """The request metadata that makes a call end with a status."""
    encoded = urllib.parse.quote(message, safe="")
    return (("x-want-code", str(code)), ("x-want-message", encoded))


def unknown_methods(peer):
    """Methods and services that nobody serves."""
    for path in ("/turnstile.echo.Echo/Nothing", "/turnstile.echo.Nothing/Unary", "/a/b"):
        call = peer.channel.stream_stream(path)
        expect_status(
            lambda: list(call(iter([b""]), timeout=TIMEOUT)), grpc.StatusCode.UNIMPLEMENTED
        )


def deadline(peer):
    """A deadline in the middle of a stream ends the call, and not the connection."""
    echo = Echo(peer)
    slow = echo.request("a", count=1000, interval_ms=20)
    replies = []
    start = time.monotonic()
    expect_status(
        lambda: replies.extend(echo.stub.ServerStream(slow, timeout=0.5)),
        grpc.StatusCode.DEADLINE_EXCEEDED,
    )
    expect(time.monotonic() - start < 10, True, "that the deadline was kept")
    expect(len(replies) < 30, True, f"that {len(replies)} replies are no more than fit in")
    expect(echo.unary("still here"), "still here", "Unary after the deadline")


def client_stream_of_100_000(peer):
    """Many tiny messages one way."""
    reply = Echo(peer).client_stream("x" for _ in range(MANY))
    expect(len(reply), 2 * MANY - 1, "length of the reply")
    expect(reply, " ".join(["x"] * MANY), "reply")


def server_stream_of_100_000(peer):
    """Many tiny messages the other way."""
    count = 0
    for reply in Echo(peer).server_stream("x", MANY):
        expect((reply.text, reply.index), ("x", count), "reply")
        count += 1
    expect(count, MANY, "number of replies")


def bidi_of_100_000_with_a_slow_reader(peer):
    """Many tiny messages both ways, read in bursts with pauses between."""
    count = 0
    for reply in Echo(peer).bidi("x" for _ in range(MANY)):
        expect((reply.text, reply.index), ("x", count), "reply")
        if count % 1000 == 0:
            time.sleep(0.02)
        count += 1
    expect(count, MANY, "number of replies")


def bidi_that_is_not_read(peer):
    """A client that reads nothing is not read from without end."""
    echo = Echo(peer)
    text, total = "x" * 65536, 1000
    sent = 0

    def texts():
        nonlocal sent
        while sent < total:
            sent += 1
            yield text

    call = echo.bidi(texts())
    before = stalled_at(lambda: sent)
    expect(before < total, True, f"that the sender stalls (at {before} of {total} messages)")
    count = sum(1 for reply in call if len(reply.text) == len(text))
    expect(count, total, "number of replies")


def stalled_at(number):
    """The value of a counter once it has not moved for half a second: no event says so."""
    seen, since = number(), time.monotonic()
    while seen == 0 or time.monotonic() - since < 0.5:
        time.sleep(0.02)
        if number() != seen:
            seen, since = number(), time.monotonic()
    return seen


def message_sizes_up_to_the_limit(peer):
    """Messages of 4 MiB less 1 KiB, and of 4 MiB to the byte."""
    echo = Echo(peer)
    for size in (65536, LIMIT - 1024, LIMIT):
        text = text_for_size(echo, size)
        expect(len(echo.unary(text)), len(text), f"length of the reply of {size} bytes")
    text = text_for_size(echo, LIMIT - 1024)
    replies = [reply.text == text for reply in echo.bidi([text] * 3)]
    expect(replies, [True] * 3, "list of the large replies that match")


def message_sizes_over_the_limit(peer):
    """One byte too many, and far too many, in each kind that a client streams or not."""
    echo = Echo(peer)
    exhausted = grpc.StatusCode.RESOURCE_EXHAUSTED
    for size in (LIMIT + 1, 2 * LIMIT, 8 * LIMIT):
        text = text_for_size(echo, size)
        expect_status(lambda: echo.unary(text), exhausted)
        expect_status(lambda: echo.client_stream(["a", text]), exhausted)
        expect_status(lambda: list(echo.bidi(["a", text, "b"])), exhausted)
    expect(echo.unary("still here"), "still here", "Unary after the large messages")


def text_for_size(echo, size):
    """A text whose message has this many bytes."""
    text = "x" * (size - 5)
    text += "x" * (size - echo.request(text).ByteSize())
    expect(echo.request(text).ByteSize(), size, "size of the message")
    return text


def compressed_request(peer):
    """The server knows no compression, and says so as the protocol wants it."""
    echo = Echo(peer)
    expect_status(
        lambda: echo.unary("x" * 10_000, compression=grpc.Compression.Gzip),
        grpc.StatusCode.UNIMPLEMENTED,
    )
    expect(echo.unary("plain"), "plain", "Unary without compression")


def with_test_cancel(peer):
    """A call cancelled in its middle, on a connection that stays open."""
    echo = Echo(peer)
    call, last = open_bidi(echo)
    call.cancel()
    last.set()
    expect_status(lambda: list(call), grpc.StatusCode.CANCELLED)
    expect(echo.unary("still here"), "still here", "Unary after the cancel")
    print("cancelled", flush=True)
    harness.wait_for_test()


def with_test_stay_open(peer):
    """A call that is open for as long as the test wants it."""
    call, last = open_bidi(Echo(peer))
    print("open", flush=True)
    harness.wait_for_test()
    last.set()
    expect(list(call), [], "list of the other replies")


def open_bidi(echo):
    """A Bidi call with one message answered; and the event that ends its requests."""
    last = threading.Event()

    def texts():
        yield "first"
        last.wait(TIMEOUT)

    call = echo.bidi(texts())
    expect(next(call).text, "first", "first reply")
    return call, last


if __name__ == "__main__":
    harness.run(
        "echo.proto",
        [
            every_kind_of_method,
            bidi_in_step,
            empty_messages_and_streams,
            metadata_both_ways,
            every_status,
            unknown_methods,
            deadline,
            client_stream_of_100_000,
            server_stream_of_100_000,
            bidi_of_100_000_with_a_slow_reader,
            bidi_that_is_not_read,
            message_sizes_up_to_the_limit,
            message_sizes_over_the_limit,
            compressed_request,
            with_test_cancel,
            with_test_stay_open,
        ],
    )
