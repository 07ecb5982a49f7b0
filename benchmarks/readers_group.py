"""What Driftline is held against: a bare socket reader that only splits frames, and paho-mqtt with an empty callback.

`python -m benchmarks.readers_group bare|paho PORT COUNT...` subscribes to everything at QoS 0, prints "ready", and
"reached" each time that so many more messages have come.
"""

from __future__ import annotations

import sys

import numpy as np
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.load import connect
from ingest.frames import split_publishes

_SUBSCRIBE = b"\x82\x06\x00\x01\x00\x01#\x00"
_BUFFER = 1 << 18


def read_bare(port: int, counts: list[int]) -> None:
    """Read, split, forget."""
    connection = connect(port, "bench-bare")
    memory = bytearray(_BUFFER)
    data = np.frombuffer(memory, np.uint8)
    spans, flags, identifiers = np.empty((1 << 14, 4), np.int32), np.empty(1 << 14, np.uint8), np.empty(1 << 14, "u2")
    split_publishes(data, 0, 0, False, 0, spans, flags, identifiers, False)
    connection.sendall(_SUBSCRIBE)
    connection.recv(5)
    print("ready", flush=True)
    view = memoryview(memory)
    filled = 0
    for count in counts:
        seen = 0
        while seen < count:
            got = connection.recv_into(view[filled:])
            if not got:
                return
            filled += got
            rows, end, _, _ = split_publishes(data, 0, filled, False, 0, spans, flags, identifiers, False)
            seen += rows
            data[: filled - end] = data[end:filled]
            filled -= end
        print("reached", flush=True)


def read_paho(port: int, counts: list[int]) -> None:
    """paho-mqtt as it is, with a callback that counts and does nothing else."""
    seen = 0
    limits = {sum(counts[: n + 1]) for n in range(len(counts))}

    def on_message(_client: Client, _data: object, _message: MQTTMessage) -> None:
        nonlocal seen
        seen += 1
        if seen in limits:
            print("reached", flush=True)

    client = Client(CallbackAPIVersion.VERSION2, "bench-paho")
    client.on_message = on_message
    client.on_connect = lambda client, *_: client.subscribe("#", 0)
    client.on_subscribe = lambda *_: print("ready", flush=True)
    client.connect("127.0.0.1", port)
    client.loop_forever()


if __name__ == "__main__":
    {"bare": read_bare, "paho": read_paho}[sys.argv[1]](int(sys.argv[2]), [int(n) for n in sys.argv[3:]])
