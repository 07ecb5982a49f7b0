"""Messages of a broker for a while, without a session that outlives it."""

from __future__ import annotations

import os
import time
from queue import Empty, SimpleQueue

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from driftline.cli.console import CommandError
from ingest.broker_settings import split_url

_MOST = 100_000


def messages_of(url: str, seconds: float) -> list[tuple[str, bytes]]:
    """Topics and payloads of what comes within a time, retained messages among them; `$` topics are left out.

    Raises CommandError where the broker cannot be reached.
    """
    scheme, host, port = split_url(url)
    arrived: SimpleQueue[tuple[str, bytes]] = SimpleQueue()
    client = Client(CallbackAPIVersion.VERSION2, f"driftline-identify-{os.getpid()}")

    def on_message(_client: Client, _data: object, message: MQTTMessage) -> None:
        arrived.put((message.topic, bytes(message.payload)))

    def on_connect(connected: Client, *_: object) -> None:
        connected.subscribe("#")

    client.on_message = on_message
    client.on_connect = on_connect
    if scheme == "mqtts":
        client.tls_set()
    try:
        client.connect(host, port)
    except OSError as error:
        raise CommandError(f"{url}: cannot be reached: {error}") from None
    client.loop_start()
    found: list[tuple[str, bytes]] = []
    until = time.monotonic() + seconds
    try:
        while len(found) < _MOST and (left := until - time.monotonic()) > 0:
            try:
                found.append(arrived.get(timeout=left))
            except Empty:
                break
    finally:
        client.disconnect()
        client.loop_stop()
    return found
