"""Checks of a channelz service with gRPC's own client, the package grpcio-channelz.

The server that is looked at, on the port in SEEN_PORT of 127.0.0.1, has had three calls over one
connection, of which two have succeeded, and the connection is still open.
"""

import os

import grpc
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc

import harness
from harness import TIMEOUT, expect, expect_status

PORT = int(os.environ["SEEN_PORT"])
LOOPBACK = bytes([127, 0, 0, 1])


class Client:
    """The service's methods, with their requests' fields as arguments."""

    def __init__(self, peer):
        self.stub = channelz_pb2_grpc.ChannelzStub(peer.channel)

    def __getattr__(self, method):
        request = getattr(channelz_pb2, f"{method}Request")
        call = getattr(self.stub, method)
        return lambda **fields: call(request(**fields), timeout=TIMEOUT)


def only_server(client):
    reply = client.GetServers()
    expect((len(reply.server), reply.end), (1, True), "number of servers")
    return reply.server[0]


def only_socket(client):
    reply = client.GetServerSockets(server_id=only_server(client).ref.server_id)
    expect((len(reply.socket_ref), reply.end), (1, True), "number of sockets")
    return client.GetSocket(socket_id=reply.socket_ref[0].socket_id).socket


def servers(peer):
    """The server has its calls and its address."""
    client = Client(peer)
    server = only_server(client)
    data = server.data
    expect((data.calls_started, data.calls_succeeded, data.calls_failed), (3, 2, 1), "calls")
    assert data.last_call_started_timestamp.seconds > 0
    again = client.GetServer(server_id=server.ref.server_id).server
    expect(again, server, "GetServer's reply")
    listener = client.GetSocket(socket_id=server.listen_socket[0].socket_id).socket
    address = listener.local.tcpip_address
    expect((address.ip_address, address.port), (LOOPBACK, PORT), "listening address")
    assert not listener.HasField("remote")


def sockets(peer):
    """The connection has its streams, messages and addresses."""
    socket = only_socket(Client(peer))
    data = socket.data
    streams = (data.streams_started, data.streams_succeeded, data.streams_failed)
    expect(streams, (3, 3, 0), "streams")
    expect((data.messages_received, data.messages_sent), (3, 2), "messages")
    for name in (
        "last_remote_stream_created_timestamp",
        "last_message_sent_timestamp",
        "last_message_received_timestamp",
    ):
        assert getattr(data, name).seconds > 0, name
    assert not data.HasField("last_local_stream_created_timestamp")
    expect(socket.local.tcpip_address.port, PORT, "local port")
    remote = socket.remote.tcpip_address
    expect(remote.ip_address, LOOPBACK, "remote address")
    assert remote.port not in (0, PORT)
    assert not socket.HasField("security")


def pages(peer):
    """A page begins with its first id, and says whether it is the last."""
    client = Client(peer)
    server = only_server(client).ref.server_id
    page = client.GetServers(start_server_id=server, max_results=1)
    expect((len(page.server), page.end), (1, True), "the page that begins with the server")
    page = client.GetServers(start_server_id=server + 1)
    expect((len(page.server), page.end), (0, True), "the page behind the server")
    page = client.GetTopChannels()
    expect((len(page.channel), page.end), (0, True), "the page of channels")


def errors(peer):
    """What is not there is NOT_FOUND, and what makes no sense INVALID_ARGUMENT."""
    client = Client(peer)
    not_found = grpc.StatusCode.NOT_FOUND
    for method, field in (
        ("GetServer", "server_id"),
        ("GetServerSockets", "server_id"),
        ("GetSocket", "socket_id"),
        ("GetChannel", "channel_id"),
        ("GetSubchannel", "subchannel_id"),
    ):
        expect_status(lambda: getattr(client, method)(**{field: 4242}), not_found)
    expect_status(lambda: client.GetServers(max_results=-1), grpc.StatusCode.INVALID_ARGUMENT)


if __name__ == "__main__":
    harness.run("helloworld.proto", [servers, sockets, pages, errors])
