"""Greets with grpcio, the client on gRPC's C core. What it says and hears: see src/lib.rs here.

    python grpcio_client.py STYLE ADDR THREADS AT_ONCE WARM_UP CALLS
"""

import collections
import pathlib
import queue
import sys
import threading
import time

import grpc

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "proto"))
messages, services = grpc.protos_and_services("helloworld.proto")

NAME = "world"
HELLO = "Hello world"


def check(reply):
    if reply.message != HELLO:
        raise RuntimeError(f"the reply is {reply.message!r}, not {HELLO!r}")


def one_by_one(stub, calls):
    times = []
    for _ in range(calls):
        start = time.perf_counter_ns()
        check(stub.SayHello(messages.HelloRequest(name=NAME)))
        times.append(time.perf_counter_ns() - start)
    return times


def many(stub, at_once, calls):
    under_way = collections.deque()
    for _ in range(calls):
        if len(under_way) == at_once:
            check(under_way.popleft().result())
        under_way.append(stub.SayHello.future(messages.HelloRequest(name=NAME)))
    for future in under_way:
        check(future.result())
    return []


class Hand:
    """A thread that makes calls when it is told to."""

    def __init__(self, stub):
        self.orders, self.results = queue.SimpleQueue(), queue.SimpleQueue()
        threading.Thread(target=self.work, args=(stub,), daemon=True).start()

    def work(self, stub):
        while True:
            calls = self.orders.get()
            try:
                self.results.put(one_by_one(stub, calls))
            except Exception as error:
                self.results.put(error)


def together(crew, calls):
    for index, hand in enumerate(crew):
        hand.orders.put((calls + index) // len(crew))
    times = []
    for hand in crew:
        result = hand.results.get()
        if isinstance(result, Exception):
            raise result
        times += result
    return times


def percentiles(times):
    if not times:
        return "- -"
    times.sort()
    return " ".join(str(times[(len(times) - 1) * percent // 100]) for percent in (50, 99))


def tell(line):
    print(line, flush=True)
    sys.stdin.readline()


def main():
    _, style, addr, *numbers = sys.argv
    threads, at_once, warm_up, calls = map(int, numbers)
    if style != "blocking":
        raise SystemExit(f"there is no style {style!r}: only blocking")
    stub = services.GreeterStub(grpc.insecure_channel(addr))
    crew = [Hand(stub) for _ in range(threads)] if threads > 1 else []

    def work(calls):
        if crew:
            return together(crew, calls)
        return many(stub, at_once, calls) if at_once > 1 else one_by_one(stub, calls)

    work(warm_up)
    tell("warm")
    start = time.perf_counter_ns()
    times = work(calls)
    took = time.perf_counter_ns() - start
    tell("done")
    tell(f"took {took} {percentiles(times)}")


main()
