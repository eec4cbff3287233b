"""Named checks against a server, one printed line for each.

A check is a function with a `Peer` as its parameter. It raises if it finds something wrong.
"""

import argparse
import faulthandler
import importlib
import pathlib
import sys
import tempfile
import traceback

import grpc
from grpc_tools import protoc

PROTOS = pathlib.Path(__file__).resolve().parents[2] / "proto"

# The deadline of every call that is not about deadlines, in seconds.
TIMEOUT = 120

# After this the script ends, with the stacks of all its threads on stderr.
SCRIPT_TIMEOUT = 240

CHANNEL_OPTIONS = [
    # The address is always the one to talk to.
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", -1),
]


class Peer:
    """A channel to the server, and what was generated from the .proto file."""

    def __init__(self, target, messages, services):
        self.target = target
        self.messages = messages
        self.services = services
        options = list(CHANNEL_OPTIONS)
        if target.startswith("unix:"):
            # C-core makes the socket's path the authority, which is none by RFC 3986, and the h2
            # crate resets such a request (hyperium/h2#487).
            options.append(("grpc.default_authority", "localhost"))
        self.channel = grpc.insecure_channel(target, options=options)


def generate(proto, temp):
    """Generates and imports the message and service modules of a file in `proto`."""
    with tempfile.TemporaryDirectory(prefix="stubs-", dir=temp) as folder:
        arguments = [f"-I{PROTOS}", f"--python_out={folder}", f"--grpc_python_out={folder}"]
        includes = pathlib.Path(protoc.__file__).parent / "_proto"
        if protoc.main(["protoc", *arguments, f"-I{includes}", proto]) != 0:
            sys.exit(f"cannot generate Python from {PROTOS / proto}: protoc's message is above")
        sys.path.insert(0, folder)
        try:
            name = pathlib.Path(proto).stem
            return [importlib.import_module(f"{name}_{kind}") for kind in ("pb2", "pb2_grpc")]
        finally:
            sys.path.remove(folder)


def expect(actual, wanted, what):
    """Raises if two values differ."""
    if actual != wanted:
        raise AssertionError(f"{what} is {actual!r:.500}, and should be {wanted!r:.500}")


def expect_status(call, code, message=None):
    """Makes a call that has to fail with this code, and returns its error."""
    try:
        reply = call()
    except grpc.RpcError as error:
        details = f"status ({error.details()})"
        expect(error.code(), code, details)
        if message is not None:
            expect(error.details(), message, "status message")
        return error
    raise AssertionError(f"the call succeeded with {reply!r:.200}, and should fail with {code}")


def wait_for_test():
    """Waits until the test that runs this script closes stdin."""
    sys.stdin.read()


def run(proto, checks, generate=generate):
    """Runs the checks named on the command line, or all that need no test around them."""
    faulthandler.dump_traceback_later(SCRIPT_TIMEOUT, exit=True)
    known = {check.__name__: check for check in checks}
    parser = argparse.ArgumentParser(description="checks: " + ", ".join(known))
    parser.add_argument("--target", required=True, help="address of the server")
    parser.add_argument("--temp", help="folder for generated code")
    parser.add_argument("checks", nargs="*", metavar="CHECK", choices=[*known, []])
    arguments = parser.parse_args()
    messages, services = generate(proto, arguments.temp)
    chosen = arguments.checks or [n for n in known if not n.startswith("with_test_")]
    failed = sum(not passes(known[n], arguments.target, messages, services) for n in chosen)
    sys.exit(1 if failed else 0)


def passes(check, target, messages, services):
    """Runs one check with a channel of its own."""
    peer = Peer(target, messages, services)
    try:
        check(peer)
    except Exception:
        print(f"FAIL {check.__name__}: {traceback.format_exc()}", flush=True)
        return False
    finally:
        peer.channel.close()
    print(f"ok   {check.__name__}", flush=True)
    return True
