"""Messages of a broker for a while, without a session that outlives it."""

from __future__ import annotations

import os
import time
from queue import Empty, SimpleQueue

from paho.mqtt.client import Client, MQTTMessage

from driftline.cli.console import CommandError
from ingest.broker_settings import BrokerSettings
from ingest.connecting import host_and_port, side_client

_MOST = 100_000


def messages_of(url: str, seconds: float) -> list[tuple[str, bytes]]:
    """Topics and payloads of what comes within a time, retained messages among them; `$` topics are left out.

    Raises CommandError where the broker cannot be reached.
    """
    settings = BrokerSettings(url=url)
    host, port = host_and_port(settings)
    arrived: SimpleQueue[tuple[str, bytes]] = SimpleQueue()
    client = side_client(settings, None, f"driftline-identify-{os.getpid()}")

    def on_message(_client: Client, _data: object, message: MQTTMessage) -> None:
        arrived.put((message.topic, bytes(message.payload)))

    def on_connect(connected: Client, *_: object) -> None:
        connected.subscribe("#")

    client.on_message = on_message
    client.on_connect = on_connect
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
