"""The messages and services of gRPC's interoperability tests, made at run time.

Generated modules would be in the package `grpc`, which is grpcio's own.
"""

import pathlib
import sys
import tempfile
import types

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc

from harness import PROTOS

PROTO = "grpc/testing/test.proto"


def describe(proto, temp):
    """Gives the message classes by their short names, by their full names, and the services."""
    with tempfile.TemporaryDirectory(prefix="described-", dir=temp) as folder:
        described = pathlib.Path(folder) / "set.bin"
        options = [f"-I{PROTOS}", "--include_imports", f"--descriptor_set_out={described}"]
        if protoc.main(["protoc", *options, proto]) != 0:
            sys.exit(f"cannot compile {PROTOS / proto}: protoc's message is above")
        files = descriptor_pb2.FileDescriptorSet.FromString(described.read_bytes()).file
    pool = descriptor_pool.DescriptorPool()
    for file in files:
        pool.AddSerializedFile(file.SerializeToString())
    classes = message_factory.GetMessageClassesForFiles([file.name for file in files], pool)
    messages = {name.rpartition(".")[2]: each for name, each in classes.items()}
    services = pool.FindFileByName(proto).services_by_name
    return types.SimpleNamespace(**messages), classes, services


def shape(method):
    """What grpcio calls a method of this kind."""
    kinds = (method.client_streaming, method.server_streaming)
    return "_".join("stream" if is_stream else "unary" for is_stream in kinds)
