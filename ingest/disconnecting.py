"""Receive: the end of a connection that we end ourselves."""

from __future__ import annotations

from collections.abc import Callable

from paho.mqtt.client import Client

from ingest.paho_client import FrameClient
from ingest.socket_wait import SocketWait

_WITHIN = 2.0
_DISCONNECT = b"\xe0\x00"


def say_goodbye(client: Client, socket_wait: SocketWait, monotonic: Callable[[], float]) -> None:
    """Send DISCONNECT, and close only when the broker has: bytes left unread would reset the connection.

    With a reset, acknowledgements that are still on their way would be lost. Takes 2 s at most.
    """
    if isinstance(client, FrameClient):
        client.send_frames(_DISCONNECT)
    else:
        client.disconnect()
    scratch = memoryview(bytearray(65_536))
    deadline = monotonic() + _WITHIN
    while (sock := client.socket()) is not None and (left := deadline - monotonic()) > 0:
        socket_wait.watch(sock.fileno(), reading=True, writing=client.want_write())
        readable, writable = socket_wait.wait(left)
        if writable:
            client.loop_write()
        if readable and isinstance(client, FrameClient) and client.receive_into(scratch) == 0:
            return
